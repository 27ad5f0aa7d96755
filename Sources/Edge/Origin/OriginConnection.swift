// A connection to an origin's server, HTTP/1: bytes out, bytes in. What they mean is the request's
// business (`OriginRequest`); between requests the connection is idle in its worker's pool.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import Metrics
internal import Origins

final class OriginConnection {
  enum Phase {
    case connecting
    case idle
    /// A request is under way.
    case active
    /// Its bytes belong to a client's tunnel.
    case tunnel
    case closed
  }

  // A strong constant: the optimizer then borrows it wherever it is used, where an unowned reference
  // is counted at each use. The worker ends after all that it owns has left its tables.
  let worker: Worker
  let socket: Descriptor
  /// The pool's number.
  let pool: Int
  let server: OriginServer
  /// The address that it goes to; nil: a unix socket.
  let address: SocketAddress?
  /// Its number among the connections that are tried side by side (`ConnectPlan`).
  let number: Int
  var token: UInt64 = 0
  var phase = Phase.connecting
  var isReadable = false
  var isWritable = false
  var hasEnded = false
  /// Whether it has a place among the connections that go on in the next turn.
  var isLeftOver = false
  /// Whether the last read took all there was.
  var isDrained = false
  /// Whether the server has ended its side.
  var peerEnded = false
  /// The worker's turn in which it became idle.
  var keptInTurn: UInt64 = 0
  /// Whether a request was answered on it before.
  var isReused = false
  /// The request that it works for.
  var request: OriginRequest?
  /// The client's connection of a tunnel, and the place at the server that the tunnel holds.
  var client: UInt64?
  var tunnelAttempt: Attempt?
  /// Bytes of a head that is not whole yet.
  var input = ByteBuffer()
  /// Bytes that the kernel has not taken.
  var output = ByteBuffer()
  var outputSent = 0
  private var deadline = Int64.max
  private var timerSet = Int64.max
  private var endsSending = false

  init(
    worker: Worker, socket: consuming Descriptor, pool: Int, server: OriginServer,
    address: SocketAddress?, number: Int
  ) {
    self.worker = worker
    self.socket = socket
    self.pool = pool
    self.server = server
    self.address = address
    self.number = number
  }

  func handle(_ readiness: Readiness) {
    if readiness.mayRead { isReadable = true }
    if readiness.mayWrite { isWritable = true }
    if readiness.peerEnded { peerEnded = true }
    switch phase {
    case .connecting: connected()
    case .idle:
      // Nothing was asked: the server closes, or says what nobody wants to hear (RFC 9112 §9.2).
      if readiness.mayRead { worker.close(self) }
    case .active, .tunnel: goOn()
    case .closed: break
    }
  }

  func goOn() {
    switch phase {
    case .active: request?.goOn(on: self)
    case .tunnel:
      if let client, let connection = worker.peer(client) {
        connection.advance()
      } else {
        worker.close(self)
      }
    case .connecting, .idle, .closed: break
    }
  }

  private func connected() {
    guard isWritable else { return }
    if socket.socketError() != nil {
      request?.connectFailed(on: self)
      return
    }
    phase = .active
    request?.connected(on: self)
  }

  // MARK: Sending

  /// Sends bytes, keeping what the kernel does not take.
  func send(_ bytes: ByteView) {
    guard !bytes.isEmpty else { return }
    var rest = bytes
    if output.isEmpty && isWritable {
      let result = socket.send(bytes)
      if let count = result.count {
        worker.counters.add(.originBytesSent, UInt64(count))
        rest = bytes.dropping(first: count)
        if !rest.isEmpty { isWritable = false }
      } else if result.wouldBlock {
        isWritable = false
      } else {
        // The reading side tells what became of the connection.
        isReadable = true
        isWritable = false
        return
      }
    }
    output.append(rest)
  }

  /// Sends what is waiting; whether all of it is out.
  func flush() -> Bool {
    while outputSent < output.count && isWritable {
      let result = socket.send(output.view.dropping(first: outputSent))
      guard let count = result.count else {
        isWritable = false
        if !result.wouldBlock { isReadable = true }
        return false
      }
      outputSent += count
      worker.counters.add(.originBytesSent, UInt64(count))
    }
    if outputSent < output.count { return false }
    if !output.isEmpty {
      output.release()
      outputSent = 0
    }
    if endsSending && phase == .tunnel { socket.shutdownSending() }
    return true
  }

  /// How many bytes wait.
  var backlog: Int { output.count - outputSent }

  /// Whether an idle connection is still open and nothing has come on it. What comes before a request
  /// is sent is not its answer, and what stood behind the last answer may still be in the kernel.
  func isSilent() -> Bool {
    let result = unsafe socket.read(
      into: UnsafeMutableRawBufferPointer(rebasing: worker.originBuffer.prefix(1)))
    isReadable = !result.wouldBlock
    return result.wouldBlock
  }

  /// Notes what a read into a buffer of that size says of what is left.
  @inline(__always)
  func note(_ result: IOResult, room: Int) { isDrained = (result.count ?? 0) < room }

  // MARK: A tunnel

  /// What the server has sent, at most one read; empty when there is nothing now.
  func readForTunnel() -> ByteView {
    if !input.isEmpty {
      let bytes = input.view
      input.removeAll()
      return bytes
    }
    guard isReadable, !hasEnded else { return ByteView() }
    let result = unsafe socket.receive(into: worker.originBuffer)
    guard let count = result.count, count > 0 else {
      isReadable = false
      if !result.wouldBlock { hasEnded = true }
      return ByteView()
    }
    worker.counters.add(.originBytesReceived, UInt64(count))
    return unsafe ByteView(unsafe: UnsafeRawBufferPointer(worker.originBuffer)).prefix(count)
  }

  /// Ends our side once everything is out.
  func endTunnelSending() {
    endsSending = true
    _ = flush()
  }

  // MARK: Time

  func setDeadline(_ time: Int64) {
    deadline = time
    if time < timerSet {
      timerSet = time
      worker.timers.set(deadline: time, token: token | TokenKind.origin)
    }
  }

  func clearDeadline() { deadline = .max }

  var hasDeadline: Bool { deadline != .max }

  func timerRang() {
    guard timerSet <= worker.now.monotonic else { return }
    timerSet = .max
    if deadline == .max { return }
    if deadline > worker.now.monotonic {
      setDeadline(deadline)
      return
    }
    deadline = .max
    if phase == .idle { worker.close(self) } else { request?.timedOut(on: self) }
  }
}

extension Worker {
  /// An idle connection to a server, if there is one that is still open. Of one that became idle in this
  /// very turn, with nothing left to read, the kernel has had no time to tell more than a look at it
  /// would; that look is left out for a request that `mayRepeat`.
  func takeIdleOrigin(_ server: OriginServer, mayRepeat: Bool) -> OriginConnection? {
    while let token = idleOrigins[server.id]?.popLast() {
      guard let connection = origins.element(token), connection.phase == .idle else { continue }
      let isFresh = mayRepeat && connection.isDrained && connection.keptInTurn == turnNumber
      guard isFresh || connection.isSilent() else {
        close(connection)
        continue
      }
      counters.add(.originConnectionsReused)
      connection.phase = .active
      connection.isReused = true
      connection.clearDeadline()
      return connection
    }
    return nil
  }

  /// Begins a connection to a server: to an address, or to its unix socket.
  func openOrigin(
    _ server: OriginServer, pool: Int, address: SocketAddress?, number: Int
  ) throws(Errno) -> OriginConnection {
    let socket: Descriptor
    if let address {
      socket = try Socket.connect(to: address)
    } else if case .unix(let path) = server.location {
      socket = try UnixSocket.connect(to: path)
    } else {
      preconditionFailure("a server that is no unix socket is connected to by an address")
    }
    let connection = OriginConnection(
      worker: self, socket: socket, pool: pool, server: server, address: address, number: number)
    connection.token = origins.insert(connection)
    counters.add(.originConnectionsOpened)
    do throws(Errno) {
      try poller.add(connection.socket, token: connection.token | TokenKind.origin)
    } catch {
      close(connection)
      throw error
    }
    return connection
  }

  /// Keeps a connection for the next request, unless there are enough.
  func keep(_ connection: OriginConnection) {
    let settings = sides[connection.pool].settings
    let id = connection.server.id
    connection.request = nil
    guard !isDraining, !connection.peerEnded,
      idleOrigins[id, default: []].count < settings.keepalive
    else {
      close(connection)
      return
    }
    connection.keptInTurn = turnNumber
    connection.phase = .idle
    connection.input.release()
    idleOrigins[id, default: []].append(connection.token)
    connection.setDeadline(now.monotonic + settings.keepaliveTimeout)
  }

  /// Closes a connection to an origin.
  func close(_ connection: OriginConnection) {
    guard connection.phase != .closed else { return }
    if connection.phase == .idle,
      let place = idleOrigins[connection.server.id]?.firstIndex(of: connection.token)
    {
      idleOrigins[connection.server.id]?.remove(at: place)
    }
    if connection.phase == .tunnel { counters.add(.tunnelsClosed) }
    connection.phase = .closed
    counters.add(.originConnectionsClosed)
    connection.request = nil
    connection.tunnelAttempt.take()?.end(now: now.monotonic)
    poller.remove(connection.socket)
    origins.remove(connection.token)
  }
}
