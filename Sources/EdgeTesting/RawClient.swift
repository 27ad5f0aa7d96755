internal import EventLoop

/// A client that sends what a test tells it to, byte for byte, and reads responses strictly.
///
///     let client = try await RawClient.connect(to: node.port)
///     try await client.write("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
///     let response = try await client.readResponse()
///     #expect(response.status == 200)
///     #expect(response.header("age") == "0")
///
/// Every call fails with a `PeerFailure` when nothing happens for the kit's patience. The connection is
/// closed when the client goes.
package final class RawClient: Sendable {
  private let wire: Wire

  private init(_ wire: Wire) { self.wire = wire }

  deinit { wire.socket.close() }

  /// Connects to a port of 127.0.0.1, or of `host` (a numeric address). `from` chooses the client's own
  /// address (any of 127.0.0.0/8); a small `receiveBuffer` makes a slow reader of it.
  package static func connect(
    to port: UInt16, host: String = "127.0.0.1", from: String? = nil, receiveBuffer: Int? = nil
  ) async throws(PeerFailure) -> RawClient {
    let own = from.map { SocketAddress(host: $0, port: 0) }
    guard let address = SocketAddress(host: host, port: port), own != .some(nil) else {
      throw PeerFailure(.system, "\(host) or \(from ?? "") is not a numeric address")
    }
    let socket = try await PeerSocket.connect(
      to: address, from: own ?? nil, receiveBuffer: receiveBuffer)
    return RawClient(Wire(socket, name: "client"))
  }

  /// The port at the client's end.
  package var localPort: UInt16 { wire.socket.localPort }

  // MARK: Writing

  /// Writes a text as it is.
  package func write(_ text: String) async throws(PeerFailure) { try await write(Array(text.utf8)) }

  /// Writes bytes as they are.
  package func write(_ bytes: [UInt8]) async throws(PeerFailure) { try await wire.write(bytes) }

  /// Writes bytes in pieces of so many, each in a call of its own.
  package func write(_ text: String, inPiecesOf size: Int) async throws(PeerFailure) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      try await wire.write(Array(rest.prefix(size)))
      rest = rest.dropFirst(size)
      await Task.yield()
    }
  }

  /// Writes a request with `Host`, and `Content-Length` if there is a body; fields as `Name: value`.
  package func send(
    _ method: String, _ target: String, host: String = "example.com", _ fields: [String] = [],
    body: String? = nil
  ) async throws(PeerFailure) {
    var lines = ["\(method) \(target) HTTP/1.1", "Host: \(host)"] + fields
    if let body { lines.append("Content-Length: \(body.utf8.count)") }
    try await write(lines.map { $0 + "\r\n" }.joined() + "\r\n" + (body ?? ""))
  }

  /// Ends the sending side; the other direction stays open.
  package func endSending() { wire.socket.shutdownSending() }

  /// Closes the connection.
  package func close() { wire.socket.close() }

  /// Resets the connection.
  package func reset() { wire.socket.reset() }

  // MARK: Reading

  /// Reads a response with its content, and the 1xx ones before it. `method` is the request's: a
  /// response to HEAD has no content. Behind a 101 the rest is for `read(exactly:)`.
  package func readResponse(
    to method: String = "GET", content policy: ContentPolicy = .keep
  ) async throws(PeerFailure) -> PeerResponse {
    var response = try await readResponseHead(to: method)
    let content = try await wire.readContent(response.framing, policy)
    response.body = content.kept
    response.bodyLength = content.length
    response.trailers = content.trailers
    return response
  }

  /// Reads a response's head, and the 1xx ones before it, and leaves the content unread.
  package func readResponseHead(to method: String = "GET") async throws(PeerFailure) -> PeerResponse
  {
    var interim: [PeerResponse] = []
    while true {
      var head = try await wire.readResponseHead()
      let declared = try wire.framing(of: head.fields, "a response")
      if head.status < 200 || head.status == 204 {
        guard declared == nil else {
          throw wire.failure(.malformed, "a \(head.status) with a length: \(head.fields)")
        }
      }
      if (100..<200).contains(head.status) && head.status != 101 {
        interim.append(head)
        continue
      }
      let hasNone = method == "HEAD" || [101, 204, 304].contains(head.status)
      head.framing = hasNone ? .none : declared ?? .close
      head.interim = interim
      return head
    }
  }

  /// Sends a GET and reads its response.
  package func get(
    _ target: String, host: String = "example.com", _ fields: [String] = [],
    content policy: ContentPolicy = .keep
  ) async throws(PeerFailure) -> PeerResponse {
    try await request("GET", target, host: host, fields, content: policy)
  }

  /// Sends a request and reads its response.
  package func request(
    _ method: String, _ target: String, host: String = "example.com", _ fields: [String] = [],
    body: String? = nil, content policy: ContentPolicy = .keep
  ) async throws(PeerFailure) -> PeerResponse {
    try await send(method, target, host: host, fields, body: body)
    return try await readResponse(to: method, content: policy)
  }

  /// Reads exactly so many bytes.
  package func read(exactly count: Int) async throws(PeerFailure) -> [UInt8] {
    try await wire.read(exactly: count)
  }

  /// What has arrived by now, without waiting for more; empty if nothing has.
  package func readAvailable() throws(PeerFailure) -> [UInt8] {
    var bytes = wire.takeUnread()
    while case .bytes(let more) = try wire.socket.readAvailable(limit: 65_536, "client: looking") {
      bytes += more
    }
    return bytes
  }

  /// Reads to a clean end; a reset is a failure.
  package func readUntilClose() async throws(PeerFailure) -> [UInt8] { try await wire.readToEnd() }

  /// Reads to the end, however it ends.
  package func readToEnding() async throws(PeerFailure) -> (bytes: [UInt8], ending: Ending) {
    try await wire.readToEnding()
  }

  /// Fails unless the next thing is a clean end, with nothing before it.
  package func expectClosed() async throws(PeerFailure) { try await wire.expectClosed() }

  /// Fails unless the connection ends with a reset; bytes before it are dropped.
  package func expectReset() async throws(PeerFailure) { try await wire.expectReset() }
}

extension Wire {
  fileprivate func readResponseHead() async throws(PeerFailure) -> PeerResponse {
    let line = try await readLine("a status line")
    let parts = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, ["HTTP/1.0", "HTTP/1.1"].contains(parts[0]), parts[1].count == 3,
      let status = Int(parts[1]), (100...599).contains(status)
    else { throw failure(.malformed, "not a status line: \(line.debugDescription)") }
    return PeerResponse(
      version: String(parts[0]), status: status, reason: String(parts[2]),
      fields: try await readFields("fields of a \(status)"))
  }
}
