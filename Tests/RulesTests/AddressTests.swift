import Bytes
import Rules
import Testing

private func address(_ text: String) -> IPAddress? { text.withView { IPAddress.parse($0) } }

private func network(_ text: String) -> IPNetwork? { text.withView { IPNetwork.parse($0) } }

private func written(_ address: IPAddress) -> String {
  var buffer = ByteBuffer()
  address.append(to: &buffer)
  return buffer.view.string
}

@Suite("Addresses and sets of them")
struct AddressTests {
  @Test(arguments: [
    ("192.0.2.1", "192.0.2.1"), ("0.0.0.0", "0.0.0.0"), ("::", "::"), ("::1", "::1"),
    ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("1::", "1::"),
    ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
    ("1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"), ("::ffff:10.0.0.1", "10.0.0.1"),
    ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
    ("1::8", "1::8"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
  ])
  func `addresses are read and written in their usual form`(_ text: String, _ expected: String) {
    #expect(address(text).map(written) == expected)
  }

  @Test(arguments: [
    "", ":", ":::", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3", "1:",
    ":1",
    "fe80::1%eth0", "[::1]", "1:2:3:4:5:6:7::8",
  ])
  func `what is no address is none`(_ text: String) { #expect(address(text) == nil) }

  @Test(arguments: [
    "10.0.0.0/33", "10.0.0.0/", "::/129", "10.0.0.0/-1", "/8", "10.0.0.0/8/8", "x/1", "::/1x",
  ])
  func `what is no network is none`(_ text: String) { #expect(network(text) == nil) }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func `a set has just the addresses of its networks`(_ seed: UInt64) {
    var generator = SeededGenerator(state: seed)
    // Of a small part of the space, so that networks touch, overlap and hold each other.
    let networks = (0..<Int(seed) * 20).map { _ in
      let low = UInt32(truncatingIfNeeded: generator.next() & 0xFFFF_F)
      let isVersion4 = generator.next() % 4 != 0
      let plain = IPAddress(version4: 0x0A00_0000 | low)
      let address = isVersion4 ? plain : IPAddress(high: 0x2001_0DB8 << 32, low: UInt64(low))
      return IPNetwork(address: address, bits: 104 + Int(generator.next() % 25))
    }
    let set = AddressSet(networks)
    for _ in 0..<2_000 {
      let low = UInt32(truncatingIfNeeded: generator.next() & 0xFFFF_F)
      let plain = IPAddress(version4: 0x0A00_0000 | low)
      let probe =
        generator.next() % 2 == 0 ? plain : IPAddress(high: 0x2001_0DB8 << 32, low: UInt64(low))
      #expect(set.contains(probe) == networks.contains { $0.contains(probe) })
    }
    for network in networks { #expect(set.contains(network.first) && set.contains(network.last)) }
  }

  @Test func `networks at the ends of the space, and all of it`() {
    let all = AddressSet([IPNetwork(address: .none, bits: 0)])
    for text in ["::", "0.0.0.0", "255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
      #expect(address(text).map(all.contains) == true)
    }
    let last = AddressSet(["ffff::/16", "255.255.255.255", "::"].compactMap(network))
    #expect(last.contains(IPAddress(high: .max, low: .max)) && last.contains(.none))
    #expect(last.contains(IPAddress(version4: .max)) && !last.contains(IPAddress(version4: 0)))
    #expect(!AddressSet([]).contains(.none))
  }

  @Test func `a file of networks has comments, and says which lines are wrong`() {
    let text = "# a list\n\n10.0.0.0/8  # ten\r\n\t2001:db8::/32\nnonsense\n1.2.3.4/40"
    let (set, problems) = ListFile.addresses(Array(text.utf8))
    #expect(set.count == 2)
    #expect(problems.map(\.line) == [5, 6] && problems.map(\.text) == ["nonsense", "1.2.3.4/40"])
  }

  @Test func `a hundred thousand networks are a set`() {
    let networks = (0..<100_000).map { number in
      IPNetwork(address: IPAddress(version4: UInt32(number) &* 2_654_435_761), bits: 128)
    }
    let set = AddressSet(networks)
    #expect(networks.allSatisfy { set.contains($0.first) })
    #expect(set.count <= 100_000)
  }
}
