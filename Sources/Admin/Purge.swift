internal import Bytes
internal import Edge
internal import EventLoop
internal import Fleet
internal import ObjectStore

/// What the store says of a purge.
typealias PurgeOutcome = Result<PurgeReceipt, PurgeFailure>

/// A purge that is under way.
struct Purge: Sendable {
  /// What was asked for, in one word.
  let kind: String
  /// The tags, if it is by tags and the store counts them.
  let tags: [String]
  /// The order as JSON.
  let order: JSONText
  /// Whether it makes stale.
  let isSoft: Bool
  /// Who asked.
  let caller: Caller
  let peer: AdminPeer
  /// The connection that waits for the answer, by its name in the loop.
  let connection: UInt64
  /// When the content was there.
  let began: Instant
  /// Whom the answer waits for.
  var wait = PurgeWait()

  /// `{"id": 17, "time": "…", "target": "tags", "soft": false, "tags": {"a": 3}, "objects": 3, …}`
  func answer(
    _ receipt: PurgeReceipt, _ reach: FleetReach? = nil, at now: Instant
  ) -> JSONText {
    var members: [(name: String, value: JSONText)] = [
      ("id", .number(receipt.record.id)), ("time", .string(Timestamp.text(receipt.record.time))),
      ("target", .string(kind)), ("soft", .bool(isSoft)),
    ]
    if !tags.isEmpty && receipt.counts.count == tags.count {
      members.append(("tags", .object(zip(tags, receipt.counts).map { ($0, .number($1)) })))
    }
    members += [
      ("objects", objects(receipt).map { .number($0) } ?? .null),
      ("repeated", .bool(receipt.isRepeat)),
      ("duration_ms", .thousandths(microseconds(until: now))),
    ]
    if let reach { members.append(("fleet", FleetReport.text(reach))) }
    return .object(members)
  }

  /// How many objects it has reached; nil if nobody knows yet.
  private func objects(_ receipt: PurgeReceipt) -> UInt64? {
    // Objects are counted by their own tags, not by those that every object has for its URL and host.
    kind == "tags" || kind == "everything" ? receipt.record.objects : nil
  }

  /// What the audit log has of it.
  func entry(_ outcome: PurgeOutcome, at now: Instant) -> AuditEntry {
    var details: [(name: String, value: JSONText)] = [("order", order)]
    switch outcome {
    case .success(let receipt):
      details += [
        ("id", .number(receipt.record.id)),
        ("objects", objects(receipt).map { .number($0) } ?? .null),
        ("repeated", .bool(receipt.isRepeat)),
      ]
    case .failure(let failure): details.append(("failure", .string(Self.text(of: failure))))
    }
    details.append(("duration_ms", .thousandths(microseconds(until: now))))
    return AuditEntry(action: "purge", caller: caller, peer: peer, details: details)
  }

  /// A line for the operator's log; the order stands in it as JSON, cut to 400 characters.
  func line(_ outcome: PurgeOutcome, at now: Instant) -> String {
    let shown = order.text.count > 400 ? order.text.prefix(400) + "…" : order.text[...]
    let subject = "purge by \(caller.name) (\(peer)): \(shown)"
    let duration = JSONText.thousandths(microseconds(until: now)).text
    switch outcome {
    case .success(let receipt):
      let objects = objects(receipt).map { ", \($0) objects" } ?? ""
      return "\(subject): id \(receipt.record.id)\(objects), \(duration) ms"
    case .failure(let failure):
      return "\(subject): not done after \(duration) ms: \(Self.text(of: failure))"
    }
  }

  static func text(of failure: PurgeFailure) -> String {
    switch failure {
    case .tooManyPatterns: "256 purges by pattern or condition wait for the sweeper"
    case .keyReused: "another order was given with this idempotency key"
    case .outOfRange: "too much in one order"
    case .notDurable(let error): JSONText.string("\(error)").text
    }
  }

  private func microseconds(until now: Instant) -> UInt64 {
    UInt64(clamping: (now.monotonic - began.monotonic) / 1000)
  }
}

/// Records of purges as JSON.
enum PurgeReport {
  /// One record.
  static func text(_ record: PurgeRecord) -> JSONText {
    .object([
      ("id", .number(record.id)), ("time", .string(Timestamp.text(record.time))),
      ("who", .string(record.who)), ("order", order(record)), ("soft", .bool(record.isSoft)),
      ("objects", record.objects.map { .number($0) } ?? .null),
    ])
  }

  /// The order as it came; a text if it was too long to be kept whole.
  private static func order(_ record: PurgeRecord) -> JSONText {
    let text = record.what
    do throws(JSONDefect) {
      _ = try JSONReader.read(Array(text.utf8))
      return .verbatim(text)
    } catch {
      return .string(text)
    }
  }
}
