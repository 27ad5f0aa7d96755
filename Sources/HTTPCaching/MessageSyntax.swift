// Syntax that more than one of this module's fields share: comma-separated tokens, and dates.

internal import Bytes

extension ByteView {
  /// The view without spaces and tabs at either end (OWS, RFC 9110 §5.6.3).
  var trimmed: ByteView {
    var start = 0
    var end = count
    while start < end, self[start] == ASCII.space || self[start] == ASCII.tab { start += 1 }
    while end > start, self[end - 1] == ASCII.space || self[end - 1] == ASCII.tab { end -= 1 }
    return self[start..<end]
  }

  /// Whether the view is a token (RFC 9110 §5.6.2).
  var isToken: Bool {
    for index in 0..<count where !ASCII.isTokenByte(self[index]) { return false }
    return count > 0
  }
}

/// The members of a list whose members cannot hold a comma; empty ones are skipped (RFC 9110
/// §5.6.1.2).
struct CommaList {
  private let value: ByteView
  private var position = 0

  init(_ value: ByteView) { self.value = value }

  /// The next member without whitespace around it, or nil at the end.
  mutating func next() -> ByteView? {
    while position < value.count {
      let end = value.firstIndex(of: ASCII.comma, from: position) ?? value.count
      let member = value[position..<end].trimmed
      position = end + 1
      if !member.isEmpty { return member }
    }
    return nil
  }
}

/// HTTP dates (RFC 9110 §5.6.7), in seconds since the epoch.
enum CachingDate {
  /// The time that a date means, or nil if it is none.
  ///
  /// All three formats are read, names in any case (RFC 9111 §4.2), and no zone but GMT. `now`, in
  /// seconds, decides the century of the two-digit year of RFC 850's format.
  static func parse(_ text: ByteView, now: Int64) -> Int64? {
    switch text.count {
    case 24: asctime(text)
    case 29: fixdate(text)
    default: rfc850(text, now: now)
    }
  }

  /// Appends the preferred format: `Sun, 06 Nov 1994 08:49:37 GMT`. Years outside of 0 to 9999 are
  /// written as the nearest of them.
  static func append(_ seconds: Int64, to buffer: inout ByteBuffer) {
    let seconds = min(max(seconds, -62_167_219_200), 253_402_300_799)
    let days = floored(seconds, by: 86_400)
    let time = seconds - days * 86_400
    let date = civil(days)
    let weekday = Int(((days + 4) % 7 + 7) % 7)
    buffer.append(ByteView(shortWeekdays)[weekday * 3..<weekday * 3 + 3])
    buffer.append(", ")
    append(date.day, digits: 2, to: &buffer)
    buffer.append(ASCII.space)
    buffer.append(ByteView(months)[Int(date.month - 1) * 3..<Int(date.month) * 3])
    buffer.append(ASCII.space)
    append(date.year, digits: 4, to: &buffer)
    buffer.append(ASCII.space)
    append(time / 3600, digits: 2, to: &buffer)
    buffer.append(ASCII.colon)
    append(time / 60 % 60, digits: 2, to: &buffer)
    buffer.append(ASCII.colon)
    append(time % 60, digits: 2, to: &buffer)
    buffer.append(" GMT")
  }

  private static var months: StaticString { "JanFebMarAprMayJunJulAugSepOctNovDec" }
  private static var shortWeekdays: StaticString { "SunMonTueWedThuFriSat" }

  private static func append(_ value: Int64, digits: Int, to buffer: inout ByteBuffer) {
    var unit: Int64 = digits == 4 ? 1000 : 10
    while unit > 0 {
      buffer.append(UInt8(truncatingIfNeeded: value / unit % 10) &+ 0x30)
      unit /= 10
    }
  }

  /// `Sun, 06 Nov 1994 08:49:37 GMT`
  private static func fixdate(_ text: ByteView) -> Int64? {
    guard isShortWeekday(text[0..<3]), text[3..<5] == ByteView(", "), text[7] == ASCII.space,
      text[11] == ASCII.space, text[16] == ASCII.space, isGMT(text[25..<29]),
      let day = number(text[5..<7]), let month = month(text[8..<11]),
      let year = number(text[12..<16]), let time = time(text[17..<25])
    else { return nil }
    return seconds(year: year, month: month, day: day, time: time)
  }

  /// `Sun Nov  6 08:49:37 1994`
  private static func asctime(_ text: ByteView) -> Int64? {
    let dayStart = text[8] == ASCII.space ? 9 : 8
    guard isShortWeekday(text[0..<3]), text[3] == ASCII.space, text[7] == ASCII.space,
      text[10] == ASCII.space, text[19] == ASCII.space, let month = month(text[4..<7]),
      let day = number(text[dayStart..<10]), let time = time(text[11..<19]),
      let year = number(text[20..<24])
    else { return nil }
    return seconds(year: year, month: month, day: day, time: time)
  }

  /// `Sunday, 06-Nov-94 08:49:37 GMT`
  private static func rfc850(_ text: ByteView, now: Int64) -> Int64? {
    guard let comma = text.firstIndex(of: ASCII.comma), text.count - comma == 24,
      isLongWeekday(text[0..<comma])
    else { return nil }
    let rest = text.dropping(first: comma)
    guard rest[1] == ASCII.space, rest[4] == 0x2D, rest[8] == 0x2D, rest[11] == ASCII.space,
      isGMT(rest[20..<24]), let day = number(rest[2..<4]), let month = month(rest[5..<8]),
      let digits = number(rest[9..<11]), let time = time(rest[12..<20])
    else { return nil }
    // The latest year with these digits that is not more than 50 years ahead.
    let limit = min(max(now, 0), 253_402_300_799) + 50 * 31_556_952
    var year = civil(floored(limit, by: 86_400)).year / 100 * 100 + digits
    guard let latest = seconds(year: year, month: month, day: day, time: time) else {
      return nil
    }
    if latest > limit { year -= 100 }
    return seconds(year: year, month: month, day: day, time: time)
  }

  private static func isGMT(_ text: ByteView) -> Bool { text.equalsIgnoringCase(ByteView(" GMT")) }

  private static func isShortWeekday(_ text: ByteView) -> Bool {
    index(of: text, in: ByteView(shortWeekdays)) != nil
  }

  private static func isLongWeekday(_ text: ByteView) -> Bool {
    guard text.count >= 6, let index = index(of: text.prefix(3), in: ByteView(shortWeekdays)) else {
      return false
    }
    let name: StaticString =
      switch index {
      case 0: "Sunday"
      case 1: "Monday"
      case 2: "Tuesday"
      case 3: "Wednesday"
      case 4: "Thursday"
      case 5: "Friday"
      default: "Saturday"
      }
    return text.equalsIgnoringCase(ByteView(name))
  }

  private static func month(_ text: ByteView) -> Int64? {
    index(of: text, in: ByteView(months)).map { Int64($0) + 1 }
  }

  /// Which of the three-letter names `text` is, in any case.
  private static func index(of text: ByteView, in names: ByteView) -> Int? {
    for index in 0..<names.count / 3
    where text.equalsIgnoringCase(names[index * 3..<index * 3 + 3]) {
      return index
    }
    return nil
  }

  private static func number(_ text: ByteView) -> Int64? {
    var value: Int64 = 0
    for index in 0..<text.count {
      guard ASCII.isDigit(text[index]) else { return nil }
      value = value * 10 + Int64(text[index] &- 0x30)
    }
    return value
  }

  /// `08:49:37` as seconds of the day; a leap second is the next minute's first.
  private static func time(_ text: ByteView) -> Int64? {
    guard text[2] == ASCII.colon, text[5] == ASCII.colon, let hour = number(text[0..<2]),
      let minute = number(text[3..<5]), let second = number(text[6..<8]), hour < 24, minute < 60,
      second <= 60
    else { return nil }
    return hour * 3600 + minute * 60 + second
  }

  private static func seconds(year: Int64, month: Int64, day: Int64, time: Int64) -> Int64? {
    guard day >= 1, day <= length(of: month, year: year) else { return nil }
    return days(year: year, month: month, day: day) * 86_400 + time
  }

  private static func length(of month: Int64, year: Int64) -> Int64 {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  private static func floored(_ value: Int64, by divisor: Int64) -> Int64 {
    let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? quotient - 1 : quotient
  }

  // Years that begin in March, in eras of 400 years, have their leap day last: no tables.

  private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
    let shifted = month <= 2 ? year - 1 : year
    let era = floored(shifted, by: 400)
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = days + 719_468
    let era = floored(shifted, by: 146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let index = (5 * dayOfYear + 2) / 153
    let month = index + (index < 10 ? 3 : -9)
    return (
      yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * index + 2) / 5 + 1
    )
  }
}

extension Int64 {
  /// The sum, or the end of the range that it would pass.
  func addingSaturating(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other < 0 ? .min : .max) : sum
  }

  /// The difference, or the end of the range that it would pass.
  func subtractingSaturating(_ other: Int64) -> Int64 {
    let (difference, overflow) = subtractingReportingOverflow(other)
    return overflow ? (other < 0 ? .max : .min) : difference
  }

  /// Milliseconds as whole seconds, rounded down.
  var wholeSeconds: Int64 {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: 1000)
    return remainder < 0 ? quotient - 1 : quotient
  }
}
