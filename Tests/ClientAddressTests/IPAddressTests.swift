import Bytes
import ClientAddress
import Testing

private func address(_ text: String) -> IPAddress? { text.withView { IPAddress($0) } }
private func network(_ text: String) -> AddressNetwork? { text.withView { AddressNetwork($0) } }

private func text(_ address: IPAddress) -> String {
  var buffer = ByteBuffer()
  address.append(to: &buffer)
  return buffer.view.string
}

@Suite struct IPAddressTests {
  @Test(
    arguments: [
      ("1.2.3.4", 0, 0xFFFF_0102_0304, "1.2.3.4"), ("255.255.255.255", 0, 0xFFFF_FFFF_FFFF, nil),
      ("0.0.0.0", 0, 0xFFFF_0000_0000, nil), ("::", 0, 0, nil), ("::1", 0, 1, nil),
      ("2001:db8::1", 0x2001_0db8 << 32, 1, nil), ("1::", 1 << 48, 0, nil),
      ("::ffff:1.2.3.4", 0, 0xFFFF_0102_0304, "1.2.3.4"),
      ("::FFFF:102:304", 0, 0xFFFF_0102_0304, "1.2.3.4"),
      ("64:ff9b::192.0.2.33", 0x64_FF9B << 32, 0xC000_0221, "64:ff9b::c000:221"),
      ("1:2:3:4:5:6:7:8", 0x1_0002_0003_0004, 0x5_0006_0007_0008, nil),
      ("1:2:3:4:5:6:1.2.3.4", 0x1_0002_0003_0004, 0x5_0006_0102_0304, "1:2:3:4:5:6:102:304"),
      ("1::3:4:5:6:7:8", 0x1_0000_0003_0004, 0x5_0006_0007_0008, "1:0:3:4:5:6:7:8"),
      ("0:0:1:0:0:0:1:0", 0x1_0000, 0x1_0000, "0:0:1::1:0"),
      ("1:2:3:4:5:6:7::", 0x1_0002_0003_0004, 0x5_0006_0007_0000, "1:2:3:4:5:6:7:0"),
      ("::2:3:4:5:6:7:8", 0x2_0003_0004, 0x5_0006_0007_0008, "0:2:3:4:5:6:7:8"),
    ] as [(String, UInt64, UInt64, String?)])
  func `addresses are read in every notation and written in one`(
    written: String, high: UInt64, low: UInt64, canonical: String?
  ) throws {
    let read = try #require(address(written))
    #expect(read == IPAddress(high: high, low: low))
    #expect(text(read) == canonical ?? written)
  }

  @Test(
    arguments: [
      "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04", "1..2.3", "1.2.3.",
      ".1.2.3",
      "1.2.3.4 ", " 1.2.3.4", "0x1.2.3.4", "1.2.3.4:80", ":", ":::", ":1", "1:", "1::2::3",
      "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "12345::",
      "g::",
      "::1.2.3", "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4", "fe80::1%eth0", "[::1]", "::ffff:1.2.3.4.5",
      "::1.2.3.4:5", "1:2:3:4::5:6:7:8:", "unknown", "_x",
    ])
  func `what is not an address is none`(written: String) {
    #expect(address(written) == nil)
  }

  @Test func `every address survives being written and read`() throws {
    var random = Seeded(state: 11)
    for _ in 0..<4000 {
      // Words with many zero groups, where the notation has its corners.
      let mask = { (word: UInt64) -> UInt64 in
        var mask: UInt64 = 0
        for group in 0..<4 as Range<UInt64> where word >> group & 1 == 1 {
          mask |= 0xFFFF << (16 * group)
        }
        return mask
      }
      let one = IPAddress(
        high: random.next() & mask(random.next()), low: random.next() & mask(random.next()))
      #expect(address(text(one)) == one)
    }
  }

  @Test func `a limit's client is an IPv4 address or an IPv6 prefix`() throws {
    let six = try #require(address("2001:db8:1:2:3:4:5:6"))
    #expect(text(six.prefix()) == "2001:db8:1:2::")
    #expect(text(six.prefix(ipv6: 48)) == "2001:db8:1::")
    #expect(text(six.prefix(ipv6: 56)) == "2001:db8:1::")
    #expect(six.prefix(ipv6: 128) == six)
    let four = try #require(address("192.0.2.77"))
    #expect(four.prefix() == four)
    #expect(text(four.prefix(ipv4: 24)) == "192.0.2.0")
    #expect(try #require(address("::ffff:192.0.2.77")).prefix() == four)
  }
}

@Suite struct TrustedNetworkTests {
  @Test(
    arguments: [
      ("10.0.0.0/8", "10.255.1.2", true), ("10.0.0.0/8", "11.0.0.0", false),
      ("10.0.0.0/8", "::ffff:10.1.1.1", true), ("10.0.0.0/8", "a00::", false),
      ("0.0.0.0/0", "203.0.113.9", true), ("0.0.0.0/0", "::1", false), ("::/0", "1.2.3.4", true),
      ("::ffff:0:0/96", "1.2.3.4", true), ("2001:db8::/32", "2001:db8:ffff::1", true),
      ("2001:db8::/32", "2001:db9::", false), ("192.0.2.1", "192.0.2.1", true),
      ("192.0.2.1/32", "192.0.2.2", false), ("2001:db8::1/128", "2001:db8::1", true),
      ("2001:db8:0:8000::/49", "2001:db8:0:8001::", true),
      ("2001:db8:0:8000::/49", "2001:db8:0:7fff::", false),
    ])
  func `a network has its addresses and no others`(net: String, one: String, isIn: Bool) throws {
    let parsed = try #require(network(net))
    #expect(parsed.contains(try #require(address(one))) == isIn)
    #expect(TrustedNetworks([parsed]).contains(try #require(address(one))) == isIn)
  }

  @Test(
    arguments: [
      "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/8 ",
      "::/129", "2001:db8::1/64", "/8", "10.0.0.0/8/8", "x",
    ])
  func `what is not a network is none`(written: String) {
    #expect(network(written) == nil)
  }
}

/// A repeatable source of chance (SplitMix64).
struct Seeded: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}
