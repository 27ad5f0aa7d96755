// The public suite of cache tests (http-tests/cache-tests), as far as it asks about rules and not about
// connections: each row has the suite's id, what the origin answers, and what the suite expects of a
// shared cache three seconds later. Where the suite only checks what a cache does, the row has what this
// one does, and why is in the rule's own test.
//
//     suite                    rows here                  other tests
//     cc-freshness, cc-parse   all                        ResponseDirectivesTests
//     expires-freshness,       all                        FreshnessTests, HTTPDateTests
//     expires-parse
//     age-parse                all                        FreshnessTests
//     heuristic                all statuses               StorageRulesTests
//     cc-response              all for shared caches      StorageRulesTests, HeadComposerTests
//     cc-request               all                        ReuseRulesTests
//     auth                     all                        StorageRulesTests
//     stale                    all directives             ReuseRulesTests, CachePolicyTests
//     vary, vary-parse         all                        VaryRuleTests
//     cdn-cache-control        all                        TargetedDirectivesTests
//     surrogate-control        all                        TargetedDirectivesTests
//     pragma                   both                       RequestDirectivesTests
//     other                    those about storing        FreshnessTests
//     update304, headers       -                          HeadComposerTests, ConformanceTests.fields
//     partial                  -                          RangeTests, PartialResponsesTests
//     conditional-*            -                          PreconditionsTests, ValidatorsTests
//     invalidation             -                          InvalidationTests
//     update-head              -                          VariantValidationTests

import Bytes
import HTTPCaching
import HTTPMessage
import Testing

/// What becomes of a response when it is asked for again.
enum Outcome: String {
  /// Answered from the store.
  case cached
  /// Validated first.
  case validated
  /// Not in the store.
  case forwarded
}

/// A date so many seconds from `t0`.
private func date(_ seconds: Int64) -> String {
  written { HTTPDate.append(t0 / 1000 + seconds, to: &$0) }
}

private func outcome(
  _ lines: [String], status: UInt16 = 200, first: [String] = [], again: [String] = []
) -> Outcome {
  let (head, request1) = (response(status, lines), request(.get, first))
  let directives = ResponseDirectives(head, policy: .cdn)
  let decision = StorageRules.decide(
    request: request1, response: head, directives: directives,
    requestDirectives: RequestDirectives(request1), policy: .cdn)
  guard decision == .store else { return .forwarded }
  var rule = ByteBuffer()
  var one = ByteBuffer()
  var other = ByteBuffer()
  if VaryRule.append(of: head, to: &rule) == .rule {
    VaryRule.appendValues(rule: rule.view, request: request1, to: &one)
    VaryRule.appendValues(rule: rule.view, request: request(.get, again), to: &other)
    if one.view != other.view { return .forwarded }
  }
  let freshness = Freshness.of(
    response: head, directives: directives, requestTime: t0, responseTime: t0, policy: .cdn)
  let wishes = RequestDirectives(request(.get, again))
  switch ReuseRules.decide(freshness, request: wishes, now: t0 + 3_000) {
  case .fresh, .staleWhileRevalidate: return .cached
  case .mustValidate, .gatewayTimeout:
    // The suite calls a validation without a validator "not cached".
    return Validators.hasValidator(head) ? .validated : .forwarded
  }
}

@Suite struct `The public cache tests` {
  @Test(
    arguments: [
      ("freshness-none", [], .forwarded),
      ("freshness-max-age", ["max-age=3600"], .cached),
      ("freshness-max-age-quoted", ["max-age=\"3600\""], .cached),
      ("freshness-max-age-single-quoted", ["max-age='3600'"], .forwarded),
      ("freshness-max-age-ignore-quoted", ["extension=\"max-age=3600\", max-age=1"], .forwarded),
      (
        "freshness-max-age-ignore-quoted-rev", ["max-age=1, extension=\"max-age=3600\""], .forwarded
      ),
      (
        "freshness-max-age-ignore-quoted-all", ["extension=\"max-age=100\", max-age=\"1\""],
        .forwarded
      ),
      (
        "freshness-max-age-ignore-quoted-all-rev", ["max-age=\"1\", extension=\"max-age=100\""],
        .forwarded
      ),
      ("freshness-max-age-space-before-equals", ["max-age =3600"], .forwarded),
      ("freshness-max-age-space-after-equals", ["max-age= 3600"], .forwarded),
      ("freshness-max-age-leading-zero", ["max-age=003600"], .cached),
      ("freshness-max-age-0", ["max-age=0"], .forwarded),
      ("freshness-max-age-a100", ["max-age=a3600"], .forwarded),
      ("freshness-max-age-100a", ["max-age=3600a"], .forwarded),
      ("freshness-max-age-decimal-zero", ["max-age=3600.0"], .forwarded),
      ("freshness-max-age-decimal-five", ["max-age=3600.5"], .forwarded),
      ("freshness-max-age-negative", ["max-age=-3600"], .forwarded),
      ("freshness-max-age-max", ["max-age=2147483648"], .cached),
      ("freshness-max-age-max-plus", ["max-age=99999999999"], .cached),
      ("freshness-max-age-two-fresh-stale-sameline", ["max-age=1800, max-age=1"], .forwarded),
      ("freshness-max-age-two-fresh-stale-sepline", ["max-age=1800", "max-age=1"], .forwarded),
      ("freshness-max-age-two-stale-fresh-sameline", ["max-age=1, max-age=1800"], .forwarded),
      ("freshness-max-age-two-stale-fresh-sepline", ["max-age=1", "max-age=1800"], .forwarded),
      ("freshness-max-age-extension", ["foobar, max-age=3600"], .cached),
      ("freshness-max-age-case-insenstive", ["MaX-aGe=3600"], .cached),
      ("freshness-s-maxage-shared", ["s-maxage=3600"], .cached),
      ("freshness-max-age-s-maxage-shared-longer", ["max-age=3600, s-maxage=1"], .forwarded),
      (
        "freshness-max-age-s-maxage-shared-longer-reversed", ["s-maxage=1, max-age=3600"],
        .forwarded
      ),
      (
        "freshness-max-age-s-maxage-shared-longer-multiple", ["max-age=3600", "s-maxage=1"],
        .forwarded
      ),
      ("freshness-max-age-s-maxage-shared-shorter", ["max-age=1, s-maxage=3600"], .cached),
      (
        "freshness-max-age-s-maxage-shared-shorter-multiple", ["max-age=1", "s-maxage=3600"],
        .cached
      ),
      ("cc-resp-private-shared", ["private, max-age=3600"], .forwarded),
      ("cc-resp-no-store", ["no-store"], .forwarded),
      ("cc-resp-no-store-case-insensitive", ["No-StOrE"], .forwarded),
      ("cc-resp-no-store-fresh", ["max-age=10000, no-store"], .forwarded),
      ("cc-resp-no-cache", ["max-age=10000, no-cache"], .forwarded),
      ("cc-resp-no-cache-case-insensitive", ["max-age=10000, No-CaChE"], .forwarded),
      ("cc-resp-must-revalidate-fresh", ["max-age=10000, must-revalidate"], .cached),
      ("stale-close-must-revalidate", ["max-age=2, must-revalidate"], .forwarded),
      ("stale-close-proxy-revalidate", ["max-age=2, proxy-revalidate"], .forwarded),
      ("stale-close-no-cache", ["max-age=2, no-cache"], .forwarded),
      ("stale-close-s-maxage=2", ["max-age=2, s-maxage=2"], .forwarded),
      ("stale-while-revalidate", ["max-age=1, stale-while-revalidate=3600"], .cached),
      ("stale-while-revalidate-window", ["max-age=1, stale-while-revalidate=1"], .forwarded),
    ] as [(String, [String], Outcome)]) func `cc-freshness, cc-parse, cc-response, stale`(
      id: String, cacheControl: [String], expected: Outcome
    )
  {
    #expect(outcome(cacheControl.map { "Cache-Control: \($0)" }) == expected, "\(id)")
  }

  @Test(
    arguments: [
      ("cc-resp-no-cache-revalidate", "no-cache", .validated),
      ("cc-resp-no-cache-revalidate-fresh", "max-age=10000, no-cache", .validated),
      ("cc-resp-must-revalidate-stale", "max-age=2, must-revalidate", .validated),
      ("cc-resp-immutable-stale", "max-age=2, immutable", .validated),
    ] as [(String, String, Outcome)]) func `cc-response, with a validator`(
      id: String, cacheControl: String, expected: Outcome
    )
  {
    #expect(outcome(["Cache-Control: \(cacheControl)", "ETag: \"abcd\""]) == expected, "\(id)")
  }

  @Test(
    arguments: [
      ("freshness-max-age-age", ["Cache-Control: max-age=3600", "Age: 7200"], .forwarded),
      (
        "freshness-max-age-expires", ["Cache-Control: max-age=3600", "Expires: \(date(-10_000))"],
        .cached
      ),
      (
        "freshness-max-age-expires-invalid", ["Cache-Control: max-age=3600", "Expires: 0"], .cached
      ),
      (
        "freshness-max-age-0-expires", ["Cache-Control: max-age=0", "Expires: \(date(10_000))"],
        .forwarded
      ),
      ("freshness-expires-future", ["Expires: \(date(2_592_000))"], .cached),
      ("freshness-expires-past", ["Expires: \(date(-2_592_000))"], .forwarded),
      ("freshness-expires-present", ["Expires: \(date(0))"], .forwarded),
      ("freshness-expires-old-date", ["Expires: \(date(300))", "Date: \(date(400))"], .forwarded),
      ("freshness-expires-wrong-case-weekday", ["Expires: THU, 18 Aug 2050 02:01:18 GMT"], .cached),
      ("freshness-expires-wrong-case-month", ["Expires: Thu, 18 AUG 2050 02:01:18 GMT"], .cached),
      ("freshness-expires-wrong-case-tz", ["Expires: Thu, 18 Aug 2050 02:01:18 gMT"], .cached),
      ("freshness-expires-ansi-c", ["Expires: Thu Aug 18 02:01:18 2050"], .cached),
      ("freshness-expires-rfc850", ["Expires: Thursday, 18-Aug-50 02:01:18 GMT"], .cached),
      ("freshness-expires-invalid", ["Expires: 0"], .forwarded),
      ("freshness-expires-invalid-utc", ["Expires: Thu, 18 Aug 2050 02:01:18 UTC"], .forwarded),
      ("freshness-expires-invalid-aest", ["Expires: Thu, 18 Aug 2050 02:01:18 AEST"], .forwarded),
      (
        "freshness-expires-invalid-2-digit-year", ["Expires: Thu, 18 Aug 50 02:01:18 GMT"],
        .forwarded
      ),
      ("freshness-expires-invalid-no-comma", ["Expires: Thu 18 Aug 2050 02:01:18 GMT"], .forwarded),
      (
        "freshness-expires-invalid-multiple-spaces", ["Expires: Thu, 18  Aug  2050 02:01:18 GMT"],
        .forwarded
      ),
      (
        "freshness-expires-invalid-date-dashes", ["Expires: Thu, 18-Aug-2050 02:01:18 GMT"],
        .forwarded
      ),
      (
        "freshness-expires-invalid-time-periods", ["Expires: Thu, 18 Aug 2050 02.01.18 GMT"],
        .forwarded
      ),
      (
        "freshness-expires-invalid-1-digit-hour", ["Expires: Thu, 18 Aug 2050 2:01:18 GMT"],
        .forwarded
      ),
      (
        "freshness-expires-invalid-multiple-lines",
        ["Expires: \(date(3_600))", "Expires: \(date(10))"], .forwarded
      ),
      ("freshness-expires-invalid-date", ["Date: foo", "Expires: \(date(10))"], .cached),
      (
        "freshness-expires-age-slow-date",
        ["Date: \(date(-10))", "Expires: \(date(10))", "Age: 25"], .forwarded
      ),
      (
        "freshness-expires-age-fast-date",
        ["Date: \(date(10))", "Expires: \(date(20))", "Age: 15"], .forwarded
      ),
      ("age-parse-nonnumeric", ["Cache-Control: max-age=3600", "Age: abc"], .cached),
      ("age-parse-negative", ["Cache-Control: max-age=3600", "Age: -7200"], .cached),
      ("age-parse-float", ["Cache-Control: max-age=3600", "Age: 7200.0"], .cached),
      ("age-parse-larger", ["Cache-Control: max-age=3600", "Age: 99999999999"], .forwarded),
      ("age-parse-suffix", ["Cache-Control: max-age=3600", "Age: 7200,0"], .forwarded),
      (
        "age-parse-suffix-twoline", ["Cache-Control: max-age=3600", "Age: 7200", "Age: 0"],
        .forwarded
      ),
      ("age-parse-prefix", ["Cache-Control: max-age=3600", "Age: 0,7200"], .cached),
      (
        "age-parse-prefix-twoline", ["Cache-Control: max-age=3600", "Age: 0", "Age: 7200"], .cached
      ),
      ("age-parse-dup-0", ["Cache-Control: max-age=3600", "Age: 0, 0"], .cached),
      ("age-parse-dup-0-twoline", ["Cache-Control: max-age=3600", "Age: 0", "Age: 0"], .cached),
      ("age-parse-dup-old", ["Cache-Control: max-age=3600", "Age: 7200, 7200"], .forwarded),
      (
        "age-parse-dup-old-twoline", ["Cache-Control: max-age=3600", "Age: 7200", "Age: 7200"],
        .forwarded
      ),
      ("pragma-response-no-cache", ["Cache-Control: max-age=3600", "Pragma: no-cache"], .cached),
      ("pragma-response-extension", ["Pragma: max-age=3600"], .forwarded),
      ("other-set-cookie", ["Cache-Control: max-age=3600", "Set-Cookie: a=b"], .forwarded),
      (
        "other-set-cookie-public", ["Cache-Control: max-age=3600, public", "Set-Cookie: a=b"],
        .cached
      ),
      (
        "other-fresh-content-disposition-attachment",
        ["Cache-Control: max-age=3600", "Content-Disposition: attachment"], .cached
      ),
    ] as [(String, [String], Outcome)]) func `freshness, expires, age-parse, pragma, other`(
      id: String, lines: [String], expected: Outcome
    )
  {
    let hasDate = lines.contains { $0.hasPrefix("Date") }
    #expect(outcome(lines + (hasDate ? [] : ["Date: \(t0Date)"])) == expected, "\(id)")
  }

  @Test(
    arguments: [
      (200, .cached), (201, .forwarded), (202, .forwarded), (203, .cached), (204, .cached),
      (403, .forwarded), (404, .cached), (405, .cached), (410, .cached), (414, .cached),
      (501, .cached), (502, .forwarded), (503, .forwarded), (504, .forwarded), (599, .forwarded),
    ] as [(UInt16, Outcome)]) func `heuristic`(status: UInt16, expected: Outcome)
  {
    let lines = ["Last-Modified: \(date(-86_400))", "Date: \(t0Date)"]
    #expect(outcome(lines, status: status) == expected)
    #expect(outcome(lines + ["Cache-Control: public"], status: status) == .cached)
    #expect(outcome(["Last-Modified: \(date(-20))", "Date: \(t0Date)"]) == .validated)
  }

  @Test(
    arguments: [
      ("ccreq-ma0", ["max-age=3600"], "max-age=0", .forwarded),
      ("ccreq-ma1", ["max-age=3600"], "max-age=1", .forwarded),
      ("ccreq-magreaterage", ["max-age=3600", "Age: 1800"], "max-age=600", .forwarded),
      ("ccreq-max-stale", ["max-age=1"], "max-stale=1000", .cached),
      (
        "ccreq-max-stale-age", ["max-age=1500", "Age: 2000", "ETag: \"a\""], "max-stale=1000",
        .cached
      ),
      ("ccreq-min-fresh", ["max-age=1500"], "min-fresh=2000", .forwarded),
      ("ccreq-min-fresh-age", ["max-age=1500", "Age: 1000"], "min-fresh=1000", .forwarded),
      ("ccreq-no-cache", ["max-age=3600"], "no-cache", .forwarded),
      ("ccreq-no-cache-etag", ["max-age=3600", "ETag: \"abc\""], "no-cache", .validated),
      // What is stored may be used: the directive forbids storing the answer (§5.2.1.5).
      ("ccreq-no-store", ["max-age=3600"], "no-store", .cached),
      ("ccreq-oic", ["max-age=1"], "only-if-cached", .forwarded),
    ] as [(String, [String], String, Outcome)]) func `cc-request`(
      id: String, lines: [String], wish: String, expected: Outcome
    )
  {
    let head = ["Cache-Control: \(lines[0])"] + lines.dropFirst()
    #expect(outcome(head, again: ["Cache-Control: \(wish)"]) == expected, "\(id)")
  }

  @Test(
    arguments: [
      ("pragma-request-no-cache", ["Pragma: no-cache"], .forwarded),
      ("pragma-request-extension", ["Pragma: foobar"], .cached),
      ("pragma-request-beside-cache-control", ["Pragma: no-cache", "Cache-Control: foo"], .cached),
    ] as [(String, [String], Outcome)]) func `pragma of requests`(
      id: String, again: [String], expected: Outcome
    )
  {
    #expect(outcome(["Cache-Control: max-age=3600"], again: again) == expected, "\(id)")
  }

  @Test(
    arguments: [
      ("other-authorization", ["Expires: \(date(2_592_000))", "Date: \(t0Date)"], .forwarded),
      ("other-authorization-public", ["Cache-Control: max-age=3600, public"], .cached),
      (
        "other-authorization-must-revalidate", ["Cache-Control: max-age=3600, must-revalidate"],
        .cached
      ),
      ("other-authorization-smaxage", ["Cache-Control: s-maxage=3600"], .cached),
    ] as [(String, [String], Outcome)]) func `auth`(id: String, lines: [String], expected: Outcome)
  {
    #expect(outcome(lines, first: ["Authorization: FOO"]) == expected, "\(id)")
  }

  @Test(
    arguments: [
      ("vary-match", "Foo", ["Foo: 1"], ["Foo: 1"], .cached),
      ("vary-no-match", "Foo", ["Foo: 1"], ["Foo: 2"], .forwarded),
      ("vary-omit-stored", "Foo", [], ["Foo: 1"], .forwarded),
      ("vary-omit", "Foo", ["Foo: 1"], [], .forwarded),
      ("vary-cache-key", "Foo", ["Foo: 1", "Other: 2"], ["Foo: 1", "Other: 3"], .cached),
      ("vary-2-match", "Foo, Bar", ["Foo: 1", "Bar: a"], ["Foo: 1", "Bar: a"], .cached),
      ("vary-2-no-match", "Foo, Bar", ["Foo: 1", "Bar: a"], ["Foo: 2", "Bar: a"], .forwarded),
      ("vary-2-match-omit", "Foo, Bar", ["Foo: 1"], [], .forwarded),
      (
        "vary-3-match", "Foo, Bar, Baz", ["Foo: 1", "Bar: a", "Baz: 7"],
        ["Baz: 7", "Foo: 1", "Bar: a"], .cached
      ),
      (
        "vary-3-order", "Foo, Bar, Baz", ["Foo: 1", "Bar: a4", "Baz: 7"],
        ["Foo: 1", "Bar: a", "Baz: 7"], .forwarded
      ),
      ("vary-3-omit", "Foo, Bar, Baz", ["Foo: 1", "Baz: 7"], ["Foo: 1", "Baz: 7"], .cached),
      ("vary-normalise-space", "Foo", ["Foo: 1,2"], ["Foo: 1, 2"], .cached),
      ("vary-normalise-combine", "Foo", ["Foo: 1, 2"], ["Foo: 1", "Foo: 2"], .cached),
      // The order of languages of equal weight is left to the origin.
      (
        "vary-normalise-lang-order", "Accept-Language", ["Accept-Language: en, de"],
        ["Accept-Language: de, en"], .forwarded
      ),
      (
        "vary-normalise-lang-case", "Accept-Language", ["Accept-Language: en, de"],
        ["Accept-Language: eN, De"], .cached
      ),
      (
        "vary-normalise-lang-space", "Accept-Language", ["Accept-Language: en;q=0.5, de"],
        ["Accept-Language: en ; q=0.5 ,de"], .cached
      ),
      ("vary-star", "*", ["Foo: 1"], ["*: 1"], .forwarded),
      ("vary-syntax-star-star", "*, *", ["Foo: 1"], ["Foo: 1"], .forwarded),
      ("vary-syntax-empty-star", ", *", ["Foo: 1"], ["Foo: 1"], .forwarded),
      ("vary-syntax-star-foo", "*, Foo", ["Foo: 1"], ["Foo: 1"], .forwarded),
      ("vary-syntax-foo-star", "Foo, *", ["Foo: 1"], ["Foo: 1"], .forwarded),
    ] as [(String, String, [String], [String], Outcome)]) func `vary, vary-parse`(
      id: String, vary: String, first: [String], again: [String], expected: Outcome
    )
  {
    let lines = ["Expires: \(date(5_000))", "Date: \(t0Date)", "Vary: \(vary)"]
    #expect(outcome(lines, first: first, again: again) == expected, "\(id)")
  }

  @Test func `vary-syntax-star-star-lines, vary-syntax-empty-star-lines`() {
    let fresh = ["Cache-Control: max-age=3600"]
    #expect(outcome(fresh + ["Vary: *", "Vary: *"]) == .forwarded)
    #expect(outcome(fresh + ["Vary:", "Vary: *"]) == .forwarded)
  }

  @Test(
    arguments: [
      ("max-age", "max-age=3600", [], .cached), ("max-age-max", "max-age=2147483648", [], .cached),
      ("max-age-max-plus", "max-age=99999999999", [], .cached),
      ("max-age-age", "max-age=3600", ["Age: 7200"], .forwarded),
      ("max-age-space-before-equals", "max-age =100", ["Cache-Control: max-age=1"], .forwarded),
      ("max-age-space-after-equals", "max-age= 100", ["Cache-Control: max-age=1"], .forwarded),
      ("max-age-0", "max-age=0", [], .forwarded),
      ("max-age-extension", "foobar, max-age=3600", [], .cached),
      ("max-age-expires", "max-age=3600", ["Expires: \(date(-10_000))"], .cached),
      ("max-age-cc-max-age-invalid-expires", "max-age=3600", ["Expires: 0"], .cached),
      ("max-age-0-expires", "max-age=0", ["Expires: \(date(10_000))"], .forwarded),
      ("max-age-short-cc-max-age", "max-age=3600", ["Cache-Control: max-age=1"], .cached),
      ("max-age-long-cc-max-age", "max-age=1", ["Cache-Control: max-age=3600"], .forwarded),
      ("private", "private", ["Cache-Control: max-age=10000"], .forwarded),
      ("no-cache", "no-cache", ["Cache-Control: max-age=10000"], .forwarded),
      ("no-store", "no-store", [], .forwarded),
      ("no-store-cc-fresh", "no-store", ["Cache-Control: max-age=10000"], .forwarded),
      ("fresh-cc-nostore", "max-age=10000", ["Cache-Control: no-store"], .cached),
    ] as [(String, String, [String], Outcome)]) func `cdn-cache-control, surrogate-control`(
      id: String, value: String, lines: [String], expected: Outcome
    )
  {
    for field in ["CDN-Cache-Control", "Surrogate-Control"] {
      let head = ["\(field): \(value)", "Date: \(t0Date)"] + lines
      #expect(outcome(head) == expected, "\(field) \(id)")
    }
  }

  @Test(
    arguments: [
      ("cdn-max-age-case-insensitive", ["CDN-Cache-Control: MaX-aGe=3600"], .forwarded),
      (
        "cdn-cc-invalid-sh-type-unknown",
        ["CDN-Cache-Control: max-age=10000, &&&&&", "Cache-Control: no-store"], .forwarded
      ),
      (
        "cdn-cc-invalid-sh-type-wrong",
        ["CDN-Cache-Control: max-age=\"10000\"", "Cache-Control: no-store"], .forwarded
      ),
      ("surrogate-max-age-case-insensitive", ["Surrogate-Control: MaX-aGe=3600"], .cached),
    ] as [(String, [String], Outcome)]) func `where the two differ`(
      id: String, lines: [String], expected: Outcome
    )
  {
    #expect(outcome(lines) == expected, "\(id)")
  }

  @Test(
    arguments: [
      ("Test-Header", "a", "b", true), ("X-Test-Header", "a", "b", true),
      ("Content-Foo", "a", "b", true), ("Content-Type", "text/plain", "text/html", true),
      ("Content-MD5", "a", "b", true), ("Content-Location", "/foo", "/bar", true),
      ("Content-Security-Policy", "default-src 'self'", "default-src b", true),
      ("X-Frame-Options", "deny", "sameorigin", true), ("X-XSS-Protection", "1", "0", true),
      ("Expires", date(1), date(3_600), true), ("Clear-Site-Data", "cache", "cookies", true),
      ("Set-Cookie2", "a=b", "a=c", true), ("Content-Encoding", "gzip", "br", false),
      ("Content-Range", "bytes 0-1/2", "bytes 0-1/3", false),
    ] as [(String, String, String, Bool)]) func `update304: fields that a 304 updates`(
      name: String, old: String, new: String, isUpdated: Bool
    )
  {
    let stored = view("\(name.lowercased()): \(old)\r\netag: \"a\"\r\n")
    let lines = written {
      HeadComposer.appendFreshened(
        stored: stored, by: response(304, "\(name): \(new)", "ETag: \"a\""), responseTime: t0,
        to: &$0)
    }
    #expect(lines.contains("\(name.lowercased()): \(isUpdated ? new : old)\r\n"))
    #expect(!lines.contains(": \(isUpdated ? old : new)\r\n"))
  }

  @Test(
    arguments: [
      ("Test-Header", true), ("Content-Type", true), ("X-Frame-Options", true),
      ("Strict-Transport-Security", true), ("WWW-Authenticate", true), ("Set-Cookie2", true),
      ("Connection", false), ("Proxy-Authenticate", false), ("Proxy-Connection", false),
      ("Proxy-Authentication-Info", false), ("Keep-Alive", false), ("TE", false),
      ("Transfer-Encoding", false), ("Upgrade", false), ("Trailer", false), ("Age", false),
      ("Content-Length", false), ("Set-Cookie", false),
    ] as [(String, Bool)]) func `headers: fields that are stored`(name: String, isStored: Bool)
  {
    let head = response(200, "\(name): close", "Cache-Control: max-age=3600")
    let lines = written {
      HeadComposer.appendResponseFields(
        head, directives: ResponseDirectives(head), options: .storing, responseTime: t0, to: &$0)
    }
    #expect(lines.contains("\(name.lowercased()): close") == isStored)
  }
}
