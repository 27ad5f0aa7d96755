// A real redis-server for tests: on a port that the system picked, with a directory of its own, ended by its
// own process id.

internal import Bytes
internal import CLinux
internal import EventLoop
package import Redis
import Synchronization

/// Something that a test needs and does not have.
package struct EngineFailure: Error, CustomStringConvertible {
  /// What.
  package let description: String

  /// That something did not happen.
  package init(_ description: String) { self.description = description }
}

/// A redis-server of a test's own.
package final class RedisProcess: Sendable {
  /// The port that it listens on; stays over restarts.
  package let port: UInt16
  /// Where its data are.
  package let directory: String
  private let arguments: [String]
  /// A configuration's file, which a Sentinel must have.
  private let file: String?
  private let id = Mutex<pid_t>(0)

  /// Whether there is one on this machine.
  package static var isInstalled: Bool {
    let places = ["/usr/bin/redis-server", "/usr/local/bin/redis-server"]
    return places.contains { path in unsafe access(path, Int32(X_OK)) == 0 }
  }

  /// Starts one that keeps its data, and waits until it answers. `arguments`: what else is set, such as
  /// `["--requirepass", "x"]`. What it has acknowledged is written, which a kill leaves as it is; that it
  /// is on the disk would only matter to a machine that dies.
  package convenience init(_ arguments: [String] = []) throws {
    try self.init(
      [
        "--save", "", "--appendonly", "yes", "--appendfsync", "no", "--enable-debug-command",
        "local", "--repl-diskless-sync-delay", "0",
      ] + arguments, sentinel: nil)
  }

  /// Starts a Sentinel that knows a primary, `purges`.
  package convenience init(sentinelOf port: UInt16) throws {
    try self.init([], sentinel: "sentinel monitor purges 127.0.0.1 \(port) 1\n")
  }

  private init(_ arguments: [String], sentinel: String?) throws {
    port = try Self.freePort()
    var template = "/tmp/weir-redis-XXXXXX".utf8CString.map { $0 }
    guard unsafe mkdtemp(&template) != nil else {
      throw EngineFailure("no temporary directory")
    }
    directory = String(
      decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    guard let sentinel else {
      self.arguments = arguments
      file = nil
      try start()
      return
    }
    let path = "\(directory)/sentinel.conf"
    self.arguments = ["--sentinel"]
    file = path
    let number = unsafe weir_open(path, O_WRONLY | O_CREAT, 0o600)
    let bytes = Array(sentinel.utf8)
    _ = unsafe write(number, bytes, bytes.count)
    _ = close(number)
    try start()
  }

  deinit {
    kill()
    for name in ["appendonlydir"] { Self.remove("\(directory)/\(name)") }
    Self.remove(directory)
  }

  /// Where it is.
  package var server: RedisServer { RedisServer(host: "127.0.0.1", port: port) }

  /// Starts it again after `kill`, with the data that it has.
  package func start() throws {
    let words =
      ["redis-server"] + (file.map { [$0] } ?? []) + [
        "--port", "\(port)", "--bind", "127.0.0.1", "--dir", directory, "--loglevel", "warning",
        "--logfile", "\(directory)/log",
      ] + arguments
    let started = try Self.spawn(words)
    id.withLock { $0 = started }
    for _ in 0..<400 {
      if Self.answers(port) { return }
      _ = usleep(10_000)
    }
    throw EngineFailure("redis-server does not answer on port \(port)")
  }

  /// Ends it at once.
  package func kill() {
    let id = id.withLock { id in
      defer { id = 0 }
      return id
    }
    guard id > 0 else { return }
    _ = CLinux.kill(id, SIGKILL)
    var status: Int32 = 0
    while unsafe waitpid(id, &status, 0) < 0, weir_errno() == EINTR {}
  }

  /// Stops it where it stands, as a machine that hangs does.
  package func freeze() { _ = id.withLock { CLinux.kill($0, SIGSTOP) } }

  /// Lets it go on.
  package func thaw() { _ = id.withLock { CLinux.kill($0, SIGCONT) } }

  /// Removes the data of one that was killed.
  package func forget() { Self.remove("\(directory)/appendonlydir") }

  /// Says something to it.
  @discardableResult
  package func command(_ words: String...) throws -> RedisReply {
    let session = try RedisSession(port: port)
    guard session.connect(milliseconds: 2_000), let reply = session.ask(RedisCommand(words)) else {
      throw EngineFailure("redis-server on port \(port) does not answer")
    }
    return reply
  }

  /// Whether somebody listens, and has loaded its data.
  private static func answers(_ port: UInt16) -> Bool {
    guard let address = SocketAddress(host: "127.0.0.1", port: port),
      let socket = try? Socket.connect(to: address)
    else { return false }
    var wait = pollfd(fd: socket.number, events: Int16(POLLOUT), revents: 0)
    guard unsafe poll(&wait, 1, 200) == 1, socket.socketError() == nil,
      socket.send(ByteView("PING\r\n")).count != nil
    else { return false }
    wait.events = Int16(POLLIN)
    guard unsafe poll(&wait, 1, 200) == 1 else { return false }
    var answer = ByteBuffer()
    _ = socket.read(onto: &answer, limit: 64)
    return answer.view.starts(with: ByteView("+PONG"))
  }

  private static func freePort() throws -> UInt16 {
    let socket = try Socket.listen(
      on: SocketAddress(host: "127.0.0.1", port: 0) ?? SocketAddress(high: 0, low: 0, port: 0),
      shared: false)
    return Socket.localAddress(of: socket)?.port ?? 0
  }

  private static func spawn(_ words: [String]) throws -> pid_t {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) }
    unsafe arguments.append(nil)
    defer { unsafe arguments.forEach { unsafe free($0) } }
    var id: pid_t = 0
    let result = unsafe posix_spawnp(&id, words[0], &actions, nil, arguments, weir_environment())
    guard result == 0 else { throw EngineFailure("redis-server must be installed") }
    return id
  }

  private static func remove(_ path: String) {
    if let directory = unsafe opendir(path) {
      var names: [String] = []
      while let entry = unsafe readdir(directory) {
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
          unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
        }
        if name != "." && name != ".." { names.append(name) }
      }
      unsafe closedir(directory)
      for name in names { remove("\(path)/\(name)") }
    }
    if unsafe rmdir(path) != 0 { _ = unsafe unlink(path) }
  }
}

/// A blocking connection, for what a test says to an engine.
package final class RedisSession {
  private let poller: Poller
  private let clock = NodeClock()
  private let settings: RedisSettings
  private lazy var link = RedisLink(settings, token: 1, seed: 1) { [unowned self] event in
    if case .closed(_, let failure) = event { self.failure = failure }
  }
  /// What ended the last connection.
  package private(set) var failure: RedisFailure?

  /// A connection to a port on loopback, a replica's too.
  package convenience init(port: UInt16) throws {
    var settings = RedisSettings(servers: [RedisServer(host: "127.0.0.1", port: port)])
    settings.needsPrimary = false
    try self.init(settings)
  }

  /// A connection as settings say.
  package init(_ settings: RedisSettings) throws {
    self.settings = settings
    poller = try Poller.open(capacity: 4)
  }

  deinit { link.stop(poller: poller) }

  private func turn(_ milliseconds: Int64) {
    let now = clock.monotonic()
    link.tick(now: now, poller: poller)
    link.flush(now: now, poller: poller)
    for event in 0..<poller.wait(timeout: milliseconds * 1_000_000) {
      link.ready(poller.readiness(event), now: clock.monotonic(), poller: poller)
    }
    link.settle(now: clock.monotonic(), poller: poller)
  }

  /// Whether it is connected within so long.
  package func connect(milliseconds: Int64) -> Bool {
    let end = clock.monotonic() + milliseconds * 1_000_000
    while !link.isOpen, clock.monotonic() < end { turn(5) }
    return link.isOpen
  }

  /// What it answers; nil if the connection ends.
  package func ask(_ command: RedisCommand) -> RedisReply? {
    var result: RedisReply??
    link.send(command, now: clock.monotonic()) { result = .some($0) }
    while result == nil { turn(20) }
    return result ?? nil
  }
}
