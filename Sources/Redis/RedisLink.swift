// A connection to the engine that comes back: one at a time, to whichever of its addresses is the primary.
//
//     waiting ──time──→ opening ──socket──→ securing ──TLS──→ greeting ──AUTH, ROLE──→ open
//        ↑                                                       │ a Sentinel: where is the primary?
//        │                                                       └──→ opening (there)
//        └──────────────── any failure: the next address, after a while ────────────────────────┘
//
// Used by one thread: that of the loop which owns it. The loop gives it what the kernel says (`ready`), and
// the time (`tick`), and asks when the next tick is due (`deadline`). Commands are pipelined: each goes
// out at once and is answered in order. When a connection ends, what was not answered fails, in order; whether
// it was carried out nobody knows.
//
// hiredis reads the protocol. Its own connections are not used: those of 0.14 know no TLS and look names up
// in the loop's thread without saying so. Names are looked up here in the loop's thread as well, which is no
// worker's and waits for nothing else meanwhile; numeric addresses cost nothing.

internal import Cryptography
package import EventLoop

/// A connection to an engine, for one loop.
package final class RedisLink {
  /// What is told to the owner.
  package enum Event: Sendable, Equatable {
    /// Commands may be sent: to that server.
    case opened(RedisServer)
    /// The connection, or the attempt, is over; there will be another.
    case closed(RedisServer, RedisFailure)
  }

  /// What becomes of a command; nil: the connection ended before the answer.
  package typealias Answer = (RedisReply?) -> Void

  private enum State {
    case waiting(until: Int64)
    case opening
    case securing
    case greeting
    case open
    case stopped
  }

  private let settings: RedisSettings
  private let token: UInt64
  private let event: (Event) -> Void
  /// Told of what comes without having been asked for: messages of channels, channel and content.
  package var heard: ((RedisReply) -> Void)?
  private var state: State
  private var random: UInt64
  private var attempts = 0
  private var next = 0
  /// Where the Sentinel says that the primary is, for the next attempt.
  private var found: RedisServer?
  private var server: RedisServer
  private var trust: TLSTrust?
  private var stream: RedisStream?
  private var answers: [Answer] = []
  private var answered = 0
  private var lastHeard: Int64 = 0
  private var openedAt: Int64 = 0
  /// A connection that ends within so many nanoseconds was of no use.
  private static let trial: Int64 = 5_000_000_000
  private var failure: RedisFailure?

  /// A link that begins with its first `tick`. `token`: what the poller calls its socket.
  package init(
    _ settings: RedisSettings, token: UInt64, seed: UInt64, event: @escaping (Event) -> Void
  ) {
    precondition(!settings.servers.isEmpty, "an engine without a server")
    self.settings = settings
    self.token = token
    self.event = event
    random = seed | 1
    state = .waiting(until: 0)
    server = settings.servers[0]
    // PoPs do not all begin with the same server's address if there are several Sentinels.
    if settings.primary != nil { next = Int(seed % UInt64(settings.servers.count)) }
  }

  /// Whether commands may be sent.
  package var isOpen: Bool { if case .open = state { true } else { false } }

  /// When the next `tick` is due (monotonic).
  package var deadline: Int64 {
    switch state {
    case .waiting(let until): until
    case .stopped: .max
    case .open where answers.count == answered: .max
    default: lastHeard &+ settings.timeout
    }
  }

  /// How many commands are not answered.
  package var unanswered: Int { answers.count - answered }

  // MARK: Commands

  /// Sends a command once the turn ends (`flush`). Only while it is open.
  package func send(_ command: RedisCommand, now: Int64, answer: @escaping Answer) {
    guard isOpen, stream != nil else { return answer(nil) }
    enqueue(command, now: now, answer)
  }

  private func enqueue(_ command: RedisCommand, now: Int64, _ answer: @escaping Answer) {
    if answers.count == answered { lastHeard = now }
    stream?.append(command)
    answers.append(answer)
  }

  /// Writes what waits.
  package func flush(now: Int64, poller: borrowing Poller) {
    guard let stream, case let state = state else { return }
    switch state {
    case .greeting, .open: break
    default: return
    }
    if let failure = stream.flush() { close(failure, now: now, poller: poller) }
  }

  // MARK: Events

  /// The kernel says something of the socket.
  package func ready(_ readiness: Readiness, now: Int64, poller: borrowing Poller) {
    guard let stream else { return }
    if case .opening = state {
      guard readiness.mayWrite || readiness.isOver else { return }
      if let error = stream.socketError {
        return close(.socket("\(error)"), now: now, poller: poller)
      }
      state = .securing
    }
    if case .securing = state {
      switch stream.secure() {
      case .done: greet(now: now)
      case .waits: return
      case .failed(let failure): return close(failure, now: now, poller: poller)
      }
    }
    let waiting = stream.waiting
    if let failure = stream.flush() { return close(failure, now: now, poller: poller) }
    // The socket was full, and has room: the other side has taken something.
    if stream.waiting < waiting { lastHeard = now }
    read(stream, now: now, poller: poller)
  }

  private func read(_ stream: RedisStream, now: Int64, poller: borrowing Poller) {
    let before = stream.received
    let end = stream.receive()
    // A large answer may take longer to come than one may wait for a word.
    if stream.received != before { lastHeard = now }
    var isDamaged = false
    loop: while self.stream === stream, failure == nil {
      switch stream.next() {
      case .incomplete: break loop
      case .damaged:
        isDamaged = true
        break loop
      case .reply(let reply): take(reply)
      }
    }
    if let failure { return close(failure, now: now, poller: poller) }
    if isDamaged { return close(.damaged, now: now, poller: poller) }
    if let end { return close(end, now: now, poller: poller) }
    if let failure = stream.flush() { close(failure, now: now, poller: poller) }
  }

  private func take(_ reply: RedisReply) {
    if let heard, reply.elements.count == 3, reply.elements[0].text == "message" {
      return heard(reply.elements[2])
    }
    guard answered < answers.count else {
      failure = .damaged
      return
    }
    let answer = answers[answered]
    answered += 1
    if answered == answers.count {
      answers.removeAll(keepingCapacity: true)
      answered = 0
    } else if answered >= 1_024 {
      answers.removeFirst(answered)
      answered = 0
    }
    answer(reply)
  }

  /// Begins an attempt that is due; ends a connection that says nothing.
  package func tick(now: Int64, poller: borrowing Poller) {
    guard now >= deadline else { return }
    switch state {
    case .stopped: return
    case .waiting: begin(now: now, poller: poller)
    default: close(.silent, now: now, poller: poller)
    }
  }

  /// Ends the connection because of what the owner has seen in an answer; another attempt follows.
  /// From within an answer, too.
  package func giveUp(_ reason: RedisFailure) { failure = reason }

  /// Carries out what `giveUp` said outside of an answer.
  package func settle(now: Int64, poller: borrowing Poller) {
    if let failure { close(failure, now: now, poller: poller) }
  }

  /// Ends it for good; nobody is told, and what was not answered is dropped.
  package func stop(poller: borrowing Poller) {
    if let stream { poller.remove(stream.socket) }
    stream = nil
    answers = []
    answered = 0
    state = .stopped
  }

  // MARK: Opening

  private func begin(now: Int64, poller: borrowing Poller) {
    server = found ?? settings.servers[next % settings.servers.count]
    lastHeard = now
    state = .opening
    do throws(RedisFailure) {
      let stream = try RedisStream.open(server, trust: try trusted())
      self.stream = stream
      do throws(Errno) {
        try poller.add(stream.socket, token: token)
      } catch {
        throw .socket("\(error)")
      }
    } catch {
      close(error, now: now, poller: poller)
    }
  }

  private func trusted() throws(RedisFailure) -> TLSTrust? {
    guard settings.isSecure else { return nil }
    if let trust { return trust }
    do throws(OpenSSLError) {
      let loaded = try TLSTrust.load(file: settings.trustFile)
      trust = loaded
      return loaded
    } catch {
      throw .tls("\(error)")
    }
  }

  /// What a connection begins with: who we are, and whether this is the primary.
  private func greet(now: Int64) {
    state = .greeting
    if let password = settings.password, !asksSentinel || settings.user != nil {
      let command: RedisCommand =
        settings.user.map { ["AUTH", $0, password] } ?? ["AUTH", password]
      enqueue(command, now: now) { [unowned self] reply in
        if let text = reply?.refusal { failure = .refused(text) }
      }
    }
    if asksSentinel {
      askSentinel(now: now)
    } else {
      enqueue(["ROLE"], now: now) { [unowned self] reply in learnRole(reply) }
    }
  }

  /// Whether the server at hand is a Sentinel.
  private var asksSentinel: Bool { settings.primary != nil && found == nil }

  private func learnRole(_ reply: RedisReply?) {
    guard let reply else { return }
    if let text = reply.refusal {
      failure = .refused(text)
    } else if !settings.needsPrimary || reply.elements.first?.text == "master" {
      state = .open
      openedAt = lastHeard
      attempts = 0
      event(.opened(server))
    } else {
      failure = .notPrimary
    }
  }

  private func askSentinel(now: Int64) {
    let name = settings.primary ?? ""
    enqueue(["SENTINEL", "get-master-addr-by-name", name], now: now) { [unowned self] reply in
      guard let reply else { return }
      if let text = reply.refusal {
        failure = .refused(text)
      } else if let host = reply.elements.first?.text,
        let port = reply.elements.dropFirst().first?.number.flatMap({ UInt16(exactly: $0) })
      {
        found = RedisServer(host: host, port: port)
        // Not told: the attempt goes on there.
        failure = .notPrimary
        isRedirected = true
      } else {
        failure = .unknownPrimary(name)
      }
    }
  }

  /// Whether the end of this connection is only the way to the primary.
  private var isRedirected = false

  // MARK: Ending

  private func close(_ reason: RedisFailure, now: Int64, poller: borrowing Poller) {
    let wasOfUse = isOpen && now &- openedAt > Self.trial
    if let stream { poller.remove(stream.socket) }
    stream = nil
    failure = nil
    let wasRedirected = isRedirected
    isRedirected = false
    if wasRedirected {
      state = .waiting(until: now)
    } else {
      if found != nil {
        found = nil
      } else if settings.prefersFirst && wasOfUse {
        next = 0
      } else {
        next = (next + 1) % settings.servers.count
      }
      state = .waiting(until: now &+ pause())
      attempts += 1
    }
    let dropped = answers[answered...]
    answers = []
    answered = 0
    for answer in dropped { answer(nil) }
    failure = nil
    if !wasRedirected { event(.closed(server, reason)) }
  }

  /// How long until the next attempt: 20 ms at first, doubled each time round the addresses, half of it
  /// by chance.
  private func pause() -> Int64 {
    let round = min(attempts / settings.servers.count, 10)
    let most = min(20_000_000 << Int64(round), settings.longestWait)
    random ^= random &<< 13
    random ^= random &>> 7
    random ^= random &<< 17
    return most / 2 + Int64(random % UInt64(max(1, most / 2)))
  }
}
