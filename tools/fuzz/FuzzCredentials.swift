// Targets for what clients and issuers send to be let in.

import Authentication
import Bytes
import Cryptography
import EventLoop

private let fuzzSecret = [UInt8](repeating: 1, count: 64)
private let fuzzNow = Instant(monotonic: 1, wall: 1_700_000_000_000)

/// What is checked against, made once; libFuzzer has one thread.
private struct Fixture {
  nonisolated(unsafe) static let shared = Fixture()
  let gate: TokenAuthenticator?
  let signer: URLSigner?
  let hmac: KeyedHMACBox?

  init() {
    hmac = KeyedHMACBox()
    signer = URLKey(id: "k", secret: fuzzSecret).flatMap { try? URLSigner([$0]) }
    guard
      let source = try? KeySource(.file("unused"), timing: RefreshTiming(), clock: NodeClock())
    else {
      gate = nil
      return
    }
    source.keys.publish(
      KeySet(keys: [KeyDescription(id: nil, material: .secret(fuzzSecret), algorithm: nil)]))
    gate = TokenAuthenticator(
      rules: TokenRules(
        algorithms: [.hs256], ignoresAudience: true, requiredClaims: [], maxRemembered: 4),
      source: source, secret: Hash128(low: 1, high: 2))
  }
}

/// A keyed HMAC that a copyable value may hold.
private final class KeyedHMACBox {
  let hmac: KeyedHMAC
  init?() {
    guard let hmac = try? KeyedHMAC.make(.sha256, key: fuzzSecret) else { return nil }
    self.hmac = hmac
  }
}

/// The input as a token, and as the claims of one that is signed: whatever they say, they are read
/// without harm, and what is remembered is what was verified.
func fuzzToken(_ bytes: ByteView) {
  guard let gate = unsafe Fixture.shared.gate, let hmac = unsafe Fixture.shared.hmac else { return }
  _ = gate.verify(bytes, now: fuzzNow)
  var token = ByteBuffer()
  Base64URL.encode(ByteView("{\"alg\":\"HS256\"}"), onto: &token)
  token.append(".")
  Base64URL.encode(bytes, onto: &token)
  guard let code = try? hmac.hmac.code(token.view) else { return }
  token.append(".")
  code.withView { Base64URL.encode($0, onto: &token) }
  guard case .verified(let verified) = gate.verify(token.view, now: fuzzNow) else { return }
  guard case .verified(let again)? = gate.known(token.view, now: fuzzNow) else {
    preconditionFailure("a verified token is not known")
  }
  precondition(verified === again, "a token was verified twice")
  look(at: verified, path: bytes.prefix(16))
}

private func look(at token: VerifiedToken, path: ByteView) {
  _ = token.subject
  _ = token.claim(path: path)
  _ = token.hasScope(path)
  for name in [ByteView("aud"), ByteView("a"), ByteView("exp")] {
    if case .list(let list) = token.claim(name) {
      var count = 0
      for _ in list { count += 1 }
      precondition(count == list.count, "a list has another length")
    }
  }
}

/// The input as a set of keys: what is taken can be made into keys, and checks without harm.
func fuzzKeySet(_ bytes: ByteView) {
  let secrets = try? KeySet.read(bytes, allowsSecrets: true)
  let network = try? KeySet.read(bytes, allowsSecrets: false)
  precondition(network == nil || secrets != nil, "fewer keys with secrets allowed")
  for key in network?.keys ?? [] {
    if case .secret = key.material { preconditionFailure("a secret from the network") }
  }
  for key in secrets?.keys ?? [] {
    var made = 0
    for algorithm in key.algorithms {
      precondition(key.material.fits(algorithm), "a key for an algorithm that it does not fit")
      guard let checked = try? VerificationKey(key.material, for: algorithm) else { continue }
      made += 1
      _ = checked.verifies(bytes, signature: bytes.prefix(256))
    }
    precondition(made > 0, "a key that cannot be made")
  }
}

/// The input as base64url: what is read is written the same way again, and no other text means it.
func fuzzBase64(_ bytes: ByteView) {
  var plain = ByteBuffer()
  if Base64URL.decode(bytes, onto: &plain) {
    var text = ByteBuffer()
    Base64URL.encode(plain.view, onto: &text)
    precondition(text.view == bytes, "two texts for the same bytes")
  } else {
    precondition(plain.isEmpty, "bytes of a text that was refused")
  }
  var text = ByteBuffer()
  Base64URL.encode(bytes, onto: &text)
  precondition(Base64URL.decode(text.view, onto: &plain), "its own text is refused")
  var padded = ByteBuffer()
  _ = Base64.decode(bytes, onto: &padded)
}

/// The input as a signed target: nobody can sign without the key, and what is signed is good.
func fuzzURL(_ bytes: ByteView) {
  guard let signer = unsafe Fixture.shared.signer else { return }
  let client = SignedAddress(high: 0, low: 1)
  if case .verified = signer.verify(bytes, client: client, now: 0) {
    preconditionFailure("signed without the key")
  }
  let grant = URLGrant(expires: 5, prefix: nil, address: client)
  guard let signed = try? signer.sign(bytes.string, grant) else { return }
  let outcome = signed.withView { signer.verify($0, client: client, now: 0) }
  precondition(
    outcome == .verified(length: bytes.count, expires: 5), "what was signed is not good")
}
