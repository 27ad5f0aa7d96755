// What calls of a connection come to, and what a socket may begin with.

internal import CLinux
internal import COpenSSL
package import EventLoop

/// What came of a call that reads or writes.
package enum TLSResult: Equatable, Sendable {
  /// That many bytes, at least one (or none, if none were offered).
  case bytes(Int)
  /// Nothing before the socket is readable.
  case wantsRead
  /// Nothing before the socket is writable.
  case wantsWrite
  /// The peer has ended its side with a close_notify.
  case end
  /// The connection is beyond use.
  case failed(TLSFailure)

  /// How many bytes; nil if it is not about bytes.
  package var count: Int? {
    if case .bytes(let count) = self { return count }
    return nil
  }

  /// The same as of a plain socket. A peer that is cut off without a close_notify has ended: what HTTP
  /// carries says itself where it ends.
  package var outcome: IOResult {
    switch self {
    case .bytes(let count): .bytes(count)
    case .wantsRead, .wantsWrite: .blocked
    case .end: .bytes(0)
    case .failed(let failure): failure.reason == .truncated ? .bytes(0) : .failed(.connectionReset)
    }
  }

  /// Whether it is to be tried again after an event.
  package var wouldBlock: Bool {
    switch self {
    case .wantsRead, .wantsWrite: true
    case .bytes, .end, .failed: false
    }
  }
}

/// How far a handshake is.
package enum HandshakeResult: Equatable, Sendable {
  /// Both sides have agreed; bytes may go both ways.
  case done
  /// Not before the socket is readable.
  case wantsRead
  /// Not before the socket is writable.
  case wantsWrite
  /// The client has sent early data (only where the configuration lets it): `receive` hands it out and
  /// `send` may answer it; then `handshake()` is called again. It may be a replay.
  case earlyData
  /// The connection is beyond use.
  case failed(TLSFailure)
}

/// What stands at the front of a socket on which a client is to speak first.
package enum HelloArrival: Equatable, Sendable {
  /// Less than a whole record: wait for the next event.
  case incomplete
  /// A record that may be a ClientHello: make the connection.
  case complete
  /// Something that no TLS client begins with, such as a plain HTTP request.
  case notTLS
  /// The client has gone.
  case end

  /// The most bytes that a record with a hello may have, with its head.
  package static var longest: Int { 5 + 16_384 }

  /// Looks without taking anything. Half-open connections cost the kernel's memory only, and a client
  /// that sends its hello byte by byte waits here.
  package static func look(at socket: borrowing Descriptor) -> HelloArrival {
    var head: (UInt8, UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0, 0)
    // Safe: the kernel writes at most five bytes.
    let count = unsafe withUnsafeMutableBytes(of: &head) {
      unsafe recv(socket.number, $0.baseAddress, $0.count, Int32(MSG_PEEK))
    }
    if count == 0 { return .end }
    if count < 0 { return weir_errno() == EAGAIN || weir_errno() == EINTR ? .incomplete : .end }
    // Handshake, and the major version of all of TLS.
    guard head.0 == 22, count < 2 || head.1 == 3 else { return .notTLS }
    guard count == 5 else { return .incomplete }
    let length = Int(head.3) << 8 | Int(head.4)
    guard (4...16_384).contains(length) else { return .notTLS }
    var available: Int32 = 0
    guard unsafe weir_ioctl_int(socket.number, UInt(FIONREAD), &available) == 0 else { return .end }
    return Int(available) >= 5 + length ? .complete : .incomplete
  }
}
