import Authentication
import Bytes
import Cryptography
import EventLoop
import Synchronization
import Testing

private let second: Int64 = 1_000_000_000
private let timing = RefreshTiming(
  interval: 600 * second, cooldown: 30 * second, firstRetry: 5 * second)

/// A key set with the public half of a key on P-256.
private func keySet(_ issuers: Issuer...) -> String {
  let keys = issuers.map { issuer in
    guard case .elliptic(_, let x, let y) = issuer.material else { return "{}" }
    return
      #"{"kty":"EC","crv":"P-256","use":"sig","kid":"\#(issuer.id ?? "")","#
      + #""x":"\#(Base64URL.encode(x))","y":"\#(Base64URL.encode(y))"}"#
  }
  return #"{"keys":[\#(keys.joined(separator: ","))]}"#
}

/// A schedule that an expectation may change.
private final class ScheduleUnderTest {
  private var schedule: RefreshSchedule
  init(first: Int64) { schedule = RefreshSchedule(timing, first: first) }
  var next: Int64 { schedule.next }
  var failures: Int { schedule.failures }
  func start(now: Int64) -> Bool { schedule.start(now: now) }
  func succeeded(now: Int64) { schedule.succeeded(now: now) }
  func failed(now: Int64) { schedule.failed(now: now) }
  func wantKey(now: Int64) -> Bool { schedule.wantKey(now: now) }
  func hurry(now: Int64) { schedule.hurry(now: now) }
}

@Suite struct RefreshScheduleTests {
  @Test func `keys are fetched at first, and again after the interval`() {
    let schedule = ScheduleUnderTest(first: 100)
    #expect(!schedule.start(now: 99))
    #expect(schedule.start(now: 100))
    #expect(!schedule.start(now: 101))
    schedule.succeeded(now: 200)
    #expect(schedule.next == 200 + 600 * second)
    #expect(!schedule.start(now: schedule.next - 1))
    #expect(schedule.start(now: schedule.next))
  }

  @Test func `after a failure the wait doubles up to the interval`() {
    let schedule = ScheduleUnderTest(first: 0)
    var waits: [Int64] = []
    for _ in 0..<100 {
      let begin = schedule.next
      #expect(schedule.start(now: begin))
      schedule.failed(now: begin)
      waits.append((schedule.next - begin) / second)
    }
    #expect(waits.prefix(8) == [5, 10, 20, 40, 80, 160, 320, 600])
    #expect(waits.dropFirst(8).allSatisfy { $0 == 600 })
    #expect(schedule.start(now: schedule.next))
    schedule.succeeded(now: schedule.next)
    #expect(schedule.failures == 0)
  }

  @Test func `an unknown key fetches at once, and at most once in a cooldown`() {
    let schedule = ScheduleUnderTest(first: 0)
    #expect(schedule.start(now: 0))
    // A fetch is under way already.
    #expect(schedule.wantKey(now: 1))
    schedule.succeeded(now: 2 * second)
    for now in stride(from: 3 * second, to: 30 * second, by: Int(second)) {
      #expect(!schedule.wantKey(now: now))
      #expect(!schedule.start(now: now))
    }
    #expect(schedule.wantKey(now: 30 * second))
    #expect(schedule.start(now: 30 * second))
    schedule.succeeded(now: 31 * second)
    #expect(!schedule.wantKey(now: 59 * second))
    #expect(schedule.wantKey(now: 60 * second))
  }

  @Test func `a flood of unknown keys does not fetch more often`() {
    let schedule = ScheduleUnderTest(first: 0)
    var fetches = 0
    for now in stride(from: 0, to: 3_600 * second, by: Int(second / 4)) {
      _ = schedule.wantKey(now: now)
      if schedule.start(now: now) {
        fetches += 1
        if fetches % 3 == 0 { schedule.failed(now: now) } else { schedule.succeeded(now: now) }
      }
    }
    #expect(fetches <= 3_600 / 30 + 3_600 / 5 / 3)
    #expect(fetches >= 3_600 / 30)
  }

  @Test func `the operator need not wait`() {
    let schedule = ScheduleUnderTest(first: 0)
    #expect(schedule.start(now: 0))
    schedule.succeeded(now: 1)
    schedule.hurry(now: 2)
    #expect(schedule.start(now: 2))
  }
}

@Suite struct KeySourceTests {
  @Test func `a file is read, and read again when it has changed`() throws {
    let first = try Issuer(.es256, id: "first")
    let second = try Issuer(.es256, id: "second")
    let file = try TemporaryFile(keySet(first))
    let source = try KeySource(
      .file(file.path), timing: timing, clock: NodeClock(manualFrom: testTime))
    try source.load()
    #expect(source.keys.current.value?.keys.map(\.id) == [Array("first".utf8)])
    let generation = source.keys.generation
    try source.load()
    #expect(source.keys.generation == generation)
    file.write(keySet(first, second))
    try source.load()
    #expect(source.keys.generation == generation + 1)
    #expect(source.keys.current.value?.keys.count == 2)
    // What cannot be read changes nothing.
    for content in ["", "{}", "{\"keys\":[]}", "{\"keys\":[{}]}", "{\"keys\":{}}", "x"] {
      file.write(content)
      #expect(throws: KeySourceError.self) { try source.load() }
    }
    #expect(source.keys.current.value?.keys.count == 2)
    #expect(source.status.failures == 6)
    #expect(source.status.lastSuccess == testTime)
  }

  @Test func `a file that is missing is said to be`() throws {
    let source = try KeySource(
      .file("/nonexistent/keys"), timing: timing, clock: NodeClock(manualFrom: testTime))
    #expect(throws: KeySourceError.file("/nonexistent/keys", Errno(2))) { try source.load() }
  }

  @Test
  func `keys come over TLS from a server that a private authority vouches for, and from no other`()
    throws
  {
    let keys = keySet(try Issuer(.es256, id: "only"))
    let certificate = try #require(TestCertificate(names: "DNS:localhost"))
    let file = try TemporaryFile("")
    #expect(certificate.write(to: file.path))
    let server = try TestServer(certificate: certificate) { _ in
      .bytes(response(keys))
    }
    defer { server.stop() }
    let url = try KeyURL("https://localhost:\(server.port)/keys")
    let clock = NodeClock(manualFrom: testTime)
    let trusting = try KeySource(
      .url(url, trustFile: file.path), timing: timing, clock: clock)
    try trusting.load()
    #expect(trusting.keys.current.value?.keys.map(\.id) == [Array("only".utf8)])
    // The system's authorities know nothing of it.
    let other = try KeySource(.url(url, trustFile: nil), timing: timing, clock: clock)
    #expect(throws: KeySourceError.self) { try other.load() }
    #expect(other.keys.current.value == nil)
    #expect(server.requests.count == 1)
  }

  @Test func `keys come from a server, rotate, and stay when it is down`() async throws {
    let old = try Issuer(.es256, id: "old")
    let new = try Issuer(.es256, id: "new")
    let answers = Mutex([keySet(old), keySet(old, new), "down", "down"])
    let server = try TestServer { _ in
      let content = answers.withLock { $0.isEmpty ? "down" : $0.removeFirst() }
      return .bytes(
        content == "down"
          ? response("", status: "500 Internal Server Error") : response(content))
    }
    defer { server.stop() }
    let clock = NodeClock(manualFrom: testTime)
    let url = try KeyURL("http://127.0.0.1:\(server.port)/keys")
    let source = try KeySource(.url(url, trustFile: nil), timing: timing, clock: clock)
    let (attempts, continuation) = AsyncStream<Void>.makeStream()
    source.afterEachAttempt { continuation.yield() }
    let gate = TokenAuthenticator(
      rules: TokenRules(algorithms: [.es256]), source: source, secret: Hash128(low: 1, high: 2))
    func refusal(_ token: String) -> TokenRefusal? {
      guard case .refused(let refusal) = token.withView({ gate.verify($0, now: clock.now()) })
      else { return nil }
      return refusal
    }
    var attempt = attempts.makeAsyncIterator()
    source.start()
    defer { source.stop() }
    await attempt.next()
    let first = try old.token(claims())
    let second = try new.token(claims())
    #expect(refusal(first) == nil)
    // The new key is not there, and the last fetch was just now.
    #expect(refusal(second) == .unknownKey(fetching: false))
    clock.advance(nanoseconds: 30 * KeySourceTests.second)
    #expect(refusal(second) == .unknownKey(fetching: true))
    await attempt.next()
    #expect(refusal(second) == nil)
    #expect(refusal(first) == nil)
    // The interval passes, and the server fails.
    clock.advance(nanoseconds: 600 * KeySourceTests.second)
    await attempt.next()
    #expect(source.status.error == .fetch(.status(500)))
    #expect(refusal(first) == nil)
    #expect(refusal(try new.token(claims(#""n":1"#))) == nil)
    clock.advance(nanoseconds: 5 * KeySourceTests.second)
    await attempt.next()
    #expect(source.status.failures == 2)
    #expect(server.requests.count == 4)
  }

  private static let second: Int64 = 1_000_000_000

  @Test func `of a set, only the keys that can be used are taken`() throws {
    let issuer = try Issuer(.es256)
    guard case .elliptic(_, let x, let y) = issuer.material else { throw CancellationError() }
    let point = #""x":"\#(Base64URL.encode(x))","y":"\#(Base64URL.encode(y))""#
    let swapped = #""x":"\#(Base64URL.encode(y))","y":"\#(Base64URL.encode(x))""#
    let secret = Base64URL.encode([UInt8](repeating: 1, count: 32))
    let text = """
      {"keys":[
        {"kty":"EC","crv":"P-256",\(point),"kid":"good","unknown":{"a":1}},
        {"kty":"EC","crv":"P-256",\(swapped)},
        {"kty":"EC","crv":"P-384",\(point)},
        {"kty":"EC","crv":"secp256k1",\(point)},
        {"kty":"EC","crv":"P-256",\(point),"alg":"ES384"},
        {"kty":"EC","crv":"P-256",\(point),"alg":"RS256"},
        {"kty":"EC","crv":"P-256",\(point),"use":"enc"},
        {"kty":"EC","crv":"P-256",\(point),"key_ops":["sign"]},
        {"kty":"EC","crv":"P-256",\(point),"kid":5},
        {"kty":"EC","crv":"P-256",\(point),"kid":"\(String(repeating: "x", count: 257))"},
        {"kty":"oct","k":"\(secret)"},
        {"kty":"oct","k":"AAAA"},
        {"kty":"OKP","crv":"X25519","x":"\(secret)"},
        {"kty":"new"},
        "text"
      ]}
      """
    let set = try text.withView { try KeySet.read($0, allowsSecrets: true) }
    #expect(set.keys.map(\.id) == [Array("good".utf8), nil])
    #expect(set.keys.map(\.algorithms) == [[.es256], [.hs256, .hs384, .hs512]])
    #expect(
      set.ignored.map(\.reason) == [
        .defect(.notOnCurve), .defect(.wrongLength), .unsupportedKind, .unsupportedAlgorithm,
        .unsupportedAlgorithm, .otherUse, .otherUse, .malformed, .nameTooLong,
        .defect(.secretTooShort), .unsupportedKind, .unsupportedKind, .malformed,
      ])
    let network = try text.withView { try KeySet.read($0, allowsSecrets: false) }
    #expect(network.keys.count == 1)
    #expect(network.ignored.contains(IgnoredKey(index: 10, reason: .secretFromNetwork)))
  }

  @Test func `a single key is a set of one, and sixty-four are the most`() throws {
    let key = #"{"kty":"oct","k":"\#(Base64URL.encode([UInt8](repeating: 1, count: 64)))"}"#
    #expect(try key.withView { try KeySet.read($0, allowsSecrets: true) }.keys.count == 1)
    func many(_ count: Int) -> String {
      #"{"keys":["# + [String](repeating: key, count: count).joined(separator: ",") + "]}"
    }
    #expect(try many(64).withView { try KeySet.read($0, allowsSecrets: true) }.keys.count == 64)
    #expect(throws: KeySetDefect.tooManyKeys) {
      _ = try many(65).withView { try KeySet.read($0, allowsSecrets: true) }
    }
    #expect(throws: KeySetDefect.json(.repeatedMember)) {
      _ = try #"{"keys":[],"keys":[]}"#.withView { try KeySet.read($0, allowsSecrets: true) }
    }
  }
}
