import Bytes
import Cryptography
import Testing

private let asymmetric = SignatureAlgorithm.allCases.filter { $0.family != .hmac }

@Suite struct KeyTests {
  @Test(arguments: asymmetric)
  func `a signature is right for its message only`(algorithm: SignatureAlgorithm) throws {
    let signer = try #require(try SigningKey.generate(algorithm))
    let key = try VerificationKey(try signer.material(), for: algorithm)
    let message = Array("what was signed".utf8)
    let signature = try message.withView { try signer.sign($0) }
    for _ in 0..<3 {
      #expect(key.accepts(message, signature))
      #expect(!key.accepts(message + [0], signature))
      #expect(!key.accepts([], signature))
    }
    for index in stride(from: 0, to: signature.count, by: 7) {
      var other = signature
      other[index] ^= 4
      #expect(!key.accepts(message, other))
    }
    #expect(!key.accepts(message, signature + [0]))
    #expect(!key.accepts(message, [0] + signature))
    #expect(!key.accepts(message, Array(signature.dropLast())))
    #expect(!key.accepts(message, []))
    #expect(key.accepts(message, signature))
  }

  @Test(arguments: asymmetric)
  func `a key of another kind, or another key, is refused`(algorithm: SignatureAlgorithm) throws {
    let signer = try #require(try SigningKey.generate(algorithm))
    let other = try #require(try SigningKey.generate(algorithm))
    let message = Array("text".utf8)
    let signature = try message.withView { try signer.sign($0) }
    let key = try VerificationKey(try other.material(), for: algorithm)
    #expect(!key.accepts(message, signature))
    for wrong in SignatureAlgorithm.allCases where !(try signer.material().fits(wrong)) {
      #expect(throws: KeyDefect.wrongKind) {
        _ = try VerificationKey(try signer.material(), for: wrong)
      }
    }
  }

  @Test func `RSA's two paddings are not taken for each other`() throws {
    let signer = try #require(try SigningKey.generate(.rs256))
    let message = Array("text".utf8)
    let pkcs = try message.withView { try signer.sign($0) }
    let pss = try message.withView { try signer.using(.ps256).sign($0) }
    let material = try signer.material()
    #expect(try VerificationKey(material, for: .rs256).accepts(message, pkcs))
    #expect(try !VerificationKey(material, for: .rs256).accepts(message, pss))
    #expect(try VerificationKey(material, for: .ps256).accepts(message, pss))
    #expect(try !VerificationKey(material, for: .ps256).accepts(message, pkcs))
    #expect(try !VerificationKey(material, for: .rs512).accepts(message, pkcs))
  }

  @Test func `Ed25519 gives the result of RFC 8032 §7.1`() throws {
    let key = try VerificationKey(
      .ed25519(hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")),
      for: .edDSA)
    let signature = hex(
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
    #expect(key.accepts([0x72], signature))
    #expect(!key.accepts([0x73], signature))
  }

  @Test(arguments: [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  ])
  func `an Ed25519 key of small order is refused`(point: String) {
    #expect(throws: KeyDefect.smallOrder) {
      _ = try VerificationKey(.ed25519(hex(point)), for: .edDSA)
    }
  }

  @Test(arguments: EllipticCurve.allCases)
  func `a point that is not on its curve is refused`(curve: EllipticCurve) throws {
    let signer = try #require(try SigningKey.generate(curve.algorithm))
    guard case .elliptic(_, let x, let y) = try signer.material() else {
      Issue.record("not a point")
      return
    }
    for bit in 0..<8 as Range<UInt8> {
      var other = y
      other[curve.length - 1] ^= 1 << bit
      #expect(throws: KeyDefect.notOnCurve) {
        _ = try VerificationKey(.elliptic(curve, x: x, y: other), for: curve.algorithm)
      }
    }
    let zero = [UInt8](repeating: 0, count: curve.length)
    let top = [UInt8](repeating: 0xFF, count: curve.length)
    for (x, y) in [(zero, zero), (top, top), (top, y), (x, zero)] {
      #expect(throws: KeyDefect.notOnCurve) {
        _ = try VerificationKey(.elliptic(curve, x: x, y: y), for: curve.algorithm)
      }
    }
    #expect(throws: KeyDefect.wrongLength) {
      _ = try VerificationKey(
        .elliptic(curve, x: Array(x.dropFirst()), y: y), for: curve.algorithm)
    }
    #expect(throws: KeyDefect.wrongLength) {
      _ = try VerificationKey(.elliptic(curve, x: [0] + x, y: y), for: curve.algorithm)
    }
  }

  @Test func `RSA keys that are weak or odd are refused`() throws {
    let good: [UInt8] = [0x80] + [UInt8](repeating: 1, count: 255)
    func defect(_ modulus: [UInt8], _ exponent: [UInt8]) -> KeyDefect? {
      do throws(KeyDefect) {
        _ = try VerificationKey(.rsa(modulus: modulus, exponent: exponent), for: .rs256)
        return nil
      } catch {
        return error
      }
    }
    #expect(defect(good, [1, 0, 1]) == nil)
    #expect(defect(good, [3]) == nil)
    #expect(defect([0x7F] + good.dropFirst(), [1, 0, 1]) == .modulusTooShort)
    #expect(defect([0] + good, [1, 0, 1]) == .badModulus)
    #expect(defect(good.dropLast() + [2], [1, 0, 1]) == .badModulus)
    #expect(defect([], [1, 0, 1]) == .badModulus)
    #expect(
      defect([1] + [UInt8](repeating: 1, count: 1024), [1, 0, 1]) == .modulusTooLong)
    for exponent: [UInt8] in [[], [1], [0], [0, 3], [2], [1, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 1]] {
      #expect(defect(good, exponent) == .badExponent)
    }
  }

  @Test(arguments: [SignatureAlgorithm.hs256, .hs384, .hs512])
  func `a secret is at least as long as its digest`(algorithm: SignatureAlgorithm) throws {
    let length = algorithm.hash.length
    #expect(throws: KeyDefect.secretTooShort) {
      _ = try VerificationKey(
        .secret([UInt8](repeating: 1, count: length - 1)), for: algorithm)
    }
    let secret = [UInt8](repeating: 1, count: length)
    let key = try VerificationKey(.secret(secret), for: algorithm)
    let code = try "text".withView { try KeyedHMAC.make(algorithm.hash, key: secret).code($0) }
    #expect(key.accepts(Array("text".utf8), code))
    #expect(!key.accepts(Array("text".utf8), Array(code.dropLast())))
  }

  @Test func `numbers of a signature keep their value in DER`() throws {
    // Signatures whose halves begin with zeros or a set bit come up in a few hundred.
    let signer = try #require(try SigningKey.generate(.es256))
    let key = try VerificationKey(try signer.material(), for: .es256)
    for number in 0..<600 {
      let message = Array("message \(number)".utf8)
      let signature = try message.withView { try signer.sign($0) }
      #expect(key.accepts(message, signature))
    }
  }
}
