import Bytes
import CLinux
import EventLoop
import Synchronization
import Testing

@testable import LMDB
@testable import ObjectStore

@Suite struct ListingTests {
  private func all(_ fixture: StoreFixture, _ filter: ListFilter, limit: Int, budget: Int = 20_000)
    -> [ObjectSummary]
  {
    var objects: [ObjectSummary] = []
    var cursor: ListCursor? = .start
    while let place = cursor {
      // As an administrator's next request would bring it.
      let page = fixture.reader.list(
        filter, from: ListCursor(number: place.number), limit: limit, budget: budget)
      #expect(page.objects.count <= limit && page.examined <= budget)
      objects += page.objects
      cursor = page.next
    }
    return objects
  }

  @Test func `a list has each object once, page by page`() throws {
    try withStore { fixture in
      for number in 0..<100 {
        let many = number % 10 == 0 ? (0..<30).map { "x\($0)" } : []
        fixture.hand(
          fixture.object("k\(number)", "value", tags: ["t\(number % 4)"] + many))
      }
      fixture.hand(fixture.object("v", "V", tags: ["t1"], rule: "accept", values: "a"))
      fixture.hand(fixture.object("v", "W", tags: ["t1"], rule: "accept", values: "b"))
      fixture.store.flush()
      for (limit, budget) in [(1_000, 20_000), (7, 20_000), (50, 3), (1, 1)] {
        #expect(Set(all(fixture, .all, limit: limit, budget: budget).map(\.id)).count == 102)
        let tagged = all(fixture, .tag(fixture.tag("t1")), limit: limit, budget: budget)
        #expect(tagged.count == 27)
        #expect(tagged.allSatisfy { $0.tags.contains(fixture.tag("t1")) })
        #expect(all(fixture, .tag(fixture.tag("x3")), limit: limit, budget: budget).count == 10)
        let variants = all(fixture, .key(Array("v".utf8)), limit: limit, budget: budget)
        #expect(variants.map(\.varyValues) == [Array("a".utf8), Array("b".utf8)])
        let pattern = try #require("k1?".withView { KeyPattern($0) })
        #expect(all(fixture, .pattern(pattern), limit: limit, budget: budget).count == 10)
      }
    }
  }

  @Test func `a summary says what is known of an object, and looking is no use`() throws {
    try withStore { fixture in
      var object = fixture.object("a", "hello", tags: ["one", "two"])
      object.metadata = Metadata(
        status: 203, flags: 7, responseTime: 1, correctedInitialAge: 2, lifetime: 3,
        staleWhileRevalidate: 4, staleIfError: 5, lastModified: 6, etagOffset: 2, etagLength: 4)
      fixture.store(object)
      let body = try fixture.storeSliced("s", length: 600_000)
      _ = fixture.slices(body, [UInt8](repeating: 1, count: 600_000), [1])
      fixture.order(.tags([fixture.tag("one")]), soft: true)
      let list = fixture.reader.list(.all).objects
      let first = try #require(list.first { $0.key == Array("a".utf8) })
      #expect(first.metadata == object.metadata && first.etag == Array("nten".utf8))
      #expect(first.bodyLength == 5 && first.bytesPresent == 5 && !first.isSliced)
      #expect(Set(first.tags) == Set(["one", "two"].map(fixture.tag)))
      #expect(first.implicitTags == [fixture.tag("url a")])
      #expect(first.purge == .soft(since: 5_000) && first.uses == 0 && !first.isInMainQueue)
      let second = try #require(list.first { $0.key == Array("s".utf8) })
      #expect(second.isSliced && second.bodyLength == 600_000 && second.bytesPresent == 262_120)
      "a".withView { key in
        let hash = fixture.store.keyHash(key)
        guard case .found(let response) = fixture.reader.peek(hash, key: key) else {
          Issue.record("not found")
          return
        }
        #expect(response.id == first.id)
      }
      fixture.reader.endTurn()
      #expect(fixture.reader.list(.key(Array("a".utf8))).objects.first?.uses == 0)
      #expect(fixture.body("a") == "hello")
      #expect(fixture.reader.list(.key(Array("a".utf8))).objects.first?.uses == 1)
      fixture.purge("one")
      #expect(fixture.reader.list(.key(Array("a".utf8))).objects.first?.purge == .hard)
    }
  }
}

@Suite struct RecencyTests {
  private func uses(_ fixture: StoreFixture, _ key: String) -> UInt64? {
    fixture.reader.list(.key(Array(key.utf8))).objects.first?.uses
  }

  @Test func `how much objects are used is known after a restart`() throws {
    try withStore { fixture in
      for number in 0..<1_000 { fixture.hand(fixture.object("k\(number)", "v")) }
      fixture.store.flush()
      for number in 0..<100 {
        for _ in 0..<number % 5 { #expect(fixture.body("k\(number)") == "v") }
      }
      try fixture.reopen()
      for number in 0..<100 { #expect(uses(fixture, "k\(number)") == UInt64(min(number % 5, 3))) }
      #expect(uses(fixture, "k500") == 0)
    }
  }

  @Test(arguments: ["other", "torn", "empty", "changed", "missing"])
  func `a file that is not whole, or of another store, says nothing`(kind: String) throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "A"))
      #expect(fixture.body("a") == "A")
      let path = fixture.directory.file("s") + "/recency"
      try fixture.reopen {
        var bytes = TemporaryDirectory.read(path)
        #expect(bytes.count > 40)
        switch kind {
        case "other": bytes[9] ^= 1
        case "torn": bytes.removeLast()
        case "empty": bytes = []
        case "changed": bytes[bytes.count - 1] ^= 4
        default: break
        }
        if kind == "missing" {
          _ = unsafe unlink(path)
        } else {
          TemporaryDirectory.write(bytes, to: path)
        }
      }
      #expect(uses(fixture, "a") == 0)
      #expect(fixture.body("a") == "A")
    }
  }
}

@Suite struct ResidencyTests {
  /// A directory on a disk: what is in memory only is never cold. Nil if there is none.
  private func onDisk(_ name: String) -> String? {
    let path = "/var/tmp/weir-store-\(getpid())-\(name)"
    guard unsafe access("/var/tmp", W_OK) == 0 else { return nil }
    TemporaryDirectory.remove(path)
    return path
  }

  @Test func `a chunk that is not in memory is brought in by the warmer`() throws {
    guard let path = onDisk("cold") else { return }
    defer { TemporaryDirectory.remove(path) }
    var options = StoreOptions(path: path, sizeLimit: 16 << 20, readers: 1)
    // One byte: every store exceeds it.
    options.memory = 1
    let (body, hash) = try fill(options)
    // Out of the page cache; the kernel need not obey.
    let file = unsafe weir_open(path + "/data.mdb", O_RDONLY, 0)
    #expect(fsync(file) == 0 && posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0)
    close(file)
    let store = try ObjectStore.open(options)
    defer { store.close() }
    let reader = try store.makeReader()
    store.flush()
    #expect(store.exceedsMemory)
    #expect(reader.isCold(hash))
    Array("k".utf8).withView { _ = reader.lookup(hash, key: $0) }
    #expect(!reader.isCold(hash))
    let wasCold = !reader.isResident(body: body, number: 1)
    reader.endTurn()
    if !wasCold { print("skipped: the kernel keeps the pages of \(path)") }
    let done = Latch()
    #expect(store.warm(body: body, chunks: 1..<2) { done.open() })
    done.wait()
    #expect(reader.isResident(body: body, number: 1))
    reader.endTurn()
    let again = Latch()
    #expect(store.warm(hash) { again.open() })
    again.wait()
    // What is not there needs no waiting.
    #expect(reader.isResident(body: body + 1, number: 0))
    #expect(!reader.isCold(Hash128(low: 1, high: 2)))
    reader.endTurn()
  }

  /// A store with one object of two chunks; its body and hash.
  private func fill(_ options: StoreOptions) throws -> (UInt64, Hash128) {
    let store = try ObjectStore.open(options)
    let body = store.makeBodyID()
    for number: UInt32 in 0..<2 {
      let bytes = SharedBytes(capacity: ObjectStore.chunkSize)
      [UInt8](repeating: 7, count: ObjectStore.chunkSize).withView { _ = bytes.append($0) }
      #expect(store.storeChunk(body: body, number: number, bytes) { _ in })
    }
    let key = Array("k".utf8)
    let hash = key.withView { store.keyHash($0) }
    let object = NewObject(
      keyHash: hash, key: key, metadata: Metadata(status: 200, responseTime: 0, lifetime: 1),
      head: [], body: .chunks(id: body, length: UInt64(2 * ObjectStore.chunkSize)), sequence: 0)
    #expect(store.store(object) { _ in })
    store.close()
    return (body, hash)
  }

  @Test func `in a store that fits into memory nothing is cold`() throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "A"))
      #expect(!fixture.store.exceedsMemory)
      #expect(!fixture.reader.isCold("a".withView { fixture.store.keyHash($0) }))
      #expect(fixture.reader.isResident(body: 1, number: 0))
    }
  }

  @Test func `nothing is taken after closing, and what was taken is answered`() throws {
    try withStore { fixture in
      let answers = Counter()
      for _ in 0..<100 {
        _ = fixture.store.warm(body: 5, chunks: 0..<1_000) {
          answers.count.add(1, ordering: .relaxed)
        }
      }
      fixture.store.close()
      #expect(answers.count.load(ordering: .relaxed) == 100)
      #expect(!fixture.store.warm(body: 5, chunks: 0..<1) {})
    }
  }
}

@Suite struct BadPlaceTests {
  /// Runs `body` as a user without rights, who minds the modes of files.
  private func withoutRights(_ body: () throws -> Void) throws {
    let isRoot = geteuid() == 0
    // Of this thread only: the system call, not libc's, which changes them all.
    if isRoot { guard syscallSetEUID(65_534) else { return } }
    defer { if isRoot { _ = syscallSetEUID(0) } }
    try body()
  }

  private func syscallSetEUID(_ id: UInt32) -> Bool {
    weir_set_thread_user(id) == 0
  }

  @Test func `a directory that may only be read is an error that says so`() throws {
    let directory = TemporaryDirectory()
    let path = directory.file("s")
    try ObjectStore.open(StoreOptions(path: path, sizeLimit: 0, readers: 1)).close()
    _ = unsafe chmod(directory.path, 0o755)
    _ = unsafe chmod(path, 0o555)
    for name in TemporaryDirectory.names(path) { _ = unsafe chmod(path + "/" + name, 0o444) }
    try withoutRights {
      #expect {
        try ObjectStore.open(StoreOptions(path: path, sizeLimit: 0, readers: 1))
      } throws: {
        guard let error = $0 as? StoreError else { return false }
        return error.path.hasPrefix(path) && error.reason.contains("Permission denied")
      }
    }
    _ = unsafe chmod(path, 0o755)
    for name in TemporaryDirectory.names(path) { _ = unsafe chmod(path + "/" + name, 0o644) }
    // Nothing was set aside for it.
    let store = try ObjectStore.open(StoreOptions(path: path, sizeLimit: 0, readers: 1))
    #expect(store.openingNote == nil)
    store.close()
  }

  @Test(arguments: ["journal", "purges"])
  func `a log of purges that is damaged loses no more than what is damaged`(name: String) throws {
    try withStore { fixture in
      fixture.store(fixture.object("a", "A", tags: ["t"]))
      fixture.store(fixture.object("b", "B", tags: ["u"]))
      fixture.purge("t")
      fixture.order(.tags([fixture.tag("none")]))
      // Folded by closing: neither file is needed for it any more.
      try fixture.reopen {
        let path = fixture.directory.file("s") + "/" + name
        let bytes = TemporaryDirectory.read(path)
        TemporaryDirectory.write(bytes.map { $0 ^ 0x55 }, to: path)
      }
      #expect(fixture.store.openingNote == nil)
      #expect(fixture.body("a") == nil)
      #expect(fixture.body("b") == "B")
      fixture.purge("u")
      try fixture.reopen()
      #expect(fixture.body("b") == nil)
    }
  }

  /// A file system of 24 MiB that is full before the store has what it may have. Needs the right to
  /// mount; skipped without.
  @Test func `a disk that is really full leaves a store that serves and purges`() throws {
    let directory = TemporaryDirectory()
    let path = directory.file("small")
    _ = unsafe mkdir(path, 0o755)
    guard unsafe mount("weir", path, "tmpfs", 0, "size=24m") == 0 else {
      print("skipped: no right to mount")
      return
    }
    defer { _ = unsafe umount2(path, 2) }
    let notes = Mutex<[String]>([])
    let store = try ObjectStore.open(
      StoreOptions(path: path + "/s", sizeLimit: 256 << 20, readers: 1) { note in
        notes.withLock { $0.append(note) }
      })
    let reader = try store.makeReader()
    func put(_ number: Int) {
      let key = Array("k\(number)".utf8)
      let object = NewObject(
        keyHash: key.withView { store.keyHash($0) }, key: key,
        metadata: Metadata(status: 200, responseTime: 0, lifetime: 1), head: [],
        tags: ["t".withView { store.tagHash($0) }],
        body: .inline([UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 12_000)),
        sequence: store.purgeSequence)
      if !store.store(object, completion: { _ in }) { store.flush() }
    }
    for number in 0..<6_000 { put(number) }
    store.flush()
    #expect(notes.withLock { $0 }.contains { $0.contains("disk is full") })
    #expect(!store.statistics.writingEnded)
    #expect(store.statistics.objects > 100)
    for number in 6_000..<6_100 { put(number) }
    store.flush()
    var found = 0
    for number in 0..<6_100 {
      "k\(number)".withView { key in
        guard case .found(let response) = reader.lookup(store.keyHash(key), key: key) else {
          return
        }
        found += 1
        #expect(response.body[11_999] == UInt8(truncatingIfNeeded: number))
      }
    }
    reader.endTurn()
    #expect(found > 100)
    let done = Latch()
    store.purge(tags: ["t".withView { store.tagHash($0) }]) { result in
      if case .failure(let error) = result { Issue.record(error) }
      done.open()
    }
    done.wait()
    "k6099".withView { key in
      if case .found = reader.lookup(store.keyHash(key), key: key) { Issue.record("not purged") }
    }
    reader.endTurn()
    try store.check()
    store.close()
  }
}
