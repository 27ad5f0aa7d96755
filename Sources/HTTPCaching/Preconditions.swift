// Conditions of a request that is answered from the store (RFC 9110 §13, RFC 9111 §4.3.2).

package import Bytes
package import HTTPMessage

/// What a request's conditions come to.
package enum Precondition: Sendable, Equatable {
  /// There are none that apply, or they hold: answer as if there were none.
  case proceed
  /// Answer 304 (Not Modified).
  case notModified
  /// Answer 412 (Precondition Failed). Only If-None-Match on a method other than GET and HEAD leads
  /// here; a cache answers those two alone, so it does not meet this case.
  case failed
}

/// The rules of RFC 9110 §13.2.2 as far as they are a cache's. Nothing here allocates.
package enum Preconditions {
  /// Whether the request has a condition that only the origin may evaluate: If-Match or
  /// If-Unmodified-Since (RFC 9111 §4.3.2). Such a request is forwarded with its conditions
  /// (`ForwardReason.request`), whatever is stored, and a 412 is not stored.
  package static func requiresForwarding(_ request: RequestHead) -> Bool {
    request.fields.count(of: .ifMatch) > 0 || request.fields.count(of: .ifUnmodifiedSince) > 0
  }

  /// Evaluates If-None-Match, else If-Modified-Since, against a stored response.
  ///
  /// - Parameters:
  ///   - etag: the stored response's ETag.
  ///   - lastModified: its Last-Modified in seconds.
  ///   - date: its Date, or else when it was received, in seconds: stands in for Last-Modified (RFC
  ///     9111 §4.3.2).
  ///   - status: its status; conditions count only where it is 2xx (RFC 9110 §13.2.1).
  ///   - now: milliseconds; tells the century of two-digit years.
  package static func evaluate(
    request: RequestHead, etag: ByteView?, lastModified: Int64?, date: Int64, status: UInt16,
    now: Int64
  ) -> Precondition {
    guard status >= 200, status < 300 else { return .proceed }
    let isRead = request.method == .get || request.method == .head
    if request.fields.count(of: .ifNoneMatch) > 0 {
      guard matches(request, etag: etag) else { return .proceed }
      return isRead ? .notModified : .failed
    }
    // Not a date, or several: ignored (RFC 9110 §13.1.3).
    guard isRead, request.fields.count(of: .ifModifiedSince) == 1,
      let since = request.value(.ifModifiedSince).flatMap({
        HTTPDate.parse($0, now: now.wholeSeconds)
      })
    else { return .proceed }
    return (lastModified ?? date) <= since ? .notModified : .proceed
  }

  /// Whether If-None-Match lists the tag, or is `*` (§13.1.2).
  private static func matches(_ request: RequestHead, etag: ByteView?) -> Bool {
    let stored = etag.map { EntityTag($0) }
    var found = false
    request.fields.forEach(.ifNoneMatch, in: request.bytes) { line in
      var tags = EntityTagList(line)
      while !found, let tag = tags.next() {
        found = tag.opaque == ByteView("*") || stored.map { tag.matchesWeakly($0) } ?? false
      }
    }
    return found
  }
}
