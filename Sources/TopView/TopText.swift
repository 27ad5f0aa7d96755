/// Figures as text, short enough for a column.
enum TopText {
  /// `12,345/s`, and `0.5/s` below ten.
  static func rate(_ value: Double) -> String {
    if value > 0 && value < 9.95 { return "\(tenths(value))/s" }
    return number(whole(value)) + "/s"
  }

  /// With commas: `1,234,567`.
  static func number(_ value: UInt64) -> String {
    let digits = Array(String(value))
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0 && (digits.count - index) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return text
  }

  /// In multiples of 1024: `17 B`, `1.5 KB`, `12.3 GB`.
  static func bytes(_ value: Double) -> String {
    if value < 1_000 { return "\(whole(value)) B" }
    var value = value
    var unit = 0
    let units = ["KB", "MB", "GB", "TB", "PB"]
    value /= 1_024
    while value >= 999.95 && unit < units.count - 1 {
      value /= 1_024
      unit += 1
    }
    return "\(tenths(value)) \(units[unit])"
  }

  /// `0.05 ms`, `3.1 ms`, `120 ms`, `2.5 s`.
  static func milliseconds(_ value: Double) -> String {
    if value >= 1_000 { return "\(tenths(value / 1_000)) s" }
    if value >= 100 { return "\(whole(value)) ms" }
    if value >= 1 || value == 0 { return "\(tenths(value)) ms" }
    let hundredths = whole(value * 100)
    return "0.\(hundredths < 10 ? "0" : "")\(min(99, hundredths)) ms"
  }

  /// Of 1: `98.7 %`.
  static func percent(_ value: Double) -> String { "\(tenths(value * 100)) %" }

  /// `1d 02:03:04`
  static func duration(_ seconds: Double) -> String {
    let total = whole(seconds)
    let days = total / 86_400
    return (days > 0 ? "\(days)d " : "") + time(total % 86_400)
  }

  /// The time of day: `12:34:56Z`.
  static func clock(_ seconds: Double) -> String { time(whole(seconds) % 86_400) + "Z" }

  /// Filled up on the left.
  static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  /// Filled up on the right.
  static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  /// A text in which every character is one column wide: others, and what a terminal would act on, become
  /// a dot. What a client has sent stands in URLs.
  static func visible(_ text: String) -> String {
    var shown = ""
    for scalar in text.unicodeScalars {
      shown.unicodeScalars.append((0x20..<0x7F).contains(scalar.value) ? scalar : ".")
    }
    return shown
  }

  private static func time(_ seconds: UInt64) -> String {
    [seconds / 3_600, seconds / 60 % 60, seconds % 60]
      .map { $0 < 10 ? "0\($0)" : "\($0)" }.joined(separator: ":")
  }

  private static func tenths(_ value: Double) -> String {
    let tenths = whole(value * 10)
    return "\(number(tenths / 10)).\(tenths % 10)"
  }

  private static func whole(_ value: Double) -> UInt64 {
    value.isFinite && value > 0 ? UInt64(min(value.rounded(), 1e18)) : 0
  }
}
