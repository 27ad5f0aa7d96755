import EdgeTesting
import Metrics
import ObjectStore
import Testing

/// The store, as a node and its clients see it.
@Suite struct StoreOfNodeTests {
  private func origin() async throws -> ScriptedOrigin {
    try await ScriptedOrigin { connection in
      while let request = try await connection.nextRequest() {
        let size = Int(request.target.split(separator: "/").last ?? "") ?? 1
        let body = content(size, seed: UInt64(size))
        let isChunked = request.target.hasPrefix("/chunked")
        let framing = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(size)"
        try await connection.write(
          "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\(framing)\r\n\r\n")
        guard isChunked else {
          try await connection.write(body)
          continue
        }
        var rest = body[...]
        while !rest.isEmpty {
          let piece = rest.prefix(10_007)
          try await connection.write(
            Array((String(piece.count, radix: 16) + "\r\n").utf8) + piece + [13, 10])
          rest = rest.dropFirst(piece.count)
        }
        try await connection.writeChunk("")
      }
    }
  }

  /// Sizes around what is kept in a record, in a chunk, in several.
  static let sizes = [
    0, 1, 1_000, 16_383, 16_384, 16_385, 50_000, 262_119, 262_120, 262_121, 524_240, 1_000_003,
  ]

  @Test(arguments: ["/length", "/chunked"])
  func `responses of every size are there after a restart and after a kill`(
    framing: String
  ) async throws {
    let origin = try await origin()
    let node = try TestNode.start(origin: origin.port, pool: "keepalive 4;")
    for size in Self.sizes {
      let miss = try await node.get("\(framing)/\(size)")
      #expect(miss.body == content(size, seed: UInt64(size)), "\(size)")
    }
    try await node.settle()
    for size in Self.sizes { try await expectStored("\(framing)/\(size)", size, node) }
    try node.requireStore().check()
    let copy = try node.directory.copyStore()
    let warm = try node.restart(origin: origin.port)
    let killed = try TestNode.start(origin: origin.port, directory: copy, clock: node.clock)
    for size in Self.sizes {
      try await expectStored("\(framing)/\(size)", size, warm)
      try await expectStored("\(framing)/\(size)", size, killed)
    }
    try warm.requireStore().check()
    try killed.requireStore().check()
    #expect(origin.requests.count == Self.sizes.count)
  }

  private func expectStored(_ target: String, _ size: Int, _ node: TestNode) async throws {
    let hit = try await node.get(target)
    #expect(hit.isHit && hit.body == content(size, seed: UInt64(size)), "\(target)")
    #expect(hit.header("content-length") == "\(size)")
  }

  @Test func `validity goes on counting over a restart`() async throws {
    let origin = try await origin()
    let node = try TestNode.start(origin: origin.port)
    _ = try await node.get("/length/10")
    try await node.settle()
    node.advance(seconds: 20)
    let again = try node.restart(origin: origin.port)
    again.advance(seconds: 20)
    #expect(try await again.get("/length/10").header("age") == "40")
    again.advance(seconds: 20)
    #expect(try await !again.get("/length/10").isHit)
  }

  @Test func `eviction keeps the store within its size`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60"], String(repeating: "\(request.target) ", count: 1_500))
    }
    let node = try TestNode.start(origin: origin.port, store: "size 16MiB; max_object 8MiB;")
    let client = try await node.connect()
    for number in 0..<2_500 {
      let target = "/object/\(number)"
      let response = try await client.get(target)
      guard response.text.hasPrefix(target + " ") else {
        Issue.record("\(target) is answered with \(response.text.prefix(40))")
        break
      }
      // What comes faster than the disk takes it is not stored at all.
      if number % 50 == 49 { try await node.settle() }
    }
    try await node.settle()
    let statistics = try node.requireStore().statistics
    #expect(statistics.evictions > 500)
    #expect(statistics.bytesInUse <= statistics.sizeLimit)
    #expect(statistics.sizeLimit <= 16 << 20)
    #expect(try node.directory.size(of: "store/data.mdb") <= 32 << 20)
    #expect(statistics.objects > 200)
    try node.requireStore().check()
    // Whatever is there is what it says it is.
    var hits = 0
    for number in stride(from: 0, to: 2_500, by: 10) {
      let target = "/object/\(number)"
      let response = try await client.get(target, ["Cache-Control: only-if-cached"])
      guard response.status == 200 else { continue }
      hits += 1
      #expect(response.text.hasPrefix(target + " "))
    }
    #expect(hits > 20)
  }

  @Test(arguments: ["/length", "/chunked"])
  func `what is over max_object passes through and is not stored`(framing: String) async throws {
    let origin = try await origin()
    let node = try TestNode.start(origin: origin.port, store: "max_object 300KiB;")
    let expected = content(400_000, seed: 400_000)
    for _ in 0..<2 {
      let response = try await node.get("\(framing)/400000")
      #expect(response.body == expected && !response.isHit)
      try await node.settle()
    }
    #expect(try await node.stored("\(framing)/400000").status == 504)
    #expect(try await node.get("\(framing)/300000").body == content(300_000, seed: 300_000))
    try await node.settle()
    #expect(try await node.get("\(framing)/300000").isHit)
    #expect(origin.requests.count == 3)
    try node.requireStore().check()
  }

  @Test func `a damaged store is set aside, and the node says so and works`() async throws {
    let origin = try await origin()
    let node = try TestNode.start(origin: origin.port)
    _ = try await node.get("/length/1000")
    try await node.settle()
    node.stop()
    try node.directory.write("store/data.mdb", content(100_000))
    let again = try TestNode.start(
      origin: origin.port, directory: node.directory, clock: node.clock)
    #expect(again.notes.value.contains { $0.contains("set aside") })
    #expect(try await again.get("/length/1000").body == content(1_000, seed: 1_000))
    try await again.settle()
    #expect(try await again.get("/length/1000").isHit)
    try again.requireStore().check()
  }

  @Test func `bytes that changed on the disk are never served`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60"],
        String(repeating: "mark of \(request.target)", count: 20))
    }
    let node = try TestNode.start(origin: origin.port)
    for number in 0..<20 { _ = try await node.get("/\(number)") }
    try await node.settle()
    node.stop()
    var file = try node.directory.read("store/data.mdb")
    let mark = Array("mark of".utf8)
    for index in 0..<file.count - mark.count where file[index] == mark[0] {
      if Array(file[index..<index + mark.count]) == mark { file[index] = UInt8(ascii: "X") }
    }
    try node.directory.write("store/data.mdb", file)
    let again = try TestNode.start(
      origin: origin.port, directory: node.directory, clock: node.clock)
    for number in 0..<20 {
      let response = try await again.get("/\(number)")
      #expect(response.text == String(repeating: "mark of /\(number)", count: 20))
    }
    try await again.settle()
    try again.requireStore().check()
  }

  @Test func `without a store that can be opened the node passes requests on`() async throws {
    let origin = try await origin()
    let node = try TestNode.start(
      configuration: """
        workers 2;
        listen 127.0.0.1:0;
        store /proc/weir { }
        origin app { server 127.0.0.1:\(origin.port); }
        site * { route / { origin app; } }
        """, directory: try TemporaryDirectory())
    #expect(node.notes.value.contains { $0.contains("/proc/weir") })
    for _ in 0..<2 {
      let response = try await node.get("/length/1000")
      #expect(response.body == content(1_000, seed: 1_000) && !response.isHit)
    }
    #expect(origin.requests.count == 2)
  }

  @Test func `a store belongs to one node at a time`() async throws {
    let origin = try await origin()
    let node = try TestNode.start(origin: origin.port)
    _ = try await node.get("/length/10")
    try await node.settle()
    let second = try TestNode.start(
      origin: origin.port, directory: node.directory, clock: node.clock)
    #expect(second.notes.value.contains { $0.contains("in use") })
    #expect(try await !second.get("/length/10").isHit)
    #expect(try await node.get("/length/10").isHit)
  }
}
