/// What went wrong for a scripted peer, in words that say what it was doing.
package struct PeerFailure: Error, Sendable, CustomStringConvertible {
  /// What kind of thing went wrong.
  package enum Kind: Sendable, Equatable {
    /// Nothing happened within the kit's patience.
    case timedOut
    /// The other side ended the connection where more was expected.
    case ended
    /// The other side reset the connection.
    case reset
    /// The bytes that came are not the message that they should be.
    case malformed
    /// Something came that was not expected, or not what was expected.
    case unexpected
    /// The test ended, or the origin was asked to finish, while the peer was waiting.
    case cancelled
    /// The system refused a call.
    case system
  }

  /// What kind of thing went wrong.
  package let kind: Kind
  /// What the peer was doing, and what it saw.
  package let message: String

  /// A failure.
  package init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  /// The kind and the message.
  package var description: String { "\(kind): \(message)" }
}

/// How long the kit waits for anything before it says that it hangs. No test asserts it. It passes only
/// while the scripts get to run: a machine that is busy with other tests makes nobody late.
package enum Patience {
  /// Nanoseconds.
  package static let nanoseconds: Int64 = 30_000_000_000
}
