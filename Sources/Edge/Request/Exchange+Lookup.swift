// What the store has for a request, and what may be done with it (RFC 9111 §4).

internal import Bytes
internal import EventLoop
internal import Fleet
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Tracing

extension Exchange {
  /// Goes to the origin alone, unless a limit has something against it.
  func passIfAllowed(
    _ reason: ForwardReason, upgrade: Bool = false, on connection: some ClientStream
  ) {
    guard !mustWaitForHandshake(on: connection), mayGoToOrigin(on: connection) else { return }
    pass(reason, key: [], upgrade: upgrade, on: connection)
  }

  func lookUp(
    _ head: RequestHead, store: ObjectStore, reader: StoreReader, on connection: some ClientStream
  ) {
    let worker = connection.worker
    makeKey(worker)
    let key = worker.keyBuffer.view
    let primary = store.keyHash(key)
    if reader.isCold(primary), !hasWarmed, warm(primary, store, on: connection) { return }
    let directives = requestDirectives(worker)
    if case .bypass = worker.fleetMode {
      missed(.uriMiss, hash: primary, directives, on: connection)
      return
    }
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

  /// The URL that the client sent, where the key is not it; else empty.
  func targetURL(_ worker: Worker, key: ByteView) -> [UInt8] {
    let isUsual = generation.routes.routes[route].hasUsualKey
    let head = clientHead(worker)
    if isUsual && !isRuled && (worker.context.searchRules.isEmpty || head.query == nil) {
      return []
    }
    var url = ByteBuffer(capacity: 256)
    RequestTarget.appendKey(
      scheme: scheme, authority: head.bytes[head.authority], target: head.bytes[head.target],
      to: &url)
    return url.view == key || url.count > 65_535 ? [] : url.view.array
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
    var reuse = ReuseRules.decide(freshness, request: directives, now: worker.now.wall)
    if isHeldBack(worker), reuse != .gatewayTimeout {
      reuse = directives.onlyIfCached ? .gatewayTimeout : .mustValidate(.stale)
    }
    if let secure, secure.isEarly, !answersEarly(response, reuse, on: connection) { return }
    switch reuse {
    case .fresh, .staleWhileRevalidate:
      if worker.isOverloaded, worker.shedsHit(generation.routes.routes[route].priority) {
        shed(on: connection)
        return
      }
    case .mustValidate, .gatewayTimeout: break
    }
    if isStoreOnly {
      // What may be older than a purge is not served, whatever else is switched.
      if isHeldBack(worker) { return answerWithoutOrigin(on: connection) }
      if servesAsItIs(response, freshness, reuse, on: connection) { return }
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
      if directives.permitsStoring, !isStoreOnly {
        revalidateBehind(response, hash: hash, on: connection)
      }
      serve(response, freshness, on: connection)
    case .mustValidate(let reason):
      // A client that insists on validation gets the origin's word, or what the failure leaves.
      if !directives.demandsValidation, !isHeldBack(worker),
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

  /// Whether what is stored may be older than a purge of the fleet, and has to be validated.
  @inline(__always)
  private func isHeldBack(_ worker: Worker) -> Bool {
    switch worker.fleetMode {
    case .serve: asksForMore
    case .revalidate, .bypass: true
    }
  }

  /// Serves what would have to be validated, while no origin is asked: as a cache that is disconnected
  /// (RFC 9111 §4.2.4), so not against `no-cache` and `must-revalidate` of the response. False: it may be
  /// served anyway.
  @inline(never)
  private func servesAsItIs(
    _ response: StoredResponse, _ freshness: Freshness, _ reuse: Reuse,
    on connection: some ClientStream
  ) -> Bool {
    switch reuse {
    case .fresh, .staleWhileRevalidate: return false
    case .mustValidate, .gatewayTimeout: break
    }
    if !freshness.flags.isDisjoint(with: [.noCache, .mustRevalidate]) {
      answerWithoutOrigin(on: connection)
    } else {
      let age = freshness.currentAge(now: connection.worker.now.wall)
      result = freshness.lifetime > age ? .hit : .stale
      serve(response, freshness, on: connection)
    }
    return true
  }

  private func missed(
    _ reason: ForwardReason, hash: Hash128, _ directives: RequestDirectives,
    on connection: some ClientStream
  ) {
    if mustWaitForHandshake(on: connection) { return }
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
}
