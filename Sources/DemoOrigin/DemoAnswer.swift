// From a request to what is to be answered, without a byte being written: the resource chooses the
// representation, the knobs bend it, the conditions may make a 304 of it.

internal import Bytes

/// Where content comes from.
enum AnswerContent {
  case bytes([UInt8])
  case generated(DemoContent, size: Int)
  case file(OpenFile)

  var size: Int {
    switch self {
    case .bytes(let bytes): bytes.count
    case .generated(_, let size): size
    case .file(let file): file.size
    }
  }

  /// At most `count` bytes from `offset`; nil if there are none any more.
  func read(at offset: Int, count: Int) -> [UInt8]? {
    let count = min(count, size - offset)
    guard count > 0 else { return nil }
    switch self {
    case .bytes(let bytes): return Array(bytes[offset..<(offset + count)])
    case .generated(let content, _): return content.bytes(at: offset, count: count)
    case .file(let file): return file.read(at: offset, count: count)
    }
  }
}

/// What is to be answered.
struct DemoAnswer {
  var status = 200
  var fields: [(name: String, value: String)] = []
  var content: AnswerContent = .bytes([])

  init(_ status: Int, _ type: String, _ text: String) {
    self.status = status
    fields = [("Content-Type", type)]
    content = .bytes(Array(text.utf8))
  }

  init(json: JSONText) { self.init(200, "application/json", "\(json)\n") }

  func field(_ name: String) -> String? {
    fields.first { $0.name.lowercased() == name }?.value
  }

  mutating func set(_ name: String, _ value: String?) {
    guard let value, value != "none" else { return }
    // A line break in a knob's value must not make a field of its own.
    fields.append((name, value.filter { !$0.isNewline }))
  }
}

extension DemoAnswer {
  /// The answer to a request.
  init(to request: DemoRequest, _ knobs: Knobs, _ state: OriginState) throws(ConnectionEnd) {
    let path = request.path
    if path == "/requests" {
      self.init(json: Self.counts(request, state))
      set("Cache-Control", "no-store")
      return
    }
    let count = state.count(path: path)
    let isSafe = ["GET", "HEAD", "OPTIONS", "TRACE"].contains(request.method)
    if !isSafe { state.change(path: path) }
    if path == "/echo" || path.hasPrefix("/echo/") {
      self.init(json: Self.echo(of: request))
      set("Cache-Control", knobs[.cc] ?? "no-store")
    } else if path == "/api" || path.hasPrefix("/api/") {
      self.init(json: Self.resource(request, state))
      set("Cache-Control", knobs[.cc] ?? (isSafe ? "max-age=60" : nil))
      setTags(knobs, path: path)
    } else if let file = isSafe ? state.files?.open(path: path) : nil {
      self.init(200, file.type, "")
      content = .file(file)
      set("Cache-Control", knobs[.cc] ?? "max-age=60")
      if knobs[.lm] == nil { set("Last-Modified", HTTPDate.text(file.modified)) }
    } else {
      self.init(404, "text/plain", "no such file\n")
      set("Cache-Control", knobs[.cc])
    }
    set("X-Origin-Count", String(count))
    try apply(knobs, request, state)
    if isSafe && status == 200 && !knobs.isOn(.no304) { answerConditions(request) }
  }

  private static func counts(_ request: DemoRequest, _ state: OriginState) -> JSONText {
    if let query = request.query, query.hasPrefix("path=") {
      let path =
        percentDecoded(query.dropFirst(5)).map { String(decoding: $0, as: UTF8.self) } ?? ""
      return .object([
        ("path", .string(path)), ("requests", .number(state.requests(path: path))),
      ])
    }
    return .object(
      state.allRequests.sorted { $0.key < $1.key }.map { ($0.key, .number($0.value)) })
  }

  private static func echo(of request: DemoRequest) -> JSONText {
    let lines = { (fields: [(name: String, value: String)]) in
      JSONText.array(fields.map { .array([.string($0.name), .string($0.value)]) })
    }
    return .object([
      ("method", .string(request.method)), ("target", .string(request.target)),
      ("version", .string(request.version)), ("fields", lines(request.fields)),
      ("trailers", lines(request.trailers)), ("length", .number(request.contentLength)),
      ("hash", .string(request.contentHash.text)),
    ])
  }

  private static func resource(_ request: DemoRequest, _ state: OriginState) -> JSONText {
    .object([
      ("path", .string(request.path)), ("query", .string(request.query ?? "")),
      ("revision", .number(state.revision(path: request.path))),
    ])
  }

  // MARK: Knobs

  private mutating func apply(
    _ knobs: Knobs, _ request: DemoRequest, _ state: OriginState
  ) throws(ConnectionEnd) {
    if let status = try knobs.number(.status, atLeast: 200) { self.status = min(status, 599) }
    if let text = knobs[.body] { content = .bytes(Array(text.utf8)) }
    let varying = Self.varying(knobs, request)
    if let size = try knobs.number(.size) {
      let revision = state.revision(path: request.path)
      let resource = request.path + (revision > 0 ? "#\(revision)" : "") + varying
      content = .generated(DemoContent(of: resource), size: size)
      fields.removeAll { $0.name == "Content-Type" }
      fields.append(("Content-Type", "application/octet-stream"))
    } else if case .bytes(let bytes) = content, !varying.isEmpty {
      content = .bytes(bytes + Array((varying.dropFirst() + "\n").utf8))
    }
    set("Vary", knobs[.vary])
    if let seconds = try knobs.number(.expires, atLeast: -(1 << 40)) {
      set("Expires", HTTPDate.text(HTTPDate.now + seconds))
    }
    if let age = try knobs.number(.age) { set("Age", String(age)) }
    if let ago = try knobs.number(.lm) { set("Last-Modified", HTTPDate.text(HTTPDate.now - ago)) }
    set("ETag", entityTag(knobs, request, varying))
    set("Set-Cookie", knobs[.cookie])
    let own = knobs.fields(.h)
    fields.removeAll { field in own.contains { $0.name.lowercased() == field.name.lowercased() } }
    fields += own
  }

  /// A line for each field that the content varies by.
  private static func varying(_ knobs: Knobs, _ request: DemoRequest) -> String {
    let names = (knobs[.vary] ?? "").split(separator: ",").map { trimmed($0.lowercased()) }
    return names.filter { $0 != "*" && $0 != "none" }
      .map { "\n\($0):\(request.field($0) ?? "")" }.joined()
  }

  private mutating func setTags(_ knobs: Knobs, path: String) {
    var tags = (knobs[.tags] ?? "").split(separator: ",").map(String.init)
    if knobs[.tags] == nil {
      let segments = path.split(separator: "/").dropFirst()
      tags = segments.indices.map { segments[...$0].joined(separator: "-") }
    }
    let field = knobs[.tagfield] ?? "Surrogate-Key"
    if tags.isEmpty || tags == ["none"] { return }
    set(field, tags.joined(separator: field.lowercased() == "cache-tag" ? ", " : " "))
  }

  private func entityTag(_ knobs: Knobs, _ request: DemoRequest, _ varying: String) -> String? {
    if let tag = knobs[.etag] {
      return tag == "none" || tag.hasSuffix("\"") ? tag : "\"\(tag)\""
    }
    let hash: Hash128
    let hasher = SipHash(key: Hash128(low: 0, high: 0))
    switch content {
    case .file(let file): return file.entityTag
    case .bytes(let bytes): hash = bytes.withView { hasher.hash($0) }
    case .generated(let content, let size):
      hash = content.bytes(at: 0, count: 64).withView { hasher.hash($0) }
      return "\"\(String(hash.low, radix: 16))-\(size)\""
    }
    return "\"\(String(hash.low, radix: 16))\""
  }

  // MARK: Conditions

  /// Makes a 304 of the answer if the client's copy is good (RFC 9110 §13.2.2).
  private mutating func answerConditions(_ request: DemoRequest) {
    var isGood = false
    if let tags = request.field("if-none-match") {
      isGood = tags == "*" || field("etag").map { Self.list(tags, has: $0) } ?? false
    } else if let since = request.field("if-modified-since").flatMap(HTTPDate.seconds),
      let modified = field("last-modified").flatMap(HTTPDate.seconds)
    {
      isGood = modified <= since
    }
    guard isGood else { return }
    status = 304
    content = .bytes([])
    fields.removeAll { $0.name == "Content-Type" }
  }

  /// The weak comparison of a list's tags with one (RFC 9110 §8.8.3.2).
  private static func list(_ tags: String, has tag: String) -> Bool {
    let opaque = { (tag: String) in tag.hasPrefix("W/") ? String(tag.dropFirst(2)) : tag }
    return tags.split(separator: ",").contains { opaque(trimmed(String($0))) == opaque(tag) }
  }
}
