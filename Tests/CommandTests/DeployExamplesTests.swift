internal import CLinux
import EdgeTesting
import FoundationEssentials
import Testing

/// What docs/deploy.md has a machine run, run as it stands there.
@Suite("Examples of docs/deploy.md") struct DeployExamplesTests {
  @Test func `the route of an address is announced as long as the node is ready`() async throws {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let text = try String(contentsOf: URL(filePath: "/\(root)/docs/deploy.md"), encoding: .utf8)
    let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("    if curl ") })
    let origin = try await ScriptedOrigin.answering { _ in Reply(200) }
    let directory = try TemporaryDirectory()
    let node = try TestNode.start(
      configuration: """
        listen 127.0.0.1:0; workers 1; \(TestNode.adminBlock)
        health_paths /healthz /readyz from 127.0.0.0/8;
        origin app 127.0.0.1:\(origin.port); site shop.example { origin app; }
        """, directory: try TemporaryDirectory())
    let mark = directory.file("weir.ready")
    let command = line.replacing("http://127.0.0.1/", with: "http://127.0.0.1:\(node.port)/")
      .replacing("/run/weir.ready", with: mark)
    #expect(command.contains(mark))
    func look() async throws -> Bool {
      let outcome = try await Program.run(["bash", "-c", String(command)])
      #expect(outcome.status == 0, "\(outcome.output)")
      return unsafe access(mark, F_OK) == 0
    }
    // The line gives the node a second, which a machine at its limit may not have.
    try await eventually("the route is announced") { try await look() }
    #expect(try await node.admin("POST", "/v1/drain").status == 200)
    try await eventually("it is withdrawn") { try await !look() }
    #expect(try await node.admin("DELETE", "/v1/drain").status == 200)
    try await eventually("it is announced again") { try await look() }
  }
}
