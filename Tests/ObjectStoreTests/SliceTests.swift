import Bytes
import CLinux
import EventLoop
import Synchronization
import Testing

@testable import LMDB
@testable import ObjectStore

extension StoreFixture {
  /// Stores an object of that length without any of its content; returns its body's id.
  func storeSliced(_ key: String, length: Int, tags: [String] = []) throws -> UInt64 {
    let body = store.makeBodyID()
    var object = object(key, tags: tags)
    object.body = .slices(id: body, length: UInt64(length))
    let outcome = store(object)
    guard case .stored = outcome else {
      throw StoreError(path: "", reason: "not stored: \(outcome)")
    }
    return body
  }

  /// Hands over chunks of a sliced body whose whole content is `bytes`; whether each was taken.
  func slices(_ body: UInt64, _ bytes: [UInt8], _ numbers: [Int]) -> [Bool] {
    let size = ObjectStore.chunkSize
    let results = Mutex([Bool](repeating: false, count: numbers.count))
    for (index, number) in numbers.enumerated() {
      let part = Array(bytes[number * size..<min((number + 1) * size, bytes.count)])
      let shared = SharedBytes(capacity: part.count)
      part.withView { _ = shared.append($0) }
      _ = store.storeSlice(body: body, number: UInt32(number), shared) { isTaken in
        results.withLock { $0[index] = isTaken }
      }
    }
    store.flush()
    return results.withLock { $0 }
  }

  func ranges(_ key: String) -> [Range<UInt64>] {
    defer { reader.endTurn() }
    return found(key).map { reader.presentRanges(of: $0) } ?? []
  }

  /// What can be read from a place of a sliced object on, without a gap.
  func read(_ key: String, _ range: Range<Int>) -> [UInt8]? {
    defer { reader.endTurn() }
    guard let response = found(key) else { return nil }
    var bytes: [UInt8] = []
    while bytes.count < range.count {
      guard
        let part = reader.bytes(
          ofBody: response.bodyID, at: UInt64(range.lowerBound + bytes.count),
          limit: range.count - bytes.count)
      else { return nil }
      bytes += part.array
    }
    return bytes
  }
}

@Suite struct SliceTests {
  private let size = ObjectStore.chunkSize
  /// Bytes that differ from place to place and from chunk to chunk.
  private func content(_ length: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < length {
      let run = (0..<1_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ bytes.count / 1_000 &* 3) }
      for _ in 0..<9 { bytes += run }
    }
    return Array(bytes[..<length])
  }

  @Test func `slices come in any order, and what is there can be read`() throws {
    try withStore { fixture in
      let bytes = content(5 * size + 100)
      let body = try fixture.storeSliced("a", length: bytes.count)
      #expect(fixture.ranges("a") == [])
      #expect(fixture.slices(body, bytes, [3, 5, 2]) == [true, true, true])
      let first = UInt64(2 * size)..<UInt64(4 * size)
      #expect(fixture.ranges("a") == [first, UInt64(5 * size)..<UInt64(bytes.count)])
      let middle = 2 * size + 7..<4 * size - 9
      #expect(fixture.read("a", middle) == Array(bytes[middle]))
      #expect(fixture.read("a", size..<size + 10) == nil)
      #expect(fixture.slices(body, bytes, [0, 1, 4, 4]) == [true, true, true, true])
      #expect(fixture.ranges("a") == [0..<UInt64(bytes.count)])
      #expect(fixture.read("a", 0..<bytes.count) == bytes)
    }
  }

  @Test func `presence goes on as far as the same is true, within the range asked for`() throws {
    try withStore { fixture in
      let bytes = content(4 * size)
      let body = try fixture.storeSliced("a", length: bytes.count)
      _ = fixture.slices(body, bytes, [1, 2])
      let size = UInt64(size)
      let response = try #require(fixture.found("a"))
      #expect(response.isSliced && response.bodyLength == 4 * size)
      let cases: [(UInt64, UInt64, Presence)] = [
        (0, 4 * size, Presence(isPresent: false, end: size)),
        (5, 9, Presence(isPresent: false, end: 9)),
        (size, 4 * size, Presence(isPresent: true, end: 3 * size)),
        (size + 5, size + 6, Presence(isPresent: true, end: size + 6)),
        (3 * size, 9 * size, Presence(isPresent: false, end: 4 * size)),
      ]
      for (from, to, expected) in cases {
        #expect(fixture.reader.presence(of: response, from: from, to: to) == expected)
      }
    }
  }

  @Test func `a restart keeps the slices that are there, and more can come`() throws {
    try withStore { fixture in
      let bytes = content(4 * size)
      let body = try fixture.storeSliced("a", length: bytes.count, tags: ["t"])
      _ = try fixture.storeSliced("empty", length: 10_000_000)
      _ = fixture.slices(body, bytes, [1, 3])
      try fixture.reopen()
      #expect(fixture.ranges("a").count == 2)
      #expect(fixture.ranges("empty") == [])
      #expect(fixture.slices(body, bytes, [0, 2]) == [true, true])
      #expect(fixture.read("a", 0..<bytes.count) == bytes)
      #expect(fixture.purge("t")?.objects == 1)
      #expect(fixture.found("a") == nil)
      fixture.reader.endTurn()
      fixture.store.waitForSweep()
      #expect(fixture.slices(body, bytes, [0]) == [false])
    }
  }

  @Test func `a slice of a wrong size, place or body is refused and leaves nothing`() throws {
    try withStore { fixture in
      let bytes = content(2 * size + 50)
      let body = try fixture.storeSliced("a", length: bytes.count)
      #expect(fixture.slices(body, content(3 * size), [2]) == [false])
      #expect(fixture.slices(body, content(4 * size), [3]) == [false])
      #expect(fixture.slices(fixture.store.makeBodyID(), bytes, [0]) == [false])
      let chunked = try #require(fixture.chunks(content(300_000)))
      guard case .chunks(let other, _) = chunked else { return }
      #expect(fixture.slices(other, bytes, [0]) == [false])
      #expect(fixture.ranges("a") == [])
      #expect(fixture.store.statistics.refusals == 4)
      fixture.store.dropBody(other)
    }
  }

  @Test func `a body whose validator has changed goes as a whole`() throws {
    try withStore { fixture in
      let bytes = content(8 * size)
      let before = fixture.store.statistics.bytesInUse
      let body = try fixture.storeSliced("a", length: bytes.count)
      _ = fixture.slices(body, bytes, [0, 1, 5])
      let hash = try #require(fixture.found("a")).keyHash
      fixture.reader.endTurn()
      fixture.store.removeSliced(keyHash: hash, body: body + 1)
      fixture.store.flush()
      #expect(fixture.ranges("a").count == 2)
      fixture.store.removeSliced(keyHash: hash, body: body)
      #expect(fixture.slices(body, bytes, [2, 0]) == [false, false])
      #expect(fixture.found("a") == nil)
      fixture.reader.endTurn()
      fixture.store(fixture.object("b"))
      fixture.store.flush()
      #expect(fixture.store.statistics.bytesInUse < before + UInt64(size))
    }
  }

  @Test func `a freshened sliced object keeps its slices and takes more`() throws {
    try withStore { fixture in
      let bytes = content(3 * size)
      let body = try fixture.storeSliced("a", length: bytes.count)
      _ = fixture.slices(body, bytes, [1])
      let id = try #require(fixture.found("a")).id
      fixture.reader.endTurn()
      let outcome: StoreOutcome? = fixture.wait {
        fixture.store.freshen(
          id: id, keyHash: "a".withView { fixture.store.keyHash($0) }, head: Array("x: y\r\n".utf8),
          metadata: Metadata(status: 200, responseTime: 5_000, lifetime: 9),
          sequence: fixture.store.purgeSequence, completion: $0)
      }
      #expect(outcome != .refused && outcome != .replaced)
      #expect(fixture.slices(body, bytes, [0, 2]) == [true, true])
      #expect(fixture.read("a", 0..<bytes.count) == bytes)
      try fixture.reopen()
      #expect(fixture.read("a", 0..<bytes.count) == bytes)
    }
  }

  @Test func `slices count for the size limit, and are evicted with their object`() throws {
    try withStore(limit: 16 << 20) { fixture in
      let bytes = content(12 * size)
      var bodies: [UInt64] = []
      for number in 0..<20 {
        let body = try fixture.storeSliced("s\(number)", length: bytes.count)
        bodies.append(body)
        _ = fixture.slices(body, bytes, [0, 3, 4, 7])
        #expect(fixture.store.statistics.bytesInUse <= 16 << 20 + 64 << 12)
      }
      #expect(fixture.store.statistics.evictions > 0)
      #expect(fixture.store.statistics.mapFull == 0)
      let left = (0..<20).filter { !fixture.ranges("s\($0)").isEmpty }
      #expect(!left.isEmpty && left.count < 20)
      #expect(fixture.slices(bodies[0], bytes, [1]) == [false])
    }
  }

  @Test func `beside a process that may be sending it, a full store takes less and never fails`()
    throws
  {
    try withStore(limit: 16 << 20) { fixture in
      let bytes = content(1 << 20)
      func hand(_ number: Int) -> Bool {
        guard let body = fixture.chunks(bytes) else { return false }
        var object = fixture.object("b\(number)")
        object.body = body
        return fixture.store(object) != .refused
      }
      for number in 0..<40 { _ = hand(number) }
      try fixture.reopen(asSuccessor: true)
      let taken = (40..<160).filter { hand($0) }.count
      #expect(fixture.store.statistics.mapFull == 0)
      #expect(taken < 120, "nothing was refused: the test shows nothing")
      fixture.store.predecessorIsGone()
      // What is retired goes within the next groups.
      let after = (160..<260).filter { hand($0) }
      #expect(after.contains(259) && after.count > 50)
      #expect(fixture.store.statistics.mapFull == 0)
    }
  }

  @Test func `an object may not fill more than half of the store with its slices`() throws {
    try withStore(limit: 8 << 20) { fixture in
      let bytes = content(30 * size)
      let body = try fixture.storeSliced("a", length: bytes.count)
      let taken = (0..<30).map { fixture.slices(body, bytes, [$0])[0] }
      #expect(taken.filter { $0 }.count >= 12)
      #expect(taken.last == false)
      #expect(fixture.read("a", 0..<5 * size) == Array(bytes[..<(5 * size)]))
    }
  }

  @Test func `a group that fails leaves what was known of sliced bodies`() throws {
    let fails = Atomic<Bool>(false)
    try withStore(fault: { _ in fails.load(ordering: .relaxed) ? .noSpace : nil }) { fixture in
      let bytes = content(4 * size)
      let body = try fixture.storeSliced("a", length: bytes.count)
      _ = fixture.slices(body, bytes, [1])
      fails.store(true, ordering: .relaxed)
      #expect(fixture.slices(body, bytes, [2]) == [false])
      fails.store(false, ordering: .relaxed)
      // Room may have been made with it.
      guard fixture.found("a") != nil else { return fixture.reader.endTurn() }
      fixture.reader.endTurn()
      #expect(fixture.slices(body, bytes, [2, 3]) == [true, true])
    }
  }
}
