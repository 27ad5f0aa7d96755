// Making signatures: what a program that issues tokens needs. The node itself only signs with HMAC.

package import Bytes
internal import COpenSSL

/// A fresh private key for one algorithm, with its public half.
@safe
package final class SigningKey {
  /// The algorithm it signs with.
  package let algorithm: SignatureAlgorithm
  private let handle: OpaquePointer

  init(_ algorithm: SignatureAlgorithm, _ handle: OpaquePointer) {
    self.algorithm = algorithm
    unsafe self.handle = handle
  }

  deinit { unsafe EVP_PKEY_free(handle) }

  /// A new key; nil for HMAC, which has no private keys. RSA takes a tenth of a second and more.
  package static func generate(
    _ algorithm: SignatureAlgorithm, rsaBits: UInt32 = 2_048
  ) throws(OpenSSLError) -> SigningKey? {
    ErrorQueue.clear()
    switch algorithm.family {
    case .hmac: return nil
    case .rsa, .rsaPSS:
      return unsafe SigningKey(algorithm, try made(weir_generate_rsa(rsaBits)))
    case .ecdsa:
      let group = "\(algorithm.curve?.name ?? "")"
      return unsafe SigningKey(algorithm, try made(weir_generate_ec(group)))
    case .edDSA: return unsafe SigningKey(algorithm, try made(weir_generate_ed25519()))
    }
  }

  /// The same key for another algorithm of its kind.
  package func using(_ algorithm: SignatureAlgorithm) -> SigningKey {
    _ = unsafe EVP_PKEY_up_ref(handle)
    return unsafe SigningKey(algorithm, handle)
  }

  /// The public half.
  package func material() throws(OpenSSLError) -> KeyMaterial {
    ErrorQueue.clear()
    switch algorithm.family {
    case .rsa, .rsaPSS, .hmac:
      return .rsa(modulus: try number("n", nil), exponent: try number("e", nil))
    case .ecdsa:
      let curve = algorithm.curve ?? .p256
      return .elliptic(
        curve, x: try number("qx", curve.length), y: try number("qy", curve.length))
    case .edDSA:
      var point = [UInt8](repeating: 0, count: 32)
      var length = 32
      try unsafe check(EVP_PKEY_get_raw_public_key(handle, &point, &length))
      return .ed25519(point)
    }
  }

  private func number(_ name: String, _ length: Int?) throws(OpenSSLError) -> [UInt8] {
    var number: OpaquePointer?
    try unsafe check(EVP_PKEY_get_bn_param(handle, name, &number))
    let value = unsafe try made(number)
    defer { unsafe BN_free(value) }
    let count = length ?? Int((unsafe BN_num_bits(value) + 7) / 8)
    return unsafe try SigningKey.bytes(value, count)
  }

  /// The signature of a message, as JOSE writes it.
  package func sign(_ message: ByteView) throws(OpenSSLError) -> [UInt8] {
    ErrorQueue.clear()
    let context = unsafe try made(EVP_MD_CTX_new())
    defer { unsafe EVP_MD_CTX_free(context) }
    var parameters: OpaquePointer?
    let hash = algorithm.family == .edDSA ? nil : algorithm.hash.name
    try unsafe check(EVP_DigestSignInit_ex(context, &parameters, hash, nil, nil, handle, nil))
    if algorithm.family == .rsaPSS {
      try unsafe check(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING))
      try unsafe check(EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST))
    }
    var length = 1_024
    var signature = [UInt8](repeating: 0, count: length)
    // Safe: the view covers `count` readable bytes, and the array has the length that is announced.
    try unsafe check(
      EVP_DigestSign(
        context, &signature, &length,
        message.baseAddress.assumingMemoryBound(to: UInt8.self), message.count))
    signature.removeLast(signature.count - length)
    guard let curve = algorithm.curve else { return signature }
    return try SigningKey.fixedLength(signature, curve.length)
  }

  /// The two numbers of a signature in DER, each with the curve's length.
  private static func fixedLength(
    _ encoded: [UInt8], _ length: Int
  ) throws(OpenSSLError) -> [UInt8] {
    let decoded = unsafe encoded.withUnsafeBufferPointer { buffer in
      var start = buffer.baseAddress
      return unsafe d2i_ECDSA_SIG(nil, &start, buffer.count)
    }
    let signature = unsafe try made(decoded)
    defer { unsafe ECDSA_SIG_free(signature) }
    return unsafe try bytes(ECDSA_SIG_get0_r(signature), length)
      + bytes(ECDSA_SIG_get0_s(signature), length)
  }

  /// A number in `length` bytes, most significant first.
  private static func bytes(
    _ number: OpaquePointer?, _ length: Int
  ) throws(OpenSSLError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: length)
    guard unsafe BN_bn2binpad(number, &bytes, Int32(clamping: length)) == length else {
      throw ErrorQueue.drain()
    }
    return bytes
  }
}
