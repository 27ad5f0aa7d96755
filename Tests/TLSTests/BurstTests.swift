import Bytes
import EventLoop
import TLS
import Testing

/// Records that go out together.
@Suite struct BurstTests {
  /// Two ends that have shaken hands.
  struct OpenEnds: ~Copyable {
    let sockets: SocketPair
    var server: TLSConnection
    var client: TLSConnection

    init(_ version: TLSVersion) throws {
      let sockets = try SocketPair()
      var server = try accept(serverContext(), sockets.near, gathers: true)
      var client = try begin(clientContext { $0.maximumVersion = version }, sockets.far)
      var hasShaken = (false, false)
      for _ in 0..<10 where hasShaken != (true, true) {
        hasShaken.1 = hasShaken.1 || client.handshake() == .done
        hasShaken.0 = hasShaken.0 || server.handshake() == .done
        if hasShaken.0 { _ = server.flush() }
      }
      try #require(hasShaken == (true, true))
      self.sockets = sockets
      self.server = server
      self.client = client
    }
  }

  private func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 9) }
  }

  @Test(arguments: [TLSVersion.tls12, .tls13], [999, 40_000, 400_000])
  func `all arrives in order, however little the peer takes`(
    _ version: TLSVersion, _ taken: Int
  ) throws {
    var ends = try OpenEnds(version)
    let all = bytes(3 << 20)
    var got = ByteBuffer()
    var (sent, turns, blocked) = (0, 0, 0)
    while got.count < all.count {
      turns += 1
      try #require(turns < 100_000)
      if ends.server.hasUnsent {
        try #require(ends.server.flush().failure == nil)
      } else {
        ends.server.beginBurst()
        // Frames, as a session makes them.
        for _ in 0..<20 where sent < all.count && !ends.server.hasUnsent {
          let result = all.withView {
            ends.server.send($0.dropping(first: sent).prefix(16_375), now: 1)
          }
          sent += try #require(result.count)
        }
        let result = ends.server.endBurst()
        try #require(result.failure == nil)
        if result == .wantsWrite || ends.server.hasUnsent { blocked += 1 }
      }
      _ = ends.client.receive(onto: &got, limit: taken)
    }
    #expect(blocked > 0)
    #expect(got.view.array == all)
    let hasUnsent = ends.server.hasUnsent
    #expect(!hasUnsent)
  }

  @Test func `nothing goes out before the end of a short one`() throws {
    var ends = try OpenEnds(.tls13)
    _ = ends.client.text()
    ends.server.beginBurst()
    for word in ["one ", "two ", "three"] {
      let text = Array(word.utf8)
      #expect(text.withView { ends.server.send($0, now: 0) } == .bytes(text.count))
      #expect(ends.client.text() == "")
    }
    #expect(ends.server.endBurst() == .bytes(0))
    #expect(ends.client.text() == "one two three")
    // Afterwards each goes at once.
    #expect(Array("four".utf8).withView { ends.server.send($0, now: 0) } == .bytes(4))
    #expect(ends.client.text() == "four")
    #expect(ends.server.endBurst() == .bytes(0))
  }

  @Test func `what a slow peer takes of one shows`() throws {
    var ends = try OpenEnds(.tls13)
    _ = ends.client.text()
    let all = bytes(1 << 20)
    var sent = 0
    while !ends.server.hasUnsent {
      ends.server.beginBurst()
      let result = all.withView {
        ends.server.send($0.dropping(first: sent).prefix(3 * 16_384), now: 1)
      }
      sent += try #require(result.count)
      try #require(sent < all.count)
      _ = ends.server.endBurst()
    }
    // The socket takes nothing more; then its peer takes some, which makes room for a part of what waits.
    let held = ends.server.heldCount
    #expect(held > 0)
    #expect(ends.server.flush() == .wantsWrite)
    var isUnchanged = ends.server.heldCount == held
    #expect(isUnchanged)
    var got = ByteBuffer()
    while isUnchanged {
      let result = ends.client.receive(onto: &got, limit: 4_096)
      try #require(result.failure == nil)
      try #require(result != .wantsRead)
      try #require(ends.server.flush().failure == nil)
      isUnchanged = ends.server.heldCount == held
    }
    // All of it comes in the end.
    while got.count < sent {
      _ = ends.server.flush()
      _ = ends.client.receive(onto: &got, limit: 65_536)
    }
    #expect(got.view.array == Array(all.prefix(sent)))
    let rest = ends.server.heldCount
    #expect(rest == 0)
  }

  @Test func `a connection that ends within one says all`() throws {
    var ends = try OpenEnds(.tls13)
    ends.server.beginBurst()
    _ = Array("the last".utf8).withView { ends.server.send($0, now: 0) }
    #expect(ends.server.sendCloseNotify() == .bytes(0))
    var got = ByteBuffer()
    while case .bytes = ends.client.receive(onto: &got, limit: 100) {}
    #expect(got.view.string == "the last")
    #expect(ends.client.receive(onto: &got, limit: 100) == .end)
  }
}
