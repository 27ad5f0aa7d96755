// What is stored, and what is not: objects by URL, by tag or by weight, and what origins are asked for.
//
// There is no index by URL or by tag but for hits (it would cost each fill more than everything else):
// each of these is a pass over all objects, a piece in each turn, about 0.2 µs an object. An answer has
// what was there while it went on.

internal import Bytes
internal import Edge
internal import EventLoop
internal import ObjectStore

extension AdminService {
  /// `GET /v1/objects?url=…`, `?tag=…`, `?host=…`, with `&limit=` and `&cursor=`, or
  /// `?by=bytes|uses|hits&top=…`.
  func showObjects(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse? {
    let query = try AdminQuery(
      route.query, ["url", "tag", "host", "by", "limit", "top", "cursor", "site"])
    let store = try requireStore()
    let sites = try scope(query["site"], route.caller)
    guard query["limit"] == nil || query["top"] == nil else {
      throw Problem(.invalidQuery, "limit and top say the same: the query has one of them.")
    }
    let name = query["top"] == nil ? "limit" : "top"
    let limit = Int(clamping: try query.number(name, 1...1_000) ?? 100)
    let ways = ["url", "tag", "host", "by"].filter { query[$0] != nil }
    guard ways.count == 1, let way = ways.first, let value = query[way] else {
      throw Problem(.invalidQuery, "The query has one of url, tag, host and by.")
    }
    guard !value.isEmpty else { throw Problem(.invalidQuery, "\(way) is empty.") }
    if way == "by" {
      let weight = try query.choice("by", ["bytes", "uses", "hits"]) ?? ""
      if weight == "hits" { return try showMostHit(limit, sites, store, asked) }
      try showHeaviest(by: weight, limit, sites, store, asked)
      return nil
    }
    let selection: PurgeSelection =
      switch way {
      case "url": .urls([value])
      case "tag": .tags([value])
      default: .hosts([value])
      }
    let target: PurgeOrder.Target
    do throws(Problem) {
      target = try self.target(of: selection, within: sites, in: store)
    } catch {
      throw error.code == .invalidPurge ? Problem(.invalidQuery, error.detail) : error
    }
    let cursor = try query.number("cursor", 0...UInt64.max).map { ListCursor(number: $0) }
    try list(.reached(target, time: asked.at.wall), from: cursor ?? .start, limit, asked)
    return nil
  }

  private func list(
    _ filter: ListFilter, from start: ListCursor, _ limit: Int, _ asked: Asked
  ) throws(Problem) {
    let reader = try requireReader()
    let hits = hitsOfLate(at: asked.at)
    var cursor = start
    var found: [JSONText] = []
    begin(asked.connection) {
      let page = reader.list(filter, from: cursor, limit: limit - found.count, budget: 4_000)
      found += page.objects.map { ObjectReport.text($0, hits, now: asked.at.wall) }
      if let next = page.next, found.count < limit {
        cursor = next
        return nil
      }
      return .json(
        .object([
          ("objects", .array(found)), ("next", page.next.map { .number($0.number) } ?? .null),
        ]))
    }
  }

  /// The largest objects, or those that eviction knows most uses of.
  private func showHeaviest(
    by weight: String, _ limit: Int, _ sites: [String], _ store: ObjectStore, _ asked: Asked
  ) throws(Problem) {
    let reader = try requireReader()
    let target = try self.target(of: .everything, within: sites, in: store)
    var cursor = ListCursor.start
    var heaviest: [ObjectSummary] = []
    let isByBytes = weight == "bytes"
    let hits = hitsOfLate(at: asked.at)
    begin(asked.connection) {
      // Every object is made a summary here, 2 µs each: pages are shorter.
      let page = reader.list(
        .reached(target, time: asked.at.wall), from: cursor, limit: 1_000, budget: 1_000)
      heaviest += page.objects
      if heaviest.count > 4 * limit + 1_000 || page.next == nil {
        heaviest.sort { Self.isHeavier($0, $1, isByBytes) }
        heaviest = Array(heaviest.prefix(limit))
      }
      if let next = page.next {
        cursor = next
        return nil
      }
      let found = heaviest.map { ObjectReport.text($0, hits, now: asked.at.wall) }
      return .json(.object([("objects", .array(found)), ("next", .null)]))
    }
  }

  /// About how often each URL was hit of late, as far as it is among those that are hit most.
  private func hitsOfLate(at now: Instant) -> [[UInt8]: UInt64] {
    let entries = context.traffic.hits(.urls, top: HitReport.most, now: now.monotonic)
    return Dictionary(entries.map { ($0.name, $0.count) }) { $0 &+ $1 }
  }

  /// The objects of the URLs that are hit most, of those that are hit most first: one pass for all of them.
  private func showMostHit(
    _ limit: Int, _ sites: [String], _ store: ObjectStore, _ asked: Asked
  ) throws(Problem) -> AdminResponse? {
    let hits = hitsOfLate(at: asked.at)
    var tags: Set<UInt64> = []
    var isScoped = false
    for url in hits.keys {
      // URLs of others' sites, and such as are none, are left out.
      let selection = PurgeSelection.urls([String(decoding: url, as: UTF8.self)])
      guard let target = try? target(of: selection, within: sites, in: store) else { continue }
      if case .tags(let own) = target { tags.formUnion(own) } else { isScoped = true }
    }
    guard !tags.isEmpty, !isScoped else {
      return .json(.object([("objects", .array([])), ("next", .null)]))
    }
    let reader = try requireReader()
    let filter = ListFilter.reached(.tags(tags.sorted()), time: asked.at.wall)
    var cursor = ListCursor.start
    var found: [ObjectSummary] = []
    begin(asked.connection) {
      let page = reader.list(filter, from: cursor, limit: 1_000, budget: 4_000)
      found += page.objects
      if let next = page.next {
        cursor = next
        return nil
      }
      found.sort { (hits[$1.url] ?? 0, $0.id) < (hits[$0.url] ?? 0, $1.id) }
      let shown = found.prefix(limit).map { ObjectReport.text($0, hits, now: asked.at.wall) }
      return .json(.object([("objects", .array(shown)), ("next", .null)]))
    }
    return nil
  }

  private static func isHeavier(
    _ one: ObjectSummary, _ other: ObjectSummary, _ isByBytes: Bool
  ) -> Bool {
    if isByBytes && one.storedBytes != other.storedBytes {
      return one.storedBytes > other.storedBytes
    }
    if one.uses != other.uses { return one.uses > other.uses }
    return one.id < other.id
  }

  // MARK: Traffic

  /// `GET /v1/misses?of=urls|hosts|parameters|tags&by=misses|bytes&top=50`
  func showMisses(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse {
    let query = try AdminQuery(route.query, ["of", "by", "top"])
    let subject =
      try query.choice("of", TrafficSubject.allCases.map(\.rawValue))
      .flatMap { TrafficSubject(rawValue: $0) } ?? .urls
    let weight =
      try query.choice("by", TrafficWeight.allCases.map(\.rawValue))
      .flatMap { TrafficWeight(rawValue: $0) } ?? .misses
    let top = Int(clamping: try query.number("top", 1...512) ?? 50)
    let entries = context.traffic.misses(
      subject, by: weight, top: top, now: asked.at.monotonic)
    return .json(
      .object([
        ("of", .string(subject.rawValue)), ("by", .string(weight.rawValue)),
        (
          "misses",
          .array(
            entries.map { entry in
              .object([
                ("name", Self.name(entry)),
                ("misses", .number(entry.count)), ("bytes", .number(entry.bytes)),
                ("error", .number(entry.error)),
                ("reasons", .object(entry.reasons.map { ($0.name, .number($0.count)) })),
              ])
            })
        ),
      ]))
  }

  /// A name, or null for a tag that has none.
  private static func name(_ entry: TrafficEntry) -> JSONText {
    entry.name.isEmpty ? .null : .string(String(decoding: entry.name, as: UTF8.self))
  }

  /// `GET /v1/hits?of=urls|tags&top=50`
  func showHits(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse {
    let query = try AdminQuery(route.query, ["of", "top"])
    let subject =
      try query.choice("of", HitSubject.allCases.map(\.rawValue))
      .flatMap { HitSubject(rawValue: $0) } ?? .urls
    let top = Int(clamping: try query.number("top", 1...512) ?? 50)
    let entries = context.traffic.hits(subject, top: top, now: asked.at.monotonic)
    return .json(
      .object([
        ("of", .string(subject.rawValue)),
        ("sampled", .number(TrafficSketch.hitSampling)),
        (
          "hits",
          .array(
            entries.map { entry in
              .object([
                (subject == .urls ? "url" : "tag", Self.name(entry)),
                ("hits", .number(entry.count)), ("bytes", .number(entry.bytes)),
                ("error", .number(entry.error)),
              ])
            })
        ),
      ]))
  }
}

/// What is known of hits.
enum HitReport {
  /// So many URLs: what a worker keeps counters for.
  static let most = 512
}

/// A stored object as JSON. Members are only ever added.
enum ObjectReport {
  /// - Parameter hits: about how often URLs were hit of late, as far as that is known.
  static func text(
    _ object: ObjectSummary, _ hits: [[UInt8]: UInt64], now: Int64
  ) -> JSONText {
    let standing = ObjectStanding(object, now: now)
    let vary = String(decoding: object.varyRule, as: UTF8.self)
    return .object([
      ("url", .string(String(decoding: object.url, as: UTF8.self))),
      ("variant", .string(VariantName.text(object.keyHash))),
      ("vary", vary.isEmpty ? .null : .string(vary)),
      ("status", .number(UInt64(object.metadata.status))),
      ("size", .number(object.bodyLength)), ("stored_bytes", .number(object.storedBytes)),
      ("missing_bytes", .number(object.bodyLength &- min(object.bodyLength, object.bytesPresent))),
      ("etag", object.etag.isEmpty ? .null : .string(String(decoding: object.etag, as: UTF8.self))),
      (
        "last_modified",
        object.metadata.lastModified == .min
          ? .null
          : .string(
            Timestamp.text(
              object.metadata.lastModified.multipliedReportingOverflow(by: 1_000).partialValue))
      ),
      ("received", .string(Timestamp.text(object.metadata.responseTime))),
      ("age_seconds", seconds(standing.age)), ("lifetime_seconds", seconds(standing.lifetime)),
      ("ttl_seconds", seconds(standing.timeToLive)),
      ("use", .string(standing.use.rawValue)), ("reason", .string(standing.reason)),
      ("tags", .number(UInt64(clamping: object.tags.count))),
      ("uses", .number(object.uses)), ("hits", hits[object.url].map { .number($0) } ?? .null),
      ("in_main_queue", .bool(object.isInMainQueue)),
    ])
  }

  private static func seconds(_ milliseconds: Int64) -> JSONText {
    let size = JSONText.thousandths(milliseconds.magnitude)
    return milliseconds < 0 ? .verbatim("-\(size.text)") : size
  }
}
