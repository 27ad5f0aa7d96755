internal import Bytes
internal import EventLoop
internal import ObjectStore

/// What the journal says of a purge.
typealias PurgeOutcome = Result<PurgeResult, StoreError>

/// A purge by tags that is under way.
struct Purge: Sendable {
  /// The tags, each once.
  let tags: [String]
  /// Who asked.
  let peer: SocketAddress
  /// The connection that waits for the answer, by its name in the loop.
  let connection: UInt64
  /// When the content was there (monotonic).
  let beganAt: Int64

  /// `{"id": 17, "tags": {"a": 3}, "objects": 3, "duration_ms": 0.410}`
  func answer(_ result: PurgeResult, at now: Instant) -> JSONText {
    .object([
      ("id", .number(result.sequence)),
      ("tags", .object(zip(tags, result.counts).map { ($0, .number($1)) })),
      ("objects", .number(result.objects)),
      ("duration_ms", .thousandths(microseconds(until: now))),
    ])
  }

  /// A line for the operator's log. The first tags stand in it as JSON strings, cut to 64 characters.
  func auditLine(_ outcome: PurgeOutcome, at now: Instant) -> String {
    var named = tags.prefix(8).map { tag in
      JSONText.string(tag.count > 64 ? String(tag.prefix(64)) + "…" : tag).text
    }.joined(separator: ", ")
    if tags.count > 8 { named += ", …" }
    let subject = "purge of \(tags.count) tag\(tags.count == 1 ? "" : "s") by \(peer) (\(named))"
    let duration = JSONText.thousandths(microseconds(until: now)).text
    switch outcome {
    case .success(let result):
      return "\(subject): id \(result.sequence), \(result.objects) objects, \(duration) ms"
    case .failure(let error):
      return "\(subject): not written after \(duration) ms: \(JSONText.string("\(error)").text)"
    }
  }

  private func microseconds(until now: Instant) -> UInt64 {
    UInt64(clamping: (now.monotonic - beganAt) / 1000)
  }
}

/// What `POST /v1/purge` takes: `{"tags": ["a", "b"]}` or `{"tag": "a"}`.
enum PurgeOrder {
  /// The most tags of an order.
  static let maxTags = 1_000
  /// The most bytes of a tag, as in responses.
  static let maxTagLength = 1_024

  /// The tags of an order, each once and in order. A member that is not known is refused, not passed
  /// over: it may be one of a later version that narrows the purge.
  static func read(_ content: [UInt8]) throws(Problem) -> [String] {
    guard case .object(let members) = try json(content) else {
      throw Problem(.invalidPurge, "The content must be an object, such as {\"tags\": [\"a\"]}.")
    }
    guard members.count == 1, let member = members.first, ["tag", "tags"].contains(member.name)
    else {
      throw Problem(
        .invalidPurge, "The object must have one member, \"tags\" or \"tag\", and no other.")
    }
    return try distinct(tags(member))
  }

  static func json(_ content: [UInt8]) throws(Problem) -> JSON {
    do throws(JSONDefect) {
      return try JSONReader.read(content)
    } catch {
      throw Problem(
        .invalidJSON,
        "The content is not JSON: line \(error.line), column \(error.column): \(error.text).")
    }
  }

  private static func tags(_ member: JSON.Member) throws(Problem) -> [JSON] {
    if member.name == "tag" { return [member.value] }
    guard case .array(let elements) = member.value else {
      throw Problem(.invalidPurge, "\"tags\" must be an array of strings.")
    }
    guard (1...maxTags).contains(elements.count) else {
      throw Problem(
        .invalidPurge, "\"tags\" must have 1 to \(maxTags) elements; it has \(elements.count).")
    }
    return elements
  }

  private static func distinct(_ values: [JSON]) throws(Problem) -> [String] {
    var tags: [String] = []
    // By bytes: equal strings may differ in them, and then are two tags.
    var seen: Set<[UInt8]> = []
    for (index, value) in values.enumerated() {
      guard case .string(let tag) = value else {
        throw Problem(.invalidPurge, "Tag \(index + 1) is not a string.")
      }
      guard (1...maxTagLength).contains(tag.utf8.count) else {
        throw Problem(
          .invalidPurge,
          "Tag \(index + 1) must have 1 to \(maxTagLength) bytes; it has \(tag.utf8.count).")
      }
      guard tag.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == ASCII.tab }) else {
        throw Problem(
          .invalidPurge, "Tag \(index + 1) has a control character, which no field can carry.")
      }
      if seen.insert(Array(tag.utf8)).inserted { tags.append(tag) }
    }
    return tags
  }
}
