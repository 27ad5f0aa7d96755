internal import Bytes
internal import Cryptography
internal import EventLoop

/// A socket to a server, with TLS or without, its buffers, and the reader of what comes.
final class RedisStream {
  /// How a handshake stands.
  enum Handshake {
    /// It is over.
    case done
    /// The kernel has to say more first.
    case waits
    /// It failed.
    case failed(RedisFailure)
  }

  // In this order: TLS ends before its socket is closed.
  private let tls: TLSClient?
  let socket: Descriptor
  private let reader: RedisReader
  private var output = ByteBuffer()
  private var input = ByteBuffer()
  private var isSecured: Bool

  private init(
    _ socket: consuming Descriptor, _ tls: consuming TLSClient?, _ reader: consuming RedisReader
  ) {
    isSecured = tls == nil
    self.socket = socket
    self.tls = tls
    self.reader = reader
  }

  /// A socket that begins to connect. Looks a name up, which blocks.
  static func open(_ server: RedisServer, trust: TLSTrust?) throws(RedisFailure) -> RedisStream {
    guard let address = Socket.resolve(host: server.host, port: server.port).first else {
      throw .unresolved(server)
    }
    guard let reader = RedisReader.open() else { throw .socket("no memory") }
    let socket: Descriptor
    do throws(Errno) {
      socket = try Socket.connect(to: address)
    } catch {
      throw .socket("\(error)")
    }
    guard let trust else { return RedisStream(socket, nil, reader) }
    let client: TLSClient
    do throws(OpenSSLError) {
      let isAddress = SocketAddress(host: server.host, port: server.port) != nil
      client = try TLSClient.open(
        trust: trust, socket: socket.number, host: server.host, hostIsAddress: isAddress)
    } catch {
      throw .tls("\(error)")
    }
    return RedisStream(socket, client, reader)
  }

  /// The socket's error, once.
  var socketError: Errno? { socket.socketError() }

  /// Goes on with the handshake; without TLS it is over.
  func secure() -> Handshake {
    guard !isSecured, let step = tls?.handshake() else { return .done }
    switch step {
    case .done:
      isSecured = true
      return .done
    case .wantsRead, .wantsWrite: return .waits
    case .ended: return .failed(.tls("the connection ended"))
    case .failed(let failure): return .failed(.tls("\(failure)"))
    }
  }

  /// How many bytes have come.
  private(set) var received: UInt64 = 0

  /// How many bytes wait for the socket.
  var waiting: Int { output.count }

  /// Puts a command behind what waits.
  func append(_ command: RedisCommand) { command.append(to: &output) }

  /// Writes what waits, as far as the socket takes it.
  func flush() -> RedisFailure? {
    while !output.isEmpty {
      let count: Int
      if let step = tls?.write(output.view) {
        switch step {
        case .done(let written): count = written
        case .wantsRead, .wantsWrite: return nil
        case .ended: return .tls("the connection ended")
        case .failed(let failure): return .tls("\(failure)")
        }
      } else {
        let result = socket.send(output.view)
        guard let written = result.count else {
          return result.wouldBlock
            ? nil : .socket(result.error.map { "\($0)" } ?? "the socket failed")
        }
        count = written
      }
      output.removeFirst(count)
    }
    return nil
  }

  /// Reads all there is and gives it to the reader; a failure if the connection has ended.
  func receive() -> RedisFailure? {
    while true {
      input.removeAll()
      if let step = tls?.read(onto: &input, limit: 65_536) {
        switch step {
        case .done: break
        case .wantsRead, .wantsWrite: return nil
        case .ended: return .socket("the server has ended the connection")
        case .failed(let failure): return .tls("\(failure)")
        }
      } else {
        let result = socket.read(onto: &input, limit: 65_536)
        if result.wouldBlock { return nil }
        if let error = result.error { return .socket("\(error)") }
        if result.isEnd { return .socket("the server has ended the connection") }
      }
      received &+= UInt64(input.count)
      if !reader.feed(input.view) { return .damaged }
    }
  }

  /// The next whole reply.
  func next() -> RedisReader.Step { reader.next() }
}
