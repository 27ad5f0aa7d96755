// Checking signatures. All that OpenSSL needs for a key is made once: the algorithm looked up, the key
// loaded, padding and hash function set. A check is then a hash and one call:
//
//   HMAC      EVP_MAC with the key in its context, compared in constant time
//   RSA, EC   the hash in a context of its own, then EVP_PKEY_verify, which may be called again and
//             again once its context is set (EVP_DigestVerifyInit would cost some microseconds each)
//   Ed25519   EVP_DigestVerify, which hashes by itself
//
// A key belongs to one thread. Each worker makes its own from the same `KeyMaterial`: OpenSSL's keys
// are counted and locked, and what all workers count is what all workers wait for.

package import Bytes
internal import COpenSSL

/// A key that checks signatures of one algorithm.
package final class VerificationKey {
  /// The only algorithm that the key is used with.
  package let algorithm: SignatureAlgorithm
  private let method: Method

  private enum Method: ~Copyable {
    case hmac(KeyedHMAC)
    case hashed(HashedVerifier)
    case ed25519(PublicKey)
  }

  /// A key for an algorithm, of checked material.
  package init(_ material: KeyMaterial, for algorithm: SignatureAlgorithm) throws(KeyDefect) {
    guard material.fits(algorithm) else { throw .wrongKind }
    self.algorithm = algorithm
    switch material {
    case .secret(let secret): method = .hmac(try VerificationKey.hmac(secret, algorithm.hash))
    case .ed25519: method = .ed25519(try PublicKey.make(material))
    case .rsa, .elliptic:
      let key = try PublicKey.make(material)
      do throws(OpenSSLError) {
        method = .hashed(try HashedVerifier.make(key, algorithm))
      } catch {
        throw .refused(error)
      }
    }
  }

  private static func hmac(
    _ secret: [UInt8], _ hash: HashFunction
  ) throws(KeyDefect) -> KeyedHMAC {
    guard secret.count >= hash.length else { throw .secretTooShort }
    do throws(OpenSSLError) {
      return try KeyedHMAC.make(hash, key: secret)
    } catch {
      throw .refused(error)
    }
  }

  /// Whether `signature`, as JOSE writes it, is one of `message`. About 0.5 µs with HMAC, 15 with RSA,
  /// 40 to 200 with a curve. False for whatever goes wrong.
  package func verifies(_ message: ByteView, signature: ByteView) -> Bool {
    switch method {
    case .hmac(let hmac): hmac.verifies(message, code: signature)
    case .hashed(let verifier): verifier.verifies(message, signature)
    case .ed25519(let key): VerificationKey.verifiesEd25519(key, message, signature)
    }
  }

  private static func verifiesEd25519(
    _ key: borrowing PublicKey, _ message: ByteView, _ signature: ByteView
  ) -> Bool {
    guard signature.count == 64, let context = unsafe EVP_MD_CTX_new() else { return false }
    defer { unsafe EVP_MD_CTX_free(context) }
    // Safe: both views cover `count` readable bytes.
    let good =
      unsafe EVP_DigestVerifyInit(context, nil, nil, nil, key.handle) == 1
      && EVP_DigestVerify(
        context, signature.baseAddress.assumingMemoryBound(to: UInt8.self), signature.count,
        message.baseAddress.assumingMemoryBound(to: UInt8.self), message.count) == 1
    if !good { ErrorQueue.clear() }
    return good
  }
}

/// A key of RSA or on a curve, with a context in which everything is set.
@safe
private struct HashedVerifier: ~Copyable {
  private let key: PublicKey
  private let context: OpaquePointer
  private let digest: DigestContext
  private let curve: EllipticCurve?

  private init(
    key: consuming PublicKey, context: OpaquePointer, digest: consuming DigestContext,
    curve: EllipticCurve?
  ) {
    self.key = key
    unsafe self.context = context
    self.digest = digest
    self.curve = curve
  }

  deinit { unsafe EVP_PKEY_CTX_free(context) }

  static func make(
    _ key: consuming PublicKey, _ algorithm: SignatureAlgorithm
  ) throws(OpenSSLError) -> HashedVerifier {
    ErrorQueue.clear()
    let digest = try DigestContext.make(algorithm.hash)
    let context = unsafe try made(EVP_PKEY_CTX_new_from_pkey(nil, key.handle, nil))
    let verifier = unsafe HashedVerifier(
      key: key, context: context, digest: digest, curve: algorithm.curve)
    try verifier.set(algorithm)
    return verifier
  }

  private borrowing func set(_ algorithm: SignatureAlgorithm) throws(OpenSSLError) {
    try unsafe check(EVP_PKEY_verify_init(context))
    if algorithm.family != .ecdsa {
      let padding = algorithm.family == .rsa ? RSA_PKCS1_PADDING : RSA_PKCS1_PSS_PADDING
      try unsafe check(EVP_PKEY_CTX_set_rsa_padding(context, padding))
    }
    // The hash of MGF1 follows it.
    try unsafe check(EVP_PKEY_CTX_set_signature_md(context, digest.handle))
    if algorithm.family == .rsaPSS {
      try unsafe check(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST))
    }
  }

  borrowing func verifies(_ message: ByteView, _ signature: ByteView) -> Bool {
    guard signature.count == key.signatureLength else { return false }
    guard let curve else { return isRight(message, signature) }
    var encoded: InlineArray<160, UInt8> = .init(repeating: 0)
    let length = ECDSASignature.encode(signature, curve.length, into: &encoded)
    return unsafe withUnsafeBytes(of: &encoded) {
      isRight(message, unsafe ByteView(unsafe: $0).prefix(length))
    }
  }

  private borrowing func isRight(_ message: ByteView, _ signature: ByteView) -> Bool {
    var hashed: InlineArray<64, UInt8> = .init(repeating: 0)
    let length = digest.function.length
    let result: Int32 = unsafe withUnsafeMutableBytes(of: &hashed) { buffer in
      guard let start = unsafe buffer.baseAddress?.assumingMemoryBound(to: UInt8.self),
        unsafe (try? digest.hash(message, to: start)) != nil
      else { return 0 }
      // Safe: `hash` has filled `length` bytes, and the view covers the signature.
      return unsafe EVP_PKEY_verify(
        context, signature.baseAddress.assumingMemoryBound(to: UInt8.self), signature.count,
        start, length)
    }
    if result != 1 { ErrorQueue.clear() }
    return result == 1
  }
}

/// An ECDSA signature as OpenSSL reads it: DER's SEQUENCE of two INTEGERs (RFC 3279 §2.2.3), from the
/// two numbers of fixed length that JOSE writes (RFC 7518 §3.4).
enum ECDSASignature {
  /// Writes the DER of two numbers of `length` bytes each, at most 66, and returns how long it is.
  static func encode(
    _ raw: ByteView, _ length: Int, into output: inout InlineArray<160, UInt8>
  ) -> Int {
    let r = integer(raw[0..<length])
    let s = integer(raw[length..<2 * length])
    let content = size(r) + size(s)
    var at = 0
    func put(_ byte: UInt8) {
      output[at] = byte
      at += 1
    }
    func put(_ number: ByteView) {
      put(0x02)
      put(UInt8(truncatingIfNeeded: size(number) - 2))
      if number[0] & 0x80 != 0 { put(0) }
      for index in 0..<number.count { put(number[index]) }
    }
    put(0x30)
    if content > 127 { put(0x81) }
    put(UInt8(truncatingIfNeeded: content))
    put(r)
    put(s)
    return at
  }

  /// The number without leading zeros, but at least one byte.
  private static func integer(_ bytes: ByteView) -> ByteView {
    var start = 0
    while start < bytes.count - 1, bytes[start] == 0 { start += 1 }
    return bytes.dropping(first: start)
  }

  /// Bytes of the number as an INTEGER, with tag and length: a first bit that is set needs a zero.
  private static func size(_ number: ByteView) -> Int {
    2 + number.count + (number[0] & 0x80 != 0 ? 1 : 0)
  }
}
