import Bytes
import CLinux
import EventLoop
import TLS
import Testing

@Suite struct TransferTests {
  /// Bytes that tell their places apart.
  func pattern(_ count: Int, seed: Int) -> [UInt8] {
    var block = [UInt8](repeating: UInt8(truncatingIfNeeded: seed), count: 4_000)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + block.count)
    while bytes.count < count {
      for index in 0..<8 { block[index] = UInt8(truncatingIfNeeded: bytes.count >> (8 * index)) }
      bytes += block
    }
    return Array(bytes.prefix(count))
  }

  @Test(arguments: [TLSVersion.tls12, .tls13], [false, true])
  func `five mebibytes go both ways at once through full sockets`(
    version: TLSVersion, usesKernel: Bool
  ) throws {
    // Where the kernel has no TLS, as for these sockets, asking for it changes nothing.
    let server = try serverContext { $0.usesKernelTLS = usesKernel }
    let client = try clientContext {
      $0.maximumVersion = version
      $0.usesKernelTLS = usesKernel
    }
    var ends = try Ends(server, client)
    let down = pattern(5 << 20, seed: 1)
    let up = pattern(5 << 20, seed: 2)
    var sentDown = 0
    var sentUp = 0
    var blocked = 0
    var gotDown = ByteBuffer()
    var gotUp = ByteBuffer()
    var turns = 0
    while gotDown.count < down.count || gotUp.count < up.count || ends.server.hasUnsent {
      turns += 1
      try #require(turns < 100_000)
      let first = down.withView {
        ends.server.send($0.dropping(first: sentDown), now: Int64(turns))
      }
      try #require(first.failure == nil)
      if first == .wantsWrite { blocked += 1 }
      sentDown += first.count ?? 0
      let second = up.withView { ends.client.send($0.dropping(first: sentUp), now: Int64(turns)) }
      try #require(second.failure == nil)
      sentUp += second.count ?? 0
      // Readers are slower than writers, and read odd amounts.
      _ = ends.client.receive(onto: &gotDown, limit: 7_001)
      _ = ends.server.receive(onto: &gotUp, limit: 9_973)
    }
    #expect(blocked > 0)
    #expect(gotDown.view.array == down)
    #expect(gotUp.view.array == up)
  }

  @Test(arguments: [(0, 10), (10, 0), (10, 10), (1_390, 40_000), (5_000, 70_000), (20_000, 3)])
  func `two runs arrive as one`(first: Int, second: Int) throws {
    var ends = try Ends(serverContext(), clientContext())
    let head = pattern(first, seed: 3)
    let body = pattern(second, seed: 4)
    let gatherer = RecordGatherer()
    var got = ByteBuffer()
    var sent = 0
    while got.count < first + second {
      let result = head.withView { head in
        body.withView { body in
          ends.server.send(
            head.dropping(first: sent), body.dropping(first: max(0, sent - first)),
            gatherer: gatherer, now: 5)
        }
      }
      try #require(result.failure == nil)
      sent += result.count ?? 0
      _ = ends.client.receive(onto: &got, limit: 100_000)
    }
    #expect(got.view.array == head + body)
  }

  /// Any descriptor, to take the place of one that is to be closed.
  func memoryFile() -> Int32 { unsafe weir_memory_file("none") }

  /// The lengths of the records that are in a socket.
  func recordLengths(_ socket: borrowing Descriptor) -> [Int] {
    var bytes = ByteBuffer()
    while let count = socket.receive(onto: &bytes, limit: 65_536).count, count > 0 {}
    var lengths: [Int] = []
    var at = 0
    while at + 5 <= bytes.count {
      let length = Int(bytes.view[at + 3]) << 8 | Int(bytes.view[at + 4])
      lengths.append(length - 17)
      at += 5 + length
    }
    return lengths
  }

  @Test func `records are small at first, then full, and small again after a pause`() throws {
    var ends = try Ends(serverContext { $0.ticketCount = 0 }, clientContext())
    let bytes = pattern(60_000, seed: 5)
    _ = bytes.withView { ends.server.send($0, now: 1_000_000_000) }
    #expect(
      recordLengths(ends.sockets.far)
        == [1_400, 2_800, 5_600, 11_200, 16_384, 16_384, 60_000 - 21_000 - 32_768])
    _ = bytes.withView { ends.server.send($0.prefix(16_000), now: 1_500_000_000) }
    #expect(recordLengths(ends.sockets.far) == [16_000])
    _ = bytes.withView { ends.server.send($0.prefix(3_000), now: 3_000_000_000) }
    #expect(recordLengths(ends.sockets.far) == [1_400, 1_600])
  }

  @Test func `a head and a short body share a record`() throws {
    var ends = try Ends(serverContext { $0.ticketCount = 0 }, clientContext())
    let bytes = pattern(2_000, seed: 6)
    _ = bytes.withView {
      ends.server.send($0.prefix(200), $0.prefix(1_024), gatherer: RecordGatherer(), now: 1)
    }
    #expect(recordLengths(ends.sockets.far) == [1_224])
  }

  @Test func `an end that is said differs from one that is cut`() throws {
    var ends = try Ends(serverContext(), clientContext())
    #expect(ends.pass("x") == "x")
    #expect(ends.server.sendCloseNotify() == .bytes(0))
    var buffer = ByteBuffer()
    #expect(ends.client.receive(onto: &buffer, limit: 10) == .end)

    var cut = try Ends(serverContext(), clientContext())
    #expect(cut.pass("x") == "x")
    cut.sockets.near.shutdownSending()
    #expect(cut.client.receive(onto: &buffer, limit: 10).failure == .truncated)
    // Nothing can be done with it any more, and nothing breaks.
    #expect(cut.client.receive(onto: &buffer, limit: 10).failure != nil)
    #expect([1].withView { cut.client.send($0, now: 1) }.failure != nil)
  }

  @Test func `a drained connection says so, and one with a rest does not`() throws {
    var ends = try Ends(serverContext(), clientContext())
    _ = [UInt8](repeating: 1, count: 100).withView { ends.server.send($0, now: 1) }
    var buffer = ByteBuffer()
    #expect(ends.client.receive(onto: &buffer, limit: 60) == .bytes(60))
    #expect(ends.client.isDrained == false)
    #expect(ends.client.receive(onto: &buffer, limit: 60) == .bytes(40))
    #expect(ends.client.isDrained == true)
    #expect(ends.client.receive(onto: &buffer, limit: 60) == .wantsRead)
  }

  @Test func `a peer that has gone is an error and not a signal`() throws {
    let server = try serverContext()
    var sockets = try SocketPair()
    do {
      var client = try begin(clientContext(), sockets.far)
      #expect(client.handshake() == .wantsRead)
    }
    var connection = try accept(server, sockets.near)
    sockets.far = Descriptor(owning: memoryFile())
    // The answer to the hello cannot be delivered: EPIPE.
    #expect(connection.handshake().failure == .socket(EPIPE))
  }

  @Test(arguments: [1, 5, 6, 100])
  func `a hello is waited for before anything is made`(length: Int) throws {
    let sockets = try SocketPair()
    var client = try begin(clientContext(), sockets.far)
    #expect(HelloArrival.look(at: sockets.near) == .incomplete)
    #expect(client.handshake() == .wantsRead)
    #expect(HelloArrival.look(at: sockets.near) == .complete)
    var hello = ByteBuffer()
    #expect(sockets.near.receive(onto: &hello, limit: 16_384).count != nil)
    #expect(sockets.far.send(hello.view.prefix(length)).count == length)
    #expect(HelloArrival.look(at: sockets.near) == .incomplete)
    #expect(sockets.far.send(hello.view.dropping(first: length)).count != nil)
    #expect(HelloArrival.look(at: sockets.near) == .complete)
    // And when the client goes in the middle of the handshake:
    var server = try accept(serverContext(), sockets.near)
    #expect(server.handshake() == .wantsRead)
    sockets.far.shutdownSending()
    #expect(server.handshake().failure == .truncated)
  }

  @Test func `a client that goes, or speaks something else, is seen as that`() throws {
    let sockets = try SocketPair()
    #expect(sockets.far.send(ByteView("GET / HTTP/1.1\r\n")).count != nil)
    #expect(HelloArrival.look(at: sockets.near) == .notTLS)
    let gone = try SocketPair()
    gone.far.shutdownSending()
    #expect(HelloArrival.look(at: gone.near) == .end)
  }

  @Test(arguments: 0..<64)
  func `garbage fails the handshake and nothing else`(seed: Int) throws {
    let sockets = try SocketPair()
    var client = try begin(clientContext(), sockets.far)
    #expect(client.handshake() == .wantsRead)
    var hello = ByteBuffer()
    _ = sockets.near.receive(onto: &hello, limit: 16_384)
    var bytes = hello.view.array
    var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1
    for _ in 0...seed / 8 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      bytes[5 + Int(state >> 33) % (bytes.count - 5)] ^= UInt8(truncatingIfNeeded: state >> 24) | 1
    }
    _ = bytes.withView { sockets.far.send($0) }
    var server = try accept(serverContext(), sockets.near)
    var result = server.handshake()
    sockets.far.shutdownSending()
    result = server.handshake()
    #expect(result.failure != nil)
  }
}
