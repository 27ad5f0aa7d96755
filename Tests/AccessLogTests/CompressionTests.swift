import Bytes
import CLinux
import EventLoop
import FoundationEssentials
import Testing
import TrafficFormats

@testable import AccessLog

@Suite("Rotated files are compressed") struct CompressionTests {
  private let labels = AccessLogLabels(routes: [], cache: [])

  private func open(
    _ directory: TemporaryDirectory, _ rotation: LogRotation
  ) throws -> AccessLogWriter {
    try AccessLogWriter(
      target: .file(directory.file("log")), format: .template(try LogTemplate("$target")),
      labels: labels, rotation: rotation)
  }

  private func write(_ target: String, _ ring: AccessLogRing, _ log: AccessLogWriter) {
    target.withView { target in
      var record = AccessRecord()
      record.target = target
      ring.append(record)
    }
    log.flush()
  }

  private func names(_ directory: TemporaryDirectory) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
  }

  private func unpacked(_ path: String) throws -> String {
    let stream = Decompressor()
    var content: [UInt8] = []
    let bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
    #expect(bytes.withView { stream.feed($0) { content += $0.array } })
    #expect(stream.finish { content += $0.array })
    #expect(stream.coding == .gzip)
    return String(decoding: content, as: UTF8.self)
  }

  private func waitFor(_ directory: TemporaryDirectory, _ wanted: [String]) async throws {
    for _ in 0..<20_000 {
      if try names(directory) == wanted { return }
      try await Task.sleep(for: .milliseconds(2))
    }
    #expect(try names(directory) == wanted)
  }

  @Test func `each has its lines, and only so many are kept`() async throws {
    let directory = try TemporaryDirectory()
    let log = try open(directory, LogRotation(size: 10, keep: 2, compresses: true))
    let ring = log.makeRing()
    var wanted = ["log"]
    for number in 0..<5 {
      write("/long-line-\(number)", ring, log)
      if number > 0 && number <= 2 { wanted.append("log.\(number).gz") }
      try await waitFor(directory, wanted)
    }
    log.close()
    #expect(log.writeErrors == 0 && log.lines == 5)
    #expect(try directory.lines("log") == [Array("/long-line-4".utf8)])
    #expect(try unpacked(directory.file("log.1.gz")) == "/long-line-3\n")
    #expect(try unpacked(directory.file("log.2.gz")) == "/long-line-2\n")
  }

  @Test func `rotation does not wait for it, and nothing is lost between both`() async throws {
    let directory = try TemporaryDirectory()
    let log = try open(directory, LogRotation(size: 1, keep: 50, compresses: true))
    let ring = log.makeRing()
    for number in 0..<40 { write("/\(number)", ring, log) }
    try await waitFor(directory, (["log"] + (1..<40).map { "log.\($0).gz" }).sorted())
    log.close()
    for number in 1..<40 {
      #expect(try unpacked(directory.file("log.\(number).gz")) == "/\(39 - number)\n")
    }
  }

  @Test func `what an earlier process left is compressed, and keeps its age`() async throws {
    let directory = try TemporaryDirectory()
    var random = SystemRandomNumberGenerator()
    // Several portions, and what hardly becomes smaller.
    let content = (0..<300_000).map { _ in UInt8.random(in: 32..<127, using: &random) }
    try Data(content).write(to: URL(filePath: directory.file("log.1")))
    try Data("old\n".utf8).write(to: URL(filePath: directory.file("log.2")))
    try Data("half".utf8).write(to: URL(filePath: directory.file("log.gz.part")))
    let changed = Date().addingTimeInterval(-5_000)
    try FileManager.default.setAttributes(
      [.modificationDate: changed], ofItemAtPath: directory.file("log.2"))
    var log = try open(directory, LogRotation(keep: 4, compresses: true))
    try await waitFor(directory, ["log", "log.1.gz", "log.2.gz"])
    log.close()
    #expect(try unpacked(directory.file("log.1.gz")) == String(decoding: content, as: UTF8.self))
    #expect(try unpacked(directory.file("log.2.gz")) == "old\n")
    // Counted from the last line, not from when it was compressed.
    log = try open(directory, LogRotation(keep: 4, keepFor: 4_000, compresses: true))
    log.close()
    #expect(try names(directory) == ["log", "log.1.gz"])
    log = try open(directory, LogRotation(keep: 1))
    log.close()
    #expect(try names(directory) == ["log", "log.1.gz"])
  }

  @Test func `a file that cannot be compressed stays, and is counted`() async throws {
    let directory = try TemporaryDirectory()
    // Where the compressed file would be written is a directory.
    try FileManager.default.createDirectory(
      atPath: directory.file("log.gz.part"), withIntermediateDirectories: true)
    let log = try open(directory, LogRotation(size: 1, keep: 3, compresses: true))
    let ring = log.makeRing()
    for _ in 0..<20_000 where log.writeErrors == 0 {
      write("/a", ring, log)
      try await Task.sleep(for: .milliseconds(2))
    }
    #expect(log.lastError?.code == EISDIR)
    log.close()
    #expect(try names(directory).contains("log.1"))
  }

  @Test func `the files of others are found by their bytes, whatever their number`() throws {
    let directory = try TemporaryDirectory()
    for (name, content) in [("log", "c\n"), ("log.1", "b\n"), ("log.2", "a\n")] {
      try Data(content.utf8).write(to: URL(filePath: directory.file(name)))
    }
    let files = RotatedFiles(directory.file("log"), LogRotation(size: 1, keep: 3))
    #expect(files.uncompressed() == [directory.file("log.2"), directory.file("log.1")])
    let source = try #require(FileIdentity(directory.file("log.1")))
    try Data("packed".utf8).write(to: URL(filePath: files.part))
    // Meanwhile another is put aside.
    let number = unsafe weir_open(directory.file("log"), O_RDONLY, 0)
    defer { _ = close(number) }
    #expect(files.putAside(number) == nil)
    #expect(files.replace(source) == nil)
    #expect(try names(directory) == ["log.1", "log.2.gz", "log.3"])
    // Of one that has gone nothing is left.
    try Data("packed".utf8).write(to: URL(filePath: files.part))
    #expect(files.replace(source) == nil)
    #expect(try names(directory) == ["log.1", "log.2.gz", "log.3"])
  }
}
