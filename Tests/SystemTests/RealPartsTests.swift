// Weir between real programs: nginx serves a real tree of files, wget, curl and wrk fetch it through the
// `weir` command, which is killed in between.

import EdgeTesting
import Foundation
import Testing

@Suite(.enabled(if: RealParts.areInstalled, "nginx, wget, curl and wrk are not all installed"))
struct RealPartsTests {
  @Test func `a tree fetched through a node that is killed is the same, and stays warm`()
    async throws
  {
    let parts = try await RealParts()
    defer { parts.stop() }

    // All of it once, and the node killed while it goes on.
    let fetching = try parts.startMirror(into: "first")
    try await eventually("some of the tree to be fetched") {
      parts.files(below: "first").count > 20
    }
    try parts.killNode()
    fetching.waitUntilExit()
    try parts.mirror(into: "second")
    #expect(parts.differences("second") == [])

    // Load: every answer a 200, and whole.
    let load = try parts.output(
      "wrk", "-t1", "-c16", "-d1s", "--timeout", "60s",
      "http://127.0.0.1:\(parts.port)/tree/\(parts.someFile)")
    #expect(load.contains("requests in"))
    #expect(!load.contains("Non-2xx") && !load.contains("Socket errors"), "\(load)")

    // Killed once more, and the origin gone: what was stored is still there.
    try await eventually("the whole tree to be stored") {
      try parts.fetch(into: "third").allSatisfy { $0.contains("; hit") }
    }
    try parts.killNode()
    parts.stopOrigin()
    let states = try parts.fetch(into: "fourth")
    #expect(states.count == parts.tree.count && states.allSatisfy { $0.contains("; hit") })
    for (index, file) in parts.tree.enumerated() {
      #expect(parts.isSame("fourth/\(index)", as: file), "\(file)")
    }
  }
}

/// The programs of one test.
final class RealParts {
  static let needed = ["nginx", "wget", "curl", "wrk", "ps"]
  static var areInstalled: Bool { needed.allSatisfy { find($0) != nil } }

  let directory: TemporaryDirectory
  let port: Int
  /// The files of the tree, relative to it.
  let tree: [String]
  var someFile: String { tree[tree.count / 2] }
  private let origin: Process
  private let weir: Process

  static func find(_ program: String) -> String? {
    ["/usr/sbin/", "/usr/bin/", "/usr/local/bin/"].map { $0 + program }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  init() async throws {
    directory = try TemporaryDirectory()
    tree = try Self.makeTree(in: directory.file("www/tree"))
    let originPort = Int(try FreePort.take())
    _ = try directory.write(
      "nginx.conf",
      """
      daemon off; master_process off; pid \(directory.file("nginx.pid"));
      error_log \(directory.file("nginx.error"));
      events { }
      http {
        access_log off;
        client_body_temp_path \(directory.file("body")); proxy_temp_path \(directory.file("proxy"));
        fastcgi_temp_path \(directory.file("f")); uwsgi_temp_path \(directory.file("u"));
        scgi_temp_path \(directory.file("s"));
        server {
          listen 127.0.0.1:\(originPort);
          root \(directory.file("www")); autoindex on;
          location / { add_header Cache-Control max-age=3600; }
        }
      }
      """)
    origin = try Self.start("nginx", ["-c", directory.file("nginx.conf")])
    let conf = try directory.write(
      "edge.conf",
      """
      workers 2;
      listen 127.0.0.1:0;
      access_log ./access.log;
      store ./store { size 256MiB; }
      origin nginx 127.0.0.1:\(originPort);
      site * { origin nginx; }
      """)
    let weirPath = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    let notes = directory.file("weir.err")
    (weir, port) = try await Self.startWeir(
      beside: Self.buildDirectory ?? weirPath.deletingLastPathComponent(), conf: conf,
      notes: notes)
    try await eventually("nginx to answer") {
      Self.canConnect(originPort)
    }
  }

  /// Where SwiftPM puts executables: the folder of the test bundle.
  static var buildDirectory: URL? {
    CommandLine.arguments.lazy
      .compactMap { $0.range(of: ".build/") != nil ? URL(fileURLWithPath: $0) : nil }
      .map { url in
        var url = url
        while url.pathComponents.count > 2 {
          url.deleteLastPathComponent()
          if FileManager.default.isExecutableFile(atPath: url.appendingPathComponent("weir").path) {
            return url
          }
        }
        return url
      }
      .first
  }

  /// Starts the command, and returns it with the port that it listens on. `resolvers`: what it sees as
  /// resolv.conf.
  static func startWeir(
    beside folder: URL, conf: String, notes: String, resolvers: String? = nil
  ) async throws -> (Process, Int) {
    _ = FileManager.default.createFile(atPath: notes, contents: nil)
    let process = Process()
    let weir = folder.appendingPathComponent("weir")
    if let resolvers {
      process.executableURL = URL(fileURLWithPath: find("unshare") ?? "unshare")
      let script = "mount --bind \"$1\" /etc/resolv.conf && exec \"$2\" run \"$3\""
      process.arguments = ["-m", "sh", "-c", script, "sh", resolvers, weir.path, conf]
    } else {
      process.executableURL = weir
      process.arguments = ["run", conf]
    }
    process.standardError = FileHandle(forWritingAtPath: notes)
    try process.run()
    let ready = "listening on 127.0.0.1:"
    try await eventually(
      "weir to listen: \((try? String(contentsOfFile: notes, encoding: .utf8)) ?? "")"
    ) {
      try String(contentsOfFile: notes, encoding: .utf8).contains(ready)
    }
    let text = try String(contentsOfFile: notes, encoding: .utf8)
    let tail = text.components(separatedBy: ready)[1]
    return (process, Int(tail.prefix { $0.isNumber }) ?? 0)
  }

  /// Kills the node, not its supervisor, which starts another.
  func killNode() throws {
    let children = try output("ps", "-o", "pid=", "--ppid", "\(weir.processIdentifier)")
    for child in children.split(whereSeparator: \.isWhitespace).compactMap({ Int32($0) }) {
      kill(child, SIGKILL)
    }
  }

  func stopOrigin() {
    // Not SIGTERM: a program inherits the signals that the thread which starts it has blocked.
    if origin.isRunning {
      kill(origin.processIdentifier, SIGKILL)
      origin.waitUntilExit()
    }
  }

  func stop() {
    stopOrigin()
    weir.terminate()
    weir.waitUntilExit()
  }

  // MARK: Files

  func path(_ name: String) -> String { directory.file(name) }

  func startMirror(into name: String) throws -> Process {
    try Self.start(
      "wget",
      [
        "-q", "-r", "-np", "-nH", "--reject", "index.html*", "--tries=20", "--waitretry=1",
        "-P", directory.file(name), "http://127.0.0.1:\(port)/tree/",
      ])
  }

  /// Fetches each file of the tree, in its order, into a file by its number; the answers' `Cache-Status`.
  func fetch(into name: String) throws -> [String] {
    let lines = tree.enumerated().map { index, file in
      "url = http://127.0.0.1:\(port)/tree/\(file)\noutput = \(path(name))/\(index)\n"
    }
    let list = try directory.write("list", lines.joined())
    let states = try output(
      "curl", "-s", "--create-dirs", "-K", list, "-w", "%header{cache-status}\n")
    return states.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map {
      String($0)
    }
  }

  func mirror(into name: String) throws { try startMirror(into: name).waitUntilExit() }

  func files(below name: String) -> [String] {
    let root = directory.file(name)
    return (FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? [])
  }

  /// Files that are missing in a mirror or differ from the tree's.
  func differences(_ name: String) -> [String] {
    tree.filter { !isSame("\(name)/tree/\($0)", as: $0) }
  }

  func isSame(_ name: String, as file: String) -> Bool {
    FileManager.default.contentsEqual(
      atPath: directory.file(name), andPath: directory.file("www/tree/\(file)"))
  }

  /// Copies some of this machine's documentation and a few large files.
  private static func makeTree(in root: String) throws -> [String] {
    let manager = FileManager.default
    var made: [String] = []
    let source = "/usr/share/doc"
    for package in try manager.contentsOfDirectory(atPath: source).sorted() where made.count < 300 {
      for file in (try? manager.contentsOfDirectory(atPath: "\(source)/\(package)"))?.sorted() ?? []
      {
        let from = "\(source)/\(package)/\(file)"
        var isFolder: ObjCBool = false
        // What a URL would have to encode is left out: wget writes it back in its own way.
        guard unsafe manager.fileExists(atPath: from, isDirectory: &isFolder), !isFolder.boolValue,
          (package + file).allSatisfy({
            $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0))
          }),
          let data = manager.contents(atPath: from), !data.isEmpty
        else { continue }
        try manager.createDirectory(
          atPath: "\(root)/\(package)", withIntermediateDirectories: true)
        try data.write(to: URL(fileURLWithPath: "\(root)/\(package)/\(file)"))
        made.append("\(package)/\(file)")
      }
    }
    for (index, size) in [16_384, 16_385, 262_120, 262_121, 5_000_000].enumerated() {
      var bytes = Data(count: size)
      for place in stride(from: 0, to: size, by: 97) {
        bytes[place] = UInt8(truncatingIfNeeded: place &* (index + 3))
      }
      try manager.createDirectory(atPath: "\(root)/large", withIntermediateDirectories: true)
      try bytes.write(to: URL(fileURLWithPath: "\(root)/large/\(size).bin"))
      made.append("large/\(size).bin")
    }
    return made
  }

  // MARK: Programs

  static func start(_ program: String, _ arguments: [String]) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: find(program) ?? program)
    process.arguments = arguments
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    return process
  }

  func output(_ program: String, _ arguments: String...) throws -> String {
    try Self.output(program, arguments)
  }

  static func output(_ program: String, _ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: Self.find(program) ?? "/bin/\(program)")
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
  }

  /// What a server on loopback answers.
  static func get(_ path: String, of port: UInt16) async throws -> PeerResponse {
    let client = try await RawClient.connect(to: port)
    defer { client.close() }
    return try await client.get(path, host: "localhost")
  }

  static func canConnect(_ port: Int, on host: String = "127.0.0.1") -> Bool {
    let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(number) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = unsafe inet_addr(host)
    return unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(number, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }
}
