internal import Histogram

extension LatencyReport {
  init(_ latencies: Latencies) {
    let histogram = latencies.histogram
    let isEmpty = histogram.totalCount == 0
    self.init(
      mean: isEmpty ? 0 : histogram.mean / 1_000, min: isEmpty ? 0 : Double(histogram.min) / 1_000,
      max: Double(histogram.max) / 1_000,
      percentiles: Dictionary(
        uniqueKeysWithValues: ReplayReport.percentiles.map { name, value in
          (name, isEmpty ? 0 : Double(histogram.valueAtPercentile(value)) / 1_000)
        }))
  }
}

extension ReplayReport {
  /// The report on what the senders have counted.
  init(
    _ tally: Tally, plan: ReplayPlan, name: String, began: String, timeline: [LiveSecond],
    source: SourceOutcome
  ) {
    let seconds = max(Double(tally.lastAnswer - plan.warmUp) / 1e9, 0)
    let rated = tally.rated
    let ratedSeconds = Double(rated.time - plan.warmUp) / 1e9
    let steps = Self.steps(tally, plan)
    self.init(
      name: name, plan: plan.text, began: began, seconds: seconds, sent: tally.sent,
      answers: tally.answers, failed: tally.failures.reduce(0, +),
      rate: ratedSeconds > 0 ? Double(rated.answers) / ratedSeconds : 0,
      receivedBytes: tally.receivedBytes, sentBytes: tally.sentBytes,
      contentBytes: tally.contentBytes,
      errors: Self.named(SendFailure.allCases.map { ($0.name, tally.failures[$0.rawValue]) }),
      statuses: Self.named(tally.statuses.enumerated().map { ("\($0.offset)", $0.element) }),
      latency: LatencyReport(tally.latencies), serviceTime: LatencyReport(tally.serviceTimes),
      classes: Self.classes(tally), hitRatio: nil, byteHitRatio: nil, offload: nil,
      limits: LimitReport(
        limited: tally.statuses[429], withRetryAfter: tally.limitedWithRetryAfter,
        withFields: tally.withRateLimitFields),
      late: tally.late, worstLateness: Double(tally.worstLateness) / 1_000,
      starvedSeconds: Double(tally.starved) / 1e9, connectionsOpened: tally.connectionsOpened,
      connectionsReused: tally.connectionsReused, resent: tally.resent,
      timeline: timeline.map { SecondReport($0) }, steps: steps,
      knee: steps.prefix { $0.holds }.last?.rate,
      input: InputReport(
        records: source.records, skipped: source.skipped, badLines: source.badCount))
    setRatios(tally)
  }

  private mutating func setRatios(_ tally: Tally) {
    func sum(_ verdicts: [CacheVerdict]) -> (answers: Double, bytes: Double) {
      let classes = verdicts.compactMap { tally.classes[$0.rawValue] }
      return (
        Double(classes.reduce(0) { $0 + $1.answers }),
        Double(classes.reduce(0) { $0 + $1.contentBytes })
      )
    }
    // A stored answer that the origin has confirmed comes from the store, and the origin was asked.
    let had = sum([.hit, .stale, .revalidated])
    let judged = sum([.hit, .stale, .revalidated, .miss, .collapsed, .pass])
    if judged.answers > 0 { hitRatio = had.answers / judged.answers }
    if judged.bytes > 0 { byteHitRatio = had.bytes / judged.bytes }
    let spared = sum([.hit, .stale, .collapsed, .limited]).answers
    let known = sum([.hit, .stale, .collapsed, .limited, .revalidated, .miss, .pass]).answers
    if judged.answers > 0, known > 0 { offload = spared / known }
  }

  private static func named(_ counts: [(String, UInt64)]) -> [String: UInt64] {
    Dictionary(uniqueKeysWithValues: counts.filter { $0.1 > 0 })
  }

  private static func classes(_ tally: Tally) -> [ClassReport] {
    CacheVerdict.allCases.compactMap { verdict in
      guard let tally = tally.classes[verdict.rawValue], tally.answers > 0 else { return nil }
      return ClassReport(
        name: verdict.name, answers: tally.answers, contentBytes: tally.contentBytes,
        latency: LatencyReport(tally.latencies))
    }
  }

  private static func steps(_ tally: Tally, _ plan: ReplayPlan) -> [StepReport] {
    guard case .steps(let from, let by, let seconds) = plan.pace else { return [] }
    // Of what began within the warm-up a part is not counted.
    let counted = tally.steps.enumerated().filter { index, _ in
      Double(index) * seconds * 1e9 >= Double(plan.warmUp)
    }
    return counted.map { index, step in
      let latency = LatencyReport(step.latencies)
      let p99 = latency.percentile("99") ?? 0
      let rate = from + by * Double(index)
      // Sent in time, answered in time, and hardly a failure or a refusal.
      let failures = step.failures + step.refused
      let isWhole = Double(step.sent) >= 0.98 * rate * seconds
      let holds =
        isWhole && step.answers > 0 && failures * 100 <= step.sent
        && step.late * 20 <= step.sent && p99 * 1_000 <= Double(plan.kneeLatency)
      return StepReport(
        rate: rate, sent: step.sent, answers: step.answers, failures: failures,
        late: step.late, p50: latency.percentile("50") ?? 0, p99: p99, holds: holds)
    }
  }
}

extension SecondReport {
  init(_ second: LiveSecond) {
    self.init(
      sent: second.sent, answers: second.answers, failures: second.failures, late: second.late,
      receivedBytes: second.receivedBytes, hitRatio: second.hitRatio,
      p50: Double(second.p50) / 1_000, p99: Double(second.p99) / 1_000)
  }
}

extension ReplayPlan {
  /// The plan in a few words.
  var text: String {
    var words = ["\(tls == nil ? "http" : "https")://\(host) at \(address)"]
    words.append(usesHTTP2 ? "HTTP/2" : "HTTP/1.1")
    words.append("pace \(pace.text)")
    words.append(
      clients.map { "\($0) clients" }
        ?? (pace.hasSchedule ? "open loop" : "\(inFlightLimit) clients"))
    switch connections {
    case .shared: words.append("connections kept")
    case .perClient: words.append("connections of each client")
    case .fresh(let share): words.append("\(share * 100) % on new connections")
    }
    words.append(threads == 1 ? "1 thread" : "\(threads) threads")
    return words.joined(separator: ", ")
  }
}
