// Requests that the store cannot answer: joining the fill of a key, leading one, or going alone.

internal import Bytes
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Origins

extension Exchange {
  /// Goes to the origin, together with others that want the same where that may be.
  func forward(
    _ reason: ForwardReason, hash: Hash128, _ directives: RequestDirectives,
    stored: StoredResponse?, on connection: some ClientStream
  ) {
    let worker = connection.worker
    guard let store = worker.context.store else { return }
    guard mayGoToOrigin(on: connection) else { return }
    let head = head(worker)
    let key = worker.keyBuffer.view.array
    guard head.method == .get, !directives.noStore else {
      pass(reason, key: key, on: connection)
      return
    }
    self.reason = reason
    // A request that insists on validation may only use a fill that begins after it.
    let acceptsEarlier = !directives.demandsValidation
    let targetTags = targetTags(worker, store, key: worker.keyBuffer.view)
    let patience = generation.routes.routes[route].collapseTimeout
    let slice = firstSlice(stored: stored, worker)
    let offer = reason == .varyMiss && slice == nil ? worker.variantOffer(store) : nil
    let role = worker.context.fills.join(
      hash, now: worker.now.monotonic,
      mayJoin: { fill in
        guard acceptsEarlier, fill.fullKey == key, let mark = fill.mark else { return false }
        guard let response = fill.look().head else {
          return fill.began > worker.now.monotonic - patience
            && !fill.isPurged(in: store, since: mark, tags: targetTags)
        }
        return mayReuse(response, directives, worker)
          && !fill.isPurged(in: store, since: mark, tags: response.purgeTags)
      },
      make: {
        Fill(
          key: hash, fullKey: key, targetTags: targetTags, mark: store.beginFill(),
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

  /// Whether a response that is already coming may be used for this request: as a stored one might.
  private func mayReuse(
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
    if mark != nil, let store = worker.context.store {
      tags = key.withView { targetTags(worker, store, key: $0) }
    }
    let fill = Fill(
      key: nil, fullKey: mark == nil ? [] : key, targetTags: tags, mark: mark,
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
    request.isSecure = secure != nil
    request.isHTTP2 = isHTTP2
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
    wait(for: fill, on: connection)
    if state == .waiting {
      connection.worker.counters.add(.fillsCollapsed)
      let patience = generation.routes.routes[route].collapseTimeout
      connection.wait(until: fill.began &+ patience)
    }
  }

  /// It has waited long enough for another's answer. The first such request asks the origin anew, and
  /// the others wait for that one: a key costs a silent origin one request for each timeout, however
  /// many clients there are. `progress` sees to it.
  func waitedEnough() {
    if state == .admitting { ruled.pending?.isOver = true } else { isOverdue = true }
  }

  private func wait(for fill: Fill, on connection: some ClientStream) {
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
    guard let store = worker.context.store, !isLeftAlone(response, worker) else { return }
    let key = worker.keyBuffer.view.array
    let targetTags = targetTags(worker, store, key: worker.keyBuffer.view)
    let role = worker.context.fills.join(
      hash, now: worker.now.monotonic, ignoresMarks: true, mayJoin: { _ in true },
      make: {
        Fill(
          key: hash, fullKey: key, targetTags: targetTags, mark: store.beginFill(),
          leader: worker.index, began: worker.now.monotonic,
          slice: firstSlice(stored: response, worker))
      })
    guard case .lead(let fill) = role else { return }
    guard let checks = admitBackground(worker) else {
      worker.context.fills.remove(fill)
      if let mark = fill.mark { store.endFill(mark) }
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
    request.isSecure = secure != nil
    request.isHTTP2 = isHTTP2
    worker.leading[ObjectIdentifier(fill)] = request
    request.start()
  }

  /// Whether the origin failed for this stored response a moment ago and is not to be asked yet. Who
  /// is told that it may be asked again has to do it: the others are put off for as long again.
  func isLeftAlone(_ response: StoredResponse, _ worker: Worker) -> Bool {
    guard let failures = generation.shared.keyFailures[route] else { return false }
    return failures.wait(for: response.keyHash, now: worker.now.monotonic) != nil
  }

  // MARK: Answering from a fill

  /// Goes on as far as the fill, the store and the client's connection allow.
  func progress(on connection: some ClientStream) -> Progress {
    while true {
      switch state {
      case .idle: return .waiting
      case .warming:
        if isWarming { return .waiting }
        state = .waiting
        proceed(head(connection.worker), on: connection)
      case .limited:
        guard departs(on: connection) else { return .waiting }
      case .admitting:
        guard goOnWithAdmission(on: connection) else { return .waiting }
      case .finished:
        finish(on: connection)
        return .finished
      case .waiting:
        guard look(on: connection) else { return .waiting }
      case .filling:
        guard let progress = sendPiece(on: connection) else { continue }
        return progress
      case .stored:
        guard let progress = sendChunk(on: connection) else { continue }
        return progress
      case .paced:
        guard let progress = sendKept(on: connection) else { continue }
        return progress
      }
      if connection.isClosed { return .waiting }
    }
  }

  /// Looks whether the fill's head is there and for this request. False: nothing yet.
  private func look(on connection: some ClientStream) -> Bool {
    guard let fill else { return false }
    let (phase, head) = fill.look()
    guard let head else {
      if case .failed(let failure) = phase {
        if !isLeader { connection.wait(until: .max) }
        switch failure {
        case .notSliceable:
          avoidsSlices = true
          connection.worker.context.fills.mark(
            Self.sliceMark(fill.fullKey, connection.worker), now: connection.worker.now.monotonic)
          beginAgain(countsAttempt: false, on: connection)
          return true
        case .unsatisfiable:
          let key = fill.fullKey
          releaseFill(on: connection)
          pass(reason ?? .miss, key: key, on: connection)
          return true
        default: break
        }
        fail(failure, retryAfter: fill.retryAfter, on: connection)
        return true
      }
      guard isOverdue && !isLeader else { return false }
      connection.worker.counters.add(.fillsOverdue)
      connection.wait(until: .max)
      beginAgain(countsAttempt: false, on: connection)
      return true
    }
    if !isLeader {
      connection.wait(until: .max)
      // If not, it may have joined another whose head is there already: look again.
      guard isFor(fill, head, on: connection) else { return true }
    }
    answer(from: fill, head, on: connection)
    return true
  }

  /// Whether a follower may use what it waited for; if not, it has begun again.
  private func isFor(_ fill: Fill, _ head: FillHead, on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    // First: such an answer is not shared, but that says nothing of the next one.
    if let mark = fill.mark, let store = worker.context.store,
      fill.isPurged(in: store, since: mark, tags: head.purgeTags)
    {
      beginAgain(on: connection)
      return false
    }
    if !head.isShared {
      releaseFill(on: connection)
      pass(reason ?? .miss, key: fill.fullKey, on: connection)
      return false
    }
    guard mayReuse(head, requestDirectives(worker), worker) else {
      beginAgain(on: connection)
      return false
    }
    return true
  }

  func releaseFill(on connection: some ClientStream) {
    guard let fill else { return }
    self.fill = nil
    connection.worker.leave(fill, connection: connection.token)
  }

  /// Bytes before a range that are fetched for it, at most, if they are not stored.
  private static let greatestDetour: UInt64 = 1 << 20

  private func answer(from fill: Fill, _ response: FillHead, on connection: some ClientStream) {
    let worker = connection.worker
    let request = head(worker)
    if asksForWhole, isLeader, !response.isStored,
      case .single(let range) = selection(response, request, worker),
      range.start > Self.greatestDetour
    {
      // Nobody would have anything from what comes before: the origin is asked for the range alone.
      let key = fill.fullKey
      releaseFill(on: connection)
      pass(reason ?? .miss, key: key, on: connection)
      return
    }
    status = response.status
    hasSentHead = true
    if response.isValidated && isLeader {
      result = response.forwardedStatus == 304 ? .revalidated : .stale
    }
    worker.lines.removeAll()
    appendFillFields(response, worker: worker)
    end = .max
    if asksForWhole {
      switch selection(response, request, worker) {
      case .notModified:
        response.lines.withView { notModified(lines: $0, on: connection) }
        return
      case .single(let range):
        answerPart(range, length: response.length ?? 0, of: response, on: connection)
        return
      case .unsatisfiable:
        refuseRange(length: response.length ?? 0, on: connection)
        return
      case .whole, .failed, .several: break
      }
    }
    if response.sliced != nil {
      answerSliced(0..<(response.length ?? 0), status: 200, of: response, on: connection)
      return
    }
    let hasContent =
      request.method != .head && response.status != 204 && response.status != 304
      && response.status >= 200
    let lines = isLeader ? response.ownLines ?? response.lines : response.lines
    let isSent = lines.withView {
      sendHead(
        status: response.status, lines: $0, length: response.length, hasContent: hasContent,
        minorVersion: request.minorVersion, on: connection)
    }
    guard isSent else { return }
    state = hasContent && response.length != 0 ? .filling : .finished
  }

  private func appendFillFields(_ response: FillHead, worker: Worker) {
    let freshness = Freshness(response.metadata)
    let age = freshness.currentAge(now: worker.now.wall)
    worker.lines.append("age: ")
    worker.lines.append(decimal: UInt64(max(0, age / 1000)))
    worker.lines.append("\r\ncache-status: ")
    CacheStatus.appendForward(
      node: worker.nodeName.view, reason: reason ?? .miss,
      forwardedStatus: response.forwardedStatus,
      stored: response.isStored && !response.isServedOnError, collapsed: !isLeader,
      ttl: response.isStored ? freshness.ttlSeconds(now: worker.now.wall) : nil, detail: nil,
      to: &worker.lines)
    worker.lines.append("\r\n")
    appendLimitFields(worker)
  }

  /// The client's own conditions and ranges, where the fill asked for the whole response.
  private func selection(
    _ response: FillHead, _ request: RequestHead, _ worker: Worker
  ) -> Selection {
    response.lines.withView { lines in
      let modified = response.metadata.lastModified
      return RangeRules.select(
        request,
        of: SelectedRepresentation(
          status: response.status, length: response.length,
          etag: response.entityTag.map { lines[$0] },
          lastModified: modified == .min ? nil : modified,
          date: Validators.date(of: lines, received: response.metadata.responseTime)),
        now: worker.now.wall)
    }
  }

  /// Sends what the fill has at this client's position. Nil: go on.
  private func sendPiece(on connection: some ClientStream) -> Progress? {
    let worker = connection.worker
    guard let fill else { return .waiting }
    if position == end {
      if sliced != nil && parts != nil {
        leaveSlice(on: connection)
        return nil
      }
      state = .finished
      return nil
    }
    guard connection.isReadyToSend() else { return .waiting }
    if connection.writeBudget <= 0 {
      worker.runAgain(connection.token)
      return .waiting
    }
    var wakesLeader = false
    let reader = FillReader(worker: worker.index, connection: connection.token)
    let piece = fill.piece(
      for: reader, at: position - fillStart, now: worker.now.monotonic, wakesLeader: &wakesLeader)
    if wakesLeader { worker.wakeLeader(of: fill) }
    switch piece {
    case .bytes(let segment, let range):
      let content = segment.view(range).prefix(Int(clamping: end - position))
      return send(content, on: connection)
    case .chunk(let body, let number, let offset):
      if bodyID == 0 {
        worker.reader?.pin(body)
        bodyID = body
      }
      guard let chunk = worker.reader?.chunk(body: body, number: number), offset < chunk.count
      else {
        cutOff(on: connection)
        return .waiting
      }
      return send(
        chunk.dropping(first: offset).prefix(Int(clamping: end - position)), on: connection)
    case .wait: return .waiting
    case .end where sliced != nil:
      guard isSliceOver(fill) else {
        cutOff(on: connection)
        return .waiting
      }
      leaveSlice(on: connection)
      return nil
    case .end:
      fill.trailers.withView { connection.endContent(trailers: $0) }
      state = .finished
      return nil
    case .failed:
      cutOff(on: connection)
      return .waiting
    }
  }

  /// Sends content at the client's position. Nil: go on.
  private func send(_ content: ByteView, on connection: some ClientStream) -> Progress? {
    guard let count = sendPaced(content, on: connection) else { return .waiting }
    if connection.isClosed { return .waiting }
    position += UInt64(count)
    contentSent += UInt64(count)
    return count > 0 ? nil : .waiting
  }

  /// A body that breaks off must not look complete: the connection is reset.
  private func cutOff(on connection: some ClientStream) {
    result = .error
    connection.reset()
  }

  /// Sends a stored response's next chunk. Nil: go on.
  private func sendChunk(on connection: some ClientStream) -> Progress? {
    let worker = connection.worker
    if position == end {
      if !beginNextPart(on: connection) { state = .finished }
      return connection.isClosed ? .waiting : nil
    }
    guard connection.isReadyToSend() else { return .waiting }
    if connection.writeBudget <= 0 {
      worker.runAgain(connection.token)
      return .waiting
    }
    if isWarming { return .waiting }
    if let store = worker.context.store, let reader = worker.reader,
      warmChunks(store, reader, on: connection)
    {
      return .waiting
    }
    let size = UInt64(ObjectStore.chunkSize)
    let offset = Int(position % size)
    guard
      let chunk = worker.reader?.chunk(
        body: bodyID, number: UInt32(truncatingIfNeeded: position / size)),
      offset < chunk.count
    else {
      if let sliced {
        if !isDamaged(sliced, worker) { return fetchSlice(of: sliced, on: connection) }
        worker.context.store?.removeSliced(keyHash: sliced.keyHash, body: sliced.id)
      }
      // Missing or damaged: the next request is to find nothing rather than this.
      worker.context.store?.remove(keyHash: storedHash, id: storedID)
      cutOff(on: connection)
      return .waiting
    }
    return send(chunk.dropping(first: offset).prefix(Int(clamping: end - position)), on: connection)
  }
}

extension Worker {
  /// Adds a client of this worker to a fill.
  func join(_ fill: Fill, connection: UInt64, limit: Int) -> Bool {
    guard fill.join(FillReader(worker: index, connection: connection), limit: limit) else {
      return false
    }
    if fill.key == nil {
      fill.soleReader = connection
    } else {
      readers[ObjectIdentifier(fill), default: []].append(connection)
    }
    return true
  }

  /// Takes a client out of a fill.
  func leave(_ fill: Fill, connection: UInt64) {
    fill.leave(FillReader(worker: index, connection: connection))
    if fill.key == nil {
      fill.soleReader = nil
      wakeLeader(of: fill)
      return
    }
    let key = ObjectIdentifier(fill)
    if let place = readers[key]?.firstIndex(of: connection) { readers[key]?.swapRemove(at: place) }
    if readers[key]?.isEmpty ?? false { readers[key] = nil }
    wakeLeader(of: fill)
  }

  /// Tells the one who reads a fill that it may go on, or that nobody is left to read for.
  func wakeLeader(of fill: Fill) {
    if fill.leader == index {
      leading[ObjectIdentifier(fill)]?.goOn()
    } else {
      context.post(.fillMayReadOn(fill), to: fill.leader)
    }
  }
}

extension Array {
  /// Removes an element by moving the last one into its place.
  mutating func swapRemove(at index: Int) {
    swapAt(index, count - 1)
    removeLast()
  }
}
