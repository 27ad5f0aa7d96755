// Requests, counted where they end: one word for each (route, status, result), a route's bytes and
// durations, and a histogram of durations for each result; and the turns of the worker's loop by how long
// they took. To count a request is six additions at computed places.
//
//   route r:  (slots × results) counts | bytes not from the store | bytes from the store
//             | bytes from origins | sum of nanoseconds | 11 buckets   … one more row for no route
//   result c: 22 buckets | sum of nanoseconds | unused
//   turns:    the same
//
// Rows of routes come in chunks of 64. A reload may bring more routes: their chunks are added, and what is
// there never moves, so that whoever reads the figures meanwhile needs no lock.
//
// The bounds of the histogram are 50 µs × 2ⁿ up to 52.4 s, so that the bucket is the position of the
// highest bit of (duration − 1) / 50 µs. A route has every second of these bounds, from 100 µs to 26.2 s.

/// What the cache did for a request; the `cache` label of logs and figures.
package enum CacheResult: UInt8, CaseIterable, Sendable {
  /// Answered from a fresh stored response.
  case hit
  /// Fetched from the origin, because nothing usable was stored.
  case miss
  /// Answered from a stale stored response.
  case stale
  /// Answered from a stored response that its origin has just validated.
  case revalidated
  /// Answered from another request's fetch while it went on.
  case collapsed
  /// Forwarded without looking into the cache, or known not to be storable.
  case pass
  /// No response could be had from the origin; the node answered with an error.
  case error
  /// The node answered by itself: a refusal, a redirect, no such route.
  case none

  /// The label's value.
  package var label: StaticString {
    switch self {
    case .hit: "hit"
    case .miss: "miss"
    case .stale: "stale"
    case .revalidated: "revalidated"
    case .collapsed: "collapsed"
    case .pass: "pass"
    case .error: "error"
    case .none: "none"
    }
  }
}

extension CacheResult {
  /// Whether a stored response was the answer, without a word from the origin before it.
  var isFromStore: Bool {
    switch self {
    case .hit, .stale: true
    case .miss, .revalidated, .collapsed, .pass, .error, .none: false
    }
  }
}

/// Which status codes are counted apart. The rest count by class, so that `status=~"5.."` finds all.
enum StatusSlots {
  static let known: [UInt16] = [
    101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408,
    409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 426, 429, 431, 451, 499, 500, 501, 502,
    503, 504, 505,
  ]
  private static let classes = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"]
  static let labels: [String] = known.map { String($0) } + classes
  static var count: Int { labels.count }

  /// The slot of every code below 600, and last that of all others.
  static let bySlot: [UInt8] = (0...600).map { code in
    if let index = known.firstIndex(of: UInt16(code)) { return UInt8(index) }
    let family = code / 100
    return UInt8(known.count + ((1...5).contains(family) ? family - 1 : classes.count - 1))
  }
}

/// A worker's counts of requests. One thread records, any may read.
package final class RequestCounters: @unchecked Sendable {
  // Sendable for the same reason as CounterBlock.
  /// The row of no route, and the histograms.
  private let words: CounterWords
  private let rows: CounterRows
  private let slots: [UInt8] = StatusSlots.bySlot
  private let rowLength: Int
  private let histograms: Int
  private let turns: Int
  private let names: RouteNames
  // Cells of a row, behind the counts.
  private let bytes: Int
  private let originBytes: Int
  private let routeSum: Int
  private let routeBuckets: Int

  static let results = CacheResult.allCases.count
  static let buckets = 22
  /// The bounds in nanoseconds; the last bucket has none.
  static var bounds: [Int64] { (0..<buckets - 1).map { 50_000 << Int64($0) } }
  private static let histogramLength = buckets + 2
  static let bucketsOfRoute = buckets / 2
  /// The bounds of a route's durations in nanoseconds; the last bucket has none.
  static var boundsOfRoute: [Int64] { (0..<bucketsOfRoute - 1).map { 100_000 << Int64($0 * 2) } }

  /// All at 0, for these routes.
  package convenience init(routes: [String]) { self.init(names: RouteNames(routes)) }

  /// All at 0, for the routes that have names now; `addRoutes` makes room for later ones.
  package init(names: RouteNames) {
    self.names = names
    bytes = StatusSlots.count * Self.results
    originBytes = bytes + 2
    routeSum = bytes + 3
    routeBuckets = bytes + 4
    rowLength = routeBuckets + Self.bucketsOfRoute
    histograms = rowLength
    turns = histograms + Self.results * Self.histogramLength
    words = CounterWords(count: turns + Self.histogramLength)
    rows = CounterRows(rowLength: rowLength)
    addRoutes()
  }

  /// The routes' names, in the order of their numbers.
  package var routes: [String] { names.all }

  /// Makes room for routes that have got names since. Only on the owning thread.
  package func addRoutes() { rows.grow(to: names.all.count) }

  /// Counts a request that has ended: `bytes` sent, `duration` in nanoseconds. A route that is not
  /// one counts as none. Only on the owning thread.
  package func record(
    route: Int, status: UInt16, result: CacheResult, bytes: UInt64, duration: Int64
  ) {
    let cell = cell(slots[Int(min(status, 600))], result)
    let duration = max(duration, 0)
    let bucket = Self.bucket(duration)
    let sent = self.bytes &+ (result.isFromStore ? 1 : 0)
    let routeBucket = routeBuckets &+ bucket / 2
    if rows.has(route) {
      rows.add(route, cell, 1)
      rows.add(route, sent, bytes)
      rows.add(route, routeSum, UInt64(duration))
      rows.add(route, routeBucket, 1)
    } else {
      words.add(cell, 1)
      words.add(sent, bytes)
      words.add(routeSum, UInt64(duration))
      words.add(routeBucket, 1)
    }
    let histogram = histograms &+ Int(result.rawValue) &* Self.histogramLength
    words.add(histogram &+ bucket, 1)
    words.add(histogram &+ Self.buckets, UInt64(duration))
  }

  /// Counts bytes that an origin has sent for a request of a route. Only on the owning thread.
  package func addOriginBytes(route: Int, _ count: UInt64) {
    if rows.has(route) {
      rows.add(route, originBytes, count)
    } else {
      words.add(originBytes, count)
    }
  }

  /// Counts a turn of the worker's loop that took so long, in nanoseconds. Only on the owning thread.
  @inline(__always)
  package func recordTurn(_ duration: Int64) {
    let duration = max(duration, 0)
    words.add(turns &+ Self.bucket(duration), 1)
    words.add(turns &+ Self.buckets, UInt64(duration))
  }

  /// The histogram's bucket of a duration.
  @inline(__always)
  static func bucket(_ duration: Int64) -> Int {
    guard duration > 0 else { return 0 }
    let steps = UInt64(duration &- 1) / 50_000
    return min(64 &- steps.leadingZeroBitCount, buckets &- 1)
  }

  @inline(__always)
  private func cell(_ slot: UInt8, _ result: CacheResult) -> Int {
    Int(slot) &* Self.results &+ Int(result.rawValue)
  }

  /// Requests of a route (nil: of none) in a status slot with a result.
  func requests(route: Int?, slot: Int, result: CacheResult) -> UInt64 {
    value(route, cell(UInt8(slot), result))
  }

  /// A route's bytes (nil: of none).
  func bytes(route: Int?) -> UInt64 { value(route, bytes) &+ value(route, bytes + 1) }

  /// Of these, those of stored responses.
  func storedBytes(route: Int?) -> UInt64 { value(route, bytes + 1) }

  /// Bytes that origins have sent for a route.
  func originBytes(route: Int?) -> UInt64 { value(route, originBytes) }

  /// A route's durations, bucket by bucket, and their sum in nanoseconds.
  func durations(route: Int?) -> (counts: [UInt64], sum: UInt64) {
    (
      (0..<Self.bucketsOfRoute).map { value(route, routeBuckets + $0) }, value(route, routeSum)
    )
  }

  /// The loop's turns, as `durations`.
  func turnLengths() -> (counts: [UInt64], sum: UInt64) {
    ((0..<Self.buckets).map { words.value(turns + $0) }, words.value(turns + Self.buckets))
  }

  private func value(_ route: Int?, _ cell: Int) -> UInt64 {
    guard let route else { return words.value(cell) }
    return rows.has(route) ? rows.value(route, cell) : 0
  }

  /// A histogram's counts, bucket by bucket, and its sum in nanoseconds.
  func durations(_ result: CacheResult) -> (counts: [UInt64], sum: UInt64) {
    let start = histograms + Int(result.rawValue) * Self.histogramLength
    return ((0..<Self.buckets).map { words.value(start + $0) }, words.value(start + Self.buckets))
  }
}
