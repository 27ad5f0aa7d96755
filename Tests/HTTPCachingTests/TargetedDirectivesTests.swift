import Bytes
import HTTPCaching
import HTTPMessage
import Testing

/// What of a response's directives matters here, under the policy of a CDN.
private func summary(_ lines: [String], _ policy: CachePolicy = .cdn) -> String {
  let directives = ResponseDirectives(response(200, lines), policy: policy)
  var words: [String] = []
  switch directives.source {
  case .cacheControl: words.append("cc")
  case .targeted: words.append("targeted")
  case .surrogateControl: words.append("surrogate")
  }
  if directives.noStore { words.append("no-store") }
  if directives.noCache { words.append("no-cache") }
  if directives.isPrivate { words.append("private") }
  if directives.isPublic { words.append("public") }
  if directives.mustRevalidate { words.append("must-revalidate") }
  if let value = directives.maxAge { words.append("max-age=\(value)") }
  if let value = directives.sMaxAge { words.append("s-maxage=\(value)") }
  if let value = directives.staleWhileRevalidate { words.append("swr=\(value)") }
  if let value = directives.staleIfError { words.append("sie=\(value)") }
  if directives.hasInvalidLifetime { words.append("invalid") }
  if directives.immutable { words.append("immutable") }
  return words.joined(separator: " ")
}

@Suite struct `RFC 9213, targeted fields` {
  @Test(arguments: [
    ("max-age=60", "targeted max-age=60000"), ("max-age=60;x=1, foo=bar", "targeted max-age=60000"),
    ("max-age=1, max-age=60", "targeted max-age=60000"), ("none", "targeted"),
    ("max-age=99999999999", "targeted max-age=2147483648000"),
    ("max-age=-1", "targeted max-age=0 invalid"), ("s-maxage=5", "targeted s-maxage=5000"),
    ("no-store", "targeted no-store"), ("no-store=1", "targeted no-store"),
    ("no-store=?0", "targeted"), ("no-store=?0, max-age=5", "targeted max-age=5000"),
    ("private=\"a, b\"", "targeted private"), ("no-cache=(\"a\")", "targeted no-cache"),
    ("public", "targeted public"), ("public=1", "targeted"), ("immutable", "targeted immutable"),
    ("must-revalidate", "targeted must-revalidate"),
    (
      "max-age=1, stale-while-revalidate=2, stale-if-error=3",
      "targeted max-age=1000 swr=2000 sie=3000"
    ),
  ]) func `section 2.1: are dictionaries`(value: String, expected: String) {
    #expect(summary(["CDN-Cache-Control: \(value)", "Cache-Control: max-age=7"]) == expected)
  }

  @Test(arguments: [
    "", " ", "&&&", "max-age=60, &&&", "Max-Age=60", "max-age =60", "max-age= 60", "max-age=60,",
    "max-age=\"60\"", "max-age=6.5", "max-age", "max-age=60 60", "max-age=1234567890123456",
    "max-age=(60)", "no-store, max-age=a", "stale-while-revalidate=\"5\"",
  ]) func `section 2.2: what is empty or invalid is ignored as a whole`(value: String) {
    #expect(
      summary(["CDN-Cache-Control: \(value)", "Cache-Control: max-age=7"]) == "cc max-age=7000")
  }

  @Test func `section 2.2: several lines are one dictionary`() {
    #expect(
      summary(["CDN-Cache-Control: max-age=5", "CDN-Cache-Control: public"])
        == "targeted public max-age=5000")
    #expect(summary(["CDN-Cache-Control: max-age=5", "CDN-Cache-Control: &"]) == "cc")
  }

  @Test(arguments: [
    (["Weir-CC: max-age=1", "CDN-Cache-Control: max-age=2"], "targeted max-age=1000"),
    (["CDN-Cache-Control: max-age=2", "Cache-Control: max-age=3"], "targeted max-age=2000"),
    (["Weir-CC: &", "CDN-Cache-Control: max-age=2"], "targeted max-age=2000"),
    (["Weir-CC:", "CDN-Cache-Control: &", "Cache-Control: max-age=3"], "cc max-age=3000"),
    (["Other-CC: max-age=1", "Cache-Control: max-age=3"], "cc max-age=3000"),
  ]) func `section 2.2: the first of the list that is valid counts`(
    lines: [String], expected: String
  ) {
    var policy = CachePolicy.cdn
    policy.targets.insert(Array("weir-cc".utf8), at: 0)
    #expect(summary(lines, policy) == expected)
  }

  @Test func `a node without targets reads none`() {
    let lines = ["CDN-Cache-Control: no-store", "Cache-Control: max-age=3"]
    #expect(summary(lines, CachePolicy()) == "cc max-age=3000")
  }

  @Test(
    arguments: [
      (["CDN-Cache-Control: max-age=60", "Expires: 0"], 60_000),
      (["CDN-Cache-Control: none", "Expires: Mon, 01 Jan 2024 01:00:00 GMT"], 0),
      (["Expires: Mon, 01 Jan 2024 01:00:00 GMT"], 3_600_000),
      (["Surrogate-Control: max-age=5", "CDN-Cache-Control: max-age=60", "Expires: 0"], 5_000),
    ] as [([String], Int64)]) func `section 2.2: Expires does not count beside one`(
      lines: [String], lifetime: Int64
    )
  {
    let head = response(200, lines + ["Date: \(t0Date)"])
    let freshness = Freshness.of(
      response: head, directives: ResponseDirectives(head, policy: .cdn), requestTime: t0,
      responseTime: t0, policy: .cdn)
    #expect(freshness.lifetime == lifetime)
  }

  @Test func `a value that is too long is ignored`() {
    let filler = String(repeating: "a", count: 4096)
    #expect(summary(["CDN-Cache-Control: max-age=5, \(filler)"]) == "cc")
  }

  @Test func `a lifetime for shared caches lets cookies be shared`() {
    func decide(_ lines: String...) -> StorageDecision {
      let head = response(200, lines + ["Set-Cookie: a=b"])
      return StorageRules.decide(
        request: request(.get), response: head,
        directives: ResponseDirectives(head, policy: .cdn), requestDirectives: RequestDirectives(),
        policy: .cdn)
    }
    #expect(decide("Cache-Control: max-age=60") == .refuse(.setCookie))
    #expect(decide("CDN-Cache-Control: max-age=60") == .store)
    #expect(decide("Surrogate-Control: max-age=60") == .store)
    #expect(decide("CDN-Cache-Control: none", "ETag: \"a\"") == .refuse(.setCookie))
  }
}

@Suite struct `Surrogate-Control` {
  @Test(arguments: [
    ("max-age=60", "surrogate max-age=60000"),
    ("max-age=600+30", "surrogate max-age=600000 swr=30000 sie=30000"),
    ("max-age=60, content=\"ESI/1.0\"", "surrogate max-age=60000"),
    ("no-store, content=\"ESI/1.0\"", "surrogate no-store"),
    ("no-store-remote", "surrogate no-store"), ("MAX-AGE=60", "surrogate max-age=60000"),
    ("max-age=60, stale-if-error=5", "surrogate max-age=60000 sie=5000"),
    ("max-age =60", "surrogate max-age=0 invalid"), ("max-age=+5", "surrogate max-age=0 invalid"),
    ("max-age=5+", "surrogate max-age=0 invalid"), ("max-age=5+6+7", "surrogate max-age=0 invalid"),
    ("max-age=1+2, max-age=3+4", "surrogate max-age=0 swr=2000 sie=2000 invalid"),
    ("content=\"ESI/1.0\"", "cc max-age=7000"), ("", "cc max-age=7000"), ("foo", "cc max-age=7000"),
  ]) func `counts before Cache-Control`(value: String, expected: String) {
    #expect(summary(["Surrogate-Control: \(value)", "Cache-Control: max-age=7"]) == expected)
  }

  @Test func `counts before targeted fields, and can be ignored`() {
    let lines = ["Surrogate-Control: max-age=1", "CDN-Cache-Control: max-age=2"]
    #expect(summary(lines) == "surrogate max-age=1000")
    var policy = CachePolicy.cdn
    policy.ignored = .surrogateControl
    #expect(summary(lines, policy) == "targeted max-age=2000")
    policy.ignored = [.surrogateControl, .targeted]
    #expect(summary(lines, policy) == "cc")
  }

  @Test func `is not for clients`() {
    let head = response(200, "Surrogate-Control: max-age=1", "X: 1", "Date: \(t0Date)")
    func lines(_ options: ResponseFieldOptions) -> String {
      written {
        HeadComposer.appendResponseFields(
          head, directives: ResponseDirectives(), options: options, responseTime: t0, to: &$0)
      }
    }
    #expect(lines(.storing) == "x: 1\r\ndate: \(t0Date)\r\n")
    #expect(
      lines(.exposeSurrogateControl)
        == "surrogate-control: max-age=1\r\nx: 1\r\ndate: \(t0Date)\r\n")
  }

  @Test func `still counts after a 304 without one`() {
    let first = response(
      200, "Surrogate-Control: max-age=600+30", "Cache-Control: max-age=1", "ETag: \"a\"",
      "Date: \(t0Date)")
    let stored = Freshness.of(
      response: first, directives: ResponseDirectives(first, policy: .cdn), requestTime: t0,
      responseTime: t0, policy: .cdn)
    let merged = response(200, "Cache-Control: max-age=1", "ETag: \"a\"", "Date: \(t0Date)")
    func freshened(_ lines: String...) -> Freshness {
      Freshness.freshened(
        stored, merged: merged, notModified: response(304, lines), requestTime: t0,
        responseTime: t0, policy: .cdn)
    }
    #expect(freshened("ETag: \"a\"").lifetime == 600_000)
    #expect(freshened("ETag: \"a\"").staleIfError == 30_000)
    #expect(freshened("Age: 5").correctedInitialAge == 5_000)
    #expect(freshened("Surrogate-Control: max-age=7").lifetime == 7_000)
    #expect(freshened("Surrogate-Control: max-age=7").staleIfError == -1)
    #expect(
      ResponseDirectives.freshened(
        merged: merged, notModified: response(304, "Surrogate-Control: no-store"), policy: .cdn
      ).noStore)
    var overriding = CachePolicy.cdn
    overriding.lifetimes = [LifetimeRule(.any, milliseconds: 9_000, overrides: true)]
    let overridden = Freshness.freshened(
      stored, merged: merged, notModified: response(304), requestTime: t0, responseTime: t0,
      policy: overriding)
    #expect(overridden.lifetime == 9_000)
  }
}
