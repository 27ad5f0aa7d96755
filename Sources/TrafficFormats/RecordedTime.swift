// Times as logs and traces write them, in nanoseconds. What they count from matters to nobody but the
// comparison within one recording, so that a trace's own seconds and Unix time are read alike.

internal import Bytes

enum RecordedTime {
  /// Reads any form: `10/Jul/2026:12:34:56 +0200`, with or without brackets; RFC 3339, with a space
  /// instead of the T too; `2026-07-10` alone; a number of seconds with or without fraction, or of
  /// milliseconds, microseconds or nanoseconds, which its size tells apart (seconds up to the year 5138).
  static func parse(_ text: ByteView) -> Int64? {
    var text = text
    if text.count > 2, text[0] == 0x5B, text[text.count - 1] == 0x5D {
      text = text[1..<text.count - 1]
    }
    if text.count >= 10, text.count > 4, text[4] == 0x2D { return dashed(text) }
    if text.firstIndex(of: ASCII.slash) != nil { return common(text) }
    return number(text)
  }

  /// A time of day, `12:34:56.789`, in nanoseconds.
  static func timeOfDay(_ text: ByteView) -> Int64? {
    guard text.count >= 8, text[2] == ASCII.colon, text[5] == ASCII.colon,
      let hour = digits(text[0..<2]), let minute = digits(text[3..<5]),
      let second = digits(text[6..<8]), hour < 24, minute < 60, second <= 60
    else { return nil }
    let whole = (hour * 3_600 + minute * 60 + second) * 1_000_000_000
    if text.count == 8 { return whole }
    guard text[8] == 0x2E || text[8] == ASCII.comma, let part = fraction(text.dropping(first: 9))
    else { return nil }
    return whole + part
  }

  /// A number of seconds with a fraction.
  static func seconds(_ text: ByteView) -> Int64? {
    let dot = text.firstIndex(of: 0x2E) ?? text.count
    guard let whole = digits(text[0..<dot]), whole < 9_000_000_000 else { return nil }
    if dot == text.count { return whole * 1_000_000_000 }
    guard let part = fraction(text.dropping(first: dot + 1)) else { return nil }
    return whole * 1_000_000_000 + part
  }

  /// A whole number up to 18 digits.
  static func digits(_ text: ByteView) -> Int64? {
    guard text.count > 0, text.count <= 18 else { return nil }
    var value: Int64 = 0
    for index in 0..<text.count {
      guard ASCII.isDigit(text[index]) else { return nil }
      value = value * 10 + Int64(text[index] &- 0x30)
    }
    return value
  }

  private static func number(_ text: ByteView) -> Int64? {
    if text.firstIndex(of: 0x2E) != nil { return seconds(text) }
    if text.count == 19 { return nanoseconds(text) }
    guard let value = digits(text) else { return nil }
    // What is beyond the year 2262 does not fit, and is no time of a request.
    let unit: Int64 =
      switch value {
      case ..<100_000_000_000: 1_000_000_000
      case ..<100_000_000_000_000: 1_000_000
      case ..<100_000_000_000_000_000: 1_000
      default: 1
      }
    let (nanoseconds, overflow) = value.multipliedReportingOverflow(by: unit)
    return overflow ? nil : nanoseconds
  }

  private static func nanoseconds(_ text: ByteView) -> Int64? {
    guard let high = digits(text[0..<18]), let low = digits(text[18..<19]) else { return nil }
    let (tens, overflow) = high.multipliedReportingOverflow(by: 10)
    if overflow { return nil }
    let (sum, carry) = tens.addingReportingOverflow(low)
    return carry ? nil : sum
  }

  /// Up to nine digits behind a point; more are cut.
  private static func fraction(_ text: ByteView) -> Int64? {
    guard text.count > 0, let value = digits(text.prefix(9)) else { return nil }
    for index in 0..<text.count where !ASCII.isDigit(text[index]) { return nil }
    var scaled = value
    for _ in text.prefix(9).count..<9 { scaled *= 10 }
    return scaled
  }

  /// `2026-07-10`, and `T12:34:56.789+02:00` behind it.
  private static func dashed(_ text: ByteView) -> Int64? {
    guard text[7] == 0x2D, let year = digits(text[0..<4]), let month = digits(text[5..<7]),
      let day = digits(text[8..<10]), let midnight = midnight(year, month, day)
    else { return nil }
    if text.count == 10 { return midnight }
    guard text[10] == 0x54 || text[10] == 0x74 || text[10] == ASCII.space else { return nil }
    let rest = text.dropping(first: 11)
    var end = 0
    while end < rest.count, ASCII.isDigit(rest[end]) || [0x3A, 0x2E, 0x2C].contains(rest[end]) {
      end += 1
    }
    guard let time = timeOfDay(rest[0..<end]), let zone = zone(rest.dropping(first: end)) else {
      return nil
    }
    return midnight + time - zone
  }

  /// `10/Jul/2026:12:34:56 +0200`.
  private static func common(_ text: ByteView) -> Int64? {
    guard text.count >= 20, text[2] == ASCII.slash, text[6] == ASCII.slash,
      text[11] == ASCII.colon, let day = digits(text[0..<2]), let month = month(text[3..<6]),
      let year = digits(text[7..<11]), let midnight = midnight(year, month, day),
      let time = timeOfDay(text[12..<20])
    else { return nil }
    var rest = text.dropping(first: 20)
    if rest.prefix(1) == ByteView(" ") { rest = rest.dropping(first: 1) }
    guard let zone = zone(rest) else { return nil }
    return midnight + time - zone
  }

  /// `Z`, `+02:00`, `+0200` or nothing, in nanoseconds.
  private static func zone(_ text: ByteView) -> Int64? {
    if text.isEmpty || text == ByteView("Z") || text == ByteView("z") { return 0 }
    guard text.count >= 5, text[0] == 0x2B || text[0] == 0x2D, let hours = digits(text[1..<3])
    else { return nil }
    let rest = text[3] == ASCII.colon ? text.dropping(first: 4) : text.dropping(first: 3)
    guard rest.count == 2, let minutes = digits(rest), hours < 24, minutes < 60 else { return nil }
    let offset = (hours * 3_600 + minutes * 60) * 1_000_000_000
    return text[0] == 0x2D ? -offset : offset
  }

  private static func month(_ text: ByteView) -> Int64? {
    let names: [StaticString] = [
      "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ]
    for (index, name) in names.enumerated() where text.equalsIgnoringCase(ByteView(name)) {
      return Int64(index + 1)
    }
    return nil
  }

  /// The beginning of a day of the Gregorian calendar, for the years that nanoseconds can count.
  private static func midnight(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64? {
    guard (1970...2261).contains(year), (1...12).contains(month), (1...31).contains(day) else {
      return nil
    }
    // Days since 1 March of year 0: years that begin in March end with their leap day.
    let shifted = month > 2 ? year : year - 1
    let era = shifted / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return (era * 146_097 + dayOfEra - 719_468) * 86_400_000_000_000
  }
}
