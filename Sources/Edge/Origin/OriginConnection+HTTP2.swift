// A connection that carries several requests at once: HTTP/2, where a server offers it by ALPN. It is in the
// phase `shared`, belongs to no request, and is found by its server (`Worker.sharedOrigins`) as long as it
// takes further requests. Each of them is an `OriginStream` in place of a connection.
//
// Bytes that come are fed to the session at once, whoever waits: back-pressure is each stream's window
// (`OriginStream.unconsumed`), so that a client that reads slowly holds up its own response alone. While the
// session is fed, no request is tried again: `Worker.originBuffer` is being read. What became of requests is
// acted on behind it (`settle`), and further tries begin with the turn's timers (`OriginRequest.tryAgain`).
//
// A server that answers none of a connection's requests in time may be gone without a word. The connection
// is then in doubt: it gets no more requests, and a PING; if nothing comes of that either, it is over.

internal import Bytes
internal import EventLoop
internal import HTTP2
internal import Metrics
internal import Origins

/// A request on a shared connection.
final class OriginStream {
  let connection: OriginConnection
  let id: Int32
  /// When it began, monotonic.
  let began: Int64
  /// Whether the server had answered something on the connection before.
  let isReused: Bool
  /// Content that was taken and not reported as taken: the server may not send as much again.
  var unconsumed = 0

  init(_ connection: OriginConnection, id: Int32, now: Int64) {
    self.connection = connection
    self.id = id
    began = now
    isReused = connection.isReused
  }

  private var session: HTTP2OriginSession? { connection.sharing?.session }

  /// Content of the request that waits for the server.
  var backlog: Int { session?.backlog(of: id) ?? 0 }

  func send(_ content: ByteView, isLast: Bool) {
    session?.append(content, to: id, isLast: isLast)
    connection.wantsFlush()
  }

  /// Lets the server send as much again as was taken.
  func consume() {
    guard unconsumed > 0 else { return }
    session?.consume(id, unconsumed)
    unconsumed = 0
    connection.wantsFlush()
  }

  /// The response is whole, or nobody wants the rest of it. A server that has answered may not have taken
  /// all of the request; what is left of that nobody wants either (RFC 9113 §8.1).
  func leave(isWhole: Bool) {
    guard let sharing = connection.sharing else { return }
    sharing.requests[id] = nil
    if !isWhole || !sharing.session.isSent(id) { sharing.session.cancel(id) }
    connection.wantsFlush()
  }
}

/// What a shared connection carries.
final class OriginSharing: HTTP2ResponseReceiver {
  let session: HTTP2OriginSession
  var requests: [Int32: OriginRequest] = [:]
  /// Requests whose streams were closed, and of which that is still to be acted on.
  var cut: [(request: OriginRequest, end: HTTP2StreamEnd)] = []
  /// How long it is kept without a request, and how long a PING may take.
  let keepaliveTimeout: Int64
  let pingTimeout: Int64
  /// Whether the session is being fed, or writes.
  var isBusy = false
  /// Whether there is something to be sent soon.
  var wantsFlush = false
  /// Whether it gets no more requests, whatever the server allows.
  var isRetired = false
  /// Whether it is in doubt, and when something came last.
  var isDoubted = false
  var heard: Int64
  /// When it got a request while it had none.
  private var roused: Int64

  init(_ session: HTTP2OriginSession, _ settings: OriginSettings, now: Int64) {
    self.session = session
    keepaliveTimeout = settings.keepaliveTimeout
    pingTimeout = settings.connectTimeout
    heard = now
    roused = now
    session.report(to: self)
  }

  /// A request begins here.
  func add(_ request: OriginRequest, _ stream: Int32, now: Int64) {
    if requests.isEmpty { roused = now }
    requests[stream] = request
  }

  /// Whether nothing has come since it rested.
  var isUnheard: Bool { heard <= roused }

  /// Whether it will take another request, now or later.
  var isOpen: Bool { !isRetired && !session.isGoingAway }

  func received(head: ByteView, stream: Int32) { requests[stream]?.received(head: head) }

  func received(content: ByteView, stream: Int32) { requests[stream]?.received(content: content) }

  func ended(stream: Int32, trailers: ByteView) { requests[stream]?.streamEnded(trailers) }

  func closed(stream: Int32, _ end: HTTP2StreamEnd) {
    if let request = requests.removeValue(forKey: stream) { cut.append((request, end)) }
  }
}

extension OriginConnection {
  /// The server has chosen HTTP/2: makes the connection one that several requests share. False if there
  /// is no memory.
  func beginSharing(_ side: PoolSide) -> Bool {
    guard let session = HTTP2OriginSession(side.http2Options) else { return false }
    sharing = OriginSharing(session, side.settings, now: worker.now.monotonic)
    phase = .shared
    worker.sharedOrigins(of: server).tokens.append(token)
    wantsFlush()
    return true
  }

  /// Whether another request may begin here.
  var hasRoom: Bool {
    guard phase == .shared, let sharing, !peerEnded, !sharing.isDoubted, sharing.isOpen else {
      return false
    }
    return sharing.session.hasRoom && isStillTheServers
  }

  /// The kernel has something, or takes something.
  func advanceShared() {
    guard let sharing, !sharing.isBusy else { return }
    var budget = OriginRequest.bytesPerTurn
    while isReadable, phase == .shared {
      guard budget > 0 else {
        worker.runAgain(token | TokenKind.origin)
        break
      }
      let result = unsafe receive(into: worker.originBuffer)
      guard let count = result.count, count > 0 else {
        isReadable = false
        if !result.wouldBlock { endShared() }
        break
      }
      budget -= count
      worker.counters.add(.originBytesReceived, UInt64(count))
      sharing.heard = worker.now.monotonic
      if sharing.isDoubted {
        sharing.isDoubted = false
        clearDeadline()
      }
      sharing.isBusy = true
      worker.isFeeding = true
      let isUsable = sharing.session.feed(
        unsafe ByteView(unsafe: UnsafeRawBufferPointer(worker.originBuffer)).prefix(count))
      worker.isFeeding = false
      sharing.isBusy = false
      settle(sharing)
      if !isUsable { break }
    }
    flushShared()
  }

  /// Sends what the session has.
  func flushShared() {
    guard phase == .shared, let sharing, !sharing.isBusy else { return }
    sharing.wantsFlush = false
    sharing.isBusy = true
    var frames = ByteBuffer()
    while flush() {
      frames.removeAll()
      sharing.session.produce(into: &frames, limit: 64 << 10)
      if frames.isEmpty { break }
      send(frames.view)
    }
    sharing.isBusy = false
    // Whoever brings content may bring more.
    for request in sharing.requests.values where request.acceptsContent {
      request.noteAllSent()
      worker.noteMoved(request.fill)
    }
    settle(sharing)
    if phase == .shared, sharing.session.isFinished { endShared() } else { restIfUnused() }
  }

  /// Acts on what became of requests whose streams were closed.
  private func settle(_ sharing: OriginSharing) {
    let cut = sharing.cut
    sharing.cut = []
    for (request, end) in cut { request.streamClosed(end) }
  }

  /// Has what the session has be sent soon: in this turn, or in the next.
  func wantsFlush() {
    guard phase == .shared, let sharing, !sharing.wantsFlush else { return }
    sharing.wantsFlush = true
    worker.runAgain(token | TokenKind.origin)
  }

  /// Lets no more requests begin here: the server may take them for those of one client.
  func retire() { sharing?.isRetired = true }

  /// A connection without requests is kept for a while, or not at all if it takes no more.
  func restIfUnused() {
    guard phase == .shared, let sharing, sharing.requests.isEmpty, !sharing.isDoubted else {
      return
    }
    if !sharing.isOpen || peerEnded || worker.isDraining || !isStillTheServers {
      endShared()
    } else if !hasDeadline {
      setDeadline(worker.now.monotonic + sharing.keepaliveTimeout)
    }
  }

  /// A request was not answered in time. If nothing at all has come since it began, that may be the
  /// connection's fault.
  func doubt(since began: Int64) {
    guard phase == .shared, let sharing, sharing.heard <= began, !sharing.isDoubted else { return }
    sharing.isDoubted = true
    sharing.session.ping()
    setDeadline(worker.now.monotonic + sharing.pingTimeout)
    wantsFlush()
  }

  /// Its time is over: it was unused, or the server has not answered a PING.
  func sharedTimedOut() {
    guard let sharing else { return }
    if sharing.isDoubted || sharing.requests.isEmpty { endShared() }
  }

  /// The connection is over; what it still carries fails.
  func endShared() {
    guard phase == .shared, let sharing else { return }
    let left = Array(sharing.requests.values)
    let isUnheard = sharing.isUnheard
    sharing.requests = [:]
    if !peerEnded {
      sharing.session.end()
      var frames = ByteBuffer()
      sharing.session.produce(into: &frames, limit: 64 << 10)
      send(frames.view)
    }
    worker.close(self)
    for request in left { request.streamClosed(.reset(.cancel), wasUnheard: isUnheard) }
  }
}
