// What each route was asked and what that took, hour by hour, kept over restarts: for billing and planning.
//
//   counters ──once a minute──→ what is more than before ──→ hour that has been ──→ the day's file
//
// Counters of workers begin at 0 with the process; the book takes what has been added since it looked last,
// and adds it to the file of the day (`AccountingDay`), which it reads, changes and replaces under a lock:
// two processes, as during an upgrade, may both do so. What cannot be written waits for the next minute. A
// node that is killed loses at most the last minute.
//
// Hours are kept for 90 days, sums of days for two years. Files stand in a directory beside the store; each
// day has its own, so that a minute's work does not grow with what is kept.

internal import Bytes
internal import CLinux
internal import EventLoop
package import Metrics
internal import Synchronization

/// The accounts of a node. On any thread.
package final class AccountingBook: Sendable {
  private struct State {
    /// The counters when they were looked at last.
    var seen: [String: RouteAccount] = [:]
    /// When that was, milliseconds since the epoch.
    var since: Int64
    /// What is not written yet, by hours since the epoch.
    var waiting: [Int64: [String: RouteAccount]] = [:]
    /// The day on which old files were looked at.
    var tidied: CivilDay?
    /// The last failure that was noted; nil: writing works.
    var failure: Errno?
  }

  /// For how many days hours are kept apart.
  package static let daysWithHours = 90
  /// For how many days sums are kept.
  package static let daysKept = 731
  /// What cannot be written waits for so many hours.
  private static let hoursWaiting = 48

  private let directory: String
  private let figures: @Sendable () -> [String: RouteAccount]
  private let note: @Sendable (String) -> Void
  private let state: Mutex<State>

  /// A book in a directory, which is made if need be.
  ///
  /// - Parameters:
  ///   - figures: the counters, from 0 at the process's start.
  ///   - now: milliseconds since the epoch.
  ///   - note: called with what an operator should know.
  package init(
    directory: String, now: Int64, figures: @escaping @Sendable () -> [String: RouteAccount],
    note: @escaping @Sendable (String) -> Void
  ) {
    self.directory = directory
    self.figures = figures
    self.note = note
    state = Mutex(State(since: now))
    _ = unsafe mkdir(directory, 0o700)
  }

  /// Takes in what was counted since the last call, and writes it. Blocks for a file or two.
  package func update(now: Int64) {
    let figures = figures()
    state.withLock { state in
      collect(figures, now: now, &state)
      writeOut(&state)
      let today = CivilDay(wall: now)
      if state.tidied != today {
        state.tidied = today
        tidy(today)
      }
    }
  }

  /// Takes in what was counted since the last call, without writing it. Blocks for no file.
  package func refresh(now: Int64) {
    let figures = figures()
    state.withLock { collect(figures, now: now, &$0) }
  }

  private func collect(_ figures: [String: RouteAccount], now: Int64, _ state: inout State) {
    // It belongs to when it began: minutes end with hours, but for the thread's delay.
    let hour = max(state.since, 0) / 3_600_000
    for (route, account) in figures {
      let more = account.since(state.seen[route] ?? RouteAccount())
      if more.isEmpty { continue }
      state.waiting[hour, default: [:]][route, default: RouteAccount()].add(more)
    }
    state.seen = figures
    state.since = now
    while state.waiting.count > Self.hoursWaiting, let oldest = state.waiting.keys.min() {
      state.waiting[oldest] = nil
      note("accounting: an hour is lost, since nothing could be written for two days")
    }
  }

  private func writeOut(_ state: inout State) {
    let days = Set(state.waiting.keys.map { CivilDay(number: Int($0 / 24)) })
    for day in days.sorted() {
      let hours = state.waiting.filter { CivilDay(number: Int($0.key / 24)) == day }
      do throws(Errno) {
        try change(day) { content in
          for (hour, accounts) in hours {
            for (route, account) in accounts {
              content.add(account, to: AccountingDay.Key(hour: Int(hour % 24), route: route))
            }
          }
        }
        for hour in hours.keys { state.waiting[hour] = nil }
        state.failure = nil
      } catch {
        if state.failure != error {
          note("accounting: cannot write \(path(day)): \(error); it is tried again each minute")
        }
        state.failure = error
      }
    }
  }

  // MARK: Files

  private func path(_ day: CivilDay) -> String { "\(directory)/\(day).tsv" }

  /// Replaces a day's file by what `body` makes of it, while nobody else does so.
  private func change(
    _ day: CivilDay, _ body: (inout AccountingDay) -> Void
  ) throws(Errno) {
    let number = unsafe weir_open("\(directory)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard number >= 0 else { throw .current }
    // Closing it unlocks it.
    let lock = Descriptor(owning: number)
    while flock(lock.number, LOCK_EX) != 0 {
      if weir_errno() != EINTR { throw .current }
    }
    var content = read(day, settingAside: true)
    body(&content)
    try StateFile.write(Array(content.text.utf8), to: path(day))
  }

  /// What was accounted of a day, also what is not written yet. Reads a file.
  package func day(_ day: CivilDay) -> AccountingDay {
    // Locked, so that what is being written is neither missing nor there twice.
    state.withLock { state in
      var content = read(day, settingAside: false)
      for (hour, accounts) in state.waiting where CivilDay(number: Int(hour / 24)) == day {
        for (route, account) in accounts {
          content.add(account, to: AccountingDay.Key(hour: Int(hour % 24), route: route))
        }
      }
      return content
    }
  }

  private func read(_ day: CivilDay, settingAside: Bool) -> AccountingDay {
    guard let bytes = StateFile.read(path(day)) else { return AccountingDay() }
    if let text = String(validating: bytes, as: UTF8.self), let content = AccountingDay(text) {
      return content
    }
    if settingAside {
      let name = path(day)
      _ = unsafe rename(name, name + ".damaged")
      note("accounting: \(name) is damaged; it is \(name).damaged now, and the day begins anew")
    }
    return AccountingDay()
  }

  /// Sums up days whose hours are not kept any more, and removes those that are not kept at all.
  private func tidy(_ today: CivilDay) {
    for day in days() {
      if day < today.advanced(by: -Self.daysKept) {
        _ = unsafe unlink(path(day))
      } else if day < today.advanced(by: -Self.daysWithHours),
        read(day, settingAside: true).hasHours
      {
        do throws(Errno) {
          try change(day) { $0 = $0.summed }
        } catch {
          note("accounting: cannot write \(path(day)): \(error)")
        }
      }
    }
  }

  /// The days that have a file.
  private func days() -> [CivilDay] {
    guard let stream = unsafe opendir(directory) else { return [] }
    defer { unsafe closedir(stream) }
    var days: [CivilDay] = []
    while let entry = unsafe readdir(stream) {
      // Safe: the entry is good until the next readdir, its name ends with a zero.
      guard let text = unsafe weir_entry_name(entry) else { continue }
      let name = unsafe String(cString: text)
      if name.hasSuffix(".tsv"), let day = CivilDay(name.dropLast(4)) { days.append(day) }
    }
    return days
  }
}
