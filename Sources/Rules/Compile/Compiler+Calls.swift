// Calls: arguments are checked against the function's entry in the table, then the function writes its
// own instruction.

internal import Bytes
internal import RegularExpressions

extension Compiler {
  mutating func emitCall(
    _ name: String, _ nameRange: RuleRange, _ arguments: [Expression], _ range: RuleRange,
    _ to: UInt8
  ) -> RuleType? {
    guard let function = RuleFunction.find(name) else {
      reportUnknown(name, nameRange)
      return nil
    }
    let least = function.parameters.count - function.optional
    guard (least...function.parameters.count).contains(arguments.count) else {
      findings.error(
        "\(name) takes \(count(least, function.parameters.count)), and here "
          + (arguments.count == 1 ? "is 1" : "are \(arguments.count)"),
        at: range, help: "\(name)(\(function.shape))")
      return nil
    }
    switch name {
    case "header" where isAboutLines, "cookie" where !isAboutRequests,
      "claim" where !isAboutRequests:
      findings.error("\(vocabulary.subject) has no \(name)", at: range)
      return nil
    case "header":
      return emitNamed(isAboutRequests ? .field : .responseField, arguments[0], to)
    case "query": return emitNamed(.parameter, arguments[0], to)
    case "cookie": return emitNamed(.cookie, arguments[0], to)
    case "claim": return emitNamed(.claim, arguments[0], to)
    case "first", "last": return emitEnd(name, arguments[0], to)
    case "length":
      if case .call("split", _, let inner) = arguments[0].kind {
        guard let separator = emitSplit(inner, arguments[0].range, to) else { return nil }
        emit(.partCount, to: to, left: to, operand: separator)
        return .integer
      }
    case "split":
      _ = emitSplit(arguments, range, to)
      return .parts
    case "exists": return emitExists(arguments[0], to)
    case "map": return emitMap(arguments, to)
    default: break
    }
    guard let values = emitArguments(function, arguments, to) else { return nil }
    if name == "capture", let group = values.integers.first,
      group > code.patterns[values.pattern].expression.groupCount
    {
      let count = code.patterns[values.pattern].expression.groupCount
      findings.error(
        "the expression has no group \(group)", at: arguments[2].range,
        help: count == 0 ? "a group stands in parentheses" : "its groups are 1 to \(count)")
      return nil
    }
    emitFunction(name, values, to)
    return function.result
  }

  private var isAboutRequests: Bool {
    if case .request = vocabulary { true } else { false }
  }

  private var isAboutLines: Bool {
    if case .logLine = vocabulary { true } else { false }
  }

  private func count(_ least: Int, _ most: Int) -> String {
    let number = least == most ? "\(most)" : "\(least) or \(most)"
    return most == 1 ? "1 argument" : "\(number) arguments"
  }

  private mutating func reportUnknown(_ name: String, _ range: RuleRange) {
    if name == "file" {
      findings.error(
        "a file stands behind in", at: range, help: "client.ip in file(\"blocked.txt\")")
      return
    }
    let meant = RuleFunction.suggestion(for: name)
    findings.error(
      "there is no function \(shown(name))", at: range,
      help: meant == nil ? "the functions are in docs/rules.md" : nil, suggestion: meant)
  }

  private mutating func emitNamed(
    _ family: DataName.Family, _ argument: Expression, _ to: UInt8
  ) -> RuleType? {
    guard let name = argument.constantString, !name.isEmpty else {
      findings.error("a name is a text that is written in place", at: argument.range)
      return nil
    }
    return emit(family, name, argument.range, to)
  }

  private mutating func emitEnd(
    _ name: String, _ argument: Expression, _ to: UInt8
  ) -> RuleType? {
    guard case .call("split", _, let inner) = argument.kind else {
      findings.error("\(name) takes what split gives", at: argument.range)
      return nil
    }
    guard let separator = emitSplit(inner, argument.range, to) else { return nil }
    emit(.part, to: to, left: to, operand: separator, extra: name == "first" ? 0 : -1)
    return .text
  }

  private mutating func emitMap(_ arguments: [Expression], _ to: UInt8) -> RuleType? {
    guard let name = arguments[0].constantString, !name.isEmpty else {
      findings.error(
        "map takes the path of a file", at: arguments[0].range,
        help: "such as map(\"moved.txt\", path)")
      return nil
    }
    guard expect(.text, arguments[1], to) else { return nil }
    switch context.files.map(name) {
    case .failure(let problem):
      findings.error("the file \(shown(name)) \(problem.message)", at: arguments[0].range)
      return nil
    case .success(let map):
      let number = code.maps.firstIndex { $0 === map } ?? code.maps.count
      if number == code.maps.count { code.maps.append(map) }
      emit(.lookup, to: to, left: to, operand: number)
      return .text
    }
  }

  private mutating func emitExists(_ argument: Expression, _ to: UInt8) -> RuleType? {
    guard expect(.text, argument, to) else { return nil }
    switch argument.kind {
    case .name, .variable, .call, .index: break
    default:
      findings.error("exists takes data of the request, such as header.accept", at: argument.range)
      return nil
    }
    note(.operand, argument.range, to, .text)
    emit(.exists, to: to, left: to)
    return .boolean
  }
}

/// What the arguments of a call have come to.
private struct Arguments {
  /// The registers of those that are values.
  var registers: [UInt8] = []
  var integers: [Int64] = []
  var texts: [[UInt8]] = []
  var list: [[UInt8]] = []
  var pattern = 0
}

extension Compiler {
  /// Writes the arguments; nil, reported, if one is wrong.
  private mutating func emitArguments(
    _ function: RuleFunction, _ arguments: [Expression], _ to: UInt8
  ) -> Arguments? {
    var values = Arguments()
    var register = to
    var isSound = true
    for (parameter, argument) in zip(function.parameters, arguments) {
      var isValue = false
      switch parameter {
      case .text, .data:
        isValue = true
        if !expect(.text, argument, register) { isSound = false }
      case .integer:
        isValue = true
        if !expect(.integer, argument, register) { isSound = false }
      case .address:
        isValue = true
        if !expect(.address, argument, register) { isSound = false }
      case .any:
        isValue = true
        if let type = emit(argument, register) {
          if !toText(type, register, argument.range) { isSound = false }
        } else {
          isSound = false
        }
      case .parts: isSound = false
      case .constantText, .constantInteger, .pattern, .constantTexts:
        if !take(argument, as: parameter, &values) { isSound = false }
      }
      if isValue {
        values.registers.append(register)
        guard let following = next(register, argument.range) else { return nil }
        register = following
      }
    }
    return isSound ? values : nil
  }

  private mutating func take(
    _ argument: Expression, as parameter: RuleFunction.Parameter, _ values: inout Arguments
  ) -> Bool {
    switch parameter {
    case .constantText:
      if let text = argument.constantText {
        values.texts.append(text)
        return true
      }
      findings.error("this is a text that is written in place", at: argument.range)
    case .constantInteger(let bounds):
      if case .integer(let value) = argument.kind, bounds.contains(value) {
        values.integers.append(value)
        return true
      }
      findings.error(
        "this is a number from \(bounds.lowerBound) to \(bounds.upperBound) that is written in place",
        at: argument.range)
    case .pattern:
      if let pattern = pattern(argument) {
        values.pattern = pattern
        return true
      }
    case .constantTexts:
      if case .list(let items) = argument.kind, !items.isEmpty, items.count <= 256 {
        let texts = items.compactMap(\.constantText)
        if texts.count == items.count {
          values.list = texts
          return true
        }
      }
      findings.error(
        "this is a list of texts that is written in place, such as [\"en\", \"de\"]",
        at: argument.range)
    case .text, .integer, .address, .any, .data, .parts: break
    }
    return false
  }

  private mutating func emitFunction(_ name: String, _ values: Arguments, _ to: UInt8) {
    let left = values.registers.first ?? to
    let right = values.registers.count > 1 ? values.registers[1] : to
    switch name {
    case "lower": emit(.lower, to: to, left: left)
    case "upper": emit(.upper, to: to, left: left)
    case "trim": emit(.trim, to: to, left: left)
    case "length": emit(.length, to: to, left: left)
    case "starts_with": emit(.startsWith, to: to, left: left, right: right)
    case "ends_with": emit(.endsWith, to: to, left: left, right: right)
    case "contains": emit(.contains, to: to, left: left, right: right)
    case "replace":
      emit(.replace, to: to, left: left, right: right, operand: text(values.texts.first ?? []))
    case "replace_prefix":
      emit(.replacePrefix, to: to, left: left, right: right, operand: Int(values.registers[2]))
    case "strip_prefix": emit(.replacePrefix, to: to, left: left, right: right, operand: -1)
    case "capture":
      emit(
        .capture, to: to, left: left, operand: values.pattern,
        extra: Int(values.integers.first ?? 0))
    case "url_decode": emit(.urlDecode, to: to, left: left)
    case "url_encode": emit(.urlEncode, to: to, left: left)
    case "base64url_decode": emit(.base64Decode, to: to, left: left)
    case "negotiate": emitNegotiation(values, left, to)
    case "hash", "percent": emitHash(name, values, left, to)
    case "to_int":
      if values.registers.count < 2, let other = next(to, RuleRange(lower: 0, upper: 0)) {
        code.integers.append(0)
        emit(.loadInteger, to: other, operand: code.integers.count - 1)
        emit(.toInteger, to: to, left: left, right: other)
      } else {
        emit(.toInteger, to: to, left: left, right: right)
      }
    case "to_ip": emit(.toAddress, to: to, left: left)
    case "cidr":
      let bits = values.integers
      emit(
        .mask, to: to, left: left, operand: Int(bits.first ?? 32),
        extra: Int(bits.count > 1 ? bits[1] : 64))
    case "seconds": emit(.seconds, to: to, left: left)
    default: break
    }
  }

  /// The tags are a set in the order of the list; the default stands behind them.
  private mutating func emitNegotiation(_ values: Arguments, _ left: UInt8, _ to: UInt8) {
    let first = code.members.count
    for tag in values.list { code.members.append(text(tag)) }
    code.textSets.append(first..<code.members.count)
    emit(
      .negotiate, to: to, left: left, operand: code.textSets.count - 1,
      extra: text(values.texts.first ?? []))
  }

  private mutating func emitHash(_ name: String, _ values: Arguments, _ left: UInt8, _ to: UInt8) {
    let salt = values.texts.first ?? []
    // The key need not be secret: it has to be the same on every node and in every version.
    let key = SipHash(key: Hash128(low: 0x7765_6972, high: 0))
    let hash = salt.withView { key.hash($0) }
    code.hashes += [hash.low, hash.high]
    emit(
      name == "hash" ? .hash : .percent, to: to, left: left, operand: code.hashes.count - 2,
      extra: Int(values.integers.first ?? 1))
  }
}
