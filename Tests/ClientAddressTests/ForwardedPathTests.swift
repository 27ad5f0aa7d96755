import Bytes
import ClientAddress
import Testing

private func address(_ text: String) throws -> IPAddress {
  try #require(text.withView { IPAddress($0) })
}

private func trusted() throws -> TrustedNetworks {
  TrustedNetworks(
    try ["10.0.0.0/8", "2001:db8:ff::/48"].map { text in
      try #require(text.withView { AddressNetwork($0) })
    })
}

@Suite struct ForwardedPathTests {
  @Test(
    arguments: [
      // The peer is not trusted: nothing it says counts.
      ("192.0.2.1", ["1.1.1.1"], "192.0.2.1"),
      ("10.0.0.1", [], "10.0.0.1"),
      ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
      // What stands left of the first that is not trusted was said by a stranger.
      ("10.0.0.1", ["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
      ("10.0.0.1", ["6.6.6.6, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
      ("10.0.0.1", ["10.0.0.9,203.0.113.7,10.0.0.2,2001:db8:ff::1"], "203.0.113.7"),
      // All trusted: the leftmost.
      ("10.0.0.1", ["10.0.0.3 , 10.0.0.2"], "10.0.0.3"),
      // Several lines are one list.
      ("10.0.0.1", ["6.6.6.6", "203.0.113.7", "10.0.0.2"], "203.0.113.7"),
      ("10.0.0.1", ["203.0.113.7,, ,10.0.0.2,"], "203.0.113.7"),
      // With ports and brackets, as they come.
      ("10.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
      ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
      ("10.0.0.1", ["[2001:db8::7]"], "2001:db8::7"),
      ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
      ("10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
      // What is no address ends the walk at who said it.
      ("10.0.0.1", ["6.6.6.6, unknown"], "10.0.0.1"),
      ("10.0.0.1", ["6.6.6.6, _hidden, 10.0.0.2"], "10.0.0.2"),
      ("10.0.0.1", ["203.0.113.7:99999"], "10.0.0.1"),
      ("10.0.0.1", ["203.0.113.7:"], "10.0.0.1"),
      ("10.0.0.1", ["[203.0.113.7]"], "10.0.0.1"),
      ("10.0.0.1", ["203.0.113.7 x"], "10.0.0.1"),
      ("10.0.0.1", ["\"203.0.113.7\""], "10.0.0.1"),
    ] as [(String, [String], String)])
  func `X-Forwarded-For is walked from the right over trusted hops`(
    peer: String, lines: [String], client: String
  ) throws {
    var path = ForwardedPath(peer: try address(peer), trusted: try trusted())
    for line in lines.reversed() where !path.isDone { line.withView { path.walkForwardedFor($0) } }
    #expect(path.client == (try address(client)))
    #expect(!path.isMalformed)
  }

  @Test(
    arguments: [
      ("192.0.2.1", ["for=1.1.1.1"], "192.0.2.1", false),
      ("10.0.0.1", ["for=203.0.113.7"], "203.0.113.7", false),
      ("10.0.0.1", ["For=\"203.0.113.7\""], "203.0.113.7", false),
      ("10.0.0.1", ["for=\"203.0.113.7:4711\";proto=https;by=10.0.0.1"], "203.0.113.7", false),
      ("10.0.0.1", ["for=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17", false),
      ("10.0.0.1", ["for=\"[2001:db8:cafe::17]:_port\""], "2001:db8:cafe::17", false),
      ("10.0.0.1", ["for=6.6.6.6, for=203.0.113.7;host=a, for=10.0.0.2"], "203.0.113.7", false),
      (
        "10.0.0.1", ["for=6.6.6.6", "proto=http;for=203.0.113.7", "for=10.0.0.2"], "203.0.113.7",
        false
      ),
      ("10.0.0.1", ["for=\"2\\03.0.113.7\""], "203.0.113.7", false),
      // Commas, semicolons and quotes within quotes separate nothing.
      ("10.0.0.1", ["for=203.0.113.7;x=\"a,for=6.6.6.6\\\";,\""], "203.0.113.7", false),
      ("10.0.0.1", [" , for=203.0.113.7 ;proto=http , "], "203.0.113.7", false),
      ("10.0.0.1", ["for=203.0.113.7;;proto=http;"], "203.0.113.7", false),
      // No address: the walk ends at who said it.
      ("10.0.0.1", ["for=6.6.6.6, for=unknown"], "10.0.0.1", false),
      ("10.0.0.1", ["for=6.6.6.6, for=_gazonk, for=10.0.0.2"], "10.0.0.2", false),
      ("10.0.0.1", ["for=6.6.6.6, proto=https"], "10.0.0.1", false),
      ("10.0.0.1", ["for=\"203.0.113.7:99999\""], "10.0.0.1", false),
      ("10.0.0.1", ["for=\"2001:db8::1\""], "10.0.0.1", false),
      ("10.0.0.1", ["for=\"\""], "10.0.0.1", false),
      // Not of the grammar: the walk ends, and says so.
      ("10.0.0.1", ["for=203.0.113.7:80"], "10.0.0.1", true),
      ("10.0.0.1", ["for=[2001:db8::1]"], "10.0.0.1", true),
      ("10.0.0.1", ["for=\"203.0.113.7"], "10.0.0.1", true),
      ("10.0.0.1", ["for=\"x, for=203.0.113.7"], "10.0.0.1", true),
      ("10.0.0.1", ["for=203.0.113.7;for=6.6.6.6"], "10.0.0.1", true),
      ("10.0.0.1", ["for =203.0.113.7"], "10.0.0.1", true),
      ("10.0.0.1", ["for"], "10.0.0.1", true), ("10.0.0.1", ["for="], "10.0.0.1", true),
      ("10.0.0.1", ["for=a b"], "10.0.0.1", true), ("10.0.0.1", ["=a"], "10.0.0.1", true),
      ("10.0.0.1", ["for=\"a\\"], "10.0.0.1", true),
    ] as [(String, [String], String, Bool)])
  func `Forwarded is walked from the right over trusted hops`(
    peer: String, lines: [String], client: String, isMalformed: Bool
  ) throws {
    var path = ForwardedPath(peer: try address(peer), trusted: try trusted())
    for line in lines.reversed() where !path.isDone { line.withView { path.walkForwarded($0) } }
    #expect(path.client == (try address(client)))
    #expect(path.isMalformed == isMalformed)
  }

  @Test func `more hops than are kept end the walk`() throws {
    let line =
      "for=203.0.113.7, " + Array(repeating: "for=10.0.0.2", count: 40).joined(separator: ",")
    var path = ForwardedPath(peer: try address("10.0.0.1"), trusted: try trusted())
    line.withView { path.walkForwarded($0) }
    #expect(path.client == (try address("10.0.0.2")))
    #expect(path.isDone)
  }

  @Test func `no bytes trap, and none make a stranger trusted`() throws {
    var random = Seeded(state: 5)
    let alphabet = Array("for=,;\"\\[]:_. 0123456789abcdef\tunknown=10.0.0.1".utf8)
    let stranger = try address("192.0.2.1")
    for _ in 0..<20_000 {
      let bytes = (0..<Int.random(in: 0..<40, using: &random)).map { _ in
        alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
      }
      var path = ForwardedPath(peer: try address("10.0.0.1"), trusted: try trusted())
      bytes.withView { path.walkForwarded($0) }
      bytes.withView { path.walkForwardedFor($0) }
      var outside = ForwardedPath(peer: stranger, trusted: try trusted())
      bytes.withView { outside.walkForwarded($0) }
      bytes.withView { outside.walkForwardedFor($0) }
      #expect(outside.client == stranger)
    }
  }
}
