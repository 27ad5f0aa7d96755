// What a replay must achieve, one condition a line:
//
//     # a comment
//     p99 < 20ms
//     hit.p99.9 <= 2ms
//     hit_ratio > 0.9
//     errors == 0
//
// Names are those of `Budget.figures`; a class of answers in front of a percentile means that class alone.

/// Conditions on a report.
package struct Budget: Equatable, Sendable {
  /// One condition.
  package struct Condition: Equatable, Sendable {
    /// Its line in the file.
    package var line: Int
    /// Its text.
    package var text: String
    var name: String
    var comparison: String
    var limit: Double
  }

  /// What became of one condition.
  package struct Verdict: Equatable, Sendable {
    /// The condition.
    package var condition: Condition
    /// What it is about, in the unit of the file; nil if the replay has no such figure.
    package var value: Double?
    /// Whether it holds. A figure that is not there never does.
    package var holds: Bool
  }

  /// Why a file is no budget.
  package struct Problem: Error, CustomStringConvertible {
    /// The line and what is wrong with it, in words.
    package let description: String
  }

  /// All conditions, in order.
  package private(set) var conditions: [Condition] = []

  /// The figures without classes and percentiles.
  package static let figures = [
    "requests", "rate", "errors", "error_ratio", "hit_ratio", "byte_hit_ratio", "offload",
    "limited",
    "limited_ratio", "late", "late_ratio", "server_errors", "mean", "max", "knee",
  ]

  /// Reads a budget.
  package init(_ text: String) throws(Problem) {
    // A line may end as Windows has it, which is one character of a string.
    let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
    for (index, line) in lines.enumerated() {
      let content = line.prefix { $0 != "#" }
      let words = content.split(whereSeparator: \.isWhitespace).map(String.init)
      if words.isEmpty { continue }
      conditions.append(try Self.condition(words, line: index + 1))
    }
    // It would hold whatever happens.
    if conditions.isEmpty { throw Problem(description: "there is no condition in it") }
  }

  private static func condition(_ words: [String], line: Int) throws(Problem) -> Condition {
    func problem(_ text: String) -> Problem { Problem(description: "line \(line): \(text)") }
    guard words.count == 3 else { throw problem("not NAME COMPARISON VALUE") }
    guard ["<", "<=", ">", ">=", "=="].contains(words[1]) else {
      throw problem("\(words[1]) is none of < <= > >= ==")
    }
    guard isKnown(words[0]) else { throw problem("there is no figure \(words[0])") }
    guard let limit = value(words[2], isTime: isTime(words[0])) else {
      throw problem("\(words[2]) is no \(isTime(words[0]) ? "duration, such as 20ms" : "number")")
    }
    return Condition(
      line: line, text: words.joined(separator: " "), name: words[0], comparison: words[1],
      limit: limit)
  }

  private static func isKnown(_ name: String) -> Bool {
    let (className, figure) = parts(name)
    guard let className else { return figures.contains(name) || percentile(name) != nil }
    let isClass = CacheVerdict.allCases.contains { $0.name == className }
    return isClass && (percentile(figure) != nil || ["mean", "max"].contains(figure))
  }

  /// A class of answers in front of the first dot, if there is one.
  private static func parts(_ name: String) -> (className: String?, figure: String) {
    guard let dot = name.firstIndex(of: "."), !name.hasPrefix("p"), percentile(name) == nil else {
      return name.hasPrefix("pass.") ? ("pass", String(name.dropFirst(5))) : (nil, name)
    }
    return (String(name[..<dot]), String(name[name.index(after: dot)...]))
  }

  /// `p99.9` as `99.9`, of those that reports have.
  private static func percentile(_ name: String) -> String? {
    guard name.hasPrefix("p") else { return nil }
    return ReplayReport.percentiles.map(\.name).first { $0 == name.dropFirst() }
  }

  private static func isTime(_ name: String) -> Bool {
    let figure = parts(name).figure
    return percentile(figure) != nil || figure == "mean" || figure == "max"
  }

  /// A number, or a duration in microseconds.
  private static func value(_ text: String, isTime: Bool) -> Double? {
    if !isTime {
      return text.hasSuffix("%") ? number(text.dropLast()).map { $0 / 100 } : number(text[...])
    }
    // The sign for micro and the Greek letter look alike.
    for (unit, factor) in [
      ("us", 1.0), ("\u{B5}s", 1), ("\u{3BC}s", 1), ("ms", 1_000), ("s", 1_000_000),
    ] where text.hasSuffix(unit) {
      return number(text.dropLast(unit.count)).map { $0 * factor }
    }
    return nil
  }

  /// A number; `nan` and `inf`, with which nothing could be compared, are none.
  private static func number(_ text: Substring) -> Double? {
    Double(text).flatMap { $0.isFinite ? $0 : nil }
  }

  /// Judges a report.
  package func judge(_ report: ReplayReport) -> [Verdict] {
    conditions.map { condition in
      let value = Self.figure(condition.name, of: report)
      let holds =
        value.map { value in
          switch condition.comparison {
          case "<": value < condition.limit
          case "<=": value <= condition.limit
          case ">": value > condition.limit
          case ">=": value >= condition.limit
          default: value == condition.limit
          }
        } ?? false
      return Verdict(condition: condition, value: value, holds: holds)
    }
  }

  private static func figure(_ name: String, of report: ReplayReport) -> Double? {
    let (className, figure) = parts(name)
    // Where nothing was answered there is no latency, least of all a short one.
    let all: LatencyReport? = report.answers > 0 ? report.latency : nil
    let latency =
      className.map { name in report.classes.first { $0.name == name }?.latency } ?? all
    let sent = Double(report.sent)
    // A run in which nothing was sent has kept to nothing.
    if report.sent == 0, figure != "requests" { return nil }
    switch figure {
    case "requests": return Double(report.answers)
    case "rate": return report.rate
    case "errors": return Double(report.failed)
    case "error_ratio": return Double(report.failed) / sent
    case "hit_ratio": return report.hitRatio
    case "byte_hit_ratio": return report.byteHitRatio
    case "offload": return report.offload
    case "limited": return Double(report.limits.limited)
    case "limited_ratio": return Double(report.limits.limited) / sent
    case "late": return Double(report.late)
    case "late_ratio": return Double(report.late) / sent
    case "server_errors":
      return Double(report.statuses.filter { $0.key.hasPrefix("5") }.reduce(0) { $0 + $1.value })
    case "knee": return report.knee
    case "mean": return latency?.mean
    case "max": return latency?.max
    default: return percentile(figure).flatMap { latency?.percentile($0) }
    }
  }
}
