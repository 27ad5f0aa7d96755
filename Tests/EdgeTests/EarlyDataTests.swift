// Requests before the end of a handshake, by openssl's client through a relay that keeps the node's answers
// from it: without them the client cannot finish its handshake, so that what the node does meanwhile it does
// early.

import Authentication
import EdgeTesting
import Foundation
import Metrics
import Testing

@Suite struct EarlyDataTests {
  private static func origin() async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      let early = request.header("early-data") ?? "none"
      let life =
        request.target.hasPrefix("/stale") ? "max-age=1, stale-while-revalidate=600" : "max-age=600"
      return Reply(
        200, ["Cache-Control: \(life)"],
        "answer to \(request.method) \(request.target), early-data \(early), \(request.text)")
    }
  }

  private static func start(_ origin: ScriptedOrigin, route: String = "") async throws -> SecureNode
  {
    try await SecureNode.start(
      origin: origin.port, route: route, top: "tls { early_data on; }")
  }

  /// Has answers stored for the host that the clients here name, which is without a port.
  private static func store(
    _ targets: [String], _ secure: SecureNode, _ words: [String] = []
  ) async throws {
    for target in targets {
      let outcome = try await secure.curl(target, ["-H", "Host: a.example"] + words)
      #expect(outcome.status == 0 && outcome.output.contains(" 200"), "\(outcome.output)")
    }
  }

  @Test func `a fresh answer comes before the handshake's end`() async throws {
    let origin = try await Self.origin()
    let secure = try await Self.start(origin)
    let node = secure.node
    try await Self.store(["/x"], secure)
    try await node.settle()
    let client = try await EarlyClient(of: secure, "http/1.1")
    let answer = try client.send("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n")
    try await node.expect(.earlyAnswered, reaches: 1)
    #expect(node.count(.earlyDataTaken) == 1)
    let text = try await client.finish(answer) { $0.contains("answer to GET /x") }
    #expect(text.contains("cache-status: weir; hit"), "\(text)")
    #expect(node.count(.earlyWaited) == 0)
    #expect(origin.requests.count == 1)
  }

  @Test(arguments: [
    "GET /missing HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "GET /stale HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
    "GET /x HTTP/1.1\r\nHost: a.example\r\nCache-Control: no-cache\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\npaid",
    "DELETE /x HTTP/1.1\r\nHost: a.example\r\n\r\n",
  ])
  func `anything else waits for it`(_ request: String) async throws {
    let origin = try await Self.origin()
    let secure = try await Self.start(origin)
    let node = secure.node
    try await Self.store(["/x", "/stale"], secure)
    try await node.settle()
    node.advance(seconds: 5)
    let client = try await EarlyClient(of: secure, "http/1.1")
    let answer = try client.send(request)
    try await node.expect(.earlyWaited, reaches: 1)
    #expect(node.count(.earlyDataTaken) == 1)
    #expect(node.count(.earlyAnswered) == 0)
    #expect(origin.requests.count == 2, "nothing is asked of the origin early")
    let text = try await client.finish(answer) { $0.contains("answer to") }
    let start = request.split(separator: " ").prefix(2).joined(separator: " ")
    #expect(text.contains("answer to \(start), early-data none"), "\(text)")
    if request.hasSuffix("paid") { #expect(text.contains("paid"), "\(text)") }
  }

  @Test func `a request with credentials waits for it`() async throws {
    let origin = try await Self.origin()
    let made = try #require(try APIKeyLine.make(name: "shop", attributes: "plan=gold"))
    let directory = try TemporaryDirectory()
    let keys = try directory.write("keys", made.line + "\n")
    let secure = try await Self.start(origin, route: "auth api_keys \(keys) shared;")
    let node = secure.node
    try await Self.store(["/x"], secure, ["-H", "X-API-Key: \(made.key)"])
    try await node.settle()
    let client = try await EarlyClient(of: secure, "http/1.1")
    let answer = try client.send(
      "GET /x HTTP/1.1\r\nHost: a.example\r\nX-API-Key: \(made.key)\r\n\r\n")
    try await node.expect(.earlyWaited, reaches: 1)
    let text = try await client.finish(answer) { $0.contains("answer to GET /x") }
    #expect(text.contains("weir; hit"), "\(text)")
  }

  @Test func `several requests are answered in their order`() async throws {
    let origin = try await Self.origin()
    let secure = try await Self.start(origin)
    let node = secure.node
    try await Self.store(["/x"], secure)
    try await node.settle()
    let client = try await EarlyClient(of: secure, "http/1.1")
    let requests = ["/x", "/missing", "/x"].map { "GET \($0) HTTP/1.1\r\nHost: a.example\r\n\r\n" }
    let answer = try client.send(requests.joined())
    try await node.expect(.earlyWaited, reaches: 1)
    #expect(node.count(.earlyAnswered) == 1)
    let text = try await client.finish(answer) { $0.matches(of: /answer to GET/).count == 3 }
    let order = text.matches(of: /answer to GET ([^,]*)/).map { String($0.1) }
    #expect(order == ["/x", "/missing", "/x"])
  }

  @Test func `streams of HTTP 2 are answered or wait one by one`() async throws {
    let origin = try await Self.origin()
    let secure = try await Self.start(origin)
    let node = secure.node
    try await Self.store(["/x"], secure)
    try await node.settle()
    let client = try await EarlyClient(of: secure, "h2")
    let frames = [
      Frame(type: Frame.settings, flags: 0, stream: 0, content: []),
      FrameClient.request(1, "/missing", scheme: "https"),
      FrameClient.request(3, "/x", scheme: "https"),
      FrameClient.request(5, "/x", method: "POST", scheme: "https", ends: false),
      Frame(type: Frame.data, flags: 1, stream: 5, content: Array("paid".utf8)),
    ]
    let answer = try client.send(
      Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frames.flatMap(\.bytes))
    try await node.expect(.earlyAnswered, reaches: 1)
    try await node.expect(.earlyWaited, reaches: 2)
    #expect(origin.requests.count == 1)
    let text = try await client.finish(answer) { text in
      ["GET /missing", "GET /x", "POST /x"].allSatisfy { text.contains("answer to \($0)") }
    }
    #expect(text.contains("paid"))
    #expect(origin.requests.count == 3)
  }

  @Test func `a recorded hello brings nothing a second time`() async throws {
    let origin = try await Self.origin()
    let secure = try await Self.start(origin)
    let node = secure.node
    try await Self.store(["/x"], secure)
    try await node.settle()
    let client = try await EarlyClient(of: secure, "http/1.1")
    let answer = try client.send("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n")
    try await node.expect(.earlyAnswered, reaches: 1)
    let recorded = client.relay.said.value
    for round in 1...3 {
      let attacker = try await node.connect()
      try await attacker.write(recorded)
      try await node.expect(.earlyDataRefused, reaches: UInt64(round))
    }
    _ = try await client.finish(answer) { $0.contains("answer to GET /x") }
    #expect(node.count(.earlyAnswered) == 1)
    #expect(node.count(.earlyDataTaken) == 1)
  }

  @Test func `it is off unless it is said`() async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(origin: origin.port)
    let client = try await EarlyClient(of: secure, "http/1.1", expectsEarlyData: false)
    client.relay.release()
    let answer = try client.send("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n")
    try await secure.node.expect(.handshakesResumed, reaches: 1)
    await client.relay.end()
    try await answer.value
    #expect(secure.node.count(.earlyDataTaken) == 0)
    #expect(origin.requests.isEmpty)
  }

  @Test func `what an intermediary says and hears about early data is passed on, and never kept`()
    async throws
  {
    let isAsked = Signal("the early request to be asked")
    let mayAnswer = Signal("the early request to be answered")
    let origin = try await ScriptedOrigin.answering { request in
      guard request.header("early-data") == "1" else {
        return Reply(200, ["Cache-Control: max-age=600"], "good")
      }
      isAsked.send()
      try await mayAnswer.wait()
      return Reply(425, ["Cache-Control: max-age=600"], "too early")
    }
    let node = try TestNode.start(origin: origin.port)
    async let early = node.get("/x", "Early-Data: 1")
    try await isAsked.wait()
    async let other = node.get("/x")
    try await node.expect(.fillsCollapsed, reaches: 1)
    mayAnswer.send()
    #expect(try await early.status == 425)
    #expect(try await other.status == 200, "who did not come early is not told so")
    try await node.settle()
    let third = try await node.get("/x")
    #expect(third.status == 200)
    #expect(third.header("cache-status")?.contains("hit") == true)
  }
}

/// openssl's client with a session that it may resume, behind a relay that holds the node's answers.
private struct EarlyClient {
  let relay: Relay
  private let secure: SecureNode
  private let name: String
  private var session: String { secure.directory.file("session") }

  /// Takes a ticket first, with a request of its own.
  init(
    of secure: SecureNode, _ applicationProtocol: String, expectsEarlyData: Bool = true
  ) async throws {
    self.secure = secure
    name = applicationProtocol
    let words = Self.words(name, port: secure.node.port).joined(separator: " ")
    // What is no request in either protocol is answered, and ends the connection, after the tickets.
    let outcome = try await Program.run([
      "sh", "-c",
      "cd \(secure.directory.path) && printf 'x\\r\\n\\r\\n' | \(words) -sess_out session >first 2>&1;"
        + " openssl sess_id -in session -noout -text",
    ])
    try #require(outcome.output.contains("Max Early Data: 16384") == expectsEarlyData)
    relay = try Relay(to: secure.node.port, holdsAnswers: true)
  }

  private static func words(_ name: String, port: UInt16) -> [String] {
    [
      "openssl", "s_client", "-quiet", "-ign_eof", "-tls1_3", "-servername", "a.example", "-alpn",
      name, "-connect", "127.0.0.1:\(port)",
    ]
  }

  /// Sends bytes with the hello. The client ends with its connection.
  func send(_ bytes: [UInt8]) throws -> Task<Void, any Error> {
    let request = try secure.directory.write("request", bytes)
    let words = Self.words(name, port: relay.port) + ["-sess_in", session, "-early_data", request]
    let command = words.joined(separator: " ") + " >\(output) 2>&1"
    return Task { _ = try await Program.run(["sh", "-c", command]) }
  }

  func send(_ text: String) throws -> Task<Void, any Error> { try send(Array(text.utf8)) }

  private var output: String { secure.directory.file("output") }

  /// Lets the handshake end, and the connection when the client has what it waits for.
  func finish(
    _ client: Task<Void, any Error>, _ isWhole: (String) -> Bool
  ) async throws -> String {
    relay.release()
    var text = ""
    try await eventually("the client to be answered") {
      text = String(decoding: try Data(contentsOf: URL(filePath: output)), as: UTF8.self)
      return isWhole(text)
    }
    await relay.end()
    try await client.value
    return text
  }
}
