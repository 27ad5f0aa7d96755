// A client's way through an object that is stored in slices; see `SlicedBody`.

internal import Bytes
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore

extension Exchange {
  /// The slice to fetch first, where the route slices and the request asks for a range, or what is
  /// stored is sliced. Nil: fetch the whole.
  func firstSlice(stored: StoredResponse?, _ worker: Worker) -> SliceJob? {
    let size = generation.routes.routes[route].slice
    guard size > 0, !avoidsSlices else { return nil }
    let plan = SlicePlan(sliceSize: size)
    let value = head(worker).value(.range)
    let index = value.flatMap { plan.firstSlice(for: $0) }
    guard let index = index ?? (stored?.isSliced ?? false ? 0 : nil),
      let range = plan.range(ofSlice: index),
      !worker.context.fills.isMarked(
        Self.sliceMark(worker.keyBytes(of: self), worker), now: worker.now.monotonic)
    else { return nil }
    return SliceJob(range: range, body: nil, size: size)
  }

  /// Chunks that are looked for at most, when a client wants nothing but what is stored.
  private static let greatestLook = 4_096

  /// Whether all that the request asks of a sliced object is stored. False for too much to look at.
  func isWholeInStore(_ response: StoredResponse, _ worker: Worker) -> Bool {
    guard let reader = worker.reader else { return false }
    let head = head(worker)
    var wanted: Range<UInt64>
    switch RangeRules.select(head, of: representation(response, head), now: worker.now.wall) {
    case .notModified, .failed, .unsatisfiable: return true
    case .single(let range): wanted = range.start..<range.end
    case .whole, .several: wanted = 0..<response.bodyLength
    }
    guard wanted.count <= Self.greatestLook * ObjectStore.chunkSize else { return false }
    while !wanted.isEmpty {
      let run = reader.presence(of: response, from: wanted.lowerBound, to: wanted.upperBound)
      guard run.isPresent, run.end > wanted.lowerBound else { return false }
      wanted = min(run.end, wanted.upperBound)..<wanted.upperBound
    }
    return true
  }

  /// What keeps in mind, for a while, that a key's answers are not for slices.
  static func sliceMark(_ key: [UInt8], _ worker: Worker) -> Hash128 {
    let hash = key.withView { worker.context.store?.keyHash($0) } ?? Hash128(low: 0, high: 0)
    return Hash128(low: ~hash.low, high: hash.high)
  }

  /// Sends the head of a sliced representation, or of a range of it, and goes on with what the fill
  /// has of it, or with the store.
  func answerSliced(
    _ range: Range<UInt64>, status: UInt16, of response: FillHead, on connection: some ClientStream
  ) {
    let worker = connection.worker
    guard let sliced = response.sliced else { return }
    self.status = status
    let hasContent = head(worker).method != .head
    let isSent = response.lines.withView { lines in
      sendHead(
        status: status, lines: lines, length: UInt64(range.count), hasContent: hasContent,
        minorVersion: head(worker).minorVersion, on: connection)
    }
    guard isSent else { return }
    guard hasContent, !range.isEmpty else {
      state = .finished
      return
    }
    self.sliced = sliced
    worker.reader?.pin(sliced.id)
    bodyID = sliced.id
    storedHash = sliced.keyHash
    position = range.lowerBound
    end = range.upperBound
    if let slice = fill?.slice, !response.isValidated, slice.range.start <= position,
      position < slice.range.end
    {
      fillStart = response.contentStart
      state = .filling
    } else {
      leaveSlice(on: connection)
    }
  }

  /// Asks what is asked on the way to the origin, if the request wants slices that are missing: once the
  /// response has begun it cannot be refused any more. False: it is refused, or waits.
  func mayFetchMissing(of response: StoredResponse, on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    guard head(worker).method != .head, isAskedOnItsWay(worker),
      !isWholeInStore(response, worker)
    else { return true }
    let known = result
    result = .none
    guard mayGoToOrigin(on: connection) else { return false }
    result = known
    return true
  }

  /// Whether a slice's fill that has no more has had all of it.
  func isSliceOver(_ fill: Fill) -> Bool {
    guard let slice = fill.slice, let sliced else { return true }
    return position >= min(slice.range.end, sliced.length)
  }

  /// Leaves the fill of a slice: what comes next is in the store, or in another.
  func leaveSlice(on connection: some ClientStream) {
    releaseFill(on: connection)
    fillStart = 0
    state = .stored
  }

  /// Whether the chunk at the client's position is there, and cannot be read all the same.
  func isDamaged(_ sliced: SlicedBody, _ worker: Worker) -> Bool {
    worker.reader?.presence(
      ofSliced: sliced.id, length: sliced.length, from: position, to: position + 1
    ).isPresent ?? false
  }

  /// The slice at the client's position is missing: leads its fill, or joins it.
  func fetchSlice(of sliced: SlicedBody, on connection: some ClientStream) -> Progress? {
    let worker = connection.worker
    let size = generation.routes.routes[route].slice
    // Where no origin is asked, the rest is not to be had.
    guard let store = worker.context.store, size > 0, !isStoreOnly else {
      reset(connection)
      return .waiting
    }
    let plan = SlicePlan(sliceSize: size, completeLength: sliced.length)
    guard let range = plan.range(ofSlice: position / size) else {
      reset(connection)
      return .waiting
    }
    let key = worker.keyBytes(of: self)
    let hash = store.sliceHash(sliced, start: range.start)
    let tags = key.withView { targetTags(worker, store, key: $0) }
    let now = worker.now.monotonic
    let role = worker.context.fills.join(
      hash, now: now, mayJoin: { $0.fullKey == key && $0.slice?.body?.id == sliced.id },
      make: {
        Fill(
          key: hash, fullKey: key, targetTags: tags, mark: store.beginFill(),
          leader: worker.index, began: now,
          slice: SliceJob(range: range, body: sliced, size: size))
      })
    fillStart = range.start
    switch role {
    case .lead(let fill):
      leadSlice(fill, on: connection)
    case .follow(let fill):
      worker.counters.add(.fillsCollapsed)
      isLeader = false
      joinSlice(fill, on: connection)
    case .alone:
      // Such keys are never marked.
      reset(connection)
      return .waiting
    }
    return connection.isClosed ? .waiting : nil
  }

  private func leadSlice(_ fill: Fill, on connection: some ClientStream) {
    let worker = connection.worker
    isLeader = true
    let request = OriginRequest(
      worker: worker, generation: generation, fill: fill, head: head(worker), route: route,
      client: client, isFill: true, upgrade: false, stored: nil, decision: decision(worker))
    joinSlice(fill, on: connection)
    request.reason = reason ?? .partial
    request.purgedThrough = purgedThrough
    request.goesOn = true
    worker.leading[ObjectIdentifier(fill)] = request
    request.start()
  }

  private func joinSlice(_ fill: Fill, on connection: some ClientStream) {
    self.fill = fill
    state = .filling
    // Its response has begun: there is no refusing it now.
    _ = connection.worker.join(fill, connection: connection.token, limit: .max)
  }

  private func reset(_ connection: some ClientStream) {
    result = .error
    connection.reset()
  }
}

extension Worker {
  /// The primary key of an exchange's request.
  func keyBytes(of exchange: Exchange) -> [UInt8] {
    exchange.makeKey(self)
    return keyBuffer.view.array
  }
}

extension ObjectStore {
  /// What the fill of a slice is found by.
  func sliceHash(_ body: SlicedBody, start: UInt64) -> Hash128 {
    var text = ByteBuffer(capacity: 24)
    text.append(littleEndian: body.id)
    text.append(littleEndian: start)
    return variantHash(primary: body.keyHash, rule: ByteView("\0slice"), values: text.view)
  }
}
