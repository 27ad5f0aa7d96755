import Bytes
import CLinux
import EventLoop
import Synchronization
import Testing

@testable import LMDB
@testable import ObjectStore

extension StoreFixture {
  @discardableResult
  func order(
    _ target: PurgeOrder.Target, soft: Bool = false, time: Int64 = 5_000, key: String = "",
    what: String = "", isOfImplicitTags: Bool = false
  ) -> Result<PurgeReceipt, PurgeFailure> {
    let order = PurgeOrder(
      target, isSoft: soft, time: time, who: "tester", what: what, idempotencyKey: key,
      isOfImplicitTags: isOfImplicitTags)
    let result: Result<PurgeReceipt, PurgeFailure>? = wait { completion in
      store.purge(order, completion: completion)
      return true
    }
    return result ?? .failure(.outOfRange)
  }

  func pattern(_ text: String) throws -> PurgeOrder.Target {
    .pattern(try #require(text.withView { KeyPattern($0) }))
  }

  /// Since when an object is stale by a soft purge; nil if it is not found, `.max` if it is not purged.
  func softTime(_ key: String) -> Int64? {
    defer { reader.endTurn() }
    return found(key)?.softlyPurgedAt
  }
}

@Suite struct SoftPurgeTests {
  @Test func `what is purged softly is found, stale since then, and a hard purge wins`() throws {
    try withStore { fixture in
      for name in ["a", "b"] { fixture.store(fixture.object(name, name, tags: [name, "both"])) }
      let receipt = try fixture.order(.tags([fixture.tag("a")]), soft: true).get()
      #expect(receipt.counts == [1])
      #expect(fixture.softTime("a") == 5_000)
      #expect(fixture.softTime("a") == 5_000)
      #expect(fixture.softTime("b") == .max)
      // What is softly purged is still counted, and a second soft purge does not make it younger.
      fixture.order(.tags([fixture.tag("both")]), soft: true, time: 6_000)
      #expect(fixture.softTime("b") == 6_000)
      #expect(try #require(fixture.softTime("a")) <= 6_000)
      #expect(fixture.purge("both")?.counts == [2])
      #expect(fixture.softTime("a") == nil && fixture.softTime("b") == nil)
      // A soft one after a hard one brings nothing back.
      fixture.order(.tags([fixture.tag("both")]), soft: true, time: 7_000)
      #expect(fixture.softTime("a") == nil)
    }
  }

  @Test(arguments: [false, true])
  func `a soft purge holds over restarts and after it is forgotten`(isSwept: Bool) throws {
    try withStore { fixture in
      for number in 0..<50 {
        fixture.hand(fixture.object("k\(number)", "v", tags: ["t\(number % 2)"]))
      }
      let many = (0..<100).map { "m\($0)" } + ["t1"]
      fixture.store(fixture.object("many", "v", tags: many))
      fixture.order(.tags([fixture.tag("t1")]), soft: true)
      if isSwept {
        fixture.store.waitForSweep()
        #expect(fixture.store.statistics.pendingPurges == 0)
        #expect(fixture.store.statistics.objects == 51)
      }
      for _ in 0..<2 {
        for number in 0..<50 {
          #expect(fixture.softTime("k\(number)") == (number % 2 == 1 ? 5_000 : .max))
        }
        #expect(fixture.softTime("many") == 5_000)
        try fixture.reopen()
      }
      #expect(fixture.purge("t1")?.counts == [26])
    }
  }

  @Test func `what is validated or fetched after a soft purge is fresh again`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "A", tags: ["t"]))
      let id = try #require(fixture.found("a")).id
      fixture.reader.endTurn()
      let before = fixture.store.purgeSequence
      fixture.order(.tags([fixture.tag("t")]), soft: true)
      func freshen(_ id: UInt64, _ sequence: UInt64) -> StoreOutcome? {
        fixture.wait {
          fixture.store.freshen(
            id: id, keyHash: "a".withView { fixture.store.keyHash($0) }, head: [],
            metadata: Metadata(status: 200, responseTime: 5_000, lifetime: 9),
            sequence: sequence, completion: $0)
        }
      }
      // A validation that began before the purge does not undo it.
      guard case .stored(let second)? = freshen(id, before) else {
        Issue.record("not freshened")
        return
      }
      #expect(fixture.softTime("a") == 5_000)
      try fixture.reopen()
      #expect(fixture.softTime("a") == 5_000)
      guard case .stored? = freshen(second, fixture.store.purgeSequence) else {
        Issue.record("not freshened")
        return
      }
      #expect(fixture.softTime("a") == .max)
      // Nor is a fill from before one thrown away.
      fixture.store(fixture.object("a", "B", tags: ["t"], sequence: before))
      #expect(fixture.body("a") == "B")
      #expect(fixture.softTime("a") == 5_000)
      let tags = [fixture.tag("t")]
      #expect(fixture.store.isPurged(since: before, tags: tags))
      #expect(fixture.store.purgeState(since: before, tags: tags) == .soft(since: 5_000))
    }
  }

  @Test func `a soft purge stays with an object that eviction moves`() throws {
    try withStore(limit: 8 << 20) { fixture in
      let text = String(repeating: "x", count: 1_000)
      fixture.store(fixture.object("hot", text, tags: ["t"]))
      fixture.order(.tags([fixture.tag("t")]), soft: true)
      for number in 0..<30_000 {
        if number % 100 == 0 {
          fixture.store.flush()
          #expect(fixture.softTime("hot") == 5_000)
        }
        if number == 15_000 { fixture.store.waitForSweep() }
        fixture.hand(fixture.object("cold \(number)", text))
      }
      #expect(fixture.store.statistics.reinsertions > 0)
    }
  }
}

/// How many objects a purge by URL or host has reached.
@Suite struct ReachedCountTests {
  private func count(_ fixture: StoreFixture, _ record: PurgeRecord) -> UInt64? {
    fixture.store.purgeRecord(record.id)?.objects
  }

  private func order(
    _ fixture: StoreFixture, _ tag: String, soft isSoft: Bool = false
  ) throws -> PurgeRecord {
    try fixture.order(.tags([fixture.tag(tag)]), soft: isSoft, isOfImplicitTags: true).get().record
  }

  @Test func `what was deleted, evicted or replaced in between is counted once`() throws {
    try withStore { fixture in
      for number in 0..<30 {
        var object = fixture.object("http://a/\(number)", "v", tags: ["own"])
        object.implicitTags = [fixture.tag("host a")]
        fixture.hand(object)
      }
      var other = fixture.object("http://b/", "v")
      other.implicitTags = [fixture.tag("host b")]
      fixture.store(other)
      fixture.store.flush()
      let first = try order(fixture, "host a")
      #expect(first.objects == nil && count(fixture, first) == nil)
      // Two come again before the sweeper, and are not reached; what they replace is.
      for number in 0..<2 {
        var object = fixture.object(
          "http://a/\(number)", "w", sequence: fixture.store.purgeSequence)
        object.implicitTags = [fixture.tag("host a")]
        fixture.store(object)
      }
      let nobody = try order(fixture, "host c")
      fixture.store.waitForSweep()
      #expect(count(fixture, first) == 30)
      #expect(count(fixture, nobody) == 0)
      let second = try order(fixture, "host a", soft: true)
      let third = try order(fixture, "host a", soft: true)
      fixture.store.waitForSweep()
      #expect(count(fixture, second) == 2)
      #expect(count(fixture, third) == 2)
      let again = try order(fixture, "host a", soft: true)
      let last = try order(fixture, "host a")
      fixture.store.waitForSweep()
      // Those were stale before.
      #expect(count(fixture, again) == 0)
      #expect(count(fixture, last) == 2)
      try fixture.reopen()
      #expect(count(fixture, first) == 30 && count(fixture, last) == 2)
    }
  }
}

@Suite struct PatternPurgeTests {
  @Test func `a purge by pattern reaches the keys that match, variants too, and is forgotten`()
    throws
  {
    try withStore { fixture in
      for host in ["a.example", "b.example"] {
        for number in 0..<20 { fixture.hand(fixture.object("http://\(host)/\(number).png", "v")) }
      }
      fixture.store(fixture.object("http://a.example/v", "V", rule: "accept", values: "x"))
      fixture.store.flush()
      let receipt = try fixture.order(fixture.pattern("http://a.example/*")).get()
      #expect(receipt.record.objects == nil)
      #expect(fixture.body("http://a.example/1.png") == nil)
      #expect(fixture.variant("http://a.example/v", "accept", "x") == nil)
      fixture.reader.endTurn()
      #expect(fixture.body("http://b.example/1.png") == "v")
      fixture.order(try fixture.pattern("*/1?.png"), soft: true)
      #expect(fixture.softTime("http://b.example/11.png") == 5_000)
      #expect(fixture.softTime("http://b.example/1.png") == .max)
      // The variant can be stored again, and is found.
      fixture.store(fixture.object("http://a.example/v", "W", rule: "accept", values: "x"))
      #expect(fixture.variant("http://a.example/v", "accept", "x")?.body.string == "W")
      fixture.reader.endTurn()
      fixture.store.waitForSweep()
      #expect(fixture.store.statistics.pendingPurges == 0)
      #expect(fixture.softTime("http://b.example/11.png") == 5_000)
      #expect(fixture.store.statistics.objects == 22)
      try fixture.reopen()
      #expect(fixture.store.statistics.pendingPurges == 0)
      #expect(fixture.body("http://a.example/1.png") == nil)
      #expect(fixture.softTime("http://b.example/11.png") == 5_000)
      #expect(fixture.variant("http://a.example/v", "accept", "x")?.body.string == "W")
    }
  }

  @Test func `a purge by pattern holds over a restart before it is swept`() throws {
    try withStore { fixture in
      let mark = fixture.store.beginFill()
      fixture.store(fixture.object("http://a/x", "old"))
      fixture.order(try fixture.pattern("http://a/*"))
      #expect(
        fixture.store.isPurged(since: mark.sequence, tags: []), "unknown keys count as matching")
      let (near, far) = ("http://a/y", "http://b/y")
      near.withView { #expect(fixture.store.isPurged(since: mark.sequence, tags: [], url: $0)) }
      far.withView { #expect(!fixture.store.isPurged(since: mark.sequence, tags: [], url: $0)) }
      #expect(fixture.store(fixture.object(near, "late", sequence: mark.sequence)) == .purged)
      #expect(fixture.store(fixture.object(far, "late", sequence: mark.sequence)) != .purged)
      fixture.store.endFill(mark)
      let sequence = fixture.store.purgeSequence
      try fixture.reopen()
      #expect(fixture.store.purgeSequence >= sequence)
      #expect(fixture.body("http://a/x") == nil)
      #expect(fixture.body(far) == "late")
      fixture.store(fixture.object("http://a/x", "new"))
      #expect(fixture.body("http://a/x") == "new")
    }
  }

  @Test func `the 257th pattern is refused until the sweeper has been there`() throws {
    try withStore { fixture in
      for number in 0..<256 {
        #expect(throws: Never.self) {
          try fixture.order(fixture.pattern("none \(number)*")).get()
        }
      }
      let target = try fixture.pattern("a*")
      #expect(fixture.order(target) == .failure(.tooManyPatterns))
      fixture.store(fixture.object("a", "A"))
      fixture.store.waitForSweep()
      #expect(throws: Never.self) { try fixture.order(target).get() }
      #expect(fixture.body("a") == nil)
    }
  }

  @Test func `a fill that does not end takes no places of patterns, and is not stored`() throws {
    try withStore { fixture in
      let mark = fixture.store.beginFill()
      for number in 0..<256 {
        #expect(throws: Never.self) {
          try fixture.order(fixture.pattern("none \(number)*")).get()
        }
      }
      fixture.store.waitForSweep()
      let next = fixture.store.beginFill()
      #expect(throws: Never.self) { try fixture.order(fixture.pattern("a*")).get() }
      let late = fixture.object("b", "late", sequence: mark.sequence)
      #expect(fixture.store(late) == .purged)
      let well = fixture.object("c", "well", sequence: next.sequence)
      #expect(fixture.store(well) != .purged)
      for mark in [mark, next] { fixture.store.endFill(mark) }
    }
  }

  @Test(arguments: [false, true])
  func `everything is purged, hard or softly`(isSoft: Bool) throws {
    try withStore { fixture in
      for number in 0..<30 { fixture.hand(fixture.object("k\(number)", "v", tags: ["t"])) }
      fixture.store(fixture.object("v", "V", rule: "accept", values: "x"))
      let mark = fixture.store.beginFill()
      let receipt = try fixture.order(.everything, soft: isSoft).get()
      // The Vary rules of a key count as an object.
      #expect(receipt.record.objects == 32)
      #expect(fixture.softTime("k1") == (isSoft ? 5_000 : nil))
      let outcome = fixture.store(fixture.object("late", "L", sequence: mark.sequence))
      #expect((outcome == .purged) == !isSoft)
      fixture.store.endFill(mark)
      fixture.store(fixture.object("v", "W", rule: "accept", values: "x"))
      #expect(fixture.variant("v", "accept", "x")?.softlyPurgedAt == .max)
      fixture.reader.endTurn()
      try fixture.reopen()
      #expect(fixture.softTime("k1") == (isSoft ? 5_000 : nil))
      fixture.store.waitForSweep()
      #expect(fixture.store.statistics.pendingPurges == 0)
      try fixture.reopen()
      #expect(fixture.softTime("k1") == (isSoft ? 5_000 : nil))
      #expect(fixture.variant("v", "accept", "x")?.body.string == "W")
      fixture.reader.endTurn()
      #expect(fixture.purge("t")?.counts == [isSoft ? 30 : 0])
    }
  }
}

@Suite struct KeyPatternTests {
  @Test(arguments: [
    ("abc", "abc", true), ("abc", "abcd", false), ("abc", "ab", false), ("*", "", true),
    ("*", "anything", true), ("a*", "a", true), ("a*", "ba", false), ("*a", "bba", true),
    ("*a", "ab", false), ("a*c", "abbbc", true), ("a*c", "ac", true), ("a*c", "acd", false),
    ("a?c", "abc", true), ("a?c", "ac", false), ("?", "", false), ("a**b", "ab", true),
    ("*ab*ab*", "xabyabz", true), ("*ab*ab*", "xab", false), ("a\\*b", "a*b", true),
    ("a\\*b", "axb", false), ("a\\?", "a?", true), ("a\\?", "ab", false), ("\\\\", "\\", true),
    ("http://*/img/*.png", "http://x/img/a/b.png", true),
    ("http://*/img/*.png", "http://x/image/a.png", false), ("A", "a", false),
  ])
  func `a pattern matches whole keys`(pattern: String, key: String, matches: Bool) throws {
    let pattern = try #require(pattern.withView { KeyPattern($0) })
    #expect(key.withView { pattern.matches($0) } == matches)
  }

  @Test(arguments: ["", "a\\", String(repeating: "x", count: 513)])
  func `what is no pattern is not taken`(text: String) {
    #expect(text.withView { KeyPattern($0) } == nil)
  }

  @Test func `a prefix is taken as it stands`() throws {
    let pattern = try #require("http://a/?q=*\\".withView { KeyPattern(prefix: $0) })
    for (key, matches) in [
      ("http://a/?q=*\\", true), ("http://a/?q=*\\more", true), ("http://a/xq=*\\", false),
      ("http://a/?q=yy\\", false),
    ] {
      #expect(key.withView { pattern.matches($0) } == matches)
    }
  }

  /// The plain recursive definition, on short texts of a small alphabet.
  private func reference(_ pattern: ArraySlice<UInt8>, _ key: ArraySlice<UInt8>) -> Bool {
    guard let first = pattern.first else { return key.isEmpty }
    if first == UInt8(ascii: "*") {
      return reference(pattern.dropFirst(), key)
        || !key.isEmpty && reference(pattern, key.dropFirst())
    }
    guard let byte = key.first, first == UInt8(ascii: "?") || first == byte else { return false }
    return reference(pattern.dropFirst(), key.dropFirst())
  }

  @Test(arguments: [
    ("http://a/x", true), ("https://a/x", true), ("//a/x", true), ("http://b/x", false),
    ("http://b/?u=//a/x", false), ("\0k//a/x", false), ("http:/a/x", false), ("", false),
  ])
  func `a pattern from // on is about any scheme`(_ key: String, _ matches: Bool) throws {
    let pattern = try #require("//a/*".withView { KeyPattern($0) })
    #expect(key.withView { pattern.matches($0) } == matches)
  }

  @Test func `random patterns agree with the definition, in one word and in several`() throws {
    var random = Seeded(8)
    for round in 0..<4_000 {
      let alphabet = Array("ab*?".utf8)
      var pattern = (0..<Int.random(in: 1..<8, using: &random)).map { _ in
        alphabet[Int.random(in: 0..<4, using: &random)]
      }
      var key = (0..<Int.random(in: 0..<10, using: &random)).map { _ in
        alphabet[Int.random(in: 0..<2, using: &random)]
      }
      if round % 2 == 1 {
        // Longer than a word of states, at any place.
        let padding = [UInt8](repeating: 99, count: Int.random(in: 55..<140, using: &random))
        pattern = padding + pattern
        key = padding + key
      }
      let compiled = try #require(pattern.withView { KeyPattern($0) })
      #expect(key.withView { compiled.matches($0) } == reference(pattern[...], key[...]))
    }
  }
}

@Suite struct PurgeHistoryTests {
  @Test func `purges are remembered with all that is known of them, newest first`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "A", tags: ["t", "u"]))
      fixture.order(.tags([fixture.tag("t"), fixture.tag("none")]), time: 1, what: "t none")
      fixture.order(try fixture.pattern("a*"), soft: true, time: 2, key: "K")
      fixture.order(.everything, time: 3)
      for _ in 0..<2 {
        let records = fixture.store.purgeRecords()
        #expect(records.map(\.time) == [3, 2, 1])
        #expect(records.map(\.target) == [.everything, .pattern, .tags])
        #expect(records.map(\.objects) == [1, nil, 1])
        #expect(records[1].pattern == Array("a*".utf8) && records[1].isSoft)
        #expect(records[2].what == "t none" && records[2].who == "tester" && records[2].tags == 2)
        #expect(fixture.store.purgeRecord(records[2].id) == records[2])
        #expect(fixture.store.purgeRecords(before: records[1].id, limit: 5).map(\.time) == [1])
        try fixture.reopen()
      }
    }
  }

  @Test func `an order that is given twice is carried out once`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "A", tags: ["t"]))
      let first = try fixture.order(.tags([fixture.tag("t")]), key: "K", what: "t").get()
      fixture.store(fixture.object("a", "B", tags: ["t"]))
      for _ in 0..<2 {
        let again = try fixture.order(.tags([fixture.tag("t")]), key: "K", what: "t").get()
        #expect(again.isRepeat && again.record == first.record)
        #expect(fixture.body("a") == "B")
        try fixture.reopen()
      }
      #expect(
        fixture.order(.tags([fixture.tag("t")]), soft: true, key: "K", what: "t")
          == .failure(.keyReused))
      #expect(!(try fixture.order(.tags([fixture.tag("t")]), key: "L", what: "t").get().isRepeat))
      #expect(fixture.body("a") == nil)
    }
  }

  @Test func `what is out of range is not carried out`() throws {
    try withStore { fixture in
      let many = [UInt64](repeating: 1, count: 65_537)
      #expect(fixture.order(.tags(many)) == .failure(.outOfRange))
      #expect(fixture.order(.tags([0])) == .failure(.outOfRange))
      #expect(fixture.order(.tags([])) == .failure(.outOfRange))
      let long = String(repeating: "k", count: 257)
      #expect(fixture.order(.everything, key: long) == .failure(.outOfRange))
      #expect(fixture.store.purgeRecords().isEmpty)
    }
  }

  @Test func `the log keeps what is in force when it is written anew`() throws {
    let directory = TemporaryDirectory()
    let ledger = PurgeLedger(epochs: Epochs(slots: 1))
    let history = try PurgeHistory(directory.file("purges"))
    history.keep(patternsOf: ledger)
    let pattern = try #require("p*".withView { KeyPattern($0) })
    let number = try #require(ledger.purge(.pattern(pattern), isSoft: true, time: 9))
    func record(_ id: UInt64, _ pattern: [UInt8] = []) -> PurgeRecord {
      PurgeRecord(
        id: id, time: 9, target: pattern.isEmpty ? .tags : .pattern, isSoft: true, tags: 1,
        objects: nil, who: "", what: String(repeating: "w", count: 2_000), idempotencyKey: "\(id)",
        pattern: pattern)
    }
    func add(_ record: PurgeRecord) {
      _ = history.note(record.idempotencyKey) { record }
      #expect(history.append([record]) == nil)
    }
    add(record(number, pattern.text))
    #expect(history.everythingStaledAt == .min)
    add(
      PurgeRecord(
        id: 2, time: 77, target: .everything, isSoft: true, tags: 0, objects: nil, who: "",
        what: "", idempotencyKey: "2", pattern: []))
    #expect(history.everythingStaledAt == 77)
    for id: UInt64 in 3...5_000 { add(record(id)) }
    #expect(TemporaryDirectory.read(directory.file("purges")).count < 5 << 20)
    let again = try PurgeHistory(directory.file("purges"))
    #expect(again.found.map(\.id) == [number])
    #expect(
      again.records(before: .max, limit: 9_999).map(\.id) == Array((3_977...5_000).reversed()))
    #expect(again.last == 5_000)
    #expect(again.everythingStaledAt == 77)
  }

  @Test func `a log that cannot be written anew grows on, and no order is lost or counted twice`()
    throws
  {
    let directory = TemporaryDirectory()
    // What stands in the way of the new file.
    _ = unsafe mkdir(directory.file("purges.new"), 0o700)
    let history = try PurgeHistory(directory.file("purges"))
    _ = history.fleetBook(naming: 7)
    let count: UInt64 = 2_500
    for id in 1...count {
      let made = history.note("", isOwn: true) {
        PurgeRecord(
          id: id, time: 9, target: .tags, isSoft: false, tags: 1, objects: nil, who: "",
          what: String(repeating: "w", count: 2_000), idempotencyKey: "", pattern: [],
          fleet: FleetMark(.own, pop: 7, order: [1]))
      }
      #expect(history.hasFleetOrders)
      let record = try #require(made).record
      #expect(history.append([record]) == nil, "order \(id)")
    }
    #expect(TemporaryDirectory.read(directory.file("purges")).count > 5 << 20)
    #expect(history.fleetOrdersWaiting == Int(count))
    let again = try PurgeHistory(directory.file("purges"))
    #expect(again.last == count && again.fleetOrdersWaiting == Int(count))
    // All that is known to stand in the log is not under way any more.
    history.note(
      history.fleetOrders(after: 0, limit: .max).map { entry in
        FleetMark(
          .appended, pop: 7, number: entry.number,
          position: LogPosition(milliseconds: 1, number: entry.number))
      })
    #expect(!history.hasFleetOrders)
    // Once the way is free it is written anew, and short.
    TemporaryDirectory.remove(directory.file("purges.new"))
    for id in count + 1...count * 4 {
      let record = PurgeRecord(
        id: id, time: 9, target: .tags, isSoft: false, tags: 1, objects: nil, who: "",
        what: String(repeating: "w", count: 2_000), idempotencyKey: "", pattern: [])
      _ = history.note("") { record }
      #expect(history.append([record]) == nil)
    }
    #expect(TemporaryDirectory.read(directory.file("purges")).count < 8 << 20)
  }

  @Test func `whoever sends own orders hears of the lowest that has become durable`() throws {
    let directory = TemporaryDirectory()
    let history = try PurgeHistory(directory.file("purges"))
    _ = history.fleetBook(naming: 7)
    let heard = Mutex<[UInt64]>([])
    history.listen { lowest in heard.withLock { $0.append(lowest) } }
    let records = try (1...3 as ClosedRange<UInt64>).map { id in
      try #require(
        history.note("", isOwn: true) {
          PurgeRecord(
            id: id, time: 9, target: .tags, isSoft: false, tags: 1, objects: nil, who: "",
            what: "", idempotencyKey: "", pattern: [], fleet: FleetMark(.own, pop: 7, order: [1]))
        }
      ).record
    }
    let numbers = try records.map { try #require($0.fleet).number }
    #expect(numbers == numbers.sorted() && Set(numbers).count == 3)
    // The later ones become durable first.
    #expect(history.append([records[2], records[1]]) == nil)
    #expect(history.append([records[0]]) == nil)
    #expect(heard.withLock { $0 } == [numbers[1], numbers[0]])
    #expect(history.fleetOrders(after: 0, limit: 9).map(\.number) == numbers)
  }

  @Test func `a log torn at any byte gives the whole entries before it`() throws {
    let directory = TemporaryDirectory()
    let path = directory.file("purges")
    var bytes = ByteBuffer()
    var ends: [Int] = []
    for id: UInt64 in 1...3 {
      let record = PurgeRecord(
        id: id, time: 1, target: .pattern, isSoft: false, tags: 0, objects: nil, who: "w",
        what: "", idempotencyKey: "", pattern: Array("p\(id)".utf8))
      PurgeHistory.encode(record, onto: &bytes)
      ends.append(bytes.count)
    }
    let whole = bytes.view.array
    for length in 0...whole.count {
      TemporaryDirectory.write(Array(whole[..<length]), to: path)
      let history = try PurgeHistory(path)
      let expected = ends.filter { $0 <= length }.count
      #expect(history.found.count == expected)
      // What is appended then stands behind the last whole entry.
      #expect(TemporaryDirectory.read(path).count == (expected > 0 ? ends[expected - 1] : 0))
    }
  }
}
