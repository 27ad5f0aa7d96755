import Bytes
import ClientAddress
import Testing

private let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10]

private func read(_ bytes: [UInt8]) -> ProxyHeaderResult { bytes.withView { ProxyHeader.read($0) } }
private func read(_ text: String) -> ProxyHeaderResult { read(Array(text.utf8)) }

private func address(_ text: String) throws -> IPAddress {
  try #require(text.withView { IPAddress($0) })
}

/// A header of version 2.
private func binary(_ command: UInt8, _ family: UInt8, _ block: [UInt8]) -> [UInt8] {
  signature + [command, family, UInt8(block.count >> 8), UInt8(block.count & 0xFF)] + block
}

private let four: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 2, 0xDC, 0x04, 0x01, 0xBB]
private let six: [UInt8] =
  [0x20, 0x01, 0x0D, 0xB8] + Array(repeating: 0, count: 11) + [1] + [0x20, 0x01, 0x0D, 0xB8]
  + Array(repeating: 0, count: 11) + [2] + [0xDC, 0x04, 0x01, 0xBB]

@Suite struct ProxyHeaderTests {
  @Test func `version 1 names both ends`() throws {
    let line = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
    let expected = ProxyHeader.addresses(
      source: try address("192.0.2.1"), sourcePort: 56324, destination: try address("198.51.100.2"),
      destinationPort: 443)
    #expect(read(line + "GET / HTTP/1.1\r\n") == .complete(expected, length: line.utf8.count))
    let widest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    let longest = "PROXY TCP6 \(widest) \(widest) 65535 65535\r\n"
    #expect(longest.utf8.count == 104)
    guard case .complete(.addresses, 104) = read(longest) else {
      Issue.record("not read")
      return
    }
  }

  @Test(arguments: [
    "PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "PROXY UNKNOWN x y\r\n",
  ])
  func `version 1 may not know`(line: String) {
    #expect(read(line) == .complete(.unknown, length: line.utf8.count))
  }

  @Test(
    arguments: [
      ("GET / HTTP/1.1\r\n", .noSignature), ("PROXYTCP4", .noSignature), ("proxy ", .noSignature),
      ("PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n", .badFamily), ("PROXY\tTCP4", .noSignature),
      ("PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n", .badFamily), ("PROXY UNKNOWNX\r\n", .badFamily),
      ("PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n", .badFamily), ("PROXY \r\n", .badFamily),
      ("PROXY TCP4 1.2.3.4 1.2.3 1 1\r\n", .badAddress),
      ("PROXY TCP4 ::1 ::1 1 1\r\n", .badAddress),
      ("PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n", .badAddress),
      ("PROXY TCP4 1.2.3.4  1.2.3.4 1 1\r\n", .badAddress),
      ("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", .badPort),
      ("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", .badPort),
      ("PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n", .badPort),
      ("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n", .badPort),
      ("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n", .badPort),
      ("PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n", .badPort),
      ("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n", .badLine),
      ("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\rx", .badLine),
      ("PROXY UNKNOWN " + String(repeating: "x", count: 93), .badLine),
      ("PROXY UNKNOWN " + String(repeating: "x", count: 92) + "\r", .badLine),
    ] as [(String, ProxyHeaderDefect)])
  func `version 1 is read strictly`(line: String, defect: ProxyHeaderDefect) {
    #expect(read(line) == .malformed(defect))
  }

  @Test func `a line of 107 bytes is the longest`() {
    let line = "PROXY UNKNOWN " + String(repeating: "x", count: 91) + "\r\n"
    #expect(line.utf8.count == 107)
    #expect(read(line) == .complete(.unknown, length: 107))
  }

  @Test func `version 2 names both ends, and extensions are skipped`() throws {
    let v4 = ProxyHeader.addresses(
      source: try address("192.0.2.1"), sourcePort: 56324, destination: try address("198.51.100.2"),
      destinationPort: 443)
    #expect(read(binary(0x21, 0x11, four)) == .complete(v4, length: 28))
    let extensions: [UInt8] = [0x04, 0, 3, 1, 2, 3, 0x20, 0xFF, 0xFF]
    #expect(read(binary(0x21, 0x11, four + extensions) + [71]) == .complete(v4, length: 37))
    let v6 = ProxyHeader.addresses(
      source: try address("2001:db8::1"), sourcePort: 56324,
      destination: try address("2001:db8::2"),
      destinationPort: 443)
    #expect(read(binary(0x21, 0x21, six)) == .complete(v6, length: 52))
    // IPv4 in IPv6's form is the same client.
    let mapped = Array(repeating: 0, count: 10) + [0xFF, 0xFF, 192, 0, 2, 1] as [UInt8]
    guard
      case .complete(.addresses(let source, _, _, _), _) = read(
        binary(0x21, 0x21, mapped + mapped + [0, 1, 0, 2]))
    else {
      Issue.record("not read")
      return
    }
    #expect(source == (try address("192.0.2.1")))
  }

  @Test func `version 2 may speak for itself, or not know`() {
    #expect(read(binary(0x20, 0x00, [])) == .complete(.local, length: 16))
    #expect(read(binary(0x20, 0x11, four)) == .complete(.local, length: 28))
    #expect(read(binary(0x20, 0xFF, [1, 2])) == .complete(.local, length: 18))
    #expect(read(binary(0x21, 0x00, [])) == .complete(.unknown, length: 16))
    #expect(read(binary(0x21, 0x00, four)) == .complete(.unknown, length: 28))
    let unix = [UInt8](repeating: 65, count: 216)
    #expect(read(binary(0x21, 0x31, unix)) == .complete(.unknown, length: 232))
  }

  @Test func `version 2 is read strictly`() {
    #expect(read(binary(0x11, 0x11, four)) == .malformed(.badCommand))
    #expect(read(binary(0x22, 0x11, four)) == .malformed(.badCommand))
    #expect(read(binary(0x21, 0x12, four)) == .malformed(.badFamily))
    #expect(read(binary(0x21, 0x41, four)) == .malformed(.badFamily))
    #expect(read(binary(0x21, 0x11, Array(four.dropLast()))) == .malformed(.badLength))
    #expect(read(binary(0x21, 0x21, four)) == .malformed(.badLength))
    #expect(read(binary(0x21, 0x31, six)) == .malformed(.badLength))
    #expect(read(binary(0x21, 0x11, [UInt8](repeating: 0, count: 4081))) == .malformed(.badLength))
    #expect(read([13, 10, 13, 11]) == .malformed(.noSignature))
  }

  static let whole: [[UInt8]] = [
    Array("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n".utf8),
    Array("PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n".utf8),
    Array("PROXY UNKNOWN\r\n".utf8), binary(0x21, 0x11, four), binary(0x21, 0x21, six),
    binary(0x20, 0x00, []), binary(0x21, 0x11, four + [4, 0, 1, 9]),
    binary(0x21, 0x11, four + [UInt8](repeating: 7, count: 4068)),
  ]

  @Test(arguments: whole)
  func `every prefix is incomplete, and what follows changes nothing`(bytes: [UInt8]) {
    for length in 0..<bytes.count { #expect(read(Array(bytes[0..<length])) == .incomplete) }
    let result = read(bytes)
    guard case .complete(_, bytes.count) = result else {
      Issue.record("not read whole")
      return
    }
    #expect(read(bytes + [0, 13, 10, 80]) == result)
  }

  @Test(arguments: whole)
  func `no mutation traps, reads beyond its bytes, or is undecided for ever`(bytes: [UInt8]) {
    var random = Seeded(state: UInt64(bytes.count))
    for _ in 0..<3000 {
      var changed = Array(bytes.prefix(300))
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let index = Int.random(in: 0..<changed.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: changed[index] = UInt8.random(in: 0...255, using: &random)
        case 1: changed.insert(UInt8.random(in: 0...255, using: &random), at: index)
        case 2 where changed.count > 1: changed.remove(at: index)
        default: changed[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        }
      }
      if case .complete(_, let length) = read(changed) { #expect(length <= changed.count) }
      // With enough bytes there is always a decision.
      #expect(read(changed + [UInt8](repeating: 65, count: 5000)) != .incomplete)
    }
  }
}
