internal import COpenSSL

extension SigningKey {
  /// The private key in a PEM file's bytes: RSA signs as RS256, keys on NIST's curves as the curve has it,
  /// Ed25519 as EdDSA. A key behind a passphrase is refused.
  package static func load(pem: [UInt8]) throws(OpenSSLError) -> SigningKey {
    ErrorQueue.clear()
    let count = Int32(clamping: pem.count)
    // Safe: the BIO reads the array within the call only, and an empty passphrase asks nobody.
    let key = unsafe pem.withUnsafeBytes { bytes -> OpaquePointer? in
      guard let bio = unsafe BIO_new_mem_buf(bytes.baseAddress, count) else { return nil }
      defer { unsafe BIO_free(bio) }
      var passphrase: CChar = 0
      return unsafe PEM_read_bio_PrivateKey(bio, nil, nil, &passphrase)
    }
    let handle = unsafe try made(key)
    guard let algorithm = unsafe algorithm(of: handle) else {
      unsafe EVP_PKEY_free(handle)
      throw OpenSSLError(code: 0)
    }
    return unsafe SigningKey(algorithm, handle)
  }

  private static func algorithm(of key: OpaquePointer) -> SignatureAlgorithm? {
    switch unsafe EVP_PKEY_get_base_id(key) {
    case EVP_PKEY_RSA: .rs256
    case EVP_PKEY_ED25519: .edDSA
    case EVP_PKEY_EC:
      switch unsafe EVP_PKEY_get_bits(key) {
      case 256: .es256
      case 384: .es384
      case 521: .es512
      default: nil
      }
    default: nil
    }
  }
}
