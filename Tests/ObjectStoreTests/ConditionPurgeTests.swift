import Bytes
import Synchronization
import Testing

@testable import ObjectStore

/// A condition for tests: words with spaces between them, all of which must hold. `status=N`,
/// `url=TEXT`, `older=MILLISECONDS`, `longer=BYTES`, `tag=TEXT`, `hash=NUMBER`, `head=TEXT`.
struct WordCondition: ObjectCondition {
  let text: [UInt8]

  init?(_ text: [UInt8]) {
    self.text = text
    if String(decoding: text, as: UTF8.self).contains("unreadable") { return nil }
  }

  init(_ text: String) { self.text = Array(text.utf8) }

  func makeTest(tagHash: (ByteView) -> UInt64) -> any ObjectTest {
    WordTest(String(decoding: text, as: UTF8.self), tagHash)
  }
}

private final class WordTest: ObjectTest {
  private let words: [(name: String, value: String)]
  private let tags: [String: UInt64]

  init(_ text: String, _ tagHash: (ByteView) -> UInt64) {
    var tags: [String: UInt64] = [:]
    words = text.split(separator: " ").map { word in
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
    }
    for word in words where word.name == "tag" {
      tags[word.value] = word.value.withView { tagHash($0) }
    }
    self.tags = tags
  }

  func isTrue(of object: borrowing ObjectFacts) -> Bool {
    for word in words {
      let holds =
        switch word.name {
        case "status": String(object.status) == word.value
        case "url": object.url.string == word.value
        case "older": object.age > Int64(word.value) ?? .max
        case "longer": object.bodyLength > UInt64(word.value) ?? .max
        case "tag": object.hasTag(tags[word.value] ?? 0)
        case "hash": String(object.keyHash.low) == word.value
        case "head": object.head.string.contains(word.value)
        default: false
        }
      if !holds { return false }
    }
    return true
  }
}

@Suite struct ConditionPurgeTests {
  private func condition(_ text: String) -> PurgeOrder.Target { .condition(WordCondition(text)) }

  @Test func `a purge by condition reaches what it is true of, is counted and forgotten`() throws {
    try withStore { fixture in
      for number in 0..<60 {
        let body = String(repeating: "x", count: number)
        fixture.hand(fixture.object("k\(number)", body, tags: ["t\(number % 3)"]))
      }
      fixture.store.flush()
      let target = condition("longer=29 tag=t1")
      #expect(fixture.reader.count(.reached(target, time: 5_000)).objects == 10)
      let receipt = try fixture.order(target).get()
      #expect(receipt.record.objects == nil)
      #expect(fixture.reader.count(.reached(target, time: 5_000)).objects == 0)
      for number in 0..<60 {
        #expect((fixture.body("k\(number)") == nil) == (number > 29 && number % 3 == 1))
      }
      fixture.store.waitForSweep()
      #expect(fixture.store.statistics.pendingPurges == 0)
      #expect(fixture.store.statistics.objects == 50)
      #expect(fixture.store.purgeRecord(receipt.record.id)?.objects == 10)
      try fixture.reopen()
      #expect(fixture.store.purgeRecord(receipt.record.id)?.objects == 10)
      #expect(fixture.store.statistics.pendingPurges == 0)
    }
  }

  @Test func `an object's age is that at the time of the purge, and a soft one only makes stale`()
    throws
  {
    try withStore { fixture in
      fixture.store(fixture.object("old", "v"))
      var young = fixture.object("young", "v")
      young.metadata.responseTime = 4_500
      fixture.store(young)
      fixture.order(condition("older=1000"), soft: true, time: 5_000)
      #expect(fixture.softTime("old") == 5_000)
      #expect(fixture.softTime("young") == .max)
      fixture.store.waitForSweep()
      try fixture.reopen()
      #expect(fixture.softTime("old") == 5_000)
      #expect(fixture.softTime("young") == .max)
    }
  }

  @Test func `of variants one alone can be meant`() throws {
    try withStore { fixture in
      for value in ["a", "b"] {
        fixture.store(fixture.object("v", value, rule: "accept", values: value))
      }
      let hash = try #require(fixture.variant("v", "accept", "a")).keyHash
      fixture.reader.endTurn()
      let before = fixture.store.purgeSequence
      fixture.order(condition("hash=\(hash.low)"))
      #expect(fixture.variant("v", "accept", "a") == nil)
      #expect(fixture.variant("v", "accept", "b")?.body.string == "b")
      fixture.reader.endTurn()
      let late = fixture.object("v", "late", rule: "accept", values: "a", sequence: before)
      #expect(fixture.store(late) == .purged)
      let other = fixture.object("v", "late", rule: "accept", values: "b", sequence: before)
      #expect(fixture.store(other) != .purged)
    }
  }

  @Test func `one that cannot be read after a restart reaches everything`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "v"))
      fixture.store(fixture.object("b", "v"))
      fixture.order(condition("url=a"))
      fixture.order(condition("url=unreadable"))
      #expect(fixture.body("b") == "v")
      try fixture.reopen()
      #expect(fixture.body("a") == nil && fixture.body("b") == nil)
      fixture.store(fixture.object("b", "new"))
      #expect(fixture.body("b") == "new")
    }
  }

  @Test func `patterns and conditions go by the URL that the client sent`() throws {
    try withStore { fixture in
      var object = fixture.object("a key of another kind", "v")
      object.target = Array("http://a.example/x".utf8)
      fixture.store(object)
      fixture.order(try fixture.pattern("a key*"))
      #expect(fixture.found("a key of another kind")?.url.string == "http://a.example/x")
      fixture.reader.endTurn()
      fixture.store.waitForSweep()
      try fixture.reopen()
      #expect(fixture.body("a key of another kind") == "v")
      let page = fixture.reader.list(
        .pattern(try #require("http://a*".withView { KeyPattern($0) })))
      #expect(page.objects.first?.url == Array("http://a.example/x".utf8))
      fixture.order(try fixture.pattern("http://a.example/*"))
      #expect(fixture.body("a key of another kind") == nil)
    }
  }
}

@Suite struct ScopedPurgeTests {
  private func store(_ fixture: StoreFixture, _ name: String, tags: [String]) {
    fixture.hand(fixture.object(name, "v", tags: tags))
  }

  @Test(arguments: [false, true])
  func `a tag within a host reaches what has both`(isSoft: Bool) throws {
    try withStore { fixture in
      let many = (0..<100).map { "m\($0)" }
      store(fixture, "a", tags: ["t", "u"])
      store(fixture, "b", tags: ["t"])
      store(fixture, "c", tags: ["u"])
      store(fixture, "far", tags: many + ["t"])
      fixture.store.flush()
      let hosts = [fixture.tag("url a"), fixture.tag("url c"), fixture.tag("url far")]
      let target = PurgeOrder.Target.tagsWithin(hosts: hosts, [fixture.tag("t")])
      #expect(fixture.reader.count(.reached(target, time: 0)).objects == 2)
      let receipt = try fixture.order(target, soft: isSoft).get()
      #expect(receipt.record.objects == nil && receipt.record.tags == 1)
      func expectReached() {
        let reached: Int64? = isSoft ? 5_000 : nil
        #expect(fixture.softTime("a") == reached)
        #expect(fixture.softTime("far") == reached)
        #expect(fixture.softTime("b") == .max)
        #expect(fixture.softTime("c") == .max)
      }
      expectReached()
      try fixture.reopen()
      expectReached()
      fixture.store.waitForSweep()
      #expect(fixture.store.statistics.pendingPurges == 0)
      #expect(fixture.store.statistics.objects == (isSoft ? 4 : 2))
      expectReached()
      #expect(fixture.purge("t")?.counts == [isSoft ? 3 : 1])
    }
  }

  @Test func `a fill from before it is not joined, nor stored`() throws {
    try withStore { fixture in
      let mark = fixture.store.beginFill()
      let host = fixture.tag("url a")
      fixture.order(.tagsWithin(hosts: [host], [fixture.tag("t")]))
      #expect(fixture.store.isPurged(since: mark.sequence, tags: [fixture.tag("t"), host]))
      #expect(!fixture.store.isPurged(since: mark.sequence, tags: [fixture.tag("t")]))
      #expect(
        fixture.store(fixture.object("a", "v", tags: ["t"], sequence: mark.sequence)) == .purged)
      #expect(
        fixture.store(fixture.object("b", "v", tags: ["t"], sequence: mark.sequence)) != .purged)
      fixture.store.endFill(mark)
    }
  }

  @Test func `an order has hosts and tags, and not too many`() throws {
    try withStore { fixture in
      let tag = fixture.tag("t")
      #expect(fixture.order(.tagsWithin(hosts: [], [tag])) == .failure(.outOfRange))
      #expect(fixture.order(.tagsWithin(hosts: [tag], [])) == .failure(.outOfRange))
      let many = [UInt64](repeating: tag, count: 257)
      #expect(fixture.order(.tagsWithin(hosts: many, many)) == .failure(.outOfRange))
    }
  }
}
