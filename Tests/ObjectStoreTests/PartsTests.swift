import Bytes
import CLinux
import Checksum
import EventLoop
import Synchronization
import Testing

@testable import LMDB
@testable import ObjectStore

@Suite struct LMDBTests {
  private func environment(_ directory: TemporaryDirectory, mapSize: Int = 1 << 20) throws
    -> Environment
  {
    try Environment.open(directory: directory.path, mapSize: mapSize, readers: 8, databases: 4)
  }

  @Test func `a commit is seen by transactions that begin or renew later`() throws {
    let directory = TemporaryDirectory()
    let environment = try environment(directory)
    let write = try environment.beginWrite()
    let database = try write.open("d")
    try write.put(database, 7, ByteView("seven"))
    try write.commit()
    var read = try environment.beginRead()
    #expect(try read.get(database, 7)?.string == "seven")
    let second = try environment.beginWrite()
    try unsafe second.put(database, 8, size: 3) { unsafe $0.copyBytes(from: [1, 2, 3]) }
    #expect(try second.delete(database, 7))
    #expect(try !second.delete(database, 9))
    #expect(try second.size(database).entries == 1)
    try second.commit()
    #expect(try read.get(database, 7)?.string == "seven")
    #expect(try read.get(database, 8) == nil)
    try read.renew()
    #expect(try read.get(database, 7) == nil)
    #expect(try read.get(database, 8)?.array == [1, 2, 3])
  }

  @Test func `a transaction that is not committed changes nothing`() throws {
    let directory = TemporaryDirectory()
    let environment = try environment(directory)
    let first = try environment.beginWrite()
    let database = try first.open("d")
    try first.commit()
    do {
      let dropped = try environment.beginWrite()
      try dropped.put(database, 1, ByteView("x"))
    }
    #expect(try environment.beginRead().get(database, 1) == nil)
  }

  @Test func `entries come in the order of their numbers`() throws {
    let directory = TemporaryDirectory()
    let environment = try environment(directory)
    let write = try environment.beginWrite()
    let database = try write.open("d")
    for key: UInt64 in [300, 2, 1 << 40, 1] { try write.put(database, key, ByteView("v")) }
    var keys: [UInt64] = []
    try write.scan(database, from: 2) { key, _ in
      keys.append(key)
      return key < 300
    }
    #expect(keys == [2, 300])
    #expect(throws: LMDBError.keyExists) { try write.put(database, 5, ByteView("v"), append: true) }
  }

  @Test func `a full map is an error, and the environment stays usable`() throws {
    let directory = TemporaryDirectory()
    let environment = try environment(directory, mapSize: 256 << 10)
    let first = try environment.beginWrite()
    let database = try first.open("d")
    try first.commit()
    let large = [UInt8](repeating: 0, count: 8_000)
    #expect(throws: LMDBError.mapFull) {
      let write = try environment.beginWrite()
      for key: UInt64 in 0..<100 {
        try large.withView { try write.put(database, key, $0) }
      }
    }
    let write = try environment.beginWrite()
    try write.put(database, 1, ByteView("v"))
    try write.commit()
    #expect(environment.usedPages * environment.pageSize <= environment.mapSize)
  }
}

@Suite struct ObjectTableTests {
  private func hash(_ number: Int, _ seed: UInt64 = 0) -> Hash128 {
    SipHash(key: Hash128(low: seed, high: 1)).hash(UInt64(number), 0)
  }

  @Test func `random inserts, replacements and removals agree with a dictionary`() {
    let epochs = Epochs(slots: 1)
    let table = ObjectTable(epochs: epochs)
    var model: [Int: UInt64] = [:]
    var random = Seeded(1)
    var id: UInt64 = 0
    for step in 0..<60_000 {
      let key = Int.random(in: 0..<(step < 40_000 ? 20_000 : 500), using: &random)
      if Int.random(in: 0..<3, using: &random) > 0 {
        id += 1
        let entry = TableEntry(id: id, queue: .small, isRules: false)
        table.set(hash(key), entry, checkedThrough: id)
        model[key] = id
      } else {
        table.remove(hash(key), id: model[key] ?? 1)
        model[key] = nil
      }
    }
    #expect(table.count == model.count)
    for key in 0..<20_000 {
      let slot = table.find(hash(key))
      #expect(slot?.entry.id == model[key])
      #expect(slot == nil || slot?.checkedThrough == model[key])
    }
  }

  @Test(arguments: [20_000, 50_000, 137_000])
  func `an object takes at most 40 bytes`(count: Int) {
    let table = ObjectTable(epochs: Epochs(slots: 1))
    for number in 0..<count {
      let entry = TableEntry(id: UInt64(number + 1), queue: .main, isRules: false)
      table.set(hash(number), entry, checkedThrough: 0)
    }
    #expect(table.bytes <= 40 * count)
  }

  @Test func `only the entry that was found is changed by its reader`() throws {
    let table = ObjectTable(epochs: Epochs(slots: 1))
    table.set(hash(1), TableEntry(id: 5, queue: .small, isRules: false), checkedThrough: 3)
    let stale = try #require(table.find(hash(1)))
    table.set(hash(1), TableEntry(id: 6, queue: .main, isRules: true), checkedThrough: 4)
    stale.remember(checkedThrough: 9)
    stale.touch(setting: TableEntry.verifiedBit)
    #expect(!stale.markDamaged())
    let slot = try #require(table.find(hash(1)))
    #expect(slot.entry == TableEntry(id: 6, queue: .main, isRules: true))
    #expect(slot.checkedThrough == 4)
  }

  @Test func `uses are counted up to three`() throws {
    let table = ObjectTable(epochs: Epochs(slots: 1))
    table.set(hash(1), TableEntry(id: 5, queue: .small, isRules: false), checkedThrough: 3)
    for expected: UInt64 in [1, 2, 3, 3] {
      try #require(table.find(hash(1))).touch(setting: 0)
      #expect(table.find(hash(1))?.entry.frequency == expected)
    }
  }
}

@Suite struct GhostSetTests {
  @Test func `what was put in last is remembered, once`() {
    var ghosts = GhostSet()
    ghosts.fit(objects: 4_000)
    let sip = SipHash(key: Hash128(low: 1, high: 2))
    for number: UInt64 in 0..<100_000 { ghosts.insert(sip.hash(number, 0)) }
    var remembered = 0
    for number: UInt64 in 98_000..<100_000 where ghosts.remove(sip.hash(number, 0)) {
      remembered += 1
    }
    #expect(remembered > 1_900)
    #expect((0..<50_000).filter { ghosts.remove(sip.hash(UInt64($0), 0)) }.count < 20)
    let isLeft = ghosts.remove(sip.hash(99_999, 0))
    #expect(!isLeft)
  }
}

@Suite struct EpochTests {
  @Test func `an epoch has passed when no turn from before it is left`() {
    let epochs = Epochs(slots: 2)
    epochs.enter(0)
    let first = epochs.advance()
    epochs.enter(1)
    #expect(!epochs.hasPassed(first))
    epochs.leave(0)
    #expect(epochs.hasPassed(first))
    #expect(!epochs.hasPassed(epochs.advance()))
    epochs.leave(1)
  }

  @Test func `a pin counts as often as it was set`() {
    let pins = PinSet()
    for body: UInt64 in 1...2_000 { pins.insert(body) }
    pins.insert(7)
    pins.remove(7)
    #expect(pins.contains(7))
    pins.remove(7)
    #expect(!pins.contains(7))
    #expect((1...2_000).allSatisfy { $0 == 7 || pins.contains($0) })
    pins.remove(99_999)
  }

  /// Against a list, through peaks and back.
  @Test func `what is pinned is known, whatever was pinned before`() {
    let pins = PinSet()
    var random = SystemRandomNumberGenerator()
    var list: [UInt64] = []
    for round in 0..<40 {
      let goal = round % 2 == 0 ? 600 : 3
      while list.count != goal {
        if list.count < goal {
          list.append(UInt64.random(in: 1...900, using: &random))
          pins.insert(list[list.count - 1])
        } else {
          pins.remove(list.remove(at: Int.random(in: list.indices, using: &random)))
        }
      }
      let pinned = Set(list)
      #expect((1...900).allSatisfy { pins.contains($0) == pinned.contains($0) })
    }
  }

  /// While one thread pins and frees others, the writer never misses what is pinned.
  @Test func `a pin is seen by another thread at once`() {
    let pins = PinSet()
    let pinned = Atomic<UInt64>(0)
    let isOver = Atomic(false)
    let missed = Atomic<Int>(0)
    let looker = LoopThread(name: "looker") {
      while !isOver.load(ordering: .acquiring) {
        let body = pinned.load(ordering: .acquiring)
        guard body != 0, !pins.contains(body) else { continue }
        // Unless it was freed meanwhile.
        if pinned.load(ordering: .sequentiallyConsistent) == body {
          missed.add(1, ordering: .relaxed)
        }
      }
    }
    for number: UInt64 in 1...20_000 {
      for other in 0..<(number % 64) { pins.insert(1_000_000 + other) }
      pins.insert(number)
      pinned.store(number, ordering: .sequentiallyConsistent)
      for other in 0..<(number % 64) { pins.remove(1_000_000 + other) }
      pinned.store(0, ordering: .sequentiallyConsistent)
      pins.remove(number)
    }
    isOver.store(true, ordering: .releasing)
    looker.join()
    #expect(missed.load(ordering: .relaxed) == 0)
  }
}

@Suite struct PurgeIndexTests {
  private func list(_ tags: [UInt64], _ body: (TagList) -> Void) {
    var bytes = ByteBuffer()
    for tag in RecordSource.ordered(tags) { bytes.append(littleEndian: tag) }
    body(TagList(bytes: bytes.view, explicit: tags.count, implicit: 0))
  }

  @Test(arguments: [1, 5, 300, 3_000])
  func `tags match purges newer than a number only, by ring and by table`(purges: Int) {
    let index = PurgeIndex(epochs: Epochs(slots: 1))
    let sip = SipHash(key: Hash128(low: 3, high: 4))
    let tags = (0..<purges).map { max(sip.hash(UInt64($0), 0).low, 1) }
    for tag in tags { _ = index.purge(tag, isSoft: false, time: 0) }
    let last = UInt64(purges)
    #expect(index.sequence == last)
    let others = (1...400).map { UInt64($0) }
    for (number, tag) in [
      (1, tags[0]), (purges, tags[purges - 1]), (purges / 2 + 1, tags[purges / 2]),
    ] {
      for extra in [[], others] {
        list([tag] + extra) { tags in
          #expect(index.state(of: tags, since: UInt64(number) - 1, through: last) == .hard)
          #expect(index.state(of: tags, since: UInt64(number), through: last) == .none)
        }
      }
    }
    list(others) { #expect(index.state(of: $0, since: 0, through: last) == .none) }
  }

  @Test func `forgotten purges are gone and newer ones stay`() {
    let index = PurgeIndex(epochs: Epochs(slots: 1))
    for tag: UInt64 in 1...500 {
      _ = index.purge(tag &* 0x1234_5678_9ABC_DEF1, isSoft: tag % 2 == 0, time: 9)
    }
    #expect(index.forget(through: 400).count == 400)
    #expect(index.count == 100)
    #expect(index.state(of: 400 &* 0x1234_5678_9ABC_DEF1, since: 0) == .none)
    #expect(index.newestHard(401 &* 0x1234_5678_9ABC_DEF1) == 401)
    #expect(index.state(of: 402 &* 0x1234_5678_9ABC_DEF1, since: 0) == .soft(since: 9))
  }

  @Test func `a fill keeps the purges that came after its begin`() {
    let ledger = PurgeLedger(epochs: Epochs(slots: 1))
    _ = ledger.purge([10])
    let mark = ledger.beginFill()
    _ = ledger.purge([20, 30])
    #expect(ledger.forget(through: 3).tags == [10])
    #expect(ledger.state(since: mark.sequence, tags: [5, 20], url: nil) == .hard)
    #expect(ledger.state(since: mark.sequence, tags: [10], url: nil) == .none)
    ledger.endFill(mark)
    #expect(Set(ledger.forget(through: 3).tags) == [20, 30])
  }
}

@Suite struct JournalTests {
  private func entries(_ range: Range<UInt64>) -> [PurgeEntry] {
    range.map {
      $0 % 3 == 0
        ? PurgeEntry(sequence: $0, tag: $0 % 2 &* 77, isSoft: true, time: Int64($0) + 1_000_000)
        : PurgeEntry(sequence: $0, tag: $0 &* 77)
    }
  }

  @Test func `what was appended is found again, in order`() throws {
    let directory = TemporaryDirectory()
    let path = directory.file("journal")
    let journal = try JournalFile(path)
    #expect(journal.found.isEmpty)
    try journal.append(entries(1..<4))
    try journal.append(entries(10..<12) + entries(16_380..<16_390))
    // Places 1 to 5 were written again by 16,385 to 16,389.
    let expected = entries(10..<12) + entries(16_380..<16_390)
    #expect(try JournalFile(path).found == expected)
  }

  @Test func `a journal torn at any byte gives the entries before it`() throws {
    let directory = TemporaryDirectory()
    let path = directory.file("journal")
    try JournalFile(path).append(entries(1..<6))
    let whole = TemporaryDirectory.read(path)
    for length in 0...200 {
      let torn = Array(whole[..<length])
      let found = torn.withView { JournalFile.entries(in: $0) }
      #expect(found == entries(1..<UInt64(max(1, min(6, length / 32)))))
    }
    TemporaryDirectory.write(Array(whole[..<100]), to: path)
    #expect(try JournalFile(path).found == entries(1..<3))
    #expect(TemporaryDirectory.read(path).count == whole.count)
  }

  @Test func `an entry with a changed byte is no entry`() throws {
    var buffer = ByteBuffer()
    for _ in 0..<32 { buffer.append(0 as UInt8) }
    JournalFile.encode(PurgeEntry(sequence: 1, tag: 5), onto: &buffer)
    let whole = buffer.view.array
    for index in 32..<64 {
      for bit in 0..<8 {
        var changed = whole
        changed[index] ^= 1 << bit
        #expect(changed.withView { JournalFile.entries(in: $0) }.isEmpty)
      }
    }
  }

  @Test func `purges beyond the journal's places wait for folding`() throws {
    let directory = TemporaryDirectory()
    let journal = try Journal(
      path: directory.file("journal"), folded: 0,
      history: PurgeHistory(directory.file("purges")))
    let asked = Latch()
    journal.start(try JournalFile(directory.file("journal"))) { asked.open() }
    let done = Latch()
    journal.append(entries(16_000..<17_000)) { error in
      #expect(error == nil)
      done.open()
    }
    asked.wait()
    journal.didFold(through: 2_000)
    done.wait()
    journal.stop()
  }

  @Test func `when nothing is folded any more, a full journal fails its purges`() throws {
    let directory = TemporaryDirectory()
    let journal = try Journal(
      path: directory.file("journal"), folded: 0,
      history: PurgeHistory(directory.file("purges")))
    journal.start(try JournalFile(directory.file("journal"))) {}
    journal.writingDidEnd()
    let done = Latch()
    journal.append(entries(16_384..<16_386)) { error in
      #expect(error != nil)
      done.open()
    }
    done.wait()
    journal.stop()
  }
}

@Suite struct ChecksumTests {
  @Test func `the published vectors of XXH3-64`() {
    #expect(Checksum.of(ByteView()) == 0x2D06_8005_38D3_94C2)
    #expect(Checksum.of(ByteView("a")) == 0xE6C6_32B6_1E96_4E1F)
    #expect(Checksum.of(ByteView("abc")) == 0x78AF_5F94_892F_3950)
  }
}
