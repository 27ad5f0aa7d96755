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
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore

final class Exchange {
  enum State {
    /// No request.
    case idle
    /// For the store to bring what it wants from the disk.
    case warming
    /// For its turn, in the line of a limit.
    case limited
    /// To be let in (Exchange+Admission.swift).
    case admitting
    /// For the head of a fill.
    case waiting
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
  /// The scheme of the target URI.
  var scheme: StaticString { secure == nil ? "http" : "https" }

  /// Whether rules or authentication have something in `ruled`.
  var isRuled = false
  var ruled = RuledRequest()

  // What the log and the counters say in the end.
  var status: UInt16 = 0
  var result = CacheResult.none
  var reason: ForwardReason?
  var contentSent: UInt64 = 0
  var originStarted: Int64 = -1

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

  var hasSentHead = false
  /// Whether the request's content is being passed on.
  var takesBody = false
  /// Whether the client may still be sending what nobody will read.
  var wasRefused = false
  /// Whether the origin's answer turned out not to be for slices.
  var avoidsSlices = false
  /// Whether it has waited too long for another's answer.
  var isOverdue = false
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
  private var generationNumber: UInt64

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

  func begin(_ head: RequestHead, on connection: some ClientStream) {
    let worker = connection.worker
    if generationNumber != worker.generationNumber { join(worker.generation) }
    state = .waiting
    started = worker.now.monotonic
    requestWall = worker.now.wall
    status = 0
    result = .none
    reason = nil
    contentSent = 0
    originStarted = -1
    hasSentHead = false
    takesBody = false
    wasRefused = false
    isLeader = false
    attempts = 0
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
    guard findsClient(head, on: connection) else { return }
    let bytes = head.bytes
    worker.hostBuffer.removeAll()
    RequestTarget.appendHost(bytes[head.authority], to: &worker.hostBuffer)
    if let secure, secure.isMisdirected(worker.hostBuffer.view) {
      refuse(status: 421, text: "This connection is for another host.", on: connection)
      return
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
    switch RequestTarget.shape(of: path) {
    case .plain: break
    case .dotted:
      refuse(status: 400, text: "The path has dot segments.", on: connection)
      return
    case .disguised:
      worker.pathBuffer.removeAll()
      RequestTarget.appendPlain(path, to: &worker.pathBuffer)
      path = worker.pathBuffer.view
    }
    guard let found = generation.routes.find(host: worker.hostBuffer.view, path: path) else {
      refuse(status: 404, text: "No site or route for this address.", on: connection)
      return
    }
    route = found
    if case .length(let length) = head.framing, length > generation.routes.routes[found].maxBody {
      refuse(status: 413, text: "The request's content is too large.", on: connection)
      return
    }
    guard passesAdmission(on: connection), passesRules(on: connection),
      passesLimits(on: connection)
    else { return }
    proceed(self.head(worker), on: connection)
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
    let settings = generation.routes.routes[route]
    // Not to HTTP/2, which would lead past the routes and limits of every request in it.
    if settings.upgrade && head.wantsUpgrade && head.method == .get,
      !head.fields.hasElement("h2c", of: .upgrade, in: head.bytes)
    {
      passIfAllowed(.bypass, upgrade: true, on: connection)
      return
    }
    guard settings.cache, !isRuled || !bypassesCache(worker), let store = worker.context.store,
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

  /// Goes to the origin alone, unless a limit has something against it.
  private func passIfAllowed(
    _ reason: ForwardReason, upgrade: Bool = false, on connection: some ClientStream
  ) {
    guard mayGoToOrigin(on: connection) else { return }
    pass(reason, key: [], upgrade: upgrade, on: connection)
  }

  private func lookUp(
    _ head: RequestHead, store: ObjectStore, reader: StoreReader, on connection: some ClientStream
  ) {
    let worker = connection.worker
    makeKey(worker)
    let key = worker.keyBuffer.view
    let primary = store.keyHash(key)
    if reader.isCold(primary), !hasWarmed, warm(primary, store, on: connection) { return }
    let directives = requestDirectives(worker)
    switch reader.lookup(primary, key: key) {
    case .found(let response):
      use(response, hash: primary, directives, on: connection)
    case .miss:
      missed(.uriMiss, hash: primary, directives, on: connection)
    case .varies(let rules):
      // The newest rule is the one that a new answer most likely has.
      var newest: Hash128?
      for index in 0..<rules.count {
        let rule = rules.rule(index)
        worker.varyBuffer.removeAll()
        VaryRule.appendValues(rule: rule, request: head, to: &worker.varyBuffer)
        let values = worker.varyBuffer.view
        if newest == nil {
          newest = store.variantHash(primary: primary, rule: rule, values: values)
        }
        if let response = reader.lookupVariant(
          primary: primary, key: key, rule: rule, values: values)
        {
          use(
            response, hash: newest ?? primary, directives, on: connection)
          return
        }
      }
      missed(.varyMiss, hash: newest ?? primary, directives, on: connection)
    }
  }

  /// Writes the request's primary cache key into the worker's buffer.
  func makeKey(_ worker: Worker) {
    let head = head(worker)
    worker.keyBuffer.removeAll()
    if generation.routes.routes[route].hasUsualKey {
      RequestTarget.appendKey(
        scheme: scheme, authority: head.bytes[head.authority], target: head.bytes[head.target],
        to: &worker.keyBuffer)
      if !worker.context.searchRules.isEmpty, !isRuled, let query = head.query {
        RequestTarget.applySearchRule(
          worker.context, query: head.bytes[query], to: &worker.keyBuffer)
      }
    } else {
      generation.routes.policies[route].key.append(head, scheme: scheme, to: &worker.keyBuffer)
    }
    if isRuled && (ruled.hasRun || !ruled.keyLines.isEmpty) { makeRuledKey(worker) }
  }

  /// The tags by which a purge, or an unsafe request, reaches whatever is stored for the request's URI:
  /// the URI as it was sent and, if the route normalises queries, normalised too; the key; and the
  /// host.
  func targetTags(_ worker: Worker, _ store: ObjectStore, key: ByteView) -> [UInt64] {
    let head = head(worker)
    let own = store.tagHash(ofKey: key)
    let host = store.tagHash(ofHost: head.bytes[head.authority])
    let isUsual = generation.routes.routes[route].hasUsualKey
    if isUsual && !isRuled && (worker.context.searchRules.isEmpty || head.query == nil) {
      return [own, host]
    }
    let query = isUsual ? QueryNormalization() : generation.routes.policies[route].key.query
    var tags =
      isRuled
      ? ruledTags(worker, store)
      : RequestTarget.tags(of: head, scheme: scheme, normalization: query, store: store)
    if !tags.contains(own) { tags.append(own) }
    return tags + [host]
  }

  /// What the request asks of caches, as far as the route listens.
  func requestDirectives(_ worker: Worker) -> RequestDirectives {
    generation.routes.routes[route].ignoresClientDirectives
      ? RequestDirectives() : RequestDirectives(head(worker))
  }

  private func use(
    _ response: StoredResponse, hash: Hash128, _ directives: RequestDirectives,
    on connection: some ClientStream
  ) {
    let worker = connection.worker
    if response.isSliced && generation.routes.routes[route].slice == 0 {
      // Stored when the route still sliced: nothing could fetch what is missing of it.
      worker.context.store?.removeSliced(keyHash: response.keyHash, body: response.bodyID)
      missed(.uriMiss, hash: hash, directives, on: connection)
      return
    }
    let freshness = Freshness(response)
    let reuse = ReuseRules.decide(freshness, request: directives, now: worker.now.wall)
    switch reuse {
    case .fresh, .staleWhileRevalidate:
      if worker.isOverloaded, worker.shedsHit(generation.routes.routes[route].priority) {
        shed(on: connection)
        return
      }
    case .mustValidate, .gatewayTimeout: break
    }
    switch reuse {
    case .fresh:
      if directives.onlyIfCached, response.isSliced, !isWholeInStore(response, worker) {
        onlyIfCached(on: connection)
        return
      }
      result = .hit
      serve(response, freshness, on: connection)
    case .staleWhileRevalidate:
      result = .stale
      if directives.permitsStoring { revalidateBehind(response, hash: hash, on: connection) }
      serve(response, freshness, on: connection)
    case .mustValidate(let reason):
      // A client that insists on validation gets the origin's word, or what the failure leaves.
      if !directives.demandsValidation,
        ReuseRules.mayServeOnError(freshness, now: worker.now.wall), isLeftAlone(response, worker)
      {
        result = .stale
        serve(response, freshness, on: connection)
        return
      }
      forward(
        reason, hash: hash, directives, stored: response, on: connection)
    case .gatewayTimeout: onlyIfCached(on: connection)
    }
  }

  private func missed(
    _ reason: ForwardReason, hash: Hash128, _ directives: RequestDirectives,
    on connection: some ClientStream
  ) {
    if directives.onlyIfCached {
      onlyIfCached(on: connection)
    } else {
      forward(reason, hash: hash, directives, stored: nil, on: connection)
    }
  }

  /// RFC 9111 §5.2.1.7.
  private func onlyIfCached(on connection: some ClientStream) {
    connection.worker.lines.removeAll()
    answer(status: 504, text: "Not in the store, and only-if-cached.", on: connection)
  }

  // MARK: The end

  /// Writes down what happened and forgets the request.
  func finish(on connection: some ClientStream) {
    let worker = connection.worker
    // From the beginning of the turn that read it, so that waiting for others' requests counts.
    let duration = max(0, worker.clock.monotonic() - started)
    worker.requestCounters.record(
      route: generation.routes.number(of: route), status: status, result: result,
      bytes: contentSent, duration: duration)
    log(duration: duration, on: connection)
    if held != nil { settleLimits(worker) }
    pacing = nil
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
      pass(reason ?? .miss, key: key, on: connection)
    } else {
      proceed(head, on: connection)
    }
  }
}
