import AccessLog
import Bytes
import EventLoop
import Testing

private let labels = AccessLogLabels(
  routes: ["example.com/"], cache: ["hit", "miss"], details: ["expired"])

/// Lines of one status.
private struct OfStatus: LineFilter {
  final class Test: LineTest {
    let status: UInt16
    init(_ status: UInt16) { self.status = status }
    func isTrue(of line: LogLine) -> Bool { line.status == status }
  }
  let status: UInt16
  func makeTest() -> any LineTest { Test(status) }
}

/// Lines of one client, as lines show it, of a route.
private struct OfClient: LineFilter {
  final class Test: LineTest {
    let client: SocketAddress
    init(_ client: SocketAddress) { self.client = client }
    func isTrue(of line: LogLine) -> Bool {
      line.client == client && line.route.string == "example.com/" && line.cache.string == "miss"
        && line.detail.string == "expired"
    }
  }
  let client: SocketAddress
  func makeTest() -> any LineTest { Test(client) }
}

private struct Watched {
  let directory: TemporaryDirectory
  let live: LiveLog
  let log: AccessLogWriter
  let ring: AccessLogRing

  init(_ style: ClientAddressStyle = .full, to destination: AccessLogDestination? = nil) throws {
    directory = try TemporaryDirectory()
    live = try LiveLog(labels: labels)
    log = try AccessLogWriter(
      channels: [
        AccessLogChannel(
          destination ?? .file(directory.file("log")), format: .combined, addresses: style)
      ], labels: labels, live: live)
    ring = log.makeRing()
  }

  func append(_ target: String, status: UInt16 = 200, isOnlyWatched: Bool = false) {
    target.withView { target in
      var record = AccessRecord()
      record.client = SocketAddress(high: 0, low: 0xFFFF_C633_6407, port: 5)
      record.target = target
      record.status = status
      record.route = 0
      record.cache = 1
      record.detail = 0
      record.isOnlyWatched = isOnlyWatched
      ring.append(record)
    }
  }

  /// The next lines of a reader, at least `count`.
  func take(_ count: Int, _ reader: UInt64) -> [String] {
    log.flush()
    var lines: [String] = []
    while lines.count < count {
      lines += live.take(reader, limit: 1 << 20).lines.map { String(decoding: $0, as: UTF8.self) }
    }
    return lines
  }
}

@Suite struct LiveTests {
  @Test func `each reader gets what its filter lets through, from when it came`() throws {
    let watched = try Watched()
    watched.append("/before")
    watched.log.flush()
    #expect(!watched.ring.isWatched)
    let all = try #require(watched.live.open(nil))
    let errors = try #require(watched.live.open(OfStatus(status: 500)))
    #expect(watched.ring.isWatched)
    watched.append("/a?token=secret")
    watched.append("/b", status: 500)
    let lines = watched.take(2, all)
    #expect(lines.count == 2 && lines[0].contains(#""target":"/a?token=***""#))
    #expect(lines.allSatisfy { $0.hasPrefix("{") && $0.hasSuffix("}") })
    let failed = watched.take(1, errors)
    #expect(failed.count == 1 && failed[0].contains(#""target":"/b""#))
    watched.live.close(all)
    watched.live.close(errors)
    #expect(!watched.ring.isWatched && watched.live.take(all, limit: 1).lines.isEmpty)
    watched.live.stop()
  }

  @Test func `what is only for who watches has no line, and the log may go nowhere`() throws {
    let watched = try Watched()
    let reader = try #require(watched.live.open(nil))
    watched.append("/seen", isOnlyWatched: true)
    watched.append("/both")
    #expect(watched.take(2, reader).count == 2)
    #expect(try watched.directory.lines("log").count == 1 && watched.log.lines == 1)
    watched.live.stop()
    let nowhere = try Watched(to: .nowhere)
    let other = try #require(nowhere.live.open(nil))
    nowhere.append("/seen")
    #expect(nowhere.take(1, other).count == 1)
    #expect(nowhere.log.lines == 0 && nowhere.log.dropped == 0)
    nowhere.live.stop()
  }

  @Test func `a filter sees an address as lines have it, and labels by name`() throws {
    let watched = try Watched(.shortened)
    let shown = try #require(SocketAddress(host: "198.51.100.0", port: 0))
    let hidden = try #require(SocketAddress(host: "198.51.100.7", port: 5))
    let reader = try #require(watched.live.open(OfClient(client: shown)))
    let none = try #require(watched.live.open(OfClient(client: hidden)))
    watched.append("/a")
    #expect(watched.take(1, reader).first?.contains(#""client":"198.51.100.0","#) == true)
    #expect(watched.live.take(none, limit: 1 << 20).lines.isEmpty)
    watched.live.stop()
  }

  @Test func `a reader that takes nothing loses lines, and is told how many`() throws {
    let watched = try Watched()
    let reader = try #require(watched.live.open(nil))
    let other = try #require(watched.live.open(nil))
    var seen = 0
    // The second reader's pace keeps the filters' buffer from filling.
    for round in 0..<60 {
      for number in 0..<100 {
        watched.append("/\(round)/\(number)/" + String(repeating: "a", count: 500))
      }
      seen += watched.take(100, other).count
    }
    #expect(seen == 6_000)
    let (lines, lost) = watched.live.take(reader, limit: .max)
    #expect(!lines.isEmpty && lost > 0 && UInt64(lines.count) + lost == 6_000)
    #expect(lines.reduce(0) { $0 + $1.count } <= 1 << 20)
    watched.live.stop()
  }

  @Test func `there are so many readers and no more`() throws {
    let watched = try Watched()
    let readers = (0..<LiveLog.mostReaders).compactMap { _ in watched.live.open(nil) }
    #expect(readers.count == LiveLog.mostReaders && watched.live.open(nil) == nil)
    watched.live.close(readers[3])
    #expect(watched.live.open(nil) != nil)
    watched.live.stop()
    #expect(watched.live.open(nil) == nil)
  }
}
