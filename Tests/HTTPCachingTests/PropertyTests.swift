import Bytes
import HTTPCaching
import HTTPMessage
import Testing

/// A head whose lines have the given names and random values: of any bytes, or of pieces that the
/// parsers know.
private func values(_ random: inout Seeded, count: Int) -> [String] {
  let pieces = [
    "max-age", "s-maxage", "no-cache", "private", "=", "\"", "\\", ",", " ", "\t", "0", "9",
    "99999999999", "-", ";", "*", "W/\"", "a", "x-y", ":", "//", "..", "/", "?", "#", "GMT",
    t0Date, "Monday, 01-Jan-24 00:00:00 GMT", "Mon Jan  1 00:00:00 2024", "\u{e9}",
  ]
  return (0..<count).map { _ in
    (0..<Int.random(in: 0...12, using: &random)).map { _ in
      pieces[Int.random(in: 0..<pieces.count, using: &random)]
    }.joined()
  }
}

@Suite struct `Whatever is received` {
  @Test(arguments: 0..<40) func `nothing traps on text that looks like fields`(seed: Int) {
    var random = Seeded(UInt64(seed))
    let names =
      KnownField.allCases.map { "\($0.name)" }
      + ["x-y", "a", "cache-groups", "cache-group-invalidation", "no-vary-search"]
    for _ in 0..<50 {
      let lines = values(&random, count: 6).map { value in
        "\(names[Int.random(in: 1..<names.count, using: &random)]): \(value)"
      }
      exercise(lines, &random)
    }
  }

  @Test(arguments: 0..<20) func `nothing traps on random bytes`(seed: Int) {
    var random = Seeded(UInt64(seed) &+ 1_000)
    for _ in 0..<200 {
      let count = Int.random(in: 0...40, using: &random)
      let bytes = view((0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
      var directives = ResponseDirectives()
      directives.merge(bytes)
      _ = Validators.seconds(bytes, now: t0)
      _ = Validators.etag(of: bytes)
      _ = Validators.matchStrongly(bytes, bytes)
      StoredLines.read(bytes, status: 200, into: ResponseHead())
      var buffer = ByteBuffer()
      _ = Invalidation.appendTarget(
        of: bytes, scheme: view("http"), authority: view("a"), path: bytes, to: &buffer)
      Tags.split(bytes, by: .any) { _ in }
      CacheStatus.appendHit(node: bytes, ttlSeconds: 0, to: &buffer)
      exercise(bytes, bytes, to: &buffer)
    }
  }

  @Test(arguments: 0..<20) func `nothing traps on what looks like queries and paths`(seed: Int) {
    var random = Seeded(UInt64(seed) &+ 2_000)
    let pieces = ["a", "=", "&", "%", "%4", "%41", "+", ".", ".css", "/", ";", "utm_x", "*", "?"]
    func text() -> ByteView {
      view(
        (0..<Int.random(in: 0...20, using: &random)).map { _ in
          pieces[Int.random(in: 0..<pieces.count, using: &random)]
        }.joined())
    }
    for _ in 0..<200 {
      var buffer = ByteBuffer()
      exercise(text(), text(), to: &buffer)
    }
  }

  /// What reads a query, a path, a pattern or a type.
  private func exercise(_ one: ByteView, _ other: ByteView, to buffer: inout ByteBuffer) {
    let pattern = NamePattern(other.array)
    let rule = QueryNormalization(sorts: true, drop: [pattern], keep: [pattern])
    rule.append(one, to: &buffer)
    _ = NoVarySearch(view("key-order, params=(\"a\")")).appendKey(one, to: &buffer)
    _ = NoVarySearch(one)
    _ = DeceptionDefence.check(path: one, contentType: other)
    _ = ContentRange.parse(one)
    _ = RangeRules.select(one, length: 100)
    _ = SlicePlan(sliceSize: 7).firstSlice(for: one)
    _ = ResponseDirectives(targeted: one)
    var tags = VariantTags()
    tags.add(one, number: 0)
  }

  /// What reads a whole response beside what `exercise` does.
  private func exerciseMore(_ response: ResponseHead, _ request: RequestHead, now: Int64) {
    var policy = CachePolicy.cdn
    policy.storesPartial = true
    policy.lifetimes = [LifetimeRule(.any, milliseconds: .max, overrides: true)]
    let directives = ResponseDirectives(response, policy: policy)
    let freshness = Freshness.of(
      response: response, directives: directives, requestTime: now, responseTime: t0,
      policy: policy)
    #expect(freshness.lifetime >= 0 && freshness.correctedInitialAge >= 0)
    _ = Freshness.freshened(
      freshness, merged: response, notModified: response, requestTime: t0, responseTime: now,
      policy: policy)
    _ = StorageRules.decide(
      request: request, response: response, directives: directives,
      requestDirectives: RequestDirectives(), policy: policy)
    _ = PartialResponses.storage(of: response)
    _ = SlicePlan(sliceSize: 10, completeLength: 5).check(
      response, asked: RangeSpec.suffix(3).resolved(length: 5) ?? .one, storedETag: nil,
      storedLastModified: now, storedDate: now, now: now)
    _ = CacheGroups.groups(of: response)
    _ = CacheGroups.invalidated(by: response, method: .post)
    _ = NoVarySearch(response)
    _ = RangeRules.select(
      request,
      of: SelectedRepresentation(
        status: 200, length: 100, etag: response.value(.etag), lastModified: now, date: .min),
      now: now)
    var buffer = ByteBuffer()
    KeyRecipe([.query, .path, .host, .field(Array("a".utf8)), .cookie(Array("a".utf8))]).append(
      request, scheme: "https", to: &buffer)
  }

  private func exercise(_ lines: [String], _ random: inout Seeded) {
    let response = response(UInt16.random(in: 100...599, using: &random), lines)
    let request = request(.get, lines)
    let directives = ResponseDirectives(response)
    let wishes = RequestDirectives(request)
    let now = Int64.random(in: .min ... .max, using: &random)
    let freshness = Freshness.of(
      response: response, directives: directives, requestTime: t0, responseTime: now)
    #expect(freshness.lifetime >= 0 && freshness.correctedInitialAge >= 0)
    _ = ReuseRules.decide(freshness, request: wishes, now: t0)
    _ = StorageRules.decide(
      request: request, response: response, directives: directives, requestDirectives: wishes)
    var buffer = ByteBuffer()
    if VaryRule.append(of: response, to: &buffer) == .rule {
      let end = buffer.count
      var other = ByteBuffer()
      VaryRule.appendValues(rule: buffer.view, request: request, to: &other)
      #expect(end > 0 && !other.isEmpty)
    }
    _ = Preconditions.evaluate(
      request: request, etag: response.value(.etag), lastModified: nil, date: 0, status: 200,
      now: now)
    HeadComposer.appendResponseFields(
      response, directives: directives, options: .storing, responseTime: now, to: &buffer)
    HeadComposer.appendRequestFields(request, omitting: [], to: &buffer)
    exerciseMore(response, request, now: now)
    var freshened = ByteBuffer()
    HeadComposer.appendFreshened(
      stored: buffer.view, by: response, responseTime: t0, to: &freshened)
  }
}

extension ByteRange {
  /// The first byte.
  fileprivate static var one: ByteRange {
    guard let range = ByteRange(start: 0, end: 1) else { preconditionFailure("an empty range") }
    return range
  }
}

@Suite struct `Properties` {
  @Test(arguments: 0..<20) func `the current age never falls, and nothing stale becomes fresh`(
    seed: Int
  ) {
    var random = Seeded(UInt64(seed))
    for _ in 0..<100 {
      let it = Freshness(
        responseTime: Int64.random(in: -4_000_000_000...4_000_000_000_000, using: &random),
        correctedInitialAge: Int64.random(in: 0...10_000_000, using: &random),
        lifetime: Int64.random(in: 0...10_000_000, using: &random))
      var now = Int64.random(in: -4_000_000_000...4_000_000_000_000, using: &random)
      var age = it.currentAge(now: now)
      var wasFresh = true
      for _ in 0..<20 {
        now += Int64.random(in: 0...5_000_000, using: &random)
        let next = it.currentAge(now: now)
        #expect(next >= age && next >= it.correctedInitialAge)
        age = next
        let isFresh = ReuseRules.decide(it, request: RequestDirectives(), now: now) == .fresh
        #expect(wasFresh || !isFresh)
        wasFresh = isFresh
      }
    }
  }

  @Test(arguments: 0..<10) func `a date that is written is read again`(seed: Int) {
    var random = Seeded(UInt64(seed))
    for _ in 0..<200 {
      let seconds = Int64.random(in: -62_135_596_800...253_402_300_799, using: &random)
      let head = written {
        HeadComposer.appendResponseFields(
          response(200, []), directives: ResponseDirectives(), options: [],
          responseTime: seconds * 1000, to: &$0)
      }
      let text = head.dropFirst("date: ".count).dropLast()  // CR LF is one character
      #expect(Validators.seconds(view(String(text)), now: t0) == seconds)
    }
  }

  @Test func `composing what was composed changes nothing`() {
    let lines = [
      "X-A: 1", "Date: \(t0Date)", "Cache-Control: private=\"q\"", "Q: 1", "ETag: \"a\"",
    ]
    let first = response(200, lines)
    var once = ByteBuffer()
    HeadComposer.appendResponseFields(
      first, directives: ResponseDirectives(first), options: .storing, responseTime: t0, to: &once)
    let second = ResponseHead()
    StoredLines.read(once.view, status: 200, into: second)
    var twice = ByteBuffer()
    HeadComposer.appendResponseFields(
      second, directives: ResponseDirectives(second), options: .storing, responseTime: t0,
      to: &twice)
    #expect(once.view == twice.view)
  }
}

@Suite struct `RFC 9110 section 5.6.7, dates` {
  @Test(
    arguments: [
      ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
      ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
      ("Sun Nov  6 08:49:37 1994", 784_111_777),
      ("sun, 06 nov 1994 08:49:37 gmt", 784_111_777),
      ("SUNDAY, 06-NOV-94 08:49:37 GMT", 784_111_777),
      ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
      ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
      ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
      ("Thu, 29 Feb 2023 12:00:00 GMT", nil),
      ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
      ("Thu, 29 Feb 1900 00:00:00 GMT", nil),
      ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
      ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
      ("Wednesday, 01-Jan-70 00:00:00 GMT", 3_155_760_000),
      ("Wednesday, 01-Jan-75 00:00:00 GMT", 157_766_400),
      ("Monday, 01-Jan-24 00:00:00 GMT", 1_704_067_200),
      ("Sun Nov 06 08:49:37 1994", 784_111_777),
      ("Sun, 06 Nov 1994 08:49:37 GM", nil), ("Sun, 06 Nov 1994 08:49:37 GMTx", nil),
      ("Sund, 06-Nov-94 08:49:37 GMT", nil), (" Sun, 06 Nov 1994 08:49:37 GMT", nil), ("", nil),
    ] as [(String, Int64?)]) func `three formats are read`(text: String, expected: Int64?)
  {
    #expect(Validators.seconds(view(text), now: t0) == expected)
  }
}
