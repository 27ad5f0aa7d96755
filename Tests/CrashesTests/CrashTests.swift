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
