// A relay between a PoP and an engine: it delays what goes through, or lets nothing through at all, as a
// network does that is cut.

internal import Bytes
internal import CLinux
internal import EventLoop
import Synchronization

/// What the relay's thread is told.
private final class Switches: Sendable {
  let isCut = Atomic(false)
  /// What its thread goes by.
  let isSeen = Atomic(false)
  let isStopping = Atomic(false)
}

/// A relay on loopback.
package final class Relay: Sendable {
  /// The port that it listens on.
  package let port: UInt16
  private let switches = Switches()
  private let thread = Mutex<LoopThread?>(nil)

  /// Starts one to a port; each way takes `delay` nanoseconds.
  package convenience init(to target: UInt16, delay: Int64 = 0) throws {
    try self.init(to: target, delay: delay, portion: nil)
  }

  /// Starts one that lets `portion` bytes of each way through every twenty milliseconds; nil: all.
  package init(to target: UInt16, delay: Int64, portion: Int?) throws {
    let address =
      SocketAddress(host: "127.0.0.1", port: 0) ?? SocketAddress(high: 0, low: 0, port: 0)
    let listener = try Socket.listen(on: address, shared: false)
    port = Socket.localAddress(of: listener)?.port ?? 0
    let run = RelayLoop(listener.release(), target, delay, portion)
    thread.withLock {
      $0 = LoopThread(name: "relay") { [switches] in
        while !switches.isStopping.load(ordering: .relaxed) {
          let isCut = switches.isCut.load(ordering: .relaxed)
          switches.isSeen.store(isCut, ordering: .releasing)
          run.turn(isCut: isCut)
        }
        run.close()
      }
    }
  }

  deinit {
    switches.isStopping.store(true, ordering: .relaxed)
    thread.withLock { $0?.join() }
  }

  /// Lets nothing through any more; connections stay as they are. Once it returns nothing goes through.
  package func cut() {
    switches.isCut.store(true, ordering: .relaxed)
    while !switches.isSeen.load(ordering: .acquiring) { _ = usleep(500) }
  }

  /// Lets everything through again, also what came meanwhile.
  package func mend() { switches.isCut.store(false, ordering: .relaxed) }
}

/// The relay's thread: pairs of sockets, and bytes that are due later.
private final class RelayLoop: @unchecked Sendable {
  // Sendable because one thread uses it, from the first turn on.
  private struct Way {
    var from: Int32
    var to: Int32
    var waiting: [(due: Int64, bytes: [UInt8])] = []
    var hasEnded = false
  }

  private let listener: Int32
  private let target: UInt16
  private let delay: Int64
  private let portion: Int?
  private let clock = NodeClock()
  private var ways: [Way] = []

  init(_ listener: Int32, _ target: UInt16, _ delay: Int64, _ portion: Int?) {
    self.listener = listener
    self.target = target
    self.delay = delay
    self.portion = portion
  }

  func turn(isCut: Bool) {
    var watched = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
    if !isCut {
      watched += ways.filter { !$0.hasEnded }.map {
        pollfd(fd: $0.from, events: Int16(POLLIN), revents: 0)
      }
    }
    let due = ways.compactMap(\.waiting.first?.due).min() ?? .max
    let left = due == .max ? 20 : min(20, max(0, (due - clock.monotonic() + 999_999) / 1_000_000))
    _ = unsafe poll(&watched, nfds_t(watched.count), Int32(left))
    if watched[0].revents != 0 { accept() }
    if isCut { return }
    for index in ways.indices { pass(index) }
    if portion != nil { _ = usleep(20_000) }
    let over = ways.filter { way in
      way.hasEnded && way.waiting.isEmpty
        && ways.allSatisfy { $0.from != way.to || $0.hasEnded && $0.waiting.isEmpty }
    }
    guard !over.isEmpty else { return }
    ways.removeAll { way in over.contains { $0.from == way.from } }
    for way in over { _ = CLinux.close(way.from) }
  }

  private func accept() {
    var address = SocketAddress(high: 0, low: 0, port: 0)
    let from = Descriptor(owning: weir_fcntl_int(listener, F_DUPFD_CLOEXEC, 3))
    while let client = (try? Socket.accept(from: from, address: &address)) ?? nil {
      let upstream = SocketAddress(host: "127.0.0.1", port: target) ?? address
      guard let server = try? Socket.connect(to: upstream) else { continue }
      var wait = pollfd(fd: server.number, events: Int16(POLLOUT), revents: 0)
      _ = unsafe poll(&wait, 1, 1_000)
      guard server.socketError() == nil else { continue }
      let (one, other) = (client.release(), server.release())
      ways.append(Way(from: one, to: other))
      ways.append(Way(from: other, to: one))
    }
  }

  private func pass(_ index: Int) {
    let now = clock.monotonic()
    var bytes = [UInt8](repeating: 0, count: portion ?? 65_536)
    while !ways[index].hasEnded {
      let count = unsafe recv(ways[index].from, &bytes, bytes.count, Int32(MSG_DONTWAIT))
      if count > 0 {
        ways[index].waiting.append((now + delay, Array(bytes[..<count])))
        if portion != nil { break }
      } else {
        if count < 0, weir_errno() == EAGAIN { break }
        ways[index].hasEnded = true
        ways[index].waiting.append((now + delay, []))
      }
    }
    while let first = ways[index].waiting.first, first.due <= now {
      if first.bytes.isEmpty {
        _ = shutdown(ways[index].to, Int32(SHUT_WR))
        ways[index].waiting.removeFirst()
        continue
      }
      let sent = unsafe send(
        ways[index].to, first.bytes, first.bytes.count, Int32(MSG_NOSIGNAL))
      if sent < 0 {
        if weir_errno() == EAGAIN { return }
        ways[index].waiting = []
        ways[index].hasEnded = true
        return
      }
      if sent == first.bytes.count {
        ways[index].waiting.removeFirst()
      } else {
        ways[index].waiting[0].bytes.removeFirst(sent)
      }
    }
  }

  func close() {
    for number in Set(ways.map(\.from)) { _ = CLinux.close(number) }
    _ = CLinux.close(listener)
  }
}
