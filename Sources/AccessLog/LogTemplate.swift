// A line as an operator writes it: text, and fields by name, `$name` or `${name}`. `$$` is a dollar sign.
// Names are those of the JSON line, and nginx's for the same things, so that a format may be taken over.
// Values are written as in the combined format: what is not printable ASCII, quotes and backslashes as
// `\xHH`; `-` for what there is not.

internal import Bytes

/// A format of lines, read once.
package struct LogTemplate: Sendable, Equatable {
  /// What a line can say of a request.
  package enum Field: String, CaseIterable, Sendable {
    case time, timeLocal = "time_local", seconds
    case client, clientPort = "client_port", method, host, target, path, query, request, `protocol`
    case status, bytesSent = "bytes_sent", bytesReceived = "bytes_received"
    case durationUs = "duration_us", duration, originUs = "origin_us", origin
    case cache, detail, route, referer, userAgent = "user_agent"
  }

  enum Part: Sendable, Equatable {
    case text([UInt8])
    case field(Field)
    /// What rules log under a name.
    case member([UInt8])
  }

  let parts: [Part]

  /// Why a text is no format.
  package enum Defect: Error, Equatable, Sendable, CustomStringConvertible {
    /// There is no field of that name.
    case unknown(String)
    /// A `${` that no `}` ends, or a `$` that no name follows.
    case unfinished
    /// Nothing, a line's end, or more than 4,096 bytes.
    case length

    /// In a few words.
    package var description: String {
      switch self {
      case .unknown(let name): "there is no field \"\(name)\""
      case .unfinished: "a \"$\" needs a name behind it, such as ${status}; \"$$\" is a dollar sign"
      case .length: "a format has 1 to 4096 bytes, and no line end"
      }
    }
  }

  /// nginx's names for the same things.
  package static let aliases: [String: Field] = [
    "time_iso8601": .time, "msec": .seconds, "remote_addr": .client, "remote_port": .clientPort,
    "request_method": .method, "http_host": .host, "request_uri": .target, "uri": .path,
    "args": .query, "query_string": .query, "server_protocol": .protocol,
    "body_bytes_sent": .bytesSent, "request_time": .duration, "upstream_response_time": .origin,
    "upstream_cache_status": .cache, "http_referer": .referer, "http_user_agent": .userAgent,
  ]

  /// All names, for messages and documents; what rules log is `log.NAME`.
  package static var names: [String] { Field.allCases.map(\.rawValue) + aliases.keys.sorted() }

  /// The field of a name; nil if there is none.
  package static func field(_ name: String) -> Field? { Field(rawValue: name) ?? aliases[name] }

  /// Reads a format.
  package init(_ text: String) throws(Defect) {
    guard (1...4096).contains(text.utf8.count),
      !text.utf8.contains(where: { $0 == ASCII.lf || $0 == ASCII.cr || $0 == 0 })
    else { throw .length }
    var parts: [Part] = []
    var plain: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "$") else {
        plain.append(byte)
        continue
      }
      if rest.first == UInt8(ascii: "$") {
        rest = rest.dropFirst()
        plain.append(byte)
        continue
      }
      if !plain.isEmpty { parts.append(.text(plain)) }
      plain = []
      parts.append(try Self.part(&rest))
    }
    if !plain.isEmpty { parts.append(.text(plain)) }
    self.parts = parts
  }

  private static func part(_ rest: inout ArraySlice<UInt8>) throws(Defect) -> Part {
    let name: ArraySlice<UInt8>
    if rest.first == UInt8(ascii: "{") {
      guard let end = rest.firstIndex(of: UInt8(ascii: "}")) else { throw .unfinished }
      name = rest[(rest.startIndex + 1)..<end]
      rest = rest[(end + 1)...]
    } else {
      name = rest.prefix { isNameByte($0) }
      rest = rest.dropFirst(name.count)
    }
    let text = String(decoding: name, as: UTF8.self)
    if text.isEmpty { throw .unfinished }
    if text.hasPrefix("log."), text.utf8.count > 4 { return .member(Array(text.utf8.dropFirst(4))) }
    guard let field = field(text) else { throw .unknown(text) }
    return .field(field)
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x5F, 0x61...0x7A: true
    default: false
    }
  }
}
