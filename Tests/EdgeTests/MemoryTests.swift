import EdgeTesting
import FoundationEssentials
import Metrics
import Testing

/// What large content costs in private memory. The figure is the whole process's, so these run only
/// when nothing else does: `WEIR_TESTS_ALONE=1 swift test --filter MemoryTests`.
@Suite(
  .serialized, .enabled(if: ProcessInfo.processInfo.environment["WEIR_TESTS_ALONE"] != nil))
struct MemoryTests {
  static let block = [UInt8](repeating: 7, count: 256 << 10)
  static let blocks = 1024

  @Test(arguments: [true, false])
  func `a response of 256 MiB takes no more memory than a window`(isRead: Bool) async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      let length = Self.block.count * Self.blocks
      try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: \(length)\r\n\r\n")
      do {
        for _ in 0..<Self.blocks { try await connection.write(Self.block) }
      } catch let failure as PeerFailure { #expect(!isRead && failure.kind == .reset) }
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await node.connect()
    let before = Self.anonymous
    try await client.send("GET", "/")
    try await node.standsStill(.originBytesReceived)
    #expect(Self.anonymous - before < 16 << 20)
    if isRead {
      let response = try await client.readResponse(content: .discard)
      #expect(response.bodyLength == Self.block.count * Self.blocks)
      #expect(Self.anonymous - before < 16 << 20)
    }
    client.reset()
    try await node.expectNothingLeft()
    try await origin.finish()
  }

  @Test func `an upload of 256 MiB takes no more memory than a window`() async throws {
    let read = Signal("the origin to read")
    let origin = try await ScriptedOrigin { connection in
      let head = try await connection.readRequestHead()
      try await read.wait()
      let request = try await connection.readContent(of: head, .discard)
      try await connection.respond(200, [], "\(request.bodyLength)")
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await node.connect()
    let before = Self.anonymous
    let length = Self.block.count * Self.blocks
    let writing = Task {
      try await client.write("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: \(length)\r\n\r\n")
      for _ in 0..<Self.blocks { try await client.write(Self.block) }
    }
    try await node.standsStill(.bytesReceived)
    #expect(Self.anonymous - before < 8 << 20)
    read.send()
    try await writing.value
    #expect(try await client.readResponse().text == "\(length)")
    #expect(Self.anonymous - before < 8 << 20)
    try await origin.finish()
  }

  /// Private memory in bytes: RssAnon of /proc/self/status.
  static var anonymous: Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    for line in status.split(separator: "\n") where line.hasPrefix("RssAnon:") {
      return (Int(line.filter(\.isNumber)) ?? 0) << 10
    }
    return 0
  }
}
