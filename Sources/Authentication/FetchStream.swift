// A connection as `KeyFetch` needs it: blocking, within a deadline, with TLS or without.

internal import Bytes
internal import CLinux
internal import Cryptography
internal import EventLoop

/// A point in time by the system's clock.
struct Deadline {
  private let end: Int64
  private let clock = NodeClock()

  init(milliseconds: Int64) { end = clock.monotonic() &+ milliseconds &* 1_000_000 }

  /// Waits until the socket is ready.
  func wait(_ socket: Int32, _ events: Int16) throws(FetchError) {
    while true {
      let left = (end &- clock.monotonic()) / 1_000_000
      guard left > 0 else { throw .timeout }
      var watched = pollfd(fd: socket, events: events, revents: 0)
      let result = unsafe poll(&watched, 1, Int32(clamping: left))
      if result > 0 { return }
      if result < 0, weir_errno() != EINTR { throw .socket(.current) }
    }
  }
}

/// A connection, with TLS or without, that waits.
struct FetchStream: ~Copyable {
  // In this order: TLS ends before its socket is closed.
  private let tls: TLSClient?
  private let socket: Descriptor
  private let deadline: Deadline

  init(socket: consuming Descriptor, tls: consuming TLSClient?, deadline: Deadline) {
    self.tls = tls
    self.socket = socket
    self.deadline = deadline
  }

  func handshake() throws(FetchError) {
    while let step = tls?.handshake() {
      if try isDone(step) != nil { return }
    }
  }

  func write(_ bytes: ByteView) throws(FetchError) {
    var rest = bytes
    while !rest.isEmpty {
      guard let count = try writeSome(rest) else { continue }
      rest = rest.dropping(first: count)
    }
  }

  private func writeSome(_ bytes: ByteView) throws(FetchError) -> Int? {
    if let step = tls?.write(bytes) { return try isDone(step) }
    let result = socket.send(bytes)
    if let count = result.count { return count }
    guard result.wouldBlock else { throw .socket(result.error ?? Errno(EIO)) }
    try deadline.wait(socket.number, Int16(POLLOUT))
    return nil
  }

  /// Reads some bytes onto the end of a buffer; false at the end of the connection.
  func read(onto buffer: inout ByteBuffer) throws(FetchError) -> Bool {
    while true {
      if let step = tls?.read(onto: &buffer, limit: 16_384) {
        if case .ended = step { return false }
        if try isDone(step) != nil { return true }
        continue
      }
      let result = socket.read(onto: &buffer, limit: 16_384)
      if let count = result.count { return count > 0 }
      guard result.wouldBlock else { throw .socket(result.error ?? Errno(EIO)) }
      try deadline.wait(socket.number, Int16(POLLIN))
    }
  }

  /// How much a step has done; nil after waiting for what it wants.
  private func isDone(_ step: TLSStep) throws(FetchError) -> Int? {
    switch step {
    case .done(let count): return count
    case .wantsRead: try deadline.wait(socket.number, Int16(POLLIN))
    case .wantsWrite: try deadline.wait(socket.number, Int16(POLLOUT))
    case .ended: throw .badResponse("the connection ended")
    case .failed(let failure): throw .tls("\(failure)")
    }
    return nil
  }
}
