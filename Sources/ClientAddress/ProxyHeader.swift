// The PROXY protocol (HAProxy's specification "The PROXY protocol, versions 1 & 2"): what a load
// balancer says in front of a connection about whom it is for.
//
// Version 1 is a line of at most 107 bytes:
//
//     PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n      TCP6 likewise; PROXY UNKNOWN …\r\n
//
// Version 2 is binary: a signature of 12 bytes; version and command; family and protocol; two bytes of
// length, big-endian; so many bytes of addresses, ports and then extensions (TLVs), which are skipped.
//
// The reader is a pure function of the bytes that have come: incomplete, malformed, or a header and its
// length. It is asked again from the start when more have come; a header fits one packet, so that is
// rare. Only a listener that is told to expects a header, only from trusted networks, and then always:
// the specification forbids guessing.

package import Bytes

/// What a PROXY header says.
package enum ProxyHeader: Sendable, Equatable {
  /// The proxy speaks for itself (a health check): the socket's addresses are the right ones.
  case local
  /// The proxy does not know, or the connection has no IP addresses: the socket's are used.
  case unknown
  /// Whom the connection is from, and what address it was for.
  case addresses(
    source: IPAddress, sourcePort: UInt16, destination: IPAddress, destinationPort: UInt16)
}

/// Why bytes are not a PROXY header.
package enum ProxyHeaderDefect: Sendable, Equatable {
  /// They begin like neither version.
  case noSignature
  /// Version 1: no end of the line within 107 bytes, or a CR or LF that is none.
  case badLine
  /// Version 1: neither TCP4, TCP6 nor UNKNOWN, or version 2: a family or protocol that there is not,
  /// or datagrams.
  case badFamily
  /// An address that is not of the family.
  case badAddress
  /// A port that is not a number up to 65535 without leading zeros.
  case badPort
  /// Version 2: a version or command that there is not.
  case badCommand
  /// Version 2: too short for its addresses, or longer than `ProxyHeader.longest`.
  case badLength
}

/// What has been read.
package enum ProxyHeaderResult: Sendable, Equatable {
  /// More bytes are needed; what there is may be the beginning of a header.
  case incomplete
  /// A header, and how many bytes it is long; the connection's own bytes follow.
  case complete(ProxyHeader, length: Int)
  /// The connection is to be closed.
  case malformed(ProxyHeaderDefect)
}

extension ProxyHeader {
  /// The longest header of version 2 that is taken, extensions included.
  package static var longest: Int { 4096 }
  private static var longestLine: Int { 107 }

  /// Reads the header at the beginning of a connection.
  package static func read(_ bytes: ByteView) -> ProxyHeaderResult {
    guard !bytes.isEmpty else { return .incomplete }
    if bytes[0] == 0x50 { return readLine(bytes) }
    if bytes[0] == 0x0D { return readBinary(bytes) }
    return .malformed(.noSignature)
  }

  // MARK: Version 1

  private static func readLine(_ bytes: ByteView) -> ProxyHeaderResult {
    let prefix = ByteView("PROXY ")
    let common = min(bytes.count, prefix.count)
    guard bytes[0..<common] == prefix[0..<common] else { return .malformed(.noSignature) }
    let head = bytes.prefix(longestLine)
    var end = common
    while end < head.count, head[end] != ASCII.cr {
      if head[end] == ASCII.lf { return .malformed(.badLine) }
      end += 1
    }
    guard end + 1 < head.count else {
      return bytes.count >= longestLine ? .malformed(.badLine) : .incomplete
    }
    guard head[end + 1] == ASCII.lf else { return .malformed(.badLine) }
    return parse(head[prefix.count..<end], length: end + 2)
  }

  private static func parse(_ line: ByteView, length: Int) -> ProxyHeaderResult {
    var rest = line
    let family = word(&rest)
    if family == ByteView("UNKNOWN") { return .complete(.unknown, length: length) }
    let isFour = family == ByteView("TCP4")
    guard isFour || family == ByteView("TCP6") else { return .malformed(.badFamily) }
    guard let source = address(word(&rest), isFour: isFour),
      let destination = address(word(&rest), isFour: isFour)
    else { return .malformed(.badAddress) }
    let sourceText = word(&rest)
    guard let sourcePort = port(sourceText), let destinationPort = port(rest) else {
      return .malformed(.badPort)
    }
    return .complete(
      .addresses(
        source: source, sourcePort: sourcePort, destination: destination,
        destinationPort: destinationPort), length: length)
  }

  /// Takes what stands before the next space, and the space.
  private static func word(_ rest: inout ByteView) -> ByteView {
    let end = rest.firstIndex(of: ASCII.space) ?? rest.count
    let word = rest[0..<end]
    rest = rest.dropping(first: end + 1)
    return word
  }

  private static func address(_ text: ByteView, isFour: Bool) -> IPAddress? {
    guard (IPAddress.ipv4(text) != nil) == isFour else { return nil }
    return IPAddress(text)
  }

  private static func port(_ text: ByteView) -> UInt16? {
    guard text.count >= 1, text.count <= 5, text.count == 1 || text[0] != 0x30 else { return nil }
    var value = 0
    for index in 0..<text.count {
      guard ASCII.isDigit(text[index]) else { return nil }
      value = value * 10 + Int(text[index] &- 0x30)
    }
    return UInt16(exactly: value)
  }

  // MARK: Version 2

  private static func readBinary(_ bytes: ByteView) -> ProxyHeaderResult {
    let signature = ByteView("\r\n\r\n\0\r\nQUIT\n")
    let common = min(bytes.count, signature.count)
    guard bytes[0..<common] == signature[0..<common] else { return .malformed(.noSignature) }
    // What can be told to be wrong is, before all of it has come.
    if bytes.count > 12, bytes[12] != 0x20, bytes[12] != 0x21 { return .malformed(.badCommand) }
    // Of a header that is not for anybody (LOCAL), nothing but the length is looked at.
    let isLocal = bytes.count > 12 && bytes[12] == 0x20
    if bytes.count > 13, !isLocal, !isFamily(bytes[13]) { return .malformed(.badFamily) }
    guard bytes.count >= 16 else { return .incomplete }
    let length = 16 + big(bytes, 14)
    guard length <= longest else { return .malformed(.badLength) }
    guard isLocal || length >= 16 + addressLength(bytes[13]) else { return .malformed(.badLength) }
    guard bytes.count >= length else { return .incomplete }
    return .complete(isLocal ? .local : addresses(bytes), length: length)
  }

  /// Unspecified, or streams over IPv4, IPv6 or unix sockets.
  private static func isFamily(_ byte: UInt8) -> Bool {
    byte == 0x00 || byte == 0x11 || byte == 0x21 || byte == 0x31
  }

  private static func addressLength(_ family: UInt8) -> Int {
    switch family {
    case 0x11: 12
    case 0x21: 36
    case 0x31: 216
    default: 0
    }
  }

  /// The addresses of a header that is known to be long enough.
  private static func addresses(_ bytes: ByteView) -> ProxyHeader {
    switch bytes[13] {
    case 0x11:
      return .addresses(
        source: IPAddress(ipv4: UInt32(big(bytes, 16)) &<< 16 | UInt32(big(bytes, 18))),
        sourcePort: UInt16(big(bytes, 24)),
        destination: IPAddress(ipv4: UInt32(big(bytes, 20)) &<< 16 | UInt32(big(bytes, 22))),
        destinationPort: UInt16(big(bytes, 26)))
    case 0x21:
      return .addresses(
        source: IPAddress(
          high: bytes.uint64(at: 16).byteSwapped, low: bytes.uint64(at: 24).byteSwapped),
        sourcePort: UInt16(big(bytes, 48)),
        destination: IPAddress(
          high: bytes.uint64(at: 32).byteSwapped, low: bytes.uint64(at: 40).byteSwapped),
        destinationPort: UInt16(big(bytes, 50)))
    default: return .unknown
    }
  }

  /// A big-endian 16-bit number.
  private static func big(_ bytes: ByteView, _ offset: Int) -> Int {
    Int(bytes[offset]) &<< 8 | Int(bytes[offset + 1])
  }
}
