import Bytes
import Dispatch
import RateLimiting
import Synchronization
import Testing

private let key = Hash128(low: 3, high: 5)
private let secret = Hash128(low: 1, high: 2)
private let day: Int64 = 86_400

private func quota(
  _ limit: UInt64, _ kind: QuotaWindow.Kind, offset: Int64 = 0, maxKeys: Int = 1000
) throws -> QuotaLimiter {
  try #require(
    QuotaLimiter(limit: limit, window: QuotaWindow(kind, offset: offset), maxKeys: maxKeys))
}

extension QuotaDecision {
  fileprivate var isAllowed: Bool { if case .allowed = self { true } else { false } }
}

@Suite struct QuotaTests {
  /// Times in seconds since 1970, and how long their calendar windows last on.
  @Test(
    arguments: [
      (.hour, 0, 0, 3600), (.hour, 0, 3599, 1), (.hour, 0, 3600, 3600),
      (.day, 0, 1_709_164_800, day), (.day, 0, 1_709_164_799, 1),
      (.day, 3600, 1_709_164_800 - 3600, day), (.day, -3600, 1_709_164_800, 3600),
      // 2024-02-01, -02-29 23:59:59, 2023-02-01, 2023-12-31, 2000-02-01, 2100-02-01, 1970-01-01.
      (.month, 0, 1_706_745_600, 29 * day), (.month, 0, 1_709_251_199, 1),
      (.month, 0, 1_675_209_600, 28 * day), (.month, 0, 1_703_980_800, day),
      (.month, 0, 949_363_200, 29 * day), (.month, 0, 4_105_123_200, 28 * day),
      (.month, 0, 0, 31 * day),
      // 2024-03-01 01:00 at UTC+2 is 29 February 23:00 in UTC.
      (.month, 7200, 1_709_247_600, 31 * day - 3600),
    ] as [(QuotaWindow.Kind, Int64, Int64, Int64)])
  func `calendar windows end with the hour, day and month`(
    kind: QuotaWindow.Kind, offset: Int64, time: Int64, reset: Int64
  ) throws {
    let limit = try quota(2, kind, offset: offset)
    #expect(limit.decide(key: key, time: time) == .allowed(remaining: 1, reset: reset))
    #expect(limit.decide(key: key, time: time + reset - 1, cost: 2) == .refused(retryAfter: 1))
    #expect(limit.decide(key: key, time: time + reset - 1) == .allowed(remaining: 0, reset: 1))
    guard case .allowed(remaining: 0, _) = limit.decide(key: key, time: time + reset, cost: 2)
    else {
      Issue.record("no new window")
      return
    }
  }

  @Test(
    arguments: [(.rollingHour, 3600), (.rollingDay, day), (.rollingMonth, 30 * day)]
      as [(QuotaWindow.Kind, Int64)])
  func `no stretch as long as a rolling window has more than the quota in it`(
    kind: QuotaWindow.Kind, length: Int64
  ) throws {
    let limit = try quota(50, kind)
    var random = Seeded(state: UInt64(length))
    var time: Int64 = 1_700_000_000
    var passed: [Int64] = []
    for _ in 0..<6000 {
      let cost = UInt64.random(in: 1...3, using: &random)
      if limit.decide(key: key, time: time, cost: cost).isAllowed {
        for _ in 0..<cost { passed.append(time) }
      }
      time += Int64.random(in: 0...length / 30, using: &random)
    }
    #expect(passed.count > 1000)
    for index in passed.indices.dropFirst(50) {
      #expect(passed[index] - passed[index - 50] >= length)
    }
    // And all is back after a window and a third.
    let later = (passed.last ?? 0) + length + length / 3
    guard case .allowed(remaining: 0, _) = limit.decide(key: key, time: later, cost: 50) else {
      Issue.record("not back")
      return
    }
  }

  @Test(arguments: [QuotaWindow.Kind.day, .rollingDay])
  func `what was used survives a restart`(kind: QuotaWindow.Kind) throws {
    let before = try quota(100, kind, maxKeys: 5000)
    let time: Int64 = 1_700_000_000
    for number in 0..<3000 as Range<UInt64> {
      let cost = number % 100 + 1
      #expect(before.decide(key: Hash128(low: number, high: 9), time: time, cost: cost).isAllowed)
    }
    var buffer = ByteBuffer()
    buffer.append("left alone")
    before.snapshot(into: &buffer, secret: secret)
    let bytes = buffer.view.dropping(first: 10).array
    #expect(bytes.count == 32 + 32 * 3000)
    // Into tables of another size.
    let after = try quota(100, kind, maxKeys: 4000)
    #expect(bytes.withView { after.restore($0, secret: secret, time: time + 60) })
    for number in 0..<3000 as Range<UInt64> {
      let one = Hash128(low: number, high: 9)
      #expect(after.used(key: one, time: time + 60) == number % 100 + 1)
    }
    // Requests that came before the restoring are added.
    let early = try quota(100, kind, maxKeys: 4000)
    let busy = Hash128(low: 59, high: 9)
    #expect(early.decide(key: busy, time: time, cost: 7).isAllowed)
    #expect(bytes.withView { early.restore($0, secret: secret, time: time) })
    #expect(early.used(key: busy, time: time) == 67)
    // A window later nothing of it counts, nor takes a place.
    let late = try quota(100, kind, maxKeys: 4000)
    #expect(bytes.withView { late.restore($0, secret: secret, time: time + 3 * day) })
    #expect(late.keys == 0)
  }

  @Test func `a snapshot that is too large for the table forgets nobody`() throws {
    let before = try quota(10, .day, maxKeys: 1000)
    let time: Int64 = 1_700_000_000
    for number in 0..<900 as Range<UInt64> {
      #expect(before.decide(key: Hash128(low: number, high: 9), time: time, cost: 10).isAllowed)
    }
    var buffer = ByteBuffer()
    before.snapshot(into: &buffer, secret: secret)
    let after = try quota(10, .day, maxKeys: 100)
    #expect(after.restore(buffer.view, secret: secret, time: time))
    #expect(after.keys <= 100)
    for number in 0..<900 as Range<UInt64> {
      #expect(!after.decide(key: Hash128(low: number, high: 9), time: time).isAllowed)
    }
  }

  @Test func `a damaged or foreign snapshot is refused, and no bytes trap`() throws {
    let before = try quota(10, .day)
    #expect(before.decide(key: key, time: 1000).isAllowed)
    var buffer = ByteBuffer()
    before.snapshot(into: &buffer, secret: secret)
    let bytes = buffer.view.array
    let other = try quota(10, .hour)
    #expect(!bytes.withView { other.restore($0, secret: secret, time: 1000) })
    #expect(!bytes.withView { before.restore($0, secret: Hash128(low: 0, high: 0), time: 1000) })
    for length in 0..<bytes.count {
      let cut = Array(bytes[0..<length])
      #expect(!cut.withView { before.restore($0, secret: secret, time: 1000) })
    }
    var random = Seeded(state: 3)
    for kind in [.day, .rollingDay] as [QuotaWindow.Kind] {
      let limit = try quota(10, kind, maxKeys: 20)
      var saved = ByteBuffer()
      limit.snapshot(into: &saved, secret: secret)
      for _ in 0..<2000 {
        var changed = saved.view.array
        changed[24] = 2
        for _ in 0..<64 { changed.append(UInt8.random(in: 0...255, using: &random)) }
        #expect(changed.withView { limit.restore($0, secret: secret, time: 1000) })
        _ = limit.decide(key: key, time: Int64.random(in: .min ... .max, using: &random))
      }
    }
  }

  @Test func `a clock that goes back forgets nothing`() throws {
    for kind in [.day, .rollingDay] as [QuotaWindow.Kind] {
      let limit = try quota(10, kind)
      #expect(limit.decide(key: key, time: 100 * day, cost: 8).isAllowed)
      #expect(!limit.decide(key: key, time: 100 * day - 1, cost: 3).isAllowed)
      #expect(!limit.decide(key: key, time: 50 * day, cost: 3).isAllowed)
      #expect(limit.decide(key: key, time: 50 * day, cost: 2).isAllowed)
      // The earlier time is believed: its windows end.
      #expect(limit.decide(key: key, time: 52 * day, cost: 10).isAllowed)
    }
  }

  @Test(arguments: [Int64.min, -1, 0, 253_402_300_799, .max])
  func `no time and no cost trap`(time: Int64) throws {
    for kind in [.hour, .day, .month, .rollingHour, .rollingDay, .rollingMonth]
      as [QuotaWindow.Kind]
    {
      for offset in [.min, 0, .max] as [Int64] {
        let limit = try quota(1 << 20, kind, offset: offset)
        #expect(!limit.decide(key: key, time: time, cost: .max).isAllowed)
        #expect(limit.decide(key: key, time: time, cost: 5).isAllowed)
        limit.charge(key: key, cost: .max, time: time)
        limit.charge(key: key, cost: .max, time: time)
        #expect(!limit.decide(key: key, time: time).isAllowed)
        #expect(limit.forgive(key: key))
        #expect(limit.used(key: key, time: time) == 0)
      }
    }
  }

  @Test func `a changed quota counts at once, and what was used stays used`() throws {
    let limit = try quota(10, .month)
    #expect(limit.decide(key: key, time: 1000, cost: 6).isAllowed)
    #expect(limit.setLimit(5))
    #expect(!limit.decide(key: key, time: 1000).isAllowed)
    #expect(limit.setLimit(7))
    #expect(limit.decide(key: key, time: 1000).isAllowed)
    #expect(limit.forgive(key: key))
    #expect(limit.used(key: key, time: 1000) == 0)
    let rolling = try quota(10, .rollingDay)
    #expect(!rolling.setLimit(1 << 24))
    #expect(QuotaLimiter(limit: 1 << 24, window: QuotaWindow(.rollingDay), maxKeys: 1) == nil)
  }

  @Test func `threads that hammer one key get exactly the quota between them`() throws {
    let limit = try quota(10_007, .day, maxKeys: 100_000)
    let passed = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: 4) { _ in
      for _ in 0..<10_000 where limit.decide(key: key, time: 1000).isAllowed {
        passed.add(1, ordering: .relaxed)
      }
    }
    #expect(passed.load(ordering: .relaxed) == 10_007)
  }

  @Test func `random keys neither grow it nor let a heavy key off`() throws {
    let limit = try quota(5, .day, maxKeys: 500)
    #expect(limit.decide(key: key, time: 1000, cost: 5).isAllowed)
    for number in 0..<20_000 as Range<UInt64> {
      _ = limit.decide(key: Hash128(low: number, high: 77), time: 1000)
      if number % 1000 == 0 { #expect(!limit.decide(key: key, time: 1000).isAllowed) }
    }
    #expect(limit.keys <= 500)
    #expect(limit.bytes <= 500 * 64 + 64 * 512)
  }
}
