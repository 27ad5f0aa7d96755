// A worker's own copy of a route's rules, laid out for running: constants are views into memory that the
// program owns, so that a step is an index and no more.
//
// The initialiser checks everything that running then takes for granted: jumps lead forward and stay
// inside, every operand is in its table, both parts end. Running does not check again.

package import Bytes
internal import HTTPMessage
internal import RegularExpressions

/// A field as the program uses it.
struct FieldName {
  var name: ByteView
  var known: KnownField
  var overlay: Int
}

/// The rules of a route, ready to run. For one thread; made once for each worker and configuration.
@safe
package final class RuleProgram {
  /// What it was made of.
  package let code: RuleCode
  let instructions: UnsafeMutablePointer<Instruction>
  let constants: UnsafeMutablePointer<UInt8>
  let texts: UnsafeMutablePointer<ByteView>
  let members: UnsafeMutablePointer<ByteView>
  let textSets: UnsafeMutablePointer<Range<Int>>
  let integers: UnsafeMutablePointer<Int64>
  let addresses: UnsafeMutablePointer<IPAddress>
  let fields: UnsafeMutablePointer<FieldName>
  let hashes: UnsafeMutablePointer<SipHash>
  // Unmanaged: these are shared by all workers, and counting references to them would be, too. `code`
  // keeps them alive.
  let addressSets: UnsafeMutablePointer<Unmanaged<AddressSet>>
  let patterns: UnsafeMutablePointer<Unmanaged<RegularExpression>>
  /// How many registers are variables.
  let variables: Int
  /// The maps as they were last read, and which reading it was.
  private var maps: [(map: TextMap, generation: UInt64)]

  /// Lays out compiled rules.
  package init(_ code: RuleCode) {
    precondition(code.isSound, "compiled rules that cannot run")
    self.code = code
    let constants = unsafe Self.copy(code.bytes)
    let views = code.texts.map { range in
      unsafe ByteView(
        unsafeStart: UnsafeRawPointer(constants + range.lowerBound), count: range.count)
    }
    unsafe self.constants = unsafe constants
    unsafe instructions = Self.copy(code.instructions)
    unsafe texts = Self.copy(views)
    unsafe members = Self.copy(code.members.map { views[$0] })
    unsafe textSets = Self.copy(code.textSets)
    unsafe integers = Self.copy(code.integers)
    unsafe addresses = Self.copy(code.addresses)
    unsafe fields = Self.copy(
      code.fields.map { field in
        FieldName(
          name: views[field.text], known: KnownField(rawValue: field.known) ?? .other,
          overlay: field.overlay)
      })
    var hashes: [SipHash] = []
    for index in stride(from: 0, to: code.hashes.count - 1, by: 2) {
      let hash = SipHash(key: Hash128(low: code.hashes[index], high: code.hashes[index + 1]))
      hashes += [hash, hash]
    }
    unsafe self.hashes = Self.copy(hashes)
    unsafe addressSets = Self.copy(code.addressSets.map { unsafe Unmanaged.passUnretained($0) })
    unsafe patterns = Self.copy(
      code.patterns.map { unsafe Unmanaged.passUnretained($0.expression) })
    maps = code.maps.map(\.current)
    variables =
      (code.instructions.filter { $0.opcode == .move && $0.to < Registers.kept }
        .map { Int($0.to) + 1 }.max() ?? 0)
  }

  deinit {
    unsafe instructions.deallocate()
    unsafe constants.deallocate()
    unsafe texts.deallocate()
    unsafe members.deallocate()
    unsafe textSets.deallocate()
    unsafe integers.deallocate()
    unsafe addresses.deallocate()
    unsafe fields.deallocate()
    unsafe hashes.deallocate()
    unsafe addressSets.deallocate()
    unsafe patterns.deallocate()
  }

  private static func copy<Element>(_ elements: [Element]) -> UnsafeMutablePointer<Element> {
    let memory = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
    for (index, element) in elements.enumerated() {
      // Safe: there is room for as many as there are.
      unsafe (memory + index).initialize(to: element)
    }
    return unsafe memory
  }

  /// Runs the rules of the request. What they decide is in the scratch.
  package func run(_ input: borrowing RuleInput, _ scratch: RuleScratch) -> RuleOutcome {
    if !maps.isEmpty { takeOverMaps() }
    scratch.begin(input, variables: variables)
    return execute(from: 0, input, scratch)
  }

  /// Takes over maps that were read again. What was found in the former ones is not good any more, as
  /// nothing of an earlier run is.
  private func takeOverMaps() {
    for index in maps.indices where code.maps[index].generation != maps[index].generation {
      maps[index] = code.maps[index].current
    }
  }

  /// The value of a key in a map.
  func value(of key: ByteView, inMap number: Int) -> ByteView? { maps[number].map.find(key) }

  /// Whether a condition is true of the stored object of `input`. One that cannot be decided (a pattern
  /// that takes too many steps, texts that are too long) counts as true: it is there for purges.
  package func isTrue(_ input: borrowing RuleInput, _ scratch: RuleScratch) -> Bool {
    scratch.begin(input, variables: variables)
    scratch.query = input.object?.query
    switch execute(from: 0, input, scratch) {
    case .respond, .failed: return true
    case .proceed, .redirect: return false
    }
  }

  /// Runs the rules of the response; they change `responseFields`, `tags`, `logFields`, `lifetime` and
  /// `bypassesCache` of the scratch.
  ///
  /// In the turn in which the request's rules have run, with no other run between, `carried` is nil.
  /// Later it is what `carry` has saved, and the scratch then begins empty.
  package func runResponse(
    _ input: borrowing RuleInput, _ scratch: RuleScratch, carried: ByteView? = nil
  ) -> RuleOutcome {
    prepareResponse(input, scratch, carried)
    return execute(from: code.responseStart, input, scratch)
  }

  /// The same as `run`, noting what happens.
  package func explain(
    _ input: borrowing RuleInput, _ scratch: RuleScratch, _ recorder: RuleRecorder
  ) -> RuleOutcome {
    if !maps.isEmpty { takeOverMaps() }
    scratch.begin(input, variables: variables)
    recorder.steps = code.steps
    return record(from: 0, input, scratch, recorder)
  }

  /// The same as `runResponse`, noting what happens.
  package func explainResponse(
    _ input: borrowing RuleInput, _ scratch: RuleScratch, _ recorder: RuleRecorder,
    carried: ByteView? = nil
  ) -> RuleOutcome {
    prepareResponse(input, scratch, carried)
    recorder.steps = code.steps
    return record(from: code.responseStart, input, scratch, recorder)
  }

  private func prepareResponse(
    _ input: borrowing RuleInput, _ scratch: RuleScratch, _ carried: ByteView?
  ) {
    guard let carried else {
      scratch.beginPhase(input)
      return
    }
    scratch.begin(input, variables: variables)
    var offset = 0
    for variable in code.carried where carried.count - offset >= 8 {
      let word = carried.uint64(at: offset)
      offset += 8
      if !variable.isText {
        guard carried.count - offset >= 8 else { return }
        let value = RuleValue(low: word, high: carried.uint64(at: offset))
        offset += 8
        unsafe scratch.registers[Int(variable.register)] = value
      } else if word != .max, let length = Int(exactly: word), carried.count - offset >= length {
        let start = scratch.used
        guard scratch.append(carried[offset..<offset + length]) else { return }
        unsafe scratch.registers[Int(variable.register)] = RuleValue(scratch.made(since: start))
        offset += length
      }
    }
  }

  /// Saves the variables that rules of the response read, for a response that comes in a later turn.
  package func carry(_ scratch: RuleScratch, to buffer: inout ByteBuffer) {
    for variable in code.carried {
      let value = unsafe scratch.registers[Int(variable.register)]
      if !variable.isText {
        buffer.append(littleEndian: value.low)
        buffer.append(littleEndian: value.high)
      } else if value.isThere {
        buffer.append(littleEndian: UInt64(value.text.count))
        buffer.append(value.text)
      } else {
        buffer.append(littleEndian: UInt64.max)
      }
    }
  }
}

extension RuleCode {
  /// Whether every instruction keeps to what running takes for granted.
  var isSound: Bool {
    guard instructions.last?.opcode == .end, instructions.indices.contains(responseStart),
      responseStart > 0, instructions[responseStart - 1].opcode == .end
    else { return false }
    let tables: Bool =
      texts.allSatisfy { $0.upperBound <= bytes.count }
      && members.allSatisfy(texts.indices.contains)
      && textSets.allSatisfy { $0.upperBound <= members.count }
      && fields.allSatisfy { field in
        texts.indices.contains(field.text) && field.overlay < RuleScratch.overlayCount
      } && hashes.count % 2 == 0
    guard tables else { return false }
    for (place, instruction) in instructions.enumerated() {
      guard isSound(instruction, at: place) else { return false }
    }
    return true
  }

  private func isSound(_ instruction: Instruction, at place: Int) -> Bool {
    let operand = Int(instruction.operand)
    switch instruction.opcode {
    case .loadText, .appendConstant, .equalConstant, .claim, .log, .part, .partCount, .inParts,
      .replace:
      return texts.indices.contains(operand)
    case .cookie, .parameter:
      let isKept = (Registers.kept..<Registers.values).contains(Int(instruction.extra))
      return texts.indices.contains(operand) && (isKept || instruction.extra == 0)
    case .matchesGlob: return texts.indices.contains(operand)
    case .loadInteger: return integers.indices.contains(operand)
    case .loadAddress: return addresses.indices.contains(operand)
    case .field, .responseField, .answerField, .setField, .unsetField, .addField:
      return fields.indices.contains(operand)
    case .inTexts: return textSets.indices.contains(operand)
    case .negotiate:
      return textSets.indices.contains(operand) && texts.indices.contains(Int(instruction.extra))
    case .inNumbers: return numberSets.indices.contains(operand)
    case .inNetworks: return addressSets.indices.contains(operand)
    case .hasTag: return tags.indices.contains(operand)
    case .lookup: return maps.indices.contains(operand)
    case .matchesPattern, .capture: return patterns.indices.contains(operand)
    case .hash, .percent: return hashes.indices.contains(operand + 1) && instruction.extra >= 0
    case .replacePrefix: return operand < Registers.end
    case .jump, .jumpUnless, .jumpIf:
      // The response's part is not entered from the request's.
      let end = place < responseStart ? responseStart : instructions.count
      return operand > place && operand < end
    default: return true
    }
  }
}
