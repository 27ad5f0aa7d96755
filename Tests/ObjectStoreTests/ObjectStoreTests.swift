import Bytes
import Testing

@testable import ObjectStore

@Suite struct ObjectStoreTests {
  @Test func `what is stored is found with all its parts`() throws {
    try withStore { fixture in
      var object = fixture.object("GET http://a/", "hello", tags: ["one", "two"])
      object.metadata = Metadata(
        status: 203, flags: 7, responseTime: 1, correctedInitialAge: 2, lifetime: 3,
        staleWhileRevalidate: 4, staleIfError: 5, lastModified: 6, etagOffset: 2, etagLength: 4)
      let outcome = fixture.store(object)
      let response = try #require(fixture.found("GET http://a/"))
      #expect(outcome == .stored(id: response.id))
      #expect(response.metadata == object.metadata)
      #expect(response.status == 203)
      #expect(response.key.string == "GET http://a/")
      #expect(response.head.array == object.head)
      #expect(response.etag.string == "nten")
      #expect(response.body.string == "hello")
      #expect(response.bodyLength == 5 && response.bodyID == 0)
      #expect(response.tagCount == 2 && response.implicitTagCount == 1)
      let tags = Set((0..<2).map { response.tag($0) })
      #expect(tags == Set(["one", "two"].map(fixture.tag)))
      #expect(response.tag(2) == fixture.tag("url GET http://a/"))
    }
  }

  @Test func `another key is a miss even if its hash is the same`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "A"))
      let hash = "a".withView { fixture.store.keyHash($0) }
      guard case .miss = "b".withView({ fixture.reader.lookup(hash, key: $0) }) else {
        Issue.record("another key's response was given")
        return
      }
    }
  }

  @Test func `a newer response replaces the stored one`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "old", tags: ["t"]))
      fixture.store(fixture.object("a", "new", tags: ["t"]))
      #expect(fixture.body("a") == "new")
      #expect(fixture.store.statistics.objects == 1)
      #expect(fixture.purge("t")?.objects == 1)
    }
  }

  @Test func `views stay good within a turn while the object is replaced`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "old"))
      let response = try #require(fixture.found("a"))
      fixture.store(fixture.object("a", "new"))
      fixture.store(fixture.object("b", "B"))
      #expect(response.body.string == "old")
      // What this turn's snapshot lacks is found in a later one.
      #expect(fixture.found("b")?.body.string == "B")
      #expect(fixture.found("a")?.body.string == "new")
      #expect(response.body.string == "old")
      fixture.reader.endTurn()
      #expect(fixture.body("a") == "new")
    }
  }

  @Test func `a stored response is found again by its id until it is replaced`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "old"))
      let response = try #require(fixture.found("a"))
      let (id, hash) = (response.id, response.keyHash)
      fixture.reader.endTurn()
      #expect(fixture.reader.record(id: id, hash: hash)?.body.string == "old")
      fixture.reader.endTurn()
      fixture.store(fixture.object("a", "new"))
      #expect(fixture.reader.record(id: id, hash: hash) == nil)
    }
  }

  @Test func `a removed response is gone, and another one of that key is not removed`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "old"))
      let response = try #require(fixture.found("a"))
      let (id, hash) = (response.id, response.keyHash)
      fixture.reader.endTurn()
      fixture.store(fixture.object("a", "new"))
      fixture.store.remove(keyHash: hash, id: id)
      fixture.store.flush()
      #expect(fixture.body("a") == "new")
      let newer = try #require(fixture.found("a"))
      let newID = newer.id
      fixture.reader.endTurn()
      fixture.store.remove(keyHash: hash, id: newID)
      fixture.store.flush()
      #expect(fixture.body("a") == nil)
    }
  }

  @Test(arguments: [0, 1, 2_029, 2_031, 4_096, 16_384])
  func `inline bodies of any length come back`(length: Int) throws {
    try withStore { fixture in
      let text = String(repeating: "x", count: length)
      fixture.store(fixture.object("a", text))
      #expect(fixture.body("a") == text)
      try fixture.reopen()
      #expect(fixture.body("a") == text)
    }
  }

  @Test func `what is out of range is not taken`() throws {
    try withStore { fixture in
      #expect(
        !fixture.store.store(fixture.object("a", String(repeating: "x", count: 16_385))) { _ in })
      var object = fixture.object("a")
      object.tags = [UInt64](repeating: 1, count: 4_097)
      #expect(!fixture.store.store(object) { _ in })
      object = fixture.object(String(repeating: "k", count: 65_536))
      #expect(!fixture.store.store(object) { _ in })
    }
  }

  @Test func `nothing is taken after closing`() throws {
    try withStore { fixture in
      fixture.store.close()
      #expect(!fixture.store.store(fixture.object("a")) { _ in })
      #expect(fixture.purge("t") == nil)
      #expect(fixture.body("a") == nil)
    }
  }

  @Test func `many tags are kept in the record and still purge`() throws {
    try withStore { fixture in
      let names = (0..<1_000).map { "tag \($0)" }
      fixture.store(fixture.object("a", "A", tags: names + names))
      try fixture.reopen()
      #expect(fixture.found("a")?.tagCount == 1_000)
      fixture.reader.endTurn()
      #expect(fixture.purge("tag 777")?.counts == [1])
      #expect(fixture.body("a") == nil)
      fixture.store.waitForSweep()
      #expect(fixture.store.statistics.objects == 0)
    }
  }
}

@Suite struct RestartTests {
  @Test func `a restart keeps objects, variants, bodies and counts`() throws {
    try withStore { fixture in
      let bytes = (0..<600_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &>> 3) }
      var large = fixture.object("large", tags: ["t"])
      large.body = try #require(fixture.chunks(bytes))
      #expect(fixture.store(large) != .refused)
      fixture.store(fixture.object("a", "A", tags: ["t"]))
      fixture.store(fixture.object("v", "V", rule: "accept", values: "x"))
      try fixture.reopen()
      #expect(fixture.body("a") == "A")
      #expect(fixture.variant("v", "accept", "x")?.body.string == "V")
      let response = try #require(fixture.found("large"))
      var read: [UInt8] = []
      for number in 0..<3 {
        read += try #require(fixture.reader.chunk(body: response.bodyID, number: UInt32(number)))
          .array
      }
      #expect(read == bytes)
      fixture.reader.endTurn()
      #expect(fixture.store.statistics.objects == 4)
      #expect(fixture.purge("t")?.objects == 2)
    }
  }

  @Test func `what is to be dropped is gone before anybody looks, with its body`() throws {
    try withStore { fixture in
      var large = fixture.object("large", tags: ["t"])
      large.body = try #require(fixture.chunks([UInt8](repeating: 1, count: 600_000)))
      #expect(fixture.store(large) != .refused)
      fixture.store(fixture.object("a", "A"))
      fixture.store(fixture.object("v", "V", rule: "accept", values: "x"))
      let hashes = ["large", "v", "never"].map { $0.withView { fixture.store.keyHash($0) } }
      try fixture.reopen(dropping: hashes)
      #expect(fixture.found("large") == nil && fixture.body("a") == "A")
      guard case .miss = fixture.lookup("v") else {
        Issue.record("the rules of a dropped key are still there")
        return
      }
      fixture.reader.endTurn()
      try fixture.reopen()
      #expect(fixture.found("large") == nil && fixture.body("a") == "A")
      fixture.reader.endTurn()
      fixture.store(fixture.object("large", "new"))
      #expect(fixture.body("large") == "new")
    }
  }

  @Test func `ids are not used again after a restart`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "A"))
      let id = try #require(fixture.found("a")).id
      let body = fixture.store.makeBodyID()
      fixture.reader.endTurn()
      fixture.store.remove(keyHash: "a".withView { fixture.store.keyHash($0) }, id: id)
      fixture.store.flush()
      try fixture.reopen()
      fixture.store(fixture.object("a", "A"))
      #expect(try #require(fixture.found("a")).id > id)
      #expect(fixture.store.makeBodyID() >= body)
    }
  }

  @Test func `chunks without a record are dropped on start`() throws {
    try withStore { fixture in
      _ = fixture.chunks([UInt8](repeating: 1, count: 300_000))
      var kept = fixture.object("kept")
      kept.body = try #require(fixture.chunks([UInt8](repeating: 2, count: 300_000)))
      fixture.store(kept)
      _ = fixture.chunks([UInt8](repeating: 3, count: 600_000))
      let before = fixture.store.statistics.bytesInUse
      try fixture.reopen()
      fixture.store(fixture.object("a"))
      fixture.store.flush()
      #expect(fixture.store.statistics.bytesInUse < before - 800_000)
      #expect(
        fixture.reader.chunk(body: try #require(fixture.found("kept")).bodyID, number: 1) != nil)
    }
  }
}

@Suite struct VariantTests {
  @Test func `a response with Vary is found by its rule and values only`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "gzip", rule: "accept-encoding", values: "gzip"))
      fixture.store(fixture.object("a", "br", rule: "accept-encoding", values: "br"))
      guard case .varies(let rules) = fixture.lookup("a") else {
        Issue.record("no Vary rules")
        return
      }
      #expect(rules.count == 1)
      #expect(rules.rule(0).string == "accept-encoding")
      #expect(fixture.variant("a", "accept-encoding", "gzip")?.body.string == "gzip")
      #expect(fixture.variant("a", "accept-encoding", "br")?.body.string == "br")
      #expect(fixture.variant("a", "accept-encoding", "zstd") == nil)
      #expect(fixture.variant("a", "accept", "gzip") == nil)
      #expect(fixture.variant("b", "accept-encoding", "gzip") == nil)
    }
  }

  @Test func `rules are listed newest first, at most 8`() throws {
    try withStore { fixture in
      for number in 0..<10 { fixture.store(fixture.object("a", rule: "r\(number)", values: "x")) }
      fixture.store(fixture.object("a", rule: "r5", values: "y"))
      fixture.store(fixture.object("a", "plain"))
      guard case .varies(let rules) = fixture.lookup("a") else {
        Issue.record("no Vary rules")
        return
      }
      let names = (0..<rules.count).map { rules.rule($0).string }
      #expect(names == ["", "r5", "r9", "r8", "r7", "r6", "r4", "r3"])
      #expect(fixture.variant("a", "", "")?.body.string == "plain")
    }
  }

  @Test func `a response that begins to vary replaces the one that did not`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "plain"))
      fixture.store(fixture.object("a", "fr", rule: "accept-language", values: "fr"))
      #expect(fixture.body("a") == nil)
      #expect(fixture.variant("a", "accept-language", "fr")?.body.string == "fr")
    }
  }

  @Test func `a purge of the URL reaches every variant`() throws {
    try withStore { fixture in
      for values in ["a", "b", "c"] {
        fixture.store(fixture.object("k", values, rule: "accept", values: values))
      }
      fixture.purge("url k")
      for values in ["a", "b", "c"] { #expect(fixture.variant("k", "accept", values) == nil) }
    }
  }
}

@Suite struct FresheningTests {
  func freshen(
    _ fixture: StoreFixture, _ id: UInt64, _ key: String, head: String, tags: [String]? = nil,
    sequence: UInt64? = nil
  ) -> StoreOutcome? {
    fixture.wait {
      fixture.store.freshen(
        id: id, keyHash: key.withView { fixture.store.keyHash($0) }, head: Array(head.utf8),
        metadata: Metadata(status: 200, responseTime: 5_000, lifetime: 9),
        tags: tags.map { $0.map(fixture.tag) }, sequence: sequence ?? fixture.store.purgeSequence,
        completion: $0)
    }
  }

  @Test func `a freshened response has a new head and the old content`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "content", tags: ["old"]))
      let id = try #require(fixture.found("a")).id
      fixture.reader.endTurn()
      let outcome = freshen(fixture, id, "a", head: "x: y\r\n", tags: ["new"])
      let response = try #require(fixture.found("a"))
      #expect(outcome == .stored(id: response.id) && response.id != id)
      #expect(response.body.string == "content")
      #expect(response.head.string == "x: y\r\n")
      #expect(response.responseTime == 5_000 && response.lifetime == 9)
      fixture.reader.endTurn()
      #expect(fixture.purge("old")?.objects == 0)
      #expect(fixture.purge("new")?.objects == 1)
      #expect(fixture.body("a") == nil)
    }
  }

  @Test func `a freshened response keeps its chunks`() throws {
    try withStore { fixture in
      var object = fixture.object("a", tags: ["t"])
      object.body = try #require(fixture.chunks([UInt8](repeating: 9, count: 300_000)))
      fixture.store(object)
      let response = try #require(fixture.found("a"))
      let (id, body) = (response.id, response.bodyID)
      fixture.reader.endTurn()
      _ = freshen(fixture, id, "a", head: "x: y\r\n")
      fixture.store.flush()
      #expect(fixture.found("a")?.bodyID == body)
      #expect(fixture.reader.chunk(body: body, number: 1) != nil)
      fixture.reader.endTurn()
      #expect(fixture.purge("t")?.objects == 1)
    }
  }

  @Test func `what was replaced or purged meanwhile is not freshened`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "1", tags: ["t"]))
      let id = try #require(fixture.found("a")).id
      fixture.reader.endTurn()
      let before = fixture.store.purgeSequence
      fixture.purge("t")
      #expect(freshen(fixture, id, "a", head: "", sequence: before) == .purged)
      fixture.store(fixture.object("a", "2", tags: ["t"]))
      #expect(freshen(fixture, id, "a", head: "") == .replaced)
      #expect(freshen(fixture, id, "none", head: "") == .replaced)
      #expect(fixture.body("a") == "2")
    }
  }
}
