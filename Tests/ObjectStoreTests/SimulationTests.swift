// The whole store against a simple model: random stores, variants, large bodies, freshenings, purges,
// removals, sweeps and restarts. The store may forget (it evicts); what it finds must be the newest
// response of that very key and variant, whole, and not purged.

import Bytes
import CLinux
import EventLoop
import Synchronization
import Testing

@testable import ObjectStore

private struct Model {
  struct Entry {
    var text: String
    /// Chunks that are there, of a sliced object.
    var present: Set<Int>?
    /// When a soft purge has first reached it.
    var softTime: Int64?
    var tags: Set<String>
    var id: UInt64
    /// Tags that have purged it; it stays stored, unseen, until the sweeper comes.
    var purgedBy: Set<String> = []
  }
  /// By key, rule and values.
  var entries: [String: Entry] = [:]

  static func name(_ key: String, _ rule: String?, _ values: String) -> String {
    "\(key)|\(rule ?? "-")|\(values)"
  }
}

@Suite struct SimulationTests {
  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func `the store agrees with a model`(seed: UInt64) throws {
    // Small enough to evict with two of the seeds.
    try withStore(limit: seed % 2 == 0 ? 8 << 20 : 64 << 20) { fixture in
      var run = Run(fixture: fixture, random: Seeded(seed))
      for _ in 0..<1_500 { try run.step() }
      try run.verifyAll()
      // Nothing was evicted in the large store, so nothing may be missing either.
      if seed % 2 == 1 { #expect(run.missing == 0) }
      try fixture.reopen()
      try run.verifyAll()
      if seed % 2 == 1 { #expect(run.missing == 0) }
    }
  }

  private struct Run {
    let fixture: StoreFixture
    var random: Seeded
    var model = Model()
    var serial = 0
    var missing = 0

    mutating func pick(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

    mutating func step() throws {
      fixture.reader.endTurn()
      switch pick(100) {
      case 0..<60: store()
      case 60..<66: storeLarge()
      case 66..<70: storeSliced()
      case 70..<78: freshen()
      case 78..<83: purge()
      case 83..<86: purgeSoftly()
      case 86..<90: remove()
      case 90..<97: verifySome()
      case 97:
        fixture.store.waitForSweep()
        model.entries = model.entries.filter { $0.value.purgedBy.isEmpty }
      case 98: try fixture.store.check()
      default: if pick(4) == 0 { try fixture.reopen() }
      }
    }

    /// A key with or without variants: keys of the second half vary.
    mutating func target() -> (key: String, rule: String?, values: String) {
      let number = pick(60)
      if number < 30 { return ("k\(number)", nil, "") }
      return ("k\(number)", ["accept", "accept, cookie"][pick(2)], "v\(pick(3))")
    }

    mutating func tags() -> Set<String> {
      Set((0..<pick(pick(20) == 0 ? 30 : 4)).map { _ in "t\(pick(40))" })
    }

    mutating func text(_ length: Int) -> String {
      serial += 1
      let stamp = "\(serial),"
      return String(repeating: stamp, count: max(1, length / stamp.utf8.count))
    }

    mutating func note(
      _ outcome: StoreOutcome, _ target: (key: String, rule: String?, values: String),
      _ text: String, _ tags: Set<String>, present: Set<Int>? = nil
    ) {
      guard case .stored(let id) = outcome else {
        Issue.record("not stored: \(outcome)")
        return
      }
      let name = Model.name(target.key, target.rule, target.values)
      model.entries[name] = Model.Entry(text: text, present: present, tags: tags, id: id)
    }

    mutating func store() {
      let target = target()
      let text = text([10, 1_000, 5_000, 16_000][pick(4)])
      let tags = tags()
      let object = fixture.object(
        target.key, text, tags: Array(tags), rule: target.rule, values: target.values)
      note(flushed(object), target, text, tags)
    }

    mutating func storeLarge() {
      let target = target()
      let text = text(20_000 + pick(700_000))
      let tags = tags()
      var object = fixture.object(
        target.key, tags: Array(tags), rule: target.rule, values: target.values)
      guard let body = fixture.chunks(Array(text.utf8)) else {
        Issue.record("a body was refused: \(fixture.store.statistics)")
        return
      }
      if pick(8) == 0, case .chunks(let id, _) = body {
        fixture.store.dropBody(id)
        return
      }
      object.body = body
      note(flushed(object), target, text, tags)
    }

    mutating func storeSliced() {
      let target = target()
      let text = text(300_000 + pick(900_000))
      let tags = tags()
      let bytes = Array(text.utf8)
      let body = fixture.store.makeBodyID()
      var object = fixture.object(
        target.key, tags: Array(tags), rule: target.rule, values: target.values)
      object.body = .slices(id: body, length: UInt64(bytes.count))
      let outcome = flushed(object)
      let count = Int(ChunkSize.count(UInt64(bytes.count)))
      let numbers = Array((0..<count).shuffled(using: &random).prefix(pick(count + 1)))
      let taken = fixture.slices(body, bytes, numbers)
      let present = Set(zip(numbers, taken).filter { $0.1 }.map { $0.0 })
      note(outcome, target, text, tags, present: present)
      // In a small store the slices may have evicted their own object.
      if fixture.limit > 8 << 20 { #expect(present.count == numbers.count) }
    }

    /// By pattern, or everything.
    mutating func purgeBroadly() {
      let prefix = pick(4) == 0 ? "" : "k\(1 + pick(5))"
      if prefix.isEmpty {
        fixture.order(.everything)
      } else if let pattern = "\(prefix)*".withView({ KeyPattern($0) }) {
        fixture.order(.pattern(pattern))
      }
      for name in model.entries.keys where name.hasPrefix(prefix) {
        model.entries[name]?.purgedBy.insert("broad")
      }
    }

    mutating func purgeSoftly() {
      let tag = "t\(pick(40))"
      serial += 1
      let time = Int64(serial)
      fixture.order(.tags([fixture.tag(tag)]), soft: true, time: time)
      for (name, entry) in model.entries where entry.tags.contains(tag) {
        model.entries[name]?.softTime = entry.softTime ?? time
      }
    }

    /// Stores without waiting out the group's interval.
    func flushed(_ object: NewObject) -> StoreOutcome {
      let result = Mutex<StoreOutcome>(.refused)
      guard fixture.store.store(object, completion: { outcome in result.withLock { $0 = outcome } })
      else { return .refused }
      fixture.store.flush()
      return result.withLock { $0 }
    }

    mutating func freshen() {
      let target = target()
      let name = Model.name(target.key, target.rule, target.values)
      guard let entry = model.entries[name], let found = find(target) else {
        return fixture.reader.endTurn()
      }
      let hash = found.keyHash
      fixture.reader.endTurn()
      let tags = tags()
      let result = Mutex<StoreOutcome>(.refused)
      let taken = fixture.store.freshen(
        id: entry.id, keyHash: hash, head: Array("fresh: 1\r\n".utf8),
        metadata: Metadata(status: 200, responseTime: 2, lifetime: 3),
        tags: tags.map(fixture.tag), sequence: fixture.store.purgeSequence
      ) { outcome in result.withLock { $0 = outcome } }
      #expect(taken)
      fixture.store.flush()
      let outcome = result.withLock { $0 }
      // Making room for it may have evicted it.
      if outcome == .replaced && fixture.limit == 8 << 20 { return }
      note(outcome, target, entry.text, tags, present: entry.present)
    }

    mutating func purge() {
      let tag = "t\(pick(40))"
      let carriers = model.entries.values.filter {
        $0.tags.contains(tag) && !$0.purgedBy.contains(tag)
      }
      let count = fixture.purge(tag)?.objects ?? 0
      // What another tag has purged may be deleted already, and in a small store anything evicted.
      let certain = carriers.filter { $0.purgedBy.isEmpty }.count
      #expect(count <= UInt64(carriers.count))
      if fixture.limit > 8 << 20 { #expect(count >= UInt64(certain)) }
      for (name, entry) in model.entries where entry.tags.contains(tag) {
        model.entries[name]?.purgedBy.insert(tag)
      }
      if pick(8) == 0 { purgeBroadly() }
      guard pick(3) == 0 else { return }
      let key = "k\(pick(60))"
      fixture.store.invalidate(tag: fixture.tag("url " + key))
      for name in model.entries.keys where name.hasPrefix(key + "|") {
        model.entries[name]?.purgedBy.insert("url")
      }
    }

    mutating func remove() {
      let target = target()
      let name = Model.name(target.key, target.rule, target.values)
      guard let entry = model.entries[name], let found = find(target) else {
        return fixture.reader.endTurn()
      }
      let hash = found.keyHash
      fixture.reader.endTurn()
      fixture.store.remove(keyHash: hash, id: entry.id)
      fixture.store.flush()
      model.entries[name] = nil
    }

    func find(_ target: (key: String, rule: String?, values: String)) -> StoredResponse? {
      guard let rule = target.rule else { return fixture.found(target.key) }
      return fixture.variant(target.key, rule, target.values)
    }

    mutating func verifySome() {
      for _ in 0..<10 { verify(target()) }
    }

    mutating func verifyAll() throws {
      missing = 0
      for number in 0..<30 { verify(("k\(number)", nil, "")) }
      for number in 30..<60 {
        for rule in ["accept", "accept, cookie"] {
          for value in 0..<3 { verify(("k\(number)", rule, "v\(value)")) }
        }
      }
    }

    mutating func verify(_ target: (key: String, rule: String?, values: String)) {
      defer { fixture.reader.endTurn() }
      let entry = model.entries[Model.name(target.key, target.rule, target.values)]
      let expected = entry?.purgedBy.isEmpty == true ? entry : nil
      guard let found = find(target) else {
        if expected != nil { missing += 1 }
        return
      }
      guard let expected else {
        Issue.record("\(target) was found and should not be there")
        return
      }
      #expect(found.id == expected.id)
      #expect(found.tagCount == expected.tags.count)
      #expect(found.isSoftlyPurged == (expected.softTime != nil))
      if let time = expected.softTime { #expect(found.softlyPurgedAt >= time) }
      if let present = expected.present {
        verify(found, present, Array(expected.text.utf8))
      } else {
        #expect(content(found) == Array(expected.text.utf8))
      }
    }

    func verify(_ response: StoredResponse, _ present: Set<Int>, _ bytes: [UInt8]) {
      let size = ObjectStore.chunkSize
      #expect(response.isSliced && response.bodyLength == UInt64(bytes.count))
      for number in 0..<Int(ChunkSize.count(UInt64(bytes.count))) {
        let chunk = fixture.reader.chunk(body: response.bodyID, number: UInt32(number))
        let expected = Array(bytes[number * size..<min((number + 1) * size, bytes.count)])
        #expect(chunk?.array == (present.contains(number) ? expected : nil))
      }
    }

    func content(_ response: StoredResponse) -> [UInt8] {
      if response.bodyID == 0 { return response.body.array }
      var bytes: [UInt8] = []
      var number: UInt32 = 0
      while bytes.count < Int(response.bodyLength),
        let chunk = fixture.reader.chunk(body: response.bodyID, number: number)
      {
        bytes += chunk.array
        number += 1
      }
      return bytes
    }
  }
}

/// A program of the package, run to its end.
private struct Program {
  var status: Int32
  var said: String

  /// Nil if it is not where the tests are built to.
  init?(_ name: String, _ arguments: [String], in directory: TemporaryDirectory) {
    var own = [CChar](repeating: 0, count: 4_096)
    let length = unsafe readlink("/proc/self/exe", &own, own.count)
    let path = String(
      decoding: own.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let built = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let places = [
      path.prefix(upTo: path.lastIndex(of: "/") ?? path.startIndex) + "/" + name,
      "/\(built)/.build/debug/\(name)",
    ]
    guard let program = places.first(where: { unsafe access(String($0), X_OK) == 0 }) else {
      return nil
    }
    let output = directory.file("output")
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    let flags = O_WRONLY | O_CREAT | O_TRUNC | O_APPEND
    unsafe posix_spawn_file_actions_addopen(&actions, 1, output, flags, 0o600)
    unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
    var vector: [UnsafeMutablePointer<CChar>?] = unsafe ([String(program)] + arguments)
      .map { unsafe strdup($0) }
    defer { unsafe vector.forEach { unsafe free($0) } }
    unsafe vector.append(nil)
    var process: pid_t = 0
    let code = unsafe posix_spawn(
      &process, String(program), &actions, nil, vector, weir_environment())
    guard code == 0 else { return nil }
    var ended: Int32 = 0
    _ = unsafe waitpid(process, &ended, 0)
    status = weir_wifexited(ended) != 0 ? weir_wexitstatus(ended) : 128 + weir_wtermsig(ended)
    said = String(decoding: TemporaryDirectory.read(output), as: UTF8.self)
  }
}

@Suite struct CrashTests {
  /// 20 times here; a hundred times with WEIR_TESTS_LONG=1, or by `tools/bench/store torment`.
  @Test func `a process that is killed at work loses no purge and leaves no wrong byte`() throws {
    let directory = TemporaryDirectory()
    let rounds = unsafe getenv("WEIR_TESTS_LONG") == nil ? 20 : 100
    let run = try #require(
      Program(
        "StoreBench",
        ["torment", "--directory", directory.file("s"), "--rounds", "\(rounds)"], in: directory))
    #expect(run.status == 0, "\(run.said)")
    #expect(run.said.contains("nothing wrong"))
  }

  /// The files as a crash would leave them: copied while the writer is at work, between its commits'
  /// steps as they come (the copy of the data file is read before the journal's, as a purge that is
  /// acknowledged before the copy begins is in one of them).
  @Test func `files copied while writes go on open again, and purges stay`() throws {
    let fixture = try StoreFixture(limit: 16 << 20)
    let path = fixture.directory.file("s")
    var random = Seeded(5)
    for round in 0..<6 {
      for number in 0..<200 {
        let body = String(repeating: "\(round) ", count: Int.random(in: 1..<2_000, using: &random))
        fixture.hand(fixture.object("k\(number)", body, tags: ["round \(round)"]))
      }
      fixture.store.flush()
      fixture.purge("round \(round)")
      for number in 200..<400 {
        fixture.hand(fixture.object("k\(number)", "\(round)", tags: ["late \(round)"]))
      }
      let copy = TemporaryDirectory()
      // Pages that change during the copy belong to no commit that the copied first pages name, unless
      // two commits end meanwhile; the copy of the first pages again would show that.
      var data: [UInt8] = []
      repeat {
        data = TemporaryDirectory.read(path + "/data.mdb")
      } while Array(data[..<8_192]) != Array(TemporaryDirectory.read(path + "/data.mdb")[..<8_192])
      var journal = TemporaryDirectory.read(path + "/journal")
      TemporaryDirectory.write(data, to: copy.file("data.mdb"))
      // The journal's last write may be torn anywhere behind what was acknowledged.
      if round % 2 == 1 { journal.removeLast(Int.random(in: 1..<100_000, using: &random)) }
      TemporaryDirectory.write(journal, to: copy.file("journal"))
      let store = try ObjectStore.open(
        StoreOptions(path: copy.path, sizeLimit: 16 << 20, readers: 1))
      #expect(store.openingNote == nil)
      let reader = try store.makeReader()
      for number in 0..<200 {
        "k\(number)".withView { key in
          if case .found = reader.lookup(store.keyHash(key), key: key) {
            Issue.record("k\(number) was purged in round \(round)")
          }
        }
      }
      reader.endTurn()
      try store.check()
      store.close()
    }
    try fixture.finish()
  }
}

@Suite struct ConcurrencyTests {
  /// Each object says its key and a version; a purge of a key's tag raises the least version that may be
  /// seen before it is asked for, so no reader may see an older one after it has returned.
  @Test func `readers see no purged, foreign or broken object while all goes on`() throws {
    try withStore(limit: 8 << 20) { fixture in
      let keys = 64
      let least = (0..<keys).map { _ in Counter() }
      let isDone = Atomic<Bool>(false)
      let wrong = Mutex<[String]>([])
      let found = Atomic<Int>(0)
      let store = fixture.store
      withoutActuallyEscaping({ (index: Int) in
        do {
          let reader = try store.makeReader()
          var random = Seeded(UInt64(index))
          while !isDone.load(ordering: .acquiring) {
            for _ in 0..<8 {
              let key = Int.random(in: 0..<keys, using: &random)
              let least = least[key].count.load(ordering: .acquiring)
              let text = "key \(key)"
              text.withView { view in
                guard case .found(let response) = reader.lookup(store.keyHash(view), key: view)
                else { return }
                found.add(1, ordering: .relaxed)
                let parts = response.body.string.split(separator: " ")
                let version = parts.count > 2 ? Int(parts[1]) ?? -1 : -1
                if response.key.string != text || parts.first.map(String.init) != "\(key)" {
                  wrong.withLock { $0.append("\(text): \(response.key.string)") }
                } else if version < least {
                  wrong.withLock { $0.append("\(text): \(version) after \(least)") }
                }
              }
            }
            reader.endTurn()
          }
        } catch {
          wrong.withLock { $0.append("\(error)") }
        }
      }) { read in
        nonisolated(unsafe) let read = read
        let threads = (0..<3).map { index in LoopThread(name: "reader") { unsafe read(index) } }
        var random = Seeded(99)
        for version in 1...3_000 {
          let key = Int.random(in: 0..<keys, using: &random)
          let mark = store.beginFill()
          let padding = String(repeating: "x", count: Int.random(in: 1..<15_000, using: &random))
          let object = fixture.object(
            "key \(key)", "\(key) \(version) \(padding)", tags: ["key \(key)"],
            sequence: mark.sequence)
          if !store.store(object, completion: { _ in store.endFill(mark) }) { store.endFill(mark) }
          if version % 7 == 0 {
            store.invalidate(tag: fixture.tag("key \(key)"))
            least[key].count.store(version + 1, ordering: .releasing)
          }
          if version % 50 == 0 { store.flush() }
        }
        store.flush()
        isDone.store(true, ordering: .releasing)
        for thread in threads { thread.join() }
      }
      #expect(wrong.withLock { $0 } == [])
      #expect(found.load(ordering: .relaxed) > 0)
    }
  }

  @Test func `an object in use is found at every moment, replaced and moved as it may be`() throws {
    try withStore(limit: 8 << 20) { fixture in
      let isDone = Atomic<Bool>(false)
      let misses = Mutex<[String]>([])
      let keys = ["moved", "replaced"]
      let lookups = keys.map { _ in Counter() }
      let store = fixture.store
      for key in keys { fixture.store(fixture.object(key, "0")) }
      let threads = zip(keys, lookups).map { key, lookups in
        LoopThread(name: "reader") {
          guard let reader = try? store.makeReader() else { return }
          while !isDone.load(ordering: .acquiring) {
            key.withView { view in
              if case .found = reader.lookup(store.keyHash(view), key: view) { return }
              misses.withLock { $0.append(key) }
            }
            lookups.count.add(1, ordering: .relaxed)
            reader.endTurn()
          }
        }
      }
      let text = String(repeating: "x", count: 1_000)
      for number in 0..<10_000 {
        if number % 50 == 0 {
          fixture.hand(fixture.object("replaced", "\(number)"))
          // Each reader must have had the processor since, or its object is not in use.
          let before = lookups.map { $0.count.load(ordering: .relaxed) }
          store.flush()
          for (lookups, before) in zip(lookups, before) {
            while lookups.count.load(ordering: .relaxed) < before + 10 { sched_yield() }
          }
        }
        fixture.hand(fixture.object("cold \(number)", text))
      }
      isDone.store(true, ordering: .releasing)
      for thread in threads { thread.join() }
      #expect(misses.withLock { $0 } == [])
      #expect(store.statistics.reinsertions > 0)
    }
  }
}
