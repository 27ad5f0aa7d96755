import Authentication
import Bytes
import CLinux
import Cryptography
import EventLoop
import Testing

/// Milliseconds since the epoch at which all tests take place.
let testTime: Int64 = 1_700_000_000_000

/// A reading of the clocks so many milliseconds after that.
func at(_ milliseconds: Int64 = 0) -> Instant {
  Instant(monotonic: 1 << 50 + milliseconds * 1_000_000, wall: testTime + milliseconds)
}

/// Signs tokens as an issuer does, or as an attacker would.
struct Issuer {
  let algorithm: SignatureAlgorithm
  let id: String?
  let material: KeyMaterial
  private let signer: SigningKey?
  static let secret = [UInt8](
    "a secret of sixty-four bytes, which no issuer should ever choose.".utf8)

  init(_ algorithm: SignatureAlgorithm, id: String? = "key-1") throws {
    self.algorithm = algorithm
    self.id = id
    signer = try SigningKey.generate(algorithm)
    material = try signer?.material() ?? .secret(Issuer.secret)
  }

  var description: KeyDescription {
    KeyDescription(id: id.map { Array($0.utf8) }, material: material, algorithm: nil)
  }

  /// The header that belongs to the key.
  var header: String {
    let kid = id.map { #","kid":"\#($0)""# } ?? ""
    return #"{"alg":"\#(algorithm.name)"\#(kid)}"#
  }

  /// A signed token.
  func token(_ claims: String, header: String? = nil) throws -> String {
    let text =
      Base64URL.encode(Array((header ?? self.header).utf8)) + "."
      + Base64URL.encode(Array(claims.utf8))
    return text + "." + Base64URL.encode(try signature(text))
  }

  /// The signature of a text.
  func signature(_ text: String) throws -> [UInt8] {
    try text.withView { text in
      try signer.map { try $0.sign(text) }
        ?? KeyedHMAC.make(algorithm.hash, key: Issuer.secret).code(text)
    }
  }
}

/// A gate with a source of keys that the test fills.
struct Gate {
  let source: KeySource
  let authenticator: TokenAuthenticator

  init(_ keys: [KeyDescription]?, _ rules: TokenRules, clock: NodeClock? = nil) throws {
    source = try KeySource(
      .file("nowhere"), timing: RefreshTiming(),
      clock: clock ?? NodeClock(manualFrom: testTime))
    if let keys { source.keys.publish(KeySet(keys: keys)) }
    authenticator = TokenAuthenticator(
      rules: rules, source: source, secret: Hash128(low: 1, high: 2))
  }

  init(_ issuer: Issuer, _ rules: TokenRules? = nil) throws {
    try self.init([issuer.description], rules ?? TokenRules(algorithms: [issuer.algorithm]))
  }

  /// Why a token is refused; nil if it is not.
  func refusal(_ token: String, now: Instant = at()) -> TokenRefusal? {
    if case .refused(let refusal) = token.withView({ authenticator.verify($0, now: now) }) {
      return refusal
    }
    return nil
  }

  /// The token if it is accepted.
  func accepted(_ token: String, now: Instant = at()) -> VerifiedToken? {
    if case .verified(let token) = token.withView({ authenticator.verify($0, now: now) }) {
      return token
    }
    return nil
  }
}

/// Claims that are good for some time, with others.
func claims(_ others: String = "") -> String {
  #"{"exp":1700003600,"sub":"anna"\#(others.isEmpty ? "" : "," + others)}"#
}

/// The folder with test data that are not part of the repository; nil if it is missing.
let sharedData: String? = {
  let fromEnvironment = unsafe getenv("WEIR_SHARED_DATA").map { unsafe String(cString: $0) }
  let file = "\(#filePath)"
  let repository = file.split(separator: "/").dropLast(3).joined(separator: "/")
  let path = fromEnvironment ?? "/\(repository)/../shared/data"
  return unsafe access(path, R_OK) == 0 ? path : nil
}()

/// A file that is gone at the end of its test.
final class TemporaryFile {
  let path: String

  init(_ content: String) throws {
    var template = Array("/tmp/weir-test-XXXXXX\0".utf8).map { CChar(bitPattern: $0) }
    let number = unsafe mkstemp(&template)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    close(number)
    write(content)
  }

  deinit { _ = unsafe unlink(path) }

  func write(_ content: String) {
    let bytes = Array(content.utf8)
    guard let file = unsafe fopen(path, "w") else { return }
    unsafe fwrite(bytes, 1, bytes.count, file)
    unsafe fclose(file)
  }
}
