// `in`: lists that are written in place, lists in files, networks, and the parts of a text.

internal import Bytes

extension Compiler {
  mutating func emitIn(_ left: Expression, _ right: Expression, _ to: UInt8) -> RuleType? {
    if case .name("tags") = right.kind, case .storedObject = vocabulary {
      return emitTag(left, to)
    }
    guard let type = emit(left, to) else { return nil }
    switch right.kind {
    case .network(let network): return emitNetworks(type, left, [network], right.range, to)
    case .list(let items): return emitList(type, left, items, right.range, to)
    case .call("file", _, let arguments): return emitFile(type, left, arguments, right.range, to)
    case .call("split", _, let arguments):
      guard type == .text, let other = next(to, right.range) else { break }
      guard let separator = emitSplit(arguments, right.range, other) else { return nil }
      emit(.inParts, to: to, left: to, right: other, operand: separator)
      return .boolean
    default: break
    }
    guard let register = next(to, right.range), let other = emit(right, register) else {
      return nil
    }
    let isText = type == .text && other == .text
    findings.error(
      "\(type.described) cannot be in \(other.described)", at: right.range,
      help: isText
        ? "whether it stands in a text is asked with contains(text, part)"
        : "expected a list such as [\"a\", \"b\"], a network, file(\"…\") or split(…)")
    return nil
  }

  /// `"front" in tags`
  private mutating func emitTag(_ left: Expression, _ to: UInt8) -> RuleType? {
    guard let tag = left.constantText, !tag.isEmpty else {
      findings.error(
        "a tag is a text that is written in place", at: left.range,
        help: "such as \"front\" in tags")
      return nil
    }
    emit(.hasTag, to: to, operand: code.tags.count)
    code.tags.append(tag)
    return .boolean
  }

  private mutating func emitNetworks(
    _ type: RuleType, _ left: Expression, _ networks: [IPNetwork], _ range: RuleRange, _ to: UInt8
  ) -> RuleType? {
    guard type == .address else {
      findings.error(
        "\(type.described) cannot be in a network", at: left.range,
        help: type == .text ? "to_ip(…) makes an address of a text" : nil)
      return nil
    }
    emitSet(AddressSet(networks), left, to)
    return .boolean
  }

  private mutating func emitSet(_ set: AddressSet, _ left: Expression, _ to: UInt8) {
    code.addressSets.append(set)
    note(.operand, left.range, to, .address)
    emit(.inNetworks, to: to, left: to, operand: code.addressSets.count - 1)
  }

  private mutating func emitList(
    _ type: RuleType, _ left: Expression, _ items: [Expression], _ range: RuleRange, _ to: UInt8
  ) -> RuleType? {
    var texts: [[UInt8]] = []
    var numbers: [Int64] = []
    var networks: [IPNetwork] = []
    for item in items {
      switch (type, item.kind) {
      case (.text, .text):
        guard let text = item.constantText else {
          findings.error(
            "what is in a list is written in place", at: item.range, help: "use == and ||")
          return nil
        }
        texts.append(text)
      case (.integer, .integer(let value)), (.duration, .duration(let value)): numbers.append(value)
      case (.address, .address(let address)):
        networks.append(IPNetwork(address: address, bits: 128))
      case (.address, .network(let network)): networks.append(network)
      default:
        let kind = emit(item, to)
        if let kind {
          findings.error(
            "\(kind.described) stands in a list with which \(type.described) is compared",
            at: item.range, help: "what is in a list is written in place")
        }
        return nil
      }
    }
    switch type {
    case .text: emitSet(texts, left, to)
    case .address: emitSet(AddressSet(networks), left, to)
    case .integer, .duration:
      code.numberSets.append(numbers.sorted())
      note(.operand, left.range, to, type)
      emit(.inNumbers, to: to, left: to, operand: code.numberSets.count - 1)
    default:
      findings.error("\(type.described) cannot be in a list", at: left.range)
      return nil
    }
    return .boolean
  }

  private mutating func emitSet(_ texts: [[UInt8]], _ left: Expression, _ to: UInt8) {
    let sorted = Set(texts).sorted { one, other in
      one.count != other.count ? one.count < other.count : one.lexicographicallyPrecedes(other)
    }
    let first = code.members.count
    for member in sorted { code.members.append(text(member)) }
    code.textSets.append(first..<code.members.count)
    note(.operand, left.range, to, .text)
    emit(.inTexts, to: to, left: to, operand: code.textSets.count - 1)
  }

  /// `file("…")`: a list of addresses and networks, or of texts, one on a line.
  private mutating func emitFile(
    _ type: RuleType, _ left: Expression, _ arguments: [Expression], _ range: RuleRange, _ to: UInt8
  ) -> RuleType? {
    guard arguments.count == 1, let name = arguments[0].constantString, !name.isEmpty else {
      findings.error(
        "file takes the path of a file", at: range, help: "such as file(\"blocked.txt\")")
      return nil
    }
    guard type == .text || type == .address else {
      findings.error("\(type.described) cannot be in a file", at: left.range)
      return nil
    }
    switch context.files.bytes(name) {
    case .failure(let problem):
      findings.error("the file \(shown(name)) \(problem.message)", at: arguments[0].range)
      return nil
    case .success(let bytes):
      if type == .text {
        emitSet(ListFile.entries(bytes).map { Array($0.text) }, left, to)
        return .boolean
      }
      let (set, problems) = context.files.addresses(name, bytes)
      for problem in problems {
        findings.error(
          "\(name):\(problem.line): \(shown(problem.text)) is neither an address nor a network",
          at: arguments[0].range)
      }
      emitSet(set, left, to)
      return problems.isEmpty ? .boolean : nil
    }
  }
}
