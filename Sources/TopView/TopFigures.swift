// What a node tells of itself once a second (the event `figures` of GET /v1/events, docs/admin.md), as far
// as `weir top` shows it. Names are those of the JSON. Counts go from the node's start: what is shown
// comes of the differences between two of these.

/// One message of the node's.
package struct TopFigures: Decodable, Sendable {
  package struct Connections: Decodable, Sendable {
    package var open: UInt64
  }

  package struct Requests: Decodable, Sendable {
    package var limited: UInt64
  }

  package struct Fills: Decodable, Sendable {
    package var under_way: UInt64
  }

  package struct Store: Decodable, Sendable {
    package var objects: UInt64
    package var bytes: UInt64
    package var limit_bytes: UInt64
    package var stored: UInt64
    package var evicted: UInt64
    package var purges_pending: UInt64
    package var writing_ended: Bool
  }

  package struct Status: Decodable, Sendable {
    package var version: String
    package var node: String
    package var uptime_seconds: Double
    package var workers: UInt64
    package var connections: Connections
    package var requests: Requests
    package var fills: Fills
    package var store: Store?
  }

  package struct Sample: Decodable, Sendable {
    /// Seconds since 1970.
    package var time: Double
    package var sent_bytes: UInt64
    package var results: [UInt64]
    package var durations: [UInt64]
  }

  package struct Limit: Decodable, Sendable {
    package var name: String
    package var delayed: UInt64
    package var rejected: UInt64
    package var waiting: UInt64
  }

  package struct Server: Decodable, Sendable {
    package var name: String
    package var state: String
    package var in_flight: UInt64
    package var requests: UInt64
    package var failures: UInt64
    package var mean_latency_ms: Double
  }

  package struct Origin: Decodable, Sendable {
    package var name: String
    package var files: String?
    package var in_flight: UInt64
    package var requests: UInt64
    package var servers: [Server]
  }

  package var status: Status
  package var sample: Sample
  package var result_names: [String]
  package var duration_bounds_us: [UInt64]
  package var classes: [String: UInt64]
  package var origin_received_bytes: UInt64
  package var limits: [Limit]
  package var origins: [Origin]
}

/// Lists that are asked for beside the figures.
package struct TopLists: Sendable {
  /// A URL, a tag, or what is missed, with its weight of late.
  package struct Entry: Sendable, Codable, Equatable {
    package var name: String
    package var count: UInt64
    package var bytes: UInt64
    /// Why, the commonest reason first; empty for hits.
    package var why: String

    /// An entry.
    package init(name: String, count: UInt64, bytes: UInt64, why: String = "") {
      self.name = name
      self.count = count
      self.bytes = bytes
      self.why = why
    }
  }

  /// A key of a limit.
  package struct Key: Sendable, Codable, Equatable {
    package var limit: String
    package var key: String
    package var weight: UInt64
    package var rejected: UInt64

    /// A key.
    package init(limit: String, key: String, weight: UInt64, rejected: UInt64) {
      self.limit = limit
      self.key = key
      self.weight = weight
      self.rejected = rejected
    }
  }

  package var hits: [Entry] = []
  package var misses: [Entry] = []
  /// Tags by hits; a dash for one whose name the node does not know.
  package var tags: [Entry] = []
  package var keys: [Key] = []
  /// Why there are none, if the node would not say.
  package var problem: String?

  /// Nothing.
  package init() {}
}
