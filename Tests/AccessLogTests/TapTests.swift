import AccessLog
import Bytes
import EventLoop
import Testing

private let labels = AccessLogLabels(routes: ["r"], cache: ["hit"])

/// A log whose records somebody records.
private struct Tapped {
  let directory: TemporaryDirectory
  let log: AccessLogWriter
  let ring: AccessLogRing
  let clock = NodeClock()

  init() throws {
    directory = try TemporaryDirectory()
    log = try AccessLogWriter(
      target: .file(directory.file("log")), format: .combined, labels: labels)
    ring = log.makeRing()
  }

  func append(_ target: StaticString, client: UInt64 = 1, referer: StaticString = "") {
    append(ByteView(target), client, referer)
  }

  func append(text target: String) { target.withView { append($0, 1, "") } }

  private func append(_ target: ByteView, _ client: UInt64, _ referer: StaticString) {
    var record = AccessRecord()
    record.client = SocketAddress(high: 0, low: 0xFFFF_0A00_0000 | client, port: 5)
    record.method = ByteView("GET")
    record.host = ByteView("a.example")
    record.target = target
    record.referer = ByteView(referer)
    record.userAgent = ByteView("agent")
    record.status = 200
    ring.append(record)
  }

  /// The lines that a recorder gets after all that was appended is written.
  func take(_ order: TapOrder = TapOrder()) -> [String] {
    log.flush()
    let taken = log.tap.take(order, now: clock.monotonic())
    #expect(taken.lost == 0)
    return String(decoding: taken.lines, as: UTF8.self).split(separator: "\n").map(String.init)
  }
}

@Suite struct TapTests {
  @Test func `nothing is kept before somebody asks, and all of it once`() throws {
    let tapped = try Tapped()
    tapped.append("/before")
    #expect(tapped.take().isEmpty)
    tapped.append("/a")
    tapped.append("/b")
    let lines = tapped.take()
    #expect(lines.count == 2)
    #expect(lines[0].hasPrefix("{\"time\":") && lines[0].contains("\"target\":\"/a\""))
    #expect(lines[1].contains("\"user_agent\":\"agent\""))
    #expect(tapped.take().isEmpty)
  }

  @Test func `clients and values become others, always the same`() throws {
    let tapped = try Tapped()
    _ = tapped.take()
    tapped.append("/a?name=anna&empty=&word", client: 1, referer: "https://b/?secret=hidden")
    tapped.append("/b?other=anna", client: 1)
    tapped.append("/a?name=bert&empty=&word", client: 2)
    let lines = tapped.take()
    #expect(lines.count == 3)
    for word in ["10.0.0.1", "anna", "bert", "word", "hidden"] {
      #expect(!lines.contains { $0.contains(word) })
    }
    func value(_ line: String, _ name: String) throws -> Substring {
      let rest = try #require(line.split(separator: name, maxSplits: 1).last)
      return rest.prefix { $0 != "&" && $0 != "\"" }
    }
    #expect(try value(lines[0], "name=") == value(lines[1], "other="))
    #expect(try value(lines[0], "name=") != value(lines[2], "name="))
    #expect(try value(lines[0], "name=").count == 4)
    #expect(try value(lines[0], "\"client\":\"") == value(lines[1], "\"client\":\""))
    #expect(try value(lines[0], "\"client\":\"") != value(lines[2], "\"client\":\""))
    #expect(try value(lines[0], "\"client\":\"").hasPrefix("fd"))
    #expect(lines[0].contains("&empty=&"))
  }

  @Test func `different values stay different, however short`() throws {
    let tapped = try Tapped()
    _ = tapped.take()
    // Pages 0 to 99, of which some share a first digit, a last one, or all of a name but its end.
    let values = (0..<100).map { "\($0)" } + ["annaa", "annab", "bnnaa"]
    for value in values { tapped.append(text: "/?page=\(value)") }
    let hidden = tapped.take().map { line in
      line.split(separator: "/?page=")[1].prefix { $0 != "\"" }
    }
    #expect(hidden.count == 103 && Set(hidden).count == 103)
    #expect(zip(hidden, values).allSatisfy { $0.count == $1.count })
    let unreserved = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~")
    #expect(hidden.allSatisfy { $0.allSatisfy { unreserved.contains($0) } })
  }

  @Test func `what is asked for is kept`() throws {
    let tapped = try Tapped()
    var order = TapOrder()
    order.keepsClients = true
    order.keepsQueries = true
    _ = tapped.take(order)
    tapped.append("/a?name=anna", client: 7)
    let lines = tapped.take(order)
    #expect(lines.first?.contains("\"client\":\"10.0.0.7\"") == true)
    #expect(lines.first?.contains("/a?name=anna") == true)
    // Who asks for something else gets nothing of that.
    tapped.append("/a?name=anna", client: 7)
    #expect(tapped.take().isEmpty)
  }

  @Test func `a sample has whole clients`() throws {
    let tapped = try Tapped()
    var order = TapOrder()
    order.sample = 0.25
    _ = tapped.take(order)
    for index in 0..<1_000 { tapped.append("/", client: UInt64(index % 200)) }
    let lines = tapped.take(order)
    let clients = Dictionary(
      grouping: lines.map { line in line.split(separator: "\"client\":\"")[1].prefix { $0 != "\"" }
      }
    ) { $0 }
    #expect(clients.values.allSatisfy { $0.count == 5 })
    #expect((25...80).contains(clients.count))
  }

  @Test func `a recorder that stays away is forgotten`() throws {
    let tapped = try Tapped()
    let past = tapped.clock.monotonic() - 60_000_000_000
    _ = tapped.log.tap.take(TapOrder(), now: past)
    tapped.append("/a")
    #expect(tapped.take().isEmpty)
  }
}
