internal import Bytes
internal import CLinux
internal import EventLoop
import Synchronization

/// A non-blocking TCP socket whose calls are awaited.
final class PeerSocket: Sendable {
  /// What a read found.
  enum Arrival: Sendable {
    case bytes([UInt8])
    case end
    case reset
  }

  private let descriptor: Mutex<Descriptor?>
  private let number: Int32
  /// Whether asking how a connect went has taken a reset from the socket, which reports it only once.
  private let wasReset = Atomic(false)

  init(owning descriptor: consuming Descriptor) {
    number = descriptor.number
    self.descriptor = Mutex(consume descriptor)
  }

  /// Listens on a free port of 127.0.0.1.
  static func listen(port: UInt16) throws(PeerFailure) -> (socket: PeerSocket, port: UInt16) {
    do throws(Errno) {
      let loopback = SocketAddress(high: 0, low: 0xFFFF_7F00_0001, port: port)
      let listener = try Socket.listen(on: loopback, shared: false)
      let bound = Socket.localAddress(of: listener)?.port ?? port
      return (PeerSocket(owning: listener), bound)
    } catch {
      throw PeerFailure(.system, "listening on port \(port): \(error)")
    }
  }

  /// Connects to a port of this machine. `from` chooses the client's own address; a small
  /// `receiveBuffer` makes a slow reader of it.
  static func connect(
    to address: SocketAddress, from: SocketAddress?, receiveBuffer: Int?
  ) async throws(PeerFailure) -> PeerSocket {
    let number = socket(
      address.isIPv4 ? AF_INET : AF_INET6,
      Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard number >= 0 else { throw PeerFailure(.system, "opening a socket: \(Errno.current)") }
    let peer = PeerSocket(owning: Descriptor(owning: number))
    if let receiveBuffer {
      peer.set(SOL_SOCKET, SO_RCVBUF, Int32(clamping: receiveBuffer))
    }
    peer.set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    if let from, unsafe from.withKernel({ unsafe bind(number, $0, $1) }) != 0 {
      throw PeerFailure(.system, "binding to \(from): \(Errno.current)")
    }
    if unsafe address.withKernel({ unsafe CLinux.connect(number, $0, $1) }) != 0 {
      guard weir_errno() == EINPROGRESS else {
        throw PeerFailure(.system, "connecting to \(address): \(Errno.current)")
      }
      try await peer.wait(POLLOUT, "connecting to \(address)")
      if let error = peer.socketError() {
        // Connected, and reset since: that is for the next read to say.
        if error.code == ECONNRESET {
          peer.wasReset.store(true, ordering: .relaxed)
        } else {
          throw PeerFailure(.system, "connecting to \(address): \(error)")
        }
      }
    }
    return peer
  }

  /// Takes the next connection; nil when there is none.
  func accept() throws(PeerFailure) -> PeerSocket? {
    let taken = withDescriptor { listener -> (number: Int32, error: Errno) in
      let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
      return (accept4(listener.number, nil, nil, flags), .current)
    }
    guard let taken else { throw PeerFailure(.ended, "accepting on a closed socket") }
    if taken.number >= 0 {
      let connection = PeerSocket(owning: Descriptor(owning: taken.number))
      connection.set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
      return connection
    }
    if [EAGAIN, EINTR, ECONNABORTED].contains(taken.error.code) { return nil }
    throw PeerFailure(.system, "accepting: \(taken.error)")
  }

  /// Waits, without a deadline, until there is something to read (true), or `watched` is as `condition`
  /// wants it (false).
  func waitToRead<Value>(
    orUntil watched: Watched<Value>, _ condition: @Sendable (Value) -> Bool
  ) async throws(PeerFailure) -> Bool {
    while true {
      guard let ticket = watched.look(condition).1 else { return false }
      let outcome = await WaitingRoom.shared.wait(
        ticket, descriptor: number, events: Int16(POLLIN), until: .never)
      if outcome == .cancelled { throw PeerFailure(.cancelled, "while resting") }
      if isReadable { return true }
    }
  }

  private var isReadable: Bool {
    var state = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&state, 1, 0) > 0
  }

  /// What is there to read now; nil when there is nothing yet.
  func readAvailable(limit: Int, _ doing: String) throws(PeerFailure) -> Arrival? {
    if wasReset.load(ordering: .relaxed) { return .reset }
    var bytes: [UInt8] = []
    let result = withDescriptor { open in
      var result: IOResult?
      bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit) { free, count in
        let read = unsafe open.read(into: UnsafeMutableRawBufferPointer(free))
        count = read.count ?? 0
        result = read
      }
      return result
    }
    guard let result, let result else { throw PeerFailure(.ended, "\(doing): closed by itself") }
    if result.wouldBlock { return nil }
    if let error = result.error {
      if error.code == ECONNRESET { return .reset }
      throw PeerFailure(.system, "\(doing): \(error)")
    }
    return result.isEnd ? .end : .bytes(bytes)
  }

  /// Reads at most `limit` bytes, once there are any.
  func read(limit: Int = 65_536, _ doing: String) async throws(PeerFailure) -> Arrival {
    while true {
      if let arrival = try readAvailable(limit: limit, doing) { return arrival }
      try await wait(POLLIN, doing)
    }
  }

  /// Writes everything; each wait for room has the kit's patience.
  func write(_ bytes: [UInt8], _ doing: String) async throws(PeerFailure) {
    var sent = 0
    while sent < bytes.count {
      let result = withDescriptor { open in
        bytes.withView { open.send($0.dropping(first: sent)) }
      }
      guard let result else { throw PeerFailure(.ended, "\(doing): closed by itself") }
      if let count = result.count {
        sent += count
      } else if result.wouldBlock {
        try await wait(POLLOUT, "\(doing), \(sent) of \(bytes.count) bytes written")
      } else {
        throw PeerFailure(
          .reset, "\(doing), \(sent) of \(bytes.count) bytes written: \(result.error ?? .current)")
      }
    }
  }

  /// Ends the sending side.
  func shutdownSending() { withDescriptor { $0.shutdownSending() } }

  /// Closes; whoever waits for the socket sees its end.
  func close() {
    WaitingRoom.shared.abandon(descriptor: number)
    descriptor.withLock { $0 = nil }
  }

  /// Closes with a reset.
  func reset() {
    withDescriptor { $0.resetOnClose() }
    close()
  }

  /// The port at this end.
  var localPort: UInt16 { withDescriptor { Socket.localAddress(of: $0)?.port ?? 0 } ?? 0 }

  /// Waits for the socket to be readable or writable, within the kit's patience.
  func wait(_ events: Int32, _ doing: String) async throws(PeerFailure) {
    let outcome = await WaitingRoom.shared.wait(
      for: number, events: events, until: WaitingRoom.patience())
    switch outcome {
    case .ready: return
    case .timedOut: throw PeerFailure(.timedOut, doing)
    case .cancelled: throw PeerFailure(.cancelled, doing)
    }
  }

  /// Runs a call that does not block on the open descriptor; nil when it is closed.
  @discardableResult
  private func withDescriptor<Result>(_ body: (borrowing Descriptor) -> Result) -> Result? {
    descriptor.withLock { held in
      guard let open = held.take() else { return nil }
      let result = body(open)
      held = consume open
      return result
    }
  }

  private func socketError() -> Errno? { withDescriptor { $0.socketError() } ?? nil }

  private func set(_ level: Int32, _ name: Int32, _ value: Int32) {
    var value = value
    withDescriptor {
      _ = unsafe setsockopt($0.number, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }
  }
}

extension SocketAddress {
  /// Calls `body` with the kernel's form of the address; the kit speaks IPv4 and IPv6.
  fileprivate func withKernel(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    if isIPv4 {
      var four = sockaddr_in()
      four.sin_family = sa_family_t(AF_INET)
      four.sin_port = port.bigEndian
      four.sin_addr.s_addr = UInt32(truncatingIfNeeded: low).bigEndian
      return unsafe withUnsafePointer(to: &four) {
        unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    }
    var six = sockaddr_in6()
    six.sin6_family = sa_family_t(AF_INET6)
    six.sin6_port = port.bigEndian
    unsafe withUnsafeMutableBytes(of: &six.sin6_addr) {
      unsafe $0.storeBytes(of: high.bigEndian, as: UInt64.self)
      unsafe $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
    }
    return unsafe withUnsafePointer(to: &six) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
      }
    }
  }
}
