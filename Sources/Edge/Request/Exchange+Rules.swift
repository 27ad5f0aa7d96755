// A route's rules on a request's way:
//
//   admission → rules → limits → lookup → …            Exchange+Admission.swift has the first step
//                 │                     └─ every head that goes to the client passes `sendHead` here
//                 └─ respond, redirect, a failure: answered
//
// What rules make of the request (path, query, fields) becomes a head of its own, which then is the
// request: keys, Vary, conditions, limits and the origin see nothing else. The client's is kept for the
// log and for the rules of the response.
//
// Two requests that rules gave different fields never share a stored response, whatever the origin says
// of Vary: the changes are part of the key, unless a rule has said what the key is (`cache key`). An
// origin that is told who asks, and forgets to say so, would else answer the next one with it.
//
// Routes without rules pay a test of one flag.

internal import AccessLog
internal import Authentication
internal import Bytes
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Rules

/// What rules and authentication know of a request. Empty for routes that have neither.
struct RuledRequest {
  /// Whether the rules have run, and what they decided is in the scratch or in `decision`.
  var hasRun = false
  /// Whether the request's head is another than the client's.
  var isEdited = false
  /// How many of its last lines are the rules'.
  var ownLines = 0
  /// The client's head, once the request must wait.
  var clientHead: RequestHead?
  /// What was decided, once the request must wait.
  var decision: RuleDecision?
  /// Who asks.
  var identity = Identity.none
  /// What is waited for before the request may go on.
  var pending: PendingAdmission?
  /// The password that is being checked.
  var job: PasswordJob?
  /// Whether the response is for who asks, and shared only if the origin permits it (RFC 9111 §3.5).
  var isRestricted = false
  /// The question to a service that is waited for.
  var question: ServiceQuestion?
  /// Whether it is this request's own, and whether it may only be that.
  var isAsker = false
  var asksAlone = false
  /// Lines that a service has put into the request, which are part of the key, and lines for the
  /// response.
  var keyLines: [UInt8] = []
  var responseLines: [UInt8] = []
  /// Where the request came from.
  var client = RuleClient()
  /// Whether the response goes out as it is, because its rules have failed.
  var skipsResponseRules = false
}

extension Exchange {
  // MARK: The request

  /// Runs the route's rules. False: the request is answered.
  func passesRules(on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    guard generation.routes.routes[route].hasRules, let program = generation.routes.programs[route]
    else {
      return true
    }
    isRuled = true
    ruled.client = ruleClient(connection)
    let room = worker.rules
    let head = head(worker)
    let input = ruleInput(head, ruled.client, room, worker)
    let outcome =
      if let explanation = trace?.explanation {
        program.explain(input, room.scratch, explanation.rules)
      } else {
        program.run(input, room.scratch)
      }
    ruled.hasRun = true
    switch outcome {
    case .proceed: return applyEdits(head, room, on: connection)
    case .respond: answerByRules(location: nil, on: connection)
    case .redirect: answerByRules(location: room.scratch.location, on: connection)
    case .failed(let failure): failRules(failure, on: connection)
    }
    return false
  }

  /// Answers a preflight request (a browser's, which carries no credentials) as the route's rules do
  /// without knowing who asks; false if they do not, or if they would show something.
  func answersPreflight(on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    let head = head(worker)
    guard head.value(.origin) != nil, head.hasField("access-control-request-method"),
      let program = generation.routes.programs[route]
    else { return false }
    let room = worker.rules
    let input = Self.input(head, ruled.client, room, now: worker.now.wall / 1000)
    guard program.run(input, room.scratch) == .respond, room.scratch.body.isEmpty else {
      return false
    }
    ruled.hasRun = true
    answerByRules(location: nil, on: connection)
    return true
  }

  private func applyEdits(
    _ head: RequestHead, _ room: RuleRoom, on connection: some ClientStream
  ) -> Bool {
    let scratch = room.scratch
    if scratch.requestFields.count == 0 && !scratch.isRewritten { return true }
    var change = HeadChange()
    change.isByRules = true
    guard edit(change, head, connection.worker) else {
      failRules(.badPath, on: connection)
      return false
    }
    return true
  }

  /// Makes a changed head the request's; false if it would be none.
  func edit(_ change: HeadChange, _ head: RequestHead, _ worker: Worker) -> Bool {
    guard worker.rules.change(head, change, ownLines: ruled.ownLines) else { return false }
    isRuled = true
    if ownHead != nil {
      // It waits already: its heads are its own.
      if ruled.clientHead == nil { ruled.clientHead = ownHead }
      ownHead = worker.rules.takeHead()
    }
    ruled.isEdited = true
    ruled.ownLines = worker.rules.ownLines
    return true
  }

  /// What rules are told of the request.
  func ruleInput(
    _ head: RequestHead, _ client: RuleClient, _ room: RuleRoom, _ worker: Worker
  ) -> RuleInput {
    Self.ruleInput(head, client, ruled.identity, room, worker)
  }

  static func ruleInput(
    _ head: RequestHead, _ client: RuleClient, _ identity: Identity, _ room: RuleRoom,
    _ worker: Worker
  ) -> RuleInput {
    var input = input(head, client, room, now: worker.now.wall / 1000)
    identity.describe(to: &input, room)
    return input
  }

  /// The same of a request that nobody is known of.
  static func input(
    _ head: RequestHead, _ client: RuleClient, _ room: RuleRoom, now: Int64
  ) -> RuleInput {
    room.host.removeAll()
    RequestTarget.appendHost(head.bytes[head.authority], to: &room.host)
    var path = head.bytes[head.path]
    if !RequestTarget.shape(of: path).isPlain {
      room.path.removeAll()
      RequestTarget.appendPlain(path, to: &room.path)
      path = room.path.view
    }
    var input = RuleInput(head: head, host: room.host.view, path: path)
    input.clientHigh = client.high
    input.clientLow = client.low
    input.clientPort = client.port
    input.listenerPort = client.listenerPort
    if let facts = client.facts {
      input.isSecure = true
      input.tls = facts.forRules
    }
    input.now = now
    return input
  }

  /// Whom the request is from, for all that is said of clients here.
  func askedFrom(_ connection: some ClientStream) -> SocketAddress { client }

  func ruleClient(_ connection: some ClientStream) -> RuleClient {
    let address = askedFrom(connection)
    return RuleClient(
      high: address.high, low: address.low, port: address.port,
      listenerPort: connection.listenerPort, facts: secure?.facts)
  }

  /// The request as the client sent it.
  func clientHead(_ worker: Worker) -> RequestHead {
    ruled.isEdited ? ruled.clientHead ?? worker.head : head(worker)
  }

  // MARK: Answers of rules

  func answerByRules(
    location: ByteView?, failure: OriginFailure? = nil, on connection: some ClientStream
  ) {
    let worker = connection.worker
    let scratch = worker.rules.scratch
    worker.lines.removeAll()
    if let failure {
      result = .error
      appendProxyStatus(failure, worker)
    }
    var hasType = false
    for index in 0..<scratch.responseFields.count {
      let edit = scratch.responseFields[index]
      if edit.known == .contentType { hasType = true }
      FieldEdits.append(edit.name, edit.value, to: &worker.lines)
    }
    if let location {
      worker.lines.append("location: ")
      worker.lines.append(location)
      worker.lines.append("\r\n")
    }
    let status = scratch.status
    let content = status == 204 || status == 205 || status == 304 ? ByteView() : scratch.body
    if !hasType && !content.isEmpty {
      worker.lines.append("content-type: text/plain; charset=utf-8\r\n")
    }
    worker.lines.append("cache-status: ")
    worker.lines.append(worker.nodeName.view)
    worker.lines.append("; detail=rules\r\n")
    answer(status: status, content: content, endsLine: false, on: connection)
  }

  /// A rule could not be carried out.
  private func failRules(_ failure: RuleFailure, on connection: some ClientStream) {
    connection.worker.lines.removeAll()
    answer(status: failure.status, text: failure.text, on: connection)
  }

  // MARK: What goes by the decision

  /// Whether the store is neither asked nor filled.
  func bypassesCache(_ worker: Worker) -> Bool {
    guard ruled.hasRun else { return false }
    return ruled.decision?.bypassesCache ?? worker.rules.scratch.bypassesCache
  }

  /// Goes through the limits that rules have chosen.
  func forEachChosenLimit(_ worker: Worker, _ body: (RouteLimits, _ cost: UInt64?) -> Void) {
    guard ruled.hasRun else { return }
    let limits = generation.routes.ruleLimits[route]
    if let decision = ruled.decision {
      for chosen in decision.limits where limits.indices.contains(chosen.number) {
        body(limits[chosen.number], chosen.cost)
      }
      return
    }
    for index in 0..<worker.rules.scratch.limits.count {
      let chosen = worker.rules.scratch.limits[index]
      if limits.indices.contains(chosen.number) { body(limits[chosen.number], chosen.cost) }
    }
  }

  // MARK: A request that waits

  /// Keeps what the rules decided, and the heads, beyond the turn.
  func ownRuled(_ worker: Worker) {
    let client = worker.head
    client.own()
    worker.head = RequestHead()
    if ruled.isEdited {
      ruled.clientHead = client
      ownHead = worker.rules.takeHead()
    } else {
      ownHead = client
    }
    // Views into the worker's buffers are still good: owning copies.
    if ruled.hasRun { ruled.decision = makeDecision(client, worker) }
  }

  /// What was decided, for the request to the origin; nil if there was nothing to decide.
  func decision(_ worker: Worker) -> RuleDecision? {
    guard isRuled else { return nil }
    if let decision = ruled.decision { return decision }
    let head = RequestHead()
    head.copy(clientHead(worker))
    let decision = makeDecision(head, worker)
    // Of a request that waits: made after it began to, and then it stays. Not before it is let in: who
    // asks and what rules make of it are not known until then.
    if case .admitting = state { return decision }
    if ownHead != nil { ruled.decision = decision }
    return decision
  }

  private func makeDecision(_ head: RequestHead, _ worker: Worker) -> RuleDecision {
    let decision = RuleDecision(head: head, identity: ruled.identity, client: ruled.client)
    decision.isRestricted = ruled.isRestricted
    decision.isRewritten = ruled.isEdited
    decision.ownLines = ruled.ownLines
    guard ruled.hasRun || !ruled.keyLines.isEmpty else { return decision }
    let room = worker.rules
    let scratch = room.scratch
    makeKeyPrefix(worker)
    decision.keyPrefix = room.keyPrefix.view.array
    guard ruled.hasRun else { return decision }
    decision.cacheKey = scratch.cacheKey?.array
    decision.bypassesCache = scratch.bypassesCache
    decision.lifetime = scratch.lifetime
    let origins = generation.routes.ruleOrigins[route]
    if origins.indices.contains(scratch.origin) { decision.origin = origins[scratch.origin] }
    for index in 0..<scratch.limits.count { decision.limits.append(scratch.limits[index]) }
    for index in 0..<scratch.tags.count { decision.tags.append(scratch.tags[index].array) }
    room.log.removeAll()
    Self.appendLog(scratch, to: &room.log)
    decision.log = room.log.view.array
    if let program = generation.routes.programs[route] {
      room.carried.removeAll()
      program.carry(scratch, to: &room.carried)
      decision.carried = room.carried.view.array
    }
    return decision
  }

  // MARK: The response

  /// Sends a response's head, as the rules of the response have it. False: they failed, and the
  /// request is answered otherwise.
  @inline(__always)
  func sendHead(
    status: UInt16, lines: ByteView, length: UInt64?, hasContent: Bool, minorVersion: UInt8,
    isStored: Bool = false, on connection: some ClientStream
  ) -> Bool {
    switch requestID.source {
    case .none: break
    case .given, .made:
      appendRequestIDLine(to: &connection.worker.lines, connection.worker)
    }
    if isRuled, !ruled.responseLines.isEmpty {
      ruled.responseLines.withView { connection.worker.lines.append($0) }
    }
    guard route < generation.routes.unrouted, generation.routes.routes[route].editsHeads
    else {
      return deliver(
        status: status, lines: lines, length: length, hasContent: hasContent,
        minorVersion: minorVersion, on: connection)
    }
    return sendRuledHead(
      status: status, lines: lines, length: length, hasContent: hasContent,
      minorVersion: minorVersion, isStored: isStored, on: connection)
  }

  /// Hands a head that is complete to the connection. False: the request was answered otherwise.
  @inline(__always)
  private func deliver(
    status: UInt16, lines: ByteView, length: UInt64?, hasContent: Bool, minorVersion: UInt8,
    on connection: some ClientStream
  ) -> Bool {
    if trace != nil,
      !deliversExplained(status: status, lines: lines, length: length, on: connection)
    {
      return false
    }
    connection.sendHead(
      status: status, lines: lines, length: length, hasContent: hasContent,
      minorVersion: minorVersion)
    return true
  }

  @inline(never)
  private func sendRuledHead(
    status: UInt16, lines: ByteView, length: UInt64?, hasContent: Bool, minorVersion: UInt8,
    isStored: Bool, on connection: some ClientStream
  ) -> Bool {
    let worker = connection.worker
    if generation.routes.routes[route].tellsTiming { appendServerTiming(worker) }
    let room = worker.rules
    guard !ruled.skipsResponseRules, generation.routes.routes[route].hasResponseRules,
      let program = generation.routes.programs[route]
    else {
      return deliver(
        status: status, lines: lines, length: length, hasContent: hasContent,
        minorVersion: minorVersion, on: connection)
    }
    isRuled = true
    room.lines.removeAll()
    room.lines.append(lines)
    room.lines.append(worker.lines.view)
    var input = ruleInput(clientHead(worker), ruleClient(connection), room, worker)
    input.status = status
    input.isStored = isStored
    input.responseFields = room.lines.view
    let outcome: RuleOutcome
    if let explanation = trace?.explanation {
      outcome = explainResponseRules(program, input, room, explanation)
    } else if let decision = ruled.decision {
      outcome = decision.carried.withView { program.runResponse(input, room.scratch, carried: $0) }
    } else if ruled.hasRun {
      outcome = program.runResponse(input, room.scratch)
    } else {
      outcome = program.runResponse(input, room.scratch, carried: ByteView())
    }
    keepResponseLog(room)
    if case .failed(let failure) = outcome {
      ruled.skipsResponseRules = true
      result = .error
      failRules(failure, on: connection)
      return false
    }
    worker.lines.removeAll()
    guard room.scratch.responseFields.count > 0 else {
      return deliver(
        status: status, lines: room.lines.view, length: length, hasContent: hasContent,
        minorVersion: minorVersion, on: connection)
    }
    room.editedLines.removeAll()
    FieldEdits.appendChanged(
      room.lines.view, room.scratch.responseFields, to: &room.editedLines)
    return deliver(
      status: status, lines: room.editedLines.view, length: length, hasContent: hasContent,
      minorVersion: minorVersion, on: connection)
  }

  // MARK: The log

  /// What rules of a response log, in a turn after that of the request's.
  private func keepResponseLog(_ room: RuleRoom) {
    guard let decision = ruled.decision, room.scratch.logFields.count > 0 else { return }
    room.log.removeAll()
    Self.appendLog(room.scratch, to: &room.log)
    decision.log += room.log.view.array
  }

  /// The members that rules add to the log's line, packed; empty if there are none.
  func ruledLog(_ worker: Worker) -> ByteView {
    let room = worker.rules
    room.log.removeAll()
    if let decision = ruled.decision {
      decision.log.withView { room.log.append($0) }
    } else if ruled.hasRun {
      Self.appendLog(room.scratch, to: &room.log)
    }
    return room.log.view
  }

  private static func appendLog(_ scratch: RuleScratch, to buffer: inout ByteBuffer) {
    for index in 0..<scratch.logFields.count {
      let field = scratch.logFields[index]
      LogMembers.append(name: field.name, value: field.value, to: &buffer)
    }
  }

  /// Forgets what rules and authentication knew.
  func forgetRules() {
    isRuled = false
    ruled = RuledRequest()
  }
}
