import EdgeTesting
import EventLoop
import Metrics
import Node
import Synchronization
import Testing

/// How many requests an origin has at once, and has had.
private final class Crowd: Sendable {
  private let counts = Mutex((now: 0, most: 0))

  var most: Int { counts.withLock { $0.most } }
  var now: Int { counts.withLock { $0.now } }

  func enter() {
    counts.withLock { counts in
      counts.now += 1
      counts.most = max(counts.most, counts.now)
    }
  }

  func leave() { counts.withLock { $0.now -= 1 } }
}

/// After a restart, or a purge of everything, an origin gets as many requests as it can bear.
@Suite struct ColdStartTests {
  private static let cap = 20

  private func origin(_ crowd: Crowd, until open: Signal) async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      if request.target == "/warm" { return Reply(200, ["Cache-Control: max-age=600"], "warm") }
      crowd.enter()
      try await open.wait()
      crowd.leave()
      return Reply(200, ["Cache-Control: max-age=600"], request.target)
    }
  }

  @Test func `two thousand clients for as many keys never are more than the cap at the origin`()
    async throws
  {
    // Each needs a descriptor at both ends.
    let clients = Machine.raiseDescriptorLimit() > 6_000 ? 2_000 : 1_000
    let crowd = Crowd()
    let open = Signal("the origin to answer")
    let origin = try await origin(crowd, until: open)
    let node = try TestNode.start(
      origin: origin.port, pool: "max_misses \(Self.cap) timeout=1h;", clock: NodeClock())
    #expect(try await node.get("/warm").text == "warm")
    try await node.settle()
    try await withThrowingTaskGroup { group in
      for number in 0..<clients {
        group.addTask {
          let client = try await node.connect()
          try await client.send("GET", "/\(number)")
          let answer = try await client.readResponse()
          #expect(answer.status == 200 && answer.text == "/\(number)")
          client.close()
        }
      }
      try await node.expect(.missesDelayed, reaches: UInt64(clients / 2))
      try await eventually("the origin to be full") { crowd.now == Self.cap }
      // Hits go on, while every place is taken and thousands wait; and so does what is not stored.
      for _ in 0..<20 { #expect(try await node.get("/warm").isHit) }
      open.send()
      try await group.waitForAll()
    }
    #expect(crowd.most == Self.cap)
    #expect(origin.requests.count == clients + 1)
    try await node.expectAtRest()
  }

  @Test func `who waits for a place is waited for, however long`() async throws {
    let crowd = Crowd()
    let open = Signal("the origin to answer")
    let origin = try await origin(crowd, until: open)
    let node = try TestNode.start(
      origin: origin.port, route: "cache { collapse_timeout 3s; }",
      pool: "max_misses 1 timeout=1h; first_byte_timeout 1h;")
    let holder = try await node.ask("/hold")
    try await eventually("the first to be there") { crowd.now == 1 }
    let leader = try await node.ask("/x")
    try await node.expect(.missesDelayed, reaches: 1)
    let early = try await node.ask("/x")
    try await node.expect(.fillsCollapsed, reaches: 1)
    node.advance(seconds: 10)
    let late = try await node.ask("/x")
    // The one that was there may have joined again.
    try await node.expect(.fillsCollapsed, reaches: 2)
    open.send()
    for client in [leader, early, late] {
      #expect(try await client.readResponse().text == "/x")
      client.close()
    }
    #expect(try await holder.readResponse().text == "/hold")
    holder.close()
    #expect(origin.requests.filter { $0.target == "/x" }.count == 1)
    #expect(node.count(.missesDelayed) == 1)
    try await node.expectAtRest()
  }

  @Test(arguments: ["no-store", "max-age=600"])
  func `a client that reads nothing does not keep its place`(control: String) async throws {
    let large = String(repeating: "0123456789abcdef", count: 2 << 20)
    let origin = try await ScriptedOrigin.answering { request in
      request.target == "/large"
        ? Reply(200, ["Cache-Control: \(control)"], large)
        : Reply(200, ["Cache-Control: max-age=600"], request.target)
    }
    let node = try TestNode.start(
      origin: origin.port, pool: "max_misses 1 timeout=1h;", store: "max_object 64MiB;",
      workers: 1)
    let slow = try await RawClient.connect(to: node.port, receiveBuffer: 4_096)
    try await slow.send("GET", "/large")
    try await node.standsStill(.originBytesReceived)
    #expect(node.count(.originBytesReceived) < UInt64(large.utf8.count))
    #expect(try await node.get("/x").text == "/x")
    #expect(try await slow.readResponse().text == large)
    slow.close()
    try await node.expectAtRest()
  }

  @Test func `who waits in vain is told so, and who leaves gives up its place in the line`()
    async throws
  {
    let crowd = Crowd()
    let open = Signal("the origin to answer")
    let origin = try await origin(crowd, until: open)
    let node = try TestNode.start(
      origin: origin.port, pool: "max_misses 1 timeout=5s;", workers: 1)
    let first = try await node.ask("/first")
    try await eventually("the first to be there") { crowd.now == 1 }
    let gone = try await node.ask("/gone")
    try await node.expect(.missesDelayed, reaches: 1)
    let second = try await node.ask("/second")
    try await node.expect(.missesDelayed, reaches: 2)
    // What is not for the store does not wait.
    let post = try await node.connect()
    try await post.send("POST", "/post", body: "x")
    try await eventually("the POST to be there") { crowd.now == 2 }
    gone.close()
    node.advance(seconds: 6)
    let refused = try await second.readResponse()
    #expect(refused.status == 503 && refused.header("Retry-After") != nil)
    let third = try await node.ask("/third")
    try await node.expect(.missesDelayed, reaches: 3)
    open.send()
    #expect(try await first.readResponse().text == "/first")
    #expect(try await third.readResponse().text == "/third")
    #expect(try await post.readResponse().status == 200)
    #expect(!origin.requests.contains { $0.target == "/second" || $0.target == "/gone" })
    for client in [first, second, third, post] { client.close() }
    try await node.expectAtRest()
  }
}
