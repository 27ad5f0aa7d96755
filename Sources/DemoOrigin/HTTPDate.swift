internal import CLinux

/// Dates as HTTP writes them (RFC 9110 §5.6.7), in seconds since the epoch, by the Gregorian calendar.
enum HTTPDate {
  private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
  private static let months = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
  ]

  /// Now.
  static var now: Int { time(nil) }

  /// `Sun, 06 Nov 1994 08:49:37 GMT`; a time before 1970 becomes 1970's beginning.
  static func text(_ seconds: Int) -> String {
    let seconds = max(0, seconds)
    let (day, second) = (seconds / 86_400, seconds % 86_400)
    let clock = [second / 3_600, second / 60 % 60, second % 60].map(two).joined(separator: ":")
    let date = date(ofDay: day)
    let month = months[date.month - 1]
    return "\(days[day % 7]), \(two(date.day)) \(month) \(date.year) \(clock) GMT"
  }

  /// Reads the preferred form; nil for anything else.
  static func seconds(_ text: String) -> Int? {
    let words = text.split { $0 == " " || $0 == ":" }
    guard words.count == 8, words[7] == "GMT", let month = months.firstIndex(of: String(words[2])),
      let day = Int(words[1]), (1...31).contains(day),
      let year = Int(words[3]), (1970...9999).contains(year),
      let hour = Int(words[4]), (0..<24).contains(hour),
      let minute = Int(words[5]), (0..<60).contains(minute),
      let second = Int(words[6]), (0...60).contains(second)
    else { return nil }
    let days = self.day(year: year, month: month + 1) + day - 1
    return days * 86_400 + hour * 3_600 + minute * 60 + second
  }

  /// The number of a month's first day, counted from 1970. Years are taken from March on, so that the
  /// leap day is the last.
  private static func day(year: Int, month: Int) -> Int {
    let year = month <= 2 ? year - 1 : year
    let monthsSinceMarch = (month + 9) % 12
    let leapDays = year / 4 - year / 100 + year / 400
    return year * 365 + leapDays + (monthsSinceMarch * 153 + 2) / 5 - 719_468
  }

  private static func date(ofDay day: Int) -> (year: Int, month: Int, day: Int) {
    var year = 1970 + day / 366
    while self.day(year: year + 1, month: 1) <= day { year += 1 }
    var month = 1
    while month < 12, self.day(year: year, month: month + 1) <= day { month += 1 }
    return (year, month, day - self.day(year: year, month: month) + 1)
  }

  private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
