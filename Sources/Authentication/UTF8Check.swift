internal import Bytes

extension ByteView {
  /// Whether the bytes are UTF-8 (RFC 3629).
  var isUTF8: Bool {
    do {
      _ = try UTF8Span(validating: span)
      return true
    } catch {
      return false
    }
  }
}
