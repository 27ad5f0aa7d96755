import Bytes
import Configuration
import Edge
import EdgeTesting
import EventLoop
import FoundationEssentials
import Metrics
import ObjectStore

@testable import Admin

/// An admin server on a free port, without a node around it; stopped when it goes.
final class AdminFixture: Sendable {
  static let token = "0123456789abcdef"
  static let bearer = "Authorization: Bearer \(token)"
  static let json = "Content-Type: application/json"

  let server: AdminServer
  let port: UInt16
  let clock: NodeClock
  let notes = Watched<[String]>([])
  let store: ObjectStore?
  /// Where changes are written down.
  let audit: String
  let files: TemporaryDirectory
  let metrics: MetricsRegistry
  let context: NodeContext
  private let directory: TemporaryDirectory?

  /// - Parameter host: the address to listen on; clients always come over 127.0.0.1.
  init(
    token: String? = AdminFixture.token, host: String = "127.0.0.1", withStore: Bool = false,
    tokens: String? = nil, sites: [[String]] = []
  ) throws {
    clock = NodeClock(manualFrom: 1_700_000_000_000)
    let directory = withStore ? try TemporaryDirectory() : nil
    store = try directory.map { directory throws(StoreError) in
      try ObjectStore.open(
        StoreOptions(path: directory.file("store"), sizeLimit: 16 << 20, readers: 2))
    }
    self.directory = directory
    files = try TemporaryDirectory()
    audit = files.file("audit.log")
    var settings = AdminConfiguration(
      address: .network(ListenAddress(host: "127.0.0.1", port: 0)), token: token)
    if let tokens {
      try files.write("tokens", tokens)
      settings.tokensFile = files.file("tokens")
      settings.tokens = try AdminTokenFile.parse(Array(tokens.utf8))
    }
    guard let address = SocketAddress(host: host, port: 0) else {
      throw PeerFailure(.system, "\(host) is not an address")
    }
    let socket = try Socket.listen(on: address, shared: false)
    port = Socket.localAddress(of: socket)?.port ?? 0
    let context = try AdminFixture.context(
      clock: clock, store: store, sites: sites,
      tokens: TokenTable(settings) { [notes] line in notes.update { $0.append(line) } })
    self.context = context
    metrics = context.metrics
    let log = AuditLog(note: { _ in })
    log.adopt(try AuditLog.File(audit))
    server = try AdminServer(
      listener: Listener(socket),
      context: context,
      audit: log,
      note: { [notes] line in notes.update { $0.append(line) } })
    server.start()
  }

  deinit {
    stop()
    store?.close()
  }

  /// Stops the server. A test that keeps a connection says `defer { admin.stop() }`, so that the server
  /// lives as long as the test.
  func stop() { server.stop() }

  /// A node's context without workers.
  static func context(
    clock: NodeClock, store: ObjectStore?, sites: [[String]] = [],
    tokens: TokenTable = TokenTable()
  ) throws -> NodeContext {
    var configuration = NodeConfiguration()
    configuration.workers = 3
    configuration.limits = AdminFixture.limits
    configuration.sites = sites.map { SiteConfiguration(hosts: $0) }
    let limits = try NodeLimits(configuration, secret: Hash128(low: 1, high: 2))
    return NodeContext(
      GenerationParts(configuration: configuration, pools: [], limits: limits), clock: clock,
      store: store, metrics: MetricsRegistry(), tokens: tokens)
  }

  /// Limits of each kind that is tuned in its own way.
  static let limits: [LimitConfiguration] = {
    let rate = LimitRate(count: 5, period: 1_000_000_000)
    return [
      LimitConfiguration(name: "few", rule: .tokenBucket(rate, burst: 10)),
      LimitConfiguration(name: "slow", rule: .leakyBucket(rate, queue: 3)),
      LimitConfiguration(name: "flight", rule: .concurrency(7)),
      LimitConfiguration(name: "daily", rule: .quota(100, .day)),
      LimitConfiguration(name: "rolling", rule: .quota(100, .rollingDay)),
      LimitConfiguration(
        name: "pace",
        rule: .bandwidth(LimitRate(count: 1 << 20, period: 1_000_000_000), burst: 1 << 20)),
    ]
  }()

  func connect() async throws -> RawClient { try await RawClient.connect(to: port) }

  /// The answer to one request on a connection of its own.
  func ask(
    _ method: String, _ target: String, host: String = "localhost", _ fields: [String] = [],
    body: String? = nil
  ) async throws -> PeerResponse {
    try await connect().request(method, target, host: host, fields, body: body)
  }

  /// The answer to an order to purge, with everything right but its content.
  func purge(_ body: String, _ fields: [String] = []) async throws -> PeerResponse {
    try await ask("POST", "/v1/purge", [Self.bearer, Self.json] + fields, body: body)
  }

  /// What the audit log has.
  func auditLines() throws -> [JSONValue] {
    let text = try String(contentsOf: URL(filePath: audit), encoding: .utf8)
    return try text.split(separator: "\n").map {
      try JSONDecoder().decode(JSONValue.self, from: Data($0.utf8))
    }
  }

  /// Lets time pass, second by second, for as long as `body` waits for something to come of it.
  func whileTimePasses<Result: Sendable>(
    _ body: @Sendable () async throws -> Result
  ) async throws -> Result {
    let ticking = Task { [clock] in
      while !Task.isCancelled {
        clock.advance(nanoseconds: 1_000_000_000)
        await Task.yield()
      }
    }
    defer { ticking.cancel() }
    return try await body()
  }
}

extension PeerResponse {
  /// The problem's code, if the answer is a problem as RFC 9457 wants it.
  var problem: String? {
    guard header("content-type") == "application/problem+json", let json = try? json(),
      json["type"]?.string == "about:blank", json["title"]?.string == reason,
      json["status"]?.int == status, json["detail"]?.string?.isEmpty == false
    else { return nil }
    return json["code"]?.string
  }

  /// The problem's detail.
  var detail: String { (try? json())?["detail"]?.string ?? "" }
}
