// What an origin's final answer means: stored or not, shared or not, a 304 for what is stored; and the
// reading of its content.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTP1
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Origins

extension OriginRequest {
  private var betweenBytesTimeout: Int64 { side.settings.betweenBytesTimeout }

  /// The final head is there; `content` is what came behind it in the same read.
  func final(content: ByteView) {
    connection?.setDeadline(worker.now.monotonic + betweenBytesTimeout)
    if triesAgain(insteadOf: content) { return }
    noteAnswer()
    invalidate()
    if stored != nil {
      if response.status == 304 {
        hasExtra = !content.isEmpty
        validated()
        return
      }
      if ReuseRules.isError(response.status), serveStale(instead: response.status) { return }
    }
    if let slice = fill.slice, finalSlice(slice, content: content) { return }
    if isFill && response.status == 304, let connection {
      // Nothing was asked with a condition: whoever waits would be told of a response it does not have.
      failed(.malformed, on: connection)
      return
    }
    runResponseRules()
    if head.method == .head { freshenByHead() }
    if stored != nil { worker.counters.add(.revalidatedReplaced) }
    let directives = ResponseDirectives(response, policy: policy.caching)
    let plan = plan(directives)
    noteSearchRule()
    // What was stored is not what the origin has now, though this may not be stored either.
    if !plan.isStored, response.status < 500, !StatusRules.answersOneRequest(response.status) {
      removeStored()
    }
    publish(plan, directives: directives)
    begin(framing: response.framing)
    if isForNobody {
      end(with: .requestAborted)
    } else {
      take(content)
    }
  }

  // MARK: Deciding

  struct Plan {
    var isStored = false
    var isShared = false
    var marksKey = false
    var varyRule: [UInt8]?
    var varyValues: [UInt8] = []
    var tags: [UInt64] = []
    var purgeTags: [UInt64] = []
  }

  /// What to do with an answer; `caching` is the route's unless it is another.
  func plan(_ directives: ResponseDirectives, policy caching: CachePolicy? = nil) -> Plan {
    var plan = Plan()
    guard let store = worker.context.store, let mark = fill.mark, !fill.fullKey.isEmpty else {
      return plan
    }
    if isKeptOut { return plan }
    let isRestricted = self.decision?.isRestricted ?? false
    if isRestricted && !directives.permitsAuthorization { return plan }
    let caching = caching ?? policy.caching
    let decision = StorageRules.decide(
      request: head, response: response, directives: directives,
      requestDirectives: RequestDirectives(head, policy: caching.reuse),
      policy: caching, uses: uses)
    if case .refuse(let refusal) = decision {
      plan.marksKey = response.status < 500 && !refusal.isTheRequests
      return plan
    }
    var rule = ByteBuffer()
    let varies = !caching.ignored.contains(.vary)
    guard !varies || VaryRule.append(of: response, to: &rule) != .star,
      isWithinSize, isFill || !asksForPart, fitsExtension, addGroups(to: &plan, store),
      isSaidByAnswer
    else {
      // An error may be over at the next request; it is no reason to let all of them through.
      plan.marksKey = response.status < 500
      return plan
    }
    if !rule.isEmpty {
      var values = ByteBuffer()
      VaryRule.appendValues(rule: rule.view, request: head, to: &values)
      plan.varyRule = rule.view.array
      plan.varyValues = values.view.array
    }
    Tags.forEach(in: response) { plan.tags.append(store.tagHash($0)) }
    for tag in ruled.tags { plan.tags.append(tag.withView { store.tagHash($0) }) }
    plan.purgeTags = plan.tags + fill.targetTags
    // A purge came while the origin answered: this client began before it, but nobody else did.
    if fill.isPurged(in: store, since: mark, tags: plan.purgeTags) { return plan }
    plan.isStored = true
    // Others may have it only if they might have found it in the store (RFC 9111 §4). What is stored
    // but has to be validated each time is no reason to wait for each other either.
    let freshness = Freshness.of(
      response: response, directives: directives, requestTime: requestTime,
      responseTime: responseTime, policy: caching)
    plan.isShared = fill.key != nil && isReusable(freshness)
    plan.marksKey = !plan.isShared
    return plan
  }

  /// Whether a request like any other may be answered with it now.
  private func isReusable(_ freshness: Freshness) -> Bool {
    switch ReuseRules.decide(freshness, request: RequestDirectives(), now: responseTime) {
    case .fresh, .staleWhileRevalidate: return true
    case .mustValidate, .gatewayTimeout: return false
    }
  }

  /// Whether the request asked for less than the whole: then a 200 is not an answer to a plain GET.
  private var asksForPart: Bool {
    head.fields.count(of: .range) > 0 || head.fields.count(of: .ifNoneMatch) > 0
      || head.fields.count(of: .ifModifiedSince) > 0
  }

  private var isWithinSize: Bool {
    guard case .length(let length) = response.framing else { return true }
    return length <= worker.context.largestObject
  }

  private func publish(_ plan: Plan, directives: ResponseDirectives) {
    let options = fieldOptions
    let lines = lines(directives, plan.isStored ? options.union(.storing) : options)
    let hasOwnFields =
      plan.isStored && (directives.noCacheFields || directives.privateFields)
    let ownLines = hasOwnFields ? self.lines(directives, options).view.array : nil
    let freshness = Freshness.of(
      response: response, directives: directives, requestTime: requestTime,
      responseTime: responseTime, policy: policy.caching)
    let metadata = freshness.metadata(status: response.status, lines: lines.view)
    let fillHead = FillHead(
      status: response.status, lines: lines.view.array, ownLines: ownLines, length: contentLength,
      metadata: metadata,
      // Only conditions that are evaluated here ask for it.
      entityTag: isFill ? Validators.etag(of: lines.view) : nil, varyRule: plan.varyRule,
      varyValues: plan.varyValues, purgeTags: plan.purgeTags, isShared: plan.isShared,
      isStored: plan.isStored, isValidated: false, isServedOnError: false,
      forwardedStatus: response.status)
    let bodyID = sink.begin(
      fillHead, tags: plan.tags, implicitTags: Array(plan.purgeTags.dropFirst(plan.tags.count)))
    fill.begin(fillHead, bodyID: bodyID)
    if let key = fill.key {
      if !plan.isShared { worker.context.fills.remove(fill) }
      if plan.marksKey { worker.context.fills.mark(key, now: worker.now.monotonic) }
    }
    if plan.marksKey && fill.key != nil { worker.counters.add(.hitForMiss) }
    worker.noteMoved(fill)
  }

  private var fieldOptions: ResponseFieldOptions {
    let options = policy.caching.fieldOptions
    return worker.routes.routes[route].exposeTags ? options.union(.exposeTags) : options
  }

  /// Whether the content is what the path's extension promises, where the route asks for that.
  private var fitsExtension: Bool {
    guard policy.checksContentType else { return true }
    return DeceptionDefence.check(
      path: head.bytes[head.path], contentType: response.value(.contentType)
    ).mayStore
  }

  /// Adds the cache groups that the response belongs to (RFC 9875). False if they are too many to be
  /// kept: no invalidation could be sure to reach it.
  private func addGroups(to plan: inout Plan, _ store: ObjectStore) -> Bool {
    switch CacheGroups.groups(of: response) {
    case .none: return true
    case .excessive: return false
    case .groups(let groups):
      for group in groups { plan.tags.append(groupTag(group, store)) }
      return true
    }
  }

  /// Whether the key, where an earlier answer's No-Vary-Search shaped it, is what this one says, too.
  private var isSaidByAnswer: Bool {
    guard worker.routes.routes[route].hasUsualKey, decision == nil, let query = head.query else {
      return true
    }
    var key = ByteBuffer(capacity: 256)
    RequestTarget.appendKey(
      scheme: "http", authority: head.bytes[head.authority], target: head.bytes[head.target],
      to: &key)
    if fill.fullKey.withView({ $0 == key.view }) { return true }
    RequestTarget.apply(NoVarySearch(response), query: head.bytes[query], to: &key)
    return fill.fullKey.withView { $0 == key.view }
  }

  /// Notes which parameters of the query count, for the requests to come.
  private func noteSearchRule() {
    guard response.status == 200, decision == nil, !fill.fullKey.isEmpty, head.query != nil,
      worker.routes.routes[route].hasUsualKey, let store = worker.context.store
    else { return }
    let rules = worker.context.searchRules
    let rule = NoVarySearch(response)
    guard !rule.isDefault || !rules.isEmpty else { return }
    var key = ByteBuffer(capacity: 256)
    RequestTarget.appendKey(
      scheme: "http", authority: head.bytes[head.authority], target: head.bytes[head.target],
      to: &key)
    let mark = key.view.firstIndex(of: ASCII.question) ?? key.count
    rules.note(rule, for: store.keyHash(key.view[0..<mark]))
  }

  /// The lines as they are stored.
  func storedLines(_ directives: ResponseDirectives) -> ByteBuffer {
    lines(directives, fieldOptions.union(.storing))
  }

  private func groupTag(_ group: [UInt8], _ store: ObjectStore) -> UInt64 {
    var origin = ByteBuffer(capacity: 128)
    RequestTarget.appendOrigin(
      scheme: "http", authority: head.bytes[head.authority], to: &origin)
    var tag = ByteBuffer(capacity: 256)
    group.withView { CacheGroups.appendTag($0, origin: origin.view, to: &tag) }
    return store.tagHash(tag.view)
  }

  private func lines(
    _ directives: ResponseDirectives, _ options: ResponseFieldOptions
  ) -> ByteBuffer {
    var lines = ByteBuffer(capacity: response.length + 128)
    ResponseComposer.append(
      response, directives: directives, options: options, responseTime: responseTime,
      nodeName: worker.nodeName.view, to: &lines)
    return lines
  }

  /// The content's length as a client is told it. For HEAD, what GET would have had.
  private var contentLength: UInt64? {
    switch response.framing {
    case .length(let length): return length
    case .chunked, .untilClose: return nil
    case .none:
      guard head.method == .head, let value = response.value(.contentLength) else {
        return head.method == .head ? nil : 0
      }
      return Decimal.parse(value)
    }
  }

  /// RFC 9111 §4.4: what a successful unsafe request may have changed is not served any more.
  private func invalidate() {
    guard let store = worker.context.store,
      Invalidation.applies(method: head.method, status: response.status)
    else { return }
    let authority = head.bytes[head.authority]
    var key = ByteBuffer(capacity: 256)
    for tag in RequestTarget.tags(of: head, normalization: policy.key.query, store: store) {
      store.invalidate(tag: tag)
    }
    invalidateKey(store)
    if let decision, decision.isRewritten {
      let tags = RequestTarget.tags(
        of: decision.head, normalization: policy.key.query, store: store)
      for tag in tags { store.invalidate(tag: tag) }
    }
    if case .groups(let groups) = CacheGroups.invalidated(by: response, method: head.method) {
      for group in groups { store.invalidate(tag: groupTag(group, store)) }
    }
    for field in [KnownField.location, .contentLocation] {
      guard let reference = response.value(field) else { continue }
      var target = ByteBuffer(capacity: 256)
      guard
        Invalidation.appendTarget(
          of: reference, scheme: ByteView("http"), authority: authority,
          path: head.bytes[head.path],
          to: &target)
      else { continue }
      key.removeAll()
      RequestTarget.appendKey(scheme: "http", authority: authority, target: target.view, to: &key)
      store.invalidate(tag: store.tagHash(ofKey: key.view))
    }
  }

  /// Invalidates what a GET for the URI would be found by, where the key is not the URI.
  private func invalidateKey(_ store: ObjectStore) {
    var key = ByteBuffer(capacity: 256)
    policy.key.append(head, scheme: "http", to: &key)
    if worker.routes.routes[route].hasUsualKey, let query = head.query {
      RequestTarget.applySearchRule(worker.context, query: head.bytes[query], to: &key)
    }
    store.invalidate(tag: store.tagHash(ofKey: key.view))
  }

  // MARK: Validation

  /// A 304: what is stored is good again (RFC 9111 §4.3.4).
  private func validated() {
    worker.counters.add(.revalidated304)
    guard let stored, let store = worker.context.store, let mark = fill.mark,
      let response = worker.reader?.record(id: stored.id, hash: stored.hash),
      store.purgeState(since: response.sequence, tags: response.allTags, url: response.url)
        != .hard,
      stored.entityTag.withView({ tag in
        stored.lastModified.withView { modified in
          Validators.selects(
            self.response, storedETag: tag.isEmpty ? nil : tag,
            storedLastModified: modified.isEmpty ? nil : modified)
        }
      })
    else {
      askAgainWithoutConditions()
      return
    }
    runResponseRules(status: response.status, lines: response.head)
    var lines = ByteBuffer(capacity: response.head.count + 256)
    HeadComposer.appendFreshened(
      stored: response.head, by: self.response, options: fieldOptions,
      responseTime: responseTime, policy: policy.caching, to: &lines)
    let merged = ResponseHead()
    StoredLines.read(lines.view, status: response.status, into: merged)
    let directives = ResponseDirectives.freshened(
      merged: merged, notModified: self.response, policy: policy.caching)
    let freshness = Freshness.freshened(
      Freshness(response), merged: merged, notModified: self.response, requestTime: requestTime,
      responseTime: responseTime, policy: policy.caching)
    let metadata = freshness.metadata(status: response.status, lines: lines.view)
    var tags: [UInt64] = []
    Tags.forEach(in: self.response) { tags.append(store.tagHash($0)) }
    // Tags that the 304 has replace those that are stored: those of rules are then among them.
    if !tags.isEmpty { for tag in ruled.tags { tags.append(tag.withView { store.tagHash($0) }) } }
    let fills = worker.context.fills
    guard mayKeep(response, freshenedTo: merged, directives) else {
      publishStored(
        response, lines: lines.view, metadata: metadata, newTags: tags, status: 304,
        isStored: false)
      removeStored()
      fills.remove(fill)
      store.endFill(mark)
      conclude()
      return
    }
    // One that has to be validated each time is no reason to wait for each other.
    if let key = fill.key, !isReusable(freshness) { fills.mark(key, now: worker.now.monotonic) }
    publishStored(response, lines: lines.view, metadata: metadata, newTags: tags, status: 304)
    let taken = store.freshen(
      id: stored.id, keyHash: stored.hash, head: lines.view.array, metadata: metadata,
      tags: tags.isEmpty ? nil : tags, sequence: mark.sequence,
      completion: { [fill] _ in
        fills.remove(fill)
        store.endFill(mark)
      })
    if !taken {
      fills.remove(fill)
      store.endFill(mark)
    }
    conclude()
  }

  /// What an answer to HEAD says of the stored response to GET (RFC 9111 §4.3.5).
  private func freshenByHead() {
    guard response.status == 200, let store = worker.context.store, let reader = worker.reader,
      !fill.fullKey.isEmpty
    else { return }
    let stored = fill.fullKey.withView { key in
      reader.find(store.keyHash(key), key: key, request: head, store: store)
    }
    guard let stored else { return }
    let modified = Validators.lastModified(of: stored.head).map { stored.head[$0] }
    switch HeadFreshening.decide(
      response, storedETag: stored.etag.isEmpty ? nil : stored.etag, storedLastModified: modified,
      storedLength: stored.bodyLength)
    {
    case .ignore: return
    case .invalidate: store.remove(keyHash: stored.keyHash, id: stored.id)
    case .update: update(stored, store)
    }
  }

  private func update(_ stored: StoredResponse, _ store: ObjectStore) {
    var lines = ByteBuffer(capacity: stored.head.count + 256)
    HeadComposer.appendFreshened(
      stored: stored.head, by: response, options: fieldOptions, responseTime: responseTime,
      policy: policy.caching, to: &lines)
    let merged = ResponseHead()
    StoredLines.read(lines.view, status: stored.status, into: merged)
    let directives = ResponseDirectives.freshened(
      merged: merged, notModified: response, policy: policy.caching)
    guard mayKeep(stored, freshenedTo: merged, directives) else {
      store.remove(keyHash: stored.keyHash, id: stored.id)
      return
    }
    let freshness = Freshness.freshened(
      Freshness(stored), merged: merged, notModified: response, requestTime: requestTime,
      responseTime: responseTime, policy: policy.caching)
    _ = store.freshen(
      id: stored.id, keyHash: stored.keyHash, head: lines.view.array,
      metadata: freshness.metadata(status: stored.status, lines: lines.view), tags: nil,
      sequence: stored.sequence, completion: { _ in })
  }

  /// The tags that a 304 gives a stored response; empty if they stay as they are, nil if its cache groups
  /// are too many to be kept.
  private func freshenedTags(
    of stored: StoredResponse, _ merged: ResponseHead, _ store: ObjectStore
  ) -> [UInt64]? {
    var tags: [UInt64] = []
    Tags.forEach(in: response) { tags.append(store.tagHash($0)) }
    let before = ResponseHead()
    StoredLines.read(stored.head, status: stored.status, into: before)
    guard let groups = groupTags(of: merged, store), let old = groupTags(of: before, store) else {
      return nil
    }
    if tags.isEmpty && groups == old { return [] }
    if tags.isEmpty {
      tags = (0..<stored.tagCount).map { stored.tag($0) }.filter { !old.contains($0) }
    }
    return tags + groups
  }

  private func groupTags(of head: ResponseHead, _ store: ObjectStore) -> [UInt64]? {
    switch CacheGroups.groups(of: head) {
    case .none: []
    case .excessive: nil
    case .groups(let groups): groups.map { groupTag($0, store) }
    }
  }

  /// Whether a stored response may stay stored with the fields that a 304 gave it, and is still found
  /// by them: one that varies otherwise now would be served to the wrong requests.
  private func mayKeep(
    _ response: StoredResponse, freshenedTo merged: ResponseHead, _ directives: ResponseDirectives
  ) -> Bool {
    guard !directives.noStore && !directives.isPrivate && !isKeptOut else { return false }
    if policy.caching.ignored.contains(.vary) { return true }
    var rule = ByteBuffer()
    return VaryRule.append(of: merged, to: &rule) != .star && rule.view == response.varyRule
  }

  /// Removes the stored response that was to be validated.
  private func removeStored() {
    if let stored { worker.context.store?.remove(keyHash: stored.hash, id: stored.id) }
  }

  /// The origin failed, and what is stored may be served for a while longer (RFC 5861 §4).
  func serveStale(instead status: UInt16?) -> Bool {
    guard let stored, let store = worker.context.store,
      let response = worker.reader?.record(id: stored.id, hash: stored.hash),
      store.purgeState(since: response.sequence, tags: response.allTags, url: response.url)
        != .hard,
      ReuseRules.mayServeOnError(Freshness(response), now: worker.now.wall)
    else { return false }
    publishStored(
      response, lines: response.head, metadata: response.metadata, newTags: [],
      status: status ?? 502)
    worker.context.fills.remove(fill)
    if let mark = fill.mark { store.endFill(mark) }
    conclude()
    return true
  }

  /// Makes the fill one whose content is a stored response's.
  private func publishStored(
    _ response: StoredResponse, lines: ByteView, metadata: Metadata, newTags: [UInt64],
    status: UInt16, isStored: Bool = true
  ) {
    var purgeTags = newTags
    for index in 0..<response.tagCount + response.implicitTagCount
    where newTags.isEmpty || index >= response.tagCount {
      purgeTags.append(response.tag(index))
    }
    let fillHead = FillHead(
      status: response.status, lines: lines.array, length: response.bodyLength,
      metadata: metadata, entityTag: Validators.etag(of: lines),
      varyRule: response.varyRule.isEmpty ? nil : response.varyRule.array,
      varyValues: response.varyValues.array, purgeTags: purgeTags,
      isShared: isStored && fill.key != nil, isStored: isStored, isValidated: true,
      isServedOnError: status != 304, forwardedStatus: status,
      sliced: SlicedBody(response))
    var body: SharedBytes?
    if response.bodyID == 0 {
      let copy = SharedBytes(capacity: max(1, response.body.count))
      copy.append(response.body)
      body = copy
    } else {
      // Whoever reads the chunks pins them again; this pin bridges the time until then.
      worker.pinForAWhile(response.bodyID)
    }
    fill.beginValidated(fillHead, body: body, bodyID: response.bodyID, length: response.bodyLength)
    worker.noteMoved(fill)
  }

  private func conclude() {
    // An error's content is of no use; a connection that still carries it neither.
    if response.status == 304 { releaseConnection() } else { dropConnection() }
    retire()
  }

  private func dropConnection() {
    guard let connection else { return }
    self.connection = nil
    worker.close(connection)
  }

  /// The 304 was not about what is stored, or that is gone meanwhile.
  private func askAgainWithoutConditions() {
    stored = nil
    releaseConnection()
    startAgain()
  }

  // MARK: Content

  func begin(framing: BodyFraming) {
    decoder = nil
    switch framing {
    case .none: remaining = 0
    case .length(let length): remaining = length
    case .chunked: decoder = ChunkedDecoder()
    case .untilClose: remaining = .max
    }
  }

  /// Takes content that was read into a buffer.
  func take(_ bytes: ByteView) {
    switch response.framing {
    case .none:
      hasExtra = !bytes.isEmpty
      complete(trailers: ByteView())
    case .length:
      let content = bytes.prefix(Int(clamping: remaining))
      remaining -= UInt64(content.count)
      sink.append(content)
      if remaining == 0 {
        hasExtra = content.count < bytes.count
        complete(trailers: ByteView())
      } else if !bytes.isEmpty {
        worker.noteMoved(fill)
      }
    case .untilClose:
      sink.append(bytes)
      worker.noteMoved(fill)
    case .chunked: takeChunked(bytes)
    }
  }

  private func takeChunked(_ bytes: ByteView) {
    var offset = 0
    while true {
      switch decoder?.next(bytes, offset: &offset) {
      case .content(let range): sink.append(bytes[range])
      case .incomplete:
        worker.noteMoved(fill)
        return
      case .end:
        hasExtra = offset < bytes.count
        var trailers = ByteBuffer()
        if let received = decoder?.trailers { trailers.append(received) }
        complete(trailers: trailers.view)
        return
      case .invalid, nil:
        if let connection { failed(.malformed, on: connection) }
        return
      }
    }
  }

  /// Reads content once; returns how much.
  func readContent() -> Int {
    guard let connection else { return 0 }
    let result: IOResult
    if case .chunked = response.framing {
      result = unsafe connection.socket.receive(into: worker.originBuffer)
      connection.note(result, room: unsafe worker.originBuffer.count)
      if let count = result.count, count > 0 {
        takeChunked(
          unsafe ByteView(unsafe: UnsafeRawBufferPointer(worker.originBuffer)).prefix(count))
      }
    } else {
      // Straight into the segment that clients and the store will read.
      connection.isDrained = false
      result = sink.read(from: connection.socket, limit: remaining)
      if let count = result.count, count > 0 {
        if case .length = response.framing { remaining -= UInt64(count) }
        if remaining == 0 { complete(trailers: ByteView()) } else { worker.noteMoved(fill) }
      }
    }
    guard let count = result.count else {
      connection.isReadable = false
      if !result.wouldBlock { failed(.closedEarly, on: connection) }
      return 0
    }
    if count == 0 {
      connection.isReadable = false
      if response.framing == .untilClose {
        complete(trailers: ByteView())
      } else {
        failed(.closedEarly, on: connection)
      }
      return 0
    }
    worker.counters.add(.originBytesReceived, UInt64(count))
    // The answer may be whole, and the connection idle or closed.
    if stage == .content { connection.setDeadline(worker.now.monotonic + betweenBytesTimeout) }
    return count
  }
}
