internal import Bytes
internal import HTTP1
internal import HTTPMessage

/// An answer, complete.
struct AdminResponse: Sendable {
  /// The status code.
  var status: UInt16 = 200
  /// `Content-Type`.
  var contentType: String
  /// Further fields: names in lower case, values without line ends.
  var fields: [(name: String, value: String)] = []
  /// The content.
  var content: [UInt8]
  /// What goes on behind the content until the connection ends; nil: nothing.
  var stream: AdminStream?
  /// Whether the content is the beginning of a stream.
  var isStream: Bool { stream != nil }

  /// An answer of plain text.
  static func text(_ text: String) -> AdminResponse {
    AdminResponse(contentType: "text/plain; charset=utf-8", content: Array(text.utf8))
  }

  /// An answer of JSON.
  static func json(_ text: JSONText) -> AdminResponse {
    AdminResponse(contentType: "application/json", content: Array(text.text.utf8))
  }

  /// Appends it as an HTTP/1.1 message.
  ///
  /// - Parameters:
  ///   - wall: the time, in milliseconds since the epoch.
  ///   - connection: the `Connection` field's value.
  ///   - hasContent: false for HEAD: the length is only said.
  func write(to buffer: inout ByteBuffer, wall: Int64, connection: String?, hasContent: Bool) {
    HTTP1Writer.statusLine(status, to: &buffer)
    buffer.append("date: ")
    HTTPDate.append(max(0, wall / 1000), to: &buffer)
    buffer.append("\r\n")
    for field in fields { Self.append(field.name, field.value, to: &buffer) }
    Self.append("content-type", contentType, to: &buffer)
    if !isStream { Self.append("content-length", String(content.count), to: &buffer) }
    // Figures are of the moment, and a browser is not to guess at what a tag looks like.
    Self.append("cache-control", "no-store", to: &buffer)
    Self.append("x-content-type-options", "nosniff", to: &buffer)
    if let connection { Self.append("connection", connection, to: &buffer) }
    buffer.append("\r\n")
    if hasContent { content.withView { buffer.append($0) } }
  }

  private static func append(_ name: String, _ value: String, to buffer: inout ByteBuffer) {
    buffer.append(text: "\(name): \(value)\r\n")
  }
}
