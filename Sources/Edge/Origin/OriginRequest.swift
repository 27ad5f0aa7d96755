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
  /// Whether it has had its turn among validations, and whether it waits for it.
  var hasTurn = false
  var awaitsTurn = false
  /// Whether it has ended because its turn would have come too late.
  var isTurnless = false
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
  var interimCount = 0

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
    if let signer = generation.signers[pool], !signer.takes(head.method) {
      return answer(signer.refusal)
    }
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
    if let trace {
      trace.askOrigin(at: worker.clock.monotonic())
      trace.explanation?.asks(serverOfAttempt, on: connection.isReused ? .kept : .fresh)
    }
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
    let signer = generation.signers[pool]
    var options = ForwardingOptions()
    options.isSigned = signer != nil
    // What is stored has no trailers.
    options.takesTrailers = !isFill && RequestComposer.takesTrailers(head)
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
    if let trace, trace.isExported {
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
    signer?.sign(&worker.wire, hasContent: !isFill && hasContent, now: worker.now.wall)
  }

  /// Whether content follows the head.
  private var hasContent: Bool {
    switch head.framing {
    case .none, .length(0): false
    case .length, .chunked, .untilClose: true
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
      stream.send(ByteView(), isLast: true, trailers: trailers)
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

}
