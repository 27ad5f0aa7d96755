internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import ObjectStore
internal import RateLimiting
internal import Rules
internal import Tracing

extension Exchange {
  /// The longest value of the field that is looked at.
  private static let longestWish = 1_024

  /// Takes the field out of the request, and if its token is good begins to note what is decided.
  @inline(never)
  func beginExplanation(_ head: RequestHead, _ worker: Worker) {
    let isOnce = !head.fields.isRepeated(.weirExplain)
    let value = head.value(.weirExplain)
    head.fields.remove(.weirExplain)
    // Without traces nobody has cleared it.
    if worker.traceThreshold == 0 { trace = nil }
    guard isOnce, let value, value.count <= Self.longestWish,
      let space = value.firstIndex(of: ASCII.space, from: 0)
    else { return }
    let form: LiveExplanation.Form
    switch value.prefix(space) {
    case ByteView("fields"): form = .fields
    case ByteView("json"): form = .json
    default: return
    }
    let token = value.dropping(first: space + 1).trimmingWhitespace
    guard let holder = worker.context.tokens.find(token.array), holder.verbs.contains(.read)
    else { return }
    let trace =
      self.trace
      ?? RequestTrace(
        context: TraceContext(traceHigh: 0, traceLow: 0, parent: 0, isSampled: false), span: 0,
        originSpan: 0, state: "", began: worker.clock.monotonic(), isExported: false)
    trace.explanation = LiveExplanation(form, holder.caller)
    self.trace = trace
  }

  // MARK: Noting

  /// What is stored is served.
  @inline(never)
  func explainStored(_ response: StoredResponse, _ freshness: Freshness, _ worker: Worker) {
    guard let explanation = trace?.explanation else { return }
    explanation.key = response.key.array
    note(response, freshness, explanation)
  }

  /// What is stored, if anything is, cannot be served as it is.
  @inline(never)
  func explainForwarded(key: [UInt8], _ stored: StoredResponse?, _ worker: Worker) {
    guard let explanation = trace?.explanation else { return }
    explanation.key = key
    if let stored { note(stored, Freshness(stored), explanation) }
  }

  private func note(
    _ response: StoredResponse, _ freshness: Freshness, _ explanation: LiveExplanation
  ) {
    explanation.isStoredFound = true
    explanation.vary = response.varyRule.string
    var asStored = freshness
    asStored.lifetime = response.lifetime
    explanation.freshness = LiveExplanation.FreshnessNote(
      freshness: freshness,
      source: asStored.source(
        status: response.status, lines: response.head,
        policy: generation.routes.policies[route].caching),
      isSoftlyPurged: response.isSoftlyPurged)
    explanation.tag(stored: response)
  }

  /// An origin's answer is passed on.
  @inline(never)
  func explainFilled(_ response: FillHead, _ worker: Worker) {
    guard let explanation = trace?.explanation else { return }
    let freshness = Freshness(response.metadata)
    explanation.isStored = response.isStored
    explanation.isShared = response.isShared
    response.varyRule?.withView { explanation.vary = $0.string }
    let policy = generation.routes.policies[route].caching
    explanation.freshness = LiveExplanation.FreshnessNote(
      freshness: freshness,
      source: response.lines.withView {
        freshness.source(status: response.status, lines: $0, policy: policy)
      }, isSoftlyPurged: false)
    if explanation.tagCount == 0 {
      explanation.tagCount = max(0, response.purgeTags.count - (fill?.targetTags.count ?? 0))
    }
  }

  /// Limits were asked.
  @inline(never)
  func explainLimits(_ checks: borrowing LimitChecks, _ stage: LimitStage?) {
    guard let explanation = trace?.explanation else { return }
    for index in 0..<checks.count {
      let check = checks[index]
      let limit = Int(check.limit)
      let settings = generation.shared.configuration.limits
      guard settings.indices.contains(limit) else { continue }
      let keyedBy = settings[limit].keys.map { $0.map(\.text).joined(separator: " ") }
      explanation.note(
        LiveExplanation.LimitNote(
          name: settings[limit].name, keyedBy: keyedBy.joined(separator: " or "),
          stage: stage.map { $0 == .request ? "request" : "miss" } ?? "", verdict: check.verdict,
          cost: check.cost, remaining: check.remaining, reset: check.reset))
    }
  }

  /// Runs rules of the response, noting what they do.
  func explainResponseRules(
    _ program: RuleProgram, _ input: borrowing RuleInput, _ room: RuleRoom,
    _ explanation: LiveExplanation
  ) -> RuleOutcome {
    let recorder = explanation.responseRules
    if let decision = ruled.decision {
      let carried = decision.carried
      var held = ByteBuffer(capacity: carried.count)
      carried.withView { held.append($0) }
      return program.explainResponse(input, room.scratch, recorder, carried: held.view)
    }
    if ruled.hasRun { return program.explainResponse(input, room.scratch, recorder) }
    return program.explainResponse(input, room.scratch, recorder, carried: ByteView())
  }

  // MARK: Telling

  /// Says what was decided, behind the lines of a head that is about to be sent or in its stead. False:
  /// the request is answered with that.
  @inline(never)
  func deliversExplained(
    status: UInt16, lines: ByteView, length: UInt64?, on connection: some ClientStream
  ) -> Bool {
    guard let trace, let explanation = trace.explanation else { return true }
    let worker = connection.worker
    // Once: an answer that stands for another is none to be explained.
    trace.explanation = nil
    guard isOf(explanation.caller) else { return true }
    var response = ByteBuffer(capacity: lines.count + worker.lines.count)
    response.append(lines)
    response.append(worker.lines.view)
    let report = ExplanationReport(
      self, trace, explanation, status: status, lines: response.view, length: length, worker)
    let isForHead = head(worker).method == .head
    switch explanation.form {
    case .json where !isForHead:
      let content = Array(report.json.utf8)
      answerExplained(content, on: connection)
      return false
    case .fields, .json:
      // Nobody between the node and who asks is to keep it.
      worker.lines.append("cache-control: no-store\r\ncdn-cache-control: no-store\r\n")
      report.appendFields(to: &worker.lines)
      return true
    }
  }

  private func answerExplained(_ content: [UInt8], on connection: some ClientStream) {
    let worker = connection.worker
    // What rules would do to an answer is said in it, and not done to it.
    isRuled = true
    ruled.skipsResponseRules = true
    worker.lines.removeAll()
    worker.lines.append("weir-explain: json\r\n")
    content.withView {
      answer(status: 200, content: $0, type: "application/json", on: connection)
    }
  }

  /// Whether a token is for the request's site.
  private func isOf(_ caller: Caller) -> Bool {
    if caller.sites.isEmpty { return true }
    guard route < generation.routes.unrouted else { return false }
    let site = generation.shared.configuration.sites[generation.routes.sites(ofRoute: route)]
    return caller.sites.contains(where: site.hosts.contains)
  }
}
