import EdgeTesting
import Metrics
import Node
import TLS
import Testing

/// HTTP/2 to origins that offer it.
@Suite struct SharedOriginTests {
  @Test func `many requests share a connection`() async throws {
    let origin = try SharedFront { target, _ in .response(200, [], "at \(target)") }
    let node = try node(origin)
    #expect(try await node.get("/first").text == "at /first")
    let texts = try await atOnce(20) { number in
      let client = try await node.connect()
      defer { client.close() }
      var texts: [String] = []
      for round in 0..<5 { texts.append(try await client.get("/\(number).\(round)").text) }
      return texts
    }
    #expect(Set(texts.flatMap { $0 }).count == 100)
    #expect(origin.seen.value.connections == 1 && origin.seen.value.requests.count == 101)
    try await node.expectNothingLeft()
  }

  @Test func `responses are stored, validated and revalidated as over HTTP_1`() async throws {
    let origin = try SharedFront { _, before in
      before == 0
        ? .response(200, ["cache-control: max-age=1", "etag: \"a\""], "stored")
        : .response(304, ["cache-control: max-age=60", "etag: \"a\""], "")
    }
    let node = try node(origin, store: "")
    #expect(try await node.get("/").text == "stored")
    try await node.settle()
    node.advance(seconds: 5)
    #expect(try await node.get("/").text == "stored")
    try await node.settle()
    #expect(try await node.get("/").header("cache-status")?.contains("hit") == true)
    #expect(origin.seen.value.requests.count == 2)
  }

  @Test func `large content goes through whole, both ways`() async throws {
    let text = String(repeating: "0123456789abcdef", count: 1 << 18)
    let origin = try SharedFront { target, _ in .response(200, [], target == "/down" ? text : "ok")
    }
    let node = try node(origin)
    #expect(try await node.get("/down").text == text)
    let client = try await node.connect()
    #expect(try await client.request("POST", "/up", body: text).text == "ok")
    client.close()
    #expect(origin.seen.value.received == text.utf8.count)
    try await node.expectNothingLeft()
  }

  @Test func `a slow reader holds up its own response alone`() async throws {
    let text = String(repeating: "0123456789abcdef", count: 1 << 20)
    let origin = try SharedFront { target, _ in
      .response(200, [], target == "/large" ? text : "small")
    }
    let node = try node(origin)
    let slow = try await node.connect()
    try await slow.send("GET", "/large")
    try await node.standsStill(.originBytesReceived)
    // Far less than all of it has been taken.
    #expect(node.count(.originBytesReceived) < 14 << 20)
    #expect(try await node.get("/other").text == "small")
    #expect(origin.seen.value.connections == 1)
    #expect(try await slow.readResponse().text == text)
    slow.close()
    try await node.expectNothingLeft()
  }

  @Test func `a refused request is made again, whatever its method, and held against nobody`()
    async throws
  {
    let origin = try SharedFront { _, before in
      before == 0 ? .refuse : .response(200, [], "taken")
    }
    let node = try node(origin)
    let client = try await node.connect()
    #expect(try await client.request("POST", "/").text == "taken")
    client.close()
    let report = try await node.admin("GET", "/v1/origins")
    let server = try JSONValue(parsing: report.text)["origins"]?[0]?["servers"]?[0]
    #expect(server?["failures"]?.int == 0)
  }

  @Test func `behind a GOAWAY requests take another connection`() async throws {
    let origin = try SharedFront { target, before in
      before == 1 ? .lastOfConnection("last") : .response(200, [], target)
    }
    let node = try node(origin)
    #expect(try await node.get("/1").text == "/1")
    #expect(try await node.get("/2").text == "last")
    #expect(try await node.get("/3").text == "/3")
    #expect(origin.seen.value.connections == 2)
    try await node.expectNothingLeft()
  }

  @Test func `a connection that ends takes its requests along, to another try`() async throws {
    let origin = try SharedFront { _, before in
      before == 1 ? .hangUp : .response(200, [], "again")
    }
    let node = try node(origin)
    #expect(try await node.get("/1").status == 200)
    #expect(try await node.get("/2").text == "again")
    #expect(origin.seen.value.connections == 2)
    // It had rested, and may have been closed for that.
    #expect(try await failures(node) == [0])
  }

  @Test func `a connection that is lost in the midst of its work is held against its server`()
    async throws
  {
    let origin = try SharedFront { target, before in
      switch before {
      case 1: .ignore
      case 3: .hangUp
      default: .response(200, [], "at \(target)")
      }
    }
    let node = try node(origin, pool: "retries 2 pause=0;")
    #expect(try await node.get("/1").text == "at /1")
    let waiting = try await node.ask("/waiting")
    try await origin.seen.wait(for: "two requests") { $0.requests.count == 2 }
    #expect(try await node.get("/2").text == "at /2")
    let lost = try await node.ask("/lost")
    #expect(try await waiting.readResponse().text == "at /waiting")
    #expect(try await lost.readResponse().text == "at /lost")
    for client in [waiting, lost] { client.close() }
    #expect(origin.seen.value.requests.count == 6)
    #expect(try await failures(node) == [2])
    try await node.expectNothingLeft()
  }

  @Test func `a stream that is reset is held against its server, and asked for elsewhere`()
    async throws
  {
    let owner = Watched("")
    @Sendable func front(_ name: String) throws -> SharedFront {
      try SharedFront { _, before in
        let isOwner =
          name
          == owner.update { owner in
            if owner.isEmpty { owner = name }
            return owner
          }
        return isOwner && before > 0 ? .reset : .response(200, [], name)
      }
    }
    let (one, two) = (try front("one"), try front("two"))
    let node = try node(one, pool: "server 127.0.0.1:\(two.port); balance hash;")
    let first = try await node.get("/").text
    #expect(first == owner.value)
    let second = try await node.get("/").text
    #expect(second != first && !second.isEmpty)
    #expect((first == "one" ? one : two).seen.value.requests.count == 2)
    #expect(try await failures(node).sorted() == [0, 1])
    #expect(node.count(.originRetries) == 1)
    try await node.expectNothingLeft()
  }

  @Test func `an upload that pauses is not held against the server`() async throws {
    let origin = try SharedFront { target, _ in
      target == "/silent" ? .ignore : .response(200, [], "ok")
    }
    let node = try node(
      origin, top: "client { body_timeout 1h; }",
      pool: "between_bytes_timeout 5s; first_byte_timeout 5s; retries 0;")
    #expect(try await node.get("/1").status == 200)
    let upload = try await node.connect()
    try await upload.write("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf")
    try await origin.seen.wait(for: "half of it") { $0.received == 4 }
    let silent = try await node.ask("/silent")
    try await origin.seen.wait(for: "three requests") { $0.requests.count == 3 }
    node.advance(seconds: 6)
    // What has run out of time is told so: this has come, the upload's would have, too.
    #expect(try await silent.readResponse().status == 504)
    try await upload.write("rest")
    #expect(try await upload.readResponse().text == "ok")
    for client in [upload, silent] { client.close() }
    #expect(try await failures(node) == [1])
  }

  private func failures(_ node: TestNode) async throws -> [Int] {
    let report = try await node.admin("GET", "/v1/origins").json()
    guard case .array(let servers)? = report["origins"]?[0]?["servers"] else { return [] }
    return servers.compactMap { $0["failures"]?.int }
  }

  @Test func `a request that is not answered in time is a 504, and others go on beside it`()
    async throws
  {
    let origin = try SharedFront { target, _ in
      target == "/silent" ? .ignore : .response(200, [], "ok")
    }
    let node = try node(origin, pool: "first_byte_timeout 5s; retries 0;")
    #expect(try await node.get("/1").status == 200)
    let client = try await node.connect()
    try await client.send("GET", "/silent")
    try await origin.seen.wait(for: "two requests") { $0.requests.count == 2 }
    node.advance(seconds: 3)
    #expect(try await node.get("/3").status == 200)
    node.advance(seconds: 2.1)
    #expect(try await client.readResponse().status == 504)
    client.close()
    #expect(try await node.get("/4").status == 200)
    #expect(origin.seen.value.connections == 1)
  }

  @Test func `a connection on which nothing comes any more gets no more requests`() async throws {
    let hangs = Watched(false)
    let origin = try SharedFront { _, _ in hangs.value ? .hang : .response(200, [], "ok") }
    let node = try node(origin, pool: "first_byte_timeout 5s; retries 0;")
    #expect(try await node.get("/1").status == 200)
    hangs.update { $0 = true }
    let client = try await node.connect()
    try await client.send("GET", "/2")
    try await origin.seen.wait(for: "two requests") { $0.requests.count == 2 }
    node.advance(seconds: 5.1)
    #expect(try await client.readResponse().status == 504)
    client.close()
    hangs.update { $0 = false }
    // The PING is not answered, and this is asked elsewhere.
    #expect(try await node.get("/3").status == 200)
    #expect(origin.seen.value.connections == 2)
    node.advance(seconds: 60)
    try await node.expectNothingLeft()
  }

  @Test func `those that come at once share the first connection, too`() async throws {
    let origin = try SharedFront { target, _ in .response(200, [], target) }
    let node = try node(origin)
    let texts = try await atOnce(30) { number in try await node.get("/\(number)").text }
    #expect(Set(texts).count == 30)
    #expect(origin.seen.value.connections == 1)
    try await node.expectNothingLeft()
  }

  @Test func `those that wait for a connection that fails are asked about elsewhere`() async throws
  {
    let good = try SharedFront { target, _ in .response(200, [], target) }
    let node = try node(
      good, pool: "server 127.0.0.1:1 weight=5; retry_budget 100 reserve=100;")
    let texts = try await atOnce(30) { number in try await node.get("/\(number)").text }
    #expect(Set(texts).count == 30)
    try await node.expectNothingLeft()
  }

  @Test func `a server that refuses everything is not the only one that is asked`() async throws {
    let refusing = try SharedFront { _, _ in .refuse }
    let good = try SharedFront { _, _ in .response(200, [], "good") }
    let node = try node(refusing, pool: "server 127.0.0.1:\(good.port);")
    for number in 0..<10 {
      let client = try await node.connect()
      #expect(try await client.request("POST", "/\(number)").text == "good")
      client.close()
    }
  }

  @Test func `a server that wants a request by HTTP_1 gets it so`() async throws {
    let origin = try SharedFront { _, _ in .wantHTTP1 }
    let node = try node(origin, pool: "retries 0;")
    // The front speaks nothing else; that it is asked is what is seen.
    #expect(try await node.get("/").status == 502)
    #expect(origin.seen.value.connections == 1 && origin.seen.value.offers == 2)
  }

  @Test func `trailers come along, and a response without content has none`() async throws {
    let origin = try SharedFront { target, _ in
      target == "/empty" ? .response(204, [], "") : .response(200, ["content-length: 3"], "abc")
    }
    let node = try node(origin)
    #expect(try await node.get("/empty").status == 204)
    #expect(try await node.get("/three").text == "abc")
    let client = try await node.connect()
    let head = try await client.request("HEAD", "/three")
    #expect(head.header("content-length") == "3" && head.text.isEmpty)
    client.close()
    #expect(origin.seen.value.connections == 1)
  }

  @Test
  func `a server that does not offer it is spoken to by HTTP_1, and so is one where it is off`()
    async throws
  {
    let plain = try await ScriptedOrigin.answering { _ in Reply(200, [], "one") }
    let (chain, key) = try EdgeCertificates.shared.get().files("local")
    let front = try SecureFront(
      before: plain.port,
      ServerTLSConfiguration(certificates: [CertificateFiles(chain: chain, key: key)]))
    let authority = try EdgeCertificates.shared.get().authority
    let node = try TestNode.start(
      origin: front.port, pool: "tls { trusted_ca \(authority); }", store: nil, workers: 1)
    #expect(try await node.get("/").text == "one")
    let origin = try SharedFront { _, _ in .response(200, [], "two") }
    let off = try self.node(origin, tls: "http2 off;")
    // It takes nothing but HTTP/2 here.
    #expect(try await off.get("/").status == 502)
    #expect(origin.seen.value.connections == 0)
  }

  private func node(
    _ origin: SharedFront, top: String = "", pool: String = "", tls: String = "",
    store: String? = nil
  ) throws -> TestNode {
    let authority = try EdgeCertificates.shared.get().authority
    return try TestNode.start(
      origin: origin.port, top: top, pool: "tls { trusted_ca \(authority); \(tls) } \(pool)",
      store: store,
      workers: 1)
  }
}
