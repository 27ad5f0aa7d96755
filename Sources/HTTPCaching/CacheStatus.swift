// Cache-Status (RFC 9211), a list of structured fields. The node appends a line of its own to those
// that came from the origin, whose members come first as §2 asks.

package import Bytes

/// Writes members of Cache-Status: values only, without the field's name.
package enum CacheStatus {
  /// Appends `node; hit; ttl=30`: answered from the store without going forward.
  ///
  /// `node` is written as a token if it is one, else as a string. `ttlSeconds` is what is left of the
  /// lifetime (`Freshness.ttlSeconds`), negative if the response is stale (§2.4).
  package static func appendHit(
    node: ByteView, ttlSeconds: Int64, detail: StaticString? = nil, to buffer: inout ByteBuffer
  ) {
    append(item: node, to: &buffer)
    buffer.append("; hit")
    append(ttl: ttlSeconds, to: &buffer)
    append(detail: detail, to: &buffer)
  }

  /// Appends `node; fwd=stale; fwd-status=304; stored; collapsed; ttl=60; detail=…`.
  ///
  /// - Parameters:
  ///   - forwardedStatus: what the origin answered, if it is not what the client is sent (§2.3).
  ///   - stored: whether the response was stored (§2.5).
  ///   - collapsed: whether the request waited for another's fill (§2.6).
  ///   - ttl: what is left of the lifetime in seconds (§2.4).
  ///   - detail: why it was not stored, for example (§2.8).
  package static func appendForward(
    node: ByteView, reason: ForwardReason, forwardedStatus: UInt16? = nil, stored: Bool = false,
    collapsed: Bool = false, ttl: Int64? = nil, detail: StaticString? = nil,
    to buffer: inout ByteBuffer
  ) {
    append(item: node, to: &buffer)
    buffer.append("; fwd=")
    buffer.append(reason.name)
    if let forwardedStatus {
      buffer.append("; fwd-status=")
      buffer.append(decimal: UInt64(forwardedStatus))
    }
    if stored { buffer.append("; stored") }
    if collapsed { buffer.append("; collapsed") }
    if let ttl { append(ttl: ttl, to: &buffer) }
    append(detail: detail, to: &buffer)
  }

  /// The greatest integer of a structured field (RFC 9651 §3.3.1).
  private static var greatestInteger: Int64 { 999_999_999_999_999 }

  private static func append(ttl: Int64, to buffer: inout ByteBuffer) {
    buffer.append("; ttl=")
    buffer.append(decimal: Int(min(max(ttl, -greatestInteger), greatestInteger)))
  }

  private static func append(detail: StaticString?, to buffer: inout ByteBuffer) {
    guard let detail else { return }
    buffer.append("; detail=")
    append(item: ByteView(detail), to: &buffer)
  }

  /// A token if the text is one (RFC 9651 §3.3.4), else a string, in which a byte that no string may
  /// hold becomes a question mark.
  private static func append(item text: ByteView, to buffer: inout ByteBuffer) {
    if isToken(text) { return buffer.append(text) }
    buffer.append(ASCII.quote)
    for index in 0..<text.count {
      let byte = text[index]
      if byte == ASCII.quote || byte == ASCII.backslash { buffer.append(ASCII.backslash) }
      buffer.append(byte >= 0x20 && byte < 0x7F ? byte : ASCII.question)
    }
    buffer.append(ASCII.quote)
  }

  private static func isToken(_ text: ByteView) -> Bool {
    guard !text.isEmpty else { return false }
    let first = text[0]
    guard ASCII.lowercase(first) &- 0x61 < 26 || first == 0x2A else { return false }
    for index in 1..<text.count {
      let byte = text[index]
      guard ASCII.isTokenByte(byte) || byte == ASCII.colon || byte == ASCII.slash else {
        return false
      }
    }
    return true
  }
}
