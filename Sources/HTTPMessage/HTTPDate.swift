// Dates in fields (RFC 9110 §5.6.7). Recipients must read three formats:
//
//     Sun, 06 Nov 1994 08:49:37 GMT      IMF-fixdate, the only one that is written
//     Sunday, 06-Nov-94 08:49:37 GMT     RFC 850
//     Sun Nov  6 08:49:37 1994           asctime
//
// Reading is exact: separators, digits and length must be as in the grammar, the zone is GMT, and the
// day must be in the calendar. Two things are let through: letters in any case (RFC 9111 §4.2 asks
// caches to), and a day's name that is not that date's: many servers send a fixed text with the wrong
// one, and the date is clear without it.

package import Bytes

/// Dates as text and as seconds.
package enum HTTPDate {
  /// Seconds since the epoch (negative before 1970), or nil if `bytes` are no valid HTTP-date.
  ///
  /// `now`, in seconds since the epoch, decides the century of a two-digit year: the latest that is
  /// not more than 50 years ahead. A leap second (`:60`) is the first second of the next minute.
  package static func parse(_ bytes: ByteView, now: Int64) -> Int64? {
    var reader = DateReader(bytes: bytes)
    switch bytes.count {
    case 29: return reader.fixdate()
    case 24: return reader.asctime()
    case 30...33: return reader.rfc850(now: now)
    default: return nil
    }
  }

  /// Appends the date as IMF-fixdate, 29 bytes; what is outside of the years 0 to 9999 becomes the
  /// first or last second of them.
  package static func append(_ secondsSinceEpoch: Int64, to buffer: inout ByteBuffer) {
    let seconds = min(max(secondsSinceEpoch, earliest), latest)
    let days = (seconds >= 0 ? seconds : seconds - 86_399) / 86_400
    let time = seconds - days * 86_400
    let date = CivilDate(daysSinceEpoch: days)
    buffer.reserve(29)
    // 1 January 1970 was a Thursday; the earliest day is number -719,528, and 719,530 is 7 × 102,790.
    buffer.append(DateReader.dayName((days + 4 + 719_530) % 7))
    buffer.append(", ")
    append(twoDigits: date.day, to: &buffer)
    buffer.append(ASCII.space)
    buffer.append(DateReader.monthName(date.month))
    buffer.append(ASCII.space)
    append(twoDigits: date.year / 100, to: &buffer)
    append(twoDigits: date.year % 100, to: &buffer)
    buffer.append(ASCII.space)
    append(twoDigits: time / 3_600, to: &buffer)
    buffer.append(ASCII.colon)
    append(twoDigits: time / 60 % 60, to: &buffer)
    buffer.append(ASCII.colon)
    append(twoDigits: time % 60, to: &buffer)
    buffer.append(" GMT")
  }

  /// 0000-01-01 00:00:00.
  private static var earliest: Int64 { -62_167_219_200 }
  /// 9999-12-31 23:59:59.
  private static var latest: Int64 { 253_402_300_799 }

  private static func append(twoDigits value: Int64, to buffer: inout ByteBuffer) {
    buffer.append(0x30 &+ UInt8(truncatingIfNeeded: value / 10))
    buffer.append(0x30 &+ UInt8(truncatingIfNeeded: value % 10))
  }
}

/// Reads the parts of a date one after the other; each returns nil if it is not there.
struct DateReader {
  let bytes: ByteView
  private var offset = 0

  init(bytes: ByteView) { self.bytes = bytes }

  /// `Sun, 06 Nov 1994 08:49:37 GMT`
  mutating func fixdate() -> Int64? {
    guard shortDay(), skip(", "), let day = digits(2), skip(" "), let month = month(), skip(" "),
      let year = digits(4), skip(" "), let time = time(), skip(" GMT"), offset == bytes.count,
      let date = CivilDate(year: year, month: month, day: day)
    else { return nil }
    return date.daysSinceEpoch * 86_400 + time
  }

  /// `Sun Nov  6 08:49:37 1994`
  mutating func asctime() -> Int64? {
    guard shortDay(), skip(" "), let month = month(), skip(" "),
      let day = skip(" ") ? digits(1) : digits(2), skip(" "), let time = time(), skip(" "),
      let year = digits(4), offset == bytes.count,
      let date = CivilDate(year: year, month: month, day: day)
    else { return nil }
    return date.daysSinceEpoch * 86_400 + time
  }

  /// `Sunday, 06-Nov-94 08:49:37 GMT`
  mutating func rfc850(now: Int64) -> Int64? {
    guard longDay(), skip(", "), let day = digits(2), skip("-"), let month = month(), skip("-"),
      let twoDigits = digits(2), skip(" "), let time = time(), skip(" GMT"), offset == bytes.count
    else { return nil }
    // A clock outside of a few thousand years is as good as one at their edge.
    let clock = min(max(now, 0), 200_000_000_000)
    var limit = CivilDate(daysSinceEpoch: clock / 86_400)
    limit.year += 50
    let latest = limit.daysSinceEpoch * 86_400 + clock % 86_400
    var year = limit.year - limit.year % 100 + twoDigits
    if year > limit.year { year -= 100 }
    if let date = CivilDate(year: year, month: month, day: day) {
      let seconds = date.daysSinceEpoch * 86_400 + time
      if seconds <= latest { return seconds }
    }
    // Too far ahead, or a 29 February that this century does not have.
    guard let date = CivilDate(year: year - 100, month: month, day: day) else { return nil }
    return date.daysSinceEpoch * 86_400 + time
  }

  /// `08:49:37` as seconds of the day.
  private mutating func time() -> Int64? {
    guard let hour = digits(2), skip(":"), let minute = digits(2), skip(":"),
      let second = digits(2), hour < 24, minute < 60, second <= 60
    else { return nil }
    return hour * 3_600 + minute * 60 + second
  }

  private mutating func digits(_ count: Int) -> Int64? {
    guard bytes.count - offset >= count else { return nil }
    var value: Int64 = 0
    for index in offset..<offset + count {
      guard ASCII.isDigit(bytes[index]) else { return nil }
      value = value * 10 + Int64(bytes[index] &- 0x30)
    }
    offset += count
    return value
  }

  private mutating func month() -> Int64? {
    for month: Int64 in 1...12 where skip(DateReader.monthName(month)) { return month }
    return nil
  }

  private mutating func shortDay() -> Bool {
    for day: Int64 in 0..<7 where skip(DateReader.dayName(day)) { return true }
    return false
  }

  private mutating func longDay() -> Bool {
    skip("Sunday") || skip("Monday") || skip("Tuesday") || skip("Wednesday") || skip("Thursday")
      || skip("Friday") || skip("Saturday")
  }

  /// Goes past a text if it comes next.
  private mutating func skip(_ text: StaticString) -> Bool {
    let expected = ByteView(text)
    guard bytes.dropping(first: offset).prefix(expected.count).equalsIgnoringCase(expected) else {
      return false
    }
    offset += expected.count
    return true
  }

  /// The name of a month, 1 to 12.
  static func monthName(_ month: Int64) -> StaticString {
    switch month {
    case 1: "Jan"
    case 2: "Feb"
    case 3: "Mar"
    case 4: "Apr"
    case 5: "May"
    case 6: "Jun"
    case 7: "Jul"
    case 8: "Aug"
    case 9: "Sep"
    case 10: "Oct"
    case 11: "Nov"
    default: "Dec"
    }
  }

  /// The short name of a day of the week; 0 is Sunday.
  static func dayName(_ day: Int64) -> StaticString {
    switch day {
    case 0: "Sun"
    case 1: "Mon"
    case 2: "Tue"
    case 3: "Wed"
    case 4: "Thu"
    case 5: "Fri"
    default: "Sat"
    }
  }
}
