// A gate that asks a service whether a request may pass (`auth service NAME`).
//
// The question is a request of the node's own to a pool, made by the machinery that makes all of them
// (`OriginRequest`, `Fill`): with the pool's timeouts, retries and breaker, and without a worker ever
// waiting. Its answer is read from a fill that nothing stores.
//
// Where answers are kept for a key, requests of a worker with the same key ask one question together. Who
// joins another's takes from it only that it may pass: a refusal may be about the other's address (where
// to go on after the login), so who is not let in by another's question asks its own.

internal import Authentication
internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import ObjectStore

final class ServiceGate {
  let name: [UInt8]
  /// The pool's number.
  let pool: Int
  let path: [UInt8]
  let timeout: Int64
  let rules: ServiceRules
  let isShared: Bool
  /// The fields that are sent, in lower case; nil: all.
  let sentFields: [[UInt8]]?
  let keyParts: [ServiceKeyStep]
  let memory: ServiceMemory
  /// Questions under way whose answers may be kept, by their keys.
  var questions: [[UInt8]: ServiceQuestion] = [:]
  /// The key of the request that is looked at.
  var key = ByteBuffer(capacity: 256)

  /// The most bytes of kept answers.
  private static let mostBytes = 64 << 20

  init(
    _ service: AuthenticationServiceConfiguration, pool: Int, isShared: Bool, memory: ServiceMemory
  ) {
    name = Array(service.name.utf8)
    self.pool = pool
    path = Array(service.path.utf8)
    timeout = service.timeout
    self.isShared = isShared
    self.memory = memory
    sentFields = service.sentFields.map { $0.map { Array($0.utf8) } }
    keyParts = service.lifetime > 0 ? service.key.map(Self.step) : []
    rules = Self.rules(service)
  }

  /// A memory for a service's answers, which all routes of a worker share.
  static func memory(_ service: AuthenticationServiceConfiguration) -> ServiceMemory {
    ServiceMemory(
      maxCount: service.maxAnswers, maxBytes: mostBytes, secret: Random.hash128())
  }

  private static func rules(_ service: AuthenticationServiceConfiguration) -> ServiceRules {
    var rules = ServiceRules()
    rules.requestFields = service.requestFields.map { Array($0.utf8) }
    rules.responseFields = service.responseFields.map { Array($0.utf8) }
    rules.subjectField = service.subjectField.map { Array($0.utf8) }
    rules.lifetime = service.lifetime
    return rules
  }

  private static func step(_ part: ServiceKeyPart) -> ServiceKeyStep {
    switch part {
    case .clientAddress: .address
    case .field(let name): .field(Array(name.utf8))
    case .cookie(let name): .cookie(Array(name.utf8))
    case .host: .host
    case .path: .path
    case .target: .target
    case .method: .method
    }
  }
}

/// A part of a key.
enum ServiceKeyStep {
  case address
  case field([UInt8])
  case cookie([UInt8])
  case host
  case path
  case target
  case method
}

/// A question to a service, and what has come of it. Belongs to one worker.
final class ServiceQuestion {
  enum Outcome {
    /// The request may pass.
    case passes(ServiceAnswer)
    /// The client gets this: a status, field lines, content.
    case refuses(UInt16, [UInt8])
    /// There is no answer, or none that means anything.
    case failed
  }

  let fill: Fill
  /// What the answer is kept for; empty: it is not.
  let key: [UInt8]
  private(set) var outcome: Outcome?
  /// The content of an answer that goes to the client.
  private(set) var content = ByteBuffer()
  private var position: UInt64 = 0

  /// The longest content of an answer that is passed on, and that is waited for.
  private static let longestContent = 64 << 10

  init(_ fill: Fill, key: [UInt8]) {
    self.fill = fill
    self.key = key
  }

  /// Reads as much of the answer as there is; whether it is known what comes of it.
  func look(for reader: FillReader, _ gate: ServiceGate, now: Int64) -> Bool {
    if outcome != nil { return true }
    let (phase, head) = fill.look()
    guard let head else {
      if case .failed = phase { outcome = .failed }
      return outcome != nil
    }
    let verdict = ServiceVerdict(status: head.status)
    if case .isUnusable = verdict {
      outcome = .failed
      return true
    }
    guard let isWhole = readContent(for: reader, now: now) else { return false }
    switch verdict {
    case .passes: outcome = .passes(answer(head, gate, now: now))
    // A page that is cut off is no answer, and a long one none that anybody meant.
    case .refuses: outcome = isWhole ? .refuses(head.status, head.lines) : .failed
    case .isUnusable: outcome = .failed
    }
    return true
  }

  /// Whether all of the content is there, and not too long; nil: it is still coming. It is waited for,
  /// since a connection with content left in it cannot carry another question.
  private func readContent(for reader: FillReader, now: Int64) -> Bool? {
    while true {
      var wakesLeader = false
      switch fill.piece(for: reader, at: position, now: now, wakesLeader: &wakesLeader) {
      case .bytes(let segment, let range):
        content.append(segment.view(range))
        position += UInt64(range.count)
        if content.count > Self.longestContent { return false }
      case .wait: return nil
      case .end: return true
      case .chunk, .failed: return false
      }
    }
  }

  private func answer(_ head: FillHead, _ gate: ServiceGate, now: Int64) -> ServiceAnswer {
    head.lines.withView { lines in
      let answer = ResponseHead()
      StoredLines.read(lines, status: head.status, into: answer)
      return ServiceAnswer(answer, rules: gate.rules, now: now)
    }
  }
}
