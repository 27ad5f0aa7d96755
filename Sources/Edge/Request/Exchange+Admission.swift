// Who may ask: the addresses, then what the route wants to be shown. An answer is 401 with a challenge
// where credentials would help, 403 where they would not, 503 where they cannot be checked now.
//
// A request waits (state `admitting`) for its turn when this one has had its share of new tokens, for
// keys that are being fetched, or for a password that is being checked; `Gates.patience` in all. Who waits
// for a turn stands in a line, which is served first in each.

internal import Authentication
internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTPMessage
internal import Metrics
internal import RateLimiting
internal import Rules
internal import Tracing

/// What a request waits for before it may go on.
struct PendingAdmission {
  enum Cause {
    /// Its turn, in the line.
    case turn
    /// Keys.
    case keys
    /// A password.
    case password
    /// A service's answer.
    case service
  }
  var cause: Cause
  /// When it has waited long enough, whatever for.
  var deadline: Int64
  /// Whether it has come.
  var isReady = false
  /// Whether it has waited long enough.
  var isOver = false
}

extension Exchange {
  /// Whether the request may go on now. If not, it is answered, or waits.
  func passesAdmission(on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    guard generation.routes.routes[route].hasAdmission else { return true }
    if secure == nil, redirectsToTLS(worker) {
      redirectToTLS(on: connection)
      return false
    }
    guard isAddressAllowed(connection) else {
      connection.worker.lines.removeAll()
      answer(status: 403, text: "Not from there.", on: connection)
      return false
    }
    guard let gate = generation.gates.gates[route] else { return true }
    isRuled = true
    ruled.client = ruleClient(connection)
    if case .options = head(worker).method, answersPreflight(on: connection) { return false }
    switch gate {
    case .token(let gate): return admit(gate, on: connection)
    case .key(let gate): return admit(gate, on: connection)
    case .password(let gate): return admit(gate, on: connection)
    case .url(let gate): return admit(gate, on: connection)
    case .service(let gate): return admit(gate, on: connection)
    }
  }

  /// Goes on with a request that waits to be admitted. False: it waits still.
  func goOnWithAdmission(on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    guard let pending = ruled.pending else { return false }
    switch pending.cause {
    case .turn, .keys, .password: guard pending.isReady || pending.isOver else { return false }
    case .service: if waitsForService(worker, token: connection.token) { return false }
    }
    connection.wait(until: .max)
    state = .waiting
    guard passesAdmission(on: connection) else {
      if case .admitting = state { return false }
      return true
    }
    ruled.pending = nil
    // Nothing was decided before now.
    ruled.decision = nil
    trace?.end(.admission, at: worker.clock.monotonic())
    guard passesRules(on: connection), passesLimits(on: connection) else {
      if case .limited = state { return false }
      return true
    }
    proceed(head(worker), on: connection)
    return true
  }

  private func wait(for cause: PendingAdmission.Cause, on connection: some ClientStream) {
    let worker = connection.worker
    if ownHead == nil { own(worker) }
    // However often it waits, it does not wait longer.
    let deadline = ruled.pending?.deadline ?? worker.now.monotonic &+ Gates.patience
    ruled.pending = PendingAdmission(cause: cause, deadline: deadline)
    state = .admitting
    switch cause {
    case .turn: worker.admissionLine.append(connection.token)
    case .keys: worker.waitingForKeys.append(connection.token)
    case .password: worker.waitingForPasswords.append(connection.token)
    case .service: break
    }
    connection.wait(until: deadline)
  }

  /// Whether it has waited as long as it may.
  private func isWaitOver(_ worker: Worker) -> Bool {
    guard let pending = ruled.pending else { return false }
    return pending.isOver || worker.now.monotonic >= pending.deadline
  }

  // MARK: Addresses

  private func isAddressAllowed(_ connection: some ClientStream) -> Bool {
    guard let access = generation.gates.access[route] else { return true }
    let client = askedFrom(connection)
    return access.allows(IPAddress(high: client.high, low: client.low))
  }

  // MARK: Tokens

  private func admit(_ gate: TokenGate, on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    switch TokenFinder.find(in: head(worker), places: gate.places) {
    case .none:
      if gate.isOptional { return true }
      return refuse(.missing, gate, on: connection)
    case .ambiguous: return refuse(.ambiguous, gate, on: connection)
    case .token(let token): return admit(token, gate, on: connection)
    }
  }

  private func admit(
    _ token: ByteView, _ gate: TokenGate, on connection: some ClientStream
  ) -> Bool {
    let worker = connection.worker
    let outcome: TokenOutcome
    if let known = gate.authenticator.known(token, now: worker.now) {
      outcome = known
    } else if worker.tokenChecksLeft > 0 {
      outcome = gate.authenticator.verify(token, now: worker.now)
      if outcome.hadSignatureChecked { worker.tokenChecksLeft -= 1 }
    } else {
      guard !isWaitOver(worker) else { return refuse(.keysUnavailable, gate, on: connection) }
      wait(for: .turn, on: connection)
      return false
    }
    switch outcome {
    case .verified(let verified):
      ruled.identity = .token(verified)
      ruled.isRestricted = !gate.isShared
      return !gate.isShared || strip(ByteView("authorization"), on: connection)
    case .refused(.unknownKey(fetching: true)) where !isWaitOver(worker):
      // Another source's keys may have come meanwhile: its own are still being fetched.
      wait(for: .keys, on: connection)
      return false
    case .refused(let refusal): return refuse(refusal, gate, on: connection)
    }
  }

  private func refuse(
    _ refusal: TokenRefusal, _ gate: TokenGate, on connection: some ClientStream
  ) -> Bool {
    let worker = connection.worker
    worker.lines.removeAll()
    if refusal.status == 503 {
      worker.lines.append("retry-after: 1\r\n")
    } else {
      worker.lines.append("www-authenticate: ")
      gate.challenge.appendBearer(refusal, to: &worker.lines)
      worker.lines.append("\r\n")
    }
    answer(status: refusal.status, text: refusal.text, on: connection)
    return false
  }

  // MARK: API keys

  private func admit(_ gate: KeyGate, on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    let head = head(worker)
    var key = ByteView()
    var count = 0
    gate.field.withView { name in
      head.fields.forEach(named: name, in: head.bytes) { value in
        key = value
        count += 1
      }
      if name == ByteView("authorization") {
        key = TokenFinder.credentials(key, scheme: "Bearer") ?? ByteView()
      }
    }
    if count == 1, let match = gate.check.find(key) {
      ruled.identity = .key(match)
      ruled.isRestricted = !gate.isShared
      return !gate.isShared || gate.field.withView { strip($0, on: connection) }
    }
    worker.lines.removeAll()
    // RFC 9110 §15.5.2 wants a challenge; there is no registered scheme for keys.
    worker.lines.append("www-authenticate: ApiKey realm=\"weir\"\r\n")
    answer(
      status: 401, text: count == 0 ? "No key." : "The key is not accepted.", on: connection)
    return false
  }

  // MARK: Passwords

  private func admit(_ gate: PasswordGate, on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    let head = head(worker)
    let isOnce = !head.fields.isRepeated(.authorization)
    let address = askedFrom(connection)
    let client =
      generation.shared.credentials.attempts?.key(
        addressHigh: address.high, addressLow: address.low)
      ?? Hash128(low: address.low, high: address.high)
    let value = isOnce ? head.value(.authorization) : nil
    switch gate.authenticator.check(value, client: client, now: worker.now) {
    case .verified(let user):
      ruled.identity = .user(user)
      ruled.isRestricted = !gate.isShared
      return !gate.isShared || strip(ByteView("authorization"), on: connection)
    case .unknown(_, let job):
      guard ruled.job == nil, submit(job, worker) else {
        gate.authenticator.withdraw(job, client: client, now: worker.now)
        passwordNotChecked(on: connection)
        return false
      }
      ruled.job = job
      wait(for: .password, on: connection)
    case .checking(let job):
      guard !isWaitOver(worker) else {
        passwordNotChecked(on: connection)
        return false
      }
      ruled.job = job
      wait(for: .password, on: connection)
    case .refused(let refusal): refuse(refusal, gate, on: connection)
    }
    return false
  }

  /// Hands a password to the thread that checks it; false if too many wait there.
  private func submit(_ job: PasswordJob, _ worker: Worker) -> Bool {
    let index = worker.index
    let context = worker.context
    return generation.shared.credentials.checker?.submit(
      job,
      reply: { isRight in
        context.post(.passwordChecked(PasswordVerdict(job, isRight)), to: index)
      }) ?? false
  }

  private func passwordNotChecked(on connection: some ClientStream) {
    let worker = connection.worker
    worker.lines.removeAll()
    worker.lines.append("retry-after: 1\r\n")
    answer(status: 503, text: "The password cannot be checked now.", on: connection)
  }

  private func refuse(
    _ refusal: BasicRefusal, _ gate: PasswordGate, on connection: some ClientStream
  ) {
    let worker = connection.worker
    worker.lines.removeAll()
    guard case .tooManyAttempts(let wait) = refusal else {
      worker.lines.append("www-authenticate: ")
      gate.challenge.appendBasic(to: &worker.lines)
      worker.lines.append("\r\n")
      answer(status: 401, text: "A name and a password are needed.", on: connection)
      return
    }
    worker.lines.append("retry-after: ")
    worker.lines.append(decimal: UInt64(max(1, wait / 1_000_000_000 + 1)))
    worker.lines.append("\r\n")
    answer(status: 429, text: "Too many attempts.", on: connection)
  }

  // MARK: Signed URLs

  private func admit(_ gate: URLGate, on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    let head = head(worker)
    let target = head.bytes[head.target]
    let client = askedFrom(connection)
    let address = SignedAddress(high: client.high, low: client.low)
    let outcome = gate.verify(target, client: address, now: worker.now.wall / 1000)
    guard case .verified(let length, _) = outcome else {
      worker.lines.removeAll()
      answer(status: outcome.status, text: outcome.text, on: connection)
      return false
    }
    ruled.identity = .url
    // Neither the key nor the origin sees the signature: it would be another key for each client.
    var change = HeadChange()
    change.target = target.prefix(length)
    guard edit(change, head, worker) else {
      worker.lines.removeAll()
      answer(status: 400, text: outcome.text, on: connection)
      return false
    }
    return true
  }

  /// Whether a field is the one in which credentials were shown that the route takes out of the request.
  /// `name` is in lower case.
  func isTakenOut(_ name: [UInt8], _ worker: Worker) -> Bool {
    guard isRuled, ruled.isEdited else { return false }
    let isAuthorization = name.withView { $0 == ByteView("authorization") }
    switch generation.gates.gates[route] {
    case .token(let gate): return gate.isShared && isAuthorization
    case .password(let gate): return gate.isShared && isAuthorization
    case .key(let gate): return gate.isShared && gate.field == name
    case .service(let gate): return gate.isShared && isAuthorization
    case .url, nil: return false
    }
  }

  /// Takes a field out of the request that the cache and the origin see.
  private func strip(_ field: ByteView, on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    var change = HeadChange()
    change.omitted = field
    if edit(change, head(worker), worker) { return true }
    worker.lines.removeAll()
    answer(status: 400, text: "The request is malformed.", on: connection)
    return false
  }
}

extension URLOutcome {
  /// What is wrong, for the client.
  fileprivate var text: StaticString {
    switch self {
    case .verified: "The address is malformed."
    case .missing: "The address is not signed."
    case .malformed: "The signature is malformed."
    case .unknownKey, .badSignature: "The signature is wrong."
    case .expired: "The address expired."
    }
  }
}

/// What came of a password.
package struct PasswordVerdict: Sendable {
  let job: PasswordJob
  let isRight: Bool

  init(_ job: PasswordJob, _ isRight: Bool) {
    self.job = job
    self.isRight = isRight
  }
}

extension Worker {
  /// Keys were fetched, or could not be: whoever waits for them asks again.
  func keysCame() {
    guard !waitingForKeys.isEmpty else { return }
    let tokens = waitingForKeys
    waitingForKeys = []
    for token in tokens {
      // Its connection may have another request now, or the same one wait for something else.
      guard let client = peer(token), let pending = client.exchange.ruled.pending,
        case .keys = pending.cause
      else { continue }
      client.exchange.ruled.pending?.isReady = true
      client.advance()
    }
  }

  /// A password was checked: whoever has shown it goes on.
  func passwordChecked(_ verdict: PasswordVerdict) {
    let tokens = waitingForPasswords
    waitingForPasswords = []
    var ready: [UInt64] = []
    // Whoever asked may be gone, and so may be the configuration that it asked under.
    generation.gates.remember(verdict, now: now)
    for token in tokens {
      guard let client = peer(token), let pending = client.exchange.ruled.pending,
        case .password = pending.cause
      else { continue }
      if client.exchange.ruled.job === verdict.job {
        client.exchange.generation.gates.remember(verdict, now: now)
        ready.append(token)
      } else {
        waitingForPasswords.append(token)
      }
    }
    for token in ready {
      guard let client = peer(token), client.exchange.ruled.job === verdict.job else { continue }
      client.exchange.ruled.pending?.isReady = true
      client.advance()
    }
  }

  /// Serves the line of those that had to wait for a turn, as far as this turn's checks go.
  func admitWaiting() {
    while tokenChecksLeft > 0, let token = admissionLine.next() {
      guard let client = peer(token), let pending = client.exchange.ruled.pending,
        case .turn = pending.cause
      else { continue }
      client.exchange.ruled.pending?.isReady = true
      client.advance()
    }
  }
}
