import RateLimiting
import Testing

private let millisecond: Int64 = 1_000_000

/// A loop that serves one request in `cost`, simulated: requests queue, and the guard sheds at the door.
private struct Loop {
  var shield = OverloadGuard()
  var now: Int64 = 0
  /// Nanoseconds of work that wait.
  var backlog: Int64 = 0
  var shed: [PriorityClass: Int] = [:]
  var served: [PriorityClass: Int] = [:]
  var longest: Int64 = 0

  /// `load` is the work that comes in a millisecond, in requests of 10 µs, of all classes alike.
  mutating func run(milliseconds: Int64, load: Int, classes: [PriorityClass]) {
    for _ in 0..<milliseconds {
      now += millisecond
      shield.observe(lag: backlog, now: now)
      for index in 0..<load {
        let priority = classes[index % classes.count]
        if shield.sheds(priority) {
          shed[priority, default: 0] += 1
        } else {
          served[priority, default: 0] += 1
          backlog += 10_000
        }
      }
      backlog = max(backlog - millisecond, 0)
      longest = max(longest, backlog)
    }
  }
}

@Suite struct OverloadGuardTests {
  private let classes: [PriorityClass] = [.critical, .high, .normal, .low]

  @Test func `a loop that keeps up sheds nobody, nor does a burst`() {
    var loop = Loop()
    loop.run(milliseconds: 5000, load: 90, classes: classes)
    // Fifty milliseconds of work at once, gone again in time.
    loop.backlog += 50 * millisecond
    loop.run(milliseconds: 5000, load: 30, classes: classes)
    #expect(loop.shed.isEmpty)
  }

  @Test func `a standing queue sheds the least important, and only as many as must be`() {
    var loop = Loop()
    loop.run(milliseconds: 5000, load: 120, classes: classes)
    loop.shed = [:]
    loop.served = [:]
    loop.longest = 0
    loop.run(milliseconds: 6000, load: 120, classes: classes)
    #expect(loop.shed[.low, default: 0] > 0)
    #expect(loop.shed[.normal, default: 0] == 0)
    #expect(loop.shed[.high, default: 0] == 0)
    #expect(loop.longest < 200 * millisecond)
    // At least nine tenths of what the loop can do is done.
    #expect(loop.served.values.reduce(0, +) > 6000 * 90)
  }

  @Test func `nearly three times the load still serves all that is important`() {
    var loop = Loop()
    loop.run(milliseconds: 5000, load: 240, classes: [.high, .low, .low])
    loop.shed = [:]
    loop.longest = 0
    loop.run(milliseconds: 6000, load: 280, classes: [.high, .low, .low, .normal, .low, .low])
    #expect(loop.shed[.low, default: 0] > 0)
    #expect(loop.shed[.high, default: 0] == 0)
    #expect(loop.shed[.critical, default: 0] == 0)
    #expect(loop.longest < 400 * millisecond)
  }

  @Test func `when the load is gone nobody is shed any more`() {
    var loop = Loop()
    loop.run(milliseconds: 5000, load: 1000, classes: classes)
    #expect(loop.shield.level == 12)
    loop.backlog = 0
    loop.run(milliseconds: 3000, load: 20, classes: classes)
    #expect(loop.shield.level == 0)
    // Nor after a time in which the loop had nothing to do and was not asked.
    var idle = Loop()
    idle.run(milliseconds: 5000, load: 1000, classes: classes)
    idle.now += 60_000 * millisecond
    idle.shield.observe(lag: 0, now: idle.now)
    idle.shield.observe(lag: 0, now: idle.now + 200 * millisecond)
    #expect(idle.shield.level <= 11)
  }

  @Test func `the critical class is never shed, and shares are exact`() {
    var shield = OverloadGuard()
    var now: Int64 = 0
    var shares: [Int] = []
    while shield.level < 12 {
      let level = shield.level
      while shield.level == level {
        now += millisecond
        shield.observe(lag: 1000 * millisecond, now: now)
      }
      shares.append((0..<100).count { _ in shield.sheds(.normal) })
      #expect(!(0..<100).contains { _ in shield.sheds(.critical) })
    }
    #expect(shares == [0, 0, 0, 0, 25, 50, 75, 100, 100, 100, 100, 100])
  }

  @Test(arguments: [Int64.min, -1, 0, .max])
  func `no time and no lag trap`(extreme: Int64) {
    var shield = OverloadGuard(target: extreme, interval: extreme)
    for lag in [0, extreme, .max] as [Int64] {
      for now in [0, extreme, 1 << 50, 0, .max, .min] as [Int64] {
        shield.observe(lag: lag, now: now)
        _ = shield.sheds(.low)
      }
    }
  }
}
