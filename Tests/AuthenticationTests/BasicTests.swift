import Authentication
import Bytes
import Cryptography
import EventLoop
import RateLimiting
import Synchronization
import Testing

// Made by htpasswd -B -C 5 and by openssl passwd -6.
private let bcrypt = "$2y$05$4B/0KNyBDCynFaQvvpMhAese/8yPZy.nZ4r1No9ph74sdmoIPNNbO"
private let sha512 =
  "$6$saltsalt$CYKCUk3wfgAfOLU1N7LBdAOcnz7MHa8PPC6Qvzg2SE3emUjQnShp9I47xqbIijxhGRW/PXlgS02HgDVtAuivQ/"
private let users = "# users\nanna:\(bcrypt)\nbert:\(sha512)\n"

private func read(_ text: String) throws -> PasswordFile {
  try text.withView { try PasswordFile.read($0, file: "users") }
}

/// The value of an `Authorization` field.
private func field(_ credentials: String) -> String {
  let text = Base64URL.encode(Array(credentials.utf8))
    .replacing("-", with: "+").replacing("_", with: "/")
  return "Basic " + text + String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
}

private final class Kit {
  let source: Published<PasswordFile>
  let gate: BasicAuthenticator
  let attempts: RateLimiter

  init(attempts: UInt64 = 100) throws {
    source = Published(try read(users))
    let rate = try #require(
      TokenBucketRate(tokens: attempts, per: 60_000_000_000, burst: attempts))
    self.attempts = RateLimiter(rate: rate, maxKeys: 64, secret: Hash128(low: 1, high: 2))
    gate = try BasicAuthenticator(
      source, attempts: self.attempts, secret: [UInt8](repeating: 1, count: 32),
      lifetime: 60_000_000_000, maxRemembered: 8)
  }

  func outcome(_ value: String?, client: UInt64 = 1, now: Instant = at()) -> BasicOutcome {
    let client = attempts.key(addressHigh: 0x2001_0DB8 << 32 | client, addressLow: 0)
    guard let value else { return gate.check(nil, client: client, now: now) }
    return value.withView { gate.check($0, client: client, now: now) }
  }

  /// What it comes to, with the check done here.
  func settle(_ credentials: String, client: UInt64 = 1, now: Instant = at()) -> String {
    switch outcome(field(credentials), client: client, now: now) {
    case .verified(let user): return "known \(String(decoding: user, as: UTF8.self))"
    case .refused(let refusal): return "\(refusal)"
    case .unknown(let user, let job):
      let isRight = job.isRight()
      gate.remember(job, isRight: isRight, now: now)
      return isRight ? "right \(String(decoding: user, as: UTF8.self))" : "not right"
    case .checking: return "being checked"
    }
  }
}

@Suite struct BasicTests {
  @Test func `a right password is checked once and then known, until its time is over`() throws {
    let kit = try Kit()
    #expect(kit.settle("anna:correct horse") == "right anna")
    #expect(kit.settle("anna:correct horse") == "known anna")
    #expect(kit.settle("bert:battery staple") == "right bert")
    #expect(kit.settle("bert:battery staple") == "known bert")
    #expect(kit.settle("anna:correct horse", now: at(59_999)) == "known anna")
    #expect(kit.settle("anna:correct horse", now: at(60_000)) == "right anna")
  }

  @Test func `a wrong password is checked once and then refused`() throws {
    let kit = try Kit()
    for credentials in ["anna:wrong", "anna:", "bert:correct horse", "carl:correct horse", ":"] {
      #expect(kit.settle(credentials) == "not right")
      #expect(kit.settle(credentials) == "wrong")
    }
    // A NUL does not end a password.
    #expect(kit.settle("anna:correct horse\0") == "not right")
    #expect(kit.settle("anna:correct horse") == "right anna")
  }

  @Test func `a user who is not there takes a check all the same`() throws {
    let kit = try Kit()
    guard case .unknown(_, let job) = kit.outcome(field("nobody:x")) else {
      Issue.record("no check")
      return
    }
    #expect(!job.isRight())
  }

  @Test func `a new password counts at once, the old one no more`() throws {
    let kit = try Kit()
    #expect(kit.settle("anna:correct horse") == "right anna")
    #expect(kit.settle("anna:battery staple") == "not right")
    kit.source.publish(try read("anna:\(sha512)"))
    #expect(kit.settle("anna:correct horse") == "not right")
    #expect(kit.settle("anna:battery staple") == "right anna")
    kit.source.publish(PasswordFile())
    #expect(kit.settle("anna:battery staple") == "not right")
  }

  @Test func `a client can only have so many checked`() throws {
    let kit = try Kit(attempts: 3)
    for number in 0..<3 { #expect(kit.settle("anna:\(number)") == "not right") }
    guard case .refused(.tooManyAttempts) = kit.outcome(field("anna:4")) else {
      Issue.record("not refused")
      return
    }
    #expect(kit.settle("anna:0") == "wrong")
    // Others can still come in, and so can he after a while.
    #expect(kit.settle("anna:correct horse", client: 9) == "right anna")
    #expect(kit.settle("anna:correct horse") == "known anna")
    #expect(kit.settle("anna:5", now: at(60_000)) == "not right")
  }

  @Test func `a pair that is being checked is not checked again, nor counted`() throws {
    let kit = try Kit(attempts: 1)
    guard case .unknown(_, let job) = kit.outcome(field("anna:correct horse")),
      case .checking(let same) = kit.outcome(field("anna:correct horse"), client: 1)
    else {
      Issue.record("no check")
      return
    }
    #expect(same === job)
    #expect(kit.settle("anna:wrong") == "tooManyAttempts(retryAfter: 60000000000)")
    kit.gate.remember(job, isRight: true, now: at())
    #expect(kit.settle("anna:correct horse") == "known anna")
  }

  @Test func `a check that cannot be made has not been had`() throws {
    let kit = try Kit(attempts: 1)
    let client = kit.attempts.key(addressHigh: 0x2001_0DB8 << 32 | 1, addressLow: 0)
    for _ in 0..<3 {
      guard case .unknown(_, let job) = kit.outcome(field("anna:correct horse")) else {
        Issue.record("no check")
        return
      }
      kit.gate.withdraw(job, client: client, now: at())
    }
    #expect(kit.settle("anna:correct horse") == "right anna")
  }

  @Test func `guesses do not push out who is known`() throws {
    let kit = try Kit()
    #expect(kit.settle("anna:correct horse") == "right anna")
    for number in 0..<30 { #expect(kit.settle("anna:\(number)") == "not right") }
    #expect(kit.settle("anna:correct horse") == "known anna")
  }

  @Test(
    arguments: [
      (nil, "missing"), ("", "missing"), ("Bearer x", "missing"), ("Basic", "missing"),
      ("Basic YW5uYQ==", "malformed"), ("Basic !", "malformed"), ("Basic YW5uYTp4", nil),
      ("basic  YW5uYTp4", nil), ("Basic YW5uYTp4=", "malformed"), ("Basic YW5uYTp4 ", "malformed"),
      ("Basic " + String(repeating: "YW5u", count: 300), "malformed"),
    ] as [(String?, String?)])
  func `what is not a name and a password is refused`(value: String?, refusal: String?) throws {
    let kit = try Kit()
    switch kit.outcome(value) {
    case .refused(let found): #expect("\(found)" == refusal)
    case .unknown: #expect(refusal == nil)
    case .verified, .checking: Issue.record("verified")
    }
  }

  @Test(arguments: [
    ("anna", "expected user:hash"), (":\(bcrypt)", "expected user:hash"),
    ("anna:secret", "plain text is not accepted"),
    ("anna:rqXexS6ZhobKA", "a DES hash or plain text is not accepted"),
    ("anna:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00", "MD5 is not accepted"),
    ("anna:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "MD5 is not accepted"),
    ("anna:{SHA}qvTGHdzF6KLavt4PO0gs2a6pQ00=", "SHA-1 is not accepted"),
    ("anna:$2a$\(bcrypt.dropFirst(4))", "this form of bcrypt is not accepted"),
    ("anna:$5$saltsalt$x", "this kind of hash is not accepted"),
    ("anna:$2y$04$\(bcrypt.dropFirst(7))", "bcrypt's cost must be 5 to 15"),
    ("anna:$2y$31$\(bcrypt.dropFirst(7))", "bcrypt's cost must be 5 to 15"),
    ("anna:\(bcrypt)x", "malformed bcrypt hash"), ("anna:\(bcrypt.dropLast())", "malformed bcrypt"),
    ("anna:$2y$05$\(bcrypt.dropFirst(7).dropLast())!", "malformed hash"),
    ("anna:$6$rounds=999999999$salt$x", "SHA-512 crypt must have 1000 to 1000000 rounds"),
    ("anna:$6$salt", "malformed SHA-512 crypt hash"),
    ("anna:\(bcrypt)\nanna:\(sha512)", "the user is there twice"),
  ])
  func `a hash that is no good is refused with its line`(line: String, begin: String) {
    let number = line.contains("\n") ? 3 : 2
    do {
      _ = try read("# users\n" + line)
      Issue.record("accepted")
    } catch {
      #expect("\(error)".hasPrefix("users:\(number): \(begin)"), "\(error)")
    }
  }

  @Test func `passwords are checked off the workers, and the queue is short`() async throws {
    let kit = try Kit()
    guard case .unknown(_, let right) = kit.outcome(field("anna:correct horse")),
      case .unknown(_, let wrong) = kit.outcome(field("anna:wrong"))
    else {
      Issue.record("no checks")
      return
    }
    let checker = try PasswordChecker(capacity: 2)
    let (results, continuation) = AsyncStream<Bool>.makeStream()
    // Nothing is taken from the queue before the thread runs.
    #expect(checker.submit(right) { continuation.yield($0) })
    #expect(checker.submit(wrong) { continuation.yield($0) })
    #expect(!checker.submit(right) { _ in Issue.record("checked") })
    checker.start()
    defer { checker.stop() }
    var iterator = results.makeAsyncIterator()
    #expect(await iterator.next() == true)
    #expect(await iterator.next() == false)
  }
}
