// Where connections come in, and how a worker stops taking them.

internal import Bytes
internal import ClientAddress
internal import Configuration
internal import EventLoop
internal import Metrics
internal import RateLimiting
import Synchronization
internal import TLS

extension Worker {
  /// At most so many connections are taken in a row, so that those that are there get their turn.
  private static let acceptsPerTurn = 64
  /// How often so many are taken at the end: more than a listener's queue holds.
  private static let lastRounds = 1_024
  /// What the kernel takes of a response before it is sent: a slow reader must not pin megabytes.
  private static let unsentLimit: Int32 = 128 << 10
  /// How long accepting pauses when the process has no descriptor left.
  static let acceptPause: Int64 = 100_000_000

  /// Takes connections; whether there may be more.
  @discardableResult
  func accept(_ number: Int) -> Bool {
    guard !acceptPaused, let own = listeners.first(where: { $0.number == number }) else {
      return false
    }
    var address = SocketAddress(high: 0, low: 0, port: 0)
    for _ in 0..<Self.acceptsPerTurn {
      do {
        guard let socket = try Socket.accept(from: own.listener.socket, address: &address)
        else { return false }
        // Whoever moved the clock by hand before it connected counts on that.
        if clock.standsStill { now = clock.now() }
        admit(socket, from: address, at: number)
      } catch {
        counters.add(.acceptErrors)
        pauseAccepting()
        return false
      }
    }
    return true
  }

  private func admit(
    _ socket: consuming Descriptor, from address: SocketAddress, at listener: Int
  ) {
    counters.add(.connectionsAccepted)
    // Where the PROXY protocol is spoken, the client's address comes with its header.
    let isBehindProxy = !proxyListeners.isEmpty && proxyListeners.contains(listener)
    let mayCome =
      isBehindProxy
      ? generation.limitTable.trusted.contains(IPAddress(high: address.high, low: address.low))
      : admits(address)
    guard mayCome else {
      if isBehindProxy { counters.add(.connectionsRefused) }
      counters.add(.connectionsClosed)
      return
    }
    let there = context.connections.add(1, ordering: .relaxed).newValue
    guard there <= clientSettings.maxConnections else {
      context.connections.subtract(1, ordering: .relaxed)
      counters.add(.connectionsRefused)
      counters.add(.connectionsClosed)
      return
    }
    let speaksTLS = tlsListeners.contains(listener)
    if speaksTLS || plainHTTP2Listeners.contains(listener) {
      let arrival = ClientArrival(
        worker: self, socket: socket, address: address, speaksTLS: speaksTLS,
        expectsProxyHeader: isBehindProxy)
      arrival.opened()
      return
    }
    let connection = ClientConnection(
      worker: self, socket: socket, address: address, expectsProxyHeader: isBehindProxy)
    connection.token = clients.insert(connection)
    do {
      try poller.add(connection.socket, token: connection.token)
      connection.opened()
    } catch {
      connection.close()
    }
  }

  /// Stops accepting for a moment: connections wait in the kernel's queue meanwhile.
  private func pauseAccepting() {
    acceptPaused = true
    for listener in listeners { poller.remove(listener.listener.socket) }
    timers.set(deadline: now.monotonic + Self.acceptPause, token: TokenKind.acceptPause)
  }

  func resumeAccepting() {
    guard acceptPaused else { return }
    acceptPaused = false
    for listener in listeners { try? watch(listener) }
  }

  func watch(_ listener: NumberedListener) throws(Errno) {
    // Connections have what their listener has: it need not be said for each.
    Socket.configureConnection(listener.listener.socket.number)
    Socket.limitUnsent(listener.listener.socket, bytes: Self.unsentLimit)
    try poller.addReader(
      listener.listener.socket, token: TokenKind.listener | UInt64(listener.number))
  }

  /// Takes what is still in the queues of those sockets, and closes them.
  func closeListeners(_ numbers: [Int], before deadline: Int64 = .max) {
    // Closing a listener resets what is left in its queue; but those that keep coming must not keep it
    // open for ever.
    let wasPaused = acceptPaused
    acceptPaused = false
    for number in numbers {
      var rounds = 0
      while accept(number), rounds < Self.lastRounds, clock.now().monotonic < deadline {
        rounds += 1
      }
    }
    for listener in listeners where numbers.contains(listener.number) && !wasPaused {
      poller.remove(listener.listener.socket)
    }
    listeners.removeAll { numbers.contains($0.number) }
    acceptPaused = acceptPaused || wasPaused
  }

  /// Takes what is still in the queues, closes the listeners, and lets idle clients go.
  func drain(_ deadline: Int64) {
    guard !isDraining else {
      drainDeadline = min(drainDeadline, deadline)
      return
    }
    acceptPaused = false
    closeListeners(listeners.map(\.number), before: deadline)
    isDraining = true
    drainDeadline = deadline
    for client in clients.all { client.drain() }
    for session in sessions.all { session.drain() }
    for arrival in arrivals.all { arrival.drain() }
  }
}
