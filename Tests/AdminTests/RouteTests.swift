import EdgeTesting
import EventLoop
import Testing

@testable import Admin

@Suite("Routes")
struct RouteTests {
  @Test func `the health check says ok`() async throws {
    let response = try await AdminFixture().ask("GET", "/healthz")
    #expect(response.status == 200)
    #expect(response.text == "ok\n")
    #expect(response.header("content-type") == "text/plain; charset=utf-8")
    #expect(response.header("date") == "Tue, 14 Nov 2023 22:13:20 GMT")
    #expect(response.header("cache-control") == "no-store")
    #expect(response.header("connection") == nil)
  }

  @Test func `metrics come in Prometheus' format`() async throws {
    let response = try await AdminFixture().ask("GET", "/metrics?format=text")
    #expect(response.status == 200)
    #expect(response.header("content-type") == "text/plain; version=0.0.4; charset=utf-8")
    #expect(response.text.hasPrefix("# HELP weir_"))
    #expect(response.text.contains("\nweir_connections 0\n"))
  }

  @Test func `the status says what the node is and does`() async throws {
    let admin = try AdminFixture()
    admin.clock.advance(nanoseconds: 12_345_000_000)
    let status = try await admin.ask("GET", "/v1/status").json()
    #expect(status["version"]?.string == Release.version)
    #expect(status["node"]?.string == "weir")
    #expect(status["start_time_seconds"]?.double == 1_700_000_000)
    #expect(status["uptime_seconds"]?.double == 12.345)
    #expect(status["workers"]?.int == 3)
    #expect(status["connections"]?["open"]?.int == 0)
    #expect(status["requests"]?["total"]?.int == 0)
    #expect(status["requests"]?["by_result"]?["hit"]?.int == 0)
    #expect(status["fills"]?["under_way"]?.int == 0)
    #expect(status["origins"]?["requests"]?.int == 0)
    #expect(status["store"] == .null)
  }

  @Test func `the status has the store's figures`() async throws {
    let status = try await AdminFixture(withStore: true).ask("GET", "/v1/status").json()
    #expect(status["store"]?["objects"]?.int == 0)
    #expect(status["store"]?["writing_ended"]?.bool == false)
    #expect(status["store"]?["purge_id"]?.int != nil)
  }

  @Test(arguments: ["/", "/v1", "/healthz/", "/v1/PURGE", "//metrics", "/%6detrics"])
  func `another path is not found`(_ path: String) async throws {
    let response = try await AdminFixture().ask("GET", path)
    #expect(response.status == 404)
    #expect(response.problem == "not_found")
    #expect(response.detail.contains("/v1/status"))
  }

  @Test(arguments: [
    ("POST", "/metrics", "GET, HEAD"), ("DELETE", "/v1/status", "GET, HEAD"),
    ("GET", "/v1/purge", "POST"), ("HEAD", "/v1/purge", "POST"), ("PURGE", "/v1/purge", "POST"),
    ("OPTIONS", "/v1/purge", "POST"),
  ])
  func `another method is refused with those that there are`(
    _ method: String, _ path: String, _ allowed: String
  ) async throws {
    let response = try await AdminFixture().ask(method, path)
    #expect(response.status == 405)
    #expect(response.header("allow") == allowed)
    if method != "HEAD" { #expect(response.problem == "method_not_allowed") }
  }

  @Test(
    arguments: AdminRoute.all.filter {
      $0.method == .get && $0.action != .purgeRecord && $0.action != .events
    })
  func `HEAD has the head of GET`(_ route: AdminRoute) async throws {
    let admin = try AdminFixture(withStore: true)
    defer { admin.stop() }
    let client = try await admin.connect()
    let path = route.path.split(separator: "{name}", omittingEmptySubsequences: false)
      .joined(separator: "few")
    let get = try await client.get(path, host: "localhost", [AdminFixture.bearer])
    let head = try await client.request("HEAD", path, host: "localhost", [AdminFixture.bearer])
    #expect(head.status == get.status)
    #expect(head.fields == get.fields)
    #expect(head.body.isEmpty)
  }
}

@Suite("Documentation")
struct DocumentationTests {
  @Test func `the tables of the documentation are those of the code`() throws {
    let text = Documents.read("docs/admin.md")
    let updated = AdminReference.updated(document: text)
    if Documents.isUpdating { Documents.write(updated, to: "docs/admin.md") }
    #expect(Documents.isUpdating || text == updated)
    for route in AdminRoute.all {
      #expect(updated.contains("`\(route.method.rawValue) \(route.path)`"))
    }
  }

  @Test func `the names of filters in the documentation are those of the code`() {
    let text = Documents.read("docs/observability.md")
    let updated = AdminReference.updated(document: text)
    if Documents.isUpdating { Documents.write(updated, to: "docs/observability.md") }
    #expect(Documents.isUpdating || text == updated)
    #expect(updated.contains("| `user_agent` | text |"))
  }

  @Test func `no route is there twice`() {
    let names = AdminRoute.all.map { "\($0.method) \($0.path)" }
    #expect(Set(names).count == names.count)
  }
}
