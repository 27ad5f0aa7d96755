import Bytes
import EventLoop
import Synchronization
import Testing

@testable import Origins

@Suite struct HealthStateTests {
  /// Results of checks (+ passed, - failed), and the state after each (u up, d down).
  @Test(
    arguments: [
      ("-+++", "dduu", 2, 2), ("+--++", "uuddu", 2, 2), ("+-+-+-", "uuuuuu", 2, 2),
      ("+--+-++", "uudddd" + "u", 2, 2), ("+---", "uuud", 3, 2), ("+-+", "udu", 1, 1),
      ("+-+", "udu", 0, 0),
    ])
  func `so many in a row take it out or bring it back`(
    results: String, states: String, fall: Int, rise: Int
  ) {
    var health = HealthState()
    var found = ""
    for result in results {
      _ = health.ended(result == "+", fall: fall, rise: rise)
      found += health.isUp ? "u" : "d"
    }
    #expect(found == states)
  }

  @Test func `checks keep their pace and do not run in step`() {
    var random = SeededRandom(seed: 1)
    var schedules = (0..<10).map { _ in
      CheckSchedule(interval: second, now: start, random: &random)
    }
    #expect(schedules.allSatisfy { $0.next >= start && $0.next <= start + second / 10 })
    for index in schedules.indices { schedules[index].began(now: start, random: &random) }
    let times = schedules.map(\.next)
    #expect(times.allSatisfy { $0 >= start + second * 9 / 10 && $0 <= start + second })
    #expect(Set(times).count == 10)
  }

  @Test func `a check's request says what it must and nothing else`() {
    var bytes = ByteBuffer()
    CheckRequest.append(path: "/a b\r\nX: y#z", host: "shop\r\nX: y", to: &bytes)
    #expect(
      bytes.view.string == """
        GET /a%20b%0d%0aX:%20y%23z HTTP/1.1\r\nHost: shopX:y\r\nUser-Agent: weir-health\r\n\
        Accept: */*\r\nConnection: close\r\n\r\n
        """)
  }
}

/// What a scripted server does with a connection.
private enum Script: Sendable {
  /// Reads the request and says this.
  case says(String)
  /// Reads the request, says this and keeps the connection open.
  case hangs(String)
}

/// A server on loopback whose answers a test sets.
private final class ScriptedServer: Sendable {
  let address: SocketAddress
  let requests = Atomic<Int>(0)
  private let script: Mutex<Script>
  private let listener: Listener
  private let stopping: Waker
  private let thread = Mutex<LoopThread?>(nil)

  init(_ script: Script) throws {
    self.script = Mutex(script)
    let any = try #require(SocketAddress(host: "127.0.0.1", port: 0))
    listener = Listener(try Socket.listen(on: any, shared: false))
    let bound = Socket.localAddress(of: listener.socket)
    address = try #require(bound)
    stopping = try Waker()
    let poller = Mutex<Poller?>(try Poller.open())
    thread.withLock { thread in
      thread = LoopThread(name: "scripted") { [self] in
        guard let poller = poller.withLock({ $0.take() }) else { return }
        run(poller)
      }
    }
  }

  func set(_ new: Script) { script.withLock { $0 = new } }

  func stop() {
    stopping.wake()
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
  }

  private func run(_ poller: consuming Poller) {
    guard (try? poller.addReader(listener.socket, token: 0)) != nil,
      (try? poller.addReader(stopping.descriptor, token: 1)) != nil
    else { return }
    var open: [UInt64: Listener] = [:]
    var last: UInt64 = 1
    while true {
      for index in 0..<poller.wait(timeout: -1) {
        switch poller.token(index) {
        case 1: return
        case 0:
          var peer = address
          while let socket = try? Socket.accept(from: listener.socket, address: &peer) {
            last += 1
            let connection = Listener(socket)
            open[last] = connection
            try? poller.addReader(connection.socket, token: last)
          }
        case let token:
          guard let connection = open[token] else { continue }
          if !answer(connection) { open[token] = nil }
        }
      }
    }
  }

  /// Whether the connection stays open.
  private func answer(_ connection: Listener) -> Bool {
    var input = ByteBuffer()
    guard (connection.socket.read(onto: &input, limit: 4096).count ?? 0) > 0 else { return false }
    requests.add(1, ordering: .relaxed)
    switch script.withLock({ $0 }) {
    case .says(let text):
      text.withView { _ = connection.socket.send($0) }
      return false
    case .hangs(let text):
      text.withView { _ = connection.socket.send($0) }
      return true
    }
  }
}

private let fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

@Suite struct HealthCheckerTests {
  /// A pool of one server, checked every 20 ms, and what changed.
  private func watch(
    _ address: SocketAddress, _ change: (inout PoolSettings) -> Void = { _ in }
  ) throws -> (pool: OriginPool, checker: HealthChecker, changes: AsyncStream<HealthChange>) {
    let pool = OriginPool.make(weights: [1]) {
      var check = HealthCheckSettings()
      check.path = "/health"
      check.interval = 20 * millisecond
      $0.servers = [ServerSettings(.host("127.0.0.1", port: address.port))]
      $0.health = check
      change(&$0)
    }
    let (changes, told) = AsyncStream.makeStream(of: HealthChange.self)
    let checker = try HealthChecker(pools: [CheckedPool(pool)], clock: NodeClock(), seed: 3) {
      told.yield($0)
    }
    try checker.start()
    return (pool, checker, changes)
  }

  @Test func `a server that fails leaves the rotation, is checked on, and comes back`() async throws
  {
    let server = try ScriptedServer(.says(fine))
    let (pool, checker, changes) = try watch(server.address)
    var events = changes.makeAsyncIterator()
    while pool.report(now: 0).servers[0].checks < 2 { await Task.yield() }
    #expect(pool.report(now: start).servers[0].condition == .up)
    server.set(.says("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"))
    let down = try #require(await events.next())
    #expect(!down.isUp && down.result == .wrongStatus && down.pool == "shop")
    #expect(pool.report(now: .max).servers[0].condition == .down)
    let asked = server.requests.load(ordering: .relaxed)
    while server.requests.load(ordering: .relaxed) < asked + 3 { await Task.yield() }
    server.set(.says(fine))
    let up = try #require(await events.next())
    #expect(up.isUp && up.result == .passed)
    checker.stop()
    server.stop()
    let report = pool.report(now: start).servers[0]
    #expect(report.lastCheck == .passed && report.failedChecks >= 2)
  }

  /// The first check says it: nothing is known in the server's favour before.
  @Test(
    arguments: [
      ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", CheckResult.wrongContent),
      ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", .wrongStatus),
      ("SSH-2.0-OpenSSH\r\n\r\n", .malformed), ("", .reset), ("HTTP/1.1 200 OK\r\n", .reset),
      ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno", .reset),
      ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", .malformed),
      ("HTTP/1.1 200 OK\r\n\r\nnothing", .wrongContent),
    ])
  func `what is wrong is told`(answer: String, result: CheckResult) async throws {
    let server = try ScriptedServer(.says(answer))
    let (_, checker, changes) = try watch(server.address) { $0.health?.body = "ok" }
    for await change in changes {
      #expect(change.result == result && !change.isUp)
      break
    }
    checker.stop()
    server.stop()
  }

  @Test(
    arguments: [
      "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nall ok!",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
      "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nok", "HTTP/1.0 204 Fine\r\n\r\n",
    ])
  func `content is looked at in any framing`(answer: String) async throws {
    let server = try ScriptedServer(.says(answer))
    let (pool, checker, _) = try watch(server.address) {
      $0.health?.body = answer.contains("204") ? nil : "ok"
    }
    while pool.report(now: 0).servers[0].checks == 0 { await Task.yield() }
    checker.stop()
    server.stop()
    #expect(pool.report(now: start).servers[0].lastCheck == .passed)
  }

  @Test(arguments: ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf"])
  func `a server that hangs has so much time`(answer: String) async throws {
    let server = try ScriptedServer(.hangs(answer))
    let (_, checker, changes) = try watch(server.address) {
      $0.health?.timeout = 30 * millisecond
      $0.health?.body = "ok"
    }
    for await change in changes {
      #expect(change.result == .timedOut)
      break
    }
    checker.stop()
    server.stop()
  }

  @Test func `a port that is closed is no server, and a name without an address neither`()
    async throws
  {
    let server = try ScriptedServer(.says(fine))
    server.stop()
    let address = try #require(SocketAddress(host: "127.0.0.1", port: 1))
    let (_, checker, changes) = try watch(address) {
      $0.servers.append(ServerSettings(.host("nowhere.invalid", port: 80)))
      $0.servers.append(ServerSettings(.unix("/tmp/weir-no-such-socket")))
    }
    var found: [String: CheckResult] = [:]
    for await change in changes {
      found[change.server] = change.result
      if found.count == 3 { break }
    }
    checker.stop()
    #expect(found["nowhere.invalid:80"] == .unresolved)
    #expect(found["unix:/tmp/weir-no-such-socket"] == .connectFailed)
    #expect(found["127.0.0.1:\(address.port)"] == .connectFailed)
  }

  @Test func `an open connection is enough where no path is given`() async throws {
    let server = try ScriptedServer(.hangs(""))
    let (pool, checker, _) = try watch(server.address) { $0.health?.path = nil }
    while pool.report(now: 0).servers[0].checks == 0 { await Task.yield() }
    checker.stop()
    server.stop()
    #expect(pool.report(now: start).servers[0].lastCheck == .passed)
  }

  @Test func `a server says its load with its health`() async throws {
    let server = try ScriptedServer(
      .says("HTTP/1.1 200 OK\r\nX-Load: 0.37\r\nContent-Length: 0\r\n\r\n"))
    let (pool, checker, _) = try watch(server.address) { $0.loadField = "x-load" }
    while pool.report(now: NodeClock().monotonic()).servers[0].load == nil { await Task.yield() }
    checker.stop()
    server.stop()
    #expect(pool.report(now: NodeClock().monotonic()).servers[0].load == 370)
  }

  @Test func `what is disabled is not checked, and other pools can take over`() async throws {
    let server = try ScriptedServer(.says(fine))
    let (pool, checker, _) = try watch(server.address)
    while pool.report(now: 0).servers[0].checks == 0 { await Task.yield() }
    #expect(pool.perform(.disable, on: pool.servers[0].name, now: start))
    let other = OriginPool.make(weights: [1], successorOf: nil) {
      $0.name = "other"
      $0.servers = pool.settings.servers
      $0.health = pool.settings.health
    }
    checker.replace([CheckedPool(pool), CheckedPool(other)])
    while other.report(now: 0).servers[0].checks == 0 { await Task.yield() }
    let asked = pool.report(now: 0).servers[0].checks
    while other.report(now: 0).servers[0].checks < 4 { await Task.yield() }
    checker.stop()
    server.stop()
    // One may have been under way.
    #expect(pool.report(now: 0).servers[0].checks <= asked + 1)
  }
}
