package import Bytes
package import Cryptography

extension SignatureAlgorithm {
  /// The name in JOSE (RFC 7518 §3.1, RFC 8037 §3.1). Names are case-sensitive.
  package var name: StaticString {
    switch self {
    case .hs256: "HS256"
    case .hs384: "HS384"
    case .hs512: "HS512"
    case .rs256: "RS256"
    case .rs384: "RS384"
    case .rs512: "RS512"
    case .ps256: "PS256"
    case .ps384: "PS384"
    case .ps512: "PS512"
    case .es256: "ES256"
    case .es384: "ES384"
    case .es512: "ES512"
    case .edDSA: "EdDSA"
    }
  }

  /// The algorithm of a name; nil for `none` and for all that is not known.
  package init?(name: ByteView) {
    for algorithm in SignatureAlgorithm.allCases where ByteView(algorithm.name) == name {
      self = algorithm
      return
    }
    return nil
  }
}

/// Some of the algorithms.
package struct AlgorithmSet: Sendable, Equatable {
  private var bits: UInt16

  /// The algorithms of a list.
  package init(_ algorithms: [SignatureAlgorithm]) {
    bits = algorithms.reduce(0) { $0 | 1 << UInt16($1.rawValue) }
  }

  /// Whether an algorithm is among them.
  package func contains(_ algorithm: SignatureAlgorithm) -> Bool {
    bits >> UInt16(algorithm.rawValue) & 1 == 1
  }

  /// Whether there are none.
  package var isEmpty: Bool { bits == 0 }

  /// The algorithms in the order of their names' standard.
  package var list: [SignatureAlgorithm] { SignatureAlgorithm.allCases.filter(contains) }
}
