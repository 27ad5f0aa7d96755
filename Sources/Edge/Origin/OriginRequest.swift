// One request to an origin, and the reading of its answer into a fill.
//
//   start → connecting → sending → head (after any interim ones) → content → done
//
// It belongs to the worker that leads the fill. The client that began it may go; a fill that others
// wait for, or that is being stored, goes on without it.
//
// A request is tried again on a fresh connection, once, if it went out on a connection that had been
// idle and the server ended that one without a byte of an answer: it may have done so before it saw the
// request (RFC 9112 §9.3.1). Only idempotent requests, and only if no content went with it.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTP1
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Origins

final class OriginRequest {
  enum Stage {
    case connecting
    case head
    case content
    case done
  }

  // A strong constant: the optimizer then borrows it wherever it is used, where an unowned reference
  // is counted at each use. The worker ends after all that it owns has left its tables.
  let worker: Worker
  let fill: Fill
  let head: RequestHead
  let route: Int
  let client: SocketAddress
  /// Whether the answer is asked for the store: whole, and without the client's conditions.
  let isFill: Bool
  let isUpgrade: Bool
  /// The stored response that is being validated.
  var stored: StoredReference?
  let pool: Int
  /// What rules have decided of the request; nil for routes without them.
  let decision: RuleDecision?
  /// What they have decided of the response, and of which status they were told.
  var ruled = ResponseVerdict()
  var ruledStatus: UInt16 = 200
  /// The client's connection that began it, while it is there.
  var clientConnection: UInt64?

  var connection: OriginConnection?
  var stage = Stage.connecting
  private var server = 0
  private var serversLeft: Int
  private var retriesLeft = 1
  private var wire = ByteBuffer()
  /// Whether all of the request is handed to the connection.
  private var sentAll: Bool
  private var sentContent = false
  private var receivedAny = false
  private var interimCount = 0

  /// Whether the origin sent more than the answer.
  var hasExtra = false

  let response = ResponseHead()
  /// When the request was sent, and the head received: wall clock, ms (RFC 9111 §4.2.3).
  var requestTime: Int64 = 0
  var responseTime: Int64 = 0
  var remaining: UInt64 = 0
  var decoder: ChunkedDecoder?
  var sink: FillSink
  /// Whether it is made behind the back of a client that has its answer.
  var isBackground = false
  /// How often the key has been asked for lately, this request counted.
  var uses = UInt32.max

  /// Bytes read from an origin in one turn at most.
  static let bytesPerTurn = 1 << 20
  /// Interim responses before a final one, at most.
  static let interimLimit = 32
  /// Content that may wait for the origin before the client's is read on.
  static let backlogLimit = 64 << 10

  init(
    worker: Worker, fill: Fill, head: RequestHead, route: Int, client: SocketAddress, isFill: Bool,
    upgrade: Bool, stored: StoredReference?, decision: RuleDecision?
  ) {
    self.worker = worker
    self.fill = fill
    self.head = head
    self.route = route
    self.client = client
    self.isFill = isFill
    isUpgrade = upgrade
    self.stored = stored
    self.decision = decision
    pool = Self.pool(worker, route, decision)
    serversLeft = worker.context.pools[pool].servers.count
    sentAll = isFill || head.framing == .none || head.framing == .length(0)
    sink = FillSink(fill: fill, worker: worker)
  }

  // MARK: Beginning

  func start() {
    worker.counters.add(.originRequests)
    worker.counters.add(.fillsStarted)
    server = worker.context.pools[pool].nextServer()
    connect(reuse: true)
  }

  /// Begins once more, on whatever connection there is.
  func startAgain() {
    worker.counters.add(.originRequests)
    connect(reuse: true)
  }

  private var settings: OriginSettings { OriginSettings(worker.context.pools[pool].configuration) }

  private func connect(reuse: Bool) {
    stage = .connecting
    receivedAny = false
    do {
      let connection = try worker.openOrigin(OriginKey(pool: pool, server: server), reuse: reuse)
      self.connection = connection
      connection.request = self
      if connection.phase == .active {
        connected()
      } else {
        connection.setDeadline(worker.now.monotonic + settings.connectTimeout)
      }
    } catch {
      tryNextServer(error.failure)
    }
  }

  private func tryNextServer(_ failure: OriginFailure) {
    worker.counters.add(failure == .connectTimeout ? .originTimeouts : .originConnectErrors)
    serversLeft -= 1
    if serversLeft > 0 && !sentContent {
      server = (server + 1) % worker.context.pools[pool].servers.count
      connect(reuse: true)
    } else {
      end(with: failure)
    }
  }

  /// The connection is there: the request goes out.
  func connected() {
    guard let connection else { return }
    stage = .head
    requestTime = worker.now.wall
    compose()
    connection.send(wire.view)
    waitForHead()
    // The client may go on with its content now.
    if !sentAll { worker.noteMoved(fill) }
  }

  private func waitForHead() {
    guard let connection else { return }
    if sentAll {
      connection.setDeadline(worker.now.monotonic + settings.firstByteTimeout)
    } else if connection.backlog > 0 {
      connection.setDeadline(worker.now.monotonic + settings.betweenBytesTimeout)
    } else {
      // It is the client's turn, and its time is counted on its own connection.
      connection.clearDeadline()
    }
  }

  private func compose() {
    wire.removeAll()
    var options = ForwardingOptions()
    options.isFill = isFill
    options.isBackground = isBackground
    options.upgrade = isUpgrade
    let host = Array((worker.context.pools[pool].configuration.hostField ?? "").utf8)
    var slice = ByteBuffer()
    appendSliceFields(to: &slice)
    var target = ByteBuffer()
    if isFill { policy.appendTarget(head, to: &target) }
    options.target = target.view
    let tag = stored?.entityTag ?? []
    let modified = stored?.lastModified ?? []
    host.withView { host in
      tag.withView { tag in
        modified.withView { modified in
          options.host = host
          options.nodeName = worker.nodeName.view
          options.entityTag = tag
          options.lastModified = modified
          options.slice = slice.view
          RequestComposer.append(head, client: client, options: options, to: &wire)
        }
      }
    }
  }

  // MARK: The request's content

  /// Whether content may be handed over now.
  var acceptsContent: Bool {
    guard stage == .head || stage == .content, let connection, !sentAll else { return false }
    return connection.backlog < Self.backlogLimit
  }

  /// Passes content on, in the coding that the request came in.
  func sendContent(_ content: ByteView) {
    guard let connection, !content.isEmpty else { return }
    sentContent = true
    if head.framing == .chunked {
      var header = ByteBuffer(capacity: 20)
      HTTP1Writer.chunkHeader(length: content.count, to: &header)
      connection.send(header.view)
      connection.send(content)
      connection.send(ByteView("\r\n"))
    } else {
      connection.send(content)
    }
    waitForHead()
  }

  /// The content is complete.
  func endContent(trailers: ByteView) {
    guard let connection, !sentAll else { return }
    sentAll = true
    if head.framing == .chunked {
      var last = ByteBuffer(capacity: 64)
      HTTP1Writer.lastChunk(trailers: trailers, to: &last)
      connection.send(last.view)
    }
    waitForHead()
  }

  /// The client's content broke off.
  func abort() {
    guard stage != .done else { return }
    end(with: .requestAborted)
  }

  /// The client that began this is gone, or has its answer.
  func clientLeft(connection token: UInt64, sentAll hasSentAll: Bool) {
    if clientConnection == token { clientConnection = nil }
    guard stage != .done else { return }
    if !hasSentAll && !sentAll { end(with: .requestAborted) }
  }

  // MARK: What the connection says

  /// Sends and reads as far as it goes.
  func progress() {
    guard let connection, stage != .done else { return }
    let hadBacklog = connection.backlog > 0
    if connection.flush() && hadBacklog && !sentAll {
      connection.clearDeadline()
      worker.noteMoved(fill)
    }
    var budget = Self.bytesPerTurn
    while connection.isReadable && stage != .done && connection.phase == .active {
      if stage == .content && !fill.mayReadOn() {
        if isForNobody { end(with: .requestAborted) } else { connection.clearDeadline() }
        return
      }
      if budget <= 0 {
        worker.runAgain(connection.token | TokenKind.origin)
        return
      }
      let count = stage == .content ? readContent() : readHead()
      if count <= 0 { return }
      budget -= count
    }
  }

  /// A client or the store made room, or the last client left.
  func goOn() {
    guard stage != .done else { return }
    if isForNobody && (fill.key == nil || stage == .content) {
      end(with: .requestAborted)
      return
    }
    if stage == .content {
      // While the origin is held back no deadline runs.
      if let connection, !connection.hasDeadline {
        connection.setDeadline(worker.now.monotonic + settings.betweenBytesTimeout)
      }
      progress()
    }
  }

  /// Whether no client reads the answer and it is not being stored.
  var isForNobody: Bool { !fill.hasReaders && !sink.isStoring }

  func stopStoring() { sink.stopStoring() }

  private func readHead() -> Int {
    guard let connection else { return 0 }
    let result: IOResult
    let bytes: ByteView
    if connection.input.isEmpty {
      result = unsafe connection.socket.receive(into: worker.originBuffer)
      bytes = unsafe ByteView(unsafe: UnsafeRawBufferPointer(worker.originBuffer))
        .prefix(result.count ?? 0)
    } else {
      result = connection.socket.receive(onto: &connection.input, limit: 32 << 10)
      bytes = connection.input.view
    }
    guard let count = result.count, count > 0 else {
      connection.isReadable = false
      if !result.wouldBlock { failed(.closedEarly, on: connection) }
      return 0
    }
    worker.counters.add(.originBytesReceived, UInt64(count))
    receivedAny = true
    parse(bytes, isOwned: !connection.input.isEmpty)
    return count
  }

  /// Parses as many heads as there are: some interim ones (`interimLimit`), then the final one.
  private func parse(_ bytes: ByteView, isOwned: Bool) {
    guard let connection else { return }
    var offset = 0
    while stage == .head {
      let rest = bytes.dropping(first: offset)
      let limits = HeadLimits(
        maxRequestLine: settings.maxHeader, maxHead: settings.maxHeader, maxFields: 1000)
      switch ResponseParser.parse(
        rest, limits: limits, requestMethod: head.method, into: response)
      {
      case .incomplete:
        if isOwned { connection.input.removeFirst(offset) } else { connection.input.append(rest) }
        if connection.input.count > settings.maxHeader { failed(.headTooLarge, on: connection) }
        return
      case .invalid(let defect):
        failed(
          defect == .headTooLarge || defect == .tooManyFields ? .headTooLarge : .malformed,
          on: connection)
        return
      case .complete:
        offset += response.length
        if response.status < 200 {
          guard interim(rest: bytes.dropping(first: offset)) else { return }
        } else {
          responseTime = worker.now.wall
          stage = .content
          final(content: bytes.dropping(first: offset))
          if let connection = self.connection { connection.input.removeAll() }
          return
        }
      }
    }
  }

  /// A 1xx. False if the connection is a tunnel now, or no longer ours.
  private func interim(rest: ByteView) -> Bool {
    guard let connection else { return false }
    interimCount += 1
    guard interimCount <= Self.interimLimit else {
      failed(.malformed, on: connection)
      return false
    }
    let clientConnection = clientConnection.flatMap { worker.clients.element($0) }
    var lines = ByteBuffer(capacity: 256)
    if response.status == 101 {
      guard isUpgrade, let clientConnection else {
        failed(.malformed, on: connection)
        return false
      }
      ResponseComposer.appendUpgrade(response, to: &lines)
      var kept = ByteBuffer(capacity: rest.count)
      kept.append(rest)
      connection.input = kept
      connection.phase = .tunnel
      connection.client = clientConnection.token
      connection.clearDeadline()
      stage = .done
      worker.leading[ObjectIdentifier(fill)] = nil
      connection.request = nil
      worker.counters.add(.fillsEnded)
      worker.counters.add(.tunnelsOpened)
      fill.complete(trailers: [])
      clientConnection.exchange.becameTunnel(on: clientConnection)
      clientConnection.beginTunnel(to: connection, lines: lines.view)
      worker.runAgain(clientConnection.token)
      return false
    }
    if let clientConnection, clientConnection.exchange.fill === fill,
      clientConnection.exchange.head(worker).minorVersion > 0
    {
      ResponseComposer.appendInterim(response, to: &lines)
      clientConnection.sendInterim(status: response.status, lines: lines.view)
    }
    return true
  }

  // MARK: The end

  /// Something went wrong on a connection: once more, or that was it.
  func failed(_ failure: OriginFailure, on connection: OriginConnection) {
    guard stage != .done else { return }
    let wasReused = connection.isReused
    self.connection = nil
    worker.close(connection)
    if stage == .connecting {
      tryNextServer(failure)
      return
    }
    if wasReused, !receivedAny, retriesLeft > 0, stage == .head, head.method.isIdempotent,
      !sentContent, failure == .closedEarly
    {
      retriesLeft -= 1
      worker.counters.add(.originRetries)
      connect(reuse: false)
      return
    }
    worker.counters.add(
      failure == .malformed || failure == .headTooLarge ? .originFramingErrors : .originResets)
    end(with: failure)
  }

  func timedOut(on connection: OriginConnection) {
    guard stage != .done else { return }
    let failure: OriginFailure =
      switch stage {
      case .connecting: .connectTimeout
      case .head: .firstByteTimeout
      case .content, .done: .contentTimeout
      }
    self.connection = nil
    worker.close(connection)
    if stage == .connecting {
      tryNextServer(failure)
    } else {
      worker.counters.add(.originTimeouts)
      end(with: failure)
    }
  }

  /// The answer will not come, or not whole.
  func end(with failure: OriginFailure) {
    guard stage != .done else { return }
    if let connection {
      self.connection = nil
      worker.close(connection)
    }
    if stage != .content, serveStale(instead: nil) { return }
    stage = .done
    worker.leading[ObjectIdentifier(fill)] = nil
    worker.counters.add(.fillsEnded)
    worker.counters.add(.fillsFailed)
    sink.fail()
    fill.fail(failure)
    worker.noteMoved(fill)
  }

  /// The answer is whole.
  func complete(trailers: ByteView) {
    guard stage != .done else { return }
    stage = .done
    worker.counters.add(.fillsEnded)
    sink.finish()
    fill.complete(trailers: trailers.array)
    if fill.committed(through: 0) { worker.context.fills.remove(fill) }
    worker.leading[ObjectIdentifier(fill)] = nil
    worker.noteMoved(fill)
    releaseConnection()
  }

  /// Gives the connection back, if it may carry another request.
  func releaseConnection() {
    guard let connection else { return }
    self.connection = nil
    if response.keepAlive && sentAll && connection.backlog == 0
      && response.framing != .untilClose && !hasExtra
    {
      worker.keep(connection)
    } else {
      worker.close(connection)
    }
  }
}

/// What a request goes by, of its pool.
struct OriginSettings {
  let connectTimeout: Int64
  let firstByteTimeout: Int64
  let betweenBytesTimeout: Int64
  let maxHeader: Int
}
