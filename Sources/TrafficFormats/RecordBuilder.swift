// Puts a record together from values, whatever format they come from. Text that has to be changed (escapes
// undone, a path and a query joined) is written to `scratch`, which is made large enough for the whole line
// beforehand: it never moves while views into it are out.

internal import Bytes

struct RecordBuilder: ~Copyable {
  private(set) var record = TrafficRecord()
  private(set) var scratch = ByteBuffer()
  private var path = ByteView()
  private var key = ByteView()
  private var serverName = ByteView()
  private var query = ByteView()
  private var day: Int64?
  private var timeOfDay: Int64?
  private var hasTarget = false
  private var nameBytes = 0
  private static var roomForNames: Int { 2_048 }

  /// Begins a record whose values come from so many bytes.
  mutating func begin(bytes: Int) {
    record.time = nil
    record.client = ByteView()
    record.user = ByteView()
    record.method = ByteView("GET")
    record.scheme = ByteView()
    record.host = ByteView()
    record.target = ByteView()
    record.status = 0
    record.responseBytes = nil
    record.requestBytes = nil
    record.duration = nil
    record.lifetime = nil
    record.fields.removeAll(keepingCapacity: true)
    scratch.removeAll()
    // Each value is written at most twice: unescaped (never longer; a lone surrogate half of JSON becomes
    // three bytes of its six), and as a part of the target (percent-encoded at most three times as long).
    scratch.reserve(bytes * 4 + 64 + Self.roomForNames)
    nameBytes = 0
    path = ByteView()
    key = ByteView()
    serverName = ByteView()
    query = ByteView()
    day = nil
    timeOfDay = nil
    hasTarget = false
  }

  /// Writes into the scratch and returns a view of what was written.
  mutating func written(_ write: (inout ByteBuffer) -> Void) -> ByteView {
    let start = scratch.count
    let room = scratch.capacity
    write(&scratch)
    precondition(scratch.capacity == room, "the scratch has moved under its views")
    return scratch.view.dropping(first: start)
  }

  /// Takes a value; one that is missing (`-` or empty) is left as it is.
  mutating func set(_ value: LogValue, _ text: ByteView) throws(Defect) {
    if value == .ignored || text.isEmpty || text.count == 1 && text[0] == 0x2D { return }
    switch value {
    case .ignored: break
    case .client: record.client = text
    case .user: record.user = text
    case .time:
      guard let time = RecordedTime.parse(text) else { throw .badTime }
      record.time = time
    case .date:
      guard text.count == 10, let time = RecordedTime.parse(text) else { throw .badTime }
      day = time
    case .timeOfDay:
      guard let time = RecordedTime.timeOfDay(text) else { throw .badTime }
      timeOfDay = time
    case .request: try setRequest(text)
    case .method: record.method = text
    case .scheme: record.scheme = text
    case .host: record.host = text
    case .target: try setTarget(text)
    case .path: path = text
    case .query: query = text[0] == ASCII.question ? text.dropping(first: 1) : text
    case .key: key = text
    case .serverName: if text != ByteView("_") { serverName = text }
    case .status: record.status = try status(text)
    case .responseBytes: record.responseBytes = try number(text)
    case .requestBytes: record.requestBytes = try number(text)
    case .seconds: record.duration = try duration(text, each: 1_000_000_000)
    case .milliseconds: record.duration = try duration(text, each: 1_000_000)
    case .microseconds: record.duration = try duration(text, each: 1_000)
    case .lifetime: record.lifetime = try number(text)
    case .field(let name): setField(name, text)
    }
  }

  /// Takes a field whose name is in the recording.
  mutating func setField(_ name: ByteView, _ value: ByteView) {
    if name.equalsIgnoringCase(ByteView("host")) {
      record.host = value
    } else if !name.isEmpty, name[0] != ASCII.colon {
      record.fields.append(TrafficRecord.Field(name: name, value: value))
    }
  }

  private mutating func setField(_ name: String, _ value: ByteView) {
    // Two names that every log has, without a copy.
    switch name {
    case "user-agent": setField(ByteView("user-agent"), value)
    case "referer": setField(ByteView("referer"), value)
    default:
      let count = name.utf8.count
      // Names come from the format, not from the line: they have room of their own.
      guard nameBytes + count <= Self.roomForNames else { return }
      nameBytes += count
      let name = written { $0.append(text: name) }
      setField(name, value)
    }
  }

  /// `GET /path HTTP/1.1`; the version may be missing (HTTP/0.9, and logs without it).
  private mutating func setRequest(_ text: ByteView) throws(Defect) {
    guard let space = text.firstIndex(of: ASCII.space), space > 0 else { throw .noRequest }
    record.method = text[0..<space]
    var rest = text.dropping(first: space + 1)
    var last = rest.count
    while last > 0, rest[last - 1] != ASCII.space { last -= 1 }
    if last > 0, rest.dropping(first: last).starts(with: ByteView("HTTP/")) {
      rest = rest[0..<last - 1]
    }
    try setTarget(rest)
  }

  /// A path, or a URL whose host counts more than what stands elsewhere.
  mutating func setTarget(_ text: ByteView) throws(Defect) {
    guard !text.isEmpty else { throw .badTarget }
    hasTarget = true
    if text[0] == ASCII.slash || text == ByteView("*") {
      record.target = text
      return
    }
    guard let colon = text.firstIndex(of: ASCII.colon), colon > 0, colon + 2 < text.count,
      text[colon + 1] == ASCII.slash, text[colon + 2] == ASCII.slash
    else { throw .badTarget }
    record.scheme = text[0..<colon]
    let rest = text.dropping(first: colon + 3)
    var end = 0
    while end < rest.count, rest[end] != ASCII.slash, rest[end] != ASCII.question { end += 1 }
    record.host = rest[0..<end]
    let target = rest.dropping(first: end)
    if target.isEmpty {
      record.target = ByteView("/")
    } else if target[0] == ASCII.question {
      record.target = written { buffer in
        buffer.append(ASCII.slash)
        buffer.append(target)
      }
    } else {
      record.target = target
    }
  }

  /// A trace's key as a path of one segment; one that is a path or a URL already stays one.
  mutating func setKey(_ text: ByteView) {
    if text[0] == ASCII.slash || text.starts(with: ByteView("http")) {
      if (try? setTarget(text)) != nil { return }
    }
    hasTarget = true
    record.target = written { buffer in
      buffer.append(ASCII.slash)
      for index in 0..<text.count { Percent.append(text[index], to: &buffer) }
    }
  }

  /// A trace's key that is a number.
  mutating func setKey(number: UInt64) {
    hasTarget = true
    record.target = written { buffer in
      buffer.append(ASCII.slash)
      buffer.append(decimal: number)
    }
  }

  /// Takes figures that a binary format has.
  mutating func set(time: Int64, responseBytes: Int64) {
    record.time = time
    record.responseBytes = responseBytes
  }

  /// Completes the record and checks that it is a request.
  mutating func finish() throws(Defect) {
    // What else is called a key, or an id, is the request's only where it has no target.
    if !hasTarget, path.isEmpty, !key.isEmpty { setKey(key) }
    if !hasTarget { try joinTarget() }
    if record.host.isEmpty { record.host = serverName }
    guard record.target[0] == ASCII.slash || record.target == ByteView("*") else {
      throw .badTarget
    }
    for index in 0..<record.method.count where !ASCII.isTokenByte(record.method[index]) {
      throw .badMethod
    }
    guard record.method.count <= 32 else { throw .badMethod }
    if let day { record.time = day + (timeOfDay ?? 0) }
  }

  private mutating func joinTarget() throws(Defect) {
    guard !path.isEmpty else { throw .noRequest }
    let (path, query) = (path, query)
    if query.isEmpty {
      try setTarget(path)
    } else {
      try setTarget(
        written { buffer in
          buffer.append(path)
          buffer.append(ASCII.question)
          buffer.append(query)
        })
    }
  }

  private func status(_ text: ByteView) throws(Defect) -> UInt16 {
    guard let number = RecordedTime.digits(text), number < 1_000 else { throw .badNumber }
    return UInt16(number)
  }

  private func number(_ text: ByteView) throws(Defect) -> Int64 {
    guard let number = RecordedTime.digits(text) else { throw .badNumber }
    return number
  }

  /// A duration in nanoseconds, written in units of so many; what follows a point counts, too.
  private func duration(_ text: ByteView, each unit: Int64) throws(Defect) -> Int64 {
    if let whole = RecordedTime.digits(text) {
      let (duration, overflow) = whole.multipliedReportingOverflow(by: unit)
      if overflow { throw .badNumber }
      return duration
    }
    guard let duration = RecordedTime.seconds(text) else { throw .badNumber }
    return duration / (1_000_000_000 / unit)
  }
}

/// Percent-encoding of what must not stand in a path (RFC 3986 §3.3).
enum Percent {
  static func append(_ byte: UInt8, to buffer: inout ByteBuffer) {
    let isPlain =
      ASCII.isDigit(byte) || 0x61...0x7A ~= (byte | 0x20)
      || byte == 0x2D || byte == 0x2E || byte == 0x5F || byte == 0x7E || byte == ASCII.colon
    if isPlain && byte < 0x80 {
      buffer.append(byte)
    } else {
      buffer.append(0x25 as UInt8)
      for digit in [byte >> 4, byte & 15] {
        buffer.append(digit < 10 ? 0x30 + digit : 0x37 + digit)
      }
    }
  }
}
