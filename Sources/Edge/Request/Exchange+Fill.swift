// Answering from a fill: its head, then its content as it comes, from memory or from the store.

internal import Bytes
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Origins
internal import Tracing

extension Exchange {
  // MARK: Answering from a fill

  /// Goes on as far as the fill, the store and the client's connection allow.
  func progress(on connection: some ClientStream) -> Progress {
    while true {
      switch state {
      case .idle: return .waiting
      case .purging:
        guard let outcome = purging?.outcome else { return .waiting }
        answerPurged(outcome, on: connection)
      case .warming:
        if isWarming { return .waiting }
        state = .waiting
        proceed(head(connection.worker), on: connection)
      case .early:
        guard goOnAfterHandshake(on: connection) else { return .waiting }
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
  func look(on connection: some ClientStream) -> Bool {
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
          passAfterAll(key: key, on: connection)
          return true
        case .notAsked:
          beginAgain(countsAttempt: false, on: connection)
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
      passAfterAll(key: fill.fullKey, on: connection)
      return false
    }
    guard mayReuse(head, requestDirectives(worker), worker) else {
      beginAgain(on: connection)
      return false
    }
    return true
  }

  /// What it waited for is not for it: it goes to the origin itself, unless a limit has something
  /// against that, which it was not asked about before.
  func passAfterAll(key: [UInt8], on connection: some ClientStream) {
    result = .none
    guard mayGoToOrigin(on: connection) else { return }
    pass(reason ?? .miss, key: key, on: connection)
  }

  func releaseFill(on connection: some ClientStream) {
    guard let fill else { return }
    self.fill = nil
    connection.worker.leave(fill, connection: connection.token)
  }

  /// Bytes before a range that are fetched for it, at most, if they are not stored.
  private static let greatestDetour: UInt64 = 1 << 20

  func answer(from fill: Fill, _ response: FillHead, on connection: some ClientStream) {
    let worker = connection.worker
    let request = head(worker)
    let selected = asksForWhole ? selection(response, request, worker) : .whole
    if asksForWhole, isLeader, !response.isStored,
      case .single(let range) = selected, range.start > Self.greatestDetour
    {
      // Nobody would have anything from what comes before: the origin is asked for the range alone.
      let key = fill.fullKey
      releaseFill(on: connection)
      pass(reason ?? .miss, key: key, on: connection)
      return
    }
    status = response.status
    if trace != nil { explainFilled(response, worker) }
    hasSentHead = true
    originDuration = max(0, worker.now.monotonic - originStarted)
    if response.isValidated && isLeader {
      result = response.forwardedStatus == 304 ? .revalidated : .stale
    }
    worker.lines.removeAll()
    appendFillFields(response, worker: worker)
    end = .max
    switch selected {
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
    var wakesLeader = false
    let reader = FillReader(worker: worker.index, connection: connection.token)
    guard connection.isReadyToSend() else {
      let isHeldUp = fill.isHeldUp(
        by: reader, at: position - fillStart, now: worker.now.monotonic, wakesLeader: &wakesLeader)
      if wakesLeader { worker.wakeLeader(of: fill) }
      if isHeldUp { cutOff(on: connection) }
      return .waiting
    }
    if connection.writeBudget <= 0 {
      worker.runAgain(connection.token)
      return .waiting
    }
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
    worker.reader?.works(on: storedHash)
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
