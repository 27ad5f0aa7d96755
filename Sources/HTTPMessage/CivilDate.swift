// The proleptic Gregorian calendar as arithmetic, without the C library's time functions (which take
// locks and look at time zones). Years are counted from March, so that the leap day is the last of its
// year; 400 years are an era of 146,097 days.

/// A day of the Gregorian calendar.
package struct CivilDate: Equatable, CustomStringConvertible {
  package var year: Int64
  /// 1 to 12.
  package private(set) var month: Int64
  /// 1 to 31.
  package private(set) var day: Int64

  /// A date; nil if the month has no such day.
  package init?(year: Int64, month: Int64, day: Int64) {
    guard month >= 1, month <= 12, day >= 1, day <= CivilDate.length(of: month, in: year) else {
      return nil
    }
    self.year = year
    self.month = month
    self.day = day
  }

  /// The date that many days after 1 January 1970. Years beyond ±10,000,000 are of no use here, and
  /// the caller keeps to 0 … 9999.
  package init(daysSinceEpoch days: Int64) {
    let shifted = days + 719_468  // Days since 1 March of year 0.
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153  // 0 is March.
    day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }

  /// Days since 1 January 1970.
  package var daysSinceEpoch: Int64 {
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
    let yearOfEra = shiftedYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  /// `2026-07-10` (RFC 3339), for the years 0 to 9999.
  package var description: String {
    Self.padded(year, 4) + "-" + Self.padded(month, 2) + "-" + Self.padded(day, 2)
  }

  /// A number with zeros before it.
  package static func padded(_ number: Int64, _ digits: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
  }

  /// How many days a month has.
  private static func length(of month: Int64, in year: Int64) -> Int64 {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }
}
