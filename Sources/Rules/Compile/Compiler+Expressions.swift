// Expressions: types, and instructions that leave the value in a register.

internal import Bytes
internal import HTTPMessage
internal import RegularExpressions

extension Compiler {
  /// Writes an expression whose value goes to a register; its type, or nil, reported, if it has none.
  mutating func emit(_ expression: Expression, _ to: UInt8) -> RuleType? {
    switch expression.kind {
    case .text(let parts): return emitParts(parts, expression.range, to)
    case .integer(let value):
      emitInteger(value, to)
      return .integer
    case .duration(let value):
      emitInteger(value, to)
      return .duration
    case .boolean(let value):
      emitInteger(value ? 1 : 0, to)
      return .boolean
    case .address(let address):
      code.addresses.append(address)
      emit(.loadAddress, to: to, operand: code.addresses.count - 1)
      return .address
    case .network: return .network
    case .pattern: return .pattern
    case .list(let items):
      for item in items { if emit(item, to) == nil { return nil } }
      return .list
    case .name(let name): return emitName(name, expression.range, to)
    case .variable(let name): return emitVariable(name, expression.range, to)
    case .call(let name, let range, let arguments):
      return emitCall(name, range, arguments, expression.range, to)
    case .index(let base, let index): return emitIndex(base, index, expression.range, to)
    case .not(let inner):
      guard expect(.boolean, inner, to) else { return nil }
      emit(.not, to: to, left: to)
      return .boolean
    case .all(let terms): return emitTerms(terms, .jumpUnless, to)
    case .any(let terms): return emitTerms(terms, .jumpIf, to)
    case .compare(let comparison, let left, let right):
      return emitComparison(comparison, left, right, expression.range, to)
    case .broken: return nil
    }
  }

  private mutating func emitInteger(_ value: Int64, _ to: UInt8) {
    code.integers.append(value)
    emit(.loadInteger, to: to, operand: code.integers.count - 1)
  }

  /// Writes an expression that must be of a type; whether it is.
  mutating func expect(_ type: RuleType, _ expression: Expression, _ to: UInt8) -> Bool {
    guard let found = emit(expression, to) else { return false }
    if found == type { return true }
    var help: String?
    if type == .boolean && found == .text { help = "ask whether it is there: exists(…)" }
    if type == .integer && found == .text { help = "to_int(…) makes a number of a text" }
    if type == .address && found == .text { help = "to_ip(…) makes an address of a text" }
    findings.error(
      "this is \(found.described), and \(type.described) is needed", at: expression.range,
      help: help)
    return false
  }

  private mutating func emitTerms(
    _ terms: [Expression], _ jump: Opcode, _ to: UInt8
  ) -> RuleType? {
    var places: [Int] = []
    var isSound = true
    for (index, term) in terms.enumerated() {
      if !expect(.boolean, term, to) { isSound = false }
      if index < terms.count - 1 { places.append(emitJump(jump, to)) }
    }
    for place in places { land(place) }
    return isSound ? .boolean : nil
  }
}

// Texts.
extension Compiler {
  private mutating func emitParts(
    _ parts: [TextPart], _ range: RuleRange, _ to: UInt8
  ) -> RuleType? {
    if parts.count == 1, case .value(let value) = parts[0] {
      guard let type = emit(value, to), toText(type, to, value.range) else { return nil }
      return .text
    }
    if parts.allSatisfy({ if case .literal = $0 { true } else { false } }) {
      let bytes = Expression(kind: .text(parts), range: range).constantText ?? []
      emit(.loadText, to: to, operand: text(bytes))
      return .text
    }
    // The values first, so that the text is then put together in one piece.
    var register = to
    var places: [UInt8] = []
    var isSound = true
    for case .value(let value) in parts {
      if let type = emit(value, register) {
        if !toText(type, register, value.range) { isSound = false }
      } else {
        isSound = false
      }
      places.append(register)
      guard let following = next(register, range) else { return nil }
      register = following
    }
    emit(.beginText)
    var index = 0
    for part in parts {
      switch part {
      case .literal(let bytes): emit(.appendConstant, operand: text(bytes))
      case .value:
        emit(.appendText, left: places[index])
        index += 1
      }
    }
    emit(.endText, to: to)
    return isSound ? .text : nil
  }

  /// Makes a text of the value in a register; whether there is one.
  mutating func toText(_ type: RuleType, _ register: UInt8, _ range: RuleRange) -> Bool {
    switch type {
    case .text: return true
    case .integer: emit(.integerToText, to: register, left: register)
    case .address: emit(.addressToText, to: register, left: register)
    case .boolean: emit(.booleanToText, to: register, left: register)
    case .duration, .network, .pattern, .parts, .list:
      findings.error("\(type.described) cannot be a text", at: range)
      return false
    }
    return true
  }

  /// `split(…)[index]`
  private mutating func emitIndex(
    _ base: Expression, _ index: Int, _ range: RuleRange, _ to: UInt8
  ) -> RuleType? {
    guard case .call("split", _, let arguments) = base.kind else {
      if let type = emit(base, to) {
        findings.error(
          "\(type.described) has no parts", at: range, help: "split(text, \"/\")[0] has")
      }
      return nil
    }
    guard let separator = emitSplit(arguments, base.range, to) else { return nil }
    emit(.part, to: to, left: to, operand: separator, extra: index)
    return .text
  }

  /// Writes the text of `split(text, separator)`; the number of the separator.
  mutating func emitSplit(
    _ arguments: [Expression], _ range: RuleRange, _ to: UInt8
  ) -> Int? {
    guard arguments.count == 2 else {
      findings.error("split takes a text and a separator", at: range)
      return nil
    }
    guard expect(.text, arguments[0], to) else { return nil }
    guard let separator = arguments[1].constantText, !separator.isEmpty else {
      findings.error(
        "a separator is a text that is not empty, written in place", at: arguments[1].range)
      return nil
    }
    return text(separator)
  }
}

// Names.
extension Compiler {
  private mutating func emitVariable(
    _ name: String, _ range: RuleRange, _ to: UInt8
  ) -> RuleType? {
    guard let variable = variables[name] else {
      let near = Spelling.nearest(to: name, among: variables.keys.sorted())
      findings.error(
        "there is no variable $\(name)", at: range,
        help: near == nil ? "it is set before it is used: set $\(name) …" : nil,
        suggestion: near.map { "$\($0)" })
      return nil
    }
    if variable.type == .network { return nil }
    if isResponse, variable.isCarried,
      !code.carried.contains(where: { $0.register == variable.register })
    {
      code.carried.append(Carried(register: variable.register, isText: variable.type == .text))
    }
    emit(.move, to: to, left: variable.register)
    return variable.type
  }

  private mutating func emitName(_ name: String, _ range: RuleRange, _ to: UInt8) -> RuleType? {
    if name.hasPrefix("var.") { return emitVariable(String(name.dropFirst(4)), range, to) }
    guard let found = DataName.find(name, in: vocabulary) else {
      let meant = DataName.suggestion(for: name, in: vocabulary)
      findings.error(
        "there is no \(shown(name))", at: range,
        help: meant == nil ? "texts stand in double quotes" : nil, suggestion: meant)
      return nil
    }
    if case .list = found.entry.type {
      findings.error(
        "\(shown(name)) stands only behind in", at: range, help: "such as \"front\" in \(name)")
      return nil
    }
    if found.entry.isOfResponse && !isResponse {
      findings.error(
        "\(shown(name)) is not known yet", at: range,
        help: "it stands in: on response { … }")
      return nil
    }
    return emit(found.entry, found.member, range, to)
  }

  private mutating func emit(
    _ entry: DataName, _ member: String, _ range: RuleRange, _ to: UInt8
  ) -> RuleType? {
    switch entry.source {
    case .text(let source):
      if entry.name.hasPrefix("geo.") { code.usesGeo = code.usesGeo ?? range }
      if case .tlsFingerprint = source { code.usesFingerprint = true }
      emit(.text, to: to, operand: Int(source.rawValue))
    case .integer(let source):
      if entry.name.hasPrefix("geo.") { code.usesGeo = code.usesGeo ?? range }
      emit(.number, to: to, operand: Int(source.rawValue))
    case .boolean(let source): emit(.flag, to: to, operand: Int(source.rawValue))
    case .clientAddress: emit(.clientAddress, to: to)
    case .subject: emit(.text, to: to, operand: Int(TextSource.subject.rawValue))
    case .routeName:
      emit(.loadText, to: to, operand: text(Array(context.routeName.utf8)))
    case .family(let family): return emit(family, member, range, to)
    case .tags: return nil
    }
    return entry.type
  }

  /// Writes data with a name of its own.
  mutating func emit(
    _ family: DataName.Family, _ member: String, _ range: RuleRange, _ to: UInt8
  ) -> RuleType? {
    switch family {
    case .field, .responseField:
      guard !member.isEmpty, member.utf8.count <= 256,
        member.utf8.allSatisfy({ ASCII.isTokenByte($0) })
      else {
        findings.error("\(shown(member)) is not the name of a field", at: range)
        return nil
      }
      let isOfResponse = if case .responseField = family { true } else { false }
      emit(
        isOfResponse ? .responseField : .field, to: to,
        operand: field(member, ofResponse: isOfResponse))
    case .cookie: emitKept(.cookie, member, to)
    case .parameter: emitKept(.parameter, member, to)
    case .claim: emit(.claim, to: to, operand: text(Array(member.utf8)))
    }
    return .text
  }

  /// Writes data that is looked for once and kept.
  private mutating func emitKept(_ opcode: Opcode, _ member: String, _ to: UInt8) {
    let key = (opcode == .cookie ? "c" : "q") + member
    var place = 0
    if let register = kept[key] {
      place = Int(register)
    } else if kept.count < Registers.values - Registers.kept {
      place = Registers.kept + kept.count
      kept[key] = UInt8(place)
    }
    emit(opcode, to: to, operand: text(Array(member.utf8)), extra: place)
  }
}

// Comparisons.
extension Compiler {
  private mutating func emitComparison(
    _ comparison: Comparison, _ left: Expression, _ right: Expression, _ range: RuleRange,
    _ to: UInt8
  ) -> RuleType? {
    switch comparison {
    case .isIn: return emitIn(left, right, to)
    case .matches: return emitMatches(left, right, to)
    case .equal, .notEqual:
      guard emitEqual(left, right, range, to) else { return nil }
      if comparison == .notEqual { emit(.not, to: to, left: to) }
      return .boolean
    case .less, .lessOrEqual, .greater, .greaterOrEqual:
      return emitOrder(comparison, left, right, range, to)
    }
  }

  private mutating func noteOperand(_ expression: Expression, _ register: UInt8, _ type: RuleType) {
    switch expression.kind {
    case .name, .variable, .call, .index: note(.operand, expression.range, register, type)
    default: return
    }
  }

  private mutating func emitEqual(
    _ left: Expression, _ right: Expression, _ range: RuleRange, _ to: UInt8
  ) -> Bool {
    guard let type = emit(left, to), let other = next(to, range) else { return false }
    if type == .text, let constant = right.constantText {
      noteOperand(left, to, type)
      emit(.equalConstant, to: to, left: to, operand: text(constant))
      return true
    }
    guard let otherType = emit(right, other) else { return false }
    guard type == otherType, type.isScalar else {
      reportMismatch(type, otherType, right, range)
      return false
    }
    noteOperand(left, to, type)
    switch type {
    case .text: emit(.equalTexts, to: to, left: to, right: other)
    case .address: emit(.equalAddresses, to: to, left: to, right: other)
    default: emit(.equalNumbers, to: to, left: to, right: other)
    }
    return true
  }

  private mutating func reportMismatch(
    _ left: RuleType, _ right: RuleType, _ expression: Expression, _ range: RuleRange
  ) {
    var help: String?
    switch (left, right) {
    case (.text, .integer), (.integer, .text): help = "to_int(…) makes a number of a text"
    case (.text, .address), (.address, .text): help = "to_ip(…) makes an address of a text"
    case (.address, .network): help = "an address is in a network: client.ip in 192.0.2.0/24"
    case (_, .list), (_, .parts): help = "whether it is one of them is asked with in"
    case (_, .pattern): help = "whether it fits is asked with matches"
    default: break
    }
    findings.error(
      "\(left.described) is compared with \(right.described)", at: range, help: help)
  }

  private mutating func emitOrder(
    _ comparison: Comparison, _ left: Expression, _ right: Expression, _ range: RuleRange,
    _ to: UInt8
  ) -> RuleType? {
    guard let type = emit(left, to), let other = next(to, range), let otherType = emit(right, other)
    else { return nil }
    guard type == otherType else {
      reportMismatch(type, otherType, right, range)
      return nil
    }
    guard type == .integer || type == .duration else {
      findings.error(
        "only numbers and durations have an order, and this is \(type.described)", at: range)
      return nil
    }
    noteOperand(left, to, type)
    switch comparison {
    case .less: emit(.less, to: to, left: to, right: other)
    case .lessOrEqual: emit(.lessOrEqual, to: to, left: to, right: other)
    case .greater: emit(.less, to: to, left: other, right: to)
    default: emit(.lessOrEqual, to: to, left: other, right: to)
    }
    return .boolean
  }

  private mutating func emitMatches(
    _ left: Expression, _ right: Expression, _ to: UInt8
  ) -> RuleType? {
    guard expect(.text, left, to) else { return nil }
    if let glob = right.constantText {
      guard glob.count <= Glob.longest else {
        findings.error("this pattern is longer than \(Glob.longest) bytes", at: right.range)
        return nil
      }
      noteOperand(left, to, .text)
      emit(.matchesGlob, to: to, left: to, operand: text(glob))
      return .boolean
    }
    guard let pattern = pattern(right) else { return nil }
    noteOperand(left, to, .text)
    emit(.matchesPattern, to: to, left: to, operand: pattern)
    return .boolean
  }

  /// The number of a regular expression that is written in place.
  mutating func pattern(_ expression: Expression) -> Int? {
    guard case .pattern(let bytes) = expression.kind else {
      findings.error(
        "a pattern is written in place", at: expression.range,
        help: "\"/images/*\" with * and ?, or a regular expression: r\"^/v[0-9]+/\"")
      return nil
    }
    if let number = patternNumbers[bytes] { return number }
    do throws(RegularExpressionProblem) {
      code.patterns.append(Pattern(source: bytes, expression: try RegularExpression(bytes)))
    } catch {
      let place = min(expression.range.lower + 2 + error.offset, expression.range.upper - 1)
      findings.error(
        "this is not a regular expression: \(error.message)",
        at: RuleRange(lower: place, upper: max(place + 1, expression.range.upper - 1)))
      return nil
    }
    patternNumbers[bytes] = code.patterns.count - 1
    return code.patterns.count - 1
  }
}
