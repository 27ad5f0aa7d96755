package import Metrics

/// What is asked of the accounts: from when to when, hour by hour or day by day, and of what.
package struct AccountingQuery: Sendable, Equatable {
  /// How long the time of an answer's row is.
  package enum Step: String, Sendable, CaseIterable {
    /// An hour.
    case hour
    /// A day, from 0:00 UTC on.
    case day
  }
  /// What an answer's row is of.
  package enum Subject: String, Sendable, CaseIterable {
    /// A route.
    case route
    /// A site: all of its routes.
    case site
    /// The node: everything.
    case node
  }
  /// A row of the answer.
  package struct Row: Sendable, Equatable {
    /// `2026-07-10` or `2026-07-10T08`.
    package var start: String
    /// The site's first name; empty for the node, and for requests of no site.
    package var site: String
    /// The route's name; empty for a site or the node.
    package var route: String
    /// What was accounted.
    package var account: RouteAccount
  }

  /// The first day and hour.
  package var first: (day: CivilDay, hour: Int)
  /// The last; it is shown, too.
  package var last: (day: CivilDay, hour: Int)
  /// By hour or by day.
  package var step: Step
  /// Of what.
  package var subject: Subject

  /// Why a query cannot be.
  package enum Defect: Error, Sendable, Equatable {
    /// A time is no day and no hour.
    case time(String)
    /// It ends before it begins, or would be longer than hours or days are kept.
    case length
  }

  /// Reads a query; what is not said is the last 24 hours, or the last seven days.
  ///
  /// - Parameters:
  ///   - from: `2026-07-10`, or `2026-07-10T08`.
  ///   - to: the same; a day is meant up to its end.
  ///   - now: milliseconds since the epoch.
  package init(
    from: String?, to: String?, step: Step, subject: Subject, now: Int64
  ) throws(Defect) {
    self.step = step
    self.subject = subject
    let today = CivilDay(wall: now)
    let hour = Int(max(now, 0) / 3_600_000 % 24)
    last =
      try to.map { text throws(Defect) in try Self.time(text, end: true) }
      ?? (today, step == .day ? 23 : hour)
    if let from {
      first = try Self.time(from, end: false)
    } else if step == .day {
      first = (last.day.advanced(by: -6), 0)
    } else {
      let start = last.day.number * 24 + last.hour - 23
      first = (CivilDay(number: start / 24), max(start, 0) % 24)
    }
    let most = step == .hour ? AccountingBook.daysWithHours : AccountingBook.daysKept
    guard (first.day, first.hour) <= (last.day, last.hour),
      last.day.number - first.day.number <= most
    else { throw .length }
  }

  package static func == (left: AccountingQuery, right: AccountingQuery) -> Bool {
    left.first == right.first && left.last == right.last && left.step == right.step
      && left.subject == right.subject
  }

  private static func time(_ text: String, end: Bool) throws(Defect) -> (day: CivilDay, hour: Int) {
    let parts = text.split(separator: "T", maxSplits: 1, omittingEmptySubsequences: false)
    guard let name = parts.first, let day = CivilDay(name) else { throw .time(text) }
    guard parts.count == 2 else { return (day, end ? 23 : 0) }
    guard parts[1].utf8.count == 2, let hour = Int(parts[1]), (0...23).contains(hour) else {
      throw .time(text)
    }
    return (day, hour)
  }

  /// The days whose accounts it is about.
  package var days: [CivilDay] {
    (first.day.number...last.day.number).map { CivilDay(number: $0) }
  }

  /// The rows that a day adds, in order. Of days of which only the sum is kept there is one, by hour at
  /// none.
  package func rows(of day: CivilDay, _ content: AccountingDay) -> [Row] {
    struct Place: Hashable {
      var hour: Int
      var site: String
      var route: String
    }
    var sums: [Place: RouteAccount] = [:]
    for (key, account) in content.accounts {
      if let hour = key.hour, !isAsked(day, hour) { continue }
      if key.hour == nil && step == .hour { continue }
      let place = Place(
        hour: step == .hour ? key.hour ?? 0 : 0,
        site: subject == .node ? "" : Self.site(of: key.route),
        route: subject == .route ? key.route : "")
      sums[place, default: RouteAccount()].add(account)
    }
    let order = sums.sorted {
      ($0.key.hour, $0.key.site, $0.key.route) < ($1.key.hour, $1.key.site, $1.key.route)
    }
    return order.map { place, account in
      let hour = place.hour < 10 ? "0\(place.hour)" : "\(place.hour)"
      return Row(
        start: step == .hour ? "\(day)T\(hour)" : "\(day)", site: place.site, route: place.route,
        account: account)
    }
  }

  private func isAsked(_ day: CivilDay, _ hour: Int) -> Bool {
    (first.day, first.hour) <= (day, hour) && (day, hour) <= (last.day, last.hour)
  }

  /// The site of a route: what stands in front of its path.
  static func site(of route: String) -> String {
    guard let end = route.firstIndex(where: { $0 == "/" || $0 == "=" }) else { return "" }
    return String(route[..<end])
  }
}
