internal import HTTPMessage

/// Times as JSON has them.
enum Timestamp {
  /// A time in milliseconds since the epoch as RFC 3339 has it: `2026-07-01T12:34:56.789Z`.
  static func text(_ wall: Int64) -> String {
    let bounded = min(max(wall, 0), 253_402_300_799_999)
    let (second, millisecond) = bounded.quotientAndRemainder(dividingBy: 1000)
    let (day, time) = second.quotientAndRemainder(dividingBy: 86_400)
    func two(_ number: Int64) -> String { CivilDate.padded(number, 2) }
    return "\(CivilDate(daysSinceEpoch: day))T\(two(time / 3600)):\(two(time / 60 % 60)):"
      + "\(two(time % 60)).\(CivilDate.padded(millisecond, 3))Z"
  }
}
