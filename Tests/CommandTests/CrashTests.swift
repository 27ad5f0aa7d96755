internal import CLinux
import EdgeTesting
import Testing

/// A node that dies, and the report that it leaves behind.
@Suite("A crash leaves a report") struct CrashReportTests {
  /// What a directory has whose name ends so.
  private func reports(_ directory: TemporaryDirectory) async throws -> [String] {
    try await Program.run(["sh", "-c", "ls -1 \(directory.file("store/crashes")) 2>/dev/null"])
      .output
      .split(separator: "\n").map { String($0) }
  }

  private func start(
    _ origin: ScriptedOrigin, store: String = "store ./store { size 64MiB; }"
  ) throws -> (directory: TemporaryDirectory, process: WeirProcess) {
    let directory = try TemporaryDirectory()
    try directory.write(
      "edge.conf",
      """
      listen 127.0.0.1:0; workers 1; \(store)
      origin app 127.0.0.1:\(origin.port);
      site * { origin app; }
      """)
    return (directory, try WeirProcess(["run"], in: directory))
  }

  @Test func `a fault is written down with what was asked, and doctor shows it`() async throws {
    let arrived = Signal("the request")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      arrived.send()
      try await connection.waitUntilClosed()
    }
    let (directory, process) = try start(origin)
    let port = try await process.port()
    let first = try #require(process.nodes.first)
    let client = try await RawClient.connect(to: port)
    try await client.send("GET", "/basket/17?token=geheim", host: "shop.example")
    try await arrived.wait()
    kill(first, SIGSEGV)
    // The next one comes first.
    #expect(try await process.port(ofStart: 2) == port)
    try await process.waitUntilSaid("weir: node \(first) leaves a report: ")
    kill(try #require(process.nodes.last), SIGABRT)
    try await process.port(ofStart: 3)
    try await eventually("a second report") {
      process.lines.count { $0.contains("leaves a report: ") } == 2
    }
    let names = try await reports(directory)
    #expect(names.count == 2)
    let name = try #require(names.first { $0.contains("-\(first).") })
    let file = directory.file("store/crashes/\(name)")
    var status = stat()
    #expect(unsafe stat(file, &status) == 0 && status.st_mode & 0o777 == 0o600)
    let report = try await Program.run(["cat", file]).output
    #expect(report.hasPrefix("weir crash report\ntime: 20"))
    #expect(report.contains("\nprocess: \(first)\nversion: weir "))
    #expect(report.contains("\nsignal: 11 (Segmentation fault)\n"))
    #expect(report.contains("\nbacktrace:\n  0 "), "\(report)")
    #expect(report.contains("  worker 0: shop.example/basket/17\n"), "\(report)")
    #expect(!report.contains("geheim") && !report.contains("?"))
    let elsewhere = try TemporaryDirectory()
    let doctor = try WeirProcess(
      ["doctor", directory.file("edge.conf"), "--json"], in: elsewhere)
    _ = try await doctor.exitStatus()
    let findings = try JSONValue(parsing: doctor.printed).array ?? []
    let crashes = findings.filter { $0["subject"]?.string == "crash" }
    #expect(crashes.count == 2 && crashes.allSatisfy { $0["state"]?.string == "warning" })
    let shown = try #require(crashes.first { $0["advice"]?.string?.contains(file) == true })
    #expect(shown["text"]?.string?.contains("died by signal 11 (Segmentation fault)") == true)
    #expect(shown["text"]?.string?.contains("begun last: shop.example/basket/17") == true)
    #expect(crashes.contains { $0["text"]?.string?.contains("signal 6 (Aborted)") == true })
    process.send(SIGTERM)
    _ = try await process.exitStatus()
    client.close()
  }

  @Test func `a node that is killed leaves one without a backtrace; one that ends leaves none`()
    async throws
  {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let (directory, process) = try start(origin)
    let port = try await process.port()
    #expect(try await RawClient.connect(to: port).get("/x", host: "a.example").status == 200)
    kill(try #require(process.nodes.first), SIGKILL)
    try await process.port(ofStart: 2)
    try await process.waitUntilSaid("leaves a report: ")
    process.send(SIGTERM)
    #expect(try await process.exitStatus() == 0)
    let names = try await reports(directory)
    #expect(names.count == 1)
    let report = try await Program.run(["cat", directory.file("store/crashes/\(names[0])")]).output
    #expect(report.contains("signal: 9 (Killed)") && report.contains("worker 0: a.example/x"))
    #expect(!report.contains("backtrace"))
  }

  @Test func `without a store the report is said`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let (_, process) = try start(origin, store: "")
    try await process.port()
    kill(try #require(process.nodes.first), SIGSEGV)
    try await process.port(ofStart: 2)
    try await process.waitUntilSaid("signal: 11 (Segmentation fault)\n")
    #expect(process.said.contains("leaves this report, and there is no store"))
    process.send(SIGTERM)
    _ = try await process.exitStatus()
  }
}
