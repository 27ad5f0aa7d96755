// A connection to an origin's server, HTTP/1: bytes out, bytes in. What they mean is the request's
// business (`OriginRequest`); between requests the connection is idle in its worker's pool. TLS, where a
// pool has it, is a layer that a plain connection pays one test of a pointer for.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import Metrics
internal import Origins
internal import TLS

final class OriginConnection {
  enum Phase {
    case connecting
    /// The TLS handshake is under way.
    case securing
    case idle
    /// A request is under way.
    case active
    /// It carries requests side by side (`OriginConnection+HTTP2.swift`).
    case shared
    /// Its bytes belong to a client's tunnel.
    case tunnel
    case closed
  }

  // A strong constant: the optimizer then borrows it wherever it is used, where an unowned reference
  // is counted at each use. The worker ends after all that it owns has left its tables.
  let worker: Worker
  let socket: Descriptor
  let server: OriginServer
  /// The address that it goes to; nil: a unix socket.
  let address: SocketAddress?
  /// Its number among the connections that are tried side by side (`ConnectPlan`).
  let number: Int
  /// How TLS is spoken to the server; nil: not at all.
  let tls: OriginTLS?
  /// TLS on the socket, once that is connected.
  var security: OriginSecurity?
  /// Whether HTTP/2 may be spoken on it.
  var mayShare = false
  /// What it carries, once HTTP/2 is.
  var sharing: OriginSharing?
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
  /// Which of the server's sets of addresses this was made from.
  private var generation: UInt64
  private var deadline = Int64.max
  private var timerSet = Int64.max
  private var endsSending = false

  init(
    worker: Worker, socket: consuming Descriptor, server: OriginServer,
    address: SocketAddress?, number: Int, tls: OriginTLS?
  ) {
    self.tls = tls
    generation = server.addressGeneration
    self.worker = worker
    self.socket = socket
    self.server = server
    self.address = address
    self.number = number
  }

  func handle(_ readiness: Readiness) {
    if readiness.mayRead {
      isReadable = true
      security?.connection.noteReadable()
    }
    if readiness.mayWrite {
      isWritable = true
      if let security, security.readWantsWrite { isReadable = true }
    }
    if readiness.peerEnded { peerEnded = true }
    switch phase {
    case .connecting: connected()
    case .securing: goOnWithHandshake()
    case .shared: advanceShared()
    case .idle:
      // Nothing was asked: the server closes, or says what nobody wants to hear (RFC 9112 §9.2). What
      // TLS says to itself is no matter.
      if readiness.mayRead, security == nil || !isSilent() { worker.close(self) }
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
    case .shared: advanceShared()
    case .connecting, .securing, .idle, .closed: break
    }
  }

  private func connected() {
    guard isWritable else { return }
    if socket.socketError() != nil {
      request?.connectFailed(on: self, .connectFailed)
      return
    }
    if let tls {
      beginHandshake(tls)
      return
    }
    if mayShare {
      shareWithRequest()
      return
    }
    phase = .active
    request?.connected(on: self)
    // What the server has said already is told by no further event.
    if isReadable, phase == .active { goOn() }
  }

  // MARK: Sending

  /// Sends bytes, keeping what the kernel does not take.
  func send(_ bytes: ByteView) {
    guard !bytes.isEmpty else { return }
    var rest = bytes
    if output.isEmpty && isWritable {
      let result = transmit(bytes)
      if let count = result.count {
        worker.counters.add(.originBytesSent, UInt64(count))
        rest = bytes.dropping(first: count)
        if !rest.isEmpty || hasUnsentRecord { isWritable = false }
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

  @inline(__always)
  private func transmit(_ bytes: ByteView) -> IOResult {
    guard let security else { return socket.send(bytes) }
    return security.send(bytes, now: worker.now.monotonic)
  }

  /// Whether TLS has taken what the kernel has not.
  private var hasUnsentRecord: Bool { security?.connection.hasUnsent ?? false }

  /// Sends what is waiting; whether all of it is out.
  func flush() -> Bool {
    if let security, security.connection.hasUnsent {
      guard isWritable else { return false }
      let result = security.flush()
      guard result.count != nil else {
        isWritable = false
        if !result.wouldBlock { isReadable = true }
        return false
      }
    }
    while outputSent < output.count && isWritable {
      let result = transmit(output.view.dropping(first: outputSent))
      guard let count = result.count else {
        isWritable = false
        if !result.wouldBlock { isReadable = true }
        return false
      }
      outputSent += count
      worker.counters.add(.originBytesSent, UInt64(count))
      if hasUnsentRecord { isWritable = false }
    }
    if outputSent < output.count || hasUnsentRecord { return false }
    if !output.isEmpty {
      output.release()
      outputSent = 0
    }
    if endsSending && phase == .tunnel { shutDownSending() }
    return true
  }

  private func shutDownSending() {
    if let security { _ = security.connection.sendCloseNotify() }
    socket.shutdownSending()
  }

  /// Whether the server's name still leads where this connection does.
  var isStillTheServers: Bool {
    guard let address, generation != server.addressGeneration else { return true }
    guard server.hasAddress(address) else { return false }
    generation = server.addressGeneration
    return true
  }

  /// How many bytes wait; of a record that TLS keeps, one.
  var backlog: Int { output.count - outputSent + (hasUnsentRecord ? 1 : 0) }

  // MARK: Receiving

  /// Reads into memory, and notes what that says of what is left.
  @inline(__always)
  func receive(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
    guard let security else {
      let result = unsafe socket.receive(into: buffer)
      isDrained = (result.count ?? 0) < buffer.count
      return result
    }
    let result = unsafe security.receive(into: buffer)
    isDrained = security.connection.isDrained
    return result
  }

  /// Reads at most `limit` bytes onto the end of a buffer.
  func receive(onto buffer: inout ByteBuffer, limit: Int) -> IOResult {
    isDrained = false
    guard let security else { return socket.receive(onto: &buffer, limit: limit) }
    return security.receive(onto: &buffer, limit: limit)
  }

  /// Reads onto the end of what is there of a head.
  func receiveInput(limit: Int) -> IOResult {
    isDrained = false
    guard let security else { return socket.receive(onto: &input, limit: limit) }
    return security.receive(onto: &input, limit: limit)
  }

  /// Whether an idle connection is still open and nothing has come on it. What comes before a request
  /// is sent is not its answer, and what stood behind the last answer may still be in the kernel.
  func isSilent() -> Bool {
    let result = unsafe receive(
      into: UnsafeMutableRawBufferPointer(rebasing: worker.originBuffer.prefix(1)))
    isReadable = !result.wouldBlock
    return result.wouldBlock
  }

  // MARK: A tunnel

  /// What the server has sent, at most one read; empty when there is nothing now.
  func readForTunnel() -> ByteView {
    if !input.isEmpty {
      let bytes = input.view
      input.removeAll()
      return bytes
    }
    guard isReadable, !hasEnded else { return ByteView() }
    let result = unsafe receive(into: worker.originBuffer)
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
    switch phase {
    case .idle: worker.close(self)
    case .shared: sharedTimedOut()
    case .connecting, .securing, .active, .tunnel, .closed: request?.timedOut(on: self)
    }
  }
}

extension Worker {
  /// An idle connection to a server, if there is one that is still open. One on which the last read took
  /// all there was tells by an event when anything comes, and such events are heard first in a turn
  /// (`Worker.hearIdleOrigins`): only what came within the turn is not known. A look at the connection
  /// would find that too, mostly; it is left out for a request that `mayRepeat`.
  func takeIdleOrigin(
    _ server: OriginServer, tls: OriginTLS?, mayRepeat: Bool
  ) -> OriginConnection? {
    while let token = idleOrigins[server.id]?.popLast() {
      guard let connection = origins.element(token), connection.phase == .idle else { continue }
      // One that was made under other settings, before a reload, may trust somebody else; and the name may
      // lead elsewhere by now.
      guard connection.tls?.id == tls?.id, connection.isStillTheServers else {
        close(connection)
        continue
      }
      let isFresh = mayRepeat && connection.isDrained
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
    _ server: OriginServer, tls: OriginTLS?, address: SocketAddress?, number: Int
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
      worker: self, socket: socket, server: server, address: address, number: number, tls: tls)
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
  func keep(_ connection: OriginConnection, _ settings: OriginSettings) {
    let id = connection.server.id
    connection.request = nil
    guard !isDraining, !connection.peerEnded, connection.isStillTheServers,
      idleOrigins[id, default: []].count < settings.keepalive
    else {
      close(connection)
      return
    }
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
    if connection.phase == .shared {
      sharedOrigins[connection.server.id]?.tokens.removeAll { $0 == connection.token }
      connection.sharing = nil
    }
    if connection.phase == .tunnel { counters.add(.tunnelsClosed) }
    connection.phase = .closed
    counters.add(.originConnectionsClosed)
    connection.request = nil
    connection.tunnelAttempt.take()?.end(now: now.monotonic)
    connection.endSecurity()
    poller.remove(connection.socket)
    origins.remove(connection.token)
  }
}
