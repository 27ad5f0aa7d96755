import EdgeTesting
import Testing

/// Runs a command to its end, in a directory with these files.
private func weir(
  _ arguments: [String], files: [String: String] = [:]
) async throws -> (status: Int32, printed: String, said: String) {
  let directory = try TemporaryDirectory()
  for (name, text) in files { try directory.write(name, text) }
  let process = try WeirProcess(arguments, in: directory)
  return (try await process.exitStatus(), process.printed, process.said)
}

@Suite("Commands that explain rules and make keys")
struct EvalTests {
  private let files = [
    "edge.conf": """
    listen 127.0.0.1:0;
    origin app 127.0.0.1:1;
    origin canary 127.0.0.1:2;
    site example.com {
      origin app;
      deny 192.0.2.0/24;
      route / {
        when cookie.lang == "ja" { redirect 302 "/ja${path}"; }
        when jwt.valid { origin canary; set header.x-user jwt.sub; }
        on response { set header.x-done "${response.status}"; }
      }
    }
    """
  ]

  @Test func `a request is explained step by step`() async throws {
    let text = try await weir(
      ["eval", "edge.conf", "--request", "GET /x", "-H", "Cookie: lang=ja"], files: files)
    #expect(text.status == 0 && text.said == "")
    #expect(
      text.printed == """
        route     example.com/
              8 | when cookie.lang == "ja": yes
                |   cookie.lang is "ja"
              8 | redirect 302 "/ja${path}";  -> "/ja/x"
        result    redirect 302 /ja/x

        """)
    let json = try JSONValue(
      parsing: try await weir(
        ["eval", "--json", "--request", "GET /x", "--sub", "anna", "--status", "200"],
        files: files
      ).printed)
    #expect(json["route"]?.string == "example.com/" && json["result"]?.string == "proceed")
    let effects = json["effects"]?.array?.compactMap(\.string)
    #expect(effects == ["target", "origin canary", "set x-user: anna"].filter { $0 != "target" })
    #expect(json["steps"]?[0]?["holds"]?.bool == false)
    #expect(json["steps"]?[1]?["holds"]?.bool == true)
    #expect(json["response_effects"]?[0]?.string == "set x-done: 200")
  }

  @Test func `who is not let in is told so`() async throws {
    let denied = try await weir(["eval", "--client", "192.0.2.7"], files: files)
    #expect(denied.status == 0)
    #expect(denied.printed.hasSuffix("result    respond 403: not from 192.0.2.7\n"))
    let elsewhere = try await weir(["eval", "-H", "Host: other.example"], files: files)
    #expect(elsewhere.printed.contains("route     none\n"))
    #expect(elsewhere.printed.contains("respond 404"))
  }

  @Test(arguments: [
    ["--request", "GET"], ["--client", "here"], ["--claim", "x"], ["--now", "x"],
  ])
  func `what is no request is a usage error`(arguments: [String]) async throws {
    #expect(try await weir(["eval"] + arguments, files: files).status == 64)
  }

  @Test func `a key for URLs signs what the node lets in`() async throws {
    let line = try await weir(["key", "url", "2026a"])
    #expect(line.status == 0 && line.printed.hasPrefix("2026a:"))
    let signed = try await weir(
      ["sign", "/video/a.mp4?q=1", "--keys", "keys", "--expires", "1767225600"],
      files: ["keys": line.printed])
    #expect(signed.status == 0)
    #expect(
      signed.printed.hasPrefix("/video/a.mp4?q=1&expires=1767225600&keyid=2026a&signature="))
    #expect(try await weir(["sign", "/a", "--keys", "none"]).status == 69)
    #expect(
      try await weir(["sign", "a b", "--keys", "keys"], files: ["keys": line.printed]).status == 64)
  }

  @Test func `an API key is shown once, and its line has only a hash`() async throws {
    let made = try await weir(["key", "api", "shop", "--attributes", "plan=gold"])
    #expect(made.status == 0)
    let lines = made.printed.split(separator: "\n").map(String.init)
    #expect(lines.count == 2)
    let key = lines[0].dropFirst(6)
    #expect(key.count == 43 && !lines[1].contains(key))
    #expect(lines[1].hasPrefix("line  shop:") && lines[1].hasSuffix(":plan=gold"))
    #expect(try await weir(["key", "api", "a b"]).status == 64)
    #expect(try await weir(["key", "ssh", "a"]).status == 64)
  }
}
