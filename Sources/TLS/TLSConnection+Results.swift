package import EventLoop

extension IOResult {
  /// The same in the words of a system call. An end without a close_notify is no end: what was received
  /// may have been cut short (RFC 9112 §9.8).
  package init(_ result: TLSResult) {
    switch result {
    case .bytes(let count): self = .bytes(count)
    case .wantsRead, .wantsWrite: self = .blocked
    case .end: self = .bytes(0)
    case .failed: self = .failed(.connectionReset)
    }
  }
}

extension TLSResult {
  /// What keeps a handshake from going on.
  var handshakeStop: HandshakeResult? {
    switch self {
    case .wantsWrite: .wantsWrite
    case .wantsRead: .wantsRead
    case .failed(let failure): .failed(failure)
    case .bytes, .end: nil
    }
  }
}
