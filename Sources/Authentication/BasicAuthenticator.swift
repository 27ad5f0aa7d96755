// A worker's gate for names and passwords (RFC 7617). What was checked before is remembered under an HMAC,
// with a secret of this worker's, of name, password and stored hash: a new hash in the file is a new entry,
// the memory holds no password, and nobody can make two pairs meet. Right and wrong ones are kept apart, so
// that guessing does not push out who is known.
//
// A pair that is not remembered is for the checker's thread, and how often a client may ask for that is
// limited, right or wrong: guesses are to run dry, and the queue is not for one client alone. While a pair
// is being checked, whoever shows the same one waits for that check, and none is counted but the first.

package import Bytes
package import Cryptography
package import EventLoop
package import RateLimiting

/// What came of a name and password.
package enum BasicOutcome {
  /// They are right; the user's name, as bytes.
  case verified(user: [UInt8])
  /// They must be checked: submit the job to a `PasswordChecker`, and tell `remember`.
  case unknown(user: [UInt8], PasswordJob)
  /// They are being checked already: wait for that.
  case checking(PasswordJob)
  /// They are refused.
  case refused(BasicRefusal)
}

/// Why a name and password are not accepted.
package enum BasicRefusal: Equatable, Sendable {
  /// There are none.
  case missing
  /// Not base 64 of `name:password` (RFC 7617 §2).
  case malformed
  /// Wrong; whether the name or the password, nobody is told.
  case wrong
  /// The client has had too many checked lately; in how many nanoseconds it may again.
  case tooManyAttempts(retryAfter: Int64)

  /// The status code of the answer.
  package var status: UInt16 {
    if case .tooManyAttempts = self { return 429 }
    return 401
  }
}

/// Checks names and passwords for one worker.
package final class BasicAuthenticator {
  private let source: Published<PasswordFile>
  private let attempts: RateLimiter
  private let lifetime: Int64
  private let hmac: KeyedHMAC
  private var file: PasswordFile
  private var generation: UInt64
  private var right: RecentTable<Int64>
  private var wrong: RecentTable<Int64>
  /// What is being checked, and until when that is waited for: a checker that ends leaves checks undone.
  private var jobs: [(job: PasswordJob, until: Int64)] = []
  private static var patience: Int64 { 10_000_000_000 }
  private var decoded = ByteBuffer()

  /// A gate for the users of the newest file that is published. `attempts` is shared by the workers
  /// and counts by client. What is found is remembered for `lifetime` nanoseconds, at most `maxRemembered`
  /// right and as many wrong ones. `secret` must be of at least 32 bytes.
  package init(
    _ source: Published<PasswordFile>, attempts: RateLimiter, secret: [UInt8],
    lifetime: Int64 = 600_000_000_000, maxRemembered: Int = 4_096
  ) throws(OpenSSLError) {
    self.source = source
    self.attempts = attempts
    self.lifetime = lifetime
    hmac = try KeyedHMAC.make(.sha256, key: secret)
    (file, generation) = source.current
    right = RecentTable(maxCount: maxRemembered, maxCost: .max)
    wrong = RecentTable(maxCount: maxRemembered, maxCost: .max)
  }

  /// What comes of the value of an `Authorization` field. `client` is what attempts are counted by.
  package func check(
    _ value: ByteView?, client: Hash128, now: Instant
  ) -> BasicOutcome {
    guard let value, let text = TokenFinder.credentials(value, scheme: "Basic") else {
      return .refused(.missing)
    }
    decoded.removeAll()
    guard text.count <= 1_024, Base64.decode(text, onto: &decoded),
      let colon = decoded.view.firstIndex(of: ASCII.colon)
    else { return .refused(.malformed) }
    if source.generation != generation { (file, generation) = source.current }
    let user = decoded.view.prefix(colon).array
    let stored = file.hash(of: user)
    let hash = stored ?? file.decoy
    guard let memory = memory(decoded.view, hash) else { return .refused(.malformed) }
    // An end in the table is the time until which an entry counts.
    if let end = right.find(memory.tableKey), now.monotonic < end { return .verified(user: user) }
    if let end = wrong.find(memory.tableKey), now.monotonic < end { return .refused(.wrong) }
    jobs.removeAll { $0.until <= now.monotonic }
    if let same = jobs.first(where: { $0.job.memory.tableKey == memory.tableKey }) {
      return .checking(same.job)
    }
    if case .refused(let retryAfter) = attempts.decide(key: client, now: now.monotonic) {
      return .refused(.tooManyAttempts(retryAfter: retryAfter))
    }
    let password = decoded.view.dropping(first: colon + 1).array
    let job = PasswordJob(password: password, hash: hash, isReal: stored != nil, memory: memory)
    jobs.append((job, now.monotonic &+ Self.patience))
    return .unknown(user: user, job)
  }

  /// Takes back a check that could not be made: the client has not had it.
  package func withdraw(_ job: PasswordJob, client: Hash128, now: Instant) {
    jobs.removeAll { $0.job === job }
    attempts.refund(key: client, cost: 1, now: now.monotonic)
  }

  /// Whether a check of this gate's is still to come.
  package func isChecking(_ job: PasswordJob) -> Bool { jobs.contains { $0.job === job } }

  /// Remembers what a check has found.
  package func remember(_ job: PasswordJob, isRight: Bool, now: Instant) {
    jobs.removeAll { $0.job === job }
    let end = now.monotonic &+ lifetime
    if isRight {
      right.insert(job.memory.tableKey, end, cost: 1)
    } else {
      wrong.insert(job.memory.tableKey, end, cost: 1)
    }
  }

  private func memory(_ credentials: ByteView, _ hash: String) -> Digest256? {
    do throws(OpenSSLError) {
      try hmac.begin()
      try hmac.add(credentials)
      // No stored hash has a NUL, so the last one is the border, whatever the password holds.
      try hmac.add(ByteView("\0"))
      var text = ByteBuffer()
      text.append(text: hash)
      try hmac.add(text.view)
      return try hmac.finish256()
    } catch {
      return nil
    }
  }
}
