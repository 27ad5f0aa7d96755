// What operators ask their caches for most: which URLs, hosts, query parameters and tags the origin is
// asked for, how often, how much and why; and which URLs and tags are hit most.
//
// Each worker has one of these and notes what its requests to origins came to when they end (a few
// hundred nanoseconds, off the way of hits), the tags of one of `tagSampling` of them (there may be many on
// each), and one hit of `hitSampling`. They are summed when somebody looks. The lock is the worker's own:
// it waits there only for whoever looks, for as long as a copy takes.

internal import Bytes
internal import HTTPCaching
import Synchronization

/// What is counted.
package enum TrafficSubject: String, Sendable, CaseIterable {
  /// URLs.
  case urls
  /// Hosts.
  case hosts
  /// Names of query parameters.
  case parameters
  /// Tags of what origins answer.
  case tags
}

/// What hits are counted by.
package enum HitSubject: String, Sendable, CaseIterable {
  /// URLs.
  case urls
  /// Tags of stored responses.
  case tags
}

/// By what a list is ordered.
package enum TrafficWeight: String, Sendable, CaseIterable {
  /// How often the origin was asked.
  case misses
  /// How many bytes it sent.
  case bytes
}

/// An entry of a list.
package struct TrafficEntry: Sendable {
  /// The URL, the host, the parameter or the tag, cut at 1,024 bytes. Empty: a tag whose name no origin has
  /// said since the start.
  package let name: [UInt8]
  /// Requests lately: halved every five minutes.
  package let count: UInt64
  /// Bytes lately.
  package let bytes: UInt64
  /// How much of what the list is ordered by may be others', which is then not in `count` or `bytes`.
  package let error: UInt64
  /// Why the origin was asked (RFC 9211 §2.2), and how often; empty for hits.
  package let reasons: [(name: String, count: UInt64)]
}

/// One worker's part.
package final class TrafficSketch: Sendable {
  /// One hit of so many is noted.
  package static var hitSampling: UInt64 { 128 }
  /// The tags of one answer of an origin's of so many are noted.
  package static var tagSampling: UInt64 { 8 }
  /// Of a response with very many tags so many count.
  static let mostTags = 16

  private struct State {
    var lists = [HeavyHitters](
      repeating: HeavyHitters(),
      count: TrafficSubject.allCases.count * TrafficWeight.allCases.count)
    var hits = [HeavyHitters](repeating: HeavyHitters(), count: HitSubject.allCases.count)
  }

  private let state = Mutex(State())
  private let hash: SipHash
  /// What tags are called, for all workers.
  let tagNames: TagNames

  /// Nothing yet; all workers hash with the same secret.
  init(_ hash: SipHash, _ tagNames: TagNames) {
    self.hash = hash
    self.tagNames = tagNames
  }

  private static func list(_ subject: TrafficSubject, _ weight: TrafficWeight) -> Int {
    let first =
      switch subject {
      case .urls: 0
      case .hosts: 2
      case .parameters: 4
      case .tags: 6
      }
    return switch weight {
    case .misses: first
    case .bytes: first + 1
    }
  }

  /// Notes a request to an origin that has ended.
  func noteMiss(
    url: ByteView, host: ByteView, query: ByteView?, reason: ForwardReason, bytes: UInt64,
    now: Int64
  ) {
    let kind = Int(reason.rawValue)
    state.withLock { state in
      note(&state, .urls, url, kind, bytes, now)
      note(&state, .hosts, host, kind, bytes, now)
      var seen = 0
      var start = 0
      guard let query else { return }
      // Of a query with very many parameters the first count.
      while start < query.count, seen < 16 {
        let end = query.firstIndex(of: UInt8(ascii: "&"), from: start) ?? query.count
        let pair = query[start..<end]
        let name = pair.prefix(pair.firstIndex(of: ASCII.equals) ?? pair.count)
        if !name.isEmpty {
          note(&state, .parameters, name.prefix(128), kind, bytes, now)
          seen += 1
        }
        start = end + 1
      }
    }
  }

  private func note(
    _ state: inout State, _ subject: TrafficSubject, _ name: ByteView, _ kind: Int,
    _ bytes: UInt64, _ now: Int64
  ) {
    let key = hash.hash(name).low
    state.lists[Self.list(subject, .misses)].record(
      name, hash: key, weight: 1, kind: kind, count: 1, bytes: bytes, now: now)
    state.lists[Self.list(subject, .bytes)].record(
      name, hash: key, weight: bytes, kind: kind, count: 1, bytes: bytes, now: now)
  }

  /// Notes a request to an origin that has ended, which stands for `tagSampling` of them, by the tags of
  /// the answer.
  func noteMiss(tags: [UInt64], reason: ForwardReason, bytes: UInt64, now: Int64) {
    let many = Self.tagSampling
    let sum = Self.product(bytes, many)
    for tag in tags {
      tagNames.name(of: tag).withView { name in
        state.withLock { state in
          for weight in TrafficWeight.allCases {
            state.lists[Self.list(.tags, weight)].record(
              name, hash: tag, weight: weight == .bytes ? sum : many, kind: Int(reason.rawValue),
              count: many, bytes: sum, now: now)
          }
        }
      }
    }
  }

  /// Notes a hit that stands for `hitSampling` of them.
  func noteHit(url: ByteView, tags: [UInt64], bytes: UInt64, now: Int64) {
    noteHit(.urls, url, hash.hash(url).low, bytes, now)
    for tag in tags { tagNames.name(of: tag).withView { noteHit(.tags, $0, tag, bytes, now) } }
  }

  private func noteHit(
    _ subject: HitSubject, _ name: ByteView, _ hash: UInt64, _ bytes: UInt64, _ now: Int64
  ) {
    let many = Self.hitSampling
    state.withLock { state in
      state.hits[Self.list(subject)].record(
        name, hash: hash, weight: many, kind: -1, count: many, bytes: Self.product(bytes, many),
        now: now)
    }
  }

  private static func list(_ subject: HitSubject) -> Int {
    switch subject {
    case .urls: 0
    case .tags: 1
    }
  }

  private static func product(_ bytes: UInt64, _ count: UInt64) -> UInt64 {
    let (product, isOver) = bytes.multipliedReportingOverflow(by: count)
    return isOver ? .max : product
  }

  fileprivate func misses(
    _ subject: TrafficSubject, _ weight: TrafficWeight, now: Int64
  ) -> [(hash: UInt64, entry: HeavyHitters.Entry)] {
    state.withLock { state in
      let place = Self.list(subject, weight)
      state.lists[place].age(now)
      return state.lists[place].all
    }
  }

  fileprivate func hits(
    _ subject: HitSubject, now: Int64
  ) -> [(hash: UInt64, entry: HeavyHitters.Entry)] {
    state.withLock { state in
      let place = Self.list(subject)
      state.hits[place].age(now)
      return state.hits[place].all
    }
  }
}

/// The parts of all workers.
package final class NodeTraffic: Sendable {
  private let sketches = Mutex<[TrafficSketch]>([])
  private let hash = SipHash(key: Random.hash128())
  private let tagNames = TagNames()

  init() {}

  /// A worker's part.
  func makeSketch() -> TrafficSketch {
    let sketch = TrafficSketch(hash, tagNames)
    sketches.withLock { $0.append(sketch) }
    return sketch
  }

  /// What origins were asked for, heaviest first.
  package func misses(
    _ subject: TrafficSubject, by weight: TrafficWeight, top: Int, now: Int64
  ) -> [TrafficEntry] {
    sum(sketches.withLock { $0 }.map { $0.misses(subject, weight, now: now) }, top)
  }

  /// What was hit most, as one hit of `TrafficSketch.hitSampling` says.
  package func hits(_ subject: HitSubject, top: Int, now: Int64) -> [TrafficEntry] {
    sum(sketches.withLock { $0 }.map { $0.hits(subject, now: now) }, top)
  }

  private func sum(
    _ parts: [[(hash: UInt64, entry: HeavyHitters.Entry)]], _ top: Int
  ) -> [TrafficEntry] {
    var sums: [UInt64: HeavyHitters.Entry] = [:]
    for (hash, entry) in parts.joined() {
      guard var known = sums[hash] else {
        sums[hash] = entry
        continue
      }
      if known.name.isEmpty { known.name = entry.name }
      known.weight = HeavyHitters.Tally.sum(known.weight, entry.weight)
      known.error = HeavyHitters.Tally.sum(known.error, entry.error)
      known.tally.add(entry.tally)
      sums[hash] = known
    }
    let sorted = sums.sorted {
      $0.value.weight != $1.value.weight
        ? $0.value.weight > $1.value.weight
        : $0.value.name.lexicographicallyPrecedes($1.value.name)
    }
    return sorted.prefix(top).map { hash, entry in
      // Only of tags a name can be missing; it may have become known since.
      TrafficEntry(
        name: entry.name.isEmpty ? tagNames.name(of: hash) : entry.name, count: entry.tally.count,
        bytes: entry.tally.bytes, error: entry.error,
        reasons: ForwardReason.allCases.compactMap { reason in
          let count = entry.tally.byKind[Int(reason.rawValue)]
          return count > 0 ? ("\(reason.name)", count) : nil
        })
    }
  }
}
