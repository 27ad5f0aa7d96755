import Bytes
import CLinux
import EdgeTesting
import EventLoop
import TLS
import Testing

/// Other people's clients against our server.
@Suite struct ProgramTests {
  /// Waits for an event on a socket; fails after a minute without one.
  func ready(_ socket: borrowing Descriptor, _ events: Int32) throws {
    var entry = pollfd(fd: socket.number, events: Int16(events), revents: 0)
    let count = unsafe poll(&entry, 1, 60_000)
    try #require(count == 1)
  }

  struct Served {
    var request = ""
    var wasEarly = false
    var wasResumed = false
    var version = TLSVersion.tls12
    var answeredBeforeDone = false
  }

  /// Serves one connection: reads a request's head and answers it.
  func serve(_ listener: borrowing Descriptor, _ context: ServerTLSContext) throws -> Served {
    var address = SocketAddress(high: 0, low: 0, port: 0)
    try ready(listener, POLLIN)
    guard let socket = try Socket.accept(from: listener, address: &address) else { throw Missing() }
    while HelloArrival.look(at: socket) == .incomplete { try ready(socket, POLLIN) }
    guard var connection = context.accept(on: socket) else { throw Missing() }
    var served = Served()
    var input = ByteBuffer()
    var isDone = false
    while true {
      if !isDone {
        let result = connection.handshake()
        isDone = result == .done
        try #require(result.failure == nil, "\(result)")
      }
      let result = connection.receive(onto: &input, limit: 4_096)
      if connection.hasEarlyData { served.wasEarly = true }
      if input.view.string.hasSuffix("\r\n\r\n") { break }
      try #require(result.failure == nil)
      if !isDone || result == .wantsRead, !result.isBytes { try ready(socket, POLLIN) }
    }
    served.answeredBeforeDone = !isDone
    served.request = input.view.string
    let answer = ByteView(
      "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nhello\n")
    try #require(connection.send(answer, now: 1).count == answer.count)
    while !isDone {
      let result = connection.handshake()
      isDone = result == .done
      try #require(result.failure == nil)
      if !isDone { try ready(socket, POLLIN) }
    }
    served.wasResumed = connection.isResumed
    served.version = connection.version
    try #require(connection.sendCloseNotify() == .bytes(0))
    socket.shutdownSending()
    // Until the client has ended too, so that nothing it still has to read is reset away.
    var rest = ByteBuffer()
    while true {
      try ready(socket, POLLIN)
      let result = connection.receive(onto: &rest, limit: 100)
      if result != .wantsRead, !result.isBytes { break }
    }
    return served
  }

  @Test(arguments: ["1.2", "1.3"])
  func `curl is served`(version: String) throws {
    let certificates = try TestCertificates.shared.get()
    let directory = try Directory()
    let listener = try Socket.listen(
      on: try #require(SocketAddress(host: "127.0.0.1", port: 0)), shared: false)
    let bound = Socket.localAddress(of: listener)
    let port = try #require(bound).port
    let curl = try Program(
      [
        "curl", "-sS", "--http1.1", "--cacert", certificates.authority, "--resolve",
        "a.example:\(port):127.0.0.1", "--tlsv\(version)", "--tls-max", version,
        "https://a.example:\(port)/x",
      ], output: directory["curl"])
    let served = try serve(listener, serverContext(["rsa", "ec"]))
    #expect(curl.wait() == 0)
    #expect(directory.read("curl") == "hello\n")
    #expect(served.request.hasPrefix("GET /x HTTP/1.1\r\n"))
    #expect(served.version.rawValue == version)
  }

  @Test func `early data is answered early, and is known as such`() throws {
    let certificates = try TestCertificates.shared.get()
    let directory = try Directory()
    try directory.write("GET /early HTTP/1.1\r\nhost: a.example\r\n\r\n", "request")
    let listener = try Socket.listen(
      on: try #require(SocketAddress(host: "127.0.0.1", port: 0)), shared: false)
    let bound = Socket.localAddress(of: listener)
    let port = try #require(bound).port
    let server = try serverContext(["ec"]) { $0.maxEarlyData = 8_192 }
    let words = [
      "openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-servername", "a.example",
      "-CAfile", certificates.authority, "-alpn", "http/1.1", "-ign_eof", "-quiet",
    ]
    // The first connection only fetches a ticket: its request comes from a helper of our own.
    let session = try fetchSession(listener, server, port: port, directory: directory)
    try #require(session == 0)
    let client = try Program(
      words + ["-sess_in", directory["session"], "-early_data", directory["request"]],
      output: directory["output"])
    let served = try serve(listener, server)
    _ = client.wait()
    #expect(served.request.hasPrefix("GET /early"))
    #expect(served.wasEarly)
    #expect(served.wasResumed)
    #expect(served.answeredBeforeDone)
    #expect(directory.read("output").contains("hello"))
  }

  /// Has s_client store a session.
  func fetchSession(
    _ listener: borrowing Descriptor, _ server: ServerTLSContext, port: UInt16,
    directory: Directory
  ) throws -> Int32 {
    let certificates = try TestCertificates.shared.get()
    let client = try Program(
      [
        "openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-servername", "a.example",
        "-CAfile", certificates.authority, "-alpn", "http/1.1", "-ign_eof", "-sess_out",
        directory["session"],
      ], output: directory["first"])
    var address = SocketAddress(high: 0, low: 0, port: 0)
    try ready(listener, POLLIN)
    guard let socket = try Socket.accept(from: listener, address: &address),
      var connection = server.accept(on: socket)
    else { throw Missing() }
    while connection.handshake() != .done { try ready(socket, POLLIN) }
    try #require(connection.send(ByteView("hello\n"), now: 1).count == 6)
    try #require(connection.sendCloseNotify() == .bytes(0))
    var rest = ByteBuffer()
    while true {
      try ready(socket, POLLIN)
      let result = connection.receive(onto: &rest, limit: 100)
      if result != .wantsRead, !result.isBytes { break }
    }
    return client.wait()
  }

  @Test func `a server of OpenSSL's is spoken to`() throws {
    let directory = try Directory()
    let port = try FreePort.take()
    let (chain, key) = try TestCertificates.shared.get().files("rsa")
    let server = try Program(
      [
        "openssl", "s_server", "-accept", "127.0.0.1:\(port)", "-cert", chain, "-key", key, "-www",
        "-naccept", "1", "-quiet",
      ], output: directory["server"])
    let address = try #require(SocketAddress(host: "127.0.0.1", port: port))
    // It needs a moment to listen: a refused connection is tried again.
    var found: TLSConnection?
    var socket = try Socket.connect(to: address)
    for _ in 0..<12_000 where found == nil {
      try ready(socket, POLLOUT)
      if socket.socketError() == nil {
        found = try clientContext().connect(on: socket, host: "b.example")
      } else {
        _ = usleep(5_000)
        socket = try Socket.connect(to: address)
      }
    }
    guard var connection = found.take() else { throw Missing() }
    var result = connection.handshake()
    while result.isOpen {
      try ready(socket, POLLIN)
      result = connection.handshake()
    }
    #expect(result == .done)
    #expect(connection.send(ByteView("GET / HTTP/1.0\r\n\r\n"), now: 1).count == 18)
    var page = ByteBuffer()
    reading: while true {
      switch connection.receive(onto: &page, limit: 4_096) {
      case .bytes: continue
      case .wantsRead: try ready(socket, POLLIN)
      default: break reading
      }
    }
    #expect(page.view.string.contains("TLSv1.3"))
    _ = consume connection
    _ = consume socket
    #expect(server.wait() == 0)
  }
}

extension TLSResult {
  var isBytes: Bool { count != nil }
}
