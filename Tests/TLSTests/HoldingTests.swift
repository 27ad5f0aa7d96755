import Bytes
import EventLoop
import TLS
import Testing

/// What a server has go out together: the end of its handshake with what it sends first, and what it sends
/// last with the close_notify.
@Suite struct HoldingTests {
  /// Two ends of which the server holds the end of its handshake.
  struct HeldEnds: ~Copyable {
    let sockets: SocketPair
    var server: TLSConnection
    var client: TLSConnection

    init(_ version: TLSVersion, fillsSocket: Bool = false) throws {
      let sockets = try SocketPair()
      let server = try accept(serverContext(), sockets.near, gathers: true)
      let client = try begin(clientContext { $0.maximumVersion = version }, sockets.far)
      self.sockets = sockets
      self.server = server
      self.client = client
      start(fillsSocket)
    }

    /// Shakes hands as far as the server has to say something.
    private mutating func start(_ fillsSocket: Bool) {
      #expect(client.handshake() == .wantsRead)
      if fillsSocket {
        let count = fill()
        #expect(self.server.handshake() == .wantsWrite)
        #expect(hasUnsent == true)
        drain(count)
      }
      for _ in 0..<10 where self.server.handshake() != .done { _ = client.handshake() }
    }

    var holds: Bool { server.holds }
    var hasUnsent: Bool { server.hasUnsent }

    /// Whether the client was given what resumes the session.
    var hasTicket: Bool {
      guard client.session() != nil else { return false }
      return true
    }

    /// Puts bytes into the server's socket until it takes no more; how many they are.
    func fill() -> Int {
      let block = [UInt8](repeating: 0, count: 1_000)
      var total = 0
      while let count = block.withView({ sockets.near.send($0) }).count { total += count }
      return total
    }

    /// Takes that many bytes out at the client's side, and sees that they are those.
    func drain(_ count: Int) {
      var bytes = ByteBuffer()
      while bytes.count < count,
        let more = sockets.far.receive(onto: &bytes, limit: count - bytes.count).count, more > 0
      {}
      #expect(bytes.view.array == [UInt8](repeating: 0, count: count))
    }

    /// What the client has read until there is nothing more, and whether it was told of the end.
    mutating func read() -> (text: String, isEnd: Bool) {
      _ = client.handshake()
      var buffer = ByteBuffer()
      while true {
        switch client.receive(onto: &buffer, limit: 10_000) {
        case .bytes: continue
        case .end: return (buffer.view.string, true)
        default: return (buffer.view.string, false)
        }
      }
    }
  }

  static let both = [TLSVersion.tls12, .tls13]

  @Test(arguments: both)
  func `the end of a handshake goes out with the first answer`(version: TLSVersion) throws {
    var ends = try HeldEnds(version)
    #expect(ends.holds == true)
    #expect(ends.hasUnsent == false)
    // TLS 1.2 ends with the server's Finished, TLS 1.3 with a ticket.
    #expect((ends.client.handshake() == .done) == (version == .tls13))
    var nothing = ByteBuffer()
    #expect(ends.sockets.far.receive(onto: &nothing, limit: 1).wouldBlock)
    #expect(ends.server.send(ByteView("answer"), now: 1) == .bytes(6))
    #expect(ends.holds == false)
    #expect(ends.read() == ("answer", false))
    #expect(ends.hasTicket == true)
  }

  @Test(arguments: both)
  func `without an answer it goes out by itself`(version: TLSVersion) throws {
    var ends = try HeldEnds(version)
    #expect(ends.server.flush() == .bytes(0))
    #expect(ends.holds == false)
    #expect(ends.read() == ("", false))
    #expect(ends.hasTicket == true)
  }

  @Test(arguments: both)
  func `it waits while the socket is full, in front of what is sent behind it`(
    version: TLSVersion
  ) throws {
    var ends = try HeldEnds(version, fillsSocket: true)
    let count = ends.fill()
    #expect(ends.server.send(ByteView("answer"), now: 1) == .bytes(6))
    #expect(ends.hasUnsent == true)
    #expect(ends.server.flush() == .wantsWrite)
    ends.drain(count)
    #expect(ends.server.flush() == .bytes(0))
    #expect(ends.hasUnsent == false)
    #expect(ends.read() == ("answer", false))
    #expect(ends.hasTicket == true)
  }

  @Test(arguments: both)
  func `the last answer goes out with the close_notify`(version: TLSVersion) throws {
    var ends = try HeldEnds(version)
    #expect(ends.server.end(with: ByteView("last"), now: 1) == .bytes(4))
    #expect(ends.hasUnsent == false)
    #expect(ends.read() == ("last", true))
    // Once is enough, and nothing comes after it.
    #expect(ends.server.sendCloseNotify() == .bytes(0))
    #expect(ends.server.send(ByteView("x"), now: 1).failure != nil)
  }

  @Test(arguments: both)
  func `the last answer waits while the socket is full`(version: TLSVersion) throws {
    var ends = try HeldEnds(version)
    #expect(ends.server.flush() == .bytes(0))
    #expect(ends.read() == ("", false))
    let count = ends.fill()
    #expect(ends.server.end(with: ByteView("last"), now: 1) == .bytes(4))
    #expect(ends.hasUnsent == true)
    #expect(ends.server.flush() == .wantsWrite)
    ends.drain(count)
    #expect(ends.server.flush() == .bytes(0))
    #expect(ends.read() == ("last", true))
  }

  @Test(arguments: both)
  func `who closes at once says so behind the handshake`(version: TLSVersion) throws {
    var ends = try HeldEnds(version)
    #expect(ends.server.sendCloseNotify() == .bytes(0))
    #expect(ends.read() == ("", true))
  }

  @Test func `a hello that is refused is told why`() throws {
    let sockets = try SocketPair()
    let context = try serverContext { $0.minimumVersion = .tls13 }
    var server = try accept(context, sockets.near, gathers: true)
    var client = try begin(clientContext { $0.maximumVersion = .tls12 }, sockets.far)
    #expect(client.handshake() == .wantsRead)
    #expect(server.handshake().failure == .version)
    // protocol_version (RFC 8446 §6.2)
    #expect(client.handshake().failure == .alert(70))
  }
}
