internal import CLinux

/// What a worker counts besides requests. Where two counters belong to one family they are told
/// apart by a label.
package enum Counter: Int, CaseIterable, Sendable {
  /// Client connections accepted.
  case connectionsAccepted
  /// Client connections closed, for whatever reason; open are accepted − closed.
  case connectionsClosed
  /// Client connections closed at once for want of room.
  case connectionsRefused
  /// Failed accepts.
  case acceptErrors
  /// Bytes received from clients.
  case bytesReceived
  /// Bytes sent to clients.
  case bytesSent
  /// Heads that did not come in time.
  case headTimeouts
  /// Content that did not come in time.
  case bodyTimeouts
  /// Clients that did not read in time.
  case writeTimeouts
  /// Handshakes, and what went before them, that did not come in time.
  case handshakeTimeouts
  /// Handshakes of new sessions.
  case handshakesFull
  /// Handshakes of sessions that were resumed.
  case handshakesResumed
  /// Handshakes that came to nothing.
  case handshakesFailed
  /// Connections whose early data was taken.
  case earlyDataTaken
  /// Connections whose early data was not: old, a replay, or off.
  case earlyDataRefused
  /// Requests that were answered before their connection's handshake was done.
  case earlyAnswered
  /// Requests that came before the end of the handshake, and had to wait for it.
  case earlyWaited
  /// Connections by TLS 1.2.
  case connectionsTLS12
  /// Connections by TLS 1.3.
  case connectionsTLS13
  /// Connections with TLS that chose HTTP/2.
  case connectionsOverH2
  /// Connections with TLS that chose HTTP/1.1, or nothing.
  case connectionsOverHTTP1
  /// HTTP/2 connections ended because the client broke the protocol …
  case http2Protocol
  /// … opened and reset too many streams …
  case http2Resets
  /// … sent too many CONTINUATIONs …
  case http2Continuations
  /// … sent fields that unpack to far more than is allowed …
  case http2FieldBombs
  /// … sent too many SETTINGS …
  case http2Settings
  /// … PINGs …
  case http2Pings
  /// … priorities …
  case http2Priorities
  /// … frames with next to nothing in them …
  case http2SmallFrames
  /// … WINDOW_UPDATEs …
  case http2WindowUpdates
  /// … kept its window shut …
  case http2Stalled
  /// … or the library gave up.
  case http2Library
  /// Clients that left before their response was complete.
  case clientAborts
  /// Connections upgraded.
  case tunnelsOpened
  /// Upgraded connections closed.
  case tunnelsClosed
  /// Requests that are not valid HTTP or too large.
  case requestsRejected
  /// Requests refused by a limit.
  case limited
  /// Requests refused because the worker was behind.
  case requestsShed
  /// Requests answered with 503 for maintenance.
  case requestsInMaintenance
  /// Requests answered with 504 because no origin is to be asked.
  case requestsWithoutOrigin
  /// Requests of load balancers, by which they ask how the node is.
  case healthChecks
  /// Client connections closed at once by a limit.
  case connectionsLimited
  /// Misses that waited because their pool had enough of them.
  case missesDelayed
  /// Validations that waited for their turn.
  case validationsDelayed
  /// Requests sent to origins.
  case originRequests
  /// Requests sent again over a new connection.
  case originRetries
  /// Connections to origins opened.
  case originConnectionsOpened
  /// Connections to origins closed.
  case originConnectionsClosed
  /// Requests sent over a kept connection.
  case originConnectionsReused
  /// TLS handshakes with origins that were begun.
  case originTLSHandshakes
  /// Of them those that resumed a session.
  case originTLSResumptions
  /// Of them those that failed.
  case originTLSErrors
  /// No connection to an origin.
  case originConnectErrors
  /// An origin too slow.
  case originTimeouts
  /// A connection cut off by an origin.
  case originResets
  /// An origin's response that is not valid HTTP.
  case originFramingErrors
  /// Bytes received from origins.
  case originBytesReceived
  /// Bytes sent to origins.
  case originBytesSent
  /// Fills begun.
  case fillsStarted
  /// Fills ended, well or not.
  case fillsEnded
  /// Requests that joined a fill.
  case fillsCollapsed
  /// Requests that waited too long for another's answer and began again.
  case fillsOverdue
  /// Fills that did not complete.
  case fillsFailed
  /// Validations that brought a new response (200 …).
  case revalidatedReplaced
  /// Validations that brought 304.
  case revalidated304
  /// Requests that waited for what they wanted from the disk.
  case coldReads
  /// Requests forwarded alone: known not to be storable.
  case hitForMiss
  /// Access log records lost because the ring was full.
  case logDropped
  /// Turns of the loop.
  case loopTurns
  /// Events of the loop.
  case loopEvents
}

extension Counter {
  /// The family it is shown in, and its label's value there; nil if it is only part of a gauge.
  package var sample: (metric: Metric, label: String?)? {
    switch self {
    case .connectionsAccepted: (.connectionsAccepted, nil)
    case .connectionsClosed, .tunnelsClosed, .originConnectionsClosed, .fillsEnded: nil
    case .connectionsRefused: (.connectionsRefused, nil)
    case .acceptErrors: (.acceptErrors, nil)
    case .bytesReceived: (.receivedBytes, nil)
    case .bytesSent: (.sentBytes, nil)
    case .headTimeouts: (.clientTimeouts, "head")
    case .bodyTimeouts: (.clientTimeouts, "body")
    case .writeTimeouts: (.clientTimeouts, "write")
    case .handshakeTimeouts: (.clientTimeouts, "handshake")
    case .handshakesFull: (.handshakes, "full")
    case .handshakesResumed: (.handshakes, "resumed")
    case .handshakesFailed: (.handshakes, "failed")
    case .earlyDataTaken: (.earlyData, "taken")
    case .earlyDataRefused: (.earlyData, "refused")
    case .earlyAnswered: (.earlyRequests, "answered")
    case .earlyWaited: (.earlyRequests, "waited")
    case .connectionsTLS12: (.connectionsByVersion, "TLSv1.2")
    case .connectionsTLS13: (.connectionsByVersion, "TLSv1.3")
    case .connectionsOverH2: (.connectionsByProtocol, "h2")
    case .connectionsOverHTTP1: (.connectionsByProtocol, "http/1.1")
    case .http2Protocol: (.http2Failures, "protocol")
    case .http2Resets: (.http2Failures, "resets")
    case .http2Continuations: (.http2Failures, "continuations")
    case .http2FieldBombs: (.http2Failures, "field_bomb")
    case .http2Settings: (.http2Failures, "settings")
    case .http2Pings: (.http2Failures, "pings")
    case .http2Priorities: (.http2Failures, "priorities")
    case .http2SmallFrames: (.http2Failures, "small_frames")
    case .http2WindowUpdates: (.http2Failures, "window_updates")
    case .http2Stalled: (.http2Failures, "stalled")
    case .http2Library: (.http2Failures, "library")
    case .clientAborts: (.clientAborts, nil)
    case .tunnelsOpened: (.tunnelsOpened, nil)
    case .requestsRejected: (.requestsRejected, nil)
    case .limited: (.requestsLimited, nil)
    case .requestsShed: (.requestsShed, nil)
    case .requestsInMaintenance: (.requestsSwitchedOff, "maintenance")
    case .requestsWithoutOrigin: (.requestsSwitchedOff, "store_only")
    case .healthChecks: (.healthChecks, nil)
    case .connectionsLimited: (.connectionsLimited, nil)
    case .missesDelayed: (.missesDelayed, nil)
    case .validationsDelayed: (.validationsDelayed, nil)
    case .originRequests: (.originRequests, nil)
    case .originRetries: (.originRetries, nil)
    case .originConnectionsOpened: (.originConnectionsOpened, nil)
    case .originConnectionsReused: (.originConnectionsReused, nil)
    case .originTLSHandshakes: (.originTLSHandshakes, "begun")
    case .originTLSResumptions: (.originTLSHandshakes, "resumed")
    case .originTLSErrors: (.originTLSHandshakes, "failed")
    case .originConnectErrors: (.originErrors, "connect")
    case .originTimeouts: (.originErrors, "timeout")
    case .originResets: (.originErrors, "reset")
    case .originFramingErrors: (.originErrors, "framing")
    case .originBytesReceived: (.originReceivedBytes, nil)
    case .originBytesSent: (.originSentBytes, nil)
    case .fillsStarted: (.fills, nil)
    case .fillsCollapsed: (.fillsCollapsed, nil)
    case .fillsOverdue: (.fillsOverdue, nil)
    case .fillsFailed: (.fillsFailed, nil)
    case .revalidatedReplaced: (.revalidations, "replaced")
    case .revalidated304: (.revalidations, "not_modified")
    case .hitForMiss: (.hitForMiss, nil)
    case .coldReads: (.coldReads, nil)
    case .logDropped: (.logDropped, "full")
    case .loopTurns: (.loopTurns, nil)
    case .loopEvents: (.loopEvents, nil)
    }
  }

  /// The gauges that are a difference of two counters.
  static var gauges: [(metric: Metric, opened: Counter, closed: Counter)] {
    [
      (.connections, .connectionsAccepted, .connectionsClosed),
      (.tunnels, .tunnelsOpened, .tunnelsClosed),
      (.originConnections, .originConnectionsOpened, .originConnectionsClosed),
      (.fillsActive, .fillsStarted, .fillsEnded),
    ]
  }
}

/// A worker's counters.
///
/// One thread writes, any may read: an addition is a load and a store, not a locked instruction. What
/// is read may be a moment old, and figures read one after the other need not be of one moment.
package final class CounterBlock: @unchecked Sendable {
  // Sendable because the words are only touched by relaxed atomic loads and stores, and written by
  // one thread.
  private let words: CounterWords

  /// All counters at 0.
  package init() { words = CounterWords(count: Counter.allCases.count) }

  /// Adds to a counter. Only on the block's own thread.
  @inline(__always)
  package func add(_ counter: Counter, _ amount: UInt64 = 1) { words.add(counter.rawValue, amount) }

  /// What the counter stands at. On any thread.
  package func value(_ counter: Counter) -> UInt64 { words.value(counter.rawValue) }
}

/// Zeroed 64-bit words on cache lines of their own (two, as processors fetch them in pairs).
@safe
struct CounterWords: ~Copyable {
  private let memory: UnsafeMutableRawPointer
  private let words: UnsafeMutablePointer<UInt64>
  let count: Int

  init(count: Int) {
    // calloc leaves large blocks untouched until they are used, so that routes nobody asks for
    // cost no memory; a line in front and behind keeps neighbours off.
    guard let memory = unsafe calloc(1, count * 8 + 3 * 128) else {
      preconditionFailure("out of memory: \(count) counters")
    }
    unsafe self.memory = unsafe memory
    let start = unsafe memory.alignedUp(toMultipleOf: 128) + 128
    unsafe words = unsafe start.bindMemory(to: UInt64.self, capacity: count)
    self.count = count
  }

  deinit { unsafe free(memory) }

  /// Adds to a word; only on the owning thread.
  @inline(__always)
  func add(_ index: Int, _ amount: UInt64) {
    precondition(index >= 0 && index < count, "no such counter")
    let word = unsafe words + index
    unsafe weir_store_relaxed(word, weir_load_relaxed(word) &+ amount)
  }

  @inline(__always)
  func value(_ index: Int) -> UInt64 {
    precondition(index >= 0 && index < count, "no such counter")
    return unsafe weir_load_relaxed(words + index)
  }
}
