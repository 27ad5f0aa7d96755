// What attempts and checks say of servers, and what follows from it.

internal import Synchronization

extension OriginPool {
  /// Counts a result; the verdict for the breakers. Not `isFirst`: the attempt was counted before, and
  /// its content has broken off since.
  func record(
    _ index: Int, _ result: AttemptResult, started: Int64, isFirst: Bool, now: Int64
  ) -> BreakerVerdict {
    typealias Word = ServerCells.Word
    let cells = cells[index]
    let passed = max(0, now &- started)
    var isFailure = true
    var latency = passed
    switch result {
    case .answered(let status):
      isFailure = settings.failureStatuses.contains(status)
      if status >= 500 { cells.words.add(Word.serverErrors) }
    case .failed(let failure):
      // A server that fails fast must not look fast.
      latency = max(passed, Self.failurePenalty)
      switch failure {
      case .connect: cells.words.add(Word.connectFailures)
      case .connectTimeout, .timeout: cells.words.add(Word.timeouts)
      case .reset, .staleConnection, .refused, .malformed, .status: break
      }
    }
    if isFirst {
      cells.words.add(Word.requests)
      cells.words.add(Word.latencySum, UInt64(passed / 1000))
      if case .answered = result { cells.add(passed, to: Word.firstByteTimes) }
      cells.words.add(Word.windowRequests)
      if !isFailure { cells.words.add(Word.windowLatency, UInt64(passed / 1000)) }
      cells.words.update(Word.latency) { PeakLatency(word: $0).adding(latency, now: now).word }
    }
    if isFailure {
      cells.words.add(Word.failures)
      if isFirst { cells.words.add(Word.windowFailures) }
      cells.words.add(Word.consecutiveFailures)
    } else if cells.words.load(Word.consecutiveFailures) != 0 {
      cells.words.store(Word.consecutiveFailures, 0)
    }
    judge(index, now: now)
    return isFailure ? .failure : .success
  }

  /// What a failed try counts as, for peak EWMA: one second.
  private static var failurePenalty: Int64 { 1_000_000_000 }

  /// Obeys a `Retry-After`: other servers are preferred for so long.
  func rest(_ index: Int, for delay: Int64, now: Int64) {
    let length = min(max(delay, 0), max(settings.longestRest, 0))
    // A server that asks for less than before has not taken back what it asked for.
    let until = max(now &+ length, cells[index].time(ServerCells.Word.restUntil))
    cells[index].set(ServerCells.Word.restUntil, time: until)
  }

  /// Takes over what a server said of its load: the value of `settings.loadField`.
  package func loadReported(_ index: Int, permille: Int, now: Int64) {
    guard index >= 0, index < cells.count else { return }
    cells[index].setReportedLoad(permille, now: now)
  }

  // MARK: Ejection

  /// Ejects the server if it has failed too often in a row, and judges all if a window has ended.
  private func judge(_ index: Int, now: Int64) {
    guard let outliers = settings.outliers else { return }
    let failures = cells[index].words.load(ServerCells.Word.consecutiveFailures)
    if failures > 0,
      Outliers.isOutlier(consecutiveFailures: Int(clamping: failures), outliers)
    {
      eject(index, .consecutiveFailures, outliers, now: now)
    }
    let end = Int64(bitPattern: state.words.load(PoolState.Word.windowEnd))
    guard now >= end else { return }
    let next = UInt64(bitPattern: now &+ max(outliers.window, 1_000_000))
    // One thread judges.
    guard state.words.exchange(PoolState.Word.windowEnd, UInt64(bitPattern: end), next) else {
      return
    }
    if end != 0 { judgeWindow(outliers, now: now) }
  }

  private func judgeWindow(_ outliers: OutlierSettings, now: Int64) {
    typealias Word = ServerCells.Word
    let windows = cells.map {
      ServerWindow(
        requests: $0.words.take(Word.windowRequests), failures: $0.words.take(Word.windowFailures),
        latency: $0.words.take(Word.windowLatency))
    }
    let median = Outliers.medianLatency(windows, outliers)
    for (index, window) in windows.enumerated() {
      if let reason = Outliers.judge(window, median: median, outliers) {
        eject(index, reason, outliers, now: now)
      } else if window.requests > 0, window.failures * 10 <= window.requests {
        let (reason, count) = cells[index].ejection
        if count > 0 { cells[index].setEjection(reason, count: count - 1) }
      }
    }
  }

  private func eject(
    _ index: Int, _ reason: EjectionReason, _ outliers: OutlierSettings, now: Int64
  ) {
    typealias Word = ServerCells.Word
    let target = cells[index]
    let before = target.words.load(Word.ejectedUntil)
    guard Int64(bitPattern: before) <= now else { return }
    guard mayEject(index, outliers, now: now) else { return }
    let count = target.ejection.count
    let until = UInt64(bitPattern: now &+ Outliers.length(after: count, outliers))
    guard target.words.exchange(Word.ejectedUntil, before, until) else { return }
    // Another worker may have ejected another server meanwhile.
    guard mayEject(index, outliers, now: now) else {
      _ = target.words.exchange(Word.ejectedUntil, until, before)
      return
    }
    target.setEjection(reason, count: count + 1)
    target.words.add(Word.ejections)
    target.words.store(Word.consecutiveFailures, 0)
  }

  /// Whether the others leave room for this one to go.
  private func mayEject(_ index: Int, _ outliers: OutlierSettings, now: Int64) -> Bool {
    var ejected = 0
    var well = 0
    for other in cells.indices where other != index {
      if cells[other].time(ServerCells.Word.ejectedUntil) > now { ejected += 1 }
      if cells[other].administrative == .enabled, cells[other].isHealthy(now: now) { well += 1 }
    }
    return Outliers.mayEject(ejected: ejected, well: well, of: cells.count, outliers)
  }

  // MARK: Active checks

  /// A check has ended. Whether the server has changed sides by it.
  @discardableResult
  func checked(_ index: Int, _ result: CheckResult, latency: Int64, now: Int64) -> Bool {
    typealias Word = ServerCells.Word
    guard let check = settings.health else { return false }
    let words = cells[index].words
    words.add(Word.checks)
    if !result.isPass { words.add(Word.failedChecks) }
    words.store(Word.checkResult, UInt64(result.rawValue) + 1)
    words.store(Word.checkLatency, UInt64(max(latency, 0) / 1000))
    let change = servers[index].health.withLock { health in
      health.ended(result.isPass, fall: check.fall, rise: check.rise)
    }
    switch change {
    case .none: return false
    case .down:
      cells[index].set(Word.downSince, time: now)
      words.store(Word.isDown, 1)
      return true
    case .up:
      cells[index].set(Word.returned, time: now)
      // Checks have seen it fail and come back: what clients met before is no news any more.
      words.store(Word.ejectedUntil, 0)
      words.store(Word.consecutiveFailures, 0)
      words.store(Word.isDown, 0)
      serveWaiters(now: now)
      return true
    }
  }
}
