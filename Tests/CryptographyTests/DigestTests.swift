import Bytes
import Cryptography
import Testing

@Suite struct DigestTests {
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ])
  func `SHA-256 gives FIPS 180's digests, one after the other`(text: String, digest: String) throws
  {
    let context = try DigestContext.make(.sha256)
    for _ in 0..<3 {
      let result = try text.withView { try context.digest256($0) }
      #expect(result.array == hex(digest))
    }
  }

  @Test(arguments: [
    (
      HashFunction.sha256,
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    ),
    (
      .sha384,
      "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
      "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"
    ),
    (
      .sha512,
      "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
      "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
    ),
  ])
  func `HMAC gives the codes of RFC 4231, again and again`(
    function: HashFunction, first: String, second: String
  ) throws {
    let one = try KeyedHMAC.make(function, key: [UInt8](repeating: 0x0b, count: 20))
    let two = try KeyedHMAC.make(function, key: Array("Jefe".utf8))
    for _ in 0..<3 {
      #expect(try "Hi There".withView { try one.code($0) } == hex(first))
      let text = "what do ya want for nothing?"
      #expect(try text.withView { try two.code($0) } == hex(second))
      #expect(text.withView { text in hex(second).withView { two.verifies(text, code: $0) } })
    }
  }

  @Test func `a code that differs in one bit, or is cut, is not right`() throws {
    let hmac = try KeyedHMAC.make(.sha256, key: [UInt8](repeating: 7, count: 32))
    let code = try "text".withView { try hmac.code($0) }
    for bit in 0..<256 {
      var other = code
      other[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(!"text".withView { text in other.withView { hmac.verifies(text, code: $0) } })
    }
    for length in 0..<32 {
      let cut = Array(code[..<length])
      #expect(!"text".withView { text in cut.withView { hmac.verifies(text, code: $0) } })
    }
  }

  @Test func `a text in pieces has the code of the whole`() throws {
    let hmac = try KeyedHMAC.make(.sha256, key: [1, 2, 3])
    let whole = try "one two".withView { try hmac.code256($0) }
    try hmac.begin()
    try "one".withView { try hmac.add($0) }
    try hmac.add(ByteView())
    try " two".withView { try hmac.add($0) }
    #expect(try hmac.finish256() == whole)
    // A text that was begun and left is forgotten.
    try hmac.begin()
    try "else".withView { try hmac.add($0) }
    #expect(try "one two".withView { try hmac.code256($0) } == whole)
  }

  @Test func `an empty key is refused`() {
    #expect(throws: OpenSSLError.self) { _ = try KeyedHMAC.make(.sha256, key: []) }
  }

  @Test func `digests compare by all their bytes`() {
    let bytes = [UInt8](0..<32)
    let digest = bytes.withView { Digest256($0) }
    #expect(digest?.array == bytes)
    for index in 0..<32 {
      var other = bytes
      other[index] ^= 0x80
      #expect(digest != other.withView { Digest256($0) })
    }
    #expect([1, 2].withView { Digest256($0) } == nil)
  }
}
