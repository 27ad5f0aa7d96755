// One request's way to its response: route → limits → lookup → hit, or the fill that answers it.
//
//   begin ─┬─ answered by the node (errors, limits, 304) ──→ finished
//          ├─ `limited` while a limit lets it wait ──→ on with the lookup
//          ├─ fresh stored response ──→ finished, or `stored` while a large body is sent
//          └─ fill, led or followed ──→ `waiting` for its head ──→ `filling` ──→ finished
//
// What a hit needs happens within one call of `begin`, from bytes in the worker's read buffer and in
// the store's map; nothing is copied but the response's head. An exchange that must wait first takes
// the request's head with it (`own`).

internal import Bytes
internal import EventLoop
internal import Fleet
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Tracing

final class Exchange {
  enum State {
    /// No request.
    case idle
    /// For the store to bring what it wants from the disk.
    case warming
    /// For its connection's handshake, before whose end it came (Exchange+Early.swift).
    case early
    /// For its turn, in the line of a limit.
    case limited
    /// To be let in (Exchange+Admission.swift).
    case admitting
    /// For the head of a fill.
    case waiting
    /// For a purge that it asked for to be written.
    case purging
    /// Content of a fill is being sent.
    case filling
    /// Chunks of a stored response are being sent.
    case stored
    /// A short content that was copied is being sent, at the pace of a limit.
    case paced
    /// All is handed to the connection.
    case finished
  }

  enum Progress {
    case finished
    case waiting
  }

  var state = State.idle
  /// The request, once it must wait; before, it is the worker's `head`.
  var ownHead: RequestHead?
  /// The index of the route, or the table's `unrouted`.
  var route = 0
  var started: Int64 = 0
  var requestWall: Int64 = 0
  /// Whom the request is from: the connection's peer, or whom trusted proxies say.
  var client = SocketAddress(high: 0, low: 0, port: 0)

  // Limits.
  /// The checks that its end has to settle.
  var held: HeldChecks?
  /// When it may ask whether its wait in a line is over; the greatest time while others are before it.
  var limitedUntil = Int64.max
  /// Whether it has passed what is asked on the way to the origin.
  var isOnItsWay = false
  /// Whether the connection is a tunnel, whose limits are settled at its end.
  var isTunnel = false
  /// Whether its answer says how it stands with its limits.
  var tellsLimits = false
  /// What holds its content back.
  var pacing: Pacing?
  /// The hash of the address that was hashed last.
  var addressHash = Hash128(low: 0, high: 0)
  var hashedAddress = Hash128(low: 0, high: 0)
  var hasAddressHash = false

  /// The TLS that its requests come by; nil: none. Set by what it belongs to.
  var secure: SecureLink?
  /// Whether they come by HTTP/2.
  var isHTTP2 = false
  /// Whether what it has waited for the handshake with is the lookup alone.
  var isPastGates = false
  /// The scheme of the target URI.
  var scheme: StaticString { secure == nil ? "http" : "https" }

  /// Whether rules or authentication have something in `ruled`.
  var isRuled = false
  var ruled = RuledRequest()

  /// What is noted of it for a trace; nil for all but the few that are traced.
  var trace: RequestTrace?

  // What the log and the counters say in the end.
  var status: UInt16 = 0
  var result = CacheResult.none
  var reason: ForwardReason?
  var contentSent: UInt64 = 0
  var originStarted: Int64 = -1
  /// From then to the head of the origin's response, nanoseconds; −1 before.
  var originDuration: Int64 = -1

  // Where the content comes from.
  var fill: Fill?
  var isLeader = false
  /// Whether the origin was asked for the whole response without the client's conditions, which are
  /// then for the node to evaluate.
  var asksForWhole = false
  var position: UInt64 = 0
  var end: UInt64 = 0
  /// What of it is fetched in slices.
  var sliced: SlicedBody?
  /// Where the content of `fill` begins within the representation.
  var fillStart: UInt64 = 0
  /// The parts that are still to be sent, of several.
  var parts: MultipartRanges?
  var bodyID: UInt64 = 0
  /// Names the stored response whose chunks are being sent.
  var storedID: UInt64 = 0
  var storedHash = Hash128(low: 0, high: 0)
  /// The origin request that this request's content goes to.
  var upstream: OriginRequest?
  /// The purge that it asked for.
  var purging: PurgeInProgress?

  /// The tags of what it serves, if it is the hit of many that is noted (`TrafficSketch`).
  var notedTags: [UInt64]?

  /// What it is called.
  var requestID = RequestID()
  /// Whether it only asks how the node is.
  var isHealthCheck = false
  /// Whether nothing of it may go to an origin.
  var isStoreOnly = false
  var hasSentHead = false
  /// Whether the request's content is being passed on.
  var takesBody = false
  /// Whether the client may still be sending what nobody will read.
  var wasRefused = false
  /// Whether the origin's answer turned out not to be for slices.
  var avoidsSlices = false
  /// Whether it has waited too long for another's answer.
  var isOverdue = false
  /// Through where the PoP has purged that asks; nil: it is none, or none that is believed.
  var purgedThrough: FleetPlace?
  /// Whether that is further than this PoP has: then what is stored is validated.
  var asksForMore = false
  /// Whether chunks are being brought from the disk.
  var isWarming = false
  /// Whether the record has been brought from the disk for it.
  var hasWarmed = false
  /// Up to where chunks have been.
  var warmedThrough: UInt64 = 0
  /// Whether the route's rules for failures have run, and the pool that they chose.
  var hasDegraded = false
  var fallback: Int?
  /// How often the way was begun again, because a fill turned out not to be for this request.
  var attempts = 0
  static let maxAttempts = 3

  /// The configuration that the request began with.
  private(set) var generation: WorkerGeneration
  /// Its number: a look at it counts no reference.
  private(set) var generationNumber: UInt64

  init(_ generation: WorkerGeneration) {
    self.generation = generation
    generationNumber = generation.number
  }

  /// Whether it waits for the head of an answer that another request asked for.
  var isFollowing: Bool {
    state == .waiting && !isLeader && fill != nil || state == .admitting
  }

  /// The request's head.
  func head(_ worker: Worker) -> RequestHead {
    ownHead ?? (isRuled && ruled.isEdited ? worker.rules.head : worker.head)
  }

  // MARK: Beginning

  /// Forgets whatever an earlier request has left, which may have been another client's.
  func reset(_ worker: Worker) {
    started = worker.now.monotonic
    requestWall = worker.now.wall
    status = 0
    result = .none
    reason = nil
    contentSent = 0
    originStarted = -1
    originDuration = -1
    requestID.source = .none
    hasSentHead = false
    isStoreOnly = false
    takesBody = false
    wasRefused = false
    isLeader = false
    attempts = 0
    isPastGates = false
    hasDegraded = false
    fallback = nil
    avoidsSlices = false
    hasWarmed = false
    isOverdue = false
    isWarming = false
    warmedThrough = 0
    isOnItsWay = false
    tellsLimits = false
    route = generation.routes.unrouted
  }

  func begin(_ head: RequestHead, on connection: some ClientStream) {
    let worker = connection.worker
    if generationNumber != worker.generationNumber { join(worker.generation) }
    state = .waiting
    reset(worker)
    if worker.traceThreshold != 0 { beginTrace(head, worker) }
    guard findsClient(head, on: connection) else { return }
    if worker.isInFleet, !hearsPoPs(head, on: connection) { return }
    if generation.routes.namesRequests { nameRequest(head, on: connection) }
    if generation.routes.health != nil, answersHealth(head, on: connection) { return }
    enter(head, on: connection)
  }

  /// The way from the head to the lookup.
  func enter(_ head: RequestHead, on connection: some ClientStream) {
    let worker = connection.worker
    let bytes = head.bytes
    worker.hostBuffer.removeAll()
    RequestTarget.appendHost(bytes[head.authority], to: &worker.hostBuffer)
    if let secure {
      if secure.isEarly, !mayBeginEarly(head) { return waitForHandshake(on: connection) }
      if secure.isMisdirected(worker.hostBuffer.view) {
        refuse(status: 421, text: "This connection is for another host.", on: connection)
        return
      }
    }
    switch head.method {
    case .connect:
      refuse(status: 405, text: "CONNECT is not for this server.", on: connection)
      return
    case .trace:
      refuse(status: 405, text: "TRACE is not answered.", on: connection)
      return
    case .options where isForThisNode(head):
      answerOptions(on: connection)
      return
    default: break
    }
    var path = bytes[head.path]
    let shape = RequestTarget.shape(of: path)
    switch shape {
    case .plain: break
    case .dotted:
      refuse(status: 400, text: "The path has dot segments.", on: connection)
      return
    case .disguised, .ambiguous:
      worker.pathBuffer.removeAll()
      RequestTarget.appendPlain(path, to: &worker.pathBuffer)
      path = worker.pathBuffer.view
    }
    let way = generation.routes.find(host: worker.hostBuffer.view, path: path)
    if case .ambiguous = shape, !leadsOnly(to: way, bytes[head.path], worker) {
      refuse(status: 400, text: "The path can be read in two ways.", on: connection)
      return
    }
    guard let found = way else {
      refuse(status: 404, text: "No site or route for this address.", on: connection)
      return
    }
    route = found
    guard isAskedAsRouteWants(on: connection) else { return }
    if let secure, secure.isEarly, generation.gates.gates[found] != nil {
      return waitForHandshake(on: connection)
    }
    if case .purge = head.method, takesPurges(worker) {
      purge(head, on: connection)
      return
    }
    let switched = worker.context.switches.version
    if switched != 0, !passesSwitches(switched, on: connection) { return }
    if case .length(let length) = head.framing, length > generation.routes.routes[found].maxBody {
      refuse(status: 413, text: "The request's content is too large.", on: connection)
      return
    }
    if !generation.routes.routes[found].limits.early.isEmpty, !passesEarlyLimits(on: connection) {
      return
    }
    guard isLetIn(on: connection) else { return }
    proceed(self.head(worker), on: connection)
  }

  /// Whether a path takes the same route however it is read; the host is in the worker's buffer. An
  /// origin may read it otherwise than the node, and what a route wants counts only on its own paths.
  private func leadsOnly(to way: Int?, _ path: ByteView, _ worker: Worker) -> Bool {
    for reading in [RequestTarget.Reading.literal, .withoutParameters] {
      worker.pathBuffer.removeAll()
      RequestTarget.appendPlain(path, reading, to: &worker.pathBuffer)
      let other = generation.routes.find(host: worker.hostBuffer.view, path: worker.pathBuffer.view)
      if other != way { return false }
    }
    return true
  }

  /// Admission, rules and limits. False: the request is answered, or waits.
  private func isLetIn(on connection: some ClientStream) -> Bool {
    guard trace != nil else {
      return passesAdmission(on: connection) && passesRules(on: connection)
        && passesLimits(on: connection)
    }
    let clock = connection.worker.clock
    guard passesAdmission(on: connection) else { return false }
    trace?.end(.admission, at: clock.monotonic())
    guard passesRules(on: connection) else { return false }
    trace?.end(.rules, at: clock.monotonic())
    return passesLimits(on: connection)
  }

  /// Whether an OPTIONS request ends here (RFC 9110 §9.3.7, §7.6.2).
  private func isForThisNode(_ head: RequestHead) -> Bool {
    if head.bytes[head.target] == ByteView("*") { return true }
    return head.value(.maxForwards).flatMap { Decimal.parse($0) } == 0
  }

  private func answerOptions(on connection: some ClientStream) {
    let worker = connection.worker
    worker.lines.removeAll()
    worker.lines.append("allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n")
    answer(status: 204, on: connection)
  }

  /// The way after the limits; begun again when a fill turned out not to be for this request.
  func proceed(_ head: RequestHead, on connection: some ClientStream) {
    let worker = connection.worker
    if let trace { trace.end(.limits, at: worker.clock.monotonic()) }
    let settings = generation.routes.routes[route]
    // Not to HTTP/2, which would lead past the routes and limits of every request in it.
    if settings.upgrade && head.wantsUpgrade && head.method == .get,
      !head.fields.hasElement("h2c", of: .upgrade, in: head.bytes)
    {
      passIfAllowed(.bypass, upgrade: true, on: connection)
      return
    }
    guard settings.cache, !worker.hasLetGo, !isRuled || !bypassesCache(worker),
      let store = worker.context.store,
      let reader = worker.reader
    else {
      passIfAllowed(.bypass, on: connection)
      return
    }
    guard head.method == .get || head.method == .head else {
      passIfAllowed(.method, on: connection)
      return
    }
    if head.framing != .none || Preconditions.requiresForwarding(head) {
      passIfAllowed(head.framing != .none ? .bypass : .request, on: connection)
      return
    }
    lookUp(head, store: store, reader: reader, on: connection)
  }

  // MARK: The end

  /// Writes down what happened and forgets the request.
  func finish(on connection: some ClientStream) {
    let worker = connection.worker
    // From the beginning of the turn that read it, so that waiting for others' requests counts.
    let duration = max(0, worker.clock.monotonic() - started)
    if isHealthCheck {
      isHealthCheck = false
      worker.counters.add(.healthChecks)
    } else {
      worker.requestCounters.record(
        route: generation.routes.number(of: route), status: status, result: result,
        bytes: contentSent, duration: duration)
      log(duration: duration, on: connection)
    }
    if notedTags != nil { noteHit(worker) }
    if let trace { export(trace, duration: duration, on: connection) }
    if held != nil { settleLimits(worker) }
    pacing = nil
    purging = nil
    release(worker, token: connection.token)
    state = .idle
    ownHead = nil
    if isRuled { forgetRules() }
    if generationNumber != worker.generationNumber { joinNewest(worker) }
  }

  /// Goes over to the worker's generation, if nothing of an earlier one is left to settle.
  func joinNewest(_ worker: Worker) {
    guard state == .idle, held == nil, !isTunnel else { return }
    join(worker.generation)
  }

  private func join(_ generation: WorkerGeneration) {
    self.generation = generation
    generationNumber = generation.number
  }

  /// Counts a hit of which the tags were kept for the lists of what is hit most.
  @inline(never)
  private func noteHit(_ worker: Worker) {
    guard let tags = notedTags else { return }
    notedTags = nil
    // It may have turned out to be none.
    guard case .hit = result else { return }
    let head = clientHead(worker)
    var url = ByteBuffer(capacity: 256)
    RequestTarget.appendKey(
      scheme: scheme, authority: head.bytes[head.authority], target: head.bytes[head.target],
      to: &url)
    worker.traffic.noteHit(
      url: url.view, tags: tags, bytes: contentSent, now: worker.now.monotonic)
  }

  /// Gives up: the client is gone.
  func abandon(on connection: some ClientStream) {
    guard state != .idle else { return }
    if status == 0 {
      // As nginx has it in its log: the client closed before there was an answer.
      status = 499
      connection.worker.counters.add(.clientAborts)
    } else if !connection.wasReset {
      connection.worker.counters.add(.clientAborts)
    }
    finish(on: connection)
  }

  /// Lets go of the fill and of the pin.
  private func release(_ worker: Worker, token: UInt64) {
    if bodyID != 0 {
      worker.reader?.unpin(bodyID)
      bodyID = 0
    }
    parts = nil
    sliced = nil
    fillStart = 0
    if isRuled { leaveQuestion(worker, token: token) }
    if let upstream {
      self.upstream = nil
      upstream.clientLeft(connection: token, sentAll: !takesBody)
    }
    if let fill {
      self.fill = nil
      worker.leave(fill, connection: token)
    }
  }

  /// The connection is a tunnel now; the request's part is over.
  func becameTunnel(on connection: some ClientStream) {
    status = 101
    upstream = nil
    // For its limits it is in flight until the tunnel's end, when the connection settles them.
    isTunnel = true
    let open = held
    held = nil
    finish(on: connection)
    held = open
  }

  /// Begins again: the fill was not for this request.
  func beginAgain(countsAttempt: Bool = true, on connection: some ClientStream) {
    let worker = connection.worker
    let key = fill?.fullKey ?? []
    release(worker, token: connection.token)
    isOverdue = false
    if countsAttempt { attempts += 1 }
    let head = head(worker)
    if attempts > Self.maxAttempts {
      passAfterAll(key: key, on: connection)
    } else {
      proceed(head, on: connection)
    }
  }
}

// An exchange is 700 bytes that a connection needs only while it has a request. What is used next is what
// was used last, which the processor's caches still have.
extension Worker {
  /// How many wait for reuse, at most.
  private static let mostSpareExchanges = 1_024

  func takeExchange() -> Exchange { spareExchanges.popLast() ?? Exchange(generation) }

  /// Takes back one that has no request. Those of an earlier configuration and of tunnels are let go.
  func giveBack(_ exchange: Exchange) {
    // A connection's TLS goes with the connection.
    if exchange.secure != nil { exchange.secure = nil }
    guard exchange.generationNumber == generationNumber, !exchange.isTunnel, exchange.held == nil,
      spareExchanges.count < Self.mostSpareExchanges
    else { return }
    spareExchanges.append(exchange)
  }
}
