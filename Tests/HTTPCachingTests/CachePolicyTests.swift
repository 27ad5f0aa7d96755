import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private func policy(_ change: (inout CachePolicy) -> Void) -> CachePolicy {
  var policy = CachePolicy()
  change(&policy)
  return policy
}

private func freshness(
  _ lines: [String], status: UInt16 = 200, _ policy: CachePolicy
) -> Freshness {
  let head = response(status, lines + ["Date: \(t0Date)"])
  return Freshness.of(
    response: head, directives: ResponseDirectives(head, policy: policy), requestTime: t0,
    responseTime: t0, policy: policy)
}

private func decide(
  _ lines: [String], status: UInt16 = 200, _ policy: CachePolicy, uses: UInt32 = .max,
  request requestLines: [String] = [], length: UInt64? = nil
) -> StorageDecision {
  let head = response(status, lines + ["Date: \(t0Date)"])
  if let length { head.framing = .length(length) }
  let request = request(.get, requestLines)
  return StorageRules.decide(
    request: request, response: head, directives: ResponseDirectives(head, policy: policy),
    requestDirectives: RequestDirectives(request, policy: policy.reuse), policy: policy,
    uses: uses)
}

@Suite struct `Lifetimes by status` {
  private let rules = policy {
    $0.lifetimes = [
      LifetimeRule(.any, milliseconds: 1_000), LifetimeRule(.ofClass(5), milliseconds: 5_000),
      LifetimeRule(.code(404), milliseconds: 4_000), LifetimeRule(.code(404), milliseconds: 9_000),
      LifetimeRule(.code(200), milliseconds: 2_000, overrides: true),
    ]
  }

  @Test(
    arguments: [
      (200, 2_000), (301, 1_000), (404, 4_000), (410, 1_000), (500, 5_000), (599, 5_000),
      (302, 1_000),
    ] as [(UInt16, Int64)]) func `the most special counts`(status: UInt16, lifetime: Int64)
  {
    #expect(freshness([], status: status, rules).lifetime == lifetime)
    #expect(decide([], status: status, rules) == .store)
  }

  @Test(arguments: [206, 304, 407, 412, 416, 429] as [UInt16])
  func `no rule stores what never is`(status: UInt16) {
    #expect(decide([], status: status, rules) != .store)
  }

  @Test func `the origin's lifetime comes first unless it is overridden`() {
    #expect(freshness(["Cache-Control: max-age=60"], status: 404, rules).lifetime == 60_000)
    #expect(freshness(["Expires: 0"], status: 404, rules).lifetime == 0)
    #expect(freshness(["Cache-Control: max-age=60"], rules).lifetime == 2_000)
    #expect(freshness(["Cache-Control: max-age=x"], rules).lifetime == 2_000)
    #expect(!freshness(["Cache-Control: max-age=x"], rules).flags.contains(.mustRevalidate))
    #expect(freshness(["Cache-Control: max-age=x"], status: 404, rules).lifetime == 0)
  }

  @Test func `an overriding lifetime counts from the response's arrival`() {
    let it = freshness(["Age: 100"], rules)
    #expect(it.remainingLifetime(now: t0) == 2_000)
    #expect(it.currentAge(now: t0) == 100_000)
  }

  @Test func `a lifetime does not loosen what forbids storing`() {
    #expect(decide(["Cache-Control: no-store"], rules) == .refuse(.responseNoStore))
    #expect(decide(["Cache-Control: private"], rules) == .refuse(.isPrivate))
    #expect(freshness(["Cache-Control: no-cache"], rules).flags.contains(.noCache))
  }

  @Test func `negative caching is a rule for errors`() {
    let errors = policy { $0.lifetimes = [LifetimeRule(.ofClass(5), milliseconds: 3_000)] }
    #expect(decide([], status: 503, errors) == .store)
    #expect(decide([], status: 503, CachePolicy()) != .store)
    #expect(decide([], errors) == .refuse(.neverReusable))
  }

  @Test func `no lifetime at all is not stored without a validator`() {
    let none = policy { $0.lifetimes = [LifetimeRule(.any, milliseconds: 0, overrides: true)] }
    #expect(decide(["Cache-Control: max-age=60"], none) == .refuse(.neverReusable))
    #expect(decide(["Cache-Control: max-age=60", "ETag: \"a\""], none) == .store)
  }
}

@Suite struct `Ignored directives` {
  @Test(
    arguments: [
      (["Cache-Control: no-store"], .cacheControl), (["Cache-Control: private"], .cacheControl),
      (["Cache-Control: no-store"], .noStore), (["Cache-Control: private"], .isPrivate),
      (["Cache-Control: private=\"x\""], .isPrivate), (["Cache-Control: no-cache"], .noCache),
      (["Cache-Control: max-age=0"], .maxAge), (["Cache-Control: max-age=x"], .maxAge),
      (["Cache-Control: s-maxage=0"], .maxAge), (["Expires: 0"], .expires),
      (["Vary: *"], .vary), (["Set-Cookie: a=b"], .setCookie),
    ] as [([String], IgnoredDirectives)]) func `do not keep a response out of the store`(
      lines: [String], ignored: IgnoredDirectives
    )
  {
    let listens = policy { $0.lifetimes = [LifetimeRule(.any, milliseconds: 60_000)] }
    let ignores = policy {
      $0.lifetimes = listens.lifetimes
      $0.ignored = ignored
    }
    let isRead =
      decide(lines, listens) != .store || freshness(lines, listens).lifetime != 60_000
      || freshness(lines, listens).flags.contains(.noCache)
      || ResponseDirectives(response(200, lines)).privateFields
    #expect(isRead)
    #expect(decide(lines, ignores) == .store)
    #expect(freshness(lines, ignores).lifetime == 60_000)
    #expect(freshness(lines, ignores).flags == [])
  }

  @Test func `must-revalidate, also as s-maxage implies it`() {
    let ignores = policy {
      $0.ignored = .mustRevalidate
      $0.keep = 5_000
    }
    for line in ["s-maxage=60", "max-age=60, must-revalidate", "max-age=60, proxy-revalidate"] {
      let lines = ["Cache-Control: \(line)"]
      #expect(freshness(lines, CachePolicy()).flags == .mustRevalidate)
      #expect(freshness(lines, ignores).flags == [])
      #expect(freshness(lines, ignores).staleIfError == 5_000)
    }
  }

  @Test func `Vary makes no rule`() {
    let head = response(200, "Vary: Accept")
    var rule = ByteBuffer()
    #expect(VaryRule.append(of: head, ignored: .vary, to: &rule) == .none)
    #expect(rule.view.isEmpty)
    #expect(VaryRule.append(of: head, to: &rule) == .rule)
  }

  @Test func `the rest goes on counting`() {
    let ignores = policy { $0.ignored = [.noStore, .expires] }
    #expect(decide(["Cache-Control: private, no-store, max-age=5"], ignores) == .refuse(.isPrivate))
    #expect(freshness(["Cache-Control: max-age=5"], ignores).lifetime == 5_000)
  }
}

@Suite struct `Grace and keep` {
  private let times = policy {
    $0.grace = 10_000
    $0.keep = 20_000
  }

  @Test func `stand in where the origin says nothing`() {
    let it = freshness(["Cache-Control: max-age=5"], times)
    #expect(it.staleWhileRevalidate == 10_000 && it.staleIfError == 20_000)
    #expect(
      ReuseRules.decide(it, request: RequestDirectives(), now: t0 + 14_000)
        == .staleWhileRevalidate)
    #expect(ReuseRules.mayServeOnError(it, now: t0 + 25_000))
    #expect(!ReuseRules.mayServeOnError(it, now: t0 + 25_001))
  }

  @Test func `the origin's own come first, unless they are ignored`() {
    let lines = ["Cache-Control: max-age=5, stale-while-revalidate=1, stale-if-error=2"]
    let it = freshness(lines, times)
    #expect(it.staleWhileRevalidate == 1_000 && it.staleIfError == 2_000)
    let other = policy {
      $0.grace = 10_000
      $0.ignored = .stale
    }
    #expect(freshness(lines, other).staleWhileRevalidate == 10_000)
    #expect(freshness(lines, other).staleIfError == -1)
  }

  @Test func `nothing is served against must-revalidate or no-cache`() {
    for line in ["max-age=5, must-revalidate", "no-cache", "s-maxage=5"] {
      let it = freshness(["Cache-Control: \(line)"], times)
      #expect(it.staleWhileRevalidate == 0 && it.staleIfError == -1)
    }
  }
}

@Suite struct `Cookies of responses` {
  private func lines(_ setCookie: SetCookiePolicy, _ cacheControl: String) -> String {
    let head = response(200, "Cache-Control: \(cacheControl)", "Set-Cookie: a=b", "Date: \(t0Date)")
    let policy = policy { $0.setCookie = setCookie }
    return written {
      HeadComposer.appendResponseFields(
        head, directives: ResponseDirectives(head, policy: policy),
        options: policy.fieldOptions.union(.storing), responseTime: t0, to: &$0)
    }
  }

  @Test(
    arguments: [
      (.refuse, "max-age=60", .refuse(.setCookie), false),
      (.refuse, "public, max-age=60", .store, true),
      (.refuse, "s-maxage=60", .store, true), (.store, "max-age=60", .store, true),
      (.strip, "max-age=60", .store, false), (.strip, "public, max-age=60", .store, false),
      (.store, "private, max-age=60", .refuse(.isPrivate), true),
    ] as [(SetCookiePolicy, String, StorageDecision, Bool)]) func `are refused, stored or stripped`(
      setCookie: SetCookiePolicy, cacheControl: String, decision: StorageDecision, isKept: Bool
    )
  {
    let it = policy { $0.setCookie = setCookie }
    let head = ["Cache-Control: \(cacheControl)", "Set-Cookie: a=b"]
    #expect(decide(head, it) == decision)
    #expect(lines(setCookie, cacheControl).contains("set-cookie") == isKept)
  }
}

@Suite struct `Cookies of responses that are freshened` {
  @Test(
    arguments: [
      (.refuse, "max-age=60", false), (.refuse, "public, max-age=60", true),
      (.store, "max-age=60", true), (.strip, "public, max-age=60", false),
    ] as [(SetCookiePolicy, String, Bool)]) func `are kept as when storing`(
      setCookie: SetCookiePolicy, cacheControl: String, isKept: Bool
    )
  {
    let lines = written {
      HeadComposer.appendFreshened(
        stored: view("etag: \"a\"\r\ncache-control: \(cacheControl)\r\n"),
        by: response(304, "ETag: \"a\"", "Set-Cookie: a=b"), responseTime: t0,
        policy: policy { $0.setCookie = setCookie }, to: &$0)
    }
    #expect(lines.contains("set-cookie: a=b\r\n") == isKept)
  }
}

@Suite struct `Other settings` {
  @Test func `a key must have been asked for often enough`() {
    let it = policy { $0.minimumUses = 3 }
    let lines = ["Cache-Control: max-age=5"]
    #expect(decide(lines, it, uses: 2) == .refuse(.tooFewUses))
    #expect(decide(lines, it, uses: 3) == .store)
    #expect(decide(lines, CachePolicy(), uses: 0) == .store)
  }

  @Test func `an object may be too large`() {
    let it = policy { $0.greatestObject = 100 }
    let lines = ["Cache-Control: max-age=5"]
    #expect(decide(lines, it, length: 101) == .refuse(.objectTooLarge))
    #expect(decide(lines, it, length: 100) == .store)
    #expect(decide(lines, it) == .store)
  }

  @Test func `client_directives ignore`() {
    let it = policy { $0.reuse.ignoresClientDirectives = true }
    let lines = ["Cache-Control: max-age=5"]
    #expect(decide(lines, it, request: ["Cache-Control: no-store"]) == .store)
    #expect(
      decide(lines, CachePolicy(), request: ["Cache-Control: no-store"])
        == .refuse(.requestNoStore))
    let reload = request(.get, "Cache-Control: no-cache, only-if-cached", "Pragma: no-cache")
    #expect(RequestDirectives(reload, policy: it.reuse) == RequestDirectives())
    #expect(RequestDirectives(reload, policy: ReusePolicy()) == RequestDirectives(reload))
  }

  @Test func `a policy that says nothing changes nothing`() {
    for line in ["max-age=60", "no-store", "private", "s-maxage=5", "no-cache", "max-age=x"] {
      let head = response(200, "Cache-Control: \(line)", "ETag: \"a\"")
      let directives = ResponseDirectives(head)
      #expect(ResponseDirectives(head, policy: CachePolicy()) == directives)
    }
  }
}
