package import EventLoop
package import TLS
package import TrafficFormats

/// Which connections requests take.
package enum ConnectionUse: Equatable, Sendable {
  /// Any that is free; kept.
  case shared
  /// Those of its client, of which it has up to six, as browsers do; kept.
  case perClient
  /// A new one for this share of requests, 0 to 1; any that is free for the others.
  case fresh(share: Double)
}

/// How the server learns of a client's address.
package enum ClientAddressing: String, Equatable, Sendable, CaseIterable {
  /// Not at all: all requests come from here.
  case none
  /// By the field `X-Forwarded-For`.
  case forwarded
  /// By a PROXY protocol header (version 1) in front of each connection, which then has one client.
  case proxy
}

/// What of a recording is replayed, and how it is changed.
package struct Faithfulness: Sendable {
  /// The host for all requests; nil: each its own, or the target's if it has none.
  package var host: String?
  /// Methods that are replayed; empty: all.
  package var methods: Set<String> = []
  /// Fields of the recording that are sent, in lower case; nil: all but those about the connection.
  package var fields: Set<String>?
  /// Fields that every request has besides.
  package var addedFields: [(name: String, value: String)] = []
  /// How clients are named.
  package var addressing = ClientAddressing.none
  /// Patterns in targets and what takes their place.
  package var rewrites: [Rewrite] = []
  /// The share of clients whose requests are replayed, 0 to 1.
  package var sample = 1.0
  /// Whether requests have content of the recorded length.
  package var sendsBodies = true
  /// Who makes tokens for users; nil: nobody.
  package var tokens: TokenMint?
  /// Whether each repetition of the recording asks for other paths.
  package var shiftsKeys = false

  /// Everything as it was recorded.
  package init() {}
}

/// A replay, completely described.
package struct ReplayPlan: Sendable {
  /// The server.
  package var address: SocketAddress
  /// The host that requests without one ask for, and that TLS names.
  package var host: String
  /// TLS towards it; nil: none.
  package var tls: ClientTLSContext?
  /// The recordings, one after the other; `-` is standard input.
  package var inputs: [String] = []
  /// Their format; nil: found out.
  package var format: TrafficFormat?
  /// When requests are sent.
  package var pace = Pace.recorded(factor: 1)
  /// Requests in flight at once, as many clients would have that wait for their answers (closed loop); nil:
  /// as many as the pace makes (open loop).
  package var clients: Int?
  /// Which connections they take.
  package var connections = ConnectionUse.shared
  /// The most connections at once.
  package var maxConnections = 4_096
  /// Threads that send.
  package var threads = 1
  /// What is replayed.
  package var faithfulness = Faithfulness()
  /// How long requests are sent, nanoseconds; nil: until the recording ends.
  package var duration: Int64?
  /// How long results are not counted at first, nanoseconds.
  package var warmUp: Int64 = 0
  /// How many requests are sent at most.
  package var requestLimit: Int?
  /// How often the recording is played; nil: until the duration is over.
  package var loops: Int? = 1
  /// How long an answer may take, nanoseconds.
  package var timeout: Int64 = 10_000_000_000
  /// From what delay on a request counts as sent late, nanoseconds.
  package var lateAfter: Int64 = 1_000_000
  /// The 99th percentile, in nanoseconds, that a step may have before it counts as beyond the knee.
  package var kneeLatency: Int64 = 100_000_000

  /// A replay against a server, of nothing yet.
  package init(address: SocketAddress, host: String) {
    self.address = address
    self.host = host
  }

  /// The most requests in flight.
  var inFlightLimit: Int { clients ?? (pace.hasSchedule ? 100_000 : 64) }
}
