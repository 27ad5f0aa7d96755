import Bytes
import RegularExpressions
import Rules
import Testing

@Suite("Patterns")
struct PatternTests {
  private func match(_ pattern: String, _ text: String) throws -> RegularExpressionMatch {
    let expression = try RegularExpression(Array(pattern.utf8))
    return text.withView { RegularExpressionMatcher().match(expression, $0) }
  }

  @Test func `an expression that blows up ends without an answer`() throws {
    let text = String(repeating: "a", count: 5_000) + "!"
    #expect(try match("^(a+)+$", text) == .exhausted)
    #expect(try match("^(a|a)*$", text) == .exhausted)
    #expect(try match("^(([a-z])+.)+[A-Z]([a-z])+$", text) == .exhausted)
    #expect(try match("^a+!$", text) == .found)
    #expect(try match("b", text) == .notFound)
    let rules = RuleText("when path matches r\"^/(a+)+$\" { log a \"\"; }")
    #expect(rules.answer("GET /\(text)") == "failed 500")
    #expect(rules.answer("GET /aaa") == "proceed, log a=")
  }

  @Test func `bytes that are no characters are matched all the same`() throws {
    let expression = try RegularExpression(Array("^..$".utf8))
    let bytes: [UInt8] = [0xFF, 0x80]
    #expect(bytes.withView { RegularExpressionMatcher().match(expression, $0) } == .found)
  }

  @Test(arguments: [("(", 1), ("a{2,1}", 6), ("\\C", 2), ("(*UTF)a", 6), ("[z-a]", 3)])
  func `what is no expression says where`(_ pattern: String, _ offset: Int) {
    #expect {
      _ = try RegularExpression(Array(pattern.utf8))
    } throws: { error in
      guard let problem = error as? RegularExpressionProblem else { return false }
      return !problem.message.isEmpty && problem.offset <= offset + 1
    }
  }

  @Test func `groups are captured, and those without a part are not there`() throws {
    let expression = try RegularExpression(Array("(a)|(b)".utf8))
    let matcher = RegularExpressionMatcher()
    "xb".withView { text in
      #expect(matcher.match(expression, text) == .found)
      #expect(
        matcher.group(0, of: text)?.string == "b" && matcher.group(2, of: text)?.string == "b")
      // The first group took no part: its place in the vector is no place in the text.
      #expect(matcher.group(1, of: text) == nil && matcher.group(99, of: text) == nil)
    }
    #expect(expression.groupCount == 2)
  }
}
