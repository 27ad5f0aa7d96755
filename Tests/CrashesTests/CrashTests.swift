import Bytes
internal import CLinux
import EventLoop
import FoundationEssentials
import Testing

@testable import Crashes

/// What a process leaves behind, and what is made of it.
@Suite("What a crash leaves behind") struct CrashTests {
  /// The pages of one worker, and a way to note in them.
  private func notes(_ targets: [(String, String)]) -> [String] {
    let page = UnsafeMutableRawPointer.allocate(byteCount: 4_096, alignment: 64)
    defer { unsafe page.deallocate() }
    unsafe page.initializeMemory(as: UInt8.self, repeating: 0, count: 4_096)
    let notes = unsafe RequestNotes(page, owns: false)
    for (host, path) in targets {
      Array(host.utf8).withView { host in
        Array(path.utf8).withView { notes.note(host: host, path: $0) }
      }
    }
    return RequestNotes.read(
      unsafe [UInt8](UnsafeRawBufferPointer(start: page, count: 4_096)), from: 0)
  }

  @Test func `the last requests are read, the newest first`() {
    #expect(notes([]) == [])
    #expect(notes([("a.example", "/1"), ("b.example", "/2")]) == ["b.example/2", "a.example/1"])
    let many = (1...20).map { ("a", "/\($0)") }
    #expect(notes(many) == (13...20).reversed().map { "a/\($0)" })
  }

  @Test func `what is long is cut, and nothing acts on a terminal or tells a query`() {
    let long = notes([
      (String(repeating: "h", count: 900), "/" + String(repeating: "p", count: 900))
    ])
    #expect(long.first?.count == 253 && long.first?.hasSuffix("p…") == true)
    #expect(notes([("a", "/\u{1B}[2J x?secret=1")]) == ["a/\\x1b[2J\\x20x"])
    #expect(notes([("", "")]) == [""])
  }

  @Test(arguments: [UInt8(0), 0x01, 0x7F, 0xFF])
  func `an area full of anything makes a report`(_ byte: UInt8) {
    var bytes = [UInt8](repeating: byte, count: CrashArea.size)
    for isMarked in [false, true] {
      if isMarked { bytes.replaceSubrange(0..<8, with: "weircrs1".utf8) }
      let report = CrashReport(
        bytes, process: 1, signal: 11, signalName: "Segmentation fault",
        executable: "/proc/self/exe",
        now: 1_000)
      #expect(report.text.hasPrefix("weir crash report\ntime: "))
      #expect(!report.text.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" })
    }
    for length in [0, 7, 8, 4_095, 4_104, 8_192] {
      _ = CrashReport(
        Array(bytes.prefix(length)), process: 1, signal: 9, signalName: "Killed", executable: "",
        now: 1_000)
    }
  }

  @Test func `images are those of a file's mappings`() {
    let maps = """
      5000-6000 r--p 00000000 08:01 12 /usr/bin/weir
      6000-9000 r-xp 00001000 08:01 12 /usr/bin/weir
      a000-b000 rw-p 00000000 00:00 0 [heap]
      c000-d000 r-xp 00000000 08:01 99 /usr/lib/a b.so
      ffff-fff0 wrong
      """
    let images = CrashIdentity.images(in: Array(maps.utf8))
    #expect(images.map(\.name) == ["weir", "a b.so"])
    #expect(images[0].start == 0x5000 && images[0].end == 0x9000)
    let identity = CrashIdentity(version: "weir 1", build: "ab", images: images)
    #expect(CrashIdentity(text: identity.text) == identity)
    #expect(identity.place(of: 0x6010)?.offset == 0x1010)
    #expect(identity.place(of: 0x9000) == nil)
  }

  @Test func `this executable has a build id and functions with names`() throws {
    let own = CrashIdentity.own(version: "weir 1")
    let file = try #require(ELFFile(path: "/proc/self/exe"))
    #expect(own.build.count == 40 && file.buildID == own.build)
    #expect(ELFFile(path: "/etc/passwd") == nil && ELFFile(path: "/no/such/file") == nil)
    // A return address of the code that runs here.
    var addresses = unsafe [UnsafeMutableRawPointer?](repeating: nil, count: 16)
    let count = unsafe backtrace(&addresses, 16)
    let numbers = unsafe addresses.prefix(Int(count)).map { UInt64(UInt(bitPattern: $0)) }
    let offsets = numbers.compactMap { address in
      own.place(of: address).flatMap { $0.image == 0 ? $0.offset : nil }
    }
    let names = file.functions(at: Set(offsets))
    #expect(names.values.contains { $0.contains("CrashTests") }, "\(names)")
  }

  /// An area in which a thread has died of a signal, at work on an object in each page.
  private func area(thread: String, code: UInt8 = 1) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: CrashArea.size)
    bytes.replaceSubrange(0..<8, with: "weircrs1".utf8)
    bytes[12] = code
    bytes[32] = 60
    bytes.replaceSubrange(48..<48 + thread.utf8.count, with: thread.utf8)
    for (index, place) in [2 * 4_096, 5 * 4_096].enumerated() {
      bytes[place + RequestNotes.objectPlace + 8] = UInt8(10 + index)
    }
    bytes[CrashArea.objects] = 1
    bytes[CrashArea.objects + ObjectNote.size] = 2
    return bytes
  }

  @Test(arguments: [
    ("weir-worker-0", Hash128(low: 0, high: 10)), ("weir-worker-3", Hash128(low: 0, high: 11)),
    ("weir-worker-1", nil), ("weir-worker-999", nil), ("weir-worker--1", nil), ("weir-admin", nil),
    ("store-writer", Hash128(low: 1, high: 0)), ("store-warmer", Hash128(low: 2, high: 0)),
  ])
  func `the object is that of the thread that has died`(_ thread: String, _ object: Hash128?) throws
  {
    let bytes = area(thread: thread)
    let report = CrashReport(
      bytes, process: 7, signal: 11, signalName: "x", executable: "", now: 1_000)
    #expect(report.object == object)
    let file = try CrashArea.make()
    #expect(
      unsafe bytes.withUnsafeBytes { unsafe pwrite(file.number, $0.baseAddress, $0.count, 0) }
        == bytes.count)
    let naming = CrashArea.naming(in: file, process: 7)
    #expect(naming?.object == object)
    if let naming {
      // What the supervisor says is what the report will say.
      #expect(naming.crash == "7@1970-01-01T00:01:00Z")
      #expect(CrashNaming(text: naming.text) == naming)
      #expect(CrashSummary(report.text, file: "f")?.naming == naming)
    }
    let killed = area(thread: thread, code: 0)
    #expect(
      CrashReport(killed, process: 7, signal: 11, signalName: "x", executable: "", now: 0).object
        == nil)
  }

  @Test(arguments: [
    "", "@", "00@1@2", "g0000000000000000000000000000000@1@2", "x@1@2@3",
    "0000000000000000000000000000000+@1@2", "00000000000000000000000000000000@x@2",
    "00000000000000000000000000000000@1@\u{1B}",
  ])
  func `what names no object is not read`(_ text: String) {
    #expect(CrashNaming(text: text) == nil)
  }

  @Test func `an object is suspect from its second crash on, until it is dropped`() throws {
    let store =
      FileManager.default.temporaryDirectory.path + "/weir-suspects-\(Random.hash128().low)"
    defer { try? FileManager.default.removeItem(atPath: store) }
    let folder = CrashFolder(store: store)
    func crash(_ process: Int32, _ object: Hash128, at time: Int64) throws -> CrashNaming {
      var report = CrashReport(
        [], process: process, signal: 11, signalName: "x", executable: "", now: time)
      report.object = object
      _ = try folder.write(report)
      return CrashNaming(object: object, process: process, time: CrashReport.text(ofTime: time))
    }
    let (bad, other) = (Hash128(low: 1, high: 2), Hash128(low: 3, high: 4))
    #expect(folder.suspects().isEmpty)
    // In a container each process may be number 1.
    let first = try crash(1, bad, at: 1_000)
    _ = try crash(1, other, at: 1_001)
    #expect(folder.suspects().isEmpty)
    #expect(folder.suspects(told: [first]).isEmpty)
    let second = CrashNaming(object: bad, process: 1, time: CrashReport.text(ofTime: 2_000))
    #expect(folder.suspects(told: [second]).map(Set.init) == [[first, second]])
    _ = try crash(1, bad, at: 2_000)
    let suspects = folder.suspects(told: [second])
    #expect(suspects.map(Set.init) == [[first, second]])
    try folder.noteDropped(suspects, now: 3_000)
    #expect(folder.suspects(told: [second]).isEmpty)
    #expect(folder.drops.map(\.time) == ["1970-01-01T00:50:00Z"])
    // It has to name it twice again.
    let third = try crash(1, bad, at: 4_000)
    #expect(folder.suspects().isEmpty)
    let fourth = try crash(1, bad, at: 5_000)
    #expect(folder.suspects().map(Set.init) == [[third, fourth]])
  }

  @Test func `a handful of reports is kept, for one user only`() throws {
    let store =
      FileManager.default.temporaryDirectory.path + "/weir-crashes-\(Random.hash128().low)"
    try FileManager.default.createDirectory(
      atPath: store, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: store) }
    let folder = CrashFolder(store: store)
    #expect(folder.summaries.isEmpty)
    var files: [String] = []
    for number in 1...8 {
      var report = CrashReport(
        [], process: Int32(number), signal: 11, signalName: "Segmentation fault", executable: "",
        now: 1_800_000_000 + Int64(number) * 60)
      report.thread = "weir-worker-0"
      report.frames = [.init(place: "weir+0x1", name: "first"), .init(place: "libc.so.6+0x2")]
      report.requests = [(0, ["a/newest", "a/older"]), (2, ["b/"])]
      files.append(try folder.write(report))
    }
    let summaries = folder.summaries
    #expect(summaries.map(\.file) == files.suffix(5).reversed())
    #expect(summaries.first?.time == "2027-01-15T08:08:00Z")
    #expect(summaries.first?.signal == "11 (Segmentation fault)")
    #expect(summaries.first?.functions == ["first"])
    #expect(summaries.first?.requests == ["a/newest", "b/"])
    var status = stat()
    #expect(unsafe stat(files[7], &status) == 0 && status.st_mode & 0o777 == 0o600)
    #expect(unsafe stat(folder.path, &status) == 0 && status.st_mode & 0o777 == 0o700)
  }
}
