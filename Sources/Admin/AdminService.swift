// From a request to its answer. Which route, whether it may be asked and whether its content is welcome
// are decided from the head, in this order, so that nothing is read that would be refused:
//
//   host (421) → path (404) → method (405) → token (401, 403) → query, type and length of content
//
// Used on the loop's thread only.

internal import AccessLog
internal import Accounting
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
    let peer: AdminPeer
    /// The connection that waits, by its name in the loop.
    let connection: UInt64
    let at: Instant
  }

  /// Purges that the journal has not answered.
  var purgesUnderWay = 0
  /// Orders to warm whose answer waits for the fleet.
  var warmingsUnderWay = 0
  /// Orders for the configuration that are not carried out yet.
  var ordersUnderWay = 0
  let context: NodeContext
  private let access: AdminAccess
  let inbox: Inbox<AdminMessage>
  let configuration: (any ConfigurationControl)?
  /// Where changes are written down; nil: nowhere but in the node's log.
  let audit: AuditLog?
  /// What fetches ahead of clients; nil without a listener to ask by.
  let warming: Warming?
  private var reader: StoreReader?
  private(set) var jobs: [AdminJob] = []
  private var knownTargets: (generation: UInt64, targets: PurgeTargets)?
  let note: @Sendable (String) -> Void
  let startedAt: Instant
  /// Who is sent figures every second.
  let streams = EventStreams()
  /// What was served; nil: nothing is kept.
  let accounting: AccountingBook?
  /// Who watches the access log.
  let lines: LineStreams

  init(
    context: NodeContext, access: AdminAccess, inbox: Inbox<AdminMessage>,
    audit: AuditLog? = nil, warming: Warming? = nil, note: @escaping @Sendable (String) -> Void,
    configuration: (any ConfigurationControl)? = nil, accounting: AccountingBook? = nil
  ) {
    self.accounting = accounting
    self.warming = warming
    self.audit = audit
    self.configuration = configuration
    self.context = context
    self.access = access
    self.inbox = inbox
    self.note = note
    startedAt = context.clock.now()
    lines = LineStreams(context.liveLog)
    context.liveLog?.setAnnouncement { inbox.post(.lines) }
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
    route.caller = try access.check(request, for: route)
    route.idempotencyKeys = request.idempotencyKeys
    if route.method != .get && request.hasQuery {
      throw Problem(.unexpectedQuery, "This route takes no query; what it is to do is its content.")
    }
    if route.takesContent { try Self.checkContent(request) }
    route.query = request.query
    route.accept = request.accept
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
    case .ready:
      guard context.switches.isDrained else { return .text("ready\n") }
      var response = AdminResponse.text("drained\n")
      response.status = 503
      return response
    case .drain, .switches:
      do throws(Problem) {
        return try route.action == .drain ? drain(route, asked) : changeSwitches(route, asked)
      } catch {
        return error.response
      }
    case .metrics:
      let format = MetricsFormat(accept: route.accept)
      return AdminResponse(
        contentType: format.contentType, content: context.metrics.prometheus(format))
    case .status:
      return .json(
        StatusReport.text(context, context.current, startedAt: startedAt, now: asked.at))
    case .events: return beginEvents(at: asked.at)
    case .dashboard: return DashboardPage.response
    case .origins: return .json(OriginsReport.text(context, now: asked.at))
    case .server:
      do throws(Problem) {
        return .json(try perform(asked, route))
      } catch {
        return error.response
      }
    case .purge, .purges, .purgeRecord, .objects, .misses, .hits, .warm, .warming:
      do throws(Problem) {
        return try answerOfStore(route, asked)
      } catch {
        return error.response
      }
    case .limits: return showLimits()
    case .fleet:
      do throws(Problem) {
        return try showFleet(asked)
      } catch {
        return error.response
      }
    case .record:
      do throws(Problem) {
        return try showRecords(route, asked)
      } catch {
        return error.response
      }
    case .accounting:
      do throws(Problem) {
        return try beginAccounting(route, asked)
      } catch {
        return error.response
      }
    case .lines:
      do throws(Problem) {
        return try beginLines(route)
      } catch {
        return error.response
      }
    case .configuration, .compareConfiguration, .reload, .rollback, .applyConfiguration,
      .confirmConfiguration, .configurationHistory, .restoreConfiguration:
      do throws(Problem) {
        return try answerOfConfiguration(route, asked)
      } catch {
        return error.response
      }
    case .upgrade: return upgrade(asked)
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
  ) throws(Problem) -> AdminResponse? {
    switch route.action {
    case .changeLimit: try changeLimit(route, asked)
    case .limitKeys: try showKeys(route, asked)
    case .forgive: try forgive(route, asked)
    default: try showLimit(route)
    }
  }

  // MARK: Servers

  /// Does what an operator says to a server; in force for all workers when it returns.
  private func perform(_ asked: Asked, _ route: AdminRoute) throws(Problem) -> JSONText {
    let names = route.arguments
    let command = try ServerOrder.read(asked.content)
    guard names.count == 2,
      let pool = context.current.pools.first(where: { $0.settings.name == names[0] }),
      pool.perform(command, on: names[1], now: asked.at.monotonic)
    else {
      throw Problem(.noServer, "There is no such server: see GET /v1/origins for those there are.")
    }
    note(
      "origin \(names[0]): server \(names[1]) was \(command.text) by \(route.caller.name) (\(asked.peer))"
    )
    write(
      "server", route, asked,
      [
        ("origin", .string(names[0])), ("server", .string(names[1])),
        ("command", .string(command.text)),
      ])
    return .object([
      ("origin", .string(names[0])), ("server", .string(names[1])),
      ("state", .string(state(of: names[1], in: pool, at: asked.at))),
    ])
  }

  private func state(of server: String, in pool: OriginPool, at now: Instant) -> String {
    let report = pool.report(now: now.monotonic).servers.first { $0.name == server }
    return report?.condition.rawValue ?? ""
  }

  // MARK: The store

  private func answerOfStore(
    _ route: AdminRoute, _ asked: Asked
  ) throws(Problem) -> AdminResponse? {
    switch route.action {
    case .purges: try showPurges(route)
    case .purgeRecord: try showPurge(route)
    case .objects: try showObjects(route, asked)
    case .misses: try showMisses(route, asked)
    case .hits: try showHits(route, asked)
    case .warm: try warm(route, asked)
    case .warming: try showWarming(route, asked)
    default: try purge(route, asked)
    }
  }

  /// What purges ask of the configuration in force.
  var targets: PurgeTargets {
    let current = context.current
    if let known = knownTargets, known.generation == current.number { return known.targets }
    let targets = PurgeTargets(current.configuration)
    knownTargets = (current.number, targets)
    return targets
  }

  /// A way to read the store, made when it is first needed.
  func requireReader() throws(Problem) -> StoreReader {
    if let reader { return reader }
    let store = try requireStore()
    do throws(StoreError) {
      let made = try store.makeReader()
      reader = made
      return made
    } catch {
      throw Problem(.noStore, "The store cannot be read: \(error.reason)")
    }
  }

  /// Lets go of the store.
  func close() {
    jobs = []
    reader = nil
  }

  /// Writes a change into the audit log.
  func write(
    _ action: String, _ route: AdminRoute, _ asked: Asked,
    _ details: [(name: String, value: JSONText)]
  ) {
    audit?.write(
      AuditEntry(action: action, caller: route.caller, peer: asked.peer, details: details)
        .line(at: asked.at.wall))
  }

  // MARK: Jobs

  /// Has `step` called once in each turn until it gives an answer, which the connection then gets. A step
  /// takes a few milliseconds at most.
  func begin(_ connection: UInt64, _ step: @escaping () -> AdminResponse?) {
    jobs.append(AdminJob(connection: connection, step: step))
  }

  /// Takes every job a step further; the answers of those that are done. Jobs for connections that
  /// `isOpen` denies are dropped.
  func stepJobs(isOpen: (UInt64) -> Bool) -> [(connection: UInt64, response: AdminResponse)] {
    var done: [(UInt64, AdminResponse)] = []
    jobs.removeAll { job in
      guard isOpen(job.connection) else { return true }
      guard let response = job.step() else { return false }
      done.append((job.connection, response))
      return true
    }
    return done
  }
}

/// Something that takes longer than a turn of the loop may.
struct AdminJob {
  /// The connection that waits, by its name in the loop.
  let connection: UInt64
  let step: () -> AdminResponse?
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
