import Bytes
import HTTPCaching
import HTTPMessage
import Testing

/// A response received at `t0` that is fresh for 100 seconds, 10 seconds old then.
private func stored(
  _ flags: Freshness.Flags = [], revalidate: Int64 = 0, error: Int64 = -1
) -> Freshness {
  Freshness(
    responseTime: t0, correctedInitialAge: 10_000, lifetime: 100_000,
    staleWhileRevalidate: revalidate, staleIfError: error, flags: flags)
}

/// What is decided when the stored response has that age, in milliseconds.
private func decide(_ it: Freshness, age: Int64, _ cacheControl: String? = nil) -> Reuse {
  let lines = cacheControl.map { ["Cache-Control: \($0)"] } ?? []
  return ReuseRules.decide(
    it, request: RequestDirectives(request(.get, lines)), now: t0 + age - 10_000)
}

@Suite struct `RFC 9111 section 4.2, fresh and stale` {
  @Test(
    arguments: [
      (10_000, .fresh), (99_999, .fresh), (100_000, .mustValidate(.stale)),
      (1_000_000, .mustValidate(.stale)),
    ] as [(Int64, Reuse)]) func `fresh while the lifetime exceeds the age`(
      age: Int64, expected: Reuse
    )
  {
    #expect(decide(stored(), age: age) == expected)
  }

  @Test func `no-cache is validated each time`() {
    #expect(decide(stored(.noCache), age: 10_000) == .mustValidate(.stale))
    #expect(decide(stored(.noCache), age: 10_000, "max-stale") == .mustValidate(.stale))
    #expect(decide(stored(.noCache, revalidate: 900_000), age: 200_000) == .mustValidate(.stale))
  }
}

@Suite struct `RFC 9111 section 5.2.1, wishes of the client` {
  @Test(
    arguments: [
      ("max-age=50", 50_000, .fresh),
      ("max-age=50", 50_001, .mustValidate(.request)),
      ("max-age=0", 10_000, .mustValidate(.request)),
      ("max-age=500", 100_000, .mustValidate(.stale)),
      ("min-fresh=40", 60_000, .fresh),
      ("min-fresh=40", 60_001, .mustValidate(.request)),
      ("min-fresh=40", 100_000, .mustValidate(.stale)),
      ("no-cache", 10_000, .mustValidate(.request)),
      ("no-cache", 100_000, .mustValidate(.stale)),
      ("no-cache, max-stale", 10_000, .mustValidate(.request)),
      ("no-store", 10_000, .fresh),
      ("max-stale", 100_000, .staleWhileRevalidate),
      ("max-stale", 9_000_000, .staleWhileRevalidate),
      ("max-stale", 50_000, .fresh),
      ("max-stale=20", 120_000, .staleWhileRevalidate),
      ("max-stale=20", 120_001, .mustValidate(.stale)),
      ("max-stale=20, max-age=110", 110_000, .staleWhileRevalidate),
      ("max-stale=20, max-age=110", 110_001, .mustValidate(.stale)),
      ("max-stale=20, min-fresh=1", 110_000, .mustValidate(.stale)),
      ("max-stale=x", 110_000, .mustValidate(.stale)),
      ("only-if-cached", 50_000, .fresh),
      ("only-if-cached", 100_000, .gatewayTimeout),
      ("only-if-cached, no-cache", 50_000, .gatewayTimeout),
      ("only-if-cached, max-age=20", 50_000, .gatewayTimeout),
      ("only-if-cached, max-stale", 100_000, .staleWhileRevalidate),
    ] as [(String, Int64, Reuse)]) func `are honoured`(line: String, age: Int64, expected: Reuse)
  {
    #expect(decide(stored(), age: age, line) == expected)
  }

  @Test func `max-stale does not override must-revalidate`() {
    #expect(decide(stored(.mustRevalidate), age: 100_000, "max-stale") == .mustValidate(.stale))
    #expect(decide(stored(.mustRevalidate), age: 99_000, "max-stale") == .fresh)
  }

  @Test func `a route may ignore them`() {
    #expect(ReuseRules.decide(stored(), request: RequestDirectives(), now: t0) == .fresh)
  }
}

@Suite struct `RFC 8246, immutable` {
  @Test(
    arguments: [
      ("max-age=0", 50_000, .fresh), ("no-cache", 50_000, .mustValidate(.request)),
      ("max-age=0", 100_000, .mustValidate(.stale)),
      ("min-fresh=90", 50_000, .mustValidate(.request)),
    ] as [(String, Int64, Reuse)]) func `a reload does not validate what is fresh`(
      line: String, age: Int64, expected: Reuse
    )
  {
    #expect(decide(stored(.immutable), age: age, line) == expected)
  }
}

@Suite struct `RFC 5861` {
  @Test(
    arguments: [
      (nil, 99_999, .fresh), (nil, 100_000, .staleWhileRevalidate),
      (nil, 129_999, .staleWhileRevalidate), (nil, 130_000, .mustValidate(.stale)),
      ("no-cache", 110_000, .mustValidate(.stale)), ("max-age=500", 110_000, .mustValidate(.stale)),
      ("max-stale=60", 140_000, .staleWhileRevalidate),
      ("max-stale=5", 110_000, .mustValidate(.stale)),
      ("min-fresh=0", 110_000, .mustValidate(.stale)),
      ("only-if-cached", 110_000, .staleWhileRevalidate),
    ] as [(String?, Int64, Reuse)]) func `stale-while-revalidate`(
      line: String?, age: Int64, expected: Reuse
    )
  {
    #expect(decide(stored(revalidate: 30_000), age: age, line) == expected)
  }

  @Test(
    arguments: [
      (-1, [], 50_000, false), (-1, [], 150_000, false), (30_000, [], 50_000, true),
      (30_000, [], 130_000, true), (30_000, [], 130_001, false),
      (30_000, .mustRevalidate, 110_000, false), (30_000, .noCache, 110_000, false),
      (.max, [], 9_000_000, true),
    ] as [(Int64, Freshness.Flags, Int64, Bool)]) func `stale-if-error`(
      window: Int64, flags: Freshness.Flags, age: Int64, expected: Bool
    )
  {
    let it = stored(flags, error: window)
    #expect(ReuseRules.mayServeOnError(it, now: t0 + age - 10_000) == expected)
  }

  @Test func `errors are 500, 502, 503 and 504`() {
    #expect((100...599).filter { ReuseRules.isError($0) } == [500, 502, 503, 504])
  }
}
