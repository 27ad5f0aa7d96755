import EdgeTesting
import Testing

@Suite struct RecordTests {
  @Test func `a node without an access log has nothing to record`() async throws {
    let response = try await AdminFixture().ask("GET", "/v1/record", [AdminFixture.bearer])
    #expect(response.status == 503)
    #expect(try response.json()["code"]?.string == "no_log")
  }

  @Test func `what is served is shown to whoever has the token only`() async throws {
    #expect(try await AdminFixture().ask("GET", "/v1/record").status == 401)
  }
}
