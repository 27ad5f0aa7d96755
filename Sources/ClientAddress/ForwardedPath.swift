// Whom a request is from, when it came through proxies.
//
// Each proxy adds, on the right, the address that it was asked from. So the walk begins at the socket's
// peer, which is certain, and goes left for as long as the address it stands on is trusted: what a
// trusted proxy says was seen by it, what stands further left was said by a stranger. The first address
// that is not trusted is the client's; if all are, it is the leftmost.
//
// A hop that is not an address (an obfuscated one, `unknown`, nonsense) ends the walk at the proxy that
// said it. Where a `Forwarded` line is not of RFC 7239's grammar at all, its elements cannot be told
// apart from the right, and the walk ends too, saying so: a node that is behind a proxy which passes
// such lines on should refuse them.

package import Bytes

/// A walk from the socket's peer towards the client: see the top of this file.
///
///     var path = ForwardedPath(peer: peer, trusted: networks)
///     for line in linesFromLastToFirst where !path.isDone { path.walkForwardedFor(line) }
///     let client = path.client
package struct ForwardedPath: Sendable {
  /// The client, as far as the walk has come.
  package private(set) var client: IPAddress
  /// Whether nothing further left can change that.
  package private(set) var isDone: Bool
  /// Whether a line was not of its grammar.
  package private(set) var isMalformed = false
  private let trusted: TrustedNetworks

  /// A walk that stands on the socket's peer, or on what the PROXY protocol said in its stead.
  package init(peer: IPAddress, trusted: TrustedNetworks) {
    client = peer
    self.trusted = trusted
    isDone = !trusted.contains(peer)
  }

  /// Goes on with a hop; nil is one that is not an address.
  private mutating func step(to hop: IPAddress?) {
    guard let hop else {
      isDone = true
      return
    }
    client = hop
    isDone = !trusted.contains(hop)
  }

  /// Walks over a line of X-Forwarded-For; lines are given from the last to the first.
  package mutating func walkForwardedFor(_ line: ByteView) {
    var end = line.count
    while !isDone, end >= 0 {
      var start = end
      while start > 0, line[start - 1] != ASCII.comma { start -= 1 }
      let element = Self.trimmed(line[start..<end])
      if !element.isEmpty { step(to: Self.address(element)) }
      end = start - 1
    }
  }

  /// Walks over a line of Forwarded (RFC 7239); lines are given from the last to the first.
  package mutating func walkForwarded(_ line: ByteView) {
    guard !isDone else { return }
    var hops = ForwardedElements()
    guard hops.read(line) else {
      isMalformed = true
      isDone = true
      return
    }
    while !isDone, let hop = hops.popLast() { step(to: hop.address) }
    if hops.isCut { isDone = true }
  }

  /// An address as X-Forwarded-For has it in the wild: with or without brackets and a port.
  static func address(_ text: ByteView) -> IPAddress? {
    if let address = IPAddress(text) { return address }
    if text[0] == UInt8(ascii: "[") {
      guard let close = text.firstIndex(of: UInt8(ascii: "]")),
        let address = IPAddress(text[1..<close]), IPAddress.ipv4(text[1..<close]) == nil,
        isPortOrNothing(text.dropping(first: close + 1), allowObfuscated: false)
      else { return nil }
      return address
    }
    guard let colon = text.firstIndex(of: ASCII.colon), let four = IPAddress.ipv4(text[0..<colon]),
      isPortOrNothing(text.dropping(first: colon), allowObfuscated: false)
    else { return nil }
    return IPAddress(ipv4: four)
  }

  /// Whether the text is empty or a colon and a port (RFC 7239 §6: up to five digits, or obfuscated).
  static func isPortOrNothing(_ text: ByteView, allowObfuscated: Bool) -> Bool {
    guard !text.isEmpty else { return true }
    guard text[0] == ASCII.colon, text.count >= 2 else { return false }
    let port = text.dropping(first: 1)
    if allowObfuscated && port[0] == UInt8(ascii: "_") { return isObfuscated(port) }
    guard port.count <= 5 else { return false }
    var value = 0
    for index in 0..<port.count {
      guard ASCII.isDigit(port[index]) else { return false }
      value = value * 10 + Int(port[index] &- 0x30)
    }
    return value <= 65_535
  }

  /// `_` and at least one letter, digit, `.`, `_` or `-` (RFC 7239 §6.3).
  static func isObfuscated(_ text: ByteView) -> Bool {
    guard text.count >= 2, text[0] == UInt8(ascii: "_") else { return false }
    for index in 1..<text.count {
      let byte = text[index]
      let isLetter = ASCII.lowercase(byte) &- 0x61 < 26
      guard isLetter || ASCII.isDigit(byte) || byte == 0x2E || byte == 0x5F || byte == 0x2D else {
        return false
      }
    }
    return true
  }

  static func isBlank(_ byte: UInt8) -> Bool { byte == ASCII.space || byte == ASCII.tab }

  static func trimmed(_ text: ByteView) -> ByteView {
    var (start, end) = (0, text.count)
    while start < end, isBlank(text[start]) { start += 1 }
    while end > start, isBlank(text[end - 1]) { end -= 1 }
    return text[start..<end]
  }
}
