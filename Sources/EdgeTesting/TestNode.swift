// A real node, in the test's process, on sockets that the system picked, with a clock that stands still
// until the test moves it.

internal import Configuration
package import EventLoop
package import Metrics
package import Node
internal import ObjectStore
import Synchronization

/// A node under test.
package final class TestNode: Sendable {
  private let held: Mutex<Node?>
  /// Its figures, which outlive it.
  package let metrics: MetricsRegistry
  /// Its time. `nil` for the system's.
  package let clock: NodeClock
  /// What it had to say.
  package let notes: Watched<[String]>
  /// Where its store and its log are. Shared by the nodes that a test starts one after the other.
  package let directory: TemporaryDirectory
  private let stopped = Watched(false)

  /// When a manual clock begins: 2026-01-01 00:00:00 UTC, in ms.
  package static let start: Int64 = 1_767_225_600_000

  /// Starts a node with one origin called `app` and one site for every host.
  ///
  /// - Parameters:
  ///   - origin: the port of the origin on loopback.
  ///   - settings: what stands in the route (`limit x;`, `cache off;`).
  ///   - top: what stands at the top level (`limit x { … }`, `client { … }`).
  ///   - pool: what stands in the origin's block (timeouts).
  ///   - store: what stands in the store's block; nil: no store.
  ///   - directory: of a node before, for a restart.
  ///   - clock: nil: a manual one. `NodeClock()` for the system's.
  package static func start(
    origin: UInt16, route settings: String = "", top: String = "", pool: String = "",
    store: String? = "", workers: Int = 2, directory: TemporaryDirectory? = nil,
    clock: NodeClock? = nil
  ) throws -> TestNode {
    let directory = try directory ?? TemporaryDirectory()
    let storeBlock = store.map { "store ./store { \($0) }" } ?? ""
    return try start(
      configuration: """
        workers \(workers);
        listen 127.0.0.1:0;
        admin 127.0.0.1:0 { token "a-token-for-the-tests"; }
        access_log ./access.log;
        \(storeBlock)
        \(top)
        origin app { server 127.0.0.1:\(origin); \(pool) }
        site * { route / { origin app; \(settings) } }
        """, directory: directory, clock: clock)
  }

  /// Starts a node with a configuration of the test's own; relative paths are in `directory`.
  package static func start(
    configuration text: String, directory: TemporaryDirectory, clock: NodeClock? = nil
  ) throws -> TestNode {
    let loaded = ConfigurationFile.parse(text, name: "edge.conf", directory: directory.path)
    guard let configuration = loaded.configuration else {
      throw NodeError(Diagnostic.text(loaded.diagnostics))
    }
    let path = try directory.write("edge.conf", text)
    let clock = clock ?? NodeClock(manualFrom: start)
    let notes = Watched<[String]>([])
    let listeners = try NodeListeners.open(
      configuration, workers: Node.workers(of: configuration))
    let node = try Node.start(
      configuration,
      text: ConfigurationText(name: path, directory: directory.path, bytes: Array(text.utf8)),
      listeners: listeners, clock: clock
    ) { line in
      notes.update { $0.append(line) }
    }
    return TestNode(node: node, clock: clock, notes: notes, directory: directory)
  }

  private init(
    node: Node, clock: NodeClock, notes: Watched<[String]>, directory: TemporaryDirectory
  ) {
    held = Mutex(node)
    metrics = node.metrics
    port = node.addresses.first?.port ?? 0
    lastPort = node.addresses.last?.port ?? 0
    adminPort = node.adminAddress?.port ?? 0
    self.clock = clock
    self.notes = notes
    self.directory = directory
  }

  deinit { stop(within: 0) }

  /// The port that clients connect to.
  package let port: UInt16
  /// The port of the last listener.
  package let lastPort: UInt16
  /// The admin's port.
  package let adminPort: UInt16
  /// The bearer token of the admin's listener.
  package static let token = "a-token-for-the-tests"

  /// A client's connection to the node.
  package func connect() async throws -> RawClient { try await RawClient.connect(to: port) }

  /// Asks on a connection of its own.
  package func get(_ target: String, _ fields: String...) async throws -> PeerResponse {
    let client = try await connect()
    defer { client.close() }
    return try await client.request("GET", target, fields)
  }

  /// Asks the admin's listener, once all is counted that was answered before.
  package func admin(_ method: String, _ target: String, json: String? = nil) async throws
    -> PeerResponse
  {
    catchUp()
    let client = try await RawClient.connect(to: adminPort)
    defer { client.close() }
    var fields = ["Authorization: Bearer \(Self.token)"]
    if json != nil { fields.append("Content-Type: application/json") }
    return try await client.request(
      method, target, host: "localhost", fields, body: json)
  }

  /// Writes another configuration and has the node read it; what the admin's listener answers. It must
  /// have `TestNode.adminBlock` from the beginning.
  package func reload(_ configuration: String) async throws -> PeerResponse {
    try directory.write("edge.conf", configuration)
    return try await admin("POST", "/v1/config/reload")
  }

  /// The admin's listener, for configurations of a test's own.
  package static let adminBlock = "admin 127.0.0.1:0 { token \"\(token)\"; }"

  /// Purges by tag.
  package func purge(_ tags: String...) async throws -> PeerResponse {
    let list = tags.map { "\"\($0)\"" }.joined(separator: ",")
    return try await admin("POST", "/v1/purge", json: "{\"tags\": [\(list)]}")
  }

  /// Lets time pass. Timers that it makes due ring before the next thing the test does is answered.
  package func advance(seconds: Double) {
    clock.advance(nanoseconds: Int64(seconds * 1_000_000_000))
  }

  /// Waits until workers have counted, logged and begun all that belongs to what they have sent: a client
  /// may have an answer before its worker comes to that.
  package func catchUp() { node?.catchUp() }

  /// The sum of a counter over all workers, with all that was sent before.
  package func count(_ counter: Counter) -> UInt64 {
    catchUp()
    return metrics.total(counter)
  }

  /// The figures as text, with all that was sent before.
  package var figures: String {
    catchUp()
    return String(decoding: metrics.prometheus(), as: UTF8.self)
  }

  /// Waits until a counter has reached a value.
  package func expect(_ counter: Counter, reaches value: UInt64) async throws {
    try await eventually("\(counter) to reach \(value)") { self.count(counter) >= value }
  }

  /// Waits until nothing is being fetched and everything fetched is committed.
  package func settle() async throws {
    // One that goes on behind an answer may not have begun when its client has that.
    catchUp()
    try await eventually("fills to end") { (self.node?.fillsUnderWay ?? 0) == 0 }
    node?.store?.flush()
    catchUp()
  }

  /// Waits until what was answered is in the logs' files.
  package func flushLogs() {
    catchUp()
    node?.flushLogs()
  }

  /// The lines of the access log so far.
  package func log() throws -> [JSONValue] {
    flushLogs()
    return try AccessLogFile(directory.file("access.log")).lines()
  }

  /// Stops the node as SIGTERM does: what is in flight is finished. With `within`, in nanoseconds,
  /// what takes longer is cut off; with the clock standing still nothing else does that.
  package func stop(within time: Int64? = nil) {
    let isFirst = stopped.update { stopped in
      defer { stopped = true }
      return !stopped
    }
    guard isFirst else { return }
    node?.stop(within: time)
    held.withLock { $0 = nil }
  }

  /// The node, until it is stopped: then its files are closed, so that another may open them.
  package var node: Node? { held.withLock { $0 } }

  /// Stops the node and starts another on the same directory.
  package func restart(origin: UInt16, workers: Int = 2) throws -> TestNode {
    stop()
    return try TestNode.start(
      origin: origin, workers: workers, directory: directory, clock: clock)
  }
}
