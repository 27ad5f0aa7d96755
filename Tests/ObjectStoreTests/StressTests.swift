import Bytes
import CLinux
import EventLoop
import Synchronization
import Testing

@testable import LMDB
@testable import ObjectStore

@Suite struct PurgeTests {
  @Test func `a purge reaches exactly the objects that carry the tag`() throws {
    try withStore { fixture in
      for number in 0..<60 {
        fixture.hand(fixture.object("k\(number)", "v", tags: ["t\(number % 3)", "all"]))
      }
      fixture.store.flush()
      #expect(fixture.purge("t1")?.counts == [20])
      for number in 0..<60 { #expect((fixture.body("k\(number)") == nil) == (number % 3 == 1)) }
      #expect(fixture.purge("t1")?.counts == [0])
      #expect(fixture.purge("none", "t2")?.counts == [0, 20])
      #expect(fixture.purge("all")?.counts == [60])
    }
  }

  @Test func `what was fetched before a purge is not stored after it`() throws {
    try withStore { fixture in
      let mark = fixture.store.beginFill()
      fixture.purge("t")
      let object = fixture.object("a", "A", tags: ["t"], sequence: mark.sequence)
      #expect(fixture.store.isPurged(since: mark.sequence, tags: object.tags))
      #expect(fixture.store(object) == .purged)
      #expect(
        fixture.store(fixture.object("b", "B", tags: ["u"], sequence: mark.sequence)) != .purged)
      fixture.store.endFill(mark)
      #expect(fixture.body("a") == nil)
      #expect(fixture.body("b") == "B")
    }
  }

  @Test func `an invalidation is in force when it returns`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "A"))
      fixture.store.invalidate(tag: fixture.tag("url a"))
      #expect(fixture.body("a") == nil)
      try fixture.reopen()
      #expect(fixture.body("a") == nil)
    }
  }

  @Test func `purges are in force after a restart, folded or not`() throws {
    try withStore { fixture in
      for name in ["a", "b", "c"] { fixture.store(fixture.object(name, name, tags: [name])) }
      fixture.purge("a")
      fixture.store(fixture.object("d", "d"))
      fixture.purge("b")
      let sequence = fixture.store.purgeSequence
      try fixture.reopen()
      #expect(fixture.store.purgeSequence >= sequence)
      #expect(["a", "b", "c", "d"].map { fixture.body($0) } == [nil, nil, "c", "d"])
      fixture.store(fixture.object("a", "again", tags: ["a"]))
      try fixture.reopen()
      #expect(fixture.body("a") == "again")
    }
  }

  @Test func `the sweeper deletes what is purged and then forgets the purges`() throws {
    try withStore { fixture in
      for number in 0..<5_000 {
        fixture.hand(fixture.object("k\(number)", "v", tags: ["t\(number % 2)"]))
      }
      fixture.store.flush()
      let mark = fixture.store.beginFill()
      fixture.purge("t0")
      fixture.store.waitForSweep()
      #expect(fixture.store.statistics.objects == 2_500)
      // The fill may still bring an object with that tag.
      #expect(fixture.store.statistics.pendingPurges == 1)
      fixture.store.endFill(mark)
      fixture.purge("t1")
      fixture.store.waitForSweep()
      #expect(fixture.store.statistics.objects == 0)
      #expect(fixture.store.statistics.pendingPurges == 0)
      #expect(fixture.store.statistics.swept == 5_000)
      try fixture.reopen()
      #expect(fixture.store.statistics.pendingPurges == 0)
    }
  }
}

@Suite struct BodyTests {
  @Test func `a pinned body outlives its record until it is unpinned`() throws {
    try withStore { fixture in
      var object = fixture.object("a")
      object.body = try #require(fixture.chunks([UInt8](repeating: 5, count: 600_000)))
      fixture.store(object)
      let body = try #require(fixture.found("a")).bodyID
      fixture.reader.pin(body)
      fixture.reader.endTurn()
      fixture.store(fixture.object("a", "new"))
      for number in 0..<20 { fixture.store(fixture.object("k\(number)")) }
      #expect(fixture.reader.chunk(body: body, number: 2)?.count == 600_000 - 2 * 262_120)
      fixture.reader.endTurn()
      fixture.reader.unpin(body)
      fixture.store(fixture.object("b"))
      #expect(fixture.reader.chunk(body: body, number: 2) == nil)
    }
  }

  @Test func `a body with a missing or surplus chunk is refused`() throws {
    try withStore { fixture in
      guard
        case .chunks(let id, let length)? = fixture.chunks([UInt8](repeating: 1, count: 300_000))
      else { return }
      var object = fixture.object("a")
      object.body = .chunks(id: id, length: length + 1)
      #expect(fixture.store(object) == .refused)
      object.body = .chunks(id: fixture.store.makeBodyID(), length: 10)
      #expect(fixture.store(object) == .refused)
      #expect(fixture.body("a") == nil)
    }
  }

  @Test func `the chunks of a dropped body are deleted`() throws {
    try withStore { fixture in
      let before = fixture.store.statistics.bytesInUse
      guard case .chunks(let id, _)? = fixture.chunks([UInt8](repeating: 1, count: 2_000_000))
      else {
        return
      }
      fixture.store.dropBody(id)
      fixture.store.flush()
      fixture.store(fixture.object("a"))
      fixture.store.flush()
      #expect(fixture.store.statistics.bytesInUse < before + 200_000)
    }
  }

  @Test func `a body larger than the store is refused and leaves no trace`() throws {
    try withStore(limit: 8 << 20) { fixture in
      fixture.store(fixture.object("a", "A"))
      #expect(fixture.chunks([UInt8](repeating: 1, count: 16 << 20)) == nil)
      fixture.store(fixture.object("b", "B"))
      fixture.store.flush()
      #expect(fixture.body("b") == "B")
      #expect(fixture.store.statistics.bytesInUse < 2 << 20)
    }
  }
}

@Suite struct EvictionTests {
  @Test func `the limit holds while ten times as much is stored`() throws {
    try withStore(limit: 8 << 20) { fixture in
      var random = Seeded(11)
      var written = 0
      while written < 80 << 20 {
        let size = [200, 1_400, 3_000, 12_000, 16_384].randomElement(using: &random) ?? 0
        let key = "k\(Int.random(in: 0..<100_000, using: &random))"
        if !fixture.store.store(
          fixture.object(key, String(repeating: "x", count: size)), completion: { _ in })
        {
          fixture.store.flush()
        }
        written += size
      }
      fixture.store.flush()
      let figures = fixture.store.statistics
      #expect(figures.bytesInUse <= 8 << 20 + 64 << 12)
      #expect(figures.bytesInUse > 7 << 20)
      #expect(figures.fileBytes <= 12 << 20)
      #expect(figures.evictions > 5_000)
      #expect(figures.mapFull == 0)
    }
  }

  @Test func `large and small objects together stay within the limit`() throws {
    try withStore(limit: 24 << 20) { fixture in
      var random = Seeded(12)
      var refused = 0
      for round in 0..<80 {
        let size = Int.random(in: 17_000..<2_500_000, using: &random)
        var object = fixture.object("large \(round)", tags: ["t"])
        if let body = fixture.chunks([UInt8](repeating: UInt8(round), count: size)) {
          object.body = body
          if fixture.store(object) == .refused { refused += 1 }
        } else {
          refused += 1
        }
        for number in 0..<20 {
          fixture.hand(
            fixture.object("small \(round) \(number)", String(repeating: "y", count: 3_000)))
        }
      }
      fixture.store.flush()
      #expect(refused == 0)
      #expect(fixture.store.statistics.mapFull == 0)
    }
  }

  @Test func `an object in use survives a flood of objects that are not`() throws {
    try withStore(limit: 8 << 20) { fixture in
      let text = String(repeating: "x", count: 1_000)
      fixture.store(fixture.object("hot", text))
      for number in 0..<40_000 {
        if number % 100 == 0 {
          fixture.store.flush()
          #expect(fixture.body("hot") == text)
        }
        fixture.hand(fixture.object("cold \(number)", text))
      }
      fixture.store.flush()
      #expect(fixture.body("hot") == text)
      #expect(fixture.body("cold 5") == nil)
      #expect(fixture.store.statistics.reinsertions > 0)
    }
  }

  @Test func `an object that comes back soon goes into the main queue`() throws {
    try withStore(limit: 8 << 20) { fixture in
      let text = String(repeating: "x", count: 4_000)
      for number in 0..<4_000 { fixture.hand(fixture.object("k\(number)", text)) }
      fixture.store.flush()
      var last = 3_999
      while last > 0, fixture.body("k\(last)") != nil { last -= 1 }
      fixture.store(fixture.object("k\(last)", text))
      for number in 0..<300 { fixture.hand(fixture.object("n\(number)", text)) }
      fixture.store.flush()
      #expect(fixture.body("k\(last)") == text)
    }
  }
}

@Suite struct FailureTests {
  @Test func `a full map is tried again after evicting`() throws {
    let failing: @Sendable (UInt64) -> LMDBError? = { $0 == 3 ? .mapFull : nil }
    let failed = Mutex(false)
    let once: @Sendable (UInt64) -> LMDBError? = { number in
      guard let error = failing(number) else { return nil }
      return failed.withLock { done in
        defer { done = true }
        return done ? nil : error
      }
    }
    try withStore(fault: once) { fixture in
      for number in 0..<10 { #expect(fixture.store(fixture.object("k\(number)", "v")) != .refused) }
      #expect(fixture.store.statistics.mapFull == 1)
      #expect(!fixture.store.statistics.writingEnded)
    }
  }

  @Test func `a disk that stays full refuses and does not end writing`() throws {
    let isFull = Atomic<Bool>(false)
    try withStore(fault: { _ in isFull.load(ordering: .relaxed) ? .noSpace : nil }) { fixture in
      fixture.store(fixture.object("a", "A"))
      isFull.store(true, ordering: .relaxed)
      #expect(fixture.store(fixture.object("b", "B")) == .refused)
      #expect(fixture.chunks([1, 2, 3]) == nil)
      #expect(fixture.body("a") == "A")
      #expect(fixture.purge("url a") != nil)
      isFull.store(false, ordering: .relaxed)
      #expect(fixture.store(fixture.object("c", "C")) != .refused)
      #expect(["a", "b", "c"].map { fixture.body($0) } == [nil, nil, "C"])
    }
  }

  @Test func `what is to be dropped is not found where the disk takes no write either`() throws {
    let fails = Atomic<Bool>(false)
    try withStore(fault: { _ in fails.load(ordering: .relaxed) ? .inputOutput : nil }) { fixture in
      fixture.store(fixture.object("a", "A"))
      fixture.store(fixture.object("b", "B"))
      let hash = "a".withView { fixture.store.keyHash($0) }
      try fixture.reopen(dropping: [hash]) { fails.store(true, ordering: .relaxed) }
      #expect(fixture.store.statistics.writingEnded)
      #expect(fixture.body("a") == nil && fixture.body("b") == "B")
      fails.store(false, ordering: .relaxed)
      try fixture.reopen()
    }
  }

  @Test func `a failed sync ends writing, and what is stored is still found`() throws {
    let fails = Atomic<Bool>(false)
    try withStore(fault: { _ in fails.load(ordering: .relaxed) ? .inputOutput : nil }) { fixture in
      fixture.store(fixture.object("a", "A"))
      fails.store(true, ordering: .relaxed)
      #expect(fixture.store(fixture.object("a", "B")) == .refused)
      #expect(fixture.store.statistics.writingEnded)
      fails.store(false, ordering: .relaxed)
      #expect(!fixture.store.store(fixture.object("c")) { _ in })
      #expect(fixture.body("a") == "A")
      fixture.purge("url a")
      #expect(fixture.body("a") == nil)
      try fixture.reopen()
      #expect(fixture.body("a") == nil)
      #expect(fixture.store(fixture.object("a", "C")) != .refused)
    }
  }
}

@Suite struct OpeningTests {
  @Test func `a store in use is refused with the reason`() throws {
    try withStore { fixture in
      #expect {
        try ObjectStore.open(
          StoreOptions(path: fixture.directory.file("s"), sizeLimit: 0, readers: 1))
      } throws: {
        ($0 as? StoreError)?.reason.contains("in use") ?? false
      }
    }
  }

  @Test(arguments: ["garbage", "short", "empty", "format", "damaged mark", "died opening"])
  func `a bad store is set aside and a fresh one made`(kind: String) throws {
    try withStore { fixture in
      for number in 0..<2_000 { fixture.hand(fixture.object("k\(number)", "value")) }
      fixture.store.flush()
      let path = fixture.directory.file("s")
      try fixture.reopen {
        let data = TemporaryDirectory.read(path + "/data.mdb")
        switch kind {
        case "garbage":
          TemporaryDirectory.write(
            [UInt8](repeating: 0x5A, count: data.count), to: path + "/data.mdb")
        case "short":
          TemporaryDirectory.write(Array(data[..<20_000]), to: path + "/data.mdb")
        case "empty":
          TemporaryDirectory.write(Array(data[..<100]), to: path + "/data.mdb")
        case "format": setFormat(99, path)
        case "damaged mark": TemporaryDirectory.write(Array("x".utf8), to: path + "/damaged")
        default: TemporaryDirectory.write(Array("...".utf8), to: path + "/opening")
        }
      }
      let note = try #require(fixture.store.openingNote)
      #expect(note.contains("set aside"))
      #expect(TemporaryDirectory.names(path).contains { $0.hasPrefix("data.mdb.bad-") })
      #expect(fixture.body("k1") == nil)
      fixture.store(fixture.object("a", "A"))
      try fixture.reopen()
      #expect(fixture.store.openingNote == nil)
      #expect(fixture.body("a") == "A")
    }
  }

  private func setFormat(_ version: UInt64, _ path: String) {
    do {
      let environment = try Environment.open(
        directory: path, mapSize: 64 << 20, readers: 4, databases: 16)
      let transaction = try environment.beginWrite()
      var value = ByteBuffer()
      value.append(littleEndian: version)
      try transaction.put(
        transaction.open("state"), StateKey.format.rawValue, value.view)
      try transaction.commit()
    } catch {
      Issue.record(error)
    }
  }

  @Test func `a file in the directory's place is set aside`() throws {
    let directory = TemporaryDirectory()
    let path = directory.file("place")
    TemporaryDirectory.write([1], to: path)
    let store = try ObjectStore.open(StoreOptions(path: path, sizeLimit: 0, readers: 1))
    #expect(store.openingNote?.contains("not a directory") ?? false)
    store.close()
  }

  @Test func `a directory that cannot be made is an error with its path`() {
    #expect {
      try ObjectStore.open(StoreOptions(path: "/proc/none/store", sizeLimit: 0, readers: 1))
    } throws: {
      ($0 as? StoreError)?.path.hasPrefix("/proc/none") ?? false
    }
  }

  @Test func `a damaged record is dropped and never served`() throws {
    try withStore { fixture in
      let text = String(repeating: "precious ", count: 1_000)
      fixture.store(fixture.object("a", text))
      fixture.store(fixture.object("b", "B"))
      let path = fixture.directory.file("s") + "/data.mdb"
      try fixture.reopen {
        var data = TemporaryDirectory.read(path)
        let needle = Array("precious precious".utf8)
        for start in 0..<data.count - needle.count where data[start] == needle[0] {
          if Array(data[start..<start + needle.count]) == needle {
            data[start + 100] ^= 1
            break
          }
        }
        TemporaryDirectory.write(data, to: path)
      }
      #expect(fixture.body("a") == nil)
      #expect(fixture.body("a") == nil)
      #expect(fixture.body("b") == "B")
      fixture.store.flush()
      #expect(fixture.store.statistics.damaged == 1)
      #expect(fixture.store.statistics.objects == 1)
    }
  }
}
