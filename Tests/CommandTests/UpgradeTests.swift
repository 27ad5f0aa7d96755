internal import CLinux
import EdgeTesting
import EventLoop
import FoundationEssentials
import Testing

/// A node with a store and an origin, run by the command.
struct StoringNode {
  let directory: TemporaryDirectory
  let process: WeirProcess
  let port: UInt16
  let adminPort: UInt16

  /// - Parameter executable: made in the node's directory, and run; nil: the one that was built.
  init(
    origin: ScriptedOrigin, settings: String = "", store: String = "size 64MiB;",
    executable: ((TemporaryDirectory) throws -> String)? = nil
  ) async throws {
    directory = try TemporaryDirectory()
    try directory.write(
      "edge.conf",
      """
      listen 127.0.0.1:0;
      admin 127.0.0.1:0 { token "a-token-for-the-tests"; }
      workers 2;
      drain_timeout 10s;
      store ./store { \(store) }
      origin app 127.0.0.1:\(origin.port);
      site * { origin app; }
      \(settings)
      """)
    process = try WeirProcess(
      ["run"], in: directory,
      executable: try executable?(directory) ?? WeirProcess.executable)
    let process = process
    let start = "weir: listening on 127.0.0.1:"
    try await eventually("the node is ready; weir said:\n\(process.said)") {
      process.lines.contains { $0.hasPrefix(start) }
    }
    let line = try #require(process.lines.first { $0.hasPrefix(start) })
    port = try #require(UInt16(line.dropFirst(start.count).prefix { $0 != " " }))
    adminPort = try #require(line.split(separator: ":").last.flatMap { UInt16($0) })
  }

  /// Has another process take the node's place, and waits until it has.
  func upgrade(count: Int = 1) async throws {
    process.send(SIGUSR2)
    try await eventually("node \(count + 1) to take over; weir said:\n\(process.said)") {
      process.lines.count { $0.contains(" has taken the place of node ") } == count
    }
  }

  func get(_ target: String) async throws -> PeerResponse {
    let client = try await RawClient.connect(to: port)
    defer { client.close() }
    return try await client.get(target)
  }

  /// Asks until the answer comes from the store.
  func expectStored(_ target: String) async throws {
    try await eventually("\(target) to be stored") {
      try await get(target).header("cache-status")?.contains("hit") == true
    }
  }

  func purge(_ tag: String) async throws -> Int {
    let client = try await RawClient.connect(to: adminPort)
    defer { client.close() }
    return try await client.request(
      "POST", "/v1/purge", host: "localhost",
      ["Authorization: Bearer a-token-for-the-tests", "Content-Type: application/json"],
      body: "{\"tag\": \"\(tag)\"}"
    ).status
  }
}

@Suite("Another process takes a node's place")
struct UpgradeTests {
  @Test func `no request fails meanwhile, and what is stored stays`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=600"], request.target)
    }
    let running = try await StoringNode(origin: origin)
    #expect(try await running.get("/kept").text == "/kept")
    try await running.expectStored("/kept")
    let isOver = Watched(false)
    let answered = try await withThrowingTaskGroup(of: Int.self) { group in
      for number in 0..<4 {
        group.addTask {
          var count = 0
          while !isOver.value {
            let response = try await running.get("/\(number)/\(count % 20)")
            #expect(response.text == "/\(number)/\(count % 20)")
            count += 1
          }
          return count
        }
      }
      // On one connection, until the node says that it ends there.
      group.addTask {
        var count = 0
        var client = try await RawClient.connect(to: running.port)
        while !isOver.value {
          let response = try await client.get("/kept")
          #expect(response.text == "/kept")
          count += 1
          if response.header("connection") == "close" {
            client = try await RawClient.connect(to: running.port)
          }
        }
        return count
      }
      for count in 1...3 { try await running.upgrade(count: count) }
      isOver.update { $0 = true }
      return try await group.reduce(0, +)
    }
    #expect(answered > 10)
    let asked = origin.requests.count { $0.target == "/kept" }
    #expect(try await running.get("/kept").header("cache-status")?.contains("hit") == true)
    #expect(origin.requests.count { $0.target == "/kept" } == asked)
    try await eventually("the first nodes to end; weir said:\n\(running.process.said)") {
      running.process.lines.count { $0.contains("whose place was taken, exited with status 0") }
        == 3
    }
    running.process.send(SIGTERM)
    #expect(try await running.process.exitStatus() == 0)
  }

  @Test func `nothing of the old executable is left, and no request fails`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=600"], request.target)
    }
    /// Puts a file of its own where the executable is.
    func install(_ directory: TemporaryDirectory) throws -> String {
      let path = directory.file("weir")
      try? FileManager.default.removeItem(atPath: path)
      try FileManager.default.copyItem(atPath: WeirProcess.executable, toPath: path)
      return path
    }
    let running = try await StoringNode(origin: origin, executable: install)
    let path = running.directory.file("weir")
    let process = running.process
    #expect(WeirProcess.executable(of: process.number) == path)
    let isOver = Watched(false)
    let answered = try await withThrowingTaskGroup(of: Int.self) { group in
      for number in 0..<4 {
        group.addTask {
          var count = 0
          while !isOver.value {
            let response = try await running.get("/\(number)/\(count % 20)")
            #expect(response.text == "/\(number)/\(count % 20)")
            count += 1
          }
          return count
        }
      }
      // Twice: what has become the new one can do it again.
      for count in 1...2 {
        _ = try install(running.directory)
        let before = process.nodes
        #expect(
          try (before.suffix(1) + [process.number]).allSatisfy {
            try #require(WeirProcess.executable(of: $0)).hasSuffix("/weir (deleted)")
          })
        try await running.upgrade(count: count)
        try await eventually("the supervisor to be the new one; weir said:\n\(process.said)") {
          process.lines.count { $0.hasPrefix("weir: the supervisor goes on as weir ") } == count
        }
        let node = try #require(process.nodes.last)
        #expect(!before.contains(node))
        for number in [node, process.number] {
          #expect(WeirProcess.executable(of: number) == path)
        }
        try await eventually("the old node to end; weir said:\n\(process.said)") {
          process.lines.count { $0.contains("whose place was taken, exited with status 0") }
            == count
        }
        #expect(before.allSatisfy { !WeirProcess.isRunning($0) })
      }
      isOver.update { $0 = true }
      return try await group.reduce(0, +)
    }
    #expect(answered > 10)
    // It still has the sockets, the configuration and the node's end.
    let node = try #require(process.nodes.last)
    kill(node, SIGKILL)
    #expect(try await running.get("/after").text == "/after")
    try await process.waitUntilSaid("node \(node) died by signal 9")
    process.send(SIGHUP)
    try await process.waitUntilSaid("the configuration is reloaded")
    process.send(SIGTERM)
    #expect(try await process.exitStatus() == 0)
  }

  @Test func `an executable that cannot be the supervisor is only the node's`() async throws {
    let origin = try await ScriptedOrigin.answering { request in Reply(200, [], request.target) }
    let running = try await StoringNode(origin: origin) { directory in
      let path = directory.file("weir")
      try FileManager.default.copyItem(atPath: WeirProcess.executable, toPath: path)
      return path
    }
    let path = running.directory.file("weir")
    let process = running.process
    // As one of before there was such a thing: it does not know the option.
    try FileManager.default.removeItem(atPath: path)
    try running.directory.write(
      "weir",
      """
      #!/bin/sh
      case "$*" in *--going-on*) exit 64;; esac
      exec \(WeirProcess.executable) "$@"
      """)
    #expect(unsafe chmod(path, 0o755) == 0)
    try await running.upgrade()
    try await process.waitUntilSaid(
      "the supervisor stays the executable that it was: the new one exited with status 64")
    #expect(try await running.get("/a").text == "/a")
    #expect(WeirProcess.executable(of: process.number) == path + " (deleted)")
    let node = try #require(process.nodes.last)
    kill(node, SIGKILL)
    #expect(try await running.get("/b").text == "/b")
    process.send(SIGTERM)
    #expect(try await process.exitStatus() == 0)
    withExtendedLifetime(origin) {}
  }

  @Test func `what was begun is finished, and a purge afterwards reaches all`() async throws {
    let answer = Signal("the answer")
    let origin = try await ScriptedOrigin.answering { request in
      if request.target == "/slow" { try await answer.wait() }
      return Reply(
        200, ["Cache-Control: max-age=600", "Surrogate-Key: t"],
        request.target == "/large" ? String(repeating: "a", count: 6_000_000) : request.target)
    }
    let running = try await StoringNode(origin: origin)
    #expect(try await running.get("/large").bodyLength == 6_000_000)
    try await running.expectStored("/large")
    #expect(try await running.get("/page").text == "/page")
    // Of the one the head has been read, of the other nothing has come yet.
    let large = try await RawClient.connect(to: running.port, receiveBuffer: 4096)
    try await large.send("GET", "/large")
    #expect(try await large.readResponseHead().status == 200)
    let slow = try await RawClient.connect(to: running.port)
    try await slow.send("GET", "/slow")
    try await eventually("the origin to be asked") {
      origin.requests.contains { $0.target == "/slow" }
    }
    let kept = try await RawClient.connect(to: running.port)
    #expect(try await kept.get("/page").text == "/page")

    try await running.upgrade()
    #expect(try await running.purge("t") == 200)
    let asked = origin.requests.count { $0.target == "/page" }
    // A connection of the old node's, which must not answer from what it has stored.
    #expect(try await kept.get("/page").text == "/page")
    #expect(origin.requests.count { $0.target == "/page" } == asked + 1)
    #expect(try await running.get("/page").text == "/page")
    #expect(origin.requests.count { $0.target == "/page" } == asked + 2)
    answer.send()
    #expect(try await slow.readResponse().text == "/slow")
    #expect(try await large.read(exactly: 6_000_000).count == 6_000_000)
    try await eventually("the old node to end; weir said:\n\(running.process.said)") {
      running.process.said.contains("whose place was taken, exited with status 0")
    }
    #expect(try await running.get("/large").bodyLength == 6_000_000)
  }

  @Test func `the command asks for it, and says who answers now`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let running = try await StoringNode(origin: origin)
    let text = """
      listen 127.0.0.1:0;
      admin 127.0.0.1:\(running.adminPort) { token "a-token-for-the-tests"; }
      origin app 127.0.0.1:1;
      site * { origin app; }
      """
    let directory = try TemporaryDirectory()
    try directory.write("asked.conf", text)
    let command = try WeirProcess(["upgrade", "--config", "asked.conf"], in: directory)
    #expect(try await command.exitStatus() == 0, "\(command.said)")
    #expect(command.printed.contains("has taken over"))
    #expect(try await running.get("/").text == "x")
  }
}
