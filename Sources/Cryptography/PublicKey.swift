// Public keys from bytes that somebody sent. What a key must be is checked here, before OpenSSL is asked
// for anything but arithmetic: lengths, the size of an RSA key, the point on its curve.

internal import COpenSSL

/// OpenSSL's public key.
@safe
struct PublicKey: ~Copyable {
  let handle: OpaquePointer
  /// Bytes of a signature with it, as JOSE writes them.
  let signatureLength: Int

  private init(_ handle: OpaquePointer, signatureLength: Int) {
    unsafe self.handle = handle
    self.signatureLength = signatureLength
  }

  deinit { unsafe EVP_PKEY_free(handle) }

  /// The key of some material, which must not be a secret.
  static func make(_ material: KeyMaterial) throws(KeyDefect) -> PublicKey {
    switch material {
    case .secret: throw .wrongKind
    case .rsa(let modulus, let exponent): try rsa(modulus, exponent)
    case .elliptic(let curve, let x, let y): try elliptic(curve, x, y)
    case .ed25519(let point): try ed25519(point)
    }
  }

  // MARK: RSA

  private static func rsa(_ modulus: [UInt8], _ exponent: [UInt8]) throws(KeyDefect) -> PublicKey {
    guard let first = modulus.first, let last = modulus.last, first != 0, last & 1 == 1 else {
      throw .badModulus
    }
    let bits = modulus.count * 8 - first.leadingZeroBitCount
    guard bits >= 2_048 else { throw .modulusTooShort }
    guard bits <= 8_192 else { throw .modulusTooLong }
    guard let top = exponent.first, let low = exponent.last, top != 0, low & 1 == 1,
      exponent.count <= 8, exponent.count > 1 || low >= 3
    else { throw .badExponent }
    let handle: OpaquePointer
    do throws(OpenSSLError) {
      unsafe handle = try build("RSA") { (builder) throws(OpenSSLError) in
        let n = try Number(modulus)
        let e = try Number(exponent)
        try unsafe check(OSSL_PARAM_BLD_push_BN(builder, cString("n"), n.handle))
        try unsafe check(OSSL_PARAM_BLD_push_BN(builder, cString("e"), e.handle))
        let parameters = unsafe OSSL_PARAM_BLD_to_param(builder)
        // The builder refers to the numbers until here.
        withExtendedLifetime(n) {}
        withExtendedLifetime(e) {}
        return unsafe try made(parameters.map { OpaquePointer($0) })
      }
    } catch {
      throw .refused(error)
    }
    return unsafe PublicKey(handle, signatureLength: modulus.count)
  }

  // MARK: Curves

  private static func elliptic(
    _ curve: EllipticCurve, _ x: [UInt8], _ y: [UInt8]
  ) throws(KeyDefect) -> PublicKey {
    guard x.count == curve.length, y.count == curve.length else { throw .wrongLength }
    // An uncompressed point (SEC 1 §2.3.3). Decoding it fails unless it is on the curve.
    let point = [4] + x + y
    let handle: OpaquePointer
    do throws(OpenSSLError) {
      unsafe handle = try build("EC") { (builder) throws(OpenSSLError) in
        // The builder refers to all that is pushed until the parameters are made.
        try unsafe check(
          OSSL_PARAM_BLD_push_utf8_string(builder, cString("group"), cString(curve.name), 0))
        let parameters = unsafe point.withUnsafeBytes { point in
          unsafe OSSL_PARAM_BLD_push_octet_string(
            builder, cString("pub"), point.baseAddress, point.count) == 1
            ? OSSL_PARAM_BLD_to_param(builder) : nil
        }
        return unsafe try made(parameters.map { OpaquePointer($0) })
      }
    } catch {
      throw .notOnCurve
    }
    let key = unsafe PublicKey(handle, signatureLength: 2 * curve.length)
    guard key.isValid() else { throw .notOnCurve }
    return key
  }

  /// OpenSSL's own check of a point: not at infinity, coordinates in range, on the curve.
  private borrowing func isValid() -> Bool {
    ErrorQueue.clear()
    guard let context = unsafe EVP_PKEY_CTX_new_from_pkey(nil, handle, nil) else { return false }
    defer { unsafe EVP_PKEY_CTX_free(context) }
    let result = unsafe EVP_PKEY_public_check_quick(context)
    ErrorQueue.clear()
    return result == 1
  }

  private static func ed25519(_ point: [UInt8]) throws(KeyDefect) -> PublicKey {
    guard point.count == 32 else { throw .wrongLength }
    guard !SmallOrder.contains(point) else { throw .smallOrder }
    ErrorQueue.clear()
    // Safe: the array has the 32 bytes that are announced.
    guard let handle = unsafe EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, point, 32) else {
      throw .refused(ErrorQueue.drain())
    }
    return unsafe PublicKey(handle, signatureLength: 64)
  }

  // MARK: OpenSSL's way to build a key

  /// Makes a public key of a type from the parameters that `fill` returns.
  private static func build(
    _ type: String, _ fill: (OpaquePointer) throws(OpenSSLError) -> OpaquePointer
  ) throws(OpenSSLError) -> OpaquePointer {
    ErrorQueue.clear()
    let builder = unsafe try made(OSSL_PARAM_BLD_new())
    defer { unsafe OSSL_PARAM_BLD_free(builder) }
    let parameters = unsafe UnsafeMutablePointer<OSSL_PARAM>(try fill(builder))
    defer { unsafe OSSL_PARAM_free(parameters) }
    let context = unsafe try made(EVP_PKEY_CTX_new_from_name(nil, type, nil))
    defer { unsafe EVP_PKEY_CTX_free(context) }
    try unsafe check(EVP_PKEY_fromdata_init(context))
    var key: OpaquePointer?
    try unsafe check(
      EVP_PKEY_fromdata(context, &key, weir_public_key_selection(), parameters))
    return unsafe try made(key)
  }
}

/// The constant C string that a literal is.
private func cString(_ literal: StaticString) -> UnsafePointer<CChar> {
  // Safe: literals end with NUL and live as long as the process.
  unsafe UnsafeRawPointer(literal.utf8Start).assumingMemoryBound(to: CChar.self)
}

/// A large number.
@safe
private struct Number: ~Copyable {
  let handle: OpaquePointer

  /// The number with these bytes, most significant first.
  init(_ bytes: [UInt8]) throws(OpenSSLError) {
    guard let handle = unsafe BN_bin2bn(bytes, Int32(clamping: bytes.count), nil) else {
      throw ErrorQueue.drain()
    }
    unsafe self.handle = handle
  }

  deinit { unsafe BN_free(handle) }
}

/// The points of Curve25519 whose order divides 8, as Ed25519 encodes them (RFC 8032 §5.1.2; y below
/// and above the prime, the sign bit left out). A public key that is one of them accepts signatures
/// that anybody can make.
private enum SmallOrder {
  static func contains(_ point: [UInt8]) -> Bool {
    guard let last = point.last else { return false }
    let middle = point.dropFirst().dropLast()
    let top = last & 0x7F
    // y = 0, 1, and the prime p = 2^255 - 19, as p - 1, p, p + 1.
    if top == 0, middle.allSatisfy({ $0 == 0 }) { return point[0] <= 1 }
    if top == 0x7F, middle.allSatisfy({ $0 == 0xFF }) { return (0xEC...0xEE).contains(point[0]) }
    let masked = Array(point.dropLast()) + [top]
    return orderEight.contains { Base64URL.encode(masked) == $0 }
  }

  /// The two y of order 8.
  private static let orderEight = [
    "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU", "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o",
  ]
}
