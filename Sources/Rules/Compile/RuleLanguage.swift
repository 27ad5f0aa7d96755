// The rules language as others use it: parse the rules of a text one by one, compile those of a route.

/// What rules can know about where they stand.
package struct RuleContext {
  /// The route's name as in logs.
  package var routeName = ""
  /// The line, from 1, of an offset in the text.
  package var line: (Int) -> Int = { _ in 0 }
  /// The bytes of a file by its name in the text, or what is wrong with it (goes on after its name).
  package var file: (String) -> Result<[UInt8], RuleFileProblem> = { _ in
    .failure(RuleFileProblem(message: "cannot be read here"))
  }

  /// A context without files.
  package init() {}
}

/// Why a file cannot be used.
package struct RuleFileProblem: Error, Equatable {
  /// What is wrong; goes on after the file's name.
  package var message: String

  /// A problem.
  package init(message: String) { self.message = message }
}

/// Reads and compiles rules.
///
/// Nothing here traps, whatever the text; everything that is wrong is reported at once, by byte ranges.
/// Parsing is linear in the text; checking in the text times the number of conditions that have ended a
/// rule before (at most 64).
package enum RuleLanguage {
  /// Reads the rule that begins at `offset` and says where it ends.
  package static func parse(
    _ text: [UInt8], at offset: Int, _ findings: inout RuleFindings
  ) -> (rule: RuleStatement, end: Int) {
    var parser = RuleParser(text, from: offset, to: text.count)
    let rule = parser.statement(&findings)
    return (rule, max(parser.consumed, min(offset + 1, text.count)))
  }

  /// Reads a text of nothing but rules.
  package static func parse(_ text: [UInt8], _ findings: inout RuleFindings) -> [RuleStatement] {
    var rules: [RuleStatement] = []
    var parser = RuleParser(text, from: 0, to: text.count)
    while true {
      let next = parser.peek(&findings)
      switch next.kind {
      case .end: return rules
      case .symbol("}"), .symbol(";"):
        findings.error("nothing is closed or ended here", at: next.range, help: "remove it")
        parser.take(&findings)
      default: rules.append(parser.statement(&findings))
      }
    }
  }

  /// Checks the rules of a route, those of its site first, and compiles them; nil if there is an error
  /// in them (then or before).
  package static func compile(
    _ rules: [RuleStatement], text: [UInt8], _ context: RuleContext, _ findings: inout RuleFindings
  ) -> RuleCode? {
    let errors = findings.errorCount
    var compiler = Compiler(text: text, context: context, findings: findings)
    compiler.compile(rules)
    findings = compiler.findings
    guard findings.errorCount == errors, rules.allSatisfy(\.isWhole) else { return nil }
    return compiler.code
  }
}
