/// What an origin has seen.
struct OriginLog: Sendable, CustomStringConvertible {
  var accepted = 0
  var ended = 0
  var requests: [PeerRequest] = []
  var failures: [any Error] = []
  var isFinishing = false

  var description: String {
    let seen = requests.map { "\($0.method) \($0.target)" }
    return "\(accepted) connections, \(ended) scripts ended, requests \(seen), failures \(failures)"
  }
}

/// An origin that does what a test says, byte for byte, on each connection.
///
///     let origin = try await ScriptedOrigin { connection in
///       let request = try await connection.readRequest()
///       #expect(request.target == "/x")
///       try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
///     }
///     …
///     try await origin.finish()
///
/// A script's connection is closed when the script ends. Scripts run in tasks of the test that made the
/// origin, so an expectation that fails in one is charged to that test; what a script throws comes out
/// of `finish()`. Without `finish()` the scripts are cancelled when the origin goes.
package final class ScriptedOrigin: Sendable {
  /// What happens on a connection.
  package typealias Script = @Sendable (ScriptedConnection) async throws -> Void

  /// Where it listens, on 127.0.0.1.
  package let port: UInt16
  private let log: Watched<OriginLog>
  private let serving: Task<Void, Never>
  /// How many connections are scripted; nil: each one alike.
  private let scripted: Int?

  /// An origin that plays the same script on every connection.
  package convenience init(port: UInt16 = 0, _ script: @escaping Script) async throws(PeerFailure) {
    try self.init(port: port, scripts: [script], repeats: true)
  }

  /// An origin that plays a script of its own on each connection, in the order in which they come. One
  /// more connection is a failure, and so is one that does not come.
  package convenience init(port: UInt16 = 0, connections: [Script]) async throws(PeerFailure) {
    try self.init(port: port, scripts: connections, repeats: false)
  }

  /// An origin that answers every request on every connection.
  package static func answering(
    port: UInt16 = 0, _ answer: @escaping @Sendable (PeerRequest) async throws -> Reply
  ) async throws(PeerFailure) -> ScriptedOrigin {
    try await ScriptedOrigin(port: port) { connection in
      while let request = try await connection.nextRequest() {
        try await connection.respond(answer(request), to: request)
      }
    }
  }

  private init(port: UInt16, scripts: [Script], repeats: Bool) throws(PeerFailure) {
    let log = Watched(OriginLog())
    let (listener, bound) = try PeerSocket.listen(port: port)
    self.port = bound
    self.log = log
    scripted = repeats ? nil : scripts.count
    serving = Task {
      await withDiscardingTaskGroup { group in
        await Self.serve(listener, scripts, repeats, log) { play in group.addTask { await play() } }
      }
    }
  }

  deinit { serving.cancel() }

  // MARK: What it has seen

  /// How many connections it has accepted.
  package var accepted: Int { log.value.accepted }

  /// The requests whose heads its scripts have read, in order, without their content.
  package var requests: [PeerRequest] { log.value.requests }

  /// Waits until so many requests have been read in all.
  package func waitForRequests(_ count: Int) async throws(PeerFailure) {
    try await log.wait(for: "\(count) requests at the origin") { $0.requests.count >= count }
  }

  /// Waits until so many connections have been accepted in all.
  package func waitForConnections(_ count: Int) async throws(PeerFailure) {
    try await log.wait(for: "\(count) connections at the origin") { $0.accepted >= count }
  }

  // MARK: The end

  /// Waits until all scripts have ended, and throws what the first of them threw. No connection is
  /// accepted any more, unless one is scripted that has not come yet; scripts that wait in
  /// `nextRequest()` or `waitUntilClosed()` go on.
  package func finish() async throws {
    log.update { $0.isFinishing = true }
    let scripted = scripted
    let log = try await log.wait(for: "all scripts to end") { log in
      let isWhole = log.ended == log.accepted && log.ended >= scripted ?? 0
      return isWhole || !log.failures.isEmpty
    }
    await stop()
    if let failure = log.failures.first { throw failure }
  }

  /// Closes the listening socket and cancels all scripts: whoever connects then is refused.
  package func stop() async {
    serving.cancel()
    await serving.value
  }

  // MARK: Serving

  private static func serve(
    _ listener: PeerSocket, _ scripts: [Script], _ repeats: Bool, _ log: Watched<OriginLog>,
    start: (@escaping @Sendable () async -> Void) -> Void
  ) async {
    defer { listener.close() }
    do throws(PeerFailure) {
      while true {
        let index = log.value.accepted
        let isDone: @Sendable (OriginLog) -> Bool = { [count = scripts.count] in
          $0.isFinishing && (repeats || index >= count)
        }
        guard try await listener.waitToRead(orUntil: log, isDone) else { return }
        guard let socket = try listener.accept() else { continue }
        log.update { $0.accepted += 1 }
        let script = repeats ? scripts[0] : scripts.dropFirst(index).first ?? Self.refuse
        let connection = ScriptedConnection(socket, index: index, log: log)
        start { await play(script, connection, log) }
      }
    } catch {
      guard error.kind != .cancelled else { return }
      log.update { $0.failures.append(error) }
    }
  }

  private static func play(
    _ script: Script, _ connection: ScriptedConnection, _ log: Watched<OriginLog>
  ) async {
    var failures: [any Error] = []
    do { try await script(connection) } catch {
      if (error as? PeerFailure)?.kind != .cancelled { failures.append(error) }
    }
    connection.close()
    log.update { [failures] in
      $0.ended += 1
      $0.failures += failures
    }
  }

  private static let refuse: Script = { connection in
    connection.reset()
    throw PeerFailure(.unexpected, "connection \(connection.index) came, which is not scripted")
  }
}
