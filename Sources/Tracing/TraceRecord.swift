// What a sampled request leaves: one span of a server, those of its phases beneath it, and, where an
// origin was asked, one of a client, whose identifier the origin was told.

/// A phase of a request's way. Each is measured from the end of the one before it.
package enum TracePhase: UInt8, CaseIterable, Sendable {
  /// Waiting to be let in: credentials, keys, passwords.
  case admission
  /// Rules of the request.
  case rules
  /// Limits, and waiting in their lines.
  case limits
  /// The lookup in the cache.
  case lookup
  /// Waiting for a place at an origin's server, for its connection and the request to be sent.
  case connect
  /// From the request to the origin to its response's head.
  case firstByte
  /// Until the response's last byte was handed over.
  case body

  /// The span's name.
  package var name: String {
    switch self {
    case .admission: "admission"
    case .rules: "rules"
    case .limits: "limits"
    case .lookup: "lookup"
    case .connect: "origin connect"
    case .firstByte: "origin first byte"
    case .body: "body"
    }
  }
}

/// A span of a request's way.
package struct TraceSpan: Sendable, Equatable {
  /// What it is of.
  package var phase: TracePhase
  /// Begin and end, nanoseconds since the epoch.
  package var start: UInt64
  package var end: UInt64

  /// A span.
  package init(_ phase: TracePhase, start: UInt64, end: UInt64) {
    self.phase = phase
    self.start = start
    self.end = end
  }
}

/// A request as it is exported.
package struct TraceRecord: Sendable, Equatable {
  /// The trace, and who asked: its `parent` is the span of the client, 0 if it named none.
  package var context: TraceContext
  /// The identifier of the server's span.
  package var span: UInt64
  /// The identifier that the origin was told; 0 if none was asked.
  package var originSpan: UInt64 = 0
  /// The client's `tracestate`; empty if it had none.
  package var state = ""
  /// Begin and end, nanoseconds since the epoch.
  package var start: UInt64
  package var end: UInt64
  /// The phases, in order.
  package var phases: [TraceSpan] = []
  /// `http.request.method`
  package var method = ""
  /// `server.address`, without a port.
  package var host = ""
  /// `url.path`; the query is left out, since it may hold what nobody else is to see.
  package var path = ""
  /// `http.route`
  package var route = ""
  /// `http.response.status_code`
  package var status: UInt16 = 0
  /// `weir.cache`: what the cache did; and `weir.detail`: why the request was forwarded, if it was.
  package var cache = ""
  package var detail = ""
  /// `network.protocol.version`
  package var version = ""
  /// `http.response.body.size`
  package var bytes: UInt64 = 0

  /// A request that began and ended.
  package init(context: TraceContext, span: UInt64, start: UInt64, end: UInt64) {
    self.context = context
    self.span = span
    self.start = start
    self.end = end
  }
}
