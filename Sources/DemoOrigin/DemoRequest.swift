internal import Bytes

/// A request as the demo origin sees it. Its reader is tolerant: what a node forwards is for the tests'
/// strict peers to judge.
struct DemoRequest {
  var method = ""
  var target = ""
  var version = ""
  var fields: [(name: String, value: String)] = []
  var trailers: [(name: String, value: String)] = []
  var contentLength = 0
  var contentHash = DemoHash()

  /// The values of the lines of that name (in lower case), joined by commas; nil if there is none.
  func field(_ name: String) -> String? {
    let values = fields.filter { $0.name.lowercased() == name }.map(\.value)
    return values.isEmpty ? nil : values.joined(separator: ", ")
  }

  /// Whether a list field has a member, whatever its case.
  func field(_ name: String, has member: String) -> Bool {
    let members = (field(name) ?? "").lowercased().split(separator: ",")
    return members.contains { trimmed(String($0)) == member }
  }

  /// The path without the query. The scheme and the host of an absolute form are left out.
  var path: String { split.path }

  /// What stands behind the question mark; nil if there is none.
  var query: String? { split.query }

  private var split: (path: String, query: String?) {
    var rest = Substring(target)
    if rest.hasPrefix("http://"), let slash = rest.dropFirst(7).firstIndex(of: "/") {
      rest = rest[slash...]
    }
    guard let mark = rest.firstIndex(of: "?") else { return (String(rest), nil) }
    return (String(rest[..<mark]), String(rest[rest.index(after: mark)...]))
  }

  /// Whether the connection may be used again.
  var keepsAlive: Bool {
    if field("connection", has: "close") { return false }
    return version == "HTTP/1.1" || field("connection", has: "keep-alive")
  }

  /// Whether there is content to read.
  var hasContent: Bool {
    field("transfer-encoding") != nil || (field("content-length") ?? "0") != "0"
  }
}

extension DemoSocket {
  /// Reads a request's head; nil when the client has ended instead.
  func readHead() throws(ConnectionEnd) -> DemoRequest? {
    guard let line = try readLine() else { return nil }
    let parts = line.split(separator: " ").map(String.init)
    guard parts.count == 3, parts[2].hasPrefix("HTTP/1.") else {
      throw .malformed(400, "not a request line")
    }
    var request = DemoRequest(method: parts[0], target: parts[1], version: parts[2])
    request.fields = try readFields()
    return request
  }

  /// Reads the request's content and trailers, counts and hashes it; waits `sip` milliseconds before
  /// each read.
  func readContent(of request: inout DemoRequest, sip: Int) throws(ConnectionEnd) {
    if request.field("transfer-encoding") != nil {
      while let line = try readLine() {
        let digits = line.prefix { $0.isHexDigit }
        guard let size = Int(digits, radix: 16) else { throw .malformed(400, "no chunk size") }
        if size == 0 { break }
        try read(size, of: &request, sip)
        _ = try readLine()
      }
      request.trailers = try readFields()
    } else if let text = request.field("content-length") {
      guard let length = Int(text), length >= 0 else { throw .malformed(400, "no length") }
      try read(length, of: &request, sip)
    }
  }

  private func read(_ count: Int, of request: inout DemoRequest, _ sip: Int) throws(ConnectionEnd) {
    var missing = count
    while missing > 0 {
      try pause(milliseconds: sip)
      let bytes = try read(limit: min(missing, 65_536))
      if bytes.isEmpty { throw .gone }
      request.contentHash.add(bytes)
      request.contentLength += bytes.count
      missing -= bytes.count
    }
  }

  private func readFields() throws(ConnectionEnd) -> [(name: String, value: String)] {
    var fields: [(name: String, value: String)] = []
    while let line = try readLine(), !line.isEmpty {
      guard let colon = line.utf8.firstIndex(of: ASCII.colon), fields.count < 1_000 else {
        throw .malformed(400, "not a field line")
      }
      let value = String(line[line.utf8.index(after: colon)...])
      fields.append((String(line[..<colon]), trimmed(value)))
    }
    return fields
  }
}

/// A text without the white space around it.
func trimmed(_ text: String) -> String {
  let isSpace = { (byte: UInt8) in byte == ASCII.space || byte == ASCII.tab }
  let start = Array(text.utf8).drop(while: isSpace)
  return String(decoding: start.reversed().drop(while: isSpace).reversed(), as: UTF8.self)
}

/// A text with its percent-encoded bytes decoded; nil if what follows a percent sign is not two digits.
func percentDecoded(_ text: Substring) -> [UInt8]? {
  var bytes: [UInt8] = []
  var rest = Array(text.utf8)[...]
  while let byte = rest.popFirst() {
    guard byte == UInt8(ascii: "%") else {
      bytes.append(byte)
      continue
    }
    guard let high = rest.popFirst().flatMap(ASCII.hexValue),
      let low = rest.popFirst().flatMap(ASCII.hexValue)
    else { return nil }
    bytes.append(high << 4 | low)
  }
  return bytes
}
