internal import CLinux
import EdgeTesting
import EventLoop
import Testing

/// A node in a directory of its own, run by the command.
private struct Running {
  let directory: TemporaryDirectory
  let process: WeirProcess

  init(_ arguments: String..., settings: String = "") throws {
    directory = try TemporaryDirectory()
    try directory.write("edge.conf", Self.configuration(settings))
    process = try WeirProcess(["run"] + arguments, in: directory)
  }

  static func configuration(_ settings: String) -> String {
    """
    listen 127.0.0.1:0;
    workers 2;
    drain_timeout 60s;
    origin app 127.0.0.1:1;
    site example.com { origin app; }
    \(settings)
    """
  }
}

/// The status of an answer from a host that has no site.
private func answer(on port: UInt16) async throws -> Int {
  let client = try await RawClient.connect(to: port)
  return try await client.get("/", host: "unknown.example").status
}

@Suite("A node under its supervisor")
struct RunTests {
  @Test func `it answers, and ends with 0 at SIGTERM`() async throws {
    let running = try Running(settings: "admin 127.0.0.1:0;")
    let start = "weir: listening on 127.0.0.1:"
    try await eventually("the node is ready") {
      running.process.lines.contains { $0.hasPrefix(start) }
    }
    let line = try #require(running.process.lines.first { $0.hasPrefix(start) })
    #expect(line.contains(" (2 workers), admin on 127.0.0.1:"))
    let port = try #require(UInt16(line.dropFirst(start.count).prefix { $0 != " " }))
    #expect(try await answer(on: port) == 404)

    running.process.send(SIGTERM)
    #expect(try await running.process.exitStatus() == 0)
    #expect(running.process.lines.last == "weir: stopped")
    let node = try #require(running.process.nodes.first)
    #expect(!WeirProcess.isRunning(node))
  }

  @Test func `SIGINT ends it, too, and a request in flight is finished`() async throws {
    let (arrived, stopping) = (Signal("the request"), Signal("the stop"))
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      arrived.send()
      try await stopping.wait()
      try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
    }
    let running = try Running(settings: Self.site(of: origin))
    let client = try await RawClient.connect(to: try await running.process.port())
    try await client.send("GET", "/", host: "slow.example")
    try await arrived.wait()

    running.process.send(SIGINT)
    try await running.process.waitUntilSaid("weir: stopping; ")
    stopping.send()
    #expect(try await client.readResponse().text == "done")
    #expect(try await running.process.exitStatus() == 0)
    try await origin.finish()
  }

  @Test func `a second signal ends it at once`() async throws {
    let arrived = Signal("the request")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      arrived.send()
      try await connection.waitUntilClosed()
    }
    let running = try Running(settings: Self.site(of: origin))
    let client = try await RawClient.connect(to: try await running.process.port())
    try await client.send("GET", "/", host: "slow.example")
    try await arrived.wait()

    running.process.send(SIGTERM)
    try await running.process.waitUntilSaid("weir: stopping; ")
    running.process.send(SIGTERM)
    #expect(try await running.process.exitStatus() == 1)
    #expect(running.process.said.contains("is killed at the second signal"))
  }

  /// A site that is forwarded to an origin.
  private static func site(of origin: ScriptedOrigin) -> String {
    "origin slow 127.0.0.1:\(origin.port); site slow.example { origin slow; }"
  }

  @Test func `a node that is killed is followed by another on the same port`() async throws {
    let running = try Running()
    let port = try await running.process.port()
    let first = try #require(running.process.nodes.first)
    kill(first, SIGKILL)
    #expect(try await running.process.port(ofStart: 2) == port)
    #expect(try await answer(on: port) == 404)
    #expect(
      running.process.said.contains("weir: node \(first) died by signal 9 (Killed), restarting\n"))
    #expect(running.process.nodes.count == 2)
    running.process.send(SIGTERM)
    #expect(try await running.process.exitStatus() == 0)
  }

  @Test func `a connection that comes while there is no node is answered by the next`() async throws
  {
    let running = try Running()
    let port = try await running.process.port()
    // Twice: after the second death there is a pause.
    for start in 2...3 {
      kill(try #require(running.process.nodes.last), SIGKILL)
      try await eventually("the death is noticed") {
        running.process.lines.count { $0.contains(" died by signal 9 ") } == start - 1
      }
      #expect(try await answer(on: port) == 404)
      try await running.process.port(ofStart: start)
    }
  }

  @Test func `another node gets the configuration that the first had`() async throws {
    let running = try Running()
    let port = try await running.process.port()
    try running.directory.write("edge.conf", "half a confi")
    kill(try #require(running.process.nodes.first), SIGKILL)
    #expect(try await running.process.port(ofStart: 2) == port)
  }

  @Test func `a node does not outlive its supervisor`() async throws {
    let running = try Running()
    try await running.process.port()
    let node = try #require(running.process.nodes.first)
    running.process.send(SIGKILL)
    #expect(try await running.process.exitStatus() == 128 + SIGKILL)
    try await eventually("the node has ended") { !WeirProcess.isRunning(node) }
  }

  @Test func `SIGUSR1 opens the access log again`() async throws {
    let running = try Running(settings: "access_log access.log;")
    let port = try await running.process.port()
    let file = running.directory.file("access.log")
    _ = try await answer(on: port)
    _ = try await AccessLogFile(file).lines(1)
    #expect(unsafe rename(file, file + ".1") == 0)
    running.process.send(SIGUSR1)
    try await eventually("there is a new file") { unsafe access(file, F_OK) == 0 }
    _ = try await answer(on: port)
    #expect(try await AccessLogFile(file).lines(1).count == 1)
  }

  @Test(arguments: [[], ["--no-supervisor"]])
  func `SIGHUP has the configuration read again, and what is wrong changes nothing`(
    flags: [String]
  ) async throws {
    let directory = try TemporaryDirectory()
    try directory.write("edge.conf", Running.configuration(""))
    let process = try WeirProcess(["run"] + flags, in: directory)
    let port = try await process.port()
    func status() async throws -> Int {
      let client = try await RawClient.connect(to: port)
      return try await client.get("/nowhere", host: "other.example").status
    }
    #expect(try await status() == 404)
    try directory.write(
      "edge.conf",
      Running.configuration("site other.example { respond 200 \"hello\"; origin app; }"))
    process.send(SIGHUP)
    try await process.waitUntilSaid("Z weir: the configuration is reloaded (generation 2)")
    #expect(try await status() == 200)
    try directory.write("edge.conf", "listen nonsense;")
    process.send(SIGHUP)
    try await process.waitUntilSaid(
      "Z weir: the configuration stays as it was: edge.conf has errors")
    try await process.waitUntilSaid("Z weir: edge.conf:1:8: ")
    #expect(try await status() == 200)
  }

  @Test
  func `a node that takes the place of one that was reloaded has its configuration and sockets`()
    async throws
  {
    let directory = try TemporaryDirectory()
    try directory.write("edge.conf", Running.configuration(""))
    let process = try WeirProcess(["run"], in: directory)
    let port = try await process.port()
    try directory.write(
      "edge.conf",
      "listen 127.0.0.3:0;\n"
        + Running.configuration("site other.example { respond 200; origin app; }"))
    process.send(SIGHUP)
    try await process.waitUntilSaid("Z weir: the configuration is reloaded (generation 2)")
    // The file is not what counts.
    try directory.write("edge.conf", "nonsense")
    kill(try #require(process.nodes.last), SIGKILL)
    let start = "weir: listening on 127.0.0.3:"
    try await eventually("the second node; weir said:\n\(process.said)") {
      process.lines.contains { $0.hasPrefix(start) }
    }
    let line = try #require(process.lines.first { $0.hasPrefix(start) })
    let added = try #require(UInt16(line.dropFirst(start.count).prefix { $0 != "," }))
    for (host, port) in [("127.0.0.1", port), ("127.0.0.3", added)] {
      let client = try await RawClient.connect(to: port, host: host)
      #expect(try await client.get("/", host: "other.example").status == 200)
    }
    // An address that is gone is closed in the supervisor, too.
    try directory.write("edge.conf", Running.configuration(""))
    process.send(SIGHUP)
    try await eventually("the second reload; weir said:\n\(process.said)") {
      process.lines.count { $0.contains("(generation 2)") } == 2
    }
    try await eventually("the address that is gone to refuse") {
      (try? await RawClient.connect(to: added, host: "127.0.0.3")) == nil
    }
    #expect(try await answer(on: port) == 404)
  }

  @Test func `a node that dies of a configuration on trial is followed by one without it`()
    async throws
  {
    func text(_ status: Int) -> String {
      """
      listen 127.0.0.1:0; workers 1;
      admin unix:./admin.sock { token "\(TestNode.token)"; }
      origin app 127.0.0.1:1;
      site * { origin app; respond \(status); }
      """
    }
    let (directory, asking) = (try TemporaryDirectory(), try TemporaryDirectory())
    try directory.write("edge.conf", text(201))
    try directory.write("new.conf", text(202))
    let process = try WeirProcess(["run"], in: directory)
    let ready = "weir: listening on 127.0.0.1:"
    func starts() -> [Substring] {
      process.lines.filter { $0.hasPrefix(ready) && $0.contains(", admin on ") }
    }
    try await eventually("the node is ready; it said:\n\(process.said)") { starts().count == 1 }
    let port = try #require(UInt16(starts()[0].dropFirst(ready.count).prefix { $0 != " " }))
    for (round, (isConfirmed, status)) in [(false, 201), (true, 202)].enumerated() {
      let words =
        ["config", "apply", directory.file("new.conf"), "--config", directory.file("edge.conf")]
        + (isConfirmed ? [] : ["--confirm-within", "1h"])
      let apply = try WeirProcess(words, in: asking)
      #expect(try await apply.exitStatus() == 0, "\(apply.said)")
      #expect(try await answer(on: port) == 202)
      kill(try #require(process.nodes.last), SIGKILL)
      try await eventually("another node; it said:\n\(process.said)") {
        starts().count == round + 2
      }
      #expect(try await answer(on: port) == status)
    }
    process.send(SIGTERM)
    _ = try await process.exitStatus()
  }

  @Test func `systemd is told when the node answers, reloads, is well and stops`() async throws {
    let directory = try TemporaryDirectory()
    try directory.write("edge.conf", Running.configuration(""))
    let manager = try NotifySocket(directory.file("notify"))
    let process = try WeirProcess(
      ["run"], in: directory,
      environment: ["NOTIFY_SOCKET=\(directory.file("notify"))", "WATCHDOG_USEC=1000000"])
    try await manager.expect("READY=1\nSTATUS=node ")
    #expect(process.nodes.count == 1)
    try await manager.expect("WATCHDOG=1")
    process.send(SIGHUP)
    try await manager.expect("RELOADING=1\nMONOTONIC_USEC=")
    try await manager.expect("READY=1\nSTATUS=node ")
    // What becomes the new executable is the same process to it, and goes on.
    process.send(SIGUSR2)
    try await eventually("the supervisor to go on; weir said:\n\(process.said)") {
      // A socket that nobody reads from would hold it up.
      manager.forget()
      return process.said.contains("weir: the supervisor goes on as weir ")
    }
    manager.forget()
    try await manager.expect("WATCHDOG=1")
    process.send(SIGHUP)
    try await manager.expect("RELOADING=1\nMONOTONIC_USEC=")
    try await manager.expect("READY=1\nSTATUS=node ")
    process.send(SIGTERM)
    try await manager.expect("STOPPING=1")
    #expect(try await process.exitStatus() == 0)
  }

  @Test func `without a supervisor it answers and ends the same way`() async throws {
    let running = try Running("--no-supervisor")
    let port = try await running.process.port()
    #expect(running.process.nodes == [])
    #expect(try await answer(on: port) == 404)
    running.process.send(SIGTERM)
    #expect(try await running.process.exitStatus() == 0)
  }
}

@Suite("What keeps a node from starting")
struct RefusalTests {
  @Test(arguments: [[], ["--no-supervisor"]])
  func `errors of the configuration are shown`(flags: [String]) async throws {
    let directory = try TemporaryDirectory()
    try directory.write("edge.conf", "listne :80;\n")
    let process = try WeirProcess(["run"] + flags, in: directory)
    #expect(try await process.exitStatus() == 78)
    #expect(process.said.hasPrefix("edge.conf:1:1: error: unknown setting \"listne\""))
  }

  @Test func `a configuration that is not there is named`() async throws {
    let process = try WeirProcess(["run", "none.conf"], in: TemporaryDirectory())
    #expect(try await process.exitStatus() == 78)
    #expect(process.said == "none.conf: error: the configuration does not exist\n")
  }

  @Test func `warnings are shown once, and the node starts`() async throws {
    let running = try Running(settings: "origin unused 127.0.0.1:2;")
    try await running.process.port()
    #expect(running.process.said.split(separator: ": warning: ").count == 2)
  }

  @Test func `an address that another process has is named`() async throws {
    let address = try #require(SocketAddress(host: "127.0.0.1", port: 0))
    let taken = try Socket.listen(on: address, shared: false)
    let port = try #require(Socket.localAddress(of: taken)?.port)
    let running = try Running(settings: "admin 127.0.0.1:\(port);")
    #expect(try await running.process.exitStatus() == 69)
    #expect(running.process.said.contains("weir: cannot listen on 127.0.0.1:\(port): "))
  }

  @Test func `what the first node cannot have ends the supervisor`() async throws {
    let running = try Running(settings: "access_log none/of/these/access.log;")
    #expect(try await running.process.exitStatus() == 69)
    #expect(running.process.said.contains("access log"))
    #expect(running.process.nodes.count == 1)
  }

  @Test(arguments: [["--data", "0"], ["--data", "3,3"], ["--data", "900"], []])
  func `a node by hand needs sockets`(arguments: [String]) async throws {
    let directory = try TemporaryDirectory()
    try directory.write("edge.conf", "listen 127.0.0.1:0;")
    let process = try WeirProcess(["node", "--config", "edge.conf"] + arguments, in: directory)
    #expect(try await process.exitStatus() == 64)
  }
}

/// What a service manager is told.
private final class NotifySocket {
  private let socket: Descriptor

  init(_ path: String) throws {
    let kind = Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let number = CLinux.socket(AF_UNIX, kind, 0)
    guard number >= 0 else { throw PeerFailure(.system, "a socket") }
    socket = Descriptor(owning: number)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
    let result = unsafe withUnsafeBytes(of: &address) {
      unsafe bind(
        number, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t($0.count))
    }
    guard result == 0 else { throw PeerFailure(.system, "binding \(path)") }
  }

  /// Passes over what it was told until now.
  func forget() { while hear() != nil {} }

  private func hear() -> String? {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = unsafe recv(socket.number, &bytes, bytes.count, 0)
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
  }

  /// Waits until it is told something that begins so; what comes before is passed over.
  func expect(_ start: String) async throws {
    try await eventually("to be told \(start)") { hear()?.hasPrefix(start) == true }
  }
}
