import EdgeTesting
import Testing

@testable import weir

@Suite("The command that explains a live request") struct ExplainCommandTests {
  @Test(
    arguments: [
      ("http://a.example/x?y#z", "a.example", 80, "/x?y"),
      ("https://a.example", "a.example", 443, "/"),
      ("http://[::1]:8080/", "::1", 8_080, "/"), ("https://a:1?q", "a", 1, "/?q"),
    ] as [(String, String, UInt16, String)])
  func `a URL is read`(_ text: String, _ host: String, _ port: UInt16, _ target: String) {
    let url = RequestURL(argument: text)
    #expect(url?.host == host && url?.port == port && url?.target == target)
  }

  @Test(arguments: ["a.example", "ftp://a", "http://", "http://u@a/", "http://a b/", "http://a:x/"])
  func `what is no URL is refused`(_ text: String) { #expect(RequestURL(argument: text) == nil) }

  /// A node, and a directory whose configuration names its token and where it listens.
  private struct Setup {
    let origin: ScriptedOrigin
    let node: TestNode
    let directory: TemporaryDirectory

    init() async throws {
      origin = try await ScriptedOrigin.answering { _ in
        Reply(200, ["Cache-Control: max-age=60", "Cache-Tag: news"], "content")
      }
      node = try TestNode.start(
        origin: origin.port, route: "limit calm;",
        top: "limit calm { token_bucket 10/m; key client.ip; }")
      directory = try TemporaryDirectory()
      try directory.write(
        "edge.conf",
        """
        listen 127.0.0.1:\(node.port);
        admin 127.0.0.1:\(node.adminPort) { token "\(TestNode.token)"; }
        origin app 127.0.0.1:1;
        site * { origin app; }
        """)
    }

    func explain(
      _ arguments: String..., in other: TemporaryDirectory? = nil, token: String? = nil
    ) async throws -> (status: Int32, printed: String, said: String) {
      let process = try WeirProcess(
        ["explain"] + arguments, in: other ?? directory,
        environment: token.map { ["WEIR_TOKEN=\($0)"] } ?? [])
      return (try await process.exitStatus(), process.printed, process.said)
    }
  }

  @Test func `it asks the node of its configuration, and prints what was decided`() async throws {
    let setup = try await Setup()
    let shown = try await setup.explain("http://shop.example/p/1", "-H", "Accept: text/html")
    #expect(shown.status == 0, "\(shown.said)")
    for text in [
      "site    *\n", "route   */\n", "limit   calm by client.ip: allowed, cost 1, ",
      "key     http://shop.example/p/1\n",
      "cache   miss (uri-miss): fetched from the origin, and stored",
      "fresh   fresh for 60 s: age 0 s of 60 s, by max-age of cache-control", "tags    news\n",
      "origin  app\n", "        127.0.0.1:\(setup.origin.port), ", "status  200\n", " ms  limits\n",
    ] {
      #expect(shown.printed.contains(text), "\(text) in \(shown.printed)")
    }
    try await setup.node.settle()
    let json = try await setup.explain("http://shop.example/p/1", "--json")
    #expect(try JSONValue(parsing: json.printed)["cache"]?.string == "hit")
  }

  @Test func `it says what to do where nothing is explained`() async throws {
    let setup = try await Setup()
    let url = "http://shop.example/"
    let wrong = try await setup.explain(url, token: "wrong")
    #expect(wrong.status == 1 && wrong.said.contains("weir token makes one"), "\(wrong.said)")
    let elsewhere = try TemporaryDirectory()
    let none = try await setup.explain(url, in: elsewhere)
    #expect(none.status == 69 && none.said.contains("set WEIR_TOKEN"), "\(none.said)")
    let clear = try await setup.explain(url, in: elsewhere, token: TestNode.token)
    #expect(clear.status == 69 && clear.said.contains("in the clear"), "\(clear.said)")
    let head = try await setup.explain(url, "-X", "HEAD")
    #expect(head.status == 64 && head.said.contains("ask with GET"), "\(head.said)")
    let place = "127.0.0.1:\(setup.node.port)"
    let named = try await setup.explain(
      url, "--connect", place, in: elsewhere, token: TestNode.token)
    #expect(named.status == 0 && named.printed.contains("site    *"), "\(named.said)")
  }
}
