import Rules
import Testing

/// An example of the document: rules, a request, and what comes of it.
struct Example: Sendable, CustomTestStringConvertible {
  var rules: String
  var request: String
  var expected: String
  var testDescription: String { request.split(separator: "\n").first.map(String.init) ?? "" }
}

private let path = SharedData.repository + "/docs/rules.md"

/// The examples of the document, in order.
private let examples: [Example] = {
  var result: [Example] = []
  var rules = ""
  var block: [Substring]?
  var kind = ""
  for line in SharedData.text(path).split(separator: "\n", omittingEmptySubsequences: false) {
    if line.hasPrefix("```"), let lines = block {
      let text = lines.joined(separator: "\n")
      if kind == "rules" { rules = text }
      if kind == "request", let answer = lines.last, answer.hasPrefix("=> ") {
        result.append(
          Example(
            rules: rules, request: lines.dropLast().joined(separator: "\n"),
            expected: String(answer.dropFirst(3))))
      }
      block = nil
    } else if line.hasPrefix("```") {
      kind = String(line.dropFirst(3))
      block = []
    } else {
      block?.append(line)
    }
  }
  return result
}()

/// The tables that the document has from the module.
private let tables: [(name: String, text: String)] = [
  (
    "data",
    "| name | kind | meaning |\n|---|---|---|\n"
      + DataName.all.map { entry in
        let note = entry.isOfResponse ? " Only in `on response`." : ""
        return "| `\(entry.name)` | \(entry.type.rawValue) | \(entry.text)\(note) |\n"
      }.joined()
  ),
  (
    "functions",
    "| function | gives | meaning |\n|---|---|---|\n"
      + RuleFunction.all.map { function in
        "| `\(function.name)(\(function.shape))` | \(function.result.rawValue) | \(function.text) |\n"
      }.joined()
  ),
]

@Suite("The document")
struct DocumentTests {
  @Test(arguments: examples)
  func `an example does what the document says`(_ example: Example) {
    #expect(RuleText(example.rules).answer(example.request) == example.expected)
  }

  @Test func `the document has an example for each kind of rule`() {
    #expect(examples.count >= 20)
    for keyword in RuleKeyword.allCases {
      #expect(SharedData.text(path).contains("\(keyword.rawValue) "), "\(keyword.rawValue)")
    }
  }

  @Test func `no rules stand in the document without a request, and no request without its answer`()
  {
    var kinds: [String] = []
    var isOpen = false
    var last: Substring = ""
    for line in SharedData.text(path).split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("```") {
        if isOpen, kinds.last == "request" { #expect(last.hasPrefix("=> "), "\(last)") }
        if !isOpen { kinds.append(String(line.dropFirst(3))) }
        isOpen.toggle()
      }
      last = line
    }
    #expect(!isOpen && Set(kinds) == ["rules", "request"])
    for (kind, next) in zip(kinds, kinds.dropFirst() + ["rules"]) where kind == "rules" {
      #expect(next == "request")
    }
    #expect(kinds.count { $0 == "request" } == examples.count)
  }

  @Test func `the tables of the document are those of the module`() {
    let document = SharedData.text(path)
    var updated = ""
    var isSkipping = false
    for line in document.split(separator: "\n", omittingEmptySubsequences: false) {
      if line == "<!-- end -->" { isSkipping = false }
      if !isSkipping { updated += line + "\n" }
      if let table = tables.first(where: { line == "<!-- \($0.name) -->" }) {
        updated += table.text
        isSkipping = true
      }
    }
    updated = String(updated.dropLast())
    if SharedData.isUpdating {
      SharedData.write(updated, to: path)
    } else {
      #expect(updated == document, "run the tests with WEIR_UPDATE_GOLDEN=1 to rewrite the tables")
    }
  }
}
