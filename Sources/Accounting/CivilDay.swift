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
      let year = Int(parts[0]), let month = Int(parts[1]), let day = Int(parts[2]), year >= 1970,
      (1...12).contains(month), (1...31).contains(day)
    else { return nil }
    // Years that begin in March end with their leap day; eras of 400 years are all alike.
    let shifted = month <= 2 ? year - 1 : year
    let era = shifted / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    self.init(number: era * 146_097 + dayOfEra - 719_468)
    // There is no 31 April.
    guard description == text else { return nil }
  }

  /// `2026-07-10`
  package var description: String {
    let shifted = number + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let month = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * month + 2) / 5 + 1
    let civilMonth = month < 10 ? month + 3 : month - 9
    let year = yearOfEra + era * 400 + (civilMonth <= 2 ? 1 : 0)
    return "\(Self.padded(year, 4))-\(Self.padded(civilMonth, 2))-\(Self.padded(day, 2))"
  }

  private static func padded(_ number: Int, _ digits: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
  }

  /// The day that is so many after this one.
  package func advanced(by days: Int) -> CivilDay { CivilDay(number: number + days) }

  package static func < (left: CivilDay, right: CivilDay) -> Bool { left.number < right.number }
}
