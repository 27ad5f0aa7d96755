// What the node would do with a request, step by step: `weir eval`. The same route table and the same
// programs as a worker's, with a recorder; nothing is asked, stored or counted.

internal import Bytes
package import Configuration
internal import GeoDatabase
internal import HTTP1
internal import HTTPMessage
internal import Rules

/// A request to explain.
package struct ExplainedRequest: Sendable {
  /// `GET /path?query`, without a version.
  package var line: String
  /// Fields as `Name: value`; without `Host` the site's first name is taken.
  package var fields: [String] = []
  /// The client's address.
  package var client = "127.0.0.1"
  /// The port that the client connected to; nil: that of the first listener.
  package var port: UInt16?
  /// Who asks, if the edge has checked that.
  package var subject: String?
  /// Claims as `name=value`.
  package var claims: [String] = []
  /// Seconds since 1970.
  package var now: Int64 = 0
  /// The status of the response that rules of the response are asked about; nil: they are not asked.
  package var status: UInt16?
  /// Whether that response comes from the store.
  package var isStored = false
  /// Its fields, as `Name: value`.
  package var responseFields: [String] = []

  /// A request.
  package init(line: String) { self.line = line }
}

/// Why a request cannot be explained.
package struct ExplanationProblem: Error, CustomStringConvertible {
  /// What is wrong with it.
  package let description: String
}

/// What comes of a request.
package struct Explanation: Sendable {
  /// Something that a rule did, or a condition and what it came to.
  package struct Step: Sendable {
    /// The line in the file.
    package var line: Int
    /// As it stands there.
    package var text: String
    /// What a condition came to; nil for what is done.
    package var isTrue: Bool?
    /// The value of what is done.
    package var value: String?
    /// What a condition looked at: the text and its value.
    package var operands: [(text: String, value: String)] = []
  }

  /// The route; nil if there is none for the address.
  package var route: String?
  /// What the route wants to be shown.
  package var authentication: String?
  /// What happened, in order.
  package var steps: [Step] = []
  /// What became of the request: `proceed`, `respond 403`, `redirect 302 /ja/`.
  package var result = ""
  /// What else was decided: `origin canary`, `set x-user: anna`.
  package var effects: [String] = []
  /// What happened to the response, and what was decided there.
  package var responseSteps: [Step] = []
  package var responseEffects: [String] = []

  /// Explains a request to a node with a configuration.
  package static func of(
    _ request: ExplainedRequest, configuration: NodeConfiguration
  ) throws(ExplanationProblem) -> Explanation {
    let explainer = try Explainer(request, configuration)
    return try explainer.explain()
  }
}

private final class Explainer {
  private let request: ExplainedRequest
  private let configuration: NodeConfiguration
  private let table: RouteTable
  private let head = RequestHead()
  private var bytes = ByteBuffer()
  private let scratch = RuleScratch()
  private let room = RuleRoom()
  private let client: IPAddress
  private var claims = ByteBuffer()
  private var subject = ByteBuffer()
  private var lines = ByteBuffer()
  private var explanation = Explanation()

  init(
    _ request: ExplainedRequest, _ configuration: NodeConfiguration
  ) throws(ExplanationProblem) {
    self.request = request
    self.configuration = configuration
    table = RouteTable(configuration)
    guard let client = request.client.withView({ IPAddress.parse($0) }) else {
      throw ExplanationProblem(description: "\(request.client) is not an address")
    }
    self.client = client
    if !configuration.geoDatabases.isEmpty {
      switch GeoDatabase.open(paths: configuration.geoDatabases) {
      case .success(let database): scratch.geo = database
      case .failure(let problem):
        throw ExplanationProblem(description: "\(problem.path): \(problem.message)")
      }
    }
    for claim in request.claims {
      let parts = claim.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2 else {
        throw ExplanationProblem(description: "\(claim) is not name=value")
      }
      parts[0].withView { name in
        parts[1].withView { RuleClaims.append(name: name, value: $0, to: &claims) }
      }
    }
    subject.append(text: request.subject ?? "")
    for field in request.responseFields { lines.append(text: field + "\r\n") }
    bytes.append(text: request.line + " HTTP/1.1\r\n")
    if !request.fields.contains(where: { $0.lowercased().hasPrefix("host:") }) {
      let host = configuration.sites.first?.hosts.first ?? "localhost"
      bytes.append(text: "host: \(host.hasPrefix("*") ? "localhost" : host)\r\n")
    }
    for field in request.fields { bytes.append(text: field + "\r\n") }
    bytes.append("\r\n")
    let limits = HeadLimits(maxRequestLine: 1 << 20, maxHead: 1 << 22, maxFields: 10_000)
    switch RequestParser.parse(bytes.view, limits: limits, into: head) {
    case .complete where head.length == bytes.count: return
    case .invalid(let defect):
      throw ExplanationProblem(
        description: "the node would answer \(defect.status): \(defect.text)")
    default: throw ExplanationProblem(description: "\(request.line) is not a request line")
    }
  }

  func explain() throws(ExplanationProblem) -> Explanation {
    let isSigned = request.subject != nil || !request.claims.isEmpty
    let port = request.port ?? configuration.listeners.first?.port ?? 0
    let client = RuleClient(high: client.high, low: client.low, port: 50_000, listenerPort: port)
    var input = Exchange.input(head, client, room, now: request.now)
    if case .dotted = RequestTarget.shape(of: head.bytes[head.path]) {
      explanation.result = "respond 400: the path has dot segments"
      return explanation
    }
    guard let index = table.find(host: input.host, path: input.path) else {
      explanation.result = "respond 404: no site or route for this address"
      return explanation
    }
    explanation.route = table.names[index]
    let route = configuration.sites.flatMap(\.routes)[index]
    guard isAdmitted(route, isSigned) else { return explanation }
    input.isAuthenticated = isSigned
    input.subject = subject.view
    input.claims = claims.view
    guard let program = table.programs[index] else {
      explanation.result = "proceed"
      explanation.effects = ["origin \(route.origin)"]
      return explanation
    }
    let recorder = RuleRecorder()
    let outcome = program.explain(input, scratch, recorder)
    explanation.steps = recorder.events.map(Explanation.Step.init)
    describe(outcome)
    guard outcome == .proceed else { return explanation }
    describeEffects(program.code, route)
    guard let status = request.status else { return explanation }
    input.status = status
    input.isStored = request.isStored
    input.responseFields = lines.view
    let later = RuleRecorder()
    let answer = program.explainResponse(input, scratch, later)
    explanation.responseSteps = later.events.map(Explanation.Step.init)
    if case .failed(let failure) = answer {
      explanation.responseEffects = ["respond \(failure.status): \(failure.text)"]
    } else {
      explanation.responseEffects = Self.edits(scratch.responseFields) + common()
    }
    return explanation
  }

  private func isAdmitted(_ route: RouteConfiguration, _ isSigned: Bool) -> Bool {
    let denied = route.access.denied.contains { $0.contains(client) }
    let allowed = route.access.allowed
    if denied || !allowed.isEmpty && !allowed.contains(where: { $0.contains(client) }) {
      explanation.result = "respond 403: not from \(request.client)"
      return false
    }
    guard let authentication = route.authentication else { return true }
    var isOptional = false
    switch authentication.kind {
    case .token(let name, let optional):
      explanation.authentication = "jwt \(name)\(optional ? " (optional)" : "")"
      isOptional = optional
    case .apiKeys(_, let field): explanation.authentication = "an API key in \(field)"
    case .basic: explanation.authentication = "a name and a password"
    case .signedURL: explanation.authentication = "a signed URL"
    case .service(let name): explanation.authentication = "service \(name)"
    }
    if isSigned || isOptional { return true }
    if case .signedURL = authentication.kind { return true }
    explanation.result = "respond 401: without credentials (--sub says whose they are)"
    return false
  }

  private func describe(_ outcome: RuleOutcome) {
    switch outcome {
    case .proceed: explanation.result = "proceed"
    case .respond:
      let body = scratch.body.isEmpty ? "" : ": \(scratch.body.string)"
      explanation.result = "respond \(scratch.status)\(body)"
      explanation.effects = Self.edits(scratch.responseFields)
    case .redirect:
      explanation.result = "redirect \(scratch.status) \(scratch.location.string)"
      explanation.effects = Self.edits(scratch.responseFields)
    case .failed(let failure):
      explanation.result = "respond \(failure.status): \(failure.text)"
    }
  }

  private func describeEffects(_ code: RuleCode, _ route: RouteConfiguration) {
    var effects: [String] = []
    if scratch.isRewritten {
      let query = scratch.query.map { "?\($0.string)" } ?? ""
      effects.append("target \(scratch.path.string)\(query)")
    }
    let origin = scratch.origin >= 0 ? code.origins[scratch.origin].name : route.origin
    effects.append("origin \(origin)")
    for name in route.limits { effects.append("limit \(name)") }
    for index in 0..<scratch.limits.count {
      let limit = scratch.limits[index]
      let cost = limit.cost.map { " cost \($0)" } ?? ""
      effects.append("limit \(code.limits[limit.number].name)\(cost)")
    }
    if let key = scratch.cacheKey { effects.append("cache key \(key.string)") }
    for index in 0..<scratch.varyBy.count {
      effects.append("vary_by \(scratch.varyBy[index].string)")
    }
    explanation.effects = effects + Self.edits(scratch.requestFields) + common()
  }

  private func common() -> [String] {
    var effects: [String] = []
    if scratch.bypassesCache { effects.append("cache bypass") }
    if scratch.lifetime >= 0 {
      effects.append("cache ttl \(scratch.lifetime / 1_000_000_000)s")
    }
    for index in 0..<scratch.tags.count { effects.append("tag \(scratch.tags[index].string)") }
    for index in 0..<scratch.logFields.count {
      let field = scratch.logFields[index]
      effects.append("log \(field.name.string)=\(field.value.string)")
    }
    return effects
  }

  private static func edits(_ edits: borrowing RuleList<RuleEdit>) -> [String] {
    var texts: [String] = []
    for index in 0..<edits.count {
      let edit = edits[index]
      switch edit.kind {
      case .set: texts.append("set \(edit.name.string): \(edit.value.string)")
      case .unset: texts.append("unset \(edit.name.string)")
      case .add: texts.append("add \(edit.name.string): \(edit.value.string)")
      }
    }
    return texts
  }
}

extension Explanation.Step {
  fileprivate init(_ event: RuleRecorder.Event) {
    line = event.line
    text = event.text
    if case .condition(let isTrue) = event.kind { self.isTrue = isTrue }
    value = event.value
    operands = event.operands.map { ($0.text, $0.value) }
  }
}
