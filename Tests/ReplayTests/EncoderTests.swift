import Bytes
import EventLoop
import Testing
import TrafficFormats

@testable import Replay

@Suite("From a record to a request")
struct EncoderTests {
  /// The requests that lines of Weir's log become, as text.
  private func requests(
    _ lines: String, loop: Int = 0, _ change: (inout ReplayPlan) -> Void = { _ in }
  ) throws -> [String] {
    let server = try #require(SocketAddress(host: "127.0.0.1", port: 8080))
    var plan = ReplayPlan(address: server, host: "node:8080")
    change(&plan)
    let encoder = RequestEncoder(plan, now: 1_000)
    encoder.loop = loop
    var found: [String] = []
    let reader = TrafficReader(format: .json)
    func take(_ record: borrowing TrafficRecord) {
      var arena = ByteBuffer()
      let client = encoder.client(of: record, number: found.count)
      if let entry = encoder.encode(record, number: found.count, client: client, onto: &arena) {
        let head = arena.view[Int(entry.head)..<Int(entry.head) + Int(entry.headLength)]
        found.append(head.string + (entry.content > 0 ? "<\(entry.content)>" : ""))
      }
    }
    Array(lines.utf8).withView { reader.feed($0, take) }
    reader.finish(take)
    return found
  }

  private let line =
    #"{"client":"10.0.0.1","method":"GET","host":"shop.example","target":"/a b?c=ü","fields":{"Accept":"x","Connection":"close","X-Forwarded-For":"9.9.9.9","Transfer-Encoding":"chunked"}}"#

  @Test
  func `a target is made fit for a request line, and fields about the connection are not sent`()
    throws
  {
    #expect(
      try requests(line) == [
        "GET /a%20b?c=%C3%BC HTTP/1.1\r\nHost: shop.example\r\nAccept: x\r\n\r\n"
      ])
  }

  @Test func `nothing recorded can end a line`() throws {
    let texts = try requests(
      #"{"client":"1\r\nX: y","host":"a\r\nb","target":"/\r\n\r\nGET /","fields":{"a\r\nb":"c","d":"e\r\nf: g\u0000"}}"#
    ) { $0.faithfulness.addressing = .forwarded }
    #expect(
      texts == [
        "GET /%0D%0A%0D%0AGET%20/ HTTP/1.1\r\nHost: node:8080\r\nd: e  f: g \r\nX-Forwarded-For: 1  X: y\r\n\r\n"
      ])
  }

  @Test func `what is asked for is changed`() throws {
    let rewrite = try Rewrite("|^/(a) |/$1/$0$9/|")
    let texts = try requests(line) { plan in
      plan.faithfulness.host = "other"
      plan.faithfulness.fields = []
      plan.faithfulness.addedFields = [("X-Test", "1")]
      plan.faithfulness.rewrites = [rewrite]
      plan.connections = .fresh(share: 1)
    }
    #expect(
      texts == [
        "GET /a//a%20/b?c=%C3%BC HTTP/1.1\r\nHost: other\r\nX-Test: 1\r\nConnection: close\r\n\r\n"
      ])
  }

  @Test func `content has its recorded length, and its absence is said`() throws {
    let lines = #"""
      {"method":"POST","target":"/","bytes_received":5}
      {"method":"PUT","target":"/"}
      {"method":"DELETE","target":"/"}
      {"method":"GET","target":"/","bytes_received":5}
      {"method":"CONNECT","target":"/"}
      """#
    let texts = try requests(lines).map { $0.replacing("\r\n", with: "|") }
    #expect(
      texts == [
        "POST / HTTP/1.1|Host: node:8080|Content-Length: 5||<5>",
        "PUT / HTTP/1.1|Host: node:8080|Content-Length: 0||", "DELETE / HTTP/1.1|Host: node:8080||",
        "GET / HTTP/1.1|Host: node:8080||",
      ])
    #expect(try requests(lines) { $0.faithfulness.methods = ["GET"] }.count == 1)
  }

  @Test func `later loops ask for other paths`() throws {
    let texts = try requests(#"{"target":"/a?b"}"#, loop: 2) { $0.faithfulness.shiftsKeys = true }
    #expect(texts.first?.hasPrefix("GET /a~2?b HTTP/1.1") == true)
  }

  @Test func `a sample has whole clients`() throws {
    let lines = (0..<2_000).map { #"{"client":"10.0.0.\#($0 % 200)","target":"/\#($0 % 200)"}"# }
      .joined(separator: "\n")
    let texts = try requests(lines) { $0.faithfulness.sample = 0.25 }
    let counts = Dictionary(grouping: texts) { $0 }.mapValues(\.count)
    #expect(counts.values.allSatisfy { $0 == 10 })
    #expect((30...70).contains(counts.count))
  }

  @Test func `of requests without a client a sample is a share`() throws {
    let stage = try RecordingFile((0..<2_000).map { "/\($0)\n" }.joined())
    var plan = ReplayPlan(address: SocketAddressForTests.local, host: "test")
    plan.inputs = [stage.path]
    plan.pace = .fastest
    plan.faithfulness.sample = 0.25
    #expect((400...600).contains(Self.dealt(plan).entries.count))
    // The same ones in each repetition.
    plan.loops = 2
    plan.faithfulness.shiftsKeys = true
    let twice = Self.dealt(plan).entries.map(\.client)
    #expect(twice.count % 2 == 0 && twice.prefix(twice.count / 2) == twice.suffix(twice.count / 2))
  }

  @Test func `a recording of the same hours is played behind the one before`() throws {
    let files = try ["0,a\n10,b\n20,c\n", "1,d\n11,e\n21,f\n", "22,g\n"].map { text in
      try RecordingFile("time,key\n" + text)
    }
    var plan = ReplayPlan(address: SocketAddressForTests.local, host: "test")
    plan.inputs = files.map(\.path)
    plan.pace = .recorded(factor: 1)
    let dues = Self.dealt(plan).entries.map { $0.due / 1_000_000_000 }
    #expect(dues == [0, 10, 20, 20, 30, 40, 41])
  }

  /// What the source deals out of a plan, to one sender.
  private static func dealt(_ plan: ReplayPlan) -> (entries: [Entry], outcome: SourceOutcome) {
    let room = try? Waker()
    guard let room, let queue = try? BatchQueue(room: room) else { return ([], SourceOutcome()) }
    let source = Source(
      plan, queues: [queue], room: room, now: 0, isStopping: { false }, begin: {})
    source.run()
    var entries: [Entry] = []
    while let batch = queue.take().batch { entries += batch.entries }
    return (entries, source.outcome)
  }

  @Test func `a share of requests has new connections, evenly`() throws {
    let lines = String(repeating: "{\"target\":\"/\"}\n", count: 40)
    let texts = try requests(lines) { $0.connections = .fresh(share: 0.25) }
    #expect(
      texts.enumerated().filter { $0.element.contains("close") }.map(\.offset)
        == Array(stride(from: 3, to: 40, by: 4)))
  }

  @Test func `each user has a token`() throws {
    let mint = try TokenMint(
      key: Array("a-secret-of-more-than-16-bytes\n".utf8), keyID: "k", claims: "\"aud\":\"shop\"",
      lifetime: 60)
    let lines = #"""
      {"user":"anna","target":"/1"}
      {"client":"::1","target":"/2"}
      {"user":"anna","target":"/3","fields":{"Authorization":"Bearer old"}}
      """#
    let texts = try requests(lines) { $0.faithfulness.tokens = mint }
    let tokens = texts.compactMap { text in
      text.split(separator: "\r\n").first { $0.hasPrefix("Authorization: Bearer ") }
    }
    #expect(tokens.count == 3 && tokens[0] == tokens[2] && tokens[0] != tokens[1])
    // {"alg":"HS256","typ":"JWT","kid":"k"} and {"sub":"anna","iat":1000,"exp":1060,"aud":"shop"}
    #expect(
      tokens[0].hasPrefix(
        "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ."
          + "eyJzdWIiOiJhbm5hIiwiaWF0IjoxMDAwLCJleHAiOjEwNjAsImF1ZCI6InNob3AifQ."))
  }

  @Test(arguments: ["", "x", "||", "|a|", "|a|b", "|(|b|", "/a/b/c/"])
  func `rewritings that are none`(text: String) {
    #expect(throws: Rewrite.Problem.self) { try Rewrite(text) }
  }

  @Test func `headers of the PROXY protocol`() throws {
    let four = try #require(SocketAddress(host: "127.0.0.1", port: 80))
    let six = try #require(SocketAddress(host: "::1", port: 80))
    func line(_ client: String, _ server: SocketAddress) -> String {
      Array(client.utf8).withView {
        String(decoding: ProxyHeader.line(client: $0, hash: 6, server: server), as: UTF8.self)
      }
    }
    #expect(line("10.0.0.1", four) == "PROXY TCP4 10.0.0.1 127.0.0.1 1030 80\r\n")
    #expect(line("10.0.0.1", six) == "PROXY TCP6 ::ffff:10.0.0.1 ::1 1030 80\r\n")
    #expect(line("2001:db8::1", four) == "PROXY TCP6 2001:db8::1 ::ffff:127.0.0.1 1030 80\r\n")
    #expect(line("host.example", four) == "PROXY UNKNOWN\r\n")
  }
}
