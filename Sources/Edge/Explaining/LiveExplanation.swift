// What is noted of one live request for an operator who asks to have it explained:
//
//     Weir-Explain: fields TOKEN      the answer, with fields `weir-explain-…` that say what was decided
//     Weir-Explain: json TOKEN        what was decided, in the place of the answer's content
//
// The token is one of the admin listener's that may `read`, for all sites or the request's. The field is
// taken out of the head before anything else looks at it: rules, keys, Vary, origins and logs never see it,
// whether its token is good or not, and without a good one that is all that becomes of it.
//
// Otherwise the request goes its way as any other; what is noted hangs on its trace (`RequestTrace`), so
// that places which a hit passes ask one question for both. `Exchange+Explaining.swift` notes,
// `ExplanationReport.swift` writes.

internal import Bytes
internal import HTTPCaching
internal import HTTPMessage
internal import ObjectStore
internal import Origins
internal import RateLimiting
internal import Rules

final class LiveExplanation {
  /// How it is wanted.
  enum Form {
    /// As fields of the answer.
    case fields
    /// As an object in the answer's place.
    case json
  }

  /// What a limit has said.
  struct LimitNote {
    var name: String
    var keyedBy: String
    /// When it was asked: before the store, or on the way to the origin.
    var stage: String
    var verdict: LimitVerdict
    var cost: UInt64
    var remaining: UInt64
    /// In how many nanoseconds that changes for the better.
    var reset: Int64
  }

  /// On what a server was asked.
  enum OriginLink: String {
    /// A connection that was made for it.
    case fresh
    /// One that was there.
    case kept
    /// One that carries other requests beside it.
    case shared
  }

  /// A try at a server.
  struct Try {
    var server: String
    /// Nil: there came no connection about.
    var link: OriginLink?
    /// A status, or what went wrong; nil: nothing yet.
    var outcome: String?
  }

  /// How fresh what was used is.
  struct FreshnessNote {
    var freshness: Freshness
    var source: LifetimeSource
    var isSoftlyPurged: Bool
  }

  let form: Form
  /// Whose token was shown.
  let caller: Caller
  let rules = RuleRecorder()
  let responseRules = RuleRecorder()
  var key: [UInt8]?
  /// The names of the fields that the stored response was selected by.
  var vary = ""
  var isStoredFound = false
  var freshness: FreshnessNote?
  /// Whether an answer that was fetched is stored, and whether others get it.
  var isStored: Bool?
  var isShared: Bool?
  /// The texts of tags, as far as they are known, and how many there are.
  private(set) var tags: [String] = []
  var tagCount = 0
  private(set) var limits: [LimitNote] = []
  var pool: String?
  private(set) var tries: [Try] = []

  /// The most of each that are noted.
  private static let most = 64

  init(_ form: Form, _ caller: Caller) {
    self.form = form
    self.caller = caller
  }

  /// Notes what a limit has said, in the place of what it said before.
  func note(_ limit: LimitNote) {
    if let index = limits.firstIndex(where: { $0.name == limit.name }) {
      let stage = limit.stage.isEmpty ? limits[index].stage : limit.stage
      limits[index] = limit
      limits[index].stage = stage
    } else if limits.count < Self.most {
      limits.append(limit)
    }
  }

  // MARK: Origins

  /// A server is asked.
  func asks(_ server: OriginServer?, on link: OriginLink) {
    guard tries.count < Self.most else { return }
    tries.append(Try(server: server?.location.name ?? "", link: link))
  }

  /// A try came to nothing.
  func failed(_ failure: OriginFailure, at server: OriginServer?) {
    end("\(failure.proxyStatus)", at: server)
  }

  /// The head of an answer is there.
  func answered(_ response: ResponseHead) { end("\(response.status)", at: nil) }

  private func end(_ outcome: String, at server: OriginServer?) {
    if let last = tries.indices.last, tries[last].outcome == nil {
      tries[last].outcome = outcome
    } else if let server, tries.count < Self.most {
      tries.append(Try(server: server.location.name, link: nil, outcome: outcome))
    }
  }

  /// The tags that the origin, and rules, gave a response.
  func tag(_ response: ResponseHead, _ further: [[UInt8]]) {
    tags = []
    tagCount = further.count
    Tags.forEach(in: response, within: TagLimits(count: .max, length: .max)) { tag in
      tagCount += 1
      if tags.count < Self.most { tags.append(tag.string) }
    }
    for tag in further where tags.count < Self.most {
      tags.append(String(decoding: tag, as: UTF8.self))
    }
  }

  /// The tags of a stored response. Their texts are known only where its route shows them to clients.
  func tag(stored response: StoredResponse) {
    let head = ResponseHead()
    StoredLines.read(response.head, status: response.status, into: head)
    tag(head, [])
    tagCount = response.tagCount
  }
}
