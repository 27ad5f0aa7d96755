// What it costs to let a request in: a token that is known, a new one, and what of that is OpenSSL's.
//
//   swift run -c release AuthenticationBench [rounds [algorithm]]
//
// Least of several rounds, of one thread, in nanoseconds of processor time for each.

import Authentication
import Bytes
import CLinux
import Cryptography
import EventLoop

@main
struct Benchmark {
  static func main() throws {
    let rounds = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 7
    let only = CommandLine.arguments.dropFirst(2).first
    for algorithm in [SignatureAlgorithm.hs256, .es256, .rs256, .ps256, .edDSA]
    where only == nil || only == "\(algorithm.name)" {
      try measure(algorithm, rounds)
    }
    if only == nil { try measureKeys(rounds) }
  }

  static func measure(_ algorithm: SignatureAlgorithm, _ rounds: Int) throws {
    let issuer = try Issuer(algorithm)
    let gate = try issuer.gate()
    let now = Instant(monotonic: 1, wall: 1_700_000_000_000)
    let token = try issuer.token(0)
    guard case .verified = token.withView({ gate.verify($0, now: now) }) else {
      print("\(algorithm.name): the token is refused")
      return
    }
    let known = least(rounds, 200_000) { count in
      token.withView { view in
        for _ in 0..<count { _ = gate.known(view, now: now) }
      }
    }
    // Only what is not remembered is new.
    let fresh = try (0..<256).map { try issuer.token($0 + 1) }
    let forgetful = try issuer.gate(remembered: 0)
    _ = fresh[0].withView { forgetful.verify($0, now: now) }
    let new = least(rounds, 2_048) { count in
      for number in 0..<count {
        fresh[number & 255].withView { _ = forgetful.verify($0, now: now) }
      }
    }
    let key = try VerificationKey(issuer.material, for: algorithm)
    let (message, signature) = try issuer.parts(token)
    let raw = least(rounds, 2_048) { count in
      message.withView { message in
        signature.withView { signature in
          for _ in 0..<count { _ = key.verifies(message, signature: signature) }
        }
      }
    }
    print(
      "\(algorithm.name): \(token.count) bytes; known \(known) ns, new \(new), of it OpenSSL \(raw)"
    )
  }

  static func measureKeys(_ rounds: Int) throws {
    let lines = try (0..<100_000).map { number in
      try APIKeyLine.line(name: "k\(number)", key: "key-\(number)") ?? ""
    }
    let content = Array(lines.joined(separator: "\n").utf8)
    let set = try content.withView { try APIKeySet.read($0, file: "keys") }
    let check = try APIKeyCheck(Published(set))
    let keys = (0..<1_024).map { Array("key-\($0 * 97)".utf8) }
    let found = least(rounds, 100_000) { count in
      for number in 0..<count { keys[number & 1_023].withView { _ = check.find($0) } }
    }
    let signer = try URLSigner(
      [URLKey(id: "a", secret: [UInt8](repeating: 1, count: 32))].compactMap { $0 })
    let url = Array(
      try signer.sign("/video/a.mp4?quality=high", URLGrant(expires: 2_000_000_000)).utf8)
    let signed = least(rounds, 100_000) { count in
      url.withView { url in
        for _ in 0..<count {
          _ = signer.verify(url, client: SignedAddress(high: 0, low: 0), now: 1_700_000_000)
        }
      }
    }
    print("API key among \(set.count): \(found) ns; signed URL: \(signed) ns")
  }

  /// The least time of several rounds for each of `count` steps, in nanoseconds.
  static func least(_ rounds: Int, _ count: Int, _ body: (Int) -> Void) -> Int {
    var best = Int64.max
    for _ in 0..<rounds {
      let start = processorTime()
      body(count)
      best = min(best, processorTime() - start)
    }
    return Int(best) / count
  }

  /// What the thread has used of its processor, in nanoseconds.
  static func processorTime() -> Int64 {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}

/// Makes tokens.
struct Issuer {
  let algorithm: SignatureAlgorithm
  let material: KeyMaterial
  private let signer: SigningKey?
  private let secret = [UInt8](repeating: 42, count: 64)

  init(_ algorithm: SignatureAlgorithm) throws {
    self.algorithm = algorithm
    signer = try SigningKey.generate(algorithm)
    material = try signer?.material() ?? .secret(secret)
  }

  func gate(remembered: Int = 1_000) throws -> TokenAuthenticator {
    let source = try KeySource(.file("unused"), timing: RefreshTiming(), clock: NodeClock())
    source.keys.publish(
      KeySet(keys: [KeyDescription(id: Array("key-1".utf8), material: material, algorithm: nil)]))
    return TokenAuthenticator(
      rules: TokenRules(
        algorithms: [algorithm], issuers: ["https://issuer.example/"], audiences: ["shop"],
        maxRemembered: remembered),
      source: source, secret: Random.hash128())
  }

  /// A token like those of common issuers.
  func token(_ number: Int) throws -> [UInt8] {
    let header = #"{"alg":"\#(algorithm.name)","typ":"JWT","kid":"key-1"}"#
    let claims = """
      {"iss":"https://issuer.example/","sub":"user-\(number)","aud":["shop","api"],\
      "exp":1700003600,"iat":1699999000,"nbf":1699999000,"jti":"0f8fad5b-d9cb-469f-a165-\(number)",\
      "scope":"openid profile email","role":"member","name":"A. Customer","email":"a@customer.example"}
      """
    let text = Base64URL.encode(Array(header.utf8)) + "." + Base64URL.encode(Array(claims.utf8))
    let message = Array(text.utf8)
    let signature =
      try signer.map { signer in try message.withView { try signer.sign($0) } }
      ?? message.withView { try KeyedHMAC.make(.sha256, key: secret).code($0) }
    return message + [0x2E] + Array(Base64URL.encode(signature).utf8)
  }

  func parts(_ token: [UInt8]) throws -> (message: [UInt8], signature: [UInt8]) {
    let dot = token.lastIndex(of: 0x2E) ?? 0
    let signature = Array(token[(dot + 1)...]).withView { Base64URL.decode($0) }
    return (Array(token[..<dot]), signature ?? [])
  }
}
