// docs/openapi.yaml against a node: Schemathesis makes requests of the document, right ones and wrong ones,
// and holds every answer against it. `tools/setup-schemathesis` installs it.

import EdgeTesting
import Foundation
import Testing

/// The program that makes the requests.
private enum Schemathesis {
  static let repository = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// Where it is: as WEIR_SCHEMATHESIS says, where the script puts it, or on the machine.
  static let program: String? = {
    let named = ProcessInfo.processInfo.environment["WEIR_SCHEMATHESIS"]
    let own = repository.appending(path: ".build/schemathesis/bin/schemathesis").path
    return [named, own, "/usr/local/bin/schemathesis", "/usr/bin/schemathesis"].compactMap { $0 }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }()
}

@Suite(.enabled(if: Schemathesis.program != nil, "Schemathesis is not installed"))
struct OpenAPITests {
  @Test func `every answer is one that the document describes`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=60", "Cache-Tag: t"], "x")
    }
    let node = try TestNode.start(
      origin: origin.port, route: "limit few;",
      top: "limit few { token_bucket 5/s burst=10; } limit flight { concurrency 7; }")
    for target in ["/a", "/b"] { _ = try await node.get(target) }
    try await node.settle()
    let output = try await Self.run([
      "run", Schemathesis.repository.appending(path: "docs/openapi.yaml").path,
      "--url", "http://127.0.0.1:\(node.adminPort)",
      "-H", "Authorization: Bearer \(TestNode.token)",
      "--checks", "all",
      // What an order may say cannot all be said by a schema (docs/admin.md says it), and on loopback
      // reading needs no token.
      "--exclude-checks", "positive_data_acceptance,missing_required_header,ignored_auth",
      // Without a supervisor an upgrade is rightly refused with a 5xx, and a fuzzer should start none.
      "--exclude-path", "/v1/upgrade",
      // 503 is what it says of a node that was drained, which another operation does.
      "--exclude-path", "/readyz",
      "--phases", "examples,coverage,fuzzing", "--max-examples", "4", "--seed", "1",
      "--request-timeout", "20", "--no-color",
    ])
    #expect(output.status == 0, "\(output.text)")
    #expect(output.text.contains("Tested: "), "\(output.text)")
  }

  private static func run(_ arguments: [String]) async throws -> (status: Int32, text: String) {
    let directory = try TemporaryDirectory()
    let log = try directory.write("output", "")
    let process = Process()
    process.executableURL = URL(filePath: Schemathesis.program ?? "")
    process.arguments = arguments
    process.currentDirectoryURL = URL(filePath: directory.path)
    let file = try #require(FileHandle(forWritingAtPath: log))
    process.standardOutput = file
    process.standardError = file
    process.standardInput = FileHandle.nullDevice
    return try await withCheckedThrowingContinuation { continuation in
      process.terminationHandler = { ended in
        let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
        continuation.resume(returning: (ended.terminationStatus, String(text.suffix(20_000))))
      }
      do { try process.run() } catch { continuation.resume(throwing: error) }
    }
  }
}
