// From a request to its answer. Which route, whether it may be asked and whether its content is welcome
// are decided from the head, in this order, so that nothing is read that would be refused:
//
//   host (421) → path (404) → method (405) → token (401, 403) → query, type and length of content
//
// Used on the loop's thread only.

internal import Bytes
internal import Edge
internal import EventLoop
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Origins

final class AdminService {
  /// What a handler knows of a request besides its route.
  struct Asked {
    let path: String
    let content: [UInt8]
    let peer: SocketAddress
    /// The connection that waits, by its name in the loop.
    let connection: UInt64
    let at: Instant
  }

  /// Purges that the journal has not answered.
  private(set) var purgesUnderWay = 0
  /// Orders for the configuration that are not carried out yet.
  var ordersUnderWay = 0
  let context: NodeContext
  private let access: AdminAccess
  let inbox: Inbox<AdminMessage>
  let configuration: (any ConfigurationControl)?
  let note: @Sendable (String) -> Void
  private let startedAt: Instant

  init(
    context: NodeContext, access: AdminAccess, inbox: Inbox<AdminMessage>,
    note: @escaping @Sendable (String) -> Void, configuration: (any ConfigurationControl)? = nil
  ) {
    self.configuration = configuration
    self.context = context
    self.access = access
    self.inbox = inbox
    self.note = note
    startedAt = context.clock.now()
  }

  /// The route that a request is for; throws why it is refused.
  func route(of request: AdminRequest) throws(Problem) -> AdminRoute {
    try access.checkHost(request)
    let onPath = AdminRoute.all.compactMap { $0.matching(request.path) }
    guard !onPath.isEmpty else {
      var paths: [String] = []
      for path in AdminRoute.all.map(\.path) where !paths.contains(path) { paths.append(path) }
      throw Problem(.notFound, "No such path. There are \(paths.joined(separator: ", ")).")
    }
    guard var route = onPath.first(where: { $0.takes(request.method) }) else {
      throw Self.methodNotAllowed(onPath)
    }
    try access.check(request, for: route.access)
    if route.method != .get && request.hasQuery {
      throw Problem(.unexpectedQuery, "This route takes no query; what it is to do is its content.")
    }
    if route.takesContent { try Self.checkContent(request) }
    route.query = request.query
    return route
  }

  private static func methodNotAllowed(_ routes: [AdminRoute]) -> Problem {
    let allowed = routes.map { $0.method == .get ? "GET, HEAD" : $0.method.rawValue }
      .joined(separator: ", ")
    var problem = Problem(.methodNotAllowed, "This path has \(allowed).")
    problem.fields = [("allow", allowed)]
    return problem
  }

  private static func checkContent(_ request: AdminRequest) throws(Problem) {
    let mediaType = (request.contentType ?? "").prefix { $0 != ";" }.lowercased()
    guard mediaType.filter({ $0 != " " && $0 != "\t" }) == "application/json" else {
      throw Problem(.notJSON, "Content-Type must be application/json.")
    }
    switch request.framing {
    case .none, .untilClose:
      throw Problem(.lengthRequired, "The content must have a Content-Length or come in chunks.")
    case .length(let length):
      guard length <= UInt64(ContentReader.maxContent) else { throw Problem.contentTooLarge }
    case .chunked: break
    }
  }

  /// The answer to a request; nil if it comes later, by a message to the loop.
  func answer(_ route: AdminRoute, _ asked: Asked) -> AdminResponse? {
    switch route.action {
    case .health: return .text("ok\n")
    case .metrics:
      return AdminResponse(
        contentType: "\(MetricsRegistry.contentType)", content: context.metrics.prometheus())
    case .status: return .json(StatusReport.text(context, startedAt: startedAt, now: asked.at))
    case .origins: return .json(OriginsReport.text(context, now: asked.at))
    case .server:
      do throws(Problem) {
        return .json(try perform(asked, route.arguments))
      } catch {
        return error.response
      }
    case .purge:
      do throws(Problem) {
        try purge(asked)
        return nil
      } catch {
        return error.response
      }
    case .limits: return showLimits()
    case .record:
      do throws(Problem) {
        return try showRecords(route, asked)
      } catch {
        return error.response
      }
    case .configuration, .compareConfiguration, .reload, .rollback:
      return answerOfConfiguration(route, asked)
    case .limit, .changeLimit, .limitKeys, .forgive:
      do throws(Problem) {
        return try answerOfLimit(route, asked)
      } catch {
        return error.response
      }
    }
  }

  private func answerOfLimit(
    _ route: AdminRoute, _ asked: Asked
  ) throws(Problem) -> AdminResponse {
    switch route.action {
    case .changeLimit: try changeLimit(route, asked)
    case .limitKeys: try showKeys(route, asked)
    case .forgive: try forgive(route, asked)
    default: try showLimit(route)
    }
  }

  // MARK: Servers

  /// Does what an operator says to a server; in force for all workers when it returns.
  private func perform(_ asked: Asked, _ names: [String]) throws(Problem) -> JSONText {
    let command = try ServerOrder.read(asked.content)
    guard names.count == 2,
      let pool = context.current.pools.first(where: { $0.settings.name == names[0] }),
      pool.perform(command, on: names[1], now: asked.at.monotonic)
    else {
      throw Problem(.noServer, "There is no such server: see GET /v1/origins for those there are.")
    }
    note("origin \(names[0]): server \(names[1]) was \(command.text) by \(asked.peer)")
    return .object([
      ("origin", .string(names[0])), ("server", .string(names[1])),
      ("state", .string(state(of: names[1], in: pool, at: asked.at))),
    ])
  }

  private func state(of server: String, in pool: OriginPool, at now: Instant) -> String {
    let report = pool.report(now: now.monotonic).servers.first { $0.name == server }
    return report?.condition.rawValue ?? ""
  }

  // MARK: Purges

  /// Hands a purge to the store.
  private func purge(_ asked: Asked) throws(Problem) {
    let purge = Purge(
      tags: try PurgeOrder.read(asked.content), peer: asked.peer, connection: asked.connection,
      beganAt: asked.at.monotonic)
    guard let store = context.store else {
      throw Problem(.noStore, "The node runs without a store, so there is nothing to purge.")
    }
    purgesUnderWay += 1
    let hashes = purge.tags.map { $0.withView { store.tagHash($0) } }
    let inbox = inbox
    store.purge(tags: hashes) { inbox.post(.purged(purge, $0)) }
  }

  /// The answer to a purge that the journal is done with; writes the audit line.
  func finish(_ purge: Purge, _ outcome: PurgeOutcome, at now: Instant) -> AdminResponse {
    purgesUnderWay -= 1
    note(purge.auditLine(outcome, at: now))
    switch outcome {
    case .success(let result): return .json(purge.answer(result, at: now))
    case .failure(let error):
      return Problem(.purgeFailed, "The purge could not be written to disk: \(error.reason)")
        .response
    }
  }
}

extension AdminRoute {
  /// Whether it answers a method; GET comes with HEAD (RFC 9110 §9.3.2).
  fileprivate func takes(_ asked: HTTPMessage.Method) -> Bool {
    switch method {
    case .get: asked == .get || asked == .head
    case .post: asked == .post
    case .patch: asked == .patch
    case .delete: asked == .delete
    }
  }
}
