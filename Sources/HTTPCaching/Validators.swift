// Validators (RFC 9110 §8.8): of responses as they come, and of stored ones.

package import Bytes
package import HTTPMessage

/// Reads validators, makes conditions of them, and tells which stored response a 304 means.
package enum Validators {
  /// Whether an ETag's value is a strong validator: well formed and not marked as weak.
  package static func isStrong(etag: ByteView) -> Bool { EntityTag(etag).isStrong }

  /// Whether a Last-Modified is a strong validator in a cache: it is at least one second before the
  /// Date of the same response (RFC 9110 §8.8.2.2), so that no later change in that second can have
  /// gone unseen. Both in seconds since the epoch.
  package static func isStrong(lastModified: Int64, date: Int64) -> Bool { lastModified < date }

  /// Whether two ETag values are the same by weak comparison (RFC 9110 §8.8.3.2).
  package static func matchWeakly(_ left: ByteView, _ right: ByteView) -> Bool {
    EntityTag(left).matchesWeakly(EntityTag(right))
  }

  /// Whether two ETag values are the same by strong comparison (RFC 9110 §8.8.3.2).
  package static func matchStrongly(_ left: ByteView, _ right: ByteView) -> Bool {
    EntityTag(left).matchesStrongly(EntityTag(right))
  }

  /// Where the value of `etag` is in stored lines; nil if there is none or it is empty.
  package static func etag(of lines: ByteView) -> Range<Int>? { value("etag", of: lines) }

  /// Where the value of `last-modified` is in stored lines.
  package static func lastModified(of lines: ByteView) -> Range<Int>? {
    value("last-modified", of: lines)
  }

  /// When a stored response was made, seconds since the epoch: its Date, or else when it was received
  /// (RFC 9110 §8.8.2.2, RFC 9111 §4.3.2). `received` is in milliseconds.
  package static func date(of lines: ByteView, received: Int64) -> Int64 {
    value("date", of: lines).flatMap { seconds(lines[$0], now: received / 1000) }
      ?? received / 1000
  }

  /// A date's value in seconds since the epoch, or nil if it is none. `now`, in milliseconds, tells
  /// the century of two-digit years.
  package static func seconds(_ date: ByteView, now: Int64) -> Int64? {
    HTTPDate.parse(date, now: now.wholeSeconds)
  }

  /// Whether a response has an ETag, or a Last-Modified that is a date.
  package static func hasValidator(_ response: ResponseHead) -> Bool {
    if let etag = response.value(.etag), !etag.isEmpty { return true }
    return response.value(.lastModified).flatMap { HTTPDate.parse($0, now: 0) } != nil
  }

  /// Appends the lines that make a request a validation of one stored response (RFC 9111 §4.3.1):
  /// `if-none-match` and `if-modified-since`, each if there is a value. The request's own conditions
  /// must be left out (`RequestFieldOmissions.conditions`).
  package static func appendConditions(
    etag: ByteView?, lastModified: ByteView?, to buffer: inout ByteBuffer
  ) {
    if let etag { appendLine("if-none-match: ", etag, to: &buffer) }
    if let lastModified { appendLine("if-modified-since: ", lastModified, to: &buffer) }
  }

  /// Whether a 304 to a validation with a stored response's validators is about that response, so
  /// that it is updated and reused (RFC 9111 §4.3.4). If not, the request is sent again without
  /// conditions.
  ///
  /// A strong tag must be the stored one; a weak tag, and a date, must correspond. A 304 without any
  /// validator can only mean the one response that was nominated: the caller must not ask if the
  /// conditions it sent were the client's.
  package static func selects(
    _ notModified: ResponseHead, storedETag: ByteView?, storedLastModified: ByteView?
  ) -> Bool {
    let stored = storedETag.map { EntityTag($0) }
    if let tag = notModified.value(.etag).map({ EntityTag($0) }), !tag.opaque.isEmpty {
      if tag.isStrong { return stored.map { tag.matchesStrongly($0) } ?? false }
      if let stored { return tag.matchesWeakly(stored) }
    }
    guard let date = notModified.value(.lastModified) else { return true }
    // Dates are compared as bytes, as an origin server may (RFC 9110 §13.1.3). A stored response
    // that has only a tag is not contradicted by a date.
    return storedLastModified.map { $0 == date } ?? (stored != nil)
  }

  private static func value(_ name: StaticString, of lines: ByteView) -> Range<Int>? {
    var iterator = StoredLines(lines)
    while let line = iterator.next() {
      if lines[line.name].equalsIgnoringCase(ByteView(name)) {
        return line.value.isEmpty ? nil : line.value
      }
    }
    return nil
  }

  private static func appendLine(
    _ name: StaticString, _ value: ByteView, to buffer: inout ByteBuffer
  ) {
    buffer.append(name)
    buffer.append(value)
    buffer.append("\r\n")
  }
}
