import Bytes
import Configuration
import Edge
import EdgeTesting
import RateLimiting
import Testing

@testable import Admin

@Suite("Limits")
struct AdminLimitTests {
  private func change(
    _ admin: AdminFixture, _ name: String, _ body: String
  ) async throws -> PeerResponse {
    try await admin.ask(
      "PATCH", "/v1/limits/\(name)", [AdminFixture.bearer, AdminFixture.json], body: body)
  }

  @Test func `all limits are shown as they are in force`() async throws {
    let response = try await AdminFixture().ask("GET", "/v1/limits")
    #expect(response.status == 200)
    let limits = try #require(response.json()["limits"]?.array)
    #expect(limits.map { $0["name"]?.string } == AdminFixture.limits.map(\.name))
    #expect(limits[0]["rule"]?.string == "token_bucket")
    #expect(limits[0]["rate"]?.string == "5/s")
    #expect(limits[0]["burst"]?.int == 10)
    #expect(limits[0]["key"]?.string == "client.ip")
    #expect(limits[0]["allowed"]?.int == 0)
    #expect(limits[1]["queue"]?.int == 3)
    #expect(limits[2]["limit"]?.int == 7)
    #expect(limits[3]["window_seconds"]?.int == 86_400)
    #expect(limits[5]["rate"]?.string == "1MiB/s")
  }

  @Test(arguments: [
    ("few", #"{"rate": "100/m", "burst": 50}"#, "rate", "100/m"),
    ("few", #"{"shadow": true}"#, "shadow", "true"),
    ("slow", #"{"rate": "1/h", "queue": 0}"#, "queue", "0"),
    ("flight", #"{"limit": 9}"#, "limit", "9"), ("daily", #"{"limit": 5}"#, "limit", "5"),
    ("pace", #"{"rate": "2MiB/s", "burst": 70000}"#, "rate", "2MiB/s"),
  ])
  func `a limit is changed, and the log says so`(
    _ name: String, _ body: String, _ member: String, _ value: String
  ) async throws {
    let admin = try AdminFixture()
    let response = try await change(admin, name, body)
    #expect(response.status == 200)
    let shown = try await admin.ask("GET", "/v1/limits/\(name)").json()[member]
    let text = shown?.string ?? shown?.int.map { "\($0)" } ?? shown?.bool.map { "\($0)" }
    #expect(text == value)
    #expect(
      admin.notes.value.contains { $0.hasPrefix("limit \(name) changed by token (127.0.0.1") })
  }

  @Test(arguments: [
    ("few", "{}"), ("few", "[]"), ("few", #"{"queue": 3}"#), ("few", #"{"rate": "fast"}"#),
    ("few", #"{"rate": 5}"#), ("few", #"{"burst": -1}"#), ("few", #"{"burst": 0}"#),
    ("few", #"{"burst": 1.5}"#), ("few", #"{"rates": "5/s"}"#), ("few", #"{"persist": false}"#),
    ("few", #"{"rate": "2000000/s"}"#), ("slow", #"{"burst": 2}"#),
    ("slow", #"{"queue": 99999999}"#),
    ("flight", #"{"limit": 0}"#), ("daily", #"{"rate": "5/s"}"#),
    ("rolling", #"{"limit": 20000000}"#), ("pace", #"{"rate": "50/s/s"}"#),
  ])
  func `a change that a limit cannot have is refused and changes nothing`(
    _ name: String, _ body: String
  ) async throws {
    let admin = try AdminFixture()
    let before = try await admin.ask("GET", "/v1/limits/\(name)").text
    let response = try await change(admin, name, body)
    #expect(response.status == 400)
    #expect(response.problem == "invalid_limit_change")
    #expect(try await admin.ask("GET", "/v1/limits/\(name)").text == before)
  }

  @Test func `limits are shown and changed while configurations come and go`() async throws {
    let admin = try AdminFixture()
    defer { admin.stop() }
    let parts = try [AdminFixture.limits.count, 1].map { count in
      var configuration = NodeConfiguration()
      configuration.limits = Array(AdminFixture.limits.suffix(count))
      configuration.admin = AdminConfiguration(
        address: .network(ListenAddress(host: "127.0.0.1", port: 0)), token: AdminFixture.token)
      let limits = try NodeLimits(configuration, secret: Hash128(low: 1, high: 2))
      return GenerationParts(configuration: configuration, pools: [], limits: limits)
    }
    let reloads = Task.detached { [context = admin.context] in
      var number = 0
      while !Task.isCancelled {
        _ = context.adopt(parts[number % 2])
        number += 1
        await Task.yield()
      }
    }
    defer { reloads.cancel() }
    for number in 0..<150 {
      let shown = try await admin.ask("GET", "/v1/limits").json()["limits"]?.array ?? []
      #expect(shown.count == 1 || shown.count == AdminFixture.limits.count)
      #expect(shown.last?["name"]?.string == "pace")
      let changed = try await change(admin, "pace", "{\"burst\": \(70_000 + number)}")
      #expect(changed.status == 200)
      #expect(try changed.json()["name"]?.string == "pace")
    }
    for part in parts {
      for limit in part.limits.set.limits where limit.name != "pace" {
        if case .tokenBucket(let limiter) = limit.rule { #expect(limiter.rate.burst == 10) }
      }
    }
  }

  /// Bursts that take years to come back, and rates that are odd.
  @Test func `what a configuration takes a limit can be`() throws {
    let bursts = ["", "burst=1", "burst=20000", "burst=30000", "burst=1000000000"]
    let rates = ["1/d", "7/d", "86399999999/d", "1000000/s", "59999999/m"]
    let byteRates = [
      "1B/d", "7B/d", "999999999989B/s", "59999999999999B/m", "86399999999999999B/d", "1TiB/d",
    ]
    var (taken, refused) = (0, 0)
    for rule in ["token_bucket", "connections", "bandwidth", "response_bandwidth"] {
      let isInBytes = rule.hasSuffix("bandwidth")
      for rate in isInBytes ? byteRates : rates {
        for burst in bursts {
          let text = """
            listen :8080;
            limit l { \(rule) \(rate) \(burst.isEmpty || !isInBytes ? burst : burst + "B"); }
            origin app 127.0.0.1:9000;
            site * { route / { origin app; } }
            """
          let loaded = ConfigurationFile.parse(text, name: "edge.conf", directory: "/")
          guard let configuration = loaded.configuration else {
            refused += 1
            continue
          }
          #expect(throws: Never.self, "\(text)") {
            try NodeLimits(configuration, secret: Hash128(low: 1, high: 2))
          }
          taken += 1
        }
      }
    }
    #expect(taken > 30 && refused > 15)
  }

  @Test func `a change needs the token`() async throws {
    let response = try await AdminFixture().ask(
      "PATCH", "/v1/limits/few", [AdminFixture.json], body: #"{"rate": "1/s"}"#)
    #expect(response.status == 401)
    let forgiven = try await AdminFixture().ask("DELETE", "/v1/limits/few/keys/127.0.0.1")
    #expect(forgiven.status == 401)
    // Keys may be what clients prove themselves with.
    #expect(try await AdminFixture().ask("GET", "/v1/limits/few/keys").status == 401)
  }

  @Test func `a change cannot be kept without a store`() async throws {
    let admin = try AdminFixture()
    let response = try await change(admin, "few", #"{"rate": "1/s", "persist": true}"#)
    #expect(response.problem == "no_store")
    #expect(try await admin.ask("GET", "/v1/limits/few").json()["rate"]?.string == "5/s")
  }

  @Test(arguments: ["nope", "fe", "few2", "%66ew%00"])
  func `an unknown limit is not found`(_ name: String) async throws {
    let response = try await AdminFixture().ask("GET", "/v1/limits/\(name)")
    #expect(response.status == 404)
    #expect(response.problem == "unknown_limit")
    #expect(response.detail.contains("few, slow"))
  }

  @Test(arguments: ["top=0", "top=257", "top=x", "top", "n=5", "top=5&top=6"])
  func `another query is refused`(_ query: String) async throws {
    let response = try await AdminFixture().ask(
      "GET", "/v1/limits/few/keys?\(query)", [AdminFixture.bearer])
    #expect(response.problem == "invalid_query")
  }

  @Test func `a key of which nothing is known cannot be forgiven`() async throws {
    for key in ["127.0.0.1", "nonsense", String(repeating: "a", count: 32)] {
      let response = try await AdminFixture().ask(
        "DELETE", "/v1/limits/few/keys/\(key)", [AdminFixture.bearer])
      #expect(response.status == 404)
      #expect(response.problem == "unknown_key")
    }
  }
}
