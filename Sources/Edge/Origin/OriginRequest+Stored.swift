// What an origin's answer does to what is stored: a 304 confirms it, an answer to HEAD freshens it, an
// unsafe request invalidates it, and where the origin fails it may be served stale.

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

extension OriginRequest {
  // MARK: Invalidation

  /// RFC 9111 §4.4: what a successful unsafe request may have changed is not served any more.
  func invalidate() {
    guard let store = worker.context.store,
      Invalidation.applies(method: head.method, status: response.status)
    else { return }
    let authority = head.bytes[head.authority]
    var key = ByteBuffer(capacity: 256)
    for tag in RequestTarget.tags(
      of: head, scheme: scheme, normalization: policy.key.query, store: store)
    {
      store.invalidate(tag: tag)
    }
    invalidateKey(store)
    if let decision, decision.isRewritten {
      let tags = RequestTarget.tags(
        of: decision.head, scheme: scheme, normalization: policy.key.query, store: store)
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
          of: reference, scheme: ByteView(scheme), authority: authority,
          path: head.bytes[head.path],
          to: &target)
      else { continue }
      key.removeAll()
      RequestTarget.appendKey(scheme: scheme, authority: authority, target: target.view, to: &key)
      store.invalidate(tag: store.tagHash(ofKey: key.view))
    }
  }

  /// Invalidates what a GET for the URI would be found by, where the key is not the URI.
  private func invalidateKey(_ store: ObjectStore) {
    var key = ByteBuffer(capacity: 256)
    policy.key.append(head, scheme: scheme, to: &key)
    if generation.routes.routes[route].hasUsualKey, let query = head.query {
      RequestTarget.applySearchRule(worker.context, query: head.bytes[query], to: &key)
    }
    store.invalidate(tag: store.tagHash(ofKey: key.view))
  }

  // MARK: Validation

  /// A 304: what is stored is good again (RFC 9111 §4.3.4).
  func validated() {
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
    let isPersonal = isPersonal(ResponseDirectives(self.response, policy: policy.caching))
    var lines = ByteBuffer(capacity: response.head.count + 256)
    HeadComposer.appendFreshened(
      stored: response.head, by: self.response, options: fieldOptions,
      isPersonal: isPersonal,
      responseTime: responseTime, policy: policy.caching, to: &lines)
    let merged = ResponseHead()
    StoredLines.read(lines.view, status: response.status, into: merged)
    let directives = ResponseDirectives.freshened(
      merged: merged, notModified: self.response, policy: policy.caching)
    let freshness = Freshness.freshened(
      Freshness(response), merged: merged, notModified: self.response, requestTime: requestTime,
      responseTime: responseTime, policy: policy.caching)
    let metadata = freshness.metadata(status: response.status, lines: lines.view)
    let freshened = freshenedTags(of: response, merged, isPersonal: isPersonal, store)
    let tags = freshened ?? []
    let fills = worker.context.fills
    guard freshened != nil, mayKeep(response, freshenedTo: merged, directives) else {
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

  /// Whether an answer is for who asked and nobody else (RFC 9111 §3.5).
  private func isPersonal(_ directives: ResponseDirectives) -> Bool {
    guard !directives.permitsAuthorization else { return false }
    return decision?.isRestricted ?? false || head.fields.count(of: .authorization) > 0
  }

  /// What an answer to HEAD says of the stored response to GET (RFC 9111 §4.3.5).
  func freshenByHead() {
    guard response.status == 200, let store = worker.context.store, let reader = worker.reader,
      !fill.fullKey.isEmpty, !isPersonal(ResponseDirectives(response, policy: policy.caching))
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

  /// The tags that a 304 gives a stored response; empty if they stay as they are, nil if they, or its
  /// cache groups, are too many to be kept.
  private func freshenedTags(
    of stored: StoredResponse, _ merged: ResponseHead, isPersonal: Bool, _ store: ObjectStore
  ) -> [UInt64]? {
    var tags: [UInt64] = []
    let areWithin =
      isPersonal
      || Tags.forEach(in: response, within: policy.caching.tagLimits) {
        tags.append(store.tagHash($0))
      }
    guard areWithin else { return nil }
    // Tags that the 304 has replace those that are stored: those of rules are then among them.
    if !tags.isEmpty { for tag in ruled.tags { tags.append(tag.withView { store.tagHash($0) }) } }
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
  func mayKeep(
    _ response: StoredResponse, freshenedTo merged: ResponseHead, _ directives: ResponseDirectives
  ) -> Bool {
    guard !directives.noStore && !directives.isPrivate && !isKeptOut else { return false }
    if policy.caching.ignored.contains(.vary) { return true }
    var rule = ByteBuffer()
    return VaryRule.append(of: merged, to: &rule) != .star && rule.view == response.varyRule
  }

  /// Removes the stored response that was to be validated.
  func removeStored() {
    if let stored { worker.context.store?.remove(keyHash: stored.hash, id: stored.id) }
  }

  /// Whether what is stored may be older than a purge of the fleet that this PoP has not heard of.
  private var isHeldBack: Bool {
    switch worker.fleetMode {
    case .serve: break
    case .revalidate, .bypass: return true
    }
    guard let purgedThrough, let fleet = worker.context.fleet else { return false }
    return !fleet.progress.hasReached(purgedThrough)
  }

  /// The origin failed, and what is stored may be served for a while longer (RFC 5861 §4).
  func serveStale(instead status: UInt16?) -> Bool {
    guard let stored, !isHeldBack, let store = worker.context.store,
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
  func publishStored(
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
      varyValues: varyValues(of: response), purgeTags: purgeTags,
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

  /// What requests must have for a variant to be theirs: where the origin chose among several, what this
  /// one has.
  private func varyValues(of response: StoredResponse) -> [UInt8] {
    guard offer != nil else { return response.varyValues.array }
    var values = ByteBuffer()
    VaryRule.appendValues(rule: response.varyRule, request: head, to: &values)
    return values.view.array
  }

  private func conclude() {
    // An error's content is of no use; a connection that still carries it neither.
    if response.status == 304 { releaseConnection() } else { dropConnection() }
    retire()
  }

  private func dropConnection() {
    dropStream()
    guard let connection else { return }
    self.connection = nil
    worker.close(connection)
  }

  /// The 304 was not about what is stored, or that is gone meanwhile.
  func askAgainWithoutConditions() {
    stored = nil
    offer = nil
    releaseConnection()
    startAgain()
  }
}
