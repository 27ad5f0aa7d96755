/// How a message is signed: the algorithms of JOSE (RFC 7518 §3.1, RFC 8037 §3.1), without `none`.
package enum SignatureAlgorithm: UInt8, CaseIterable, Sendable {
  /// HMAC with SHA-256
  case hs256
  /// HMAC with SHA-384
  case hs384
  /// HMAC with SHA-512
  case hs512
  /// RSASSA-PKCS1-v1_5 with SHA-256
  case rs256
  /// RSASSA-PKCS1-v1_5 with SHA-384
  case rs384
  /// RSASSA-PKCS1-v1_5 with SHA-512
  case rs512
  /// RSASSA-PSS with SHA-256, MGF1 with the same, and a salt as long as the digest
  case ps256
  /// RSASSA-PSS with SHA-384
  case ps384
  /// RSASSA-PSS with SHA-512
  case ps512
  /// ECDSA on P-256 with SHA-256
  case es256
  /// ECDSA on P-384 with SHA-384
  case es384
  /// ECDSA on P-521 with SHA-512
  case es512
  /// Ed25519
  case edDSA

  /// What kind of key an algorithm needs.
  package enum Family: Sendable {
    /// A secret that both sides know.
    case hmac
    /// An RSA key, padded as PKCS #1 version 1.5.
    case rsa
    /// An RSA key, padded as PSS.
    case rsaPSS
    /// A key on one of NIST's curves.
    case ecdsa
    /// A key on Curve25519.
    case edDSA
  }

  /// What kind of key it needs.
  package var family: Family {
    switch self {
    case .hs256, .hs384, .hs512: .hmac
    case .rs256, .rs384, .rs512: .rsa
    case .ps256, .ps384, .ps512: .rsaPSS
    case .es256, .es384, .es512: .ecdsa
    case .edDSA: .edDSA
    }
  }

  /// The hash function; Ed25519 has its own inside, SHA-512.
  package var hash: HashFunction {
    switch self {
    case .hs256, .rs256, .ps256, .es256: .sha256
    case .hs384, .rs384, .ps384, .es384: .sha384
    case .hs512, .rs512, .ps512, .es512, .edDSA: .sha512
    }
  }

  /// The curve of an ECDSA algorithm.
  package var curve: EllipticCurve? {
    switch self {
    case .es256: .p256
    case .es384: .p384
    case .es512: .p521
    default: nil
    }
  }
}

/// A curve of NIST's (FIPS 186-4).
package enum EllipticCurve: UInt8, CaseIterable, Sendable {
  /// P-256
  case p256
  /// P-384
  case p384
  /// P-521
  case p521

  /// Bytes of a coordinate, and of each half of a signature.
  package var length: Int {
    switch self {
    case .p256: 32
    case .p384: 48
    case .p521: 66
    }
  }

  /// The algorithm that is used with it (RFC 7518 §3.4).
  package var algorithm: SignatureAlgorithm {
    switch self {
    case .p256: .es256
    case .p384: .es384
    case .p521: .es512
    }
  }

  /// OpenSSL's name for it.
  var name: StaticString {
    switch self {
    case .p256: "P-256"
    case .p384: "P-384"
    case .p521: "P-521"
    }
  }
}

/// What a key consists of, as bytes: a value that any thread may make a `VerificationKey` from.
package enum KeyMaterial: Sendable, Hashable {
  /// A secret for HMAC.
  case secret([UInt8])
  /// An RSA key's modulus and public exponent, most significant byte first.
  case rsa(modulus: [UInt8], exponent: [UInt8])
  /// A point on a curve; each coordinate has the curve's length.
  case elliptic(EllipticCurve, x: [UInt8], y: [UInt8])
  /// An Ed25519 public key.
  case ed25519([UInt8])

  /// Whether the key is one for the algorithm. An RSA key is never one for HMAC, whoever asks: the
  /// confusion of the two is an attack (RFC 8725 §2.1).
  package func fits(_ algorithm: SignatureAlgorithm) -> Bool {
    switch (self, algorithm.family) {
    case (.secret, .hmac), (.rsa, .rsa), (.rsa, .rsaPSS), (.ed25519, .edDSA): true
    case (.elliptic(let curve, _, _), .ecdsa): algorithm.curve == curve
    default: false
    }
  }
}

/// Why a key is not used.
package enum KeyDefect: Error, Equatable, Sendable, CustomStringConvertible {
  /// The key is of another kind than the algorithm needs.
  case wrongKind
  /// A secret shorter than the digest of its algorithm (RFC 7518 §3.2).
  case secretTooShort
  /// An RSA modulus below 2,048 bits (RFC 7518 §3.3).
  case modulusTooShort
  /// An RSA modulus above 8,192 bits: checking a signature would take too long.
  case modulusTooLong
  /// An RSA modulus that is even or has leading zeros.
  case badModulus
  /// An RSA exponent that is even, below 3 or above 64 bits.
  case badExponent
  /// A coordinate or a public key of another length than the curve's (RFC 7518 §6.2.1.2).
  case wrongLength
  /// A point that is not on its curve (RFC 8725 §2.5).
  case notOnCurve
  /// A point of small order: signatures for it can be made without a private key.
  case smallOrder
  /// OpenSSL did not take the key.
  case refused(OpenSSLError)

  /// What is wrong, in a few words.
  package var description: String {
    switch self {
    case .wrongKind: "the key is of another kind than its algorithm needs"
    case .secretTooShort: "the secret is shorter than its algorithm's digest"
    case .modulusTooShort: "the RSA modulus has fewer than 2048 bits"
    case .modulusTooLong: "the RSA modulus has more than 8192 bits"
    case .badModulus: "the RSA modulus is even or begins with zeros"
    case .badExponent: "the RSA exponent is even, below 3, or above 64 bits"
    case .wrongLength: "a coordinate has another length than the curve's"
    case .notOnCurve: "the point is not on its curve"
    case .smallOrder: "the point has a small order"
    case .refused(let error): "OpenSSL refuses the key: \(error)"
    }
  }
}
