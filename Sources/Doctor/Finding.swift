// What a node needs of its machine, looked at before or while it runs. Each check is a function from facts
// to findings, so that tests give it facts of their own; `Checkup` has the order, and where the facts are.

internal import Configuration

/// What a check has found.
package struct CheckFinding: Sendable, Equatable {
  /// How it stands.
  package enum State: String, Sendable, CaseIterable {
    /// As it should be.
    case ok
    /// The node runs, and less well or less safely than it could.
    case warning
    /// The node does not run, or does not serve.
    case error
  }

  /// How it stands.
  package var state: State
  /// What was looked at, in a word or two.
  package var subject: String
  /// What was found.
  package var text: String
  /// What to do; nil where all is well.
  package var advice: String?

  /// A finding.
  package init(_ state: State, _ subject: String, _ text: String, advice: String? = nil) {
    self.state = state
    self.subject = subject
    self.text = text
    self.advice = advice
  }
}

extension CheckFinding {
  /// Findings as lines for a terminal.
  package static func text(_ findings: [CheckFinding]) -> String {
    let width = findings.map(\.subject.count).max() ?? 0
    var text = ""
    for finding in findings {
      let mark =
        switch finding.state {
        case .ok: "ok      "
        case .warning: "warning "
        case .error: "ERROR   "
        }
      let gap = String(repeating: " ", count: width - finding.subject.count + 2)
      text += "\(mark) \(finding.subject)\(gap)\(finding.text)\n"
      if let advice = finding.advice {
        text += String(repeating: " ", count: 9 + width + 2) + "→ \(advice)\n"
      }
    }
    return text
  }

  /// Findings as a JSON array of objects.
  package static func json(_ findings: [CheckFinding]) -> String {
    JSONText.array(
      findings.map { finding in
        JSONText.object([
          ("state", JSONText.string(finding.state.rawValue)),
          ("subject", JSONText.string(finding.subject)),
          ("text", JSONText.string(finding.text)),
          ("advice", finding.advice.map(JSONText.string)),
        ])
      })
  }
}
