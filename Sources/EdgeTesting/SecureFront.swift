// A scripted origin behind TLS: what a connection says is deciphered, passed to the origin's own port, and
// back. So every script that works without TLS works with it.

internal import Bytes
internal import CLinux
internal import EventLoop
import Synchronization
package import TLS

/// See the top of this file. A thread of its own for each connection; only for a few of them.
package final class SecureFront: Sendable {
  /// What was seen of handshakes.
  package struct Seen: Sendable {
    /// Connections that were accepted.
    package var connections = 0
    /// Handshakes that came to an end.
    package var handshakes = 0
    /// Of them those that resumed a session.
    package var resumed = 0
    /// Those that failed.
    package var failures = 0
    /// The names that were asked for.
    package var names: [String?] = []
    /// The subjects of certificates that were shown.
    package var clients: [String?] = []
    /// What ended connections: whether with a close_notify.
    package var closed = 0
  }

  /// Where it listens, on 127.0.0.1.
  package let port: UInt16
  /// What has been seen.
  package let seen = Watched(Seen())
  private let context: ServerTLSContext
  private let listener: Listener
  private let origin: UInt16
  private let isStopping = Atomic<Bool>(false)
  private let isAbrupt = Atomic<Bool>(false)

  /// Whether connections end without a close_notify.
  package var endsAbruptly: Bool {
    get { isAbrupt.load(ordering: .relaxed) }
    set { isAbrupt.store(newValue, ordering: .relaxed) }
  }

  /// Listens before an origin.
  package init(
    before origin: UInt16, _ configuration: ServerTLSConfiguration
  ) throws {
    guard let ring = TicketKeyRing() else {
      throw PeerFailure(.system, "making keys for tickets")
    }
    var configuration = configuration
    configuration.applicationProtocols = [.http1]
    context = try ServerTLSContext(configuration, tickets: ring, now: Int64(time(nil)))
    self.origin = origin
    let loopback = SocketAddress(high: 0, low: 0xFFFF_7F00_0001, port: 0)
    do throws(Errno) {
      listener = Listener(try Socket.listen(on: loopback, shared: false))
    } catch {
      throw PeerFailure(.system, "listening: \(error)")
    }
    port = Socket.localAddress(of: listener.socket)?.port ?? 0
    _ = LoopThread(name: "test-tls") { [weak self] in
      while let front = self, !front.isStopping.load(ordering: .relaxed) {
        front.accept()
      }
    }
  }

  deinit { isStopping.store(true, ordering: .relaxed) }

  private func accept() {
    guard Self.wait(listener.socket.number, POLLIN, milliseconds: 50) else { return }
    var address = SocketAddress(high: 0, low: 0, port: 0)
    guard let socket = try? Socket.accept(from: listener.socket, address: &address) else { return }
    seen.update { $0.connections += 1 }
    let held = Mutex<Descriptor?>(socket)
    _ = LoopThread(name: "test-tls-relay") { [self] in
      if let socket = held.withLock({ $0.take() }) { relay(socket) }
    }
  }

  private func relay(_ socket: consuming Descriptor) {
    let socket = consume socket
    guard var tls = context.accept(on: socket), handshake(&tls, socket) else {
      seen.update { $0.failures += 1 }
      return
    }
    let isResumed = tls.isResumed
    let name = tls.serverName
    let client = tls.peerCertificate?.subject
    seen.update { seen in
      seen.handshakes += 1
      if isResumed { seen.resumed += 1 }
      seen.names.append(name)
      seen.clients.append(client)
    }
    let address = SocketAddress(high: 0, low: 0xFFFF_7F00_0001, port: origin)
    guard let plain = try? Socket.connect(to: address),
      Self.wait(plain.number, POLLOUT, milliseconds: 10_000)
    else { return }
    pump(&tls, socket, plain)
  }

  private func handshake(_ tls: inout TLSConnection, _ socket: borrowing Descriptor) -> Bool {
    while true {
      switch tls.handshake() {
      case .done: return true
      case .wantsRead, .earlyData:
        guard Self.wait(socket.number, POLLIN, milliseconds: 10_000) else { return false }
      case .wantsWrite:
        guard Self.wait(socket.number, POLLOUT, milliseconds: 10_000) else { return false }
      case .failed: return false
      }
    }
  }

  /// Moves bytes both ways until one side ends.
  private func pump(
    _ tls: inout TLSConnection, _ socket: borrowing Descriptor, _ plain: borrowing Descriptor
  ) {
    var buffer = ByteBuffer()
    while !isStopping.load(ordering: .relaxed) {
      buffer.removeAll()
      switch tls.receive(onto: &buffer, limit: 64 << 10) {
      case .bytes: guard Self.write(buffer.view, to: plain) else { return }
      case .wantsRead, .wantsWrite: break
      case .end:
        seen.update { $0.closed += 1 }
        return
      case .failed: return
      }
      buffer.removeAll()
      let result = plain.receive(onto: &buffer, limit: 64 << 10)
      if let count = result.count {
        if count == 0 {
          if !endsAbruptly { _ = tls.sendCloseNotify() }
          return
        }
        guard write(buffer.view, to: &tls, socket) else { return }
      } else if !result.wouldBlock {
        // The origin reset its connection, and so does its front.
        socket.resetOnClose()
        return
      }
      Self.waitForEither(socket.number, plain.number)
    }
  }

  private func write(
    _ bytes: ByteView, to tls: inout TLSConnection, _ socket: borrowing Descriptor
  ) -> Bool {
    var sent = 0
    while sent < bytes.count || tls.hasUnsent {
      let result = sent < bytes.count ? tls.send(bytes.dropping(first: sent), now: 0) : tls.flush()
      if let count = result.count {
        sent += count
        if sent < bytes.count || !tls.hasUnsent { continue }
      } else if !result.wouldBlock {
        return false
      }
      guard Self.wait(socket.number, POLLOUT, milliseconds: 10_000) else { return false }
    }
    return true
  }

  private static func write(_ bytes: ByteView, to socket: borrowing Descriptor) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let result = socket.send(bytes.dropping(first: sent))
      if let count = result.count {
        sent += count
      } else if !result.wouldBlock || !wait(socket.number, POLLOUT, milliseconds: 10_000) {
        return false
      }
    }
    return true
  }

  private static func wait(_ number: Int32, _ events: Int32, milliseconds: Int32) -> Bool {
    var state = pollfd(fd: number, events: Int16(events), revents: 0)
    return unsafe poll(&state, 1, milliseconds) > 0
  }

  private static func waitForEither(_ first: Int32, _ second: Int32) {
    var states = [
      pollfd(fd: first, events: Int16(POLLIN), revents: 0),
      pollfd(fd: second, events: Int16(POLLIN), revents: 0),
    ]
    _ = unsafe poll(&states, 2, 100)
  }
}
