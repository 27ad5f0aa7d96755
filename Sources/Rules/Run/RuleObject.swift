package import Bytes

/// What a condition over stored objects asks about. Made once for each program and filled anew for each
/// object; host, path, status and field lines stand in the `RuleInput` around it.
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
  /// Whether it has each of `RuleCode.tags`.
  package var hasTag: [Bool] = []

  /// Nothing yet.
  package init() {}
}
