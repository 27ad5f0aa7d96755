import Bytes
import Testing

@Suite struct SipHashTests {
  /// The first vectors of the reference implementation's `vectors_sip128` (SipHash-2-4, key 00 … 0f,
  /// input 00, 01, 02 …).
  @Test(
    arguments: [
      (
        0,
        [
          0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02,
          0x93,
        ]
      ),
      (
        1,
        [
          0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc,
          0x45,
        ]
      ),
      (
        8,
        [
          0x3b, 0x62, 0xa9, 0xba, 0x62, 0x58, 0xf5, 0x61, 0x0f, 0x83, 0xe2, 0x64, 0xf3, 0x14, 0x97,
          0xb4,
        ]
      ),
    ] as [(Int, [UInt8])])
  func `the published 128-bit vectors hold`(length: Int, expected: [UInt8]) {
    let key = Hash128(low: 0x0706_0504_0302_0100, high: 0x0f0e_0d0c_0b0a_0908)
    let sip = SipHash(key: key, compressionRounds: 2, finalizationRounds: 4)
    let hash = (0..<length).map { UInt8($0) }.withView { sip.hash($0) }
    var bytes = ByteBuffer()
    bytes.append(littleEndian: hash.low)
    bytes.append(littleEndian: hash.high)
    #expect(bytes.view.array == expected)
  }
}

@Suite struct ByteBufferTests {
  @Test(arguments: [0, 7, 10, 99, 100, 12_345, UInt64.max])
  func `numbers are written in decimal and hexadecimal`(value: UInt64) {
    var buffer = ByteBuffer()
    buffer.append(decimal: value)
    #expect(buffer.view.string == String(value))
    buffer.removeAll()
    buffer.append(hexadecimal: value)
    #expect(buffer.view.string == String(value, radix: 16))
    buffer.removeAll()
    buffer.append(allHexadecimal: value)
    #expect(buffer.view.string.count == 16 && UInt64(buffer.view.string, radix: 16) == value)
    buffer.removeAll()
    buffer.append(allHexadecimal: UInt8(truncatingIfNeeded: value))
    #expect(
      buffer.view.string.count == 2
        && UInt8(buffer.view.string, radix: 16) == UInt8(truncatingIfNeeded: value))
  }

  @Test func `an empty buffer owns no memory and gives it back when released`() {
    var buffer = ByteBuffer()
    #expect(buffer.capacity == 0)
    buffer.append("hello")
    #expect(buffer.view == ByteView("hello"))
    buffer.removeFirst(2)
    #expect(buffer.view.string == "llo")
    buffer.release()
    #expect(buffer.capacity == 0 && buffer.isEmpty)
  }
}

@Suite struct ASCIITests {
  @Test func `token bytes are those of RFC 9110 section 5 6 2`() {
    let token = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    for byte in UInt8.min...UInt8.max {
      #expect(ASCII.isTokenByte(byte) == token.utf8.contains(byte))
    }
  }
}
