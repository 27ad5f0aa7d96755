internal import Bytes

/// What happened in a run, for people: each condition with its value and what it looked at, each action
/// with what came of it.
package final class RuleRecorder {
  /// Something that happened.
  package struct Event: Equatable, Sendable {
    /// What kind of thing.
    package enum Kind: Equatable, Sendable {
      /// A condition was decided.
      case condition(isTrue: Bool)
      /// A rule did something.
      case action
    }
    /// What happened.
    package var kind: Kind
    /// The line in the file, from 1.
    package var line: Int
    /// As it stands in the file.
    package var text: String
    /// The value of an action; nil if it has none.
    package var value: String?
    /// What a condition looked at, in order: `path`, `"/ja/"`.
    package var operands: [Operand] = []
  }

  /// A value that a condition looked at.
  package struct Operand: Equatable, Sendable {
    /// As it stands in the file.
    package var text: String
    /// Its value, as it would be written; `nothing` for a text that is not there.
    package var value: String
  }

  /// What happened, in order.
  package private(set) var events: [Event] = []
  private var operands: [Operand] = []
  private var byPlace: [Int: [RuleStep]] = [:]

  var steps: [RuleStep] = [] {
    didSet { byPlace = Dictionary(grouping: steps, by: \.place) }
  }

  /// An empty record.
  package init() {}

  /// Notes what is about to happen.
  func note(_ place: Int, _ scratch: RuleScratch) {
    for step in byPlace[place] ?? [] {
      let value = unsafe scratch.registers[Int(step.register)]
      switch step.kind {
      case .operand:
        operands.append(Operand(text: step.text, value: Self.text(value, step.type)))
      case .condition:
        events.append(
          Event(
            kind: .condition(isTrue: value.isTrue), line: step.line, text: step.text,
            operands: operands))
        operands = []
      case .action(let hasValue):
        let shown = hasValue ? Self.text(value, step.type) : nil
        events.append(Event(kind: .action, line: step.line, text: step.text, value: shown))
        operands = []
      }
    }
  }

  private static func text(_ value: RuleValue, _ type: RuleType) -> String {
    switch type {
    case .text: return value.isThere ? shown(value.text.string) : "nothing"
    case .integer: return "\(value.integer)"
    case .boolean: return value.isTrue ? "true" : "false"
    case .duration: return "\(value.integer / 1_000_000)ms"
    case .address:
      var buffer = ByteBuffer()
      value.address.append(to: &buffer)
      return buffer.view.string
    case .network, .pattern, .parts, .list: return ""
    }
  }

  /// The record as lines of text for a terminal.
  package var rendered: String {
    var text = ""
    for event in events {
      let number = String(event.line)
      let margin = String(repeating: " ", count: max(0, 5 - number.count))
      switch event.kind {
      case .condition(let isTrue):
        text += "\(margin)\(number) | when \(event.text): \(isTrue ? "yes" : "no")\n"
        for operand in event.operands {
          text += "      |   \(operand.text) is \(operand.value)\n"
        }
      case .action:
        text += "\(margin)\(number) | \(event.text)"
        if let value = event.value { text += "  -> \(value)" }
        text += "\n"
      }
    }
    return text
  }
}
