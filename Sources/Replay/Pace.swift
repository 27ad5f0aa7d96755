// When requests are sent. A schedule maps a request's place in the recording (its number, and its time) to a
// moment of the replay, without state: what was sent before does not matter, so that a server which slows
// down does not slow the arrivals down with it (the coordinated omission of closed loops).

/// How fast a recording is replayed.
package enum Pace: Equatable, Sendable {
  /// As it was recorded, so many times as fast.
  case recorded(factor: Double)
  /// So many requests a second.
  case rate(Double)
  /// From one rate to another within so many seconds, then at that.
  case ramp(from: Double, to: Double, seconds: Double)
  /// Steps of a rate, each so many seconds long and that much higher than the one before.
  case steps(from: Double, by: Double, seconds: Double)
  /// As fast as answers come.
  case fastest

  /// Reads `recorded`, `2x`, `500/s`, `ramp:100-1000/60s`, `steps:100+100/10s` or `max`.
  package init?(_ text: String) {
    switch text {
    case "recorded": self = .recorded(factor: 1)
    case "max": self = .fastest
    case _ where text.hasSuffix("x"):
      guard let factor = Self.positive(text.dropLast()) else { return nil }
      self = .recorded(factor: factor)
    case _ where text.hasPrefix("ramp:"):
      guard let (first, second, seconds) = Self.three(text.dropFirst(5), "-") else { return nil }
      self = .ramp(from: first, to: second, seconds: seconds)
    case _ where text.hasPrefix("steps:"):
      guard let (first, second, seconds) = Self.three(text.dropFirst(6), "+") else { return nil }
      self = .steps(from: first, by: second, seconds: seconds)
    case _ where text.hasSuffix("/s"):
      guard let rate = Self.positive(text.dropLast(2)) else { return nil }
      self = .rate(rate)
    default: return nil
    }
  }

  /// The text that `init` reads.
  package var text: String {
    switch self {
    case .recorded(1): "recorded"
    case .recorded(let factor): "\(Self.short(factor))x"
    case .rate(let rate): "\(Self.short(rate))/s"
    case .ramp(let from, let to, let seconds):
      "ramp:\(Self.short(from))-\(Self.short(to))/\(Self.short(seconds))s"
    case .steps(let from, let by, let seconds):
      "steps:\(Self.short(from))+\(Self.short(by))/\(Self.short(seconds))s"
    case .fastest: "max"
    }
  }

  private static func short(_ value: Double) -> String {
    value == value.rounded() && value < 1e15 ? "\(Int(value))" : "\(value)"
  }

  /// A positive number that arithmetic with nanoseconds can bear.
  private static func positive(_ text: Substring) -> Double? {
    guard let value = Double(text), value >= 1e-6, value <= 1e9 else { return nil }
    return value
  }

  /// `A-B/Cs`.
  private static func three(
    _ text: Substring, _ separator: Character
  ) -> (Double, Double, Double)? {
    guard text.hasSuffix("s"), let slash = text.lastIndex(of: "/"),
      let middle = text[..<slash].firstIndex(of: separator),
      let first = positive(text[..<middle]),
      let second = positive(text[text.index(after: middle)..<slash]),
      let third = positive(text[text.index(after: slash)...].dropLast())
    else { return nil }
    return (first, second, third)
  }

  /// Whether arrivals follow a clock.
  package var hasSchedule: Bool { self != .fastest }
}

/// The moments at which a replay's requests are due.
struct Schedule: Sendable {
  let pace: Pace

  /// Nanoseconds after the start at which request `number` (from 0) is due, which the recording has `time`
  /// nanoseconds behind its first; −1: at once.
  func due(number: Int, time: Int64) -> Int64 {
    let number = Double(number)
    switch pace {
    case .fastest: return -1
    case .recorded(1): return min(max(time, 0), Self.latest)
    case .recorded(let factor): return Self.nanoseconds(Double(max(time, 0)) / factor / 1e9)
    case .rate(let rate): return Self.nanoseconds(number / rate)
    case .ramp(let from, let to, let seconds):
      return Self.nanoseconds(Self.ramp(number, from, to, seconds))
    case .steps(let from, let by, let seconds):
      return Self.nanoseconds(Self.steps(number, from, by, seconds))
    }
  }

  /// The step that a moment (nanoseconds after the start) is in, and its rate; nil without steps.
  func step(at moment: Int64) -> (index: Int, rate: Double)? {
    guard case .steps(let from, let by, let seconds) = pace, moment >= 0 else { return nil }
    let index = Int(Double(moment) / 1e9 / seconds)
    return (index, from + by * Double(index))
  }

  /// When a ramp has sent `number`: the inverse of from·t + (to − from)·t²/2T.
  private static func ramp(
    _ number: Double, _ from: Double, _ to: Double, _ seconds: Double
  ) -> Double {
    let whole = (from + to) / 2 * seconds
    if number >= whole { return seconds + (number - whole) / to }
    let slope = (to - from) / seconds
    if abs(slope) < 1e-12 { return number / from }
    return ((from * from + 2 * slope * number).squareRoot() - from) / slope
  }

  private static func steps(
    _ number: Double, _ from: Double, _ by: Double, _ seconds: Double
  ) -> Double {
    // Before step k there were k·from·T + k(k−1)/2·by·T requests.
    let half = by * seconds / 2
    let linear = from * seconds - half
    var step = ((linear * linear + 4 * half * number).squareRoot() - linear) / (2 * half)
    step = step.rounded(.down)
    // Rounding may have put the first of a step into the one before.
    func before(_ step: Double) -> Double { step * linear + step * step * half }
    while step > 0, before(step) > number { step -= 1 }
    while before(step + 1) <= number { step += 1 }
    return step * seconds + (number - before(step)) / (from + by * step)
  }

  /// No request is due later: to this a clock's moment can still be added.
  private static let latest = Int64.max / 2

  /// Seconds in nanoseconds, as far as these go.
  private static func nanoseconds(_ seconds: Double) -> Int64 {
    seconds < Double(latest) / 1e9 ? Int64(seconds * 1e9) : latest
  }
}
