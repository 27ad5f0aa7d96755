// What the rules language has to say about a text, as byte ranges; whoever owns the text turns them into
// lines and carets.

/// Bytes `lower ..< upper` of the text.
package struct RuleRange: Sendable, Hashable {
  /// The first byte.
  package var lower: Int
  /// Behind the last.
  package var upper: Int

  /// The bytes from `lower` up to `upper`.
  package init(lower: Int, upper: Int) {
    self.lower = lower
    self.upper = upper
  }

  /// From this range's begin to the other's end.
  func through(_ other: RuleRange) -> RuleRange {
    RuleRange(lower: lower, upper: max(upper, other.upper))
  }
}

/// Something that is wrong with rules.
package struct RuleFinding: Sendable, Equatable {
  /// Whether the rules cannot be used; else it is a warning.
  package var isError: Bool
  /// What is meant.
  package var range: RuleRange
  /// What is wrong, in one line.
  package var message: String
  /// What was expected, or what to do about it.
  package var help: String?
  /// What was probably meant, as it would be written.
  package var suggestion: String?
  /// Another place, and what is there.
  package var related: RuleNote?
}

/// Another place, and what is there.
package struct RuleNote: Sendable, Equatable {
  /// What is there.
  package var message: String
  /// Where.
  package var range: RuleRange
}

/// What has been found so far; the same thing at the same place is found once.
package struct RuleFindings: Sendable {
  /// All of it, in the order of finding.
  package private(set) var list: [RuleFinding] = []
  /// How many errors there are.
  package private(set) var errorCount = 0
  private var seen: Set<Key> = []

  private struct Key: Hashable {
    var range: RuleRange
    var message: String
  }

  /// The most that are kept.
  private static let most = 1_000

  /// Nothing found.
  package init() {}

  /// Adds an error.
  mutating func error(
    _ message: String, at range: RuleRange, help: String? = nil, suggestion: String? = nil,
    related: RuleNote? = nil
  ) {
    errorCount += 1
    guard list.count < Self.most, seen.insert(Key(range: range, message: message)).inserted else {
      return
    }
    list.append(
      RuleFinding(
        isError: true, range: range, message: message, help: help, suggestion: suggestion,
        related: related))
  }
}

/// A word of the text between double quotes, cut so that it can stand in a message.
func shown(_ text: some StringProtocol) -> String {
  var result = "\""
  var count = 0
  for scalar in text.unicodeScalars {
    count += 1
    if count > 60 { return result + "…\"" }
    let isPlain = scalar.value >= 0x20 && scalar.value != 0x7F && !(0x80...0x9F ~= scalar.value)
    result.unicodeScalars.append(isPlain ? scalar : "\u{FFFD}")
  }
  return result + "\""
}
