import EdgeTesting
import EventLoop
import Metrics
import Testing

@testable import Admin

/// Reads server-sent events as they come.
final class EventReader {
  struct Event: Equatable {
    var name = ""
    var data = ""
  }
  let client: RawClient
  private var unread: [UInt8] = []

  private init(_ client: RawClient) { self.client = client }

  /// Opens the stream; the head is read.
  static func open(
    _ admin: AdminFixture, _ fields: [String] = [], receiveBuffer: Int? = nil
  ) async throws -> (EventReader, PeerResponse) {
    let client = try await RawClient.connect(to: admin.port, receiveBuffer: receiveBuffer)
    try await client.send("GET", "/v1/events", host: "localhost", fields)
    return (EventReader(client), try await client.readResponseHead())
  }

  /// The next event with data.
  func next() async throws -> Event {
    var event = Event()
    while true {
      let line = try await line()
      if line.hasPrefix("event: ") { event.name = String(line.dropFirst(7)) }
      if line.hasPrefix("data: ") { event.data = String(line.dropFirst(6)) }
      if line.isEmpty, !event.data.isEmpty { return event }
    }
  }

  private func line() async throws -> String {
    while true {
      if let end = unread.firstIndex(of: 10) {
        let line = String(decoding: unread[..<end], as: UTF8.self)
        unread.removeFirst(end + 1)
        return line
      }
      unread += try await client.read(exactly: 1)
      unread += try client.readAvailable()
    }
  }
}

@Suite("Events")
struct EventTests {
  @Test func `a stream begins with what was and what is, and goes on every second`() async throws {
    let admin = try AdminFixture(withStore: true)
    defer { admin.stop() }
    let requests = RequestCounters(routes: ["shop/"])
    let counters = CounterBlock()
    admin.metrics.register(counters: counters, requests: requests)
    // Two seconds pass while nobody watches; the loop has noted them when it answers after each.
    for _ in 0..<2 {
      requests.record(route: 0, status: 200, result: .hit, bytes: 100, duration: 40_000)
      admin.clock.advance(nanoseconds: 1_000_000_000)
      _ = try await admin.ask("GET", "/healthz")
    }
    let (events, head) = try await EventReader.open(admin)
    #expect(head.status == 200)
    #expect(head.header("content-type") == "text/event-stream")
    #expect(head.header("cache-control") == "no-store")
    #expect(head.header("connection") == "close")
    #expect(head.header("content-length") == nil)

    let history = try await events.next()
    #expect(history.name == "history")
    let samples = try JSONValue(parsing: history.data)["samples"]?.array ?? []
    #expect(samples.map { $0["results"]?[0]?.int } == [1, 2])
    #expect(samples.map { $0["time"]?.double } == [1_700_000_001, 1_700_000_002])

    let first = try await events.next()
    #expect(first.name == "figures")
    let before = try JSONValue(parsing: first.data)
    #expect(before["status"]?["requests"]?["total"]?.int == 2)
    #expect(before["status"]?["store"]?["objects"]?.int == 0)
    #expect(before["classes"]?["2xx"]?.int == 2)
    #expect(before["routes"]?[0]?["name"]?.string == "shop/")
    #expect(before["routes"]?[0]?["hits"]?.int == 2)
    #expect(before["limits"]?[0]?["name"]?.string == "few")
    #expect(before["origins"]?.array == [])
    #expect(before["result_names"]?[0]?.string == "hit")
    #expect(
      before["duration_bounds_us"]?.array?.count.advanced(by: 1)
        == before["sample"]?["durations"]?.array?.count)

    requests.record(route: 0, status: 502, result: .error, bytes: 10, duration: 3_000_000)
    counters.add(.bytesSent, 10)
    admin.clock.advance(nanoseconds: 1_000_000_000)
    let after = try JSONValue(parsing: try await events.next().data)
    #expect(after["sample"]?["time"]?.double == 1_700_000_003)
    #expect(after["sample"]?["sent_bytes"]?.int == 10)
    #expect(after["classes"]?["5xx"]?.int == 1)
    #expect(after["routes"]?[0]?["server_errors"]?.int == 1)
  }

  @Test func `the history is that of the last five minutes`() {
    var history = TrafficHistory()
    for second in 0..<1000 {
      var sample = TrafficSample(MetricsRegistry(), at: Instant(monotonic: 0, wall: 0))
      sample.wall = Int64(second) * 1000
      history.append(sample)
    }
    let samples = (try? JSONValue(parsing: history.text.text))?["samples"]?.array ?? []
    #expect(samples.map { $0["time"]?.int } == (700..<1000).map { $0 })
  }

  @Test func `there are at most sixteen streams, and one that ends makes room`() async throws {
    let admin = try AdminFixture()
    defer { admin.stop() }
    var streams: [EventReader] = []
    for _ in 0..<EventStreams.most {
      let (stream, head) = try await EventReader.open(admin)
      #expect(head.status == 200)
      streams.append(stream)
    }
    let refused = try await admin.ask("GET", "/v1/events")
    #expect(refused.status == 503)
    #expect(refused.problem == "too_many_streams")
    streams.removeLast().client.close()
    try await eventually("the place to be free") {
      let (stream, head) = try await EventReader.open(admin)
      if head.status == 200 { streams.append(stream) }
      return head.status == 200
    }
  }

  @Test func `a client that does not read is dropped, and the others go on`() async throws {
    let admin = try AdminFixture()
    defer { admin.stop() }
    // Names that make messages of 200 KB, which soon fill whatever the kernel takes.
    let names = (0..<FiguresReport.mostRoutes).map { "\($0)" + String(repeating: "n", count: 4000) }
    let requests = RequestCounters(routes: names)
    admin.metrics.register(counters: CounterBlock(), requests: requests)
    for route in names.indices {
      requests.record(route: route, status: 200, result: .hit, bytes: 1, duration: 1)
    }
    let (slow, _) = try await EventReader.open(admin, receiveBuffer: 4096)
    let (quick, _) = try await EventReader.open(admin)
    for _ in 0..<2 { _ = try await quick.next() }
    for _ in 0..<60 {
      admin.clock.advance(nanoseconds: 1_000_000_000)
      _ = try await quick.next()
    }
    try await slow.client.expectReset()
  }

  @Test func `what a client sends into a stream is passed over, and its end is the stream's`()
    async throws
  {
    let admin = try AdminFixture()
    defer { admin.stop() }
    let (events, _) = try await EventReader.open(admin)
    try await events.client.write(String(repeating: "GET / HTTP/1.1\r\n", count: 10_000))
    admin.clock.advance(nanoseconds: 1_000_000_000)
    for _ in 0..<3 { _ = try await events.next() }
    events.client.endSending()
    try await events.client.expectClosed()
  }

  @Test func `a stopping server ends its streams`() async throws {
    let admin = try AdminFixture()
    let (events, _) = try await EventReader.open(admin)
    for _ in 0..<2 { _ = try await events.next() }
    admin.stop()
    try await events.client.expectClosed()
  }

  @Test func `away from loopback the stream needs the token`() async throws {
    let admin = try AdminFixture(host: "0.0.0.0")
    defer { admin.stop() }
    #expect(try await admin.ask("GET", "/v1/events").status == 401)
    let (_, head) = try await EventReader.open(admin, [AdminFixture.bearer])
    #expect(head.status == 200)
  }
}

@Suite("Dashboard")
struct DashboardTests {
  @Test func `the page is whole, and only its own script and style may run`() async throws {
    let page = try await AdminFixture(host: "0.0.0.0").ask(
      "GET", "/dashboard", host: "edge.example")
    #expect(page.status == 200)
    #expect(page.header("content-type") == "text/html; charset=utf-8")
    let policy = page.header("content-security-policy") ?? ""
    #expect(policy.hasPrefix("default-src 'none'; style-src 'sha256-"))
    #expect(policy.contains("; script-src 'sha256-"))
    #expect(!policy.contains("unsafe"))
    #expect(policy.contains("frame-ancestors 'none'"))
    #expect(page.text.contains("<script>\"use strict\";"))
    #expect(page.text.contains("<style>:root {"))
    #expect(!page.text.contains("<!-- "))
  }

  /// What the policy would not let run, and what would ask somebody else.
  @Test(arguments: [
    " onclick=", " onload=", " style=", "innerHTML", "outerHTML", "insertAdjacentHTML",
    "document.write", "eval(", "new Function", "javascript:", "src=", "@import", "url(",
  ])
  func `the page has nothing of`(_ text: String) async throws {
    let page = try await AdminFixture().ask("GET", "/dashboard")
    #expect(!page.text.contains(text))
  }

  @Test func `the page names no other place`() async throws {
    let page = try await AdminFixture().ask("GET", "/dashboard")
    let links = page.text.matches(of: /https?:\/\/[^"'\s]+/).map { String($0.output) }
    // The name of SVG's elements, which is not asked for.
    #expect(Set(links) == ["http://www.w3.org/2000/svg"])
  }
}
