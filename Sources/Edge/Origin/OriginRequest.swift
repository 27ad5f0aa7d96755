// One request to an origin, and the reading of its answer into a fill.
//
//   start → queued → connecting → head (after any interim ones) → content → done
//             ↑          ↓           ↓
//             └────── pausing ←──────┘     (`OriginRequest+Tries.swift`: servers, further tries, hedges)
//
// It belongs to the worker that leads the fill. The client that began it may go; a fill that others
// wait for, or that is being stored, goes on without it.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import Fleet
internal import HTTP1
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Origins

final class OriginRequest {
  enum Stage {
    /// It waits until its pool takes one more miss.
    case gated
    /// It waits for a place at a server.
    case queued
    /// It waits until it may try again.
    case pausing
    case connecting
    case head
    case content
    case done
  }

  // A strong constant: the optimizer then borrows it wherever it is used, where an unowned reference
  // is counted at each use. The worker ends after all that it owns has left its tables.
  let worker: Worker
  /// The configuration that its request began with.
  let generation: WorkerGeneration
  let fill: Fill
  let head: RequestHead
  let route: Int
  let client: SocketAddress
  /// Whether the answer is asked for the store: whole, and without the client's conditions.
  let isFill: Bool
  let isUpgrade: Bool
  /// The stored response that is being validated.
  var stored: StoredReference?
  /// Stored variants of which a 304 may name one, where none is known to fit.
  var offer: VariantOffer?
  /// This worker's side of the pool, and the pool's number.
  let side: PoolSide
  let pool: Int
  /// What rules have decided of the request; nil for routes without them.
  let decision: RuleDecision?
  /// What they have decided of the response, and of which status they were told.
  var ruled = ResponseVerdict()
  var ruledStatus: UInt16 = 200
  /// The client's connection that began it, while it is there.
  var clientConnection: UInt64?

  var connection: OriginConnection?
  /// Its part of a shared connection, in place of one of its own, and until when that must have moved.
  var stream: OriginStream?
  var streamDeadline = Int64.max
  /// Whether the server wants it by HTTP/1.1 (RFC 9113 §7).
  var needsHTTP1 = false
  var stage = Stage.connecting

  // Its tries.
  var plan: TryPlan
  /// Servers that have failed for it.
  var tried = ServerSet()
  /// Its place at a server: from the choice until the content has ended.
  var attempt: Attempt?
  /// Its place in the pool's queue.
  var ticket: WaitTicket?
  /// Its place in the line of misses, and whether it has one of theirs.
  var missTicket: WaitTicket?
  var hasMissPlace = false
  /// Connections that are being made.
  var connecting: Connecting?
  /// The second try beside the first.
  var hedge: HedgedTry?
  /// Until when the head of the present try's answer must be there (monotonic).
  var tryEnd = Int64.max
  /// The next try is made on a fresh connection: a kept one had ended.
  var avoidsKept = false
  /// What the last try failed with.
  var lastFailure: OriginFailure?
  /// Its name among the worker's requests, once it needs one; 0: none.
  var token: UInt64 = 0
  var timer = Int64.max
  var timerSet = Int64.max
  /// The file that answers it, in place of a server.
  var file: FileSource?

  /// Whether all of the request is handed to the connection.
  private(set) var sentAll: Bool
  /// Whether some of its content is, which cannot be sent again.
  private(set) var sentContent = false
  var receivedAny = false
  private var interimCount = 0

  /// Whether the origin sent more than the answer.
  var hasExtra = false
  /// Whether the connection is now its client's, by its authentication.
  var isBound = false

  let response = ResponseHead()
  /// When the request was sent, and the head received: wall clock, ms (RFC 9111 §4.2.3).
  var requestTime: Int64 = 0
  var responseTime: Int64 = 0
  var remaining: UInt64 = 0
  var decoder: ChunkedDecoder?
  var sink: FillSink
  /// The trace of the request that asks, if it is traced.
  var trace: RequestTrace?
  /// Whether the client's connection has TLS, and whether it speaks HTTP/2.
  var isSecure = false
  var isHTTP2 = false
  /// Through where the PoP has purged that asks, if it is one.
  var purgedThrough: FleetPlace?
  /// The scheme of the target URI.
  var scheme: StaticString { isSecure ? "https" : "http" }
  /// The tags of its answer, if that is the one of many whose tags are noted (`TrafficSketch`).
  var notedTags: [UInt64] = []
  /// Whether it is made behind the back of a client that has its answer.
  var isBackground = false
  /// What limits have let it pass; settled at its end.
  var held: HeldChecks?
  /// Whether it asks a service whether a client's request may pass (`ServiceGate`).
  var isQuestion = false
  /// Whether a client has the beginning of the answer that this is a part of.
  var goesOn = false
  /// Whether these say what the request is called.
  var isNamed = false
  /// Lines of the node's own that it has besides.
  var ownLines: [UInt8] = []
  /// Why the origin is asked.
  var reason = ForwardReason.miss
  /// How often the key has been asked for lately, this request counted.
  var uses = UInt32.max

  /// Bytes read from an origin in one turn at most.
  static let bytesPerTurn = 1 << 20
  /// Interim responses before a final one, at most.
  static let interimLimit = 32
  /// Content that may wait for the origin before the client's is read on.
  static let backlogLimit = 64 << 10

  init(
    worker: Worker, generation: WorkerGeneration, fill: Fill, head: RequestHead, route: Int,
    client: SocketAddress, isFill: Bool, upgrade: Bool, stored: StoredReference?,
    decision: RuleDecision?, pool chosen: Int? = nil
  ) {
    self.worker = worker
    self.generation = generation
    self.fill = fill
    self.head = head
    self.route = route
    self.client = client
    self.isFill = isFill
    isUpgrade = upgrade
    self.stored = stored
    self.decision = decision
    pool = chosen ?? Self.pool(generation, route, decision)
    side = generation.sides[pool]
    plan = side.balancer.plan(isIdempotent: head.method.isIdempotent, now: worker.now.monotonic)
    sentAll = isFill || head.framing == .none || head.framing == .length(0)
    sink = FillSink(fill: fill, worker: worker, generation: generation, route: route)
  }

  // MARK: Beginning

  func start() {
    worker.counters.add(.fillsStarted)
    if let site = generation.shared.fileSites[pool] { open(in: site) } else { passGate() }
  }

  /// Begins once more, on whatever connection there is.
  func startAgain() {
    attempt.take()?.end(now: worker.now.monotonic)
    file = nil
    if let site = generation.shared.fileSites[pool] {
      open(in: site)
    } else if isCountedMiss, !hasMissPlace, !worker.isFeeding {
      passGate()
    } else {
      chooseAgain(after: 0)
    }
  }

  var settings: OriginSettings { side.settings }

  /// A connection is there: the request goes out.
  func send(on connection: OriginConnection) {
    self.connection = connection
    connection.request = self
    stage = .head
    receivedAny = false
    requestTime = worker.now.wall
    trace?.askOrigin(at: worker.clock.monotonic())
    compose()
    connection.send(worker.wire.view)
    waitForHead()
    armHedge()
    // The client may go on with its content now.
    if !sentAll { worker.noteMoved(fill) }
  }

  func waitForHead() {
    if let stream {
      if sentAll {
        setStreamDeadline(min(worker.now.monotonic + settings.firstByteTimeout, tryEnd))
      } else {
        let waits = stream.backlog > 0
        setStreamDeadline(waits ? worker.now.monotonic + settings.betweenBytesTimeout : .max)
      }
    }
    guard let connection else { return }
    if sentAll {
      connection.setDeadline(min(worker.now.monotonic + settings.firstByteTimeout, tryEnd))
    } else if connection.backlog > 0 {
      connection.setDeadline(worker.now.monotonic + settings.betweenBytesTimeout)
    } else {
      // It is the client's turn, and its time is counted on its own connection.
      connection.clearDeadline()
    }
  }

  /// Writes the request into the worker's buffer.
  func compose() {
    worker.wire.removeAll()
    var options = ForwardingOptions()
    options.isFill = isFill
    options.isNamed = isNamed
    options.isBackground = isBackground
    options.upgrade = isUpgrade
    options.ownLines = decision?.ownLines ?? 0
    options.isSecure = isSecure
    options.isHTTP2 = isHTTP2
    var slice = ByteBuffer()
    appendSliceFields(to: &slice)
    if !ownLines.isEmpty { ownLines.withView { slice.append($0) } }
    offer?.tags.appendCondition(to: &slice)
    appendTierFields(to: &slice)
    if let trace {
      options.isTraced = true
      trace.appendField(to: &slice)
    }
    var target = ByteBuffer()
    options.isKeyed = !fill.fullKey.isEmpty
    if isFill || options.isKeyed { policy.appendTarget(head, to: &target) }
    options.target = target.view
    let tag = stored?.entityTag ?? []
    let modified = stored?.lastModified ?? []
    side.host.withView { host in
      tag.withView { tag in
        modified.withView { modified in
          options.host = host
          options.nodeName = worker.nodeName.view
          options.entityTag = tag
          options.lastModified = modified
          options.slice = slice.view
          RequestComposer.append(head, client: client, options: options, to: &worker.wire)
        }
      }
    }
  }

  // MARK: The request's content

  /// Whether content may be handed over now.
  var acceptsContent: Bool {
    guard stage == .head || stage == .content, !sentAll else { return false }
    if let stream { return stream.backlog < Self.backlogLimit }
    guard let connection else { return false }
    return connection.backlog < Self.backlogLimit
  }

  /// Passes content on, in the coding that the request came in.
  func sendContent(_ content: ByteView) {
    if let stream, !content.isEmpty {
      sentContent = true
      stream.send(content, isLast: false)
      waitForHead()
      return
    }
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
    if let stream, !sentAll {
      sentAll = true
      sentContent = true
      noteSentAll()
      stream.send(ByteView(), isLast: true)
      waitForHead()
      return
    }
    guard let connection, !sentAll else { return }
    sentAll = true
    sentContent = true
    noteSentAll()
    if head.framing == .chunked {
      var last = ByteBuffer(capacity: 64)
      HTTP1Writer.lastChunk(trailers: trailers, to: &last)
      connection.send(last.view)
    }
    waitForHead()
  }

  /// The server's time begins.
  private func noteSentAll() {
    guard var held = attempt.take() else { return }
    held.sentAll(now: worker.now.monotonic)
    attempt = consume held
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
    if file != nil { readFile() }
    guard let connection, stage != .done else { return }
    let hadBacklog = connection.backlog > 0
    if connection.flush() && hadBacklog && !sentAll {
      connection.clearDeadline()
      worker.noteMoved(fill)
    }
    var budget = Self.bytesPerTurn
    while connection.isReadable && stage != .done && connection.phase == .active {
      if stage == .content && !mayReadOn() {
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
    if isForNobody && (fill.key == nil || stage == .content || stage == .gated && !isBackground) {
      end(with: .requestAborted)
      return
    }
    if stage == .content, stream != nil {
      resumeStream()
    } else if stage == .content {
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
      result = unsafe connection.receive(into: worker.originBuffer)
      bytes = unsafe ByteView(unsafe: UnsafeRawBufferPointer(worker.originBuffer))
        .prefix(result.count ?? 0)
    } else {
      result = connection.receiveInput(limit: 32 << 10)
      bytes = connection.input.view
    }
    guard let count = result.count, count > 0 else {
      connection.isReadable = false
      if !result.wouldBlock { failed(.closedEarly, on: connection) }
      return 0
    }
    noteReceived(count)
    receivedAny = true
    dropHedge()
    parse(bytes, isOwned: !connection.input.isEmpty)
    return count
  }

  /// Parses as many heads as there are: some interim ones (`interimLimit`), then the final one.
  func parse(_ bytes: ByteView, isOwned: Bool) {
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
          if connection.security != nil { connection.keepSession() }
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
    guard noteInterim() else {
      failed(.malformed, on: connection)
      return false
    }
    let clientConnection = clientConnection.flatMap { worker.peer($0) }
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
      answered(status: 101)
      connection.tunnelAttempt = attempt.take()
      connection.request = nil
      retire()
      worker.counters.add(.tunnelsOpened)
      fill.complete(trailers: [])
      clientConnection.exchange.becameTunnel(on: clientConnection)
      clientConnection.beginTunnel(to: connection, lines: lines.view)
      worker.runAgain(clientConnection.token)
      return false
    }
    passInterim()
    return true
  }

  /// Hands an interim response on to the client that began this.
  func passInterim() {
    guard let client = clientConnection.flatMap({ worker.peer($0) }),
      client.exchange.fill === fill, client.exchange.head(worker).minorVersion > 0
    else { return }
    var lines = ByteBuffer(capacity: 256)
    ResponseComposer.appendInterim(response, to: &lines)
    client.sendInterim(status: response.status, lines: lines.view)
  }

  /// Counts an interim response; false if there are too many.
  func noteInterim() -> Bool {
    interimCount += 1
    return interimCount <= Self.interimLimit
  }

  // MARK: The end

  /// The answer will not come, or not whole. `retryAfter`: when it may, as far as is known, in
  /// nanoseconds.
  func end(with failure: OriginFailure, retryAfter: Int64 = 0) {
    guard stage != .done else { return }
    dropConnections()
    if failure.isOutage { noteFailure() }
    if stage != .content, serveStale(instead: nil) { return }
    retire()
    worker.counters.add(.fillsFailed)
    sink.fail()
    fill.fail(failure, retryAfter: retryAfter)
    worker.noteMoved(fill)
  }

  /// The answer is whole.
  func complete(trailers: ByteView) {
    guard stage != .done else { return }
    sink.finish()
    fill.complete(trailers: trailers.array)
    if fill.committed(through: 0) { worker.context.fills.remove(fill) }
    worker.noteMoved(fill)
    releaseConnection()
    retire()
  }

  /// Its part is over: gives back its place and forgets its names.
  func retire() {
    noteTraffic()
    stage = .done
    worker.counters.add(.fillsEnded)
    worker.leading[ObjectIdentifier(fill)] = nil
    if token != 0 {
      worker.requests.remove(token)
      token = 0
    }
    file = nil
    attempt.take()?.end(now: worker.now.monotonic)
    leaveGate()
    if let held {
      self.held = nil
      settle(held, status: responseTime > 0 ? response.status : 0)
    }
  }

  /// Counts it for the lists of what origins are asked for.
  private func noteTraffic() {
    var url = ByteBuffer(capacity: 256)
    if fill.target.isEmpty {
      RequestTarget.appendKey(
        scheme: scheme, authority: head.bytes[head.authority], target: head.bytes[head.target],
        to: &url)
    } else {
      fill.target.withView { url.append($0) }
    }
    worker.traffic.noteMiss(
      url: url.view, host: URLParts(url.view).host, query: head.query.map { head.bytes[$0] },
      reason: reason, bytes: sink.received, now: worker.now.monotonic)
    if !notedTags.isEmpty {
      worker.traffic.noteMiss(
        tags: notedTags, reason: reason, bytes: sink.received, now: worker.now.monotonic)
    }
  }

  /// Learns the names of an answer's tags, and keeps them for its end, for one answer of many.
  func noteTags() {
    worker.unnotedAnswers &+= 1
    guard worker.unnotedAnswers >= TrafficSketch.tagSampling, let store = worker.context.store
    else { return }
    worker.unnotedAnswers = 0
    var tags: [UInt64] = []
    Tags.forEach(in: response) { tag in
      guard tags.count < TrafficSketch.mostTags else { return }
      let hash = store.tagHash(tag)
      guard !tags.contains(hash) else { return }
      tags.append(hash)
      worker.traffic.tagNames.note(hash, tag)
    }
    notedTags = tags
    // Cache groups are tags of the node's own making (RFC 9875), and are hit like others.
    guard case .groups(let groups) = CacheGroups.groups(of: response) else { return }
    for group in groups.prefix(TrafficSketch.mostTags) {
      (Array("group ".utf8) + group).withView {
        worker.traffic.tagNames.note(groupTag(group, store), $0)
      }
    }
  }

  /// Gives the connection back, if it may carry another request.
  func releaseConnection() {
    dropStream(isWhole: true)
    guard let connection else { return }
    self.connection = nil
    if response.keepAlive && !isBound && sentAll && connection.backlog == 0
      && response.framing != .untilClose && !hasExtra
    {
      worker.keep(connection, settings)
    } else {
      worker.close(connection)
    }
  }
}
