// The configuration: what is in force, how the file differs, reloading and going back.

internal import Configuration
internal import EventLoop
internal import HTTPMessage

extension AdminService {
  /// Answers a route of the configuration; nil: the answer comes later.
  func answerOfConfiguration(_ route: AdminRoute, _ asked: Asked) -> AdminResponse? {
    guard let configuration, let inForce = configuration.inForce else {
      return Problem(.noConfigurationFile, "The node was started without a configuration file.")
        .response
    }
    let order: ConfigurationOrder
    switch route.action {
    case .reload: order = .reload
    case .rollback: order = .rollback
    case .compareConfiguration: order = .compare
    default: return .json(ConfigurationReport.text(inForce))
    }
    if order != .compare { note("configuration: \(route.path) by \(asked.peer)") }
    ordersUnderWay += 1
    configuration.perform(order) { [inbox] answer in
      inbox.post(.configured(answer, connection: asked.connection))
    }
    return nil
  }

  /// The answer to an order that the node has carried out, or not.
  func finish(_ answer: ConfigurationAnswer) -> AdminResponse {
    ordersUnderWay -= 1
    switch answer {
    case .inForce(let report): return .json(ConfigurationReport.text(report))
    case .compared(let difference): return .json(ConfigurationReport.text(difference))
    case .refused(let refusal):
      var problem = Problem(.configurationRefused, refusal.reason + ".")
      problem.members = [("diagnostics", ConfigurationReport.list(refusal.diagnostics))]
      return problem.response
    }
  }
}

/// How the answers look. Members are only ever added.
enum ConfigurationReport {
  /// What is in force.
  static func text(_ inForce: ConfigurationInForce) -> JSONText {
    .object([
      ("file", .string(inForce.file)), ("generation", .number(inForce.generation)),
      ("since_seconds", .thousandths(UInt64(clamping: inForce.since))),
      ("live_generations", .number(UInt64(clamping: inForce.liveGenerations))),
      ("can_roll_back", .bool(inForce.hasFormer)), ("text", .string(inForce.text)),
    ])
  }

  /// What a reload has come to.
  static func text(_ report: ReloadReport) -> JSONText {
    .object([
      ("generation", .number(report.generation)),
      ("needs_restart", .array(report.needsRestart.map { .string($0) })),
      ("warnings", list(report.warnings)), ("notes", .array(report.notes.map { .string($0) })),
    ])
  }

  /// How the file differs.
  static func text(_ difference: ConfigurationDifference) -> JSONText {
    .object([
      ("file", .string(difference.file)), ("changed", .bool(difference.isChanged)),
      ("diff", .string(difference.lines)),
      ("needs_restart", .array(difference.needsRestart.map { .string($0) })),
      (
        "limits",
        .array(
          difference.limits.map {
            .object([("name", .string($0.name)), ("in_force", .string($0.change))])
          })
      ),
      ("diagnostics", list(difference.diagnostics)),
    ])
  }

  /// Errors and warnings.
  static func list(_ diagnostics: [Diagnostic]) -> JSONText {
    .array(
      diagnostics.map { diagnostic in
        .object([
          ("severity", .string(diagnostic.severity.rawValue)), ("file", .string(diagnostic.file)),
          ("line", .number(UInt64(clamping: diagnostic.line))),
          ("column", .number(UInt64(clamping: diagnostic.column))),
          ("message", .string(diagnostic.message)),
        ])
      })
  }
}
