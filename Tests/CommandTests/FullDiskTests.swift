// A disk that is full, and then has room again, as a process sees it: files may not become larger than a
// limit (setrlimit(2)), which is lifted later. The kernel then cuts a write off where the limit is, as a
// full disk does, and refuses the next.

internal import CLinux
import EdgeTesting
import EventLoop
import FoundationEssentials
import Testing

@Suite("A log's disk is full") struct FullDiskTests {
  /// The sum of a figure's samples whose labels have that text.
  private func figure(
    _ name: String, _ port: UInt16, labels: String = ""
  ) async throws -> Int {
    let client = try await RawClient.connect(to: port)
    defer { client.close() }
    let text = try await client.get("/metrics", host: "localhost").text
    let samples = text.split(separator: "\n").filter {
      $0.hasPrefix(name) && $0.contains(labels) && !$0.hasPrefix("#")
    }
    try #require(!samples.isEmpty, "\(name) is no figure")
    return samples.reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
  }

  @Test func `requests go on, lines are dropped and counted, and come again with the room`()
    async throws
  {
    let directory = try TemporaryDirectory()
    try directory.write(
      "edge.conf",
      """
      listen 127.0.0.1:0;
      admin 127.0.0.1:0;
      workers 1;
      origin app 127.0.0.1:1;
      site * { respond 200 "x"; origin app; }
      access_log access.log;
      """)
    let process = try WeirProcess(
      ["run"], in: directory, environment: ["prlimit", "--fsize=20000:unlimited"])
    let start = "weir: listening on 127.0.0.1:"
    try await eventually("the node is ready; weir said:\n\(process.said)") {
      process.lines.contains { $0.hasPrefix(start) && $0.contains(", admin on ") }
    }
    let line = try #require(process.lines.first { $0.hasPrefix(start) })
    let port = try #require(UInt16(line.dropFirst(start.count).prefix { $0 != " " }))
    let admin = try #require(line.split(separator: ":").last.flatMap { UInt16($0) })
    let client = try await RawClient.connect(to: port)
    var requests = 0
    func ask(_ target: String) async throws {
      #expect(try await client.get(target).text == "x")
      requests += 1
    }
    func lost() async throws -> Int {
      try await figure("weir_log_dropped_total", admin, labels: "reason=\"write\"")
    }
    while try await lost() == 0 {
      for _ in 0..<20 { try await ask("/before") }
      try #require(requests < 100_000)
    }
    #expect(try await figure("weir_log_write_errors_total", admin) > 0)
    let file = directory.file("access.log")
    func content() throws -> String {
      String(decoding: try Data(contentsOf: URL(filePath: file)), as: UTF8.self)
    }
    // It is full to the last byte, and stays so while requests go on.
    #expect(try content().utf8.count == 20_000)
    let before = try await lost()
    while try await lost() < before + 20 {
      try await ask("/meanwhile")
      try #require(requests < 100_000)
    }
    #expect(try content().utf8.count == 20_000)

    let node = try #require(process.nodes.last)
    let lifting = try WeirProcess(
      ["--pid", "\(node)", "--fsize=unlimited"], in: try TemporaryDirectory(),
      executable: "prlimit")
    #expect(try await lifting.exitStatus() == 0)
    try await eventually("lines to come again") {
      try await ask("/after")
      return try content().contains("/after")
    }
    // What has no line is counted, and every line is whole but for the one that was cut off.
    try await eventually("all lines to be written or counted") {
      let written = try await figure("weir_log_lines_total", admin)
      return try await written + lost() == requests
    }
    let lines = try content().split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.last == "")
    let whole = lines.dropLast().filter { (try? JSONValue(parsing: String($0))) != nil }
    let written = try await figure("weir_log_lines_total", admin)
    #expect(whole.count == written)
    #expect(lines.count - 1 - whole.count <= 1)
    #expect(whole.last?.contains("/after") == true)
    client.close()
    process.send(SIGTERM)
    #expect(try await process.exitStatus() == 0)
  }
}
