import EdgeTesting
import EventLoop
import ObjectStore
import Testing

@testable import Admin

@Suite("Purge")
struct PurgeTests {
  @Test func `a purge is answered once it is written, and leaves a line in the log`() async throws {
    let admin = try AdminFixture(withStore: true)
    let response = try await admin.purge(#"{"tags": ["a", "b", "a"]}"#)
    #expect(response.status == 200)
    #expect(response.header("content-type") == "application/json")
    let answer = try response.json()
    #expect(answer["id"]?.int == admin.store.map { Int($0.purgeSequence) })
    #expect(answer["tags"] == .object(["a": .number(0), "b": .number(0)]))
    #expect(answer["objects"]?.int == 0)
    #expect(answer["duration_ms"]?.double == 0)
    let notes = admin.notes.value
    #expect(notes.count == 1)
    #expect(notes.first?.hasPrefix("purge of 2 tags by 127.0.0.1:") == true)
    #expect(notes.first?.contains(#"("a", "b"): id "#) == true)
  }

  @Test func `one tag may be given alone`() async throws {
    let response = try await AdminFixture(withStore: true).purge(#"{"tag": "a"}"#)
    #expect(try response.json()["tags"] == .object(["a": .number(0)]))
  }

  @Test func `purges follow one another on one connection`() async throws {
    let admin = try AdminFixture(withStore: true)
    defer { admin.stop() }
    let client = try await admin.connect()
    for _ in 0..<20 {
      try await client.send(
        "POST", "/v1/purge", host: "localhost", [AdminFixture.bearer, AdminFixture.json],
        body: #"{"tag": "a"}"#)
    }
    for _ in 0..<20 { #expect(try await client.readResponse().status == 200) }
  }

  @Test func `without a store there is nothing to purge`() async throws {
    let admin = try AdminFixture()
    let response = try await admin.purge(#"{"tag": "a"}"#)
    #expect(response.status == 503)
    #expect(response.problem == "no_store")
    #expect(admin.notes.value.isEmpty)
  }

  @Test func `counts stand beside their tags, tags that only look alike apart`() {
    let purge = Purge(
      tags: ["a\"b", "\u{E9}", "e\u{301}"], peer: SocketAddress(high: 0, low: 1, port: 9),
      connection: 0, beganAt: 1_000_000_000)
    let now = Instant(monotonic: 1_000_410_999, wall: 0)
    let answer = purge.answer(PurgeResult(sequence: 17, counts: [3, 1, 0]), at: now)
    #expect(
      answer.text == #"{"id": 17, "tags": {"a\"b": 3, "\#u{E9}": 1, "e\#u{301}": 0}, "#
        + #""objects": 4, "duration_ms": 0.410}"#)
  }

  @Test func `a purge that could not be written says so`() throws {
    let lines = Watched<[String]>([])
    let clock = NodeClock(manualFrom: 0)
    let service = AdminService(
      context: try AdminFixture.context(clock: clock, store: nil),
      access: AdminAccess(token: nil, isLoopback: true), inbox: try Inbox(),
      note: { line in lines.update { $0.append(line) } })
    let purge = Purge(
      tags: ["a"], peer: SocketAddress(high: 0, low: 1, port: 9), connection: 0,
      beganAt: clock.now().monotonic)
    let error = StoreError(path: "/x/journal", reason: "no space left\non device")
    let response = service.finish(purge, .failure(error), at: clock.now())
    #expect(response.status == 503)
    let text = String(decoding: response.content, as: UTF8.self)
    #expect(text.contains(#""code": "purge_failed""#))
    #expect(!text.contains("journal"))
    #expect(
      lines.value == [
        #"purge of 1 tag by [::1]:9 ("a"): not written after 0.000 ms: "#
          + #""/x/journal: no space left\non device""#
      ])
  }

  @Test func `a line in the log shows the first tags, and nothing a terminal acts on`() {
    var tags = ["\u{1B}[2J\u{7F}\u{9B}\u{202E}x", String(repeating: "y", count: 65)]
    tags += (0..<7).map { "t\($0)" }
    let purge = Purge(
      tags: tags, peer: SocketAddress(high: 0, low: 0xFFFF_7F00_0001, port: 80), connection: 0,
      beganAt: 0)
    let line = purge.auditLine(
      .success(PurgeResult(sequence: 5, counts: [2])), at: Instant(monotonic: 0, wall: 0))
    let long = String(repeating: "y", count: 64)
    #expect(
      line == #"purge of 9 tags by 127.0.0.1:80 ("\u001b[2J\u007f\u009b\u202ex", ""# + long
        + #"…", "t0", "t1", "t2", "t3", "t4", "t5", …): id 5, 2 objects, 0.000 ms"#)
  }

  @Test(arguments: [
    (#"["a"]"#, "object"), (#"{}"#, "one member"),
    (#"{"tags": ["a"], "soft": true}"#, "one member"),
    (#"{"tag": "a", "tags": ["b"]}"#, "one member"), (#"{"urls": ["a"]}"#, "one member"),
    (#"{"tags": []}"#, "1 to 1000"), (#"{"tags": "a"}"#, "array"), (#"{"tags": null}"#, "array"),
    (#"{"tags": ["a", 1]}"#, "Tag 2 is not a string"), (#"{"tag": ["a"]}"#, "not a string"),
    (#"{"tags": ["a", ""]}"#, "Tag 2 must have 1 to 1024 bytes"),
    (#"{"tag": "a\nb"}"#, "control"), (#"{"tag": "\u0000"}"#, "control"),
  ])
  func `what is not an order to purge is refused`(_ body: String, _ reason: String) async throws {
    let response = try await AdminFixture(withStore: true).purge(body)
    #expect(response.status == 400)
    #expect(response.problem == "invalid_purge")
    #expect(response.detail.contains(reason))
  }

  @Test func `an order has up to 1,000 tags of up to 1,024 bytes`() throws {
    func order(tags: Int, length: Int) -> [UInt8] {
      let tags = (0..<tags).map { number in
        "\"\(number)" + String(repeating: "x", count: length - String(number).utf8.count) + "\""
      }
      return Array("{\"tags\": [\(tags.joined(separator: ","))]}".utf8)
    }
    #expect(try PurgeOrder.read(order(tags: 1000, length: 10)).count == 1000)
    #expect(try PurgeOrder.read(order(tags: 1, length: 1024)).count == 1)
    #expect(throws: Problem.self) { try PurgeOrder.read(order(tags: 1001, length: 10)) }
    #expect(throws: Problem.self) { try PurgeOrder.read(order(tags: 1, length: 1025)) }
  }

  @Test func `what is not JSON is refused with its place`() async throws {
    let response = try await AdminFixture(withStore: true).purge("{\"tags\":\n [\"a\" \"b\"]}")
    #expect(response.status == 400)
    #expect(response.problem == "invalid_json")
    #expect(response.detail.contains(#"line 2, column 7: expected "," or "]""#))
  }
}
