package import Bytes

/// A network: all addresses that begin with the same bits.
package struct AddressNetwork: Sendable, Hashable {
  /// Its first address.
  package let address: IPAddress
  /// How many bits are the same, of 128; an IPv4 network's 24 are 120.
  package let length: Int

  private init(_ address: IPAddress, _ length: Int) {
    self.address = address
    self.length = length
  }

  /// The network of one address.
  package init(_ address: IPAddress) { self.init(address, 128) }

  /// Reads `10.0.0.0/8`, `2001:db8::/32`, or an address. Nil if it is not one, or bits behind the
  /// prefix are set: who writes 10.1.2.3/8 means something else.
  package init?(_ text: ByteView) {
    guard let slash = text.firstIndex(of: ASCII.slash) else {
      guard let address = IPAddress(text) else { return nil }
      self.init(address)
      return
    }
    let digits = text.dropping(first: slash + 1)
    guard let address = IPAddress(text[0..<slash]), digits.count >= 1, digits.count <= 3,
      digits.count == 1 || digits[0] != 0x30
    else { return nil }
    var length = 0
    for index in 0..<digits.count {
      guard ASCII.isDigit(digits[index]) else { return nil }
      length = length * 10 + Int(digits[index] &- 0x30)
    }
    // By how it is written: ::ffff:0:0/96 is all of IPv4, in IPv6's notation.
    let isIPv4 = IPAddress.ipv4(text[0..<slash]) != nil
    guard length <= (isIPv4 ? 32 : 128) else { return nil }
    if isIPv4 { length += 96 }
    guard address.masked(length) == address else { return nil }
    self.init(address, length)
  }

  /// Whether an address is in it.
  package func contains(_ other: IPAddress) -> Bool { other.masked(length) == address }
}

/// The networks whose word about a client's address is taken.
package struct TrustedNetworks: Sendable {
  private let networks: [AddressNetwork]

  /// Trusts these; none means that nobody is trusted but the socket.
  package init(_ networks: [AddressNetwork] = []) { self.networks = networks }

  /// Whether nobody is trusted.
  package var isEmpty: Bool { networks.isEmpty }

  /// Whether an address is trusted. Looks at each network; operators have a handful, and a list of
  /// some hundred costs less than a microsecond.
  package func contains(_ address: IPAddress) -> Bool {
    for index in networks.indices where networks[index].contains(address) { return true }
    return false
  }
}
