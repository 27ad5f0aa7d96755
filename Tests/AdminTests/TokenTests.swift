import Configuration
import EdgeTesting
import Testing

@testable import Admin

@Suite("Tokens")
struct TokenTests {
  static let sites = [["a.example", "www.a.example"], ["*.b.example"], ["*"]]

  /// A line of the file for the token that is `name` itself.
  private func line(_ name: String, _ verbs: String, _ sites: String = "*") throws -> String {
    let digest = try #require(AdminTokenFile.digest(of: Array(name.utf8)))
    let hex = digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    return "\(name)  \(verbs)\t\(sites)  sha256:\(hex)\n"
  }

  private func purge(
    _ admin: AdminFixture, _ token: String, _ body: String
  ) async throws -> PeerResponse {
    try await admin.ask(
      "POST", "/v1/purge", ["Authorization: Bearer \(token)", AdminFixture.json], body: body)
  }

  @Test func `a token may do what its verbs say`() async throws {
    let tokens = try "# tokens\n\n" + line("deploy", "purge") + line("watch", "read,limits.read")
    let admin = try AdminFixture(token: nil, host: "0.0.0.0", withStore: true, tokens: tokens)
    #expect(try await purge(admin, "deploy", #"{"tag": "a"}"#).status == 200)
    #expect(try admin.auditLines().first?["who"]?.string == "deploy")
    let refused = try await purge(admin, "watch", #"{"tag": "a"}"#)
    #expect(refused.status == 403 && refused.problem == "forbidden")
    #expect(
      refused.header("www-authenticate")
        == "Bearer realm=\"weir\", error=\"insufficient_scope\", scope=\"purge\"")
    #expect(try await purge(admin, "other", #"{"tag": "a"}"#).problem == "unauthorized")
    let watch = ["Authorization: Bearer watch"]
    #expect(try await admin.ask("GET", "/v1/status", watch).status == 200)
    #expect(try await admin.ask("GET", "/v1/limits/few/keys", watch).status == 200)
    let change = try await admin.ask(
      "PATCH", "/v1/limits/few", watch + [AdminFixture.json], body: #"{"burst": 3}"#)
    #expect(change.problem == "forbidden")
    let deploy = ["Authorization: Bearer deploy"]
    #expect(try await admin.ask("GET", "/v1/status", deploy).problem == "forbidden")
  }

  @Test(arguments: [
    (#"{"tag": "a"}"#, 200), (#"{"tag": "a", "site": "a.example"}"#, 200),
    (#"{"tag": "a", "site": "*.b.example"}"#, 403), (#"{"url": "http://www.a.example/x"}"#, 200),
    (#"{"url": "http://c.example/x"}"#, 403),
    (#"{"urls": ["//a.example/", "//x.b.example/"]}"#, 403),
    (#"{"host": "a.example"}"#, 200), (#"{"host": "other.example"}"#, 403),
    (#"{"prefix": "//a.example/x"}"#, 200), (#"{"prefix": "//a.example.org/x"}"#, 403),
    (#"{"wildcard": "//a.example/*"}"#, 200), (#"{"wildcard": "//*.example/*"}"#, 403),
    (#"{"wildcard": "*"}"#, 403), (#"{"where": "status == 404"}"#, 200),
    (#"{"where": "true) || (true"}"#, 400), (#"{"everything": true}"#, 200),
  ])
  func `a token of a site is kept to it`(_ body: String, _ status: Int) async throws {
    let admin = try AdminFixture(
      withStore: true, tokens: line("cms", "purge,read", "a.example"), sites: Self.sites)
    let response = try await purge(admin, "cms", body)
    #expect(response.status == status, "\(response.text)")
    if status == 403 { #expect(response.problem == "foreign_site") }
    let node = try await admin.ask("GET", "/v1/limits", ["Authorization: Bearer cms"])
    #expect(node.problem == "forbidden")
  }

  @Test func `a token sees the purges that were its own`() async throws {
    let admin = try AdminFixture(
      withStore: true, tokens: line("cms", "purge,read", "a.example"), sites: Self.sites)
    _ = try await admin.purge(#"{"tag": "secret"}"#)
    let own = try await purge(admin, "cms", #"{"tag": "a"}"#).json()
    let cms = ["Authorization: Bearer cms"]
    let list = try await admin.ask("GET", "/v1/purges", cms).json()
    #expect(list["purges"]?.array?.count == 1)
    #expect(list["purges"]?.array?.first?["id"] == own["id"])
    #expect(try await admin.ask("GET", "/v1/purges").json()["purges"]?.array?.count == 2)
  }

  @Test func `tokens are read again when their file changes, and stay if it is wrong`() async throws
  {
    let admin = try AdminFixture(withStore: true, tokens: line("one", "purge"))
    #expect(try await purge(admin, "one", #"{"tag": "a"}"#).status == 200)
    try admin.files.write("tokens", line("two", "purge") + line("three", "purge"))
    #expect(try await purge(admin, "one", #"{"tag": "a"}"#).status == 401)
    #expect(try await purge(admin, "two", #"{"tag": "a"}"#).status == 200)
    try admin.files.write("tokens", "two nonsense * x\n")
    #expect(try await purge(admin, "two", #"{"tag": "a"}"#).status == 200)
    #expect(admin.notes.value.contains { $0.contains("line 1") && $0.contains("nonsense") })
  }

  @Test(arguments: [
    ("a purge *", "a line has"), ("a purge * sha256:00", "64 hexadecimal"),
    ("a fly * sha256:", "no verb fly"),
    ("a/b * * x", "a name has"), ("a , * x", "a verb"), ("a * , x", "a site"),
  ])
  func `a line that is wrong is refused with its number`(_ line: String, _ reason: String) {
    let error = #expect(throws: AdminTokenFile.Defect.self) {
      try AdminTokenFile.parse(Array("# first\n\(line)\n".utf8))
    }
    #expect(error?.line == 2)
    #expect(error?.text.contains(reason) == true, "\(error?.text ?? "")")
  }

  @Test func `a token that is made can be read again`() throws {
    let token = try #require(AdminTokenFile.makeToken())
    #expect(token.utf8.count == 43)
    let made = AdminToken(
      name: "ci", verbs: [.purge, .warm], sites: ["a.example"],
      digest: try #require(AdminTokenFile.digest(of: Array(token.utf8))))
    #expect(try AdminTokenFile.parse(Array(AdminTokenFile.line(made).utf8)) == [made])
  }
}
