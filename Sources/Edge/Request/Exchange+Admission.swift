// Who may ask: the addresses, then what the route wants to be shown. An answer is 401 with a challenge
// where credentials would help, 403 where they would not, 503 where they cannot be checked now.
//
// A request waits (state `admitting`) for the next turn when this one has had its share of new tokens, for
// keys that are being fetched, or for a password that is being checked; at most `Gates.patience`.

internal import Authentication
internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTPMessage
internal import Metrics
internal import RateLimiting
internal import Rules

/// What a request waits for before it may go on.
struct PendingAdmission {
  enum Cause {
    /// The next turn.
    case turn
    /// Keys.
    case keys
    /// A password.
    case password
    /// A service's answer.
    case service
  }
  var cause: Cause
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
    case .turn: break
    case .keys, .password: if !pending.isReady && !pending.isOver { return false }
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
    // A second wait for the same thing would be for ever.
    ruled.pending = PendingAdmission(cause: cause)
    state = .admitting
    switch cause {
    case .turn: worker.runAgain(connection.token)
    case .keys:
      worker.waitingForKeys.append(connection.token)
      connection.wait(until: worker.now.monotonic + Gates.patience)
    case .password, .service: connection.wait(until: worker.now.monotonic + Gates.patience)
    }
  }

  /// Whether it has waited for that already.
  private func hasWaited(for cause: PendingAdmission.Cause) -> Bool {
    guard let pending = ruled.pending else { return false }
    switch (pending.cause, cause) {
    case (.keys, .keys), (.password, .password): return true
    default: return false
    }
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
      worker.tokenChecksLeft -= 1
      outcome = gate.authenticator.verify(token, now: worker.now)
    } else {
      let isOver = hasWaited(for: .keys)
      guard !isOver else { return refuse(.keysUnavailable, gate, on: connection) }
      wait(for: .turn, on: connection)
      return false
    }
    switch outcome {
    case .verified(let verified):
      ruled.identity = .token(verified)
      ruled.isRestricted = !gate.isShared
      return !gate.isShared || strip(ByteView("authorization"), on: connection)
    case .refused(.unknownKey(fetching: true)) where !hasWaited(for: .keys):
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
    let value = isOnce ? head.value(.authorization) : nil
    switch gate.authenticator.check(
      value, client: client ?? Hash128(low: address.low, high: address.high), now: worker.now)
    {
    case .verified(let user):
      ruled.identity = .user(user)
      ruled.isRestricted = !gate.isShared
      return !gate.isShared || strip(ByteView("authorization"), on: connection)
    case .unknown(_, let job):
      let token = connection.token
      let route = route
      let number = generation.number
      let index = worker.index
      let context = worker.context
      guard !hasWaited(for: .password), let checker = generation.shared.credentials.checker,
        checker.submit(
          job,
          reply: { isRight in
            context.post(
              .passwordChecked(PasswordVerdict(number, route, job, isRight), token: token),
              to: index)
          })
      else {
        worker.lines.removeAll()
        worker.lines.append("retry-after: 1\r\n")
        answer(status: 503, text: "The password cannot be checked now.", on: connection)
        return false
      }
      ruled.job = job
      wait(for: .password, on: connection)
    case .refused(let refusal): refuse(refusal, gate, on: connection)
    }
    return false
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
  /// The generation and the route whose gate asked.
  let generation: UInt64
  let route: Int
  let job: PasswordJob
  let isRight: Bool

  init(_ generation: UInt64, _ route: Int, _ job: PasswordJob, _ isRight: Bool) {
    self.generation = generation
    self.route = route
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
      guard let client = peer(token) else { continue }
      client.exchange.ruled.pending?.isReady = true
      client.advance()
    }
  }

  /// A password was checked.
  func passwordChecked(_ verdict: PasswordVerdict, token: UInt64) {
    let client = peer(token).flatMap { client in
      client.exchange.ruled.job === verdict.job ? client : nil
    }
    // Of an earlier generation whose request has gone there is nothing to be remembered.
    let asking = client?.exchange.generation ?? generation
    if asking.number == verdict.generation,
      case .password(let gate) = asking.gates.gates[verdict.route]
    {
      gate.authenticator.remember(verdict.job, isRight: verdict.isRight, now: now)
    }
    guard let client else { return }
    client.exchange.ruled.pending?.isReady = true
    client.advance()
  }
}
