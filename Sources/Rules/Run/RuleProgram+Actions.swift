// Texts that are made, and actions: what the evaluator does less often.

internal import Bytes
internal import GeoDatabase
internal import HTTPMessage

extension RuleProgram {
  /// The text that a function makes; nil if there is no room.
  @inline(never)
  func make(_ step: Instruction, _ scratch: RuleScratch) -> RuleValue? {
    let value = unsafe scratch.registers[Int(step.left)]
    let start = scratch.used
    let isMade: Bool
    switch step.opcode {
    case .lower:
      guard RuleText.hasUppercase(value.text) else { return value }
      isMade = scratch.append(value.text, each: ASCII.lowercase)
    case .upper:
      isMade = scratch.append(value.text) { $0 &- 0x61 < 26 ? $0 & ~0x20 : $0 }
    case .replace:
      let with = unsafe scratch.registers[Int(step.right)].text
      isMade = unsafe scratch.appendReplacing(value.text, texts[Int(step.operand)], with)
    case .replacePrefix:
      let prefix = unsafe scratch.registers[Int(step.right)].text
      guard value.text.starts(with: prefix) else { return value }
      let rest = value.text.dropping(first: prefix.count)
      guard step.operand >= 0 else { return RuleValue(rest) }
      isMade =
        unsafe scratch.append(scratch.registers[Int(step.operand)].text) && scratch.append(rest)
    case .urlDecode:
      guard value.text.firstIndex(of: 0x25) != nil else { return value }
      isMade = scratch.appendDecoded(value.text, plusIsSpace: false)
    case .urlEncode:
      guard let text = scratch.encoded(value.text, .component) else { return nil }
      return RuleValue(text)
    case .base64Decode:
      guard let decoded = scratch.appendBase64(value.text) else { return nil }
      if !decoded { return .nothing }
      isMade = true
    case .integerToText:
      scratch.digits.removeAll()
      scratch.digits.append(decimal: Int(value.integer))
      isMade = scratch.append(scratch.digits.view)
    case .addressToText:
      scratch.digits.removeAll()
      value.address.append(to: &scratch.digits)
      isMade = scratch.append(scratch.digits.view)
    default: return RuleValue(value.isTrue ? ByteView("true") : ByteView("false"))
    }
    return isMade ? RuleValue(scratch.made(since: start)) : nil
  }

  /// Carries out an action; why not, if it cannot be.
  @inline(never)
  func act(
    _ step: Instruction, _ scratch: RuleScratch, _ place: Int, _ input: borrowing RuleInput
  ) -> RuleFailure? {
    let operand = Int(step.operand)
    let value = unsafe scratch.registers[Int(step.left)]
    var isDone = true
    switch step.opcode {
    case .setField, .unsetField, .addField, .answerField:
      return edit(step, value.text, scratch, isResponse: place >= code.responseStart, input)
    case .rewritePath:
      guard let path = scratch.encoded(value.text, .path) else { return .tooLarge }
      guard RuleText.isPath(path) else { return .badPath }
      scratch.path = path
      scratch.isRewritten = true
      scratch.hasNewPath = true
    case .rewriteQuery:
      guard let query = scratch.encoded(value.text, .query) else { return .tooLarge }
      scratch.query = query.isEmpty ? nil : query
      scratch.isRewritten = true
      scratch.filled = 0
    case .origin: scratch.origin = operand
    case .limit: isDone = scratch.choose(limit: operand, cost: nil)
    case .limitWithCost:
      isDone = scratch.choose(
        limit: operand, cost: UInt64(min(max(value.integer, 0), RuleLimit.greatestCost)))
    case .cacheBypass: scratch.bypassesCache = true
    case .cacheTTL: scratch.lifetime = max(0, value.integer)
    case .cacheKey: scratch.cacheKey = value.text
    case .varyBy: isDone = scratch.varyBy.append(value.text)
    case .tag: isDone = value.text.isEmpty || scratch.tags.append(value.text)
    case .log:
      isDone = unsafe scratch.logFields.append(
        RuleLogField(name: texts[operand], value: value.text))
    default: break
    }
    return isDone ? nil : .tooLarge
  }

  private func edit(
    _ step: Instruction, _ text: ByteView, _ scratch: RuleScratch, isResponse: Bool,
    _ input: borrowing RuleInput
  ) -> RuleFailure? {
    let field = unsafe fields[Int(step.operand)]
    var edit = RuleEdit(kind: .set, known: field.known, name: field.name, value: ByteView())
    var isAnswer = false
    switch step.opcode {
    case .unsetField: edit.kind = .unset
    case .addField: edit.kind = .add
    case .answerField:
      edit.kind = .add
      isAnswer = true
    default: break
    }
    if edit.kind != .unset {
      edit.value = text.trimmingWhitespace
      guard RuleText.isFieldValue(edit.value) else { return .badField }
    }
    let isDone =
      isResponse || isAnswer
      ? scratch.responseFields.append(edit) : scratch.requestFields.append(edit)
    guard isDone else { return .tooLarge }
    guard field.overlay >= 0, !isAnswer else { return nil }
    return overlay(field, edit, scratch, isResponse: isResponse, input)
  }

  /// Notes what a field is now, for rules that read it.
  private func overlay(
    _ field: FieldName, _ edit: RuleEdit, _ scratch: RuleScratch, isResponse: Bool,
    _ input: borrowing RuleInput
  ) -> RuleFailure? {
    var overlay = Overlay(state: .replaced, value: RuleValue(edit.value))
    switch edit.kind {
    case .set: break
    case .unset: overlay = Overlay(state: .removed, value: .nothing)
    case .add:
      let before =
        isResponse
        ? responseFieldValue(field, input, scratch) : fieldValue(field, input.head, scratch)
      guard let before else { return .tooLarge }
      if before.isThere {
        let start = scratch.used
        guard scratch.append(before.text), scratch.append(ByteView(", ")),
          scratch.append(edit.value)
        else { return .tooLarge }
        overlay.value = RuleValue(scratch.made(since: start))
      }
    }
    scratch.hasOverlays = true
    unsafe scratch.overlays[field.overlay] = overlay
    return nil
  }
}

extension RuleScratch {
  /// The database, once it has been asked for the client's address.
  func located(_ input: borrowing RuleInput) -> GeoDatabase? {
    guard let geo else { return nil }
    if !hasPlace {
      place = geo.find(high: input.clientHigh, low: input.clientLow)
      hasPlace = true
    }
    return geo
  }
}
