// Requests that the store cannot answer: joining the fill of a key, leading one, or going alone.

internal import Bytes
internal import EventLoop
internal import Fleet
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Origins
internal import Tracing

extension Exchange {
  /// Goes to the origin, together with others that want the same where that may be.
  func forward(
    _ reason: ForwardReason, hash: Hash128, _ directives: RequestDirectives,
    stored: StoredResponse?, on connection: some ClientStream
  ) {
    let worker = connection.worker
    guard let store = worker.context.store else { return }
    let head = head(worker)
    let key = worker.keyBuffer.view.array
    if trace != nil { explainForwarded(key: key, stored, worker) }
    let targetTags = targetTags(worker, store, key: worker.keyBuffer.view)
    let slice = firstSlice(stored: stored, worker)
    let isShareable = head.method == .get && !directives.noStore
    // Who only follows does not go to the origin. (Who may need further slices does.)
    if isShareable, slice == nil, isAskedOnItsWay(worker),
      let fill = worker.context.fills.find(
        hash, now: worker.now.monotonic,
        mayJoin: { $0.slice == nil && mayJoin($0, key, directives, targetTags, store, worker) })
    {
      self.reason = reason
      result = .collapsed
      own(worker)
      follow(fill, on: connection)
      return
    }
    guard mayGoToOrigin(on: connection) else { return }
    guard isShareable else {
      pass(reason, key: key, on: connection)
      return
    }
    self.reason = reason
    let target = targetURL(worker, key: worker.keyBuffer.view)
    let offer = reason == .varyMiss && slice == nil ? worker.variantOffer(store) : nil
    let role = worker.context.fills.join(
      hash, now: worker.now.monotonic,
      mayJoin: { mayJoin($0, key, directives, targetTags, store, worker) },
      make: {
        Fill(
          key: hash, fullKey: key, target: target, targetTags: targetTags, mark: store.beginFill(),
          leader: worker.index, began: worker.now.monotonic, slice: slice)
      })
    own(worker)
    switch role {
    case .lead(let fill):
      result = stored == nil ? .miss : .revalidated
      lead(
        fill, isFill: true, stored: stored.map { StoredReference($0) }, offer: offer,
        on: connection)
    case .follow(let fill):
      result = .collapsed
      follow(fill, on: connection)
    case .alone:
      pass(reason, key: key, stored: stored.map { StoredReference($0) }, on: connection)
    }
  }

  /// Whether this request may wait for a fill that is under way.
  private func mayJoin(
    _ fill: Fill, _ key: [UInt8], _ directives: RequestDirectives, _ targetTags: [UInt64],
    _ store: ObjectStore, _ worker: Worker
  ) -> Bool {
    // A request that insists on validation may only use a fill that begins after it.
    guard !directives.demandsValidation, !asksForMore, fill.fullKey == key, let mark = fill.mark
    else {
      return false
    }
    guard let response = fill.look().head else {
      let patience = generation.routes.routes[route].collapseTimeout
      return fill.asked(now: worker.now.monotonic) > worker.now.monotonic - patience
        && !fill.isPurged(in: store, since: mark, tags: targetTags)
    }
    // Its answer may be older than a purge that this PoP has not heard of.
    guard case .serve = worker.fleetMode else { return false }
    return mayReuse(response, directives, worker)
      && !fill.isPurged(in: store, since: mark, tags: response.purgeTags)
  }

  /// Whether a response that is already coming may be used for this request: as a stored one might.
  func mayReuse(
    _ response: FillHead, _ directives: RequestDirectives, _ worker: Worker
  ) -> Bool {
    guard response.isShared, isSelected(response, worker) else { return false }
    switch ReuseRules.decide(
      Freshness(response.metadata), request: directives, now: worker.now.wall)
    {
    case .fresh, .staleWhileRevalidate: return true
    case .mustValidate, .gatewayTimeout: return response.isServedOnError
    }
  }

  /// Whether the request's fields are those that the response was chosen by (RFC 9111 §4.1).
  private func isSelected(_ response: FillHead, _ worker: Worker) -> Bool {
    guard let rule = response.varyRule else { return true }
    worker.varyBuffer.removeAll()
    rule.withView {
      VaryRule.appendValues(rule: $0, request: head(worker), to: &worker.varyBuffer)
    }
    return response.varyValues.withView { $0 == worker.varyBuffer.view }
  }

  /// Goes to the origin alone. The answer may still be stored under `key`, if it turns out to be for
  /// that; never if the key is empty. What is stored and needs validation is validated.
  func pass(
    _ reason: ForwardReason, key: [UInt8], upgrade: Bool = false, stored: StoredReference? = nil,
    on connection: some ClientStream
  ) {
    let worker = connection.worker
    self.reason = reason
    result = .pass
    own(worker)
    let mark = key.isEmpty ? nil : worker.context.store?.beginFill()
    var tags: [UInt64] = []
    var target: [UInt8] = []
    if mark != nil, let store = worker.context.store {
      tags = key.withView { targetTags(worker, store, key: $0) }
      target = key.withView { targetURL(worker, key: $0) }
    }
    let fill = Fill(
      key: nil, fullKey: mark == nil ? [] : key, target: target, targetTags: tags, mark: mark,
      leader: worker.index, began: worker.now.monotonic)
    takesBody = head(worker).framing != .none
    lead(fill, isFill: stored != nil, upgrade: upgrade, stored: stored, on: connection)
  }

  func lead(
    _ fill: Fill, isFill: Bool, upgrade: Bool = false, stored: StoredReference?,
    offer: VariantOffer? = nil, on connection: some ClientStream
  ) {
    let worker = connection.worker
    isLeader = true
    asksForWhole = isFill
    originStarted = worker.now.monotonic
    let request = OriginRequest(
      worker: worker, generation: generation, fill: fill, head: head(worker), route: route,
      client: client, isFill: isFill, upgrade: upgrade, stored: stored,
      decision: decision(worker), pool: fallback)
    request.clientConnection = connection.token
    switch requestID.source {
    case .none: break
    case .given, .made:
      var line = ByteBuffer(capacity: 96)
      appendRequestIDLine(to: &line, worker)
      request.isNamed = true
      request.ownLines = line.view.array
    }
    if let reason { request.reason = reason }
    request.isSecure = secure != nil
    request.isHTTP2 = isHTTP2
    request.purgedThrough = purgedThrough
    if let trace {
      trace.end(.lookup, at: worker.clock.monotonic())
      trace.explanation?.pool = generation.routes.poolNames[request.pool]
      request.trace = trace
    }
    request.offer = offer
    if request.policy.caching.minimumUses > 1, !fill.fullKey.isEmpty,
      let store = worker.context.store
    {
      request.uses = worker.context.fills.use(fill.fullKey.withView { store.keyHash($0) })
    }
    wait(for: fill, on: connection)
    if takesBody || upgrade || !isFill { upstream = request }
    worker.leading[ObjectIdentifier(fill)] = request
    request.start()
  }

  func follow(_ fill: Fill, on connection: some ClientStream) {
    isLeader = false
    asksForWhole = true
    originStarted = connection.worker.now.monotonic
    if let trace { trace.end(.lookup, at: connection.worker.clock.monotonic()) }
    wait(for: fill, on: connection)
    if state == .waiting {
      connection.worker.counters.add(.fillsCollapsed)
      let patience = generation.routes.routes[route].collapseTimeout
      connection.wait(until: fill.asked(now: connection.worker.now.monotonic) &+ patience)
    }
  }

  /// It has waited long enough for another's answer. The first such request asks the origin anew, and
  /// the others wait for that one: a key costs a silent origin one request for each timeout, however
  /// many clients there are. `progress` sees to it.
  func waitedEnough() {
    if state == .admitting { ruled.pending?.isOver = true } else { isOverdue = true }
  }

  func wait(for fill: Fill, on connection: some ClientStream) {
    let worker = connection.worker
    self.fill = fill
    position = 0
    state = .waiting
    // The one that asked is not counted.
    let limit = isLeader ? Int.max : generation.routes.routes[route].maxWaiters + 1
    guard worker.join(fill, connection: connection.token, limit: limit) else {
      self.fill = nil
      fail(.tooManyWaiters, on: connection)
      return
    }
  }

  /// Validates a stale response that is being served meanwhile (RFC 5861 §3), once at a time.
  func revalidateBehind(
    _ response: StoredResponse, hash: Hash128, on connection: some ClientStream
  ) {
    let worker = connection.worker
    guard let store = worker.context.store, !isLeftAlone(response, worker),
      mayHaveTurn(response, worker)
    else { return }
    let key = worker.keyBuffer.view.array
    let targetTags = targetTags(worker, store, key: worker.keyBuffer.view)
    let target = targetURL(worker, key: worker.keyBuffer.view)
    // Asks the table of fills for a mark: not within `join`, which holds a lock of that table.
    let slice = firstSlice(stored: response, worker)
    let role = worker.context.fills.join(
      hash, now: worker.now.monotonic, ignoresMarks: true, mayJoin: { _ in true },
      make: {
        Fill(
          key: hash, fullKey: key, target: target, targetTags: targetTags, mark: store.beginFill(),
          leader: worker.index, began: worker.now.monotonic, slice: slice)
      })
    guard case .lead(let fill) = role else { return }
    guard let checks = admitBackground(worker) else {
      worker.context.fills.remove(fill)
      if let mark = fill.mark { store.endFill(mark) }
      // Somebody may have joined it meanwhile.
      fill.fail(.notAsked)
      worker.noteMoved(fill)
      return
    }
    let copy = RequestHead()
    copy.copy(head(worker))
    copy.method = .get
    let request = OriginRequest(
      worker: worker, generation: generation, fill: fill, head: copy, route: route, client: client,
      isFill: true, upgrade: false, stored: StoredReference(response),
      decision: decision(worker))
    request.isBackground = true
    request.held = checks
    request.reason = .stale
    request.isSecure = secure != nil
    request.isHTTP2 = isHTTP2
    request.purgedThrough = purgedThrough
    worker.leading[ObjectIdentifier(fill)] = request
    request.start()
  }

  /// Whether a validation behind the back of a client may have its turn, where they take turns; of a request
  /// with rules this is not known before it is made.
  private func mayHaveTurn(_ response: StoredResponse, _ worker: Worker) -> Bool {
    let side = generation.sides[generation.routes.routes[route].origin]
    if isRuled || side.turnsAreGoneUntil <= worker.now.monotonic { return true }
    return !worker.takesTurns(
      isSoftlyPurged: response.isSoftlyPurged, responseTime: response.responseTime)
  }

  /// Whether the origin failed for this stored response a moment ago and is not to be asked yet. Who
  /// is told that it may be asked again has to do it: the others are put off for as long again.
  func isLeftAlone(_ response: StoredResponse, _ worker: Worker) -> Bool {
    guard let failures = generation.shared.keyFailures[route] else { return false }
    return failures.wait(for: response.keyHash, now: worker.now.monotonic) != nil
  }
}

extension Array {
  /// Removes an element by moving the last one into its place.
  mutating func swapRemove(at index: Int) {
    swapAt(index, count - 1)
    removeLast()
  }
}
