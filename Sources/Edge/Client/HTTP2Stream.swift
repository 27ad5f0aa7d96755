// One stream of an HTTP/2 connection: what an exchange takes for its connection. Objects are reused; only
// their names, which change with each use, are kept by others.
//
//   begin ─► exchange … head ─► content, as the session asks for it (`pull`) ─► the last frame ─► closed
//                  └─ 101 ─► tunnel: what both sides send is content (RFC 8441)

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTP2
internal import HTTPMessage
internal import Metrics

final class HTTP2Stream: ClientPeer {
  let worker: Worker
  let exchange: Exchange
  /// Nil while it waits to be used again.
  private var connection: HTTP2Connection?
  private var id: Int32 = 0
  var token: UInt64 = 0
  var isLeftOver = false
  private(set) var isClosed = false
  private(set) var wasReset = false
  /// Whether the request is a CONNECT with a protocol (RFC 8441).
  private(set) var isConnect = false

  // The response.
  private var hasHead = false
  /// Whether the exchange has said all.
  private var isAnswered = false
  /// Whether the session has the end of the response.
  private var hasSaidAll = false
  /// Whether what the exchange says is not for the client.
  private var dropsContent = false
  /// Content that was copied, of which `pendingSent` bytes are with the session.
  private var pending = ByteBuffer()
  private var pendingSent = 0
  private var trailers = ByteBuffer()
  /// While the session asks: how much fits, and what was offered.
  private var isPulling = false
  private var room = 0
  private var piece = ByteView()

  // The request's content.
  private var input = ByteBuffer()
  private var inputEnded = true
  private var hasPassedEnd = true
  private var inputTrailers = ByteBuffer()
  private(set) var contentReceived: UInt64 = 0

  /// The origin's connection that a tunnel leads to.
  private var tunnel: UInt64?
  private var deadline = Int64.max
  private var timerSet = Int64.max
  private var wakeSet = Int64.max

  /// How long the rest of a request is read that has its answer.
  private static let lingerTime: Int64 = 2_000_000_000

  init(worker: Worker) {
    self.worker = worker
    exchange = Exchange(worker.generation)
    exchange.isHTTP2 = true
  }

  var address: SocketAddress { connection?.address ?? SocketAddress(high: 0, low: 0, port: 0) }
  var mayBeForwarded: Bool { connection?.mayBeForwarded ?? false }
  var listenerPort: UInt16 { connection?.listenerPort ?? 0 }
  var peerEnded: Bool { connection?.peerEnded ?? true }
  var writeBudget: Int { room }

  // MARK: The request

  /// A request has come; its head is the worker's.
  func begin(_ id: Int32, _ request: HTTP2Request, on connection: HTTP2Connection) {
    self.id = id
    self.connection = connection
    isConnect = request.isExtendedConnect
    inputEnded = !request.hasContent
    hasPassedEnd = inputEnded
    exchange.secure = connection.secure
    exchange.begin(worker.head, on: self)
    advance()
  }

  /// Content of the request.
  func received(_ bytes: ByteView) {
    contentReceived += UInt64(bytes.count)
    guard !isClosed, !isAnswered || tunnel != nil else {
      connection?.session.consume(id, bytes.count)
      return
    }
    input.append(bytes)
    advance()
  }

  /// The request's content is complete.
  func ended(trailers: ByteView) {
    inputEnded = true
    inputTrailers.append(trailers)
    guard !isClosed else { return }
    advance()
  }

  /// Goes on as far as bytes and room allow. Content is sent only when the session asks for it.
  func advance() {
    guard let connection, !isClosed, !isPulling else { return }
    if tunnel != nil {
      pushTunnel()
    } else {
      if exchange.takesBody && !hasPassedEnd { passContentOn() }
      if !isClosed && !isAnswered {
        if case .finished = exchange.progress(on: self) {
          endAnswer()
        } else if dropsAnswer {
          exchange.abandon(on: self)
          endAnswer()
        }
      }
      if isAnswered { dropInput() }
    }
    if isClosed { return }
    connection.session.resume(id)
    connection.schedule()
  }

  /// Whether the exchange has content to send for which there is no use: nobody asks for it.
  private var dropsAnswer: Bool { isConnect && hasSaidAll && !isClosed && tunnel == nil }

  private func endAnswer() {
    isAnswered = true
    lingerForInput()
  }

  private func passContentOn() {
    guard let upstream = exchange.upstream, let connection else { return }
    guard contentReceived <= exchange.generation.routes.routes[exchange.route].maxBody else {
      exchange.refuseBody(status: 413, text: "The request's content is too large.", on: self)
      return
    }
    var isNews = deadline == .max
    if upstream.acceptsContent, !input.isEmpty {
      isNews = true
      upstream.sendContent(input.view)
      connection.session.consume(id, input.count)
      input.release()
    }
    guard upstream.acceptsContent else { return clearDeadline() }
    if inputEnded {
      hasPassedEnd = true
      clearDeadline()
      upstream.endContent(trailers: inputTrailers.view)
    } else if isNews {
      setDeadline(worker.now.monotonic + worker.clientSettings.bodyTimeout)
    }
  }

  /// The rest of the request is read and dropped for a while, so that its client gets the answer: some
  /// take a stream that is reset for one without.
  private func lingerForInput() {
    if inputEnded { clearDeadline() } else { setDeadline(worker.now.monotonic + Self.lingerTime) }
  }

  /// Content that nobody wants any more.
  private func dropInput() {
    guard !input.isEmpty else { return }
    connection?.session.consume(id, input.count)
    input.release()
  }

  // MARK: The response

  func endAfterResponse() {}

  func isReadyToSend() -> Bool { isPulling && room > 0 && pending.isEmpty }

  func sendHead(
    status: UInt16, lines: ByteView, length: UInt64?, hasContent: Bool, minorVersion: UInt8
  ) {
    guard let connection, !hasHead else { return }
    hasHead = true
    if isConnect && (200...299).contains(status) {
      // It would mean that the tunnel is open (RFC 8441 §5).
      dropsContent = true
      hasSaidAll = true
      connection.session.respond(id, status: 501, lines: ByteView(), contentFollows: false)
      return
    }
    if connection.secure != nil { exchange.appendTransportField(lines, worker) }
    if let length, status >= 200, status != 204, status != 304 || length > 0 {
      worker.lines.append("content-length: ")
      worker.lines.append(decimal: length)
      worker.lines.append("\r\n")
    }
    let follows = hasContent && length != 0 && status != 204 && status != 304
    dropsContent = !follows
    hasSaidAll = !follows
    connection.session.respond(
      id, status: status, lines: lines, more: worker.lines.view, contentFollows: follows)
  }

  func sendContent(_ content: ByteView) -> Int {
    if dropsContent { return content.count }
    guard isPulling, room > 0, pending.isEmpty, let connection else { return 0 }
    let taken = content.prefix(room)
    // What is stored stays where it is until the turn ends; all else may go with the exchange.
    if case .stored = exchange.state { piece = taken } else { piece = connection.copy(taken) }
    room = 0
    return taken.count
  }

  func sendWhole(_ content: ByteView) {
    if dropsContent { return }
    pending.append(content)
  }

  func endContent(trailers lines: ByteView) {
    trailers.append(lines)
  }

  func sendInterim(status: UInt16, lines: ByteView) {
    guard !hasHead, !isClosed, let connection else { return }
    connection.session.inform(id, status: status, lines: lines)
    connection.schedule()
  }

  /// The next piece of the response's content.
  func pull(_ limit: Int) -> HTTP2Content {
    if !pending.isEmpty { return pullPending(limit) }
    if tunnel != nil { return pullTunnel(limit) }
    if isAnswered { return last(ByteView()) }
    room = limit
    piece = ByteView()
    isPulling = true
    let progress = exchange.progress(on: self)
    isPulling = false
    room = 0
    if isClosed { return .broken(.internalError) }
    if case .finished = progress { endAnswer() }
    if !piece.isEmpty {
      return isAnswered && pending.isEmpty ? last(piece) : .bytes(piece)
    }
    if !pending.isEmpty { return pullPending(limit) }
    return isAnswered ? last(ByteView()) : .wait
  }

  private func pullPending(_ limit: Int) -> HTTP2Content {
    let rest = pending.view.dropping(first: pendingSent)
    let part = rest.prefix(limit)
    pendingSent += part.count
    guard part.count == rest.count else { return .bytes(part) }
    if isAnswered && tunnel == nil { return last(part) }
    // The exchange goes on when these are out, and may write over them.
    let copy = connection?.copy(part) ?? part
    pending.removeAll()
    pendingSent = 0
    return .bytes(copy)
  }

  private func last(_ bytes: ByteView) -> HTTP2Content {
    hasSaidAll = true
    return trailers.isEmpty ? .last(bytes) : .lastWithTrailers(bytes, trailers.view)
  }

  // MARK: Time

  func wait(until time: Int64) {
    if time == .max { clearDeadline() } else { setDeadline(max(time, worker.now.monotonic)) }
  }

  func wake(at time: Int64) {
    guard time < wakeSet else { return }
    wakeSet = time
    worker.timers.set(deadline: time, token: token & ~TokenKind.mask | TokenKind.streamWake)
  }

  func woken() {
    guard wakeSet <= worker.now.monotonic else { return }
    wakeSet = .max
    advance()
  }

  private func setDeadline(_ time: Int64) {
    deadline = time
    if time < timerSet {
      timerSet = time
      worker.timers.set(deadline: time, token: token)
    }
  }

  private func clearDeadline() { deadline = .max }

  func timerRang() {
    guard timerSet <= worker.now.monotonic, !isClosed else { return }
    timerSet = .max
    if deadline == .max { return }
    guard deadline <= worker.now.monotonic else { return setDeadline(deadline) }
    deadline = .max
    if tunnel != nil && !hasSaidAll {
      reset()
    } else if isAnswered {
      guard hasSaidAll else { return lingerForInput() }
      connection?.session.reset(id, .noError)
      connection?.schedule()
    } else if exchange.isFollowing {
      exchange.waitedEnough()
      advance()
    } else if !inputEnded && !exchange.hasSentHead {
      worker.counters.add(.bodyTimeouts)
      exchange.refuseBody(
        status: 408, text: "The request's content did not come in time.", on: self)
      advance()
    } else {
      reset()
    }
  }

  // MARK: The end

  /// Breaks the stream off: the client sees an error.
  func reset() {
    guard !isClosed, let connection else { return }
    wasReset = true
    isClosed = true
    // Within a pull the session resets it itself.
    if !isPulling { connection.session.reset(id, .internalError) }
    exchange.abandon(on: self)
    closeTunnel()
    connection.schedule()
  }

  /// The session has no such stream any more.
  func closed() {
    isClosed = true
    exchange.abandon(on: self)
    closeTunnel()
    // What waits for reuse would keep an earlier configuration alive.
    exchange.joinNewest(worker)
    worker.streams.remove(token & ~TokenKind.mask)
    clear()
    worker.giveStream(self)
  }

  private func clear() {
    connection = nil
    exchange.secure = nil
    exchange.hasAddressHash = false
    id = 0
    token = 0
    isLeftOver = false
    isClosed = false
    wasReset = false
    isConnect = false
    hasHead = false
    isAnswered = false
    hasSaidAll = false
    dropsContent = false
    pendingSent = 0
    // One that grew is not kept.
    if pending.capacity > 4 << 10 { pending.release() } else { pending.removeAll() }
    trailers.removeAll()
    room = 0
    piece = ByteView()
    input.release()
    inputTrailers.release()
    contentReceived = 0
    deadline = .max
    timerSet = .max
    wakeSet = .max
  }
}

// RFC 8441: a WebSocket in a stream.
extension HTTP2Stream {
  /// Agrees to the CONNECT, and joins the stream to an origin's connection.
  func beginTunnel(to origin: OriginConnection, lines: ByteView) {
    guard let connection else { return }
    tunnel = origin.token
    hasHead = true
    isAnswered = true
    var kept = ByteBuffer(capacity: lines.count)
    FieldLines.forEach(lines) { line in
      // The handshake that it belongs to was the node's own.
      if line.name != ByteView("sec-websocket-accept") { kept.append(line.whole) }
    }
    connection.session.respond(id, status: 200, lines: kept.view, contentFollows: true)
    touchTunnel()
    connection.schedule()
  }

  private var origin: OriginConnection? { tunnel.flatMap { worker.origins.element($0) } }

  private func touchTunnel() {
    setDeadline(worker.now.monotonic + worker.clientSettings.idleTimeout)
  }

  /// Passes on what the client has sent.
  private func pushTunnel() {
    guard let origin, let connection else { return }
    guard origin.flush() else { return }
    if !input.isEmpty {
      origin.send(input.view)
      connection.session.consume(id, input.count)
      input.release()
      touchTunnel()
    }
    if inputEnded && !hasPassedEnd {
      hasPassedEnd = true
      origin.endTunnelSending()
    }
  }

  private func pullTunnel(_ limit: Int) -> HTTP2Content {
    guard let origin else { return last(ByteView()) }
    let bytes = origin.readForTunnel()
    if bytes.isEmpty {
      guard origin.hasEnded else { return .wait }
      lingerForInput()
      return last(ByteView())
    }
    touchTunnel()
    pending.append(bytes)
    return pullPending(limit)
  }

  private func closeTunnel() {
    guard tunnel != nil else { return }
    if let origin { worker.close(origin) }
    tunnel = nil
    exchange.settleLimits(worker)
    exchange.isTunnel = false
  }
}

extension Worker {
  /// Streams that are kept for reuse.
  private static let mostSpareStreams = 1_024

  func takeStream() -> HTTP2Stream { spareStreams.popLast() ?? HTTP2Stream(worker: self) }

  func giveStream(_ stream: HTTP2Stream) {
    if spareStreams.count < Self.mostSpareStreams { spareStreams.append(stream) }
  }

  /// The client of a name: a connection, or a stream of one.
  func peer(_ token: UInt64) -> (any ClientPeer)? {
    if token & TokenKind.mask == TokenKind.stream {
      return streams.element(token & ~TokenKind.mask)
    }
    return clients.element(token)
  }

  /// Lets a client go on.
  @inline(__always)
  func advance(_ token: UInt64) {
    if token & TokenKind.mask == TokenKind.stream {
      streams.element(token & ~TokenKind.mask)?.advance()
    } else {
      clients.element(token)?.advance()
    }
  }
}
