// gRPC's own library on both sides of a node.

import EdgeTesting
import EventLoop
import Foundation
import Testing

@Suite(.enabled(if: Peer.isInstalled, "tools/setup-peers has not been run"))
struct RemoteCallTests {
  @Test func `calls of every kind pass, in both directions at once, with status and trailers`()
    async throws
  {
    let server = try Peer("grpc_peer.py", ["serve"])
    defer { server.stop() }
    let node = try TestNode.start(
      configuration: """
        listen 127.0.0.1:0 h2c;
        workers 2;
        store ./store;
        origin calls { server 127.0.0.1:\(try server.number("port")); h2c on; }
        site * { origin calls; }
        """, directory: TemporaryDirectory(), clock: NodeClock())
    let answers = try Self.call(node.port)
    func answer(_ name: String) -> JSONValue? { answers.first { $0["call"]?.string == name } }
    let unary = answer("unary")
    #expect(unary?["answer"]?.string == "echo a" && unary?["first"]?.string == "this")
    #expect(unary?["last"]?.string == "end")
    #expect(unary?["binary"]?.array?.compactMap(\.int) == [0, 255])
    #expect(answer("large")?["length"]?.int == 1_000_000)
    #expect(answer("down")?["answer"]?.array?.compactMap(\.string) == ["d 0", "d 1", "d 2"])
    #expect(answer("up")?["answer"]?.string == "1+2+3")
    #expect(answer("both")?["answer"]?.array?.compactMap(\.string) == ["got 0", "got 1", "got 2"])
    let failed = answer("fail")
    #expect(failed?["code"]?.string == "RESOURCE_EXHAUSTED")
    #expect(failed?["details"]?.string == "no more; 100% gone")
    #expect(failed?["why"]?.string == "because")
    #expect(answer("missing")?["code"]?.string == "UNIMPLEMENTED")
    #expect(answer("hang")?["answer"]?.string == "begun")
    #expect(answer("hang")?["cancelled"]?.string == "yes")
    #expect(answers.count == 8, "\(answers)")
  }

  @Test func `where the origin speaks HTTP_1 only, a call fails as the library has it`()
    async throws
  {
    let origin = try await ScriptedOrigin.answering { _ in Reply(404, [], "not here") }
    let node = try TestNode.start(
      configuration: """
        listen 127.0.0.1:0 h2c;
        origin calls 127.0.0.1:\(origin.port);
        site * { origin calls; }
        """, directory: TemporaryDirectory(), clock: NodeClock())
    // The first call ends the client: it has no answer.
    let out = try Self.output(node.port)
    #expect(out.contains("StatusCode.UNIMPLEMENTED"), "\(out)")
  }

  private static func call(_ port: UInt16) throws -> [JSONValue] {
    let out = try output(port)
    return try out.split(separator: "\n").filter { $0.hasPrefix("{") }
      .map { try JSONValue(parsing: String($0)) }
  }

  private static func output(_ port: UInt16) throws -> String {
    let script = Peer.repository.appending(path: "Tests/Scripts/grpc_peer.py").path
    let process = Process()
    process.executableURL = URL(filePath: Peer.python ?? "")
    process.arguments = [script, "call", "\(port)"]
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
  }
}
