// PoPs in the test's process: a store and a client each, and real engines.

import Bytes
import CLinux
import EdgeTesting
import EventLoop
import Fleet
import ObjectStore
import Redis
import RedisTesting
import Synchronization
import Testing

/// A PoP without workers: its store, and its part in the fleet.
final class TestPoP {
  private let directory: TemporaryDirectory
  let name: String
  private let settings: FleetSettings
  private var held: (store: ObjectStore, client: FleetClient)?
  let notes: Notes
  /// What carries out orders to warm, from its start on; nil: a version that does no such thing.
  var warmer: TestWarmer?

  final class Notes: Sendable {
    private let lines = Mutex<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
  }

  init(
    _ name: String, region: String = "eu", engine: RedisSettings, readEngine: RedisSettings? = nil,
    warmer: TestWarmer? = nil
  ) throws {
    self.name = name
    self.warmer = warmer
    directory = try TemporaryDirectory()
    var settings = FleetSettings(
      fleet: "shop", pop: name, region: region, version: "1", engine: engine)
    settings.readEngine = readEngine
    self.settings = settings
    notes = Notes()
    try open()
  }

  deinit { close() }

  /// The store; the test fails where it is closed.
  var store: ObjectStore { get throws { try #require(held).store } }
  /// The part in the fleet.
  var client: FleetClient { get throws { try #require(held).client } }

  private func open() throws {
    let opened = try Self.open(directory.file("store"), settings, notes)
    held = opened
    let store = opened.0
    try opened.1.start(warmer: warmer) { Self.order($0, store) }
  }

  private func close() {
    held?.client.stop()
    held?.store.close()
    held = nil
  }

  private static func open(
    _ path: String, _ settings: FleetSettings, _ notes: Notes
  ) throws -> (ObjectStore, FleetClient) {
    let store = try ObjectStore.open(StoreOptions(path: path, sizeLimit: 16 << 20, readers: 2))
    let client = try FleetClient(settings, store: store, note: { notes.add($0) })
    return (store, client)
  }

  /// In these tests an order's words are a tag, or `/` and a pattern.
  private static func order(_ words: [UInt8], _ store: ObjectStore) -> PurgeOrder {
    if words.first == 0x2F, let pattern = words.withView({ KeyPattern($0) }) {
      return PurgeOrder(.pattern(pattern), time: 1)
    }
    return PurgeOrder(.tags([words.withView { store.tagHash($0) }]), time: 1)
  }

  /// Ends it, and begins again with what its disk has.
  func restart(doing meanwhile: () throws -> Void = {}) throws {
    close()
    try meanwhile()
    try open()
  }

  /// Purges a tag everywhere; returns this PoP's number of it.
  @discardableResult
  func purge(_ tag: String) throws -> UInt64 {
    let done = Mutex<(isOver: Bool, number: UInt64?)>((false, nil))
    let words = Array(tag.utf8)
    let store = try store
    var order = Self.order(words, store)
    order.time = NodeClock().now().wall
    order.fleet = FleetMark(.own, pop: 0, order: words)
    store.purge(order) { outcome in
      done.withLock { $0 = (true, try? outcome.get().record.fleet?.number) }
    }
    try until("the purge is durable") { done.withLock { $0.isOver } }
    return try #require(done.withLock { $0.number })
  }

  /// How often something was purged here.
  var purges: UInt64 { get throws { try store.statistics.purges } }

  func inStep() throws { try until("\(name) is in step") { try client.status.isInStep } }

  /// Who has applied a purge, as the client says in the end.
  func reach(of number: UInt64, _ scope: FleetScope = .all, seconds: Int64 = 60) throws
    -> FleetReach
  {
    let result = Mutex<FleetReach?>(nil)
    try client.wait(for: number, scope, timeout: seconds * 1_000_000_000) { reach in
      result.withLock { $0 = reach }
    }
    try until("an answer") { result.withLock { $0 } != nil }
    return try #require(result.withLock { $0 })
  }
}

/// Waits for a condition, at most two minutes.
func until(_ what: String, _ condition: () throws -> Bool) throws {
  for _ in 0..<24_000 {
    if try condition() { return }
    _ = usleep(5_000)
  }
  throw EngineFailure(what)
}
