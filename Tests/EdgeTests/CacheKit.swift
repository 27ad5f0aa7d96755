// What the tests of the cache share: reading Cache-Status, purging without the admin's listener, many
// clients at once, content that tells where it is from.

import Bytes
import EdgeTesting
import FoundationEssentials
import Metrics
import Node
import ObjectStore
import Testing

extension PeerResponse {
  /// What the node said of its cache.
  var cacheStatus: String { header("cache-status") ?? "" }
  /// Whether the store answered.
  var isHit: Bool { cacheStatus.hasPrefix("weir; hit") }
}

extension TestNode {
  /// The store, which must be there.
  func requireStore() throws -> ObjectStore { try #require(node?.store) }

  /// Purges by tag; returns when it is durable.
  @discardableResult
  func purgeTags(_ tags: String...) async throws -> PurgeResult {
    let store = try requireStore()
    let hashes = tags.map { $0.withView { store.tagHash($0) } }
    return try await withCheckedThrowingContinuation { continuation in
      store.purge(tags: hashes) { continuation.resume(with: $0) }
    }
  }

  /// Asks for what is in the store and nothing else: 504 if there is nothing.
  func stored(_ target: String, _ fields: String...) async throws -> PeerResponse {
    let client = try await connect()
    defer { client.close() }
    return try await client.get(target, ["Cache-Control: only-if-cached"] + fields)
  }

  /// Sends a request on a connection of its own and does not wait for the answer.
  func ask(_ target: String, _ fields: String...) async throws -> RawClient {
    let client = try await connect()
    try await client.send("GET", target, fields)
    return client
  }

  /// Every invariant that must hold when nothing is under way.
  func expectAtRest() async throws {
    try await settle()
    try requireStore().check()
    try await eventually("client connections to be closed") {
      self.count(.connectionsAccepted) == self.count(.connectionsClosed)
    }
    try await eventually("every fill to end") {
      self.count(.fillsStarted) == self.count(.fillsEnded)
    }
  }
}

/// Does something `count` times at once.
func atOnce<Result: Sendable>(
  _ count: Int, _ body: @escaping @Sendable (Int) async throws -> Result
) async throws -> [Result] {
  try await withThrowingTaskGroup(of: Result.self) { group in
    for index in 0..<count { group.addTask { try await body(index) } }
    var results: [Result] = []
    for try await result in group { results.append(result) }
    return results
  }
}

/// Bytes that differ everywhere, so that a piece in a wrong place shows.
func content(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var random = SeededRandom(seed)
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count + 8)
  while bytes.count < count {
    let word = random.next()
    for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> (UInt64(shift) * 8))) }
  }
  return Array(bytes.prefix(count))
}

/// The same numbers for the same seed (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}

extension TemporaryDirectory {
  /// A copy of a node's store as it is on the disk now: what a kill would leave behind.
  func copyStore() throws -> TemporaryDirectory {
    let copy = try TemporaryDirectory()
    try FileManager.default.createDirectory(
      atPath: copy.file("store"), withIntermediateDirectories: true)
    for name in try FileManager.default.contentsOfDirectory(atPath: file("store"))
    where name != "lock" && name != "lock.mdb" {
      try FileManager.default.copyItem(
        atPath: file("store/\(name)"), toPath: copy.file("store/\(name)"))
    }
    return copy
  }

  /// The bytes of a file.
  func read(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(filePath: file(name))))
  }

  /// How many bytes a file has on the disk.
  func size(of name: String) throws -> UInt64 {
    let attributes = try FileManager.default.attributesOfItem(atPath: file(name))
    return attributes[.size] as? UInt64 ?? UInt64(attributes[.size] as? Int ?? 0)
  }
}

/// A file of the test data that are not part of the repository; nil if it is missing.
func sharedDataFile(_ name: String) -> String? {
  let repository = "\(#filePath)".split(separator: "/").dropLast(3).joined(separator: "/")
  let folder =
    ProcessInfo.processInfo.environment["WEIR_SHARED_DATA"] ?? "/\(repository)/../shared/data"
  let path = "\(folder)/\(name)"
  return FileManager.default.fileExists(atPath: path) ? path : nil
}
