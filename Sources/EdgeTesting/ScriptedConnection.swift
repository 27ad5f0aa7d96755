/// A scripted origin's end of one connection.
package final class ScriptedConnection: Sendable {
  /// Which connection of the origin it is; the first is 0.
  package let index: Int
  private let wire: Wire
  private let log: Watched<OriginLog>

  init(_ socket: PeerSocket, index: Int, log: Watched<OriginLog>) {
    self.index = index
    self.log = log
    wire = Wire(socket, name: "origin's connection \(index)")
  }

  deinit { wire.socket.close() }

  // MARK: Requests

  /// Reads a request with its content; no request is a failure.
  package func readRequest(
    content policy: ContentPolicy = .keep
  ) async throws(PeerFailure) -> PeerRequest {
    let request = try await readRequestHead()
    return try await readContent(of: request, policy)
  }

  /// Reads the next request with its content; nil when the connection ends instead, or the origin is
  /// asked to finish.
  package func nextRequest(
    content policy: ContentPolicy = .keep
  ) async throws(PeerFailure) -> PeerRequest? {
    do throws(PeerFailure) {
      let isThere = if wire.hasUnread { true } else { try await waitForFirstByte() }
      guard isThere else { return nil }
    } catch {
      // A connection that the client drops between two requests is no failure of the client's.
      if error.kind == .reset { return nil }
      throw error
    }
    return try await readRequest(content: policy)
  }

  /// Reads a request's head, counts it, and leaves the content unread.
  package func readRequestHead() async throws(PeerFailure) -> PeerRequest {
    let line = try await wire.readLine("a request line")
    let parts = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 3, parts.allSatisfy({ !$0.isEmpty }), parts[2] == "HTTP/1.1" else {
      throw wire.failure(.malformed, "not a request line: \(line.debugDescription)")
    }
    let fields = try await wire.readFields("fields of \(parts[0]) \(parts[1])")
    guard fields.values(of: "host").count == 1 else {
      throw wire.failure(.malformed, "not one Host: \(fields)")
    }
    let request = PeerRequest(
      method: parts[0], target: parts[1], version: parts[2], fields: fields,
      framing: try wire.framing(of: fields, "a request") ?? .none, connection: index)
    log.update { $0.requests.append(request) }
    return request
  }

  /// Reads the content that a head announced.
  package func readContent(
    of request: PeerRequest, _ policy: ContentPolicy = .keep
  ) async throws(PeerFailure) -> PeerRequest {
    let content = try await wire.readContent(request.framing, policy)
    var whole = request
    whole.body = content.kept
    whole.bodyLength = content.length
    whole.trailers = content.trailers
    return whole
  }

  /// Reads exactly so many bytes, as they are.
  package func read(exactly count: Int) async throws(PeerFailure) -> [UInt8] {
    try await wire.read(exactly: count)
  }

  // MARK: Responses

  /// Writes a text as it is.
  package func write(_ text: String) async throws(PeerFailure) { try await write(Array(text.utf8)) }

  /// Writes bytes as they are.
  package func write(_ bytes: [UInt8]) async throws(PeerFailure) { try await wire.write(bytes) }

  /// Writes a response with a `Content-Length`; fields as `Name: value`.
  package func respond(
    _ status: Int = 200, _ fields: [String] = [], _ body: String = ""
  ) async throws(PeerFailure) {
    try await write(Reply(status, fields, body).bytes(for: "GET"))
  }

  /// Writes a reply to a request; without the content if it is a HEAD.
  package func respond(_ reply: Reply, to request: PeerRequest) async throws(PeerFailure) {
    try await write(reply.bytes(for: request.method))
  }

  /// Writes one chunk of the chunked transfer coding; an empty one is the last, without trailers.
  package func writeChunk(_ text: String) async throws(PeerFailure) {
    let bytes = Array(text.utf8)
    let size = Array((String(bytes.count, radix: 16) + "\r\n").utf8)
    try await write(size + bytes + [13, 10])
  }

  // MARK: Endings

  /// Ends the sending side; the other direction stays open.
  package func endSending() { wire.socket.shutdownSending() }

  /// Closes the connection. It is closed in any case when the script ends.
  package func close() { wire.socket.close() }

  /// Resets the connection.
  package func reset() { wire.socket.reset() }

  /// Waits until the other side ends the connection, however, or the origin is asked to finish; what
  /// comes before is dropped.
  package func waitUntilClosed() async throws(PeerFailure) {
    do throws(PeerFailure) {
      while try await waitForFirstByte() { _ = wire.takeUnread() }
    } catch {
      guard error.kind == .reset else { throw error }
    }
  }

  /// Fails unless the next thing is a clean end.
  package func expectClosed() async throws(PeerFailure) { try await wire.expectClosed() }

  /// Fails unless the connection ends with a reset; bytes before it are dropped.
  package func expectReset() async throws(PeerFailure) { try await wire.expectReset() }

  /// Reads to the end, however it ends.
  package func readToEnding() async throws(PeerFailure) -> (bytes: [UInt8], ending: Ending) {
    try await wire.readToEnding()
  }

  /// Waits for bytes without a deadline: between requests a connection may rest as long as it likes.
  /// False when it ends, or the origin is asked to finish.
  private func waitForFirstByte() async throws(PeerFailure) -> Bool {
    guard try await wire.socket.waitToRead(orUntil: log, { $0.isFinishing }) else { return false }
    return try await wire.fill("waiting for a request")
  }
}

/// A whole response for a scripted origin to give.
package struct Reply: Sendable {
  /// The status code.
  package var status: Int
  /// Field lines as `Name: value`.
  package var fields: [String]
  /// The content.
  package var body: String

  /// A response; `Content-Length` comes by itself.
  package init(_ status: Int = 200, _ fields: [String] = [], _ body: String = "") {
    self.status = status
    self.fields = fields
    self.body = body
  }

  /// The response as it goes over the wire.
  package func bytes(for method: String) -> [UInt8] {
    var lines = ["HTTP/1.1 \(status) Scripted"] + fields
    let hasNone = status < 200 || status == 204 || status == 304
    if !hasNone { lines.append("Content-Length: \(body.utf8.count)") }
    let head = lines.map { $0 + "\r\n" }.joined() + "\r\n"
    return Array((head + (hasNone || method == "HEAD" ? "" : body)).utf8)
  }
}
