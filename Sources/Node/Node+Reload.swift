// Another configuration while the node runs: all of it or nothing.
//
//   read and parse ─→ limits, files, credentials, geo databases, log, listening sockets
//        │                any of these fails: what is in force stays in force
//        └────────────→ pools (nothing in them can fail), names looked up
//                          └─→ in force: the workers go over to it between two of their turns
//                                 └─→ removed addresses are closed; what the former had is closed when
//                                     the last request that is under it has ended
//
// One at a time, on a thread of its own (`Reloader`).

internal import AccessLog
package import Admin
internal import Bytes
internal import Configuration
internal import Edge
internal import EventLoop
internal import GeoDatabase
internal import Origins
internal import StaticFiles
import Synchronization
internal import TLS

/// The texts of what is in force and of what was before.
struct ConfigurationTexts: Sendable {
  var present: ConfigurationText?
  var former: ConfigurationText?
  /// Since when it is in force: wall clock, ms.
  var since: Int64
  /// What was in force, the present one last.
  var history: [(entry: FormerConfiguration, text: ConfigurationText?)] = []
  /// What is gone back to unless the present one is confirmed.
  var probation: (target: ConfigurationText, until: Instant)?

  /// The most that are kept.
  static let longestHistory = 20
}

/// All that a configuration needs and that may fail.
private struct Opened {
  var limits: LimitSuccession
  var log: AccessLogWriter?
  var audit: AuditLog.File?
  var fileSites: [FileSite?]
  var fileThreads: FileThreads?
  var credentials: NodeCredentials
  var originTLS: [OriginTLS?]
  var geo: GeoSource?
  var certificates: PreparedCertificates
  var addresses: OpenAddresses.Change
}

extension Node: ConfigurationControl {
  /// What is in force; nil if the node was started without a file.
  package var inForce: ConfigurationInForce? {
    let texts = texts.withLock { $0 }
    guard let text = texts.present else { return nil }
    var inForce = ConfigurationInForce(
      file: text.name, generation: context.current.number, since: texts.since,
      liveGenerations: context.liveGenerations, hasFormer: texts.former != nil,
      text: text.redacted)
    inForce.confirmBy = texts.probation?.until.wall
    inForce.history = texts.history.map(\.entry)
    return inForce
  }

  /// Does what is wanted, one after the other; `done` is called on a thread of the node's.
  package func perform(
    _ order: ConfigurationOrder, done: @escaping @Sendable (ConfigurationAnswer) -> Void
  ) {
    guard !reloader.isStopping else { return done(.refused(ReloadRefusal("the node stops"))) }
    reloader.post { [self] in
      let answer =
        switch order {
        case .reload: reload()
        case .rollback: rollBack()
        case .compare: compare()
        case .compareText(let bytes): compare(with: bytes)
        case .apply(let bytes, let generation, let time): apply(bytes, generation, within: time)
        case .confirm: confirm()
        case .restore(let generation): restore(generation)
        }
      tell(answer)
      done(answer)
    }
  }

  /// Asks for another process to take this one's place; false if there is nobody to ask.
  package func upgrade() -> Bool {
    guard let holder, !reloader.isStopping else { return false }
    holder.askForSuccessor()
    return true
  }

  /// Has the file read again (SIGHUP), and calls `done` whatever came of it, which is noted.
  package func reloadAside(done: @escaping @Sendable () -> Void) {
    perform(.reload) { _ in done() }
  }

  /// Notes for the operator what came of an order, whoever gave it.
  func tell(_ answer: ConfigurationAnswer) {
    switch answer {
    case .inForce(let report):
      reloads.done.add(1, ordering: .relaxed)
      for line in report.notes { note(line) }
      note(report.summary)
    case .refused(let refusal):
      reloads.refused.add(1, ordering: .relaxed)
      let places = refusal.diagnostics.filter { $0.severity == .error }.map {
        "\($0.file):\($0.line):\($0.column): \($0.message)"
      }
      note("the configuration stays as it was: \(refusal.reason)")
      for place in places { note(place) }
    case .compared: break
    }
  }

  private func reload() -> ConfigurationAnswer {
    guard let present = texts.withLock({ $0.present }) else {
      return .refused(ReloadRefusal("the node was started without a file"))
    }
    guard let text = ConfigurationText.read(path: present.name, directory: present.directory)
    else {
      let loaded = ConfigurationFile.load(path: present.name)
      return .refused(
        ReloadRefusal("\(present.name) cannot be read", diagnostics: loaded.diagnostics))
    }
    return apply(text, .file)
  }

  private func rollBack() -> ConfigurationAnswer {
    guard let former = texts.withLock({ $0.former }) else {
      return .refused(ReloadRefusal("there is no earlier configuration to go back to"))
    }
    return apply(former, .restored)
  }

  private func restore(_ generation: UInt64) -> ConfigurationAnswer {
    let entry = texts.withLock { $0.history.last { $0.entry.generation == generation } }
    guard let text = entry?.text else {
      return .refused(ReloadRefusal("the history has no generation \(generation)"))
    }
    return apply(text, .restored)
  }

  private func compare(with bytes: [UInt8]) -> ConfigurationAnswer {
    guard let present = texts.withLock({ $0.present }) else {
      return .refused(ReloadRefusal("the node was started without a file"))
    }
    return compare(
      present,
      with: ConfigurationText(name: present.name, directory: present.directory, bytes: bytes))
  }

  private func compare() -> ConfigurationAnswer {
    guard let present = texts.withLock({ $0.present }) else {
      return .refused(ReloadRefusal("the node was started without a file"))
    }
    return compare(
      present, with: ConfigurationText.read(path: present.name, directory: present.directory))
  }

  private func compare(
    _ present: ConfigurationText, with file: ConfigurationText?
  ) -> ConfigurationAnswer {
    let loaded = file?.parsed() ?? ConfigurationFile.load(path: present.name)
    var difference = ConfigurationDifference(
      file: present.name, isChanged: file != present,
      lines: file.map {
        LineDifference.text(
          from: present.redacted, to: $0.redacted,
          names: ("\(present.name) (in force)", present.name))
      } ?? "")
    difference.diagnostics = loaded.diagnostics
    if var wanted = loaded.configuration {
      difference.needsRestart = fixed(&wanted, as: configuration)
    }
    difference.limits = context.current.limits.changesInForce
    return .compared(difference)
  }

  // MARK: All or nothing

  /// Goes back to what is in force where a running node cannot follow, and says where that is.
  private func fixed(
    _ wanted: inout NodeConfiguration, as present: NodeConfiguration
  ) -> [String] {
    // `auto` is as many as the node was started with, unless the machine has others by now.
    if Self.workers(of: wanted) == workerCount { wanted.workers = present.workers }
    return wanted.keepFixed(of: present)
  }

  func apply(
    _ text: ConfigurationText, _ source: ConfigurationOrigin,
    probation: (target: ConfigurationText, until: Instant)? = nil
  ) -> ConfigurationAnswer {
    let loaded = text.parsed()
    guard var wanted = loaded.configuration else {
      return .refused(
        ReloadRefusal("\(text.name) has errors", diagnostics: loaded.diagnostics))
    }
    let former = context.current
    let needsRestart = fixed(&wanted, as: former.configuration)
    let opened: Opened
    do {
      opened = try open(wanted, after: former)
    } catch {
      return .refused(ReloadRefusal("\(error)", diagnostics: loaded.diagnostics))
    }
    var report = ReloadReport(generation: 0)
    // A process that takes this one's place while nobody has confirmed begins with what was before,
    // unless the sockets that are held would not fit that.
    let isSafe = wanted.listeners == former.configuration.listeners
    report.generation = putInForce(
      wanted, isSafe ? probation?.target ?? text : text, opened, after: former,
      notes: &report.notes)
    report.needsRestart = needsRestart
    report.warnings = loaded.diagnostics
    texts.withLock { texts in
      texts.former = texts.present
      texts.present = text
      texts.since = clock.now().wall
      texts.probation = probation
      texts.history.append(
        (
          FormerConfiguration(generation: report.generation, since: texts.since, source: source),
          text
        ))
      let excess = texts.history.count - ConfigurationTexts.longestHistory
      texts.history.removeFirst(max(excess, 0))
    }
    report.confirmBy = probation?.until.wall
    reloader.setAlarm(at: probation?.until.monotonic) { [weak self] in self?.goBack() }
    return .inForce(report)
  }

  /// All that may fail. Listening sockets come last: whoever connects to them is to be answered.
  private func open(
    _ wanted: NodeConfiguration, after former: NodeGeneration
  ) throws -> Opened {
    let limits: LimitSuccession
    do throws(LimitDefect) {
      limits = try former.limits.successor(wanted)
    } catch {
      throw NodeError(error.text)
    }
    let fileSites = try Self.fileSites(of: wanted)
    let needsThreads = fileSites.contains { $0 != nil }
    let hasSameLog =
      AccessLogPlan(wanted).logs == AccessLogPlan(former.configuration).logs
    let credentials = try NodeCredentials(wanted, clock: clock, after: former.credentials)
    credentials.files.watchMaps(of: wanted)
    return Opened(
      limits: limits,
      log: hasSameLog
        ? former.log
        : try Self.openLog(wanted, context.routeNames, live: context.liveLog, note: note),
      audit: try Self.openAudit(wanted),
      fileSites: fileSites,
      fileThreads: try former.fileThreads ?? (needsThreads ? FileThreads() : nil),
      credentials: credentials,
      originTLS: try Self.originTLS(of: wanted, now: clock.now().wall / 1000),
      geo: try Self.openGeo(wanted, watchedBy: credentials.files),
      certificates: try prepareCertificates(of: wanted),
      addresses: try addressBook.withLock { $0 }
        .changed(to: wanted.listeners, workers: workerCount))
  }

  private func prepareCertificates(
    of wanted: NodeConfiguration
  ) throws(NodeError) -> PreparedCertificates {
    do throws(TLSLoadError) {
      return try certificates.prepare(wanted)
    } catch {
      throw NodeError("certificate \(error)")
    }
  }

  /// Nothing here fails. Returns the generation's number.
  private func putInForce(
    _ wanted: NodeConfiguration, _ text: ConfigurationText, _ opened: Opened,
    after former: NodeGeneration, notes: inout [String]
  ) -> UInt64 {
    let pools = Self.pools(of: wanted, after: former.pools, tls: opened.originTLS)
    resolver.replace(pools)
    var parts = GenerationParts(
      configuration: wanted, pools: pools, limits: opened.limits.limits)
    parts.log = opened.log
    parts.fileSites = opened.fileSites
    parts.fileThreads = opened.fileThreads
    parts.credentials = opened.credentials
    parts.geo = opened.geo
    parts.listenerNumbers = opened.addresses.addresses.entries.map(\.number)
    addressBook.withLock { $0 = opened.addresses.addresses }

    let due = opened.limits.commit(now: clock.now()) { notes.append($0) }
    opened.credentials.publish()
    certificates.publish(opened.certificates)
    audit.adopt(opened.audit)
    notes += opened.certificates.notices.map { "certificates: \($0)" }
    watcher.follow(wanted)
    let (generation, adoption) = context.adopt(
      parts,
      listeners: opened.addresses.added.map { sockets in
        sockets.map { NumberedListener(number: $0.number, listener: $0.listener) }
      })
    context.tell(due)
    context.start(opened.credentials)
    _ = adoption.wait { !reloader.isStopping }
    checkServers(of: pools, opened.credentials)
    holder?.hold(
      HoldingOrder(
        addresses: parts.listenerNumbers, added: opened.addresses.opened, text: text,
        drainTimeout: wanted.drainTimeout))
    close(opened.addresses.removed)
    disposeOf(former, when: generation)
    return generation.number
  }

  private func close(_ addresses: [Int]) {
    guard !addresses.isEmpty else { return }
    _ = context.closeListeners(addresses).wait { !reloader.isStopping }
  }

  /// Closes what only a former generation had, once nothing is under it any more.
  private func disposeOf(_ former: NodeGeneration, when successor: NodeGeneration) {
    let log = former.log === successor.log ? nil : former.log
    let credentials = former.credentials
    let later = successor.credentials
    former.whenEnded { [reloader] in
      reloader.post {
        log?.close()
        credentials.stop(before: later)
      }
    }
  }

  private func checkServers(of pools: [OriginPool], _ credentials: NodeCredentials) {
    checker.withLock { checker in
      if let checker { return checker.replace(pools.map { CheckedPool($0, credentials) }) }
      guard pools.contains(where: { $0.settings.health != nil }) else { return }
      checker = try? Self.checker(pools, credentials, clock: clock, note: note)
      try? checker?.start()
    }
  }
}
