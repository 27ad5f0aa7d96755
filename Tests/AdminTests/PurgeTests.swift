import Edge
import EdgeTesting
import EventLoop
import ObjectStore
import Testing

@testable import Admin

@Suite("Purge")
struct PurgeTests {
  @Test func `a purge is answered once it is written, and leaves a line in both logs`() async throws
  {
    let admin = try AdminFixture(withStore: true)
    let response = try await admin.purge(#"{"tags": ["a", "b", "a"]}"#)
    #expect(response.status == 200)
    #expect(response.header("content-type") == "application/json")
    let answer = try response.json()
    #expect(answer["id"]?.int == admin.store.map { Int($0.purgeSequence) })
    #expect(answer["time"]?.string == "2023-11-14T22:13:20.000Z")
    #expect(answer["target"]?.string == "tags")
    #expect(answer["soft"]?.bool == false)
    #expect(answer["tags"] == .object(["a": .number(0), "b": .number(0)]))
    #expect(answer["objects"]?.int == 0)
    #expect(answer["repeated"]?.bool == false)
    #expect(answer["duration_ms"]?.double == 0)
    let notes = admin.notes.value
    #expect(notes.count == 1)
    #expect(notes.first?.hasPrefix(#"purge by token (127.0.0.1:"#) == true)
    #expect(notes.first?.contains(#"): {"tags": ["a", "b"]}: id "#) == true)
    let lines = try admin.auditLines()
    #expect(lines.count == 1)
    #expect(lines.first?["action"]?.string == "purge")
    #expect(lines.first?["who"]?.string == "token")
    #expect(lines.first?["order"]?["tags"] == .array([.string("a"), .string("b")]))
    #expect(lines.first?["id"] == answer["id"])
    #expect(lines.first?["objects"]?.int == 0)
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

  private func purge(_ tags: [String]) throws -> Purge {
    let order = try PurgeRequest.read(
      Array("{\"tags\": \(JSONText.array(tags.map { .string($0) }).text)}".utf8))
    return Purge(
      kind: order.kind, tags: tags, order: order.text, isSoft: false, caller: .nobody,
      peer: .network(SocketAddress(high: 0, low: 1, port: 9)), connection: 0,
      began: Instant(monotonic: 1_000_000_000, wall: 0))
  }

  private func receipt(_ counts: [UInt64]) -> PurgeReceipt {
    PurgeReceipt(
      record: PurgeRecord(
        id: 17, time: 1_000, target: .tags, isSoft: false, tags: 1, objects: counts.reduce(0, +),
        who: "", what: "", idempotencyKey: "", pattern: []), counts: counts, isRepeat: false)
  }

  @Test func `counts stand beside their tags, tags that only look alike apart`() throws {
    let purge = try purge(["a\"b", "\u{E9}", "e\u{301}"])
    let now = Instant(monotonic: 1_000_410_999, wall: 0)
    let answer = purge.answer(receipt([3, 1, 0]), at: now)
    #expect(
      answer.text == #"{"id": 17, "time": "1970-01-01T00:00:01.000Z", "target": "tags", "#
        + #""soft": false, "tags": {"a\"b": 3, "\#u{E9}": 1, "e\#u{301}": 0}, "#
        + #""objects": 4, "repeated": false, "duration_ms": 0.410}"#)
  }

  @Test func `a purge that could not be written says so`() throws {
    let lines = Watched<[String]>([])
    let clock = NodeClock(manualFrom: 0)
    let service = AdminService(
      context: try AdminFixture.context(clock: clock, store: nil),
      access: AdminAccess(TokenTable(), .loopback), inbox: try Inbox(),
      note: { line in lines.update { $0.append(line) } })
    let error = StoreError(path: "/x/journal", reason: "no space left\non device")
    let response = service.finish(
      try purge(["a"]), .failure(.notDurable(error)),
      at: Instant(monotonic: 1_000_000_000, wall: 0))
    #expect(response.status == 503)
    let text = String(decoding: response.content, as: UTF8.self)
    #expect(text.contains(#""code": "purge_failed""#))
    #expect(!text.contains("journal"))
    #expect(
      lines.value == [
        #"purge by nobody ([::1]:9): {"tags": ["a"]}: not done after 0.000 ms: "#
          + #""/x/journal: no space left\non device""#
      ])
  }

  @Test func `a line in the log shows nothing a terminal acts on, and is cut`() throws {
    let tags = ["\u{1B}[2J\u{7F}\u{9B}\u{202E}x"]
    // Control characters are no tag: this is what the log would make of them all the same.
    let line = JSONText.string(tags[0]).text
    #expect(line == #""\u001b[2J\u007f\u009b\u202ex""#)
    let long = try purge((0..<100).map { "tag-\($0)" })
    let text = long.line(.success(receipt([2])), at: Instant(monotonic: 1_000_000_000, wall: 0))
    #expect(text.contains("…: id 17, 2 objects, 0.000 ms"))
    #expect(text.count < 500)
  }

  @Test(arguments: [
    (#"["a"]"#, "object"), (#"{}"#, "exactly one way"),
    (#"{"tags": ["a"], "soft": 1}"#, "true or false"),
    (#"{"tag": "a", "tags": ["b"]}"#, "exactly one way"), (#"{"soft": true}"#, "exactly one way"),
    (#"{"tags": ["a"], "tgas": []}"#, "There is no \"tgas\""),
    (#"{"everything": false}"#, "true or not there"), (#"{"host": "a b"}"#, "ASCII"),
    (#"{"url": "/a"}"#, "begins with http"), (#"{"url": "http://a/b#c"}"#, "fragment"),
    (#"{"url": "http://u@a/b"}"#, "no user"), (#"{"host": "a/b"}"#, "not a host"),
    (#"{"host": "a", "prefix": "b"}"#, "is a path"), (#"{"prefix": "/b"}"#, "begins with http"),
    (#"{"wildcard": "/b/*"}"#, "begins with"), (#"{"wildcard": "//a/\\"}"#, "backslash"),
    (#"{"where": "age >"}"#, "byte 6"), (#"{"where": "age > 5"}"#, "duration"),
    (#"{"where": "satus == 200"}"#, "status"), (#"{"where": "request.method == \"GET\""}"#, "no "),
    (#"{"where": "tags == \"a\""}"#, "behind in"), (#"{"where": "status"}"#, "needed"),
    (#"{"where": "true) || (true"}"#, "the end"),
    (#"{"tag": "a", "site": "nowhere.example"}"#, "no site"),
    (#"{"tag": "a", "variant": "0123456789abcdef0123456789abcdef"}"#, "beside \"url\""),
    (#"{"url": "http://a/", "variant": "x"}"#, "GET /v1/objects"),
    (#"{"tags": []}"#, "1 to 1000"), (#"{"tags": "a"}"#, "array"), (#"{"tags": null}"#, "array"),
    (#"{"tags": ["a", 1]}"#, "Tag 2 is not a string"), (#"{"tag": ["a"]}"#, "not a string"),
    (#"{"tags": ["a", ""]}"#, "Tag 2 must have 1 to 4096 bytes"),
    (#"{"tag": "a\nb"}"#, "control"), (#"{"tag": "\u0000"}"#, "control"),
  ])
  func `what is not an order to purge is refused`(_ body: String, _ reason: String) async throws {
    let response = try await AdminFixture(withStore: true).purge(body)
    #expect(response.status == 400)
    #expect(response.problem == "invalid_purge")
    #expect(response.detail.contains(reason))
  }

  @Test func `an order has up to 1,000 tags of up to 4,096 bytes`() throws {
    func order(tags: Int, length: Int) -> [UInt8] {
      let tags = (0..<tags).map { number in
        "\"\(number)" + String(repeating: "x", count: length - String(number).utf8.count) + "\""
      }
      return Array("{\"tags\": [\(tags.joined(separator: ","))]}".utf8)
    }
    #expect(try PurgeRequest.read(order(tags: 1000, length: 10)).selection.count == 1000)
    #expect(try PurgeRequest.read(order(tags: 1, length: 4096)).selection.count == 1)
    #expect(throws: Problem.self) { try PurgeRequest.read(order(tags: 1001, length: 10)) }
    #expect(throws: Problem.self) { try PurgeRequest.read(order(tags: 1, length: 4097)) }
  }

  @Test func `what is not JSON is refused with its place`() async throws {
    let response = try await AdminFixture(withStore: true).purge("{\"tags\":\n [\"a\" \"b\"]}")
    #expect(response.status == 400)
    #expect(response.problem == "invalid_json")
    #expect(response.detail.contains(#"line 2, column 7: expected "," or "]""#))
  }

  @Test(arguments: [
    (#"{"url": "HTTP://A.example:80/x?y=%20"}"#, "urls"), (#"{"urls": ["//a.example"]}"#, "urls"),
    (#"{"hosts": ["a.example", "[::1]:8080"]}"#, "hosts"),
    (#"{"host": "a.example", "prefix": "/x/"}"#, "prefix"),
    (#"{"prefix": "https://a.example/x*"}"#, "prefix"),
    (#"{"wildcard": "https://*.example/*.png"}"#, "wildcard"),
    (#"{"wildcard": "*.png"}"#, "wildcard"),
    (#"{"where": "content_type == \"image/png\" && age > 1h"}"#, "where"),
    (
      #"{"where": "\"a\" in tags && size < 100 && header.x == \"y\" || query.a == \"1\""}"#, "where"
    ),
    (#"{"url": "http://a/", "variant": "0123456789abcdef0123456789abcdef"}"#, "urls"),
    (#"{"everything": true, "soft": true}"#, "everything"),
  ])
  func `there are many ways to say what is to go`(_ body: String, _ target: String) async throws {
    let admin = try AdminFixture(withStore: true)
    let response = try await admin.purge(body)
    #expect(response.status == 200, "\(response.text)")
    #expect(try response.json()["target"]?.string == target)
    let isCounted = target == "everything"
    #expect(try response.json()["objects"] == (isCounted ? .number(0) : .null))
    let dry = try await admin.purge(body.dropLast() + #", "dry_run": true}"#)
    #expect(try dry.json()["objects"]?.int == 0)
    #expect(try dry.json()["id"] == nil)
  }

  @Test func `an order with a key is carried out once`() async throws {
    let admin = try AdminFixture(withStore: true)
    let key = ["Idempotency-Key: k1"]
    let first = try await admin.purge(#"{"tag": "a"}"#, key).json()
    let again = try await admin.purge(#"{"tag": "a"}"#, key).json()
    #expect(again["id"] == first["id"])
    #expect(again["repeated"]?.bool == true)
    let other = try await admin.purge(#"{"tag": "b"}"#, key)
    #expect(other.status == 422 && other.problem == "key_reused")
    #expect(try await admin.purge(#"{"tag": "a"}"#, key + key).problem == "invalid_key")
    let fresh = try await admin.purge(#"{"tag": "a"}"#, ["Idempotency-Key: k2"]).json()
    #expect(fresh["id"] != first["id"])
  }

  @Test func `the last purges can be seen`() async throws {
    let admin = try AdminFixture(withStore: true)
    #expect(try await admin.ask("GET", "/v1/purges").json()["purges"] == .array([]))
    for tag in ["a", "b", "c"] { _ = try await admin.purge("{\"tag\": \"\(tag)\"}") }
    let list = try await admin.ask("GET", "/v1/purges?limit=2").json()
    #expect(list["purges"]?.array?.count == 2)
    let newest = try #require(list["purges"]?.array?.first)
    #expect(newest["order"]?["tags"] == .array([.string("c")]))
    #expect(newest["who"]?.string == "token")
    let next = try #require(list["next"]?.int)
    let rest = try await admin.ask("GET", "/v1/purges?before=\(next)").json()
    #expect(rest["purges"]?.array?.count == 1)
    #expect(rest["next"] == .null)
    let id = try #require(newest["id"]?.int)
    #expect(try await admin.ask("GET", "/v1/purges/\(id)").json() == newest)
    #expect(try await admin.ask("GET", "/v1/purges/99999999").problem == "unknown_purge")
    #expect(try await admin.ask("GET", "/v1/purges?limit=0").problem == "invalid_query")
    #expect(try await admin.ask("GET", "/v1/purges?x=1").problem == "invalid_query")
  }

  @Test func `the 257th pattern is told to wait`() async throws {
    let admin = try AdminFixture(withStore: true)
    for number in 0..<256 {
      #expect(try await admin.purge("{\"prefix\": \"//a.example/\(number)\"}").status == 200)
    }
    let response = try await admin.purge(#"{"wildcard": "*"}"#)
    #expect(response.status == 429 && response.problem == "too_many_patterns")
    #expect(response.header("retry-after") == "30")
    #expect(try await admin.purge(#"{"tag": "a"}"#).status == 200)
  }
}

extension PurgeSelection {
  /// How many tags it names.
  fileprivate var count: Int { if case .tags(let tags) = self { tags.count } else { 0 } }
}
