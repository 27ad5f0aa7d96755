// The windows of quotas: calendar hours, days and months, or windows that roll.
//
// Windows are numbered, so that a count needs to remember a number and not a time. A calendar window's
// number counts hours, days or months since 1970, in the time zone that the quota is for. A rolling
// window is cut into three parts, and the number counts parts: what lies in the current part and the
// three before it counts, so that no stretch as long as the window, however it lies, ever has more than
// the quota in it. The price is that what was spent comes back between one window and one and a third
// after it was.

/// The time that a quota is for.
package struct QuotaWindow: Sendable, Equatable {
  /// How a window begins and ends.
  package enum Kind: UInt8, Sendable {
    /// A calendar hour.
    case hour = 1
    /// A calendar day.
    case day = 2
    /// A calendar month.
    case month = 3
    /// Any hour.
    case rollingHour = 4
    /// Any 24 hours.
    case rollingDay = 5
    /// Any 30 days.
    case rollingMonth = 6
  }

  /// How windows begin and end.
  package let kind: Kind
  /// Seconds that the calendar is ahead of UTC.
  package let offset: Int64

  /// Windows of a kind, in a time zone up to a day from UTC.
  package init(_ kind: Kind, offset: Int64 = 0) {
    self.kind = kind
    self.offset = min(max(offset, -86_400), 86_400)
  }

  /// Parts of a rolling window.
  static var parts: Int { 3 }

  /// Whether windows roll.
  package var isRolling: Bool {
    switch kind {
    case .hour, .day, .month: false
    case .rollingHour, .rollingDay, .rollingMonth: true
    }
  }

  /// A window's length in seconds; a month is said to be 30 days.
  package var seconds: Int64 {
    switch kind {
    case .hour, .rollingHour: 3600
    case .day, .rollingDay: 86_400
    case .month, .rollingMonth: 30 * 86_400
    }
  }

  /// The length of what is numbered, but for months.
  private var step: Int64 { isRolling ? seconds / Int64(Self.parts) : seconds }

  /// The times that are taken as they are: the years 1970 to 9999.
  private static var latest: Int64 { 253_402_300_799 }

  /// The number of the window, or part of one, at a time in seconds since 1970.
  func number(at time: Int64) -> UInt32 {
    let local = min(max(time, 0), Self.latest) + (isRolling ? 0 : offset)
    guard kind == .month else { return UInt32(clamping: local / step) }
    let (year, month) = Self.month(of: local / 86_400)
    return UInt32(clamping: (year - 1970) * 12 + month - 1)
  }

  /// Seconds from a time to the end of the window, or part, that it is in.
  func remainder(at time: Int64) -> Int64 {
    let local = min(max(time, 0), Self.latest) + (isRolling ? 0 : offset)
    guard kind == .month else { return step - max(local, 0) % step }
    let (year, month) = Self.month(of: max(local, 0) / 86_400)
    let next = month == 12 ? Self.days(year + 1, 1) : Self.days(year, month + 1)
    return next * 86_400 - max(local, 0)
  }

  /// The year and month that a day since 1 January 1970 is in.
  private static func month(of day: Int64) -> (year: Int64, month: Int64) {
    // Mean lengths of the Gregorian calendar give the year, or one beside it.
    var year = 1970 + day * 400 / 146_097
    while days(year + 1, 1) <= day { year += 1 }
    while days(year, 1) > day { year -= 1 }
    var month: Int64 = 1
    while month < 12, days(year, month + 1) <= day { month += 1 }
    return (year, month)
  }

  /// Days from 1 January 1970 to the first of a month.
  private static func days(_ year: Int64, _ month: Int64) -> Int64 {
    let before = year - 1
    let leapDays = before / 4 - before / 100 + before / 400 - 477
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let start: [12 of Int64] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
    let inYear = start[Int(month - 1)] + (isLeap && month > 2 ? 1 : 0)
    return (year - 1970) * 365 + leapDays + inYear
  }
}
