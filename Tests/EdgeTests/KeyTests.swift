import EdgeTesting
import Metrics
import Testing

/// What responses are found by, and what may shape one that others get.
@Suite struct KeyTests {
  static let fresh = "Cache-Control: max-age=60"

  /// An origin whose answers show the target and the fields that were asked with.
  static func mirror(_ fields: [String] = [fresh]) async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      Reply(
        200, fields,
        "\(request.method) \(request.target) \(request.header("x-http-method-override") ?? "-")")
    }
  }

  @Test func `what is dropped from the key does not reach the origin`() async throws {
    let origin = try await Self.mirror()
    let node = try TestNode.start(
      origin: origin.port, route: "cache { query_sort on; query_drop utm_*; }")
    let first = try await node.get("/p?b=2&utm_x=evil&a=1", "X-HTTP-Method-Override: DELETE")
    #expect(first.text == "GET /p?a=1&b=2 -")
    try await node.settle()
    let second = try await node.get("/p?a=1&b=2&utm_source=other")
    #expect(second.isHit && second.text == first.text)
  }

  /// The origin does not see what `Connection` nominates; what it answers then is not for those whose
  /// requests have the field.
  @Test(arguments: ["", "cache { key host path header.x-kind; }"])
  func `a field that is taken away on the way shapes no stored response`(route: String) async throws
  {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, [Self.fresh, "Vary: X-Kind"], request.header("x-kind") ?? "none")
    }
    let node = try TestNode.start(origin: origin.port, route: route)
    let poison = try await node.get("/p", "X-Kind: a", "Connection: X-Kind")
    #expect(poison.text == "none")
    try await node.settle()
    let next = try await node.get("/p", "X-Kind: a")
    #expect(!next.isHit && next.text == "a")
    try await node.settle()
    #expect(try await node.get("/p", "X-Kind: a").isHit)
  }

  @Test func `nor does it where requests go side by side`() async throws {
    // The first answer is not for sharing: the key is marked.
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, [request.target.contains("first") ? "Cache-Control: private" : Self.fresh],
        request.target)
    }
    let node = try TestNode.start(origin: origin.port, route: "cache { key host path; }")
    _ = try await node.get("/p?first")
    let isPrivate = try await ScriptedOrigin.answering { request in
      Reply(
        200, [request.header("x-mark") == nil ? Self.fresh : "Cache-Control: private"],
        request.target)
    }
    let marked = try TestNode.start(origin: isPrivate.port, route: "cache { key host path; }")
    #expect(try await marked.get("/p?a", "X-Mark: 1").text == "/p")
    #expect(try await marked.get("/p?evil").text == "/p")
    try await marked.settle()
    #expect(try await marked.get("/p?b").text == "/p")
    #expect(isPrivate.requests.allSatisfy { $0.target == "/p" })
    #expect(origin.requests.first?.target == "/p")
  }

  @Test func `an unsafe request reaches what is stored under another key`() async throws {
    let origin = try await Self.mirror()
    let node = try TestNode.start(origin: origin.port, route: "cache { key host path; }")
    _ = try await node.get("/p?x=1")
    try await node.settle()
    #expect(try await node.get("/p?y=2").isHit)
    let client = try await node.connect()
    _ = try await client.request("POST", "/p", [], body: "a")
    client.close()
    #expect(try await node.get("/p?z=3").isHit == false)
  }

  @Test func `No-Vary-Search makes one of requests that mean the same`() async throws {
    let origin = try await Self.mirror([Self.fresh, "No-Vary-Search: params=(\"utm\")"])
    let node = try TestNode.start(origin: origin.port)
    _ = try await node.get("/p?a=1&utm=1")
    try await node.settle()
    _ = try await node.get("/p?a=1&utm=2")
    try await node.settle()
    let hit = try await node.get("/p?a=1&utm=3")
    #expect(hit.isHit && hit.text == "GET /p?a=1&utm=2 -")
    #expect(try await node.get("/p?a=2&utm=3").isHit == false)
    #expect(origin.requests.count == 3)
  }

  @Test func `an answer that does not say so itself is not shared by another's word`() async throws
  {
    let origin = try await ScriptedOrigin.answering { request in
      let says = request.target.contains("a=") ? ["No-Vary-Search: params=(\"x\")"] : []
      return Reply(200, [Self.fresh] + says, request.target)
    }
    let node = try TestNode.start(origin: origin.port)
    _ = try await node.get("/p?a=1&x=1")
    try await node.settle()
    for x in 5..<8 {
      #expect(try await node.get("/p?b=2&x=\(x)").text == "/p?b=2&x=\(x)")
      try await node.settle()
      _ = try await node.get("/p?a=1&x=\(x)")
      try await node.settle()
    }
  }

  @Test func `what is asked for often enough is stored`() async throws {
    let origin = try await Self.mirror()
    let node = try TestNode.start(origin: origin.port, route: "cache { min_uses 3; }")
    for _ in 0..<2 {
      #expect(try await node.get("/p").isHit == false)
      try await node.settle()
    }
    #expect(try await node.get("/p").isHit == false)
    try await node.settle()
    #expect(try await node.get("/p").isHit)
    #expect(origin.requests.count == 3)
  }

  @Test(arguments: [
    "X-Original-URL", "X_Original_URL", "x-rewrite-url", "X_Forwarded_Host", "Proxy",
  ])
  func `fields that speak for proxies go no further`(name: String) async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, [Self.fresh], request.header(name) ?? "none")
    }
    let node = try TestNode.start(origin: origin.port)
    let answer = try await node.get("/p", "\(name): /admin")
    #expect(answer.text == "none")
  }

  @Test func `a type that does not fit the extension is not stored`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, [Self.fresh, "Content-Type: text/html"], "account")
    }
    let node = try TestNode.start(origin: origin.port, route: "cache { check_content_type on; }")
    for path in ["/account/x.css", "/account;x.css", "/account%2fx.css"] {
      _ = try await node.get(path)
      try await node.settle()
      #expect(try await node.get(path).isHit == false, "\(path)")
    }
    _ = try await node.get("/account/page")
    try await node.settle()
    #expect(try await node.get("/account/page").isHit)
  }
}
