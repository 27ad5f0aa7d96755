internal import CLinux
import EdgeTesting
import Testing

/// A node that dies, and the report that it leaves behind.
@Suite("A crash leaves a report") struct CrashReportTests {
  /// What a directory has whose name ends so.
  private func reports(_ directory: TemporaryDirectory) async throws -> [String] {
    try await Program.run(["sh", "-c", "ls -1 \(directory.file("store/crashes")) 2>/dev/null"])
      .output
      .split(separator: "\n").map { String($0) }.filter { $0.hasPrefix("crash-") }
  }

  private func start(
    _ origin: ScriptedOrigin, store: String = "store ./store { size 64MiB; }"
  ) throws -> (directory: TemporaryDirectory, process: WeirProcess) {
    let directory = try configured(origin, store: store)
    return (directory, try WeirProcess(["run"], in: directory))
  }

  private func configured(
    _ origin: ScriptedOrigin, store: String = "store ./store { size 64MiB; }"
  ) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    try directory.write(
      "edge.conf",
      """
      listen 127.0.0.1:0; workers 1; \(store)
      origin app 127.0.0.1:\(origin.port);
      site * { origin app; }
      """)
    return directory
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

  /// A library that has every thread trap which reads from the store what it must not.
  private func poison(_ directory: TemporaryDirectory) async throws -> String {
    try directory.write(
      "poison.c",
      """
      #define _GNU_SOURCE
      #include <dlfcn.h>
      #include <string.h>
      struct value { size_t size; void *data; };
      typedef int get(void *, unsigned, struct value *, struct value *);
      int mdb_get(void *transaction, unsigned database, struct value *key, struct value *found) {
        get *real = (get *)dlsym(RTLD_NEXT, "mdb_get");
        int code = real(transaction, database, key, found);
        if (code == 0 && memmem(found->data, found->size, "poisonous", 9)) __builtin_trap();
        return code;
      }
      """)
    let library = directory.file("poison.so")
    let made = try await Program.run([
      "clang", "-shared", "-fPIC", "-O1", "-o", library, directory.file("poison.c"), "-ldl",
    ])
    try #require(made.status == 0, "\(made.output)")
    return library
  }

  @Test func `an object that two crashes name is dropped, and nothing else`() async throws {
    let answers = Watched(0)
    let origin = try await ScriptedOrigin.answering { request in
      let isFirst =
        request.target == "/basket/17"
        && answers.update {
          $0 += 1; return $0
        } == 1
      return Reply(200, ["Cache-Control: max-age=3600"], isFirst ? "poisonous" : "well")
    }
    let directory = try configured(origin)
    let library = try await poison(directory)
    let process = try WeirProcess(
      ["run"], in: directory, environment: ["LD_PRELOAD=\(library)"])
    var port = try await process.port()
    /// What a request to a path is answered; nil if the node dies of it.
    func answer(_ path: String) async throws -> PeerResponse? {
      let client = try await RawClient.connect(to: port)
      defer { client.close() }
      return try? await client.get(path, host: "shop.example")
    }
    try await eventually("another object is stored") {
      try await answer("/other")?.header("cache-status")?.contains("; hit") == true
    }
    // Once it is stored, each look at it is the node's end.
    for start in 2...3 {
      try await eventually("node \(start - 1) has died of its object") {
        // One that is asked before the death of the one before is known may die of it, too.
        if process.nodes.count < start { _ = try await answer("/basket/17") }
        return process.nodes.count >= start
      }
      port = try await process.port(ofStart: start)
    }
    try await process.waitUntilSaid(", which two crashes name, is dropped: ")
    #expect(try await answer("/basket/17")?.text == "well")
    #expect(try await answer("/other")?.header("cache-status")?.contains("; hit") == true)
    #expect(process.nodes.count == 3 && answers.value == 2)
    try await eventually("both reports are there") { try await reports(directory).count == 2 }
    for name in try await reports(directory) {
      let report = try await Program.run(["cat", directory.file("store/crashes/\(name)")]).output
      #expect(report.contains("\nobject: ") && !report.contains("poisonous"), "\(report)")
    }
    let elsewhere = try TemporaryDirectory()
    let doctor = try WeirProcess(["doctor", directory.file("edge.conf")], in: elsewhere)
    _ = try await doctor.exitStatus()
    #expect(doctor.printed.contains(", which two crashes name: dropped from the store at 20"))
    process.send(SIGTERM)
    #expect(try await process.exitStatus() == 0)
    // The same reports count once.
    let next = try WeirProcess(["run"], in: directory)
    port = try await next.port()
    #expect(try await answer("/basket/17")?.header("cache-status")?.contains("; hit") == true)
    #expect(!next.said.contains("is dropped"))
    next.send(SIGTERM)
    _ = try await next.exitStatus()
  }

  @Test func `without a supervisor the next start makes the report`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let directory = try configured(origin)
    // Swift's own backtracer, where there is one, takes its time behind ours.
    let process = try WeirProcess(
      ["run", "--no-supervisor"], in: directory, environment: ["SWIFT_BACKTRACE=enable=no"])
    let client = try await RawClient.connect(to: try await process.port())
    #expect(try await client.get("/x?token=geheim", host: "a.example").status == 200)
    process.send(SIGSEGV)
    #expect(try await process.exitStatus() == 128 + SIGSEGV)
    #expect(try await reports(directory).isEmpty)
    let next = try WeirProcess(["run", "--no-supervisor"], in: directory)
    try await next.port()
    #expect(next.said.contains("weir: node \(process.number) leaves a report: "), "\(next.said)")
    let names = try await reports(directory)
    #expect(names.count == 1)
    let report = try await Program.run(["cat", directory.file("store/crashes/\(names[0])")]).output
    #expect(report.contains("\nsignal: 11 (Segmentation fault)\n"))
    #expect(report.contains("\nbacktrace:\n  0 ") && report.contains("worker 0: a.example/x\n"))
    #expect(!report.contains("geheim"))
    next.send(SIGTERM)
    #expect(try await next.exitStatus() == 0)
    // Who ends by itself leaves nothing.
    let left = try await Program.run(["ls", directory.file("store/crashes")]).output
    #expect(left == names[0] + "\n")
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
