import Redis
import RedisTesting
import Testing

@Suite(.enabled(if: RedisProcess.isInstalled, "redis-server is not installed"))
struct RedisLinkTests {
  @Test func `every kind of reply is read`() throws {
    let engine = try RedisProcess()
    #expect(try engine.command("PING") == .status("PONG"))
    #expect(try engine.command("SET", "a", "1") == .status("OK"))
    #expect(try engine.command("GET", "a") == .bytes([0x31]))
    #expect(try engine.command("GET", "none") == .null)
    #expect(try engine.command("INCR", "a") == .integer(2))
    #expect(try engine.command("MGET", "a", "none") == .array([.bytes([0x32]), .null]))
    #expect(
      try engine.command("EVAL", "return {1, {'x', {}}}", "0")
        == .array([.integer(1), .array([.bytes([0x78]), .array([])])]))
    #expect(try engine.command("NOTHING").refusal?.hasPrefix("ERR unknown command") == true)
  }

  @Test func `a large value goes through whole`() throws {
    let engine = try RedisProcess()
    let value = String(repeating: "0123456789abcdef", count: 40_000)
    let session = try RedisSession(port: engine.port)
    #expect(session.connect(milliseconds: 60_000))
    #expect(session.ask(["SET", "big", value]) == .status("OK"))
    #expect(session.ask(["GET", "big"])?.text == value)
  }

  @Test func `a value may take longer to come, or to go, than a server may say nothing`() throws {
    let engine = try RedisProcess()
    let relay = try Relay(to: engine.port, delay: 0, portion: 4_096)
    let value = String(repeating: "0123456789abcdef", count: 40_000)
    let direct = try RedisSession(port: engine.port)
    #expect(direct.connect(milliseconds: 60_000))
    #expect(direct.ask(["SET", "big", value]) == .status("OK"))
    // Some three seconds each way.
    var settings = RedisSettings(servers: [RedisServer(host: "127.0.0.1", port: relay.port)])
    settings.timeout = 1_000_000_000
    let session = try RedisSession(settings)
    #expect(session.connect(milliseconds: 60_000))
    #expect(session.ask(["GET", "big"])?.text == value)
  }

  @Test func `a user is named, and a wrong password is told`() throws {
    let engine = try RedisProcess()
    try engine.command("ACL", "SETUSER", "edge", "on", ">secret", "~*", "+@all")
    var settings = RedisSettings(servers: [engine.server])
    settings.user = "edge"
    settings.password = "secret"
    let session = try RedisSession(settings)
    #expect(session.connect(milliseconds: 60_000))
    #expect(session.ask(["ACL", "WHOAMI"])?.text == "edge")
    settings.password = "wrong"
    let refused = try RedisSession(settings)
    let failure = refused.failureToConnect()
    guard case .refused(let text)? = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    #expect(text.hasPrefix("WRONGPASS"))
  }

  @Test func `of several servers the primary is found`() throws {
    let primary = try RedisProcess()
    let replica = try RedisProcess(["--replicaof", "127.0.0.1 \(primary.port)"])
    let gone = RedisServer(host: "127.0.0.1", port: 1)
    let session = try RedisSession(
      RedisSettings(servers: [gone, replica.server, primary.server]))
    #expect(session.connect(milliseconds: 60_000))
    #expect(session.ask(["CONFIG", "GET", "port"])?["port"]?.text == "\(primary.port)")
  }

  @Test func `a Sentinel says where the primary is`() throws {
    let primary = try RedisProcess()
    let sentinel = try RedisProcess(sentinelOf: primary.port)
    var settings = RedisSettings(servers: [sentinel.server])
    settings.primary = "purges"
    let session = try RedisSession(settings)
    #expect(session.connect(milliseconds: 60_000))
    #expect(session.ask(["CONFIG", "GET", "port"])?["port"]?.text == "\(primary.port)")
    settings.primary = "nothing"
    let lost = try RedisSession(settings)
    #expect(lost.failureToConnect() == .unknownPrimary("nothing"))
  }

  @Test func `a server that says nothing is given up`() throws {
    let engine = try RedisProcess()
    engine.freeze()
    defer { engine.thaw() }
    var settings = RedisSettings(servers: [engine.server])
    settings.timeout = 20_000_000
    let session = try RedisSession(settings)
    #expect(session.failureToConnect() == .silent)
  }
}
