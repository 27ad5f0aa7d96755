/// What all requests of a node came to, from its start.
package struct TrafficTotals: Sendable, Equatable {
  /// How many, by what the cache did, in the order of `CacheResult.allCases`.
  package var results: [UInt64]
  /// How many, by how long they took: up to 50 µs × 2ⁿ for each but the last, which is for all else.
  package var durations: [UInt64]

  /// None.
  package init() {
    results = Array(repeating: 0, count: RequestCounters.results)
    durations = Array(repeating: 0, count: RequestCounters.buckets)
  }

  /// The upper bounds of `durations`, in nanoseconds; the last has none.
  package static var bounds: [Int64] { RequestCounters.bounds }
}

/// What the requests of a route came to, from the node's start.
package struct RouteTotals: Sendable, Equatable {
  /// The route's name; `none` of requests that matched none.
  package var name: String
  /// How many requests were answered, and how many of them by a stored response (fresh or stale).
  package var requests: UInt64 = 0
  package var hits: UInt64 = 0
  /// How many of them were answered with 5xx.
  package var serverErrors: UInt64 = 0
  /// Bytes of their responses.
  package var bytes: UInt64 = 0
}

/// What is accounted of a route, from the node's start.
package struct RouteAccount: Sendable, Equatable {
  /// Requests answered.
  package var requests: UInt64 = 0
  /// Bytes of content sent to clients.
  package var sent: UInt64 = 0
  /// Of these, those of stored responses.
  package var stored: UInt64 = 0
  /// Bytes received from origins.
  package var received: UInt64 = 0

  /// Nothing yet.
  package init() {}
}

extension MetricsRegistry {
  /// What is accounted of each route that was asked for, by its name. Reads every word of every route.
  package func accounts() -> [String: RouteAccount] {
    var accounts: [String: RouteAccount] = [:]
    for block in requestBlocks {
      for (row, name) in Self.rows(of: block) {
        let (counts, _) = block.durations(route: row)
        let requests = counts.reduce(0, &+)
        let received = block.originBytes(route: row)
        if requests == 0 && received == 0 { continue }
        var account = accounts[name] ?? RouteAccount()
        account.requests &+= requests
        account.sent &+= block.bytes(route: row)
        account.stored &+= block.storedBytes(route: row)
        account.received &+= received
        accounts[name] = account
      }
    }
    return accounts
  }

  /// The classes of status codes, as `statusClasses()` counts them.
  package static let statusClasses = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"]

  /// All requests by result and by duration. Reads a few hundred words of each worker, whatever the
  /// number of routes.
  package func traffic() -> TrafficTotals {
    var totals = TrafficTotals()
    for block in requestBlocks {
      for result in CacheResult.allCases {
        for (bucket, count) in block.durations(result).counts.enumerated() {
          totals.results[Int(result.rawValue)] &+= count
          totals.durations[bucket] &+= count
        }
      }
    }
    return totals
  }

  /// All requests by route, in the order of the configuration, and by class of status code. Reads every
  /// word of every route.
  package func routes() -> (routes: [RouteTotals], classes: [UInt64]) {
    var totals: [RouteTotals] = []
    var places: [String: Int] = [:]
    var classes = [UInt64](repeating: 0, count: Self.statusClasses.count)
    for block in requestBlocks {
      for (row, name) in Self.rows(of: block) {
        let place = places[name] ?? totals.count
        if place == totals.count {
          places[name] = place
          totals.append(RouteTotals(name: name))
        }
        for slot in 0..<StatusSlots.count {
          for result in CacheResult.allCases {
            let count = block.requests(route: row, slot: slot, result: result)
            if count == 0 { continue }
            classes[StatusSlots.classes[slot]] &+= count
            totals[place].requests &+= count
            if result.isFromStore { totals[place].hits &+= count }
            if StatusSlots.classes[slot] == 4 { totals[place].serverErrors &+= count }
          }
        }
        totals[place].bytes &+= block.bytes(route: row)
      }
    }
    return (totals, classes)
  }
}

extension StatusSlots {
  /// The class of each slot, as an index into `MetricsRegistry.statusClasses`.
  fileprivate static let classes: [Int] = labels.map { label in
    let first = label.utf8.first.map { Int($0) - 0x31 } ?? 5
    return (0..<5).contains(first) ? first : 5
  }
}
