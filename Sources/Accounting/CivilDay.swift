internal import HTTPMessage

/// A day in UTC.
package struct CivilDay: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// Days since 1 January 1970.
  package let number: Int

  /// The day of that number, in the years 1970 to 9999.
  package init(number: Int) { self.number = min(max(number, 0), 2_932_896) }

  /// The day of a time, milliseconds since the epoch.
  package init(wall: Int64) { self.init(number: Int(max(wall, 0) / 86_400_000)) }

  /// The day that a text such as `2026-07-10` names; nil if there is none.
  package init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 3, parts.map(\.utf8.count) == [4, 2, 2],
      text.utf8.allSatisfy({ $0 == 0x2D || (0x30...0x39).contains($0) }),
      let year = Int64(parts[0]), let month = Int64(parts[1]), let day = Int64(parts[2]),
      year >= 1970, let date = CivilDate(year: year, month: month, day: day)
    else { return nil }
    self.init(number: Int(date.daysSinceEpoch))
  }

  /// `2026-07-10`
  package var description: String { CivilDate(daysSinceEpoch: Int64(number)).description }

  /// The day that is so many after this one.
  package func advanced(by days: Int) -> CivilDay { CivilDay(number: number + days) }

  package static func < (left: CivilDay, right: CivilDay) -> Bool { left.number < right.number }
}
