/// One connection: reads requests and writes answers, one after the other, until either side ends it.
struct DemoConnection {
  private let socket: DemoSocket
  private let state: OriginState

  init(_ socket: DemoSocket, _ state: OriginState) {
    self.socket = socket
    self.state = state
  }

  /// Serves until the end.
  func serve() {
    do throws(ConnectionEnd) {
      while let request = try socket.readHead() {
        guard try answer(request) else {
          socket.endGently()
          return
        }
      }
    } catch {
      guard case .malformed(let status, let text) = error else { return }
      let answer = DemoAnswer(status, "text/plain", text + "\n")
      _ = try? write(answer, to: DemoRequest(method: "GET"), Knobs(query: "close=1"))
      socket.endGently()
    }
  }

  /// Answers a request; false if the connection is to end.
  private func answer(_ head: DemoRequest) throws(ConnectionEnd) -> Bool {
    if head.path == "/tunnel" { return try tunnel(head) }
    let knobs = head.path == "/requests" ? Knobs(query: nil) : Knobs(query: head.query)
    var request = head
    let isEarly = knobs.isOn(.early) && request.hasContent
    if request.hasContent && !isEarly {
      if request.field("expect", has: "100-continue") {
        try socket.write("HTTP/1.1 100 Continue\r\n\r\n")
      }
      try socket.readContent(of: &request, sip: knobs.number(.sip) ?? 0)
    }
    let answer = try DemoAnswer(to: request, knobs, state)
    try socket.pause(milliseconds: knobs.number(.delay) ?? 0)
    if knobs[.reset] == "head" { socket.reset() }
    if knobs[.reset] == "head" || knobs[.close] == "head" { throw .onPurpose }
    try writeInterim(knobs)
    let keepsAlive = try write(answer, to: request, knobs)
    return keepsAlive && !isEarly
  }

  private func writeInterim(_ knobs: Knobs) throws(ConnectionEnd) {
    for text in knobs.all(.interim) {
      guard let status = Int(text), (100..<200).contains(status), status != 101 else {
        throw .malformed(400, "interim wants a 1xx but 101, not \(text)")
      }
      let link = status == 103 ? "Link: </style.css>; rel=preload; as=style\r\n" : ""
      try socket.write("HTTP/1.1 \(status) Interim\r\n\(link)\r\n")
    }
  }

  // MARK: The answer's bytes

  /// Writes an answer; false if the connection is to end.
  @discardableResult
  private func write(
    _ answer: DemoAnswer, to request: DemoRequest, _ knobs: Knobs
  ) throws(ConnectionEnd) -> Bool {
    let trailers = knobs.fields(.trailer)
    let isChunked =
      (knobs.isOn(.chunked) || !trailers.isEmpty) && request.version == "HTTP/1.1"
    let hasLength = !isChunked && !knobs.isOn(.nolength)
    let hasContent = ![204, 304].contains(answer.status)
    let keepsAlive =
      request.keepsAlive && !knobs.isOn(.close) && !(hasContent && !isChunked && !hasLength)
    var head = "HTTP/1.1 \(answer.status) \(Self.reason(answer.status))\r\n"
    if answer.field("date") == nil { head += "Date: \(HTTPDate.text(HTTPDate.now))\r\n" }
    for field in answer.fields { head += "\(field.name): \(field.value)\r\n" }
    if hasContent {
      if isChunked { head += "Transfer-Encoding: chunked\r\n" }
      if hasLength { head += "Content-Length: \(answer.content.size)\r\n" }
      if !trailers.isEmpty {
        head += "Trailer: \(trailers.map(\.name).joined(separator: ", "))\r\n"
      }
    }
    if !keepsAlive { head += "Connection: close\r\n" }
    var start = Array((head + "\r\n").utf8)
    if !hasContent || request.method == "HEAD" {
      try socket.write(start)
      return keepsAlive
    }
    try writeContent(answer.content, behind: &start, isChunked: isChunked, knobs)
    guard isChunked else { return keepsAlive }
    try socket.write(
      "0\r\n" + trailers.map { "\($0.name): \($0.value)\r\n" }.joined() + "\r\n")
    return keepsAlive
  }

  private func writeContent(
    _ content: AnswerContent, behind head: inout [UInt8], isChunked: Bool, _ knobs: Knobs
  ) throws(ConnectionEnd) {
    let piece = try knobs.number(.piece, atLeast: 1) ?? 65_536
    let pause = try knobs.number(.pause) ?? 0
    let reset = try knobs.number(.reset)
    let end = try min(knobs.number(.truncate) ?? .max, reset ?? .max)
    var offset = 0
    while offset < min(content.size, end) {
      let wanted = min(piece, min(content.size, end) - offset)
      guard let bytes = content.read(at: offset, count: wanted) else { throw .gone }
      if offset > 0 && pause > 0 { try socket.pause(milliseconds: pause) }
      let size = isChunked ? Array((String(bytes.count, radix: 16) + "\r\n").utf8) : []
      try socket.write(head + size + bytes + (isChunked ? [13, 10] : []))
      head = []
      offset += bytes.count
    }
    try socket.write(head)
    guard offset < content.size || reset != nil && end <= content.size else { return }
    if reset != nil { socket.reset() } else { socket.endGently() }
    throw .onPurpose
  }

  // MARK: The tunnel

  private func tunnel(_ request: DemoRequest) throws(ConnectionEnd) -> Bool {
    _ = state.count(path: request.path)
    guard let protocols = request.field("upgrade"), request.field("connection", has: "upgrade")
    else {
      try socket.write(
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: echo\r\nConnection: upgrade, close\r\n"
          + "Content-Length: 0\r\n\r\n")
      return false
    }
    try socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: \(protocols)\r\nConnection: upgrade\r\n\r\n")
    while true {
      let bytes = try socket.read()
      if bytes.isEmpty { return false }
      try socket.write(bytes)
    }
  }

  private static func reason(_ status: Int) -> String {
    switch status {
    case 200: "OK"
    case 304: "Not Modified"
    case 400: "Bad Request"
    case 404: "Not Found"
    case 500: "Internal Server Error"
    case 503: "Service Unavailable"
    default: "Status"
    }
  }
}
