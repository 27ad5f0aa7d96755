package import Bytes

/// What a condition over stored objects, or over lines of the access log, asks about. Made once for each
/// program and filled anew for each; host, path, status and field lines stand in the `RuleInput` around it.
package final class RuleObject {
  /// The URL that the client sent.
  package var url = ByteView()
  /// Its query, without the question mark; nil if it has none.
  package var query: ByteView?
  /// The media type in lower case, without parameters (RFC 9110 §8.3.1).
  package var contentType = ByteView()
  /// What tells it from other variants of its URL.
  package var variant = ByteView()
  /// Bytes of its content.
  package var size: Int64 = 0
  /// How old it is, in nanoseconds.
  package var age: Int64 = 0
  /// Of a line: the method as it was sent, `HTTP/1.1`, and what the line has under these names.
  package var method = ByteView()
  /// See `method`.
  package var protocolName = ByteView()
  /// See `method`.
  package var cacheResult = ByteView()
  /// See `method`.
  package var detail = ByteView()
  /// See `method`.
  package var route = ByteView()
  /// See `method`.
  package var referer = ByteView()
  /// See `method`.
  package var userAgent = ByteView()
  /// Of a line: how long the request took, and the origin to its head (0 if none was asked), nanoseconds.
  package var duration: Int64 = 0
  /// See `duration`.
  package var originDuration: Int64 = 0
  /// Of a line: bytes of content received.
  package var received: Int64 = 0
  /// Whether it has each of `RuleCode.tags`.
  package var hasTag: [Bool] = []

  /// Nothing yet.
  package init() {}
}
