internal import EventLoop

/// Times as JSON has them.
enum Timestamp {
  /// A time in milliseconds since the epoch as RFC 3339 has it: `2026-07-01T12:34:56.789Z`.
  static func text(_ wall: Int64) -> String {
    let bounded = min(max(wall, 0), 253_402_300_799_999)
    let (second, millisecond) = bounded.quotientAndRemainder(dividingBy: 1000)
    let (day, time) = second.quotientAndRemainder(dividingBy: 86_400)
    // From days to a date (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let shifted = day + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted - era * 146_097
    let year = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
    let month = (5 * dayOfYear + 2) / 153
    let dayOfMonth = dayOfYear - (153 * month + 2) / 5 + 1
    let civilMonth = month < 10 ? month + 3 : month - 9
    let civilYear = year + era * 400 + (civilMonth <= 2 ? 1 : 0)
    return "\(padded(civilYear, 4))-\(padded(civilMonth, 2))-\(padded(dayOfMonth, 2))T"
      + "\(padded(time / 3600, 2)):\(padded(time / 60 % 60, 2)):\(padded(time % 60, 2))"
      + ".\(padded(millisecond, 3))Z"
  }

  private static func padded(_ number: Int64, _ digits: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
  }
}
