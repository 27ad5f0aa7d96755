internal import Synchronization

/// All of a node's figures, summed when they are asked for.
///
/// Workers register their blocks once and then never meet the registry again: reading costs them
/// nothing but the cache lines.
package final class MetricsRegistry: Sendable {
  private struct State {
    var counters: [CounterBlock] = []
    var requests: [RequestCounters] = []
    var sources: [@Sendable (inout MetricsWriter) -> Void] = []
  }
  private let state = Mutex(State())
  let exemplars = ExemplarTable()

  /// What stands for the route of requests that matched none.
  package static let noRoute = "none"

  /// No figures yet.
  package init() {}

  /// Adds a worker's blocks. What they count stays in the sums when the worker has ended.
  package func register(counters: CounterBlock, requests: RequestCounters) {
    state.withLock {
      $0.counters.append(counters)
      $0.requests.append(requests)
    }
  }

  /// Adds the block of a thread that answers no requests.
  package func register(counters: CounterBlock) { state.withLock { $0.counters.append(counters) } }

  /// Adds what others count: the store, limits, the log. Called on the thread that asks for the
  /// figures, which must not be a worker's, at every scrape.
  package func addSource(_ source: @escaping @Sendable (inout MetricsWriter) -> Void) {
    state.withLock { $0.sources.append(source) }
  }

  /// The workers' blocks.
  var requestBlocks: [RequestCounters] { state.withLock { $0.requests } }

  /// The answer to a scrape.
  package func prometheus(_ format: MetricsFormat = .text) -> [UInt8] {
    let state = state.withLock { $0 }
    var writer = MetricsWriter(format)
    Self.addCounters(state.counters, to: &writer)
    addRequests(state.requests, to: &writer)
    for source in state.sources { source(&writer) }
    return writer.text()
  }

  /// A counter's sum over all workers.
  package func total(_ counter: Counter) -> UInt64 {
    Self.sum(counter, state.withLock { $0.counters })
  }

  /// How many requests were answered; nil stands for any. `none` is the route of requests that matched
  /// none of them. A status that is not counted apart gives the count of its class's rest.
  package func requests(
    route: String? = nil, status: UInt16? = nil, result: CacheResult? = nil
  ) -> UInt64 {
    let slots = status.map { [Int(StatusSlots.bySlot[Int(min($0, 600))])] }
    var sum: UInt64 = 0
    for block in state.withLock({ $0.requests }) {
      for (row, name) in Self.rows(of: block) {
        if let route, route != name { continue }
        for slot in slots ?? Array(0..<StatusSlots.count) {
          for each in result.map({ [$0] }) ?? CacheResult.allCases {
            sum &+= block.requests(route: row, slot: slot, result: each)
          }
        }
      }
    }
    return sum
  }

  /// The rows of a block with the names of their routes; nil is the row of no route.
  static func rows(of block: RequestCounters) -> [(row: Int?, name: String)] {
    block.routes.enumerated().map { ($0.offset, $0.element) } + [(nil, noRoute)]
  }

  private static func sum(_ counter: Counter, _ blocks: [CounterBlock]) -> UInt64 {
    blocks.reduce(0) { $0 &+ $1.value(counter) }
  }

  private static func addCounters(_ blocks: [CounterBlock], to writer: inout MetricsWriter) {
    for gauge in Counter.gauges {
      // Closed first: between the two reads one may be opened, never one closed that was not open.
      let closed = sum(gauge.closed, blocks)
      let opened = sum(gauge.opened, blocks)
      writer.add(gauge.metric, opened > closed ? opened - closed : 0)
    }
    for counter in Counter.allCases {
      guard let (metric, label) = counter.sample else { continue }
      writer.add(metric, sum(counter, blocks), label.map { [$0] } ?? [])
    }
  }

  private func addRequests(_ blocks: [RequestCounters], to writer: inout MetricsWriter) {
    for block in blocks {
      for (row, route) in Self.rows(of: block) {
        for slot in 0..<StatusSlots.count {
          for result in CacheResult.allCases {
            let count = block.requests(route: row, slot: slot, result: result)
            if count == 0 { continue }
            writer.add(
              .requests, count, [route, StatusSlots.labels[slot], result.label.description])
          }
        }
        writer.add(.responseBytes, block.bytes(route: row), [route])
        writer.add(.storedBytes, block.storedBytes(route: row), [route])
        writer.add(.routeOriginBytes, block.originBytes(route: row), [route])
      }
    }
    if !blocks.isEmpty {
      addDurations(blocks, to: &writer)
      addRouteDurations(blocks, to: &writer)
    }
    for (worker, block) in blocks.enumerated() {
      let turns = block.turnLengths()
      writer.add(
        .loopTurn, histogram: turns.counts, bounds: RequestCounters.bounds.map { Double($0) / 1e9 },
        sum: Double(turns.sum) / 1e9, ["\(worker)"])
    }
  }

  /// Of routes that were asked for.
  private func addRouteDurations(_ blocks: [RequestCounters], to writer: inout MetricsWriter) {
    var order: [String] = []
    var totals: [String: (counts: [UInt64], sum: UInt64)] = [:]
    for block in blocks {
      for (row, route) in Self.rows(of: block) {
        let durations = block.durations(route: row)
        if durations.counts.allSatisfy({ $0 == 0 }) { continue }
        guard let known = totals[route] else {
          order.append(route)
          totals[route] = durations
          continue
        }
        totals[route] = (
          zip(known.counts, durations.counts).map { $0 &+ $1 }, known.sum &+ durations.sum
        )
      }
    }
    let bounds = RequestCounters.boundsOfRoute.map { Double($0) / 1e9 }
    for route in order {
      guard let total = totals[route] else { continue }
      writer.add(
        .routeDuration, histogram: total.counts, bounds: bounds, sum: Double(total.sum) / 1e9,
        [route])
    }
  }

  private func addDurations(_ blocks: [RequestCounters], to writer: inout MetricsWriter) {
    let bounds = RequestCounters.bounds.map { Double($0) / 1e9 }
    for result in CacheResult.allCases {
      var counts = [UInt64](repeating: 0, count: RequestCounters.buckets)
      var sum: UInt64 = 0
      for durations in blocks.map({ $0.durations(result) }) {
        for (index, count) in durations.counts.enumerated() { counts[index] &+= count }
        sum &+= durations.sum
      }
      writer.add(
        .requestDuration, histogram: counts, bounds: bounds, sum: Double(sum) / 1e9,
        [result.label.description], exemplars: exemplars.all(result))
    }
  }
}
