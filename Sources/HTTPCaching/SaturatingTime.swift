// Times are 64-bit milliseconds; sums of what comes from outside must neither trap nor wrap.

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
