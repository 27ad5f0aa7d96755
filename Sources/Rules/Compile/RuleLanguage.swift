// The rules language as others use it: parse the rules of a text one by one, compile those of a route.

/// What rules can know about where they stand.
package struct RuleContext {
  /// The route's name as in logs.
  package var routeName = ""
  /// The line, from 1, of an offset in the text.
  package var line: (Int) -> Int = { _ in 0 }
  /// Whether they are for when no server can answer.
  package var isFailure = false
  /// The files that rules name.
  package var files: RuleFiles

  /// A context of a route.
  package init(files: RuleFiles) { self.files = files }
}

/// The files that the rules of a configuration name; each is read once, however many routes use it.
package final class RuleFiles {
  private let read: (String) -> Result<[UInt8], RuleFileProblem>
  private var contents: [String: Result<[UInt8], RuleFileProblem>] = [:]
  private let resolve: (String) -> String
  private var maps: [String: Result<RuleMap, RuleFileProblem>] = [:]
  private var sets: [String: (set: AddressSet, problems: [ListFile.Problem])] = [:]

  /// Files that `read` gives the bytes of, by their names in the text; `resolve` gives their paths.
  package init(
    resolve: @escaping (String) -> String = { $0 },
    _ read: @escaping (String) -> Result<[UInt8], RuleFileProblem>
  ) {
    self.read = read
    self.resolve = resolve
  }

  /// The map that a file has; one for all that name the file.
  func map(_ name: String) -> Result<RuleMap, RuleFileProblem> {
    let path = resolve(name)
    if let known = maps[path] { return known }
    let result = bytes(name).flatMap { bytes -> Result<RuleMap, RuleFileProblem> in
      do throws(TextMapProblem) {
        return .success(RuleMap(path: path, try TextMap.parse(bytes)))
      } catch {
        return .failure(
          RuleFileProblem(message: "cannot be used: line \(error.line): \(error.text)"))
      }
    }
    maps[path] = result
    return result
  }

  func bytes(_ name: String) -> Result<[UInt8], RuleFileProblem> {
    if let known = contents[name] { return known }
    let result = read(name)
    contents[name] = result
    return result
  }

  func addresses(
    _ name: String, _ bytes: [UInt8]
  ) -> (set: AddressSet, problems: [ListFile.Problem]) {
    if let known = sets[name] { return known }
    let result = ListFile.addresses(bytes)
    sets[name] = result
    return result
  }
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
  /// Reads the rule that begins at `offset` and says where it ends. A broken one ends at the latest
  /// before a line that begins with a rule's word, or one for which `beginsOther` holds.
  package static func parse(
    _ text: [UInt8], at offset: Int, beginsOther: @escaping (String) -> Bool,
    _ findings: inout RuleFindings
  ) -> (rule: RuleStatement, end: Int) {
    var parser = RuleParser(text, from: offset, to: text.count)
    parser.beginsOther = beginsOther
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

  /// Compiles a condition over stored objects, all of a text; nil if there is an error in it.
  package static func compile(
    objectCondition text: [UInt8], _ findings: inout RuleFindings
  ) -> RuleCode? {
    compile(condition: text, over: .storedObject, &findings)
  }

  /// Compiles a condition over lines of the access log, all of a text; nil if there is an error in it.
  package static func compile(
    lineCondition text: [UInt8], _ findings: inout RuleFindings
  ) -> RuleCode? {
    compile(condition: text, over: .logLine, &findings)
  }

  private static func compile(
    condition text: [UInt8], over vocabulary: Vocabulary, _ findings: inout RuleFindings
  ) -> RuleCode? {
    let errors = findings.errorCount
    var parser = RuleParser(text, from: 0, to: text.count)
    guard let condition = parser.expression(&findings) else { return nil }
    let rest = parser.peek(&findings)
    guard case .end = rest.kind else {
      parser.unexpected(rest, "the end", &findings)
      return nil
    }
    let files = RuleFiles { _ in .failure(RuleFileProblem(message: "cannot be read here")) }
    var compiler = Compiler(text: text, context: RuleContext(files: files), findings: findings)
    compiler.vocabulary = vocabulary
    compiler.compile(condition: condition)
    findings = compiler.findings
    return findings.errorCount == errors ? compiler.code : nil
  }

  /// The rule that sends requests for paths that a file of keys and values has on to their values.
  package static func redirects(file: String, status: Int, at range: RuleRange) -> RuleStatement {
    let name = Expression(kind: .text([.literal(Array(file.utf8))]), range: range)
    let path = Expression(kind: .name("path"), range: range)
    let value = Expression(kind: .call("map", range, [name, path]), range: range)
    let condition = Expression(kind: .call("exists", range, [value]), range: range)
    let redirect = RuleStatement(
      kind: .redirect(status: status, target: value, fields: []), range: range)
    return RuleStatement(
      kind: .when([Branch(condition: condition, body: [redirect])], otherwise: nil), range: range)
  }

  /// The rule that takes a field away from requests.
  package static func withoutField(_ name: String, at range: RuleRange) -> RuleStatement {
    RuleStatement(kind: .unset(Target(kind: .field(name), range: range)), range: range)
  }

  /// What stands in the `degrade` blocks among rules; nil if there are none.
  package static func failureRules(of rules: [RuleStatement]) -> [RuleStatement]? {
    var found: [RuleStatement]?
    for rule in rules { if case .onFailure(let own) = rule.kind { found = (found ?? []) + own } }
    return found
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
