import Bytes
import CLinux
import EventLoop
import HTTP2
import HTTPMessage
import TLS
import Testing

/// HTTP/2 over TLS, as a node does it, against other people's clients.
@Suite struct HTTP2OverTLSTests {
  /// Answers a GET with a large body, and a POST with the length of what came.
  @safe
  final class Site: HTTP2ContentProvider {
    let memory: UnsafeMutableRawBufferPointer
    var left: [UInt64: Int] = [:]
    var received: [UInt64: Int] = [:]
    var requests = 0
    var closed = 0

    init(_ size: Int) {
      unsafe memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
      for index in 0..<size / 8 {
        unsafe memory.storeBytes(of: UInt64(index), toByteOffset: index * 8, as: UInt64.self)
      }
    }

    deinit { unsafe memory.deallocate() }

    var body: ByteView { unsafe ByteView(unsafe: UnsafeRawBufferPointer(memory)) }

    func content(stream: Int32, token: UInt64, limit: Int) -> HTTP2Content {
      let rest = body.dropping(first: body.count - (left[token] ?? 0))
      let piece = rest.prefix(limit)
      left[token] = rest.count - piece.count
      return piece.count == rest.count ? .last(piece) : .bytes(piece)
    }

    func answer(_ session: HTTP2Session, _ head: RequestHead) {
      while let event = session.next(into: head) {
        switch event {
        case .request(let stream, let request):
          requests += 1
          session.attach(UInt64(stream), to: stream)
          if !request.hasContent {
            left[UInt64(stream)] = body.count
            session.respond(stream, status: 200, lines: ByteView("x: y\r\n"), contentFollows: true)
          }
        case .content(let stream, let bytes):
          received[UInt64(stream), default: 0] += bytes.count
          session.consume(stream, bytes.count)
        case .end(let stream, _):
          let text = "x-length: \(received[UInt64(stream)] ?? 0)\r\n"
          text.withView {
            _ = session.respond(stream, status: 200, lines: $0, contentFollows: false)
          }
        case .closed: closed += 1
        case .goingAway: break
        }
      }
    }
  }

  /// Serves one connection until the client is gone.
  func serve(_ listener: borrowing Descriptor, _ context: ServerTLSContext, _ site: Site) throws {
    var address = SocketAddress(high: 0, low: 0, port: 0)
    try ready(listener, POLLIN)
    guard let socket = try Socket.accept(from: listener, address: &address) else { throw Missing() }
    while HelloArrival.look(at: socket) == .incomplete { try ready(socket, POLLIN) }
    guard var tls = context.accept(on: socket) else { throw Missing() }
    while tls.handshake() != .done { try ready(socket, POLLIN) }
    let `protocol` = tls.applicationProtocol
    try #require(`protocol` == .http2)
    let session = try #require(HTTP2Session(now: 0))
    let head = RequestHead()
    let gatherer = RecordGatherer()
    var input = ByteBuffer()
    // Frames that are announced and not sent yet.
    var kept = ByteBuffer()
    var keptSent = 0
    while true {
      // In: until the socket is drained.
      reading: while true {
        input.removeAll()
        switch tls.receive(onto: &input, limit: 16_384) {
        case .bytes:
          session.feed(input.view, now: 0)
          site.answer(session, head)
        case .wantsRead, .wantsWrite: break reading
        case .end, .failed: return
        }
      }
      // Out: until nothing is left, or the socket is full.
      var isBlocked = false
      while !isBlocked {
        if keptSent < kept.count {
          switch tls.send(kept.view.dropping(first: keptSent), now: 0) {
          case .bytes(let count): keptSent += count
          case .wantsWrite: isBlocked = true
          default: return
          }
          continue
        }
        guard session.wantsToSend else { break }
        var output = ByteBuffer()
        let tail = session.produce(into: &output, from: site, limit: 4_096, now: 0)
        if output.isEmpty && tail.isEmpty { break }
        site.answer(session, head)
        let result = tls.send(output.view, tail, gatherer: gatherer, now: 0)
        let sent = result.count ?? 0
        kept.removeAll()
        keptSent = 0
        kept.append(output.view.dropping(first: sent))
        kept.append(tail.dropping(first: max(0, sent - output.count)))
      }
      if tls.hasUnsent, tls.flush() == .bytes(0) { isBlocked = false }
      try ready(socket, isBlocked || tls.hasUnsent ? POLLIN | POLLOUT : POLLIN)
    }
  }

  func ready(_ socket: borrowing Descriptor, _ events: Int32) throws {
    var entry = pollfd(fd: socket.number, events: Int16(events), revents: 0)
    let count = unsafe poll(&entry, 1, 60_000)
    try #require(count == 1)
  }

  @Test func `curl downloads and uploads over HTTP 2`() throws {
    let certificates = try TestCertificates.shared.get()
    let directory = try Directory()
    let size = 3_000_000
    try directory.write(String(repeating: "u", count: 1_000_000), "upload")
    let listener = try Socket.listen(
      on: try #require(SocketAddress(host: "127.0.0.1", port: 0)), shared: false)
    let bound = Socket.localAddress(of: listener)
    let port = try #require(bound).port
    let context = try serverContext(["ec"])
    let site = Site(size)
    let url = "https://a.example:\(port)"
    let curl = try Program(
      [
        "curl", "-sS", "--http2", "--cacert", certificates.authority, "--resolve",
        "a.example:\(port):127.0.0.1", "\(url)/down", "-o", directory["down"], "--next", "-sS",
        "--http2", "--cacert", certificates.authority, "--resolve",
        "a.example:\(port):127.0.0.1", "-D", directory["head"], "--data-binary",
        "@\(directory["upload"])", "\(url)/up", "-o", directory["up"],
      ], output: directory["curl"])
    try serve(listener, context, site)
    let status = curl.wait()
    #expect(status == 0, "\(directory.read("curl"))")
    #expect(directory.size("down") == size)
    #expect(directory.read("head").contains("x-length: 1000000"))
    #expect(site.requests == 2)
    #expect(site.closed == 2)
  }

  @Test func `a hundred streams at a time are answered`() throws {
    let directory = try Directory()
    let listener = try Socket.listen(
      on: try #require(SocketAddress(host: "127.0.0.1", port: 0)), shared: false)
    let bound = Socket.localAddress(of: listener)
    let port = try #require(bound).port
    let context = try serverContext(["ec"])
    let site = Site(20_000)
    // nghttp fetches a page many times over one connection.
    let client = try Program(
      ["nghttp", "-n", "-m", "100", "https://127.0.0.1:\(port)/"], output: directory["nghttp"])
    try serve(listener, context, site)
    let status = client.wait()
    #expect(status == 0, "\(directory.read("nghttp"))")
    #expect(site.requests == 100)
    #expect(site.closed == 100)
  }
}

extension Directory {
  /// How long a file is.
  func size(_ name: String) -> Int {
    var entry = stat()
    return unsafe stat(self[name], &entry) == 0 ? Int(entry.st_size) : -1
  }
}
