package import DemoOrigin
internal import FoundationEssentials

/// A field line as it stood in a message: the name as it was written, the value without the white
/// space around it.
package struct PeerField: Sendable, Equatable, CustomStringConvertible {
  /// The name, in the sender's case.
  package var name: String
  /// The value; bytes that are not UTF-8 are replaced.
  package var value: String

  /// A field line.
  package init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }

  /// `Name: value`.
  package var description: String { "\(name): \(value)" }
}

extension [PeerField] {
  /// The values of the lines of that name, in order.
  package func values(of name: String) -> [String] {
    filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
  }

  /// The field's value, its lines joined by commas (RFC 9110 §5.3); nil if there is none.
  package func value(of name: String) -> String? {
    let values = values(of: name)
    return values.isEmpty ? nil : values.joined(separator: ", ")
  }
}

/// How the end of a message's content was known.
package enum Framing: Sendable, Equatable {
  /// There is no content: HEAD, 1xx, 204, 304, or a request without any.
  case none
  /// Content-Length, of that many bytes.
  case length(Int)
  /// The chunked transfer coding.
  case chunked
  /// The end of the connection.
  case close
}

/// What becomes of content that is read.
package enum ContentPolicy: Sendable {
  /// It is kept.
  case keep
  /// It is counted and dropped: for more than a test wants to hold.
  case discard
  /// It is compared with what the demo origin serves, and dropped; a difference is a failure.
  case verify(DemoContent)
}

/// A request that a scripted origin has read.
package struct PeerRequest: Sendable {
  /// The method.
  package var method: String
  /// The request target, as it was sent.
  package var target: String
  /// `HTTP/1.1`.
  package var version: String
  /// The field lines in order.
  package var fields: [PeerField]
  /// How the content ended.
  package var framing: Framing
  /// The content, as far as it was kept.
  package var body: [UInt8] = []
  /// How long the content was.
  package var bodyLength = 0
  /// The trailer fields in order.
  package var trailers: [PeerField] = []
  /// Which connection brought it; the first is 0.
  package var connection = 0

  /// The value of a field, its lines joined by commas; nil if there is none.
  package func header(_ name: String) -> String? { fields.value(of: name) }
  /// The values of a field's lines, in order.
  package func headers(_ name: String) -> [String] { fields.values(of: name) }
  /// The content as text.
  package var text: String { String(decoding: body, as: UTF8.self) }
}

/// A response that a raw client has read.
package struct PeerResponse: Sendable {
  /// `HTTP/1.1`.
  package var version: String
  /// The status code.
  package var status: Int
  /// The reason phrase.
  package var reason: String
  /// The field lines in order.
  package var fields: [PeerField]
  /// How the content ended.
  package var framing: Framing = .none
  /// The content, as far as it was kept.
  package var body: [UInt8] = []
  /// How long the content was.
  package var bodyLength = 0
  /// The trailer fields in order.
  package var trailers: [PeerField] = []
  /// The 1xx responses that came before, in order.
  package var interim: [PeerResponse] = []

  /// The value of a field, its lines joined by commas; nil if there is none.
  package func header(_ name: String) -> String? { fields.value(of: name) }
  /// The values of a field's lines, in order.
  package func headers(_ name: String) -> [String] { fields.values(of: name) }
  /// The content as text.
  package var text: String { String(decoding: body, as: UTF8.self) }
  /// The content as JSON.
  package func json() throws -> JSONValue {
    try JSONDecoder().decode(JSONValue.self, from: Data(body))
  }
}
