// What must not be read in a log: values of parameters that let whoever reads them do what the client may
// (tokens, keys, signatures of signed URLs), and what rules log of credentials. The value becomes `***`,
// its name stays. Names are compared as the origin will read them: without their percent-encoding, and in
// any case.

internal import Bytes

/// Which values are left out of lines.
package struct LogRedaction: Sendable, Equatable {
  /// Lower-case names of query parameters.
  private let names: [[UInt8]]

  /// Nothing is left out.
  package static let none = LogRedaction(names: [])

  /// The usual names, and further ones.
  package static func usual(and further: [String] = []) -> LogRedaction {
    LogRedaction(names: (usualNames + further).map { Array($0.lowercased().utf8) })
  }

  /// Parameters whose values are left out: of OAuth (RFC 6749, RFC 6750), of the URLs that clouds and CDNs
  /// sign, and what such things are commonly called.
  package static let usualNames = [
    "access_token", "refresh_token", "id_token", "token", "auth", "authorization", "api_key",
    "apikey", "api-key", "key", "code", "password", "passwd", "pwd", "pass", "secret",
    "client_secret", "signature", "sig", "hmac", "jwt", "session", "session_id", "sessionid", "sid",
    "ticket", "otp", "x-amz-signature", "x-amz-credential", "x-amz-security-token",
    "x-goog-signature", "x-goog-credential", "awsaccesskeyid", "googleaccessid", "policy",
    "key-pair-id", "hdnts", "hdnea", "urlsignature",
  ]

  /// These names and no others.
  package static func only(_ names: [String]) -> LogRedaction {
    LogRedaction(names: names.map { Array($0.lowercased().utf8) })
  }

  private init(names: [[UInt8]]) { self.names = names }

  /// What stands in place of a value.
  static let mark: StaticString = "***"

  /// Writes a target or a referer with the values left out into `buffer`, which is returned; the text
  /// itself, if there are none.
  func apply(_ text: ByteView, _ buffer: inout ByteBuffer) -> ByteView {
    guard !names.isEmpty, let mark = text.firstIndex(of: UInt8(ascii: "?"), from: 0) else {
      return text
    }
    buffer.removeAll()
    var copied = 0
    var start = mark + 1
    while start < text.count {
      var end = start
      var equals = -1
      while end < text.count, !Self.endsParameter(text[end]) {
        if equals < 0, text[end] == UInt8(ascii: "=") { equals = end }
        end += 1
      }
      if equals >= 0, equals + 1 < end, isSecret(text[start..<equals]) {
        buffer.append(text[copied..<equals + 1])
        buffer.append(Self.mark)
        copied = end
      }
      start = end + 1
    }
    if copied == 0 { return text }
    buffer.append(text[copied..<text.count])
    return buffer.view
  }

  private static func endsParameter(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "&") || byte == UInt8(ascii: ";") || byte == UInt8(ascii: "#")
  }

  private func isSecret(_ name: ByteView) -> Bool { names.contains { Self.names(name, $0) } }

  /// Whether a name as it was sent is `plain`, which is in lower case.
  private static func names(_ name: ByteView, _ plain: [UInt8]) -> Bool {
    var place = 0
    var index = 0
    while index < name.count {
      var byte = name[index]
      index += 1
      if byte == UInt8(ascii: "%"), index + 1 < name.count,
        let high = ASCII.hexValue(name[index]), let low = ASCII.hexValue(name[index + 1])
      {
        byte = UInt8(high) << 4 | UInt8(low)
        index += 2
      }
      guard place < plain.count, ASCII.lowercase(byte) == plain[place] else { return false }
      place += 1
    }
    return place == plain.count
  }

  /// Whether what a rule logs under a name is a credential, by its name or by how it begins.
  func hidesMember(_ name: ByteView, _ value: ByteView) -> Bool {
    if names.isEmpty { return false }
    let lower = String(decoding: name.array.map { ASCII.lowercase($0) }, as: UTF8.self)
    let words = ["authorization", "cookie", "token", "secret", "password", "signature"]
    if words.contains(where: { Self.contains(lower, $0) }) { return true }
    let start = String(
      decoding: value.prefix(7).array.map { ASCII.lowercase($0) }, as: UTF8.self)
    return start.hasPrefix("bearer ") || start.hasPrefix("basic ") || isSecret(name)
  }

  private static func contains(_ text: String, _ part: String) -> Bool {
    let bytes = Array(text.utf8)
    let wanted = Array(part.utf8)
    guard bytes.count >= wanted.count else { return false }
    return (0...bytes.count - wanted.count).contains { bytes[$0...].starts(with: wanted) }
  }
}
