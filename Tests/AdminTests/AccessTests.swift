import EdgeTesting
import Testing

@testable import Admin

@Suite("Access")
struct AccessTests {
  static let purge = #"{"tags": ["a"]}"#

  @Test(arguments: [
    "Bearer \(AdminFixture.token)", "bearer \(AdminFixture.token)",
    "BEARER   \(AdminFixture.token)",
  ])
  func `a purge with the token passes`(_ value: String) async throws {
    let response = try await AdminFixture(withStore: true).ask(
      "POST", "/v1/purge", ["Authorization: \(value)", AdminFixture.json], body: Self.purge)
    #expect(response.status == 200)
  }

  @Test(arguments: [
    [], ["Authorization: Basic YTpi"], ["Authorization: Bearer"], ["Authorization: Bearer a b"],
    ["Authorization: Bearer\(AdminFixture.token)"], ["Authorization: \(AdminFixture.token)"],
  ])
  func `a purge without a token is refused`(_ fields: [String]) async throws {
    let response = try await AdminFixture(withStore: true).ask(
      "POST", "/v1/purge", fields + [AdminFixture.json], body: Self.purge)
    #expect(response.status == 401)
    #expect(response.problem == "unauthorized")
    #expect(response.header("www-authenticate") == "Bearer realm=\"weir\"")
  }

  @Test(arguments: [
    "x", "\(AdminFixture.token)x", "0123456789abcdeg", "0123456789ABCDEF", "0123456789abcde",
  ])
  func `a purge with a wrong token is refused`(_ token: String) async throws {
    let response = try await AdminFixture(withStore: true).ask(
      "POST", "/v1/purge", ["Authorization: Bearer \(token)", AdminFixture.json], body: Self.purge)
    #expect(response.status == 401)
    #expect(
      response.header("www-authenticate") == "Bearer realm=\"weir\", error=\"invalid_token\"")
  }

  @Test func `two Authorization fields are refused`() async throws {
    let response = try await AdminFixture(withStore: true).ask(
      "POST", "/v1/purge", [AdminFixture.bearer, AdminFixture.bearer, AdminFixture.json],
      body: Self.purge)
    #expect(response.status == 400)
    #expect(response.problem == "malformed_request")
  }

  @Test func `without a configured token nothing can be changed`() async throws {
    let admin = try AdminFixture(token: nil, withStore: true)
    let response = try await admin.purge(Self.purge)
    #expect(response.status == 403)
    #expect(response.problem == "no_token")
    #expect(response.detail.contains("token_file"))
    #expect(try await admin.ask("GET", "/v1/status").status == 200)
  }

  @Test(arguments: ["/metrics", "/v1/status"])
  func `reading needs the token unless the listener is on loopback`(_ path: String) async throws {
    #expect(try await AdminFixture().ask("GET", path).status == 200)
    let open = try AdminFixture(host: "0.0.0.0")
    #expect(try await open.ask("GET", path).problem == "unauthorized")
    #expect(try await open.ask("GET", path, [AdminFixture.bearer]).status == 200)
    #expect(
      try await open.ask("GET", path, host: "pop1.example", [AdminFixture.bearer]).status == 200)
    let bare = try AdminFixture(token: nil, host: "0.0.0.0")
    #expect(try await bare.ask("GET", path).problem == "no_token")
  }

  @Test func `the health check never needs the token`() async throws {
    #expect(try await AdminFixture(host: "0.0.0.0").ask("GET", "/healthz").status == 200)
  }

  @Test(arguments: [
    "localhost", "LocalHost:9090", "127.0.0.1", "127.0.0.1:80", "127.1.2.3", "[::1]", "[::1]:9090",
  ])
  func `a loopback listener answers to names of this machine`(_ host: String) async throws {
    #expect(try await AdminFixture().ask("GET", "/healthz", host: host).status == 200)
  }

  @Test(arguments: [
    "example.com", "localhost.example.com", "127.0.0.1.example.com", "127.0.0.256", "127.1",
    "0.0.0.0", "10.0.0.1", "[::]", "[::2]:9090",
  ])
  func `a loopback listener answers to no other name`(_ host: String) async throws {
    let response = try await AdminFixture().ask("GET", "/metrics", host: host)
    #expect(response.status == 421)
    #expect(response.problem == "wrong_host")
  }
}
