// The configuration: what is in force, how the file differs, reloading and going back.

internal import Configuration
internal import Edge
internal import EventLoop
internal import HTTPMessage

extension AdminService {
  /// Answers a route of the configuration; nil: the answer comes later.
  func answerOfConfiguration(
    _ route: AdminRoute, _ asked: Asked
  ) throws(Problem) -> AdminResponse? {
    guard let configuration, let inForce = configuration.inForce else {
      throw Problem(.noConfigurationFile, "The node was started without a configuration file.")
    }
    let order: ConfigurationOrder
    var name = ""
    switch route.action {
    case .reload: (order, name) = (.reload, "reload")
    case .rollback: (order, name) = (.rollback, "rollback")
    case .compareConfiguration: order = .compare
    case .applyConfiguration:
      order = try ApplyOrder.read(asked.content)
      if case .apply = order { name = "apply" }
    case .confirmConfiguration: (order, name) = (.confirm, "confirm")
    case .restoreConfiguration:
      guard let generation = route.arguments.first.flatMap({ UInt64($0) }) else {
        throw Problem(.notFound, "A generation is a number, as GET /v1/config/history has them.")
      }
      (order, name) = (.restore(generation), "restore")
    case .configurationHistory: return .json(ConfigurationReport.history(inForce))
    default: return .json(ConfigurationReport.text(inForce))
    }
    if !name.isEmpty {
      note("configuration: \(route.path) by \(route.caller.name) (\(asked.peer))")
      write("config", route, asked, [("order", .string(name))])
    }
    ordersUnderWay += 1
    configuration.perform(order) { [inbox] answer in
      inbox.post(.configured(answer, connection: asked.connection))
    }
    return nil
  }

  /// Asks for a successor. The answer is that it was asked for: by whom the next is answered shows whether
  /// it came.
  func upgrade(_ asked: Asked) -> AdminResponse {
    guard configuration?.upgrade() == true else {
      return Problem(.noSupervisor, "The node runs without a supervisor: weir run starts one.")
        .response
    }
    note("upgrade: asked for by \(asked.peer)")
    var response = AdminResponse.json(.object([("started", .bool(true))]))
    response.status = 202
    return response
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
      ("confirm_by_seconds", time(inForce.confirmBy)),
    ])
  }

  /// What a reload has come to.
  static func text(_ report: ReloadReport) -> JSONText {
    .object([
      ("generation", .number(report.generation)),
      ("needs_restart", .array(report.needsRestart.map { .string($0) })),
      ("warnings", list(report.warnings)), ("notes", .array(report.notes.map { .string($0) })),
      ("confirm_by_seconds", time(report.confirmBy)),
    ])
  }

  private static func time(_ wall: Int64?) -> JSONText {
    wall.map { .thousandths(UInt64(clamping: $0)) } ?? .null
  }

  /// What was in force.
  static func history(_ inForce: ConfigurationInForce) -> JSONText {
    .object([
      (
        "history",
        .array(
          inForce.history.map { entry in
            .object([
              ("generation", .number(entry.generation)),
              ("since_seconds", .thousandths(UInt64(clamping: entry.since))),
              ("source", .string(entry.source.rawValue)),
            ])
          })
      )
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

/// `{"text": "…", "confirm_within": 60, "if_generation": 3, "dry_run": false}`
enum ApplyOrder {
  /// The order of a content. A member that is not known is refused.
  static func read(_ content: [UInt8]) throws(Problem) -> ConfigurationOrder {
    var text: [UInt8]?
    var within: Int64?
    var generation: UInt64?
    var isDry = false
    for member in try members(of: content) {
      switch (member.name, member.value) {
      case ("text", .string(let value)): text = Array(value.utf8)
      case ("dry_run", .bool(let value)): isDry = value
      case ("if_generation", .number(let value)) where UInt64(value) != nil:
        generation = UInt64(value)
      case ("confirm_within", .number(let value)):
        guard let seconds = Int64(value), 1...86_400 ~= seconds else {
          throw Problem(
            .invalidOrder, "\"confirm_within\" is a number of seconds, from 1 to 86400.")
        }
        within = seconds * 1_000_000_000
      default:
        throw Problem(
          .invalidOrder, "\"\(member.name)\" is not a member of this order, or of a wrong type.")
      }
    }
    guard let text else { throw Problem(.invalidOrder, "The configuration stands in \"text\".") }
    return isDry
      ? .compareText(text) : .apply(text, ifGeneration: generation, confirmWithin: within)
  }

  static func members(of content: [UInt8]) throws(Problem) -> [JSON.Member] {
    do throws(JSONDefect) {
      if case .object(let members) = try JSONReader.read(content) { return members }
    } catch {
      throw Problem(
        .invalidJSON,
        "The content is not JSON: line \(error.line), column \(error.column): \(error.text).")
    }
    throw Problem(.invalidOrder, "The content must be an object.")
  }
}
