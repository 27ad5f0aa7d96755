// What was accounted of one day (UTC), as a file has it: a line for each hour and route, tab-separated,
//
//     weir-accounting 1
//     HOUR  REQUESTS  SENT  STORED  RECEIVED  ROUTE
//     end LINES
//
// HOUR is 0 to 23, or `-` in days of which only the sum is kept. A file without its last line was not
// written by us, or was damaged since.

package import Metrics

/// A day's accounts.
package struct AccountingDay: Sendable, Equatable {
  /// What an account is of.
  package struct Key: Hashable, Sendable {
    /// 0 to 23; nil: the whole day.
    package var hour: Int?
    /// The route's name.
    package var route: String

    /// A key.
    package init(hour: Int?, route: String) {
      self.hour = hour
      self.route = route
    }
  }

  /// The accounts.
  package private(set) var accounts: [Key: RouteAccount] = [:]

  /// Nothing yet.
  package init() {}

  /// Adds to an account.
  package mutating func add(_ account: RouteAccount, to key: Key) {
    accounts[key, default: RouteAccount()].add(account)
  }

  /// The same day, of which only the sums by route are kept.
  package var summed: AccountingDay {
    var day = AccountingDay()
    for (key, account) in accounts { day.add(account, to: Key(hour: nil, route: key.route)) }
    return day
  }

  /// Whether any hour is kept apart.
  package var hasHours: Bool { accounts.keys.contains { $0.hour != nil } }

  // MARK: The file

  private static let header = "weir-accounting 1"

  /// As a file has it.
  package var text: String {
    var text = Self.header + "\n"
    let order = accounts.sorted {
      ($0.key.hour ?? -1, $0.key.route) < ($1.key.hour ?? -1, $1.key.route)
    }
    for (key, account) in order {
      text += key.hour.map { "\($0)" } ?? "-"
      text += "\t\(account.requests)\t\(account.sent)\t\(account.stored)\t\(account.received)"
      text += "\t\(Self.plain(key.route))\n"
    }
    return text + "end \(accounts.count)\n"
  }

  /// A route's name has no control characters; should one have, it shall not break the file.
  private static func plain(_ name: String) -> String {
    String(String.UnicodeScalarView(name.unicodeScalars.map { $0.value < 0x20 ? "?" : $0 }))
  }

  /// What a file says; nil if it is none of ours, or damaged.
  package init?(_ text: String) {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.popLast()?.isEmpty == true, let end = lines.popLast(),
      lines.first == Self.header[...]
    else { return nil }
    let rows = lines.dropFirst()
    guard end == "end \(rows.count)" else { return nil }
    for row in rows {
      let cells = row.split(
        separator: "\t", maxSplits: 5, omittingEmptySubsequences: false)
      guard cells.count == 6, let requests = UInt64(cells[1]), let sent = UInt64(cells[2]),
        let stored = UInt64(cells[3]), let received = UInt64(cells[4]), !cells[5].isEmpty
      else { return nil }
      let hour = Int(cells[0])
      guard hour.map({ (0...23).contains($0) }) ?? (cells[0] == "-") else { return nil }
      var account = RouteAccount()
      account.requests = requests
      account.sent = sent
      account.stored = stored
      account.received = received
      add(account, to: Key(hour: hour, route: String(cells[5])))
    }
  }
}

extension RouteAccount {
  /// Adds another's.
  package mutating func add(_ other: RouteAccount) {
    requests &+= other.requests
    sent &+= other.sent
    stored &+= other.stored
    received &+= other.received
  }

  /// What there is more than in an earlier reading of the same counters.
  func since(_ earlier: RouteAccount) -> RouteAccount {
    var difference = RouteAccount()
    difference.requests = requests &- min(earlier.requests, requests)
    difference.sent = sent &- min(earlier.sent, sent)
    difference.stored = stored &- min(earlier.stored, stored)
    difference.received = received &- min(earlier.received, received)
    return difference
  }

  /// Whether there is nothing in it.
  var isEmpty: Bool { self == RouteAccount() }
}
