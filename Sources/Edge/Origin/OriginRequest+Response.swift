// What an origin's final answer means: stored or not, shared or not. What it does to what is stored
// already is in `OriginRequest+Stored.swift`, the reading of its content in `OriginRequest+Content.swift`.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTP1
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Origins
internal import Tracing

extension OriginRequest {
  var betweenBytesTimeout: Int64 { side.settings.betweenBytesTimeout }

  /// The final head is there; `content` is what came behind it in the same read.
  func final(content: ByteView) {
    if let trace {
      trace.end(.firstByte, at: worker.clock.monotonic())
      trace.explanation?.answered(response)
    }
    connection?.setDeadline(worker.now.monotonic + betweenBytesTimeout)
    if stream != nil { setStreamDeadline(worker.now.monotonic + betweenBytesTimeout) }
    isBound = bindsConnection
    if isBound { stream?.connection.retire() }
    if triesAgain(insteadOf: content) { return }
    noteAnswer()
    noteTags()
    invalidate()
    if response.status == 304, let offer {
      stored = offer.tags.selected(by: response).map { offer.stored[$0] }
      if stored == nil {
        hasExtra = !content.isEmpty
        askAgainWithoutConditions()
        return
      }
    }
    if stored != nil {
      if response.status == 304 {
        hasExtra = !content.isEmpty
        validated()
        return
      }
      if ReuseRules.isError(response.status), serveStale(instead: response.status) { return }
    }
    if let slice = fill.slice {
      // What is stored of a slice is a 200.
      runResponseRules(as: response.status == 206 ? 200 : response.status)
      if finalSlice(slice, content: content) { return }
    }
    if isFill && response.status == 304, connection != nil || stream != nil {
      // Nothing was asked with a condition: whoever waits would be told of a response it does not have.
      failTry(.malformed)
      return
    }
    runResponseRules(as: response.status)
    trace?.explanation?.tag(response, ruled.tags)
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

  /// Whether the answer is about authentication that holds for a connection and not for a request (NTLM,
  /// and Negotiate where it is used so): the next client on it would be taken for this one.
  private var bindsConnection: Bool {
    var binds = false
    head.fields.forEach(.authorization, in: head.bytes) {
      binds = binds || Self.bindsConnection($0)
    }
    guard response.status == 401 || binds else { return false }
    response.fields.forEach(named: ByteView("www-authenticate"), in: response.bytes) {
      binds = binds || Self.bindsConnection($0)
    }
    return binds
  }

  private static func bindsConnection(_ credentials: ByteView) -> Bool {
    let scheme = credentials.prefix(credentials.firstIndex(of: ASCII.space) ?? credentials.count)
    return scheme.equalsIgnoringCase(ByteView("ntlm"))
      || scheme.equalsIgnoringCase(ByteView("negotiate"))
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
    // The origin has not seen a field that the client's `Connection` nominates; the key, and the values
    // that `Vary` selects by, have it. Whoever sends such a thing gets an answer of its own.
    if ConnectionOptions(head).nominatesAny { return plan }
    let isRestricted = self.decision?.isRestricted ?? false
    if isRestricted && !directives.permitsAuthorization {
      // Whoever else must show something gets an answer of their own, too.
      plan.marksKey = response.status < 500 && !isOpenToAll
      return plan
    }
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
    Tags.forEach(in: response, within: caching.tagLimits) { plan.tags.append(store.tagHash($0)) }
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

  /// Whether the route asks for credentials that may be missing: what is shared by those without is no
  /// reason to let all of them through.
  private var isOpenToAll: Bool {
    guard case .token(let gate) = generation.gates.gates[route] else { return false }
    return gate.isOptional
  }

  /// Whether a request like any other may be answered with it now.
  func isReusable(_ freshness: Freshness) -> Bool {
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
    return length <= generation.shared.largestObject
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
    // How long its content takes is for the client to say.
    if !plan.isStored { leaveGate() }
    noteVariant(plan)
    if let key = fill.key {
      if !plan.isShared { worker.context.fills.remove(fill) }
      if plan.marksKey { worker.context.fills.mark(key, now: worker.now.monotonic) }
    }
    if plan.marksKey && fill.key != nil { worker.counters.add(.hitForMiss) }
    worker.noteMoved(fill)
  }

  private func noteVariant(_ plan: Plan) {
    guard plan.isStored, let rule = plan.varyRule, let store = worker.context.store else { return }
    worker.context.variants.note(
      VariantSelector(rule: rule, values: plan.varyValues),
      of: fill.fullKey.withView { store.keyHash($0) })
  }

  var fieldOptions: ResponseFieldOptions {
    // A service's answer has its cookies whatever the route makes of those of responses.
    if isQuestion { return [] }
    var options = policy.caching.fieldOptions
    if generation.routes.routes[route].exposeTags { options.formUnion(.exposeTags) }
    return generation.routes.namesRequests ? options.union(.nameRequests) : options
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
    guard generation.routes.routes[route].hasUsualKey, decision == nil, let query = head.query
    else {
      return true
    }
    var key = ByteBuffer(capacity: 256)
    RequestTarget.appendKey(
      scheme: scheme, authority: head.bytes[head.authority], target: head.bytes[head.target],
      to: &key)
    if fill.fullKey.withView({ $0 == key.view }) { return true }
    RequestTarget.apply(NoVarySearch(response), query: head.bytes[query], to: &key)
    return fill.fullKey.withView { $0 == key.view }
  }

  /// Notes which parameters of the query count, for the requests to come.
  private func noteSearchRule() {
    guard response.status == 200, decision == nil, !fill.fullKey.isEmpty, head.query != nil,
      generation.routes.routes[route].hasUsualKey, let store = worker.context.store
    else { return }
    let rules = worker.context.searchRules
    let rule = NoVarySearch(response)
    guard !rule.isDefault || !rules.isEmpty else { return }
    var key = ByteBuffer(capacity: 256)
    RequestTarget.appendKey(
      scheme: scheme, authority: head.bytes[head.authority], target: head.bytes[head.target],
      to: &key)
    let mark = key.view.firstIndex(of: ASCII.question) ?? key.count
    rules.note(rule, for: store.keyHash(key.view[0..<mark]))
  }

  /// The lines as they are stored.
  func storedLines(_ directives: ResponseDirectives) -> ByteBuffer {
    lines(directives, fieldOptions.union(.storing))
  }

  func groupTag(_ group: [UInt8], _ store: ObjectStore) -> UInt64 {
    var origin = ByteBuffer(capacity: 128)
    RequestTarget.appendOrigin(
      scheme: scheme, authority: head.bytes[head.authority], to: &origin)
    var tag = ByteBuffer(capacity: 256)
    group.withView { CacheGroups.appendTag($0, origin: origin.view, to: &tag) }
    return store.tagHash(tag.view)
  }

  func lines(
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
}
