// Plays a row: the origin answers as the step says that is under way, the client asks, and both
// ends are compared with what the step expects. What differs is said in words; a row ends with its
// first step that differs, since the later ones build on it.

import EdgeTesting
import EventLoop
import ObjectStore
import Synchronization
import Testing

extension ConformanceCase {
  /// Plays the row on a node of its own.
  func run() async throws {
    let clock = NodeClock(manualFrom: TestNode.start)
    let answers = ScriptedAnswers(steps, clock: clock)
    let origin = try await ScriptedOrigin { connection in
      while let request = try await connection.nextRequest() {
        guard try await answers.answer(request, on: connection) else { return }
      }
    }
    let node = try TestNode.start(
      origin: origin.port, route: route, workers: 1, clock: clock)
    for (index, step) in steps.enumerated() {
      node.advance(seconds: step.after)
      let asked = origin.requests.count
      answers.begin(index)
      let client = try await node.connect()
      let response = try await client.request(
        step.method, step.target, step.fields, body: step.content)
      if step.source == .storeAndBehind { try await origin.waitForRequests(asked + 1) }
      try await node.settle()
      let differences =
        differences(in: response, at: index)
        + step.differences(inAsked: Array(origin.requests.dropFirst(asked)))
      let departure = departs.map { ", which departs from the suite: \($0)" } ?? ""
      #expect(differences.isEmpty, "step \(index) of \(id)\(departure)")
      guard differences.isEmpty else { break }
    }
    try node.requireStore().check()
  }

  // MARK: The client's end

  /// How what the client got differs from what a step says.
  private func differences(in response: PeerResponse, at index: Int) -> [String] {
    let step = steps[index]
    var found = step.differences(inFieldsOf: response)
    let status = status(at: index)
    if response.status != status { found.append("status \(response.status), not \(status)") }
    if let text = text(at: index, status: response.status), response.text != text {
      found.append("content \(response.text.debugDescription), not \(text.debugDescription)")
    }
    if !step.isSource(saidBy: response) {
      found.append("Cache-Status \(response.cacheStatus), not from \(step.source)")
    }
    return found
  }

  /// The status that a step must give.
  private func status(at index: Int) -> Int {
    let step = steps[index]
    if let gets = step.gets { return gets }
    switch step.source {
    case .origin: return step.status
    case .store, .storeAndBehind, .validated, .storeOnError: return steps[0].status
    case .failure(let status), .node(let status): return status
    }
  }

  /// The content that a step must give; nil if it is the node's own words.
  private func text(at index: Int, status: Int) -> String? {
    let step = steps[index]
    if step.method == "HEAD" || status == 204 || status == 304 { return "" }
    if let text = step.text { return text }
    switch step.source {
    case .origin: return step.body ?? CacheStep.body(index)
    case .store, .storeAndBehind, .validated, .storeOnError:
      return steps[0].body ?? CacheStep.body(0)
    case .failure, .node: return nil
    }
  }
}

extension CacheStep {
  /// The content of an origin's answer at a step; as long for one as for another.
  static func body(_ index: Int) -> String { "of step \(index)" }

  /// Whether Cache-Status says that the answer came from where it must.
  fileprivate func isSource(saidBy response: PeerResponse) -> Bool {
    let said = response.cacheStatus.split(separator: "; ")
    return switch source {
    case .origin(let reason): said.contains("fwd=\(reason.rawValue)")
    case .store, .storeAndBehind: response.isHit
    case .validated: said.contains("fwd-status=304")
    case .storeOnError: said.contains("fwd=stale")
    case .failure, .node: !response.isHit
    }
  }

  /// How the fields of what the client got differ, and the 1xx responses before it.
  fileprivate func differences(inFieldsOf response: PeerResponse) -> [String] {
    var found: [String] = []
    for field in (has + passedOn).map(PeerField.init(line:))
    where response.header(field.name) != field.value {
      found.append("\(field.name): \(response.header(field.name) ?? "none"), not \(field.value)")
    }
    for name in lacks where response.header(name) != nil { found.append("\(name) is there") }
    let interim = response.interim.map(\.status)
    if interim != interimGot { found.append("1xx responses \(interim), not \(interimGot)") }
    for field in interimHas.map(PeerField.init(line:))
    where response.interim.first?.header(field.name) != field.value {
      found.append("the 1xx response lacks \(field)")
    }
    return found
  }

  /// The fields of an origin's answer that must come through: all but those that a node makes
  /// itself, is to take out, or may.
  private var passedOn: [String] {
    guard case .origin = source, !says304, raw == nil else { return [] }
    let own: Set = [
      "age", "date", "connection", "keep-alive", "proxy-connection", "proxy-authenticate",
      "proxy-authentication-info", "proxy-authorization", "te", "transfer-encoding", "upgrade",
      "content-length", "cdn-cache-control", "surrogate-control",
    ]
    let left = own.union(lacks.map { $0.lowercased() })
    let fields = reply.map(PeerField.init(line:))
    return fields.filter { !left.contains($0.name.lowercased()) }.map {
      "\($0.name): \(fields.value(of: $0.name) ?? "")"
    }
  }

  // MARK: The origin's end

  /// How what the origin was asked differs from what the step says.
  fileprivate func differences(inAsked requests: [PeerRequest]) -> [String] {
    var found: [String] = []
    if !isCount(requests.count) { found.append("the origin was asked \(requests.count) times") }
    guard let first = requests.first else { return found }
    let method = source == .storeAndBehind ? "GET" : method
    if first.method != method || first.target != target {
      found.append("the origin was asked \(first.method) \(first.target)")
    }
    for field in asks.map(PeerField.init(line:)) where first.header(field.name) != field.value {
      let value = first.header(field.name) ?? "none"
      found.append("the origin was asked with \(field.name): \(value), not \(field.value)")
    }
    for name in asksWithout where first.header(name) != nil {
      found.append("the origin was asked with \(name)")
    }
    return found
  }

  private func isCount(_ count: Int) -> Bool {
    switch source {
    case .origin, .storeAndBehind, .validated: count == times
    // A node may try again where a connection broke.
    case .storeOnError, .failure: count > 0
    case .store, .node: count == 0
    }
  }
}

extension PeerField {
  /// A line as rows write it.
  init(line: String) {
    let name = line.prefix { $0 != ":" }
    let value = line.dropFirst(name.count + 1)
    self.init(String(name), String(value.drop { $0 == " " }))
  }
}

/// The origin of a row: answers as the step says that is under way.
private final class ScriptedAnswers: Sendable {
  private let steps: [CacheStep]
  private let clock: NodeClock
  private let current = Mutex(0)

  init(_ steps: [CacheStep], clock: NodeClock) {
    self.steps = steps
    self.clock = clock
  }

  /// A step begins.
  func begin(_ index: Int) { current.withLock { $0 = index } }

  /// Answers; false: the connection is to be closed.
  func answer(_ request: PeerRequest, on connection: ScriptedConnection) async throws -> Bool {
    let index = current.withLock { $0 }
    let step = steps[index]
    if step.closes { return false }
    clock.advance(nanoseconds: Int64(step.takes * 1_000_000_000))
    if !step.interim.isEmpty { try await connection.write(step.interim) }
    if let raw = step.raw {
      try await connection.write(raw)
      return true
    }
    try await connection.respond(reply(to: request, step, index), to: request)
    return true
  }

  private func reply(to request: PeerRequest, _ step: CacheStep, _ index: Int) -> Reply {
    let isConditional =
      request.header("if-none-match") != nil || request.header("if-modified-since") != nil
    if step.says304 && isConditional { return Reply(304, step.reply) }
    if step.source == .validated {
      let isRight =
        isConditional
        && step.asks.map(PeerField.init(line:)).allSatisfy { request.header($0.name) == $0.value }
      return isRight
        ? Reply(304, step.reply) : Reply(500, [], "the request was not conditional as it must be")
    }
    return Reply(step.status, step.reply, step.body ?? CacheStep.body(index))
  }
}

@Suite struct ConformanceTables {
  static let all: [[ConformanceCase]] = [
    AgeConformance.rows, ConditionConformance.dates, ConditionConformance.ownTags,
    ConditionConformance.tags, DirectiveSyntaxConformance.rows, ExpiresConformance.lifetimes,
    ExpiresConformance.syntax, FreshnessConformance.rows, HeuristicConformance.deltas,
    HeuristicConformance.statuses, MethodConformance.heads, MethodConformance.invalidation,
    MethodConformance.post, OtherConformance.age, OtherConformance.authorization,
    OtherConformance.interims, OtherConformance.keys, PartialConformance.rows,
    RequestDirectiveConformance.directives, RequestDirectiveConformance.pragmas,
    ResponseDirectiveConformance.rows, StaleConformance.errors, StaleConformance.ifError,
    StaleConformance.whileRevalidating, StatusConformance.fresh, StatusConformance.mustUnderstand,
    StatusConformance.stale, StoredFieldConformance.storing, StoredFieldConformance.updating,
    TargetedConformance.cdn, TargetedConformance.surrogate, VaryConformance.normalisation,
    VaryConformance.selection, VaryConformance.syntax,
  ]

  @Test func `every row has an id of its own, and a validation says by what`() {
    var seen: Set<String> = []
    for row in Self.all.joined() {
      #expect(seen.insert(row.id).inserted, "\(row.id)")
      let validations = row.steps.filter { $0.source == .validated }
      #expect(validations.allSatisfy { !$0.asks.isEmpty }, "\(row.id)")
    }
  }
}
