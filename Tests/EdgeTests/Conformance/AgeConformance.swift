// The suite's age-parse: how Age is read (RFC 9111 §5.1). What is no number is ignored; of several
// values the first counts.

import Testing

@Suite(.serialized) struct AgeConformance {
  private static func aged(
    _ id: String, _ ages: String..., isReused: Bool, age: String = "3", maxAge: Int = 3600
  ) -> ConformanceCase {
    let reply = [.date(0), "Cache-Control: max-age=\(maxAge)"] + ages.map { "Age: \($0)" }
    return isReused
      ? .reused(id, reply, has: ["Age: \(age)"]) : .notReused(id, .uriMiss, reply)
  }

  static let rows: [ConformanceCase] = [
    aged("age-parse-nonnumeric", "abc", isReused: true),
    aged("age-parse-negative", "-7200", isReused: true),
    aged("age-parse-float", "7200.0", isReused: true),
    aged("age-parse-large-minus-one", "2147483647", isReused: false),
    aged("age-parse-large", "2147483648", isReused: false),
    aged("age-parse-larger", "2147483649", isReused: false),
    aged("age-parse-suffix", "7200, 0", isReused: false),
    aged("age-parse-prefix", "0, 7200", isReused: true),
    aged("age-parse-suffix-twoline", "7200", "0", isReused: false),
    aged("age-parse-prefix-twoline", "0", "7200", isReused: true),
    aged("age-parse-dup-0", "0, 0", isReused: true),
    aged("age-parse-dup-0-twoline", "0", "0", isReused: true),
    aged("age-parse-dup-old", "3600", "3600", isReused: true, age: "3603", maxAge: 10_000),
    // Looks: Age has no parameters; such a value is no number and ignored.
    aged("age-parse-parameter", "7200;foo=bar", isReused: true),
    aged("age-parse-numeric-parameter", "7200;foo=111", isReused: true),
  ]

  @Test(arguments: rows)
  func `Age is read as one number, or not at all`(row: ConformanceCase) async throws {
    try await row.run()
  }
}
