// Checks the tree and writes the program in one pass. Each expression leaves its value in a register and
// says its type; what is wrong is reported where it stands and gives no type, so that nothing is said
// about what surrounds it.
//
// Rules that never run are found on the way: `refuted` are the conditions that are known to be false
// here, because what they led to has ended the request; a condition that implies one of them never
// holds. A rule that changes something takes back what is known about it.

internal import Bytes
internal import HTTPMessage
internal import RegularExpressions

struct Compiler {
  let source: [UInt8]
  let context: RuleContext
  var findings: RuleFindings
  var code = RuleCode()
  var isResponse = false

  struct Variable {
    var register: UInt8
    var type: RuleType
    var isCarried = false
  }
  var variables: [String: Variable] = [:]
  var kept: [String: UInt8] = [:]
  private var textNumbers: [[UInt8]: Int] = [:]
  private var fieldNumbers: [String: Int] = [:]
  var overlays: [String: Int] = [:]
  var patternNumbers: [[UInt8]: Int] = [:]

  /// A condition that is false here, and why.
  struct Refuted {
    var condition: Expression
    var isSameChain: Bool
  }
  var refuted: [Refuted] = []
  /// Conditions that are true here.
  var guards: [Expression] = []
  /// Whether some of both were left out: then it cannot be said that a redirect leads to itself.
  var isForgetful = false
  /// What rules have changed, in canonical form.
  var touched: [String] = []

  static let mostInstructions = 30_000
  static let mostRefuted = 64
  private var isFull = false

  init(text: [UInt8], context: RuleContext, findings: RuleFindings) {
    source = text
    self.context = context
    self.findings = findings
  }

  mutating func compile(_ rules: [RuleStatement]) {
    collectOverlays(rules, isResponse: false)
    var responses: [RuleStatement] = []
    var requests: [RuleStatement] = []
    for rule in rules { split(rule, &requests, &responses) }
    _ = emit(requests)
    emit(.end)
    code.responseStart = code.instructions.count
    isResponse = true
    refuted = []
    guards = []
    for name in variables.keys { variables[name]?.isCarried = true }
    collectOverlays(responses, isResponse: true)
    _ = emit(responses)
    emit(.end)
  }

  /// Puts a rule where it belongs: with the request or with the response.
  private func split(
    _ rule: RuleStatement, _ requests: inout [RuleStatement], _ responses: inout [RuleStatement]
  ) {
    switch rule.kind {
    case .onResponse(let rules): responses += rules
    case .onFailure: break
    case .preset(let request, let response):
      requests += request
      responses += response
    default: requests.append(rule)
    }
  }

  /// Gives each field that a rule changes a place where edits are looked for.
  private mutating func collectOverlays(_ rules: [RuleStatement], isResponse: Bool) {
    for rule in rules {
      switch rule.kind {
      case .set(let target, _), .add(let target, _), .unset(let target):
        guard case .field(let name) = target.kind else { continue }
        let key = (isResponse ? "response " : "") + name.lowercased()
        if overlays[key] == nil && overlays.count < RuleScratch.overlayCount {
          overlays[key] = overlays.count
        }
      case .when(let branches, let otherwise):
        for branch in branches { collectOverlays(branch.body, isResponse: isResponse) }
        collectOverlays(otherwise ?? [], isResponse: isResponse)
      case .preset(let request, _): collectOverlays(request, isResponse: isResponse)
      default: continue
      }
    }
  }
}

// Writing.
extension Compiler {
  mutating func emit(
    _ opcode: Opcode, to: UInt8 = 0, left: UInt8 = 0, right: UInt8 = 0, operand: Int = 0,
    extra: Int = 0
  ) {
    guard code.instructions.count < Self.mostInstructions else {
      if !isFull {
        findings.error(
          "there are too many rules here", at: RuleRange(lower: 0, upper: 0),
          help: "the rules of a route are at most \(Self.mostInstructions) steps")
      }
      isFull = true
      return
    }
    code.instructions.append(
      Instruction(
        opcode: opcode, to: to, left: left, right: right,
        operand: Int32(truncatingIfNeeded: operand),
        extra: Int32(truncatingIfNeeded: extra)))
  }

  /// Writes a jump whose target comes later; its place.
  mutating func emitJump(_ opcode: Opcode, _ register: UInt8 = 0) -> Int {
    emit(opcode, left: register)
    return code.instructions.count - 1
  }

  /// Has a jump lead to what is written next.
  mutating func land(_ place: Int) {
    guard code.instructions.indices.contains(place) else { return }
    code.instructions[place].operand = Int32(truncatingIfNeeded: code.instructions.count)
  }

  /// The register after another; nil, reported, if there are no more.
  mutating func next(_ register: UInt8, _ range: RuleRange) -> UInt8? {
    if Int(register) + 1 < Registers.end { return register + 1 }
    findings.error(
      "this expression is too complex", at: range, help: "use variables for parts of it")
    return nil
  }

  /// The number of a constant text.
  mutating func text(_ bytes: [UInt8]) -> Int {
    if let number = textNumbers[bytes] { return number }
    code.texts.append(code.bytes.count..<code.bytes.count + bytes.count)
    code.bytes += bytes
    textNumbers[bytes] = code.texts.count - 1
    return code.texts.count - 1
  }

  /// The number of a field, whose name may have any case.
  mutating func field(_ name: String, ofResponse: Bool) -> Int {
    let lower = name.lowercased()
    let key = (ofResponse ? "response " : "") + lower
    if let number = fieldNumbers[key] { return number }
    let bytes = Array(lower.utf8)
    let known = bytes.withView { KnownField.identify($0).rawValue }
    code.fields.append(
      FieldUse(text: text(bytes), known: known, overlay: overlays[key] ?? -1))
    fieldNumbers[key] = code.fields.count - 1
    return code.fields.count - 1
  }

  /// Notes for an explanation what the next instruction is about.
  mutating func note(
    _ kind: RuleStep.Kind, _ range: RuleRange, _ register: UInt8 = 0, _ type: RuleType = .boolean
  ) {
    guard range.upper <= source.count, range.lower < range.upper else { return }
    let text = String(decoding: source[range.lower..<range.upper], as: UTF8.self)
    code.steps.append(
      RuleStep(
        place: code.instructions.count, kind: kind, text: text, line: context.line(range.lower),
        register: register, type: type))
  }
}
