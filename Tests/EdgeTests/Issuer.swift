import Authentication
import Bytes
import Cryptography
import EdgeTesting

/// Signs tokens as an issuer does, or as an attacker would.
struct Issuer: @unchecked Sendable {
  // Sendable because a test signs with it on one task at a time.
  let algorithm: SignatureAlgorithm
  let id: String
  private let signer: SigningKey?
  private let material: KeyMaterial
  static let secret = [UInt8](
    "a secret of sixty-four bytes, which no issuer should ever choose.".utf8)

  init(_ algorithm: SignatureAlgorithm, id: String = "key-1") throws {
    self.algorithm = algorithm
    self.id = id
    signer = try SigningKey.generate(algorithm)
    material = try signer?.material() ?? .secret(Self.secret)
  }

  /// The key as a JWK set has it.
  var jwk: String {
    let members =
      switch material {
      case .secret(let bytes): #""kty":"oct","k":"\#(Base64URL.encode(bytes))""#
      case .rsa(let modulus, let exponent):
        #""kty":"RSA","n":"\#(Base64URL.encode(modulus))","e":"\#(Base64URL.encode(exponent))""#
      case .elliptic(_, let x, let y):
        #""kty":"EC","crv":"P-256","x":"\#(Base64URL.encode(x))","y":"\#(Base64URL.encode(y))""#
      case .ed25519(let x): #""kty":"OKP","crv":"Ed25519","x":"\#(Base64URL.encode(x))""#
      }
    return #"{"kid":"\#(id)",\#(members)}"#
  }

  /// A JWK set.
  static func set(_ issuers: Issuer...) -> String {
    #"{"keys":[\#(issuers.map(\.jwk).joined(separator: ","))]}"#
  }

  /// A signed token, good for an hour after a node's clock begins.
  func token(
    _ others: String = "", subject: String = "anna", expires: Int64 = TestNode.start / 1000 + 3_600,
    header: String? = nil
  ) throws -> String {
    let claims =
      #"{"exp":\#(expires),"sub":"\#(subject)"\#(others.isEmpty ? "" : "," + others)}"#
    return try sign(header ?? #"{"alg":"\#(algorithm.name)","kid":"\#(id)"}"#, claims)
  }

  /// A header and a payload with a signature.
  func sign(_ header: String, _ payload: String) throws -> String {
    let text =
      Base64URL.encode(Array(header.utf8)) + "." + Base64URL.encode(Array(payload.utf8))
    let signature = try text.withView { text in
      try signer.map { try $0.sign(text) }
        ?? KeyedHMAC.make(algorithm.hash, key: Self.secret).code(text)
    }
    return text + "." + Base64URL.encode(signature)
  }
}
