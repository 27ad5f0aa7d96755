import Testing

@testable import Replay

@Suite("When requests are sent")
struct PaceTests {
  @Test(arguments: [
    "recorded", "2x", "0.5x", "500/s", "ramp:100-1000/60s", "steps:100+50/10s", "max",
  ])
  func `paces read back as they are written`(text: String) throws {
    #expect(try #require(Pace(text)).text == text)
  }

  @Test(arguments: [
    "", "x", "-1x", "0/s", "1e10/s", "nan/s", "ramp:1-2", "ramp:1-2/s", "steps:1/2s", "fast", "5",
    "1e-300/s", "1e-7x", "steps:1+1/1e-300s", "ramp:1-2/1e-300s", "inf/s",
  ])
  func `what is no pace is none`(text: String) { #expect(Pace(text) == nil) }

  @Test func `as recorded, and faster`() {
    #expect(Schedule(pace: .recorded(factor: 1)).due(number: 9, time: 1_500) == 1_500)
    #expect(Schedule(pace: .recorded(factor: 2)).due(number: 9, time: 1_000_000) == 500_000)
    #expect(Schedule(pace: .fastest).due(number: 9, time: 1_500) == -1)
  }

  @Test func `a rate is even`() {
    let schedule = Schedule(pace: .rate(1_000))
    #expect(
      (0..<5).map { schedule.due(number: $0, time: 0) } == [0, 1, 2, 3, 4].map { $0 * 1_000_000 })
  }

  @Test func `a ramp reaches its end with the mean rate, and stays there`() {
    let schedule = Schedule(pace: .ramp(from: 100, to: 300, seconds: 10))
    // 2,000 requests within ten seconds, then one each 3.3 ms.
    #expect(abs(schedule.due(number: 2_000, time: 0) - 10_000_000_000) < 1_000)
    #expect(abs(schedule.due(number: 2_300, time: 0) - 11_000_000_000) < 1_000)
    // 100·5 + 20·25/2 = 750 in the first half.
    #expect(abs(schedule.due(number: 750, time: 0) - 5_000_000_000) < 1_000)
    let down = Schedule(pace: .ramp(from: 300, to: 100, seconds: 10))
    #expect(abs(down.due(number: 1_250, time: 0) - 5_000_000_000) < 1_000)
    let even = Schedule(pace: .ramp(from: 100, to: 100, seconds: 10))
    #expect(abs(even.due(number: 500, time: 0) - 5_000_000_000) < 1_000)
  }

  @Test(arguments: [(100.0, 50.0, 2.0), (10, 100, 1), (7, 3, 0.5)])
  func `each step has its own rate`(from: Double, by: Double, seconds: Double) throws {
    let schedule = Schedule(pace: .steps(from: from, by: by, seconds: seconds))
    var counts: [Int] = []
    var last: Int64 = -1
    for number in 0..<2_000 {
      let due = schedule.due(number: number, time: 0)
      #expect(due >= last)
      last = due
      let step = try #require(schedule.step(at: due))
      while counts.count <= step.index { counts.append(0) }
      counts[step.index] += 1
      #expect(step.rate == from + by * Double(step.index))
    }
    for (index, count) in counts.dropLast().enumerated() {
      #expect(abs(Double(count) - (from + by * Double(index)) * seconds) <= 1)
    }
  }

  @Test func `no number is too large`() {
    for pace in [
      Pace.rate(0.001), .ramp(from: 1, to: 1, seconds: 1), .steps(from: 1, by: 1e-3, seconds: 1),
      .ramp(from: 1e-6, to: 1e9, seconds: 1e-6), .steps(from: 1e-6, by: 1e-6, seconds: 1e-6),
    ] {
      #expect(Schedule(pace: pace).due(number: .max, time: .max) > 0)
      #expect(Schedule(pace: pace).step(at: .max).map { $0.index >= 0 } ?? true)
    }
    // To what is due the moment of the start is added.
    for pace in [Pace.recorded(factor: 1), .recorded(factor: 0.001), .rate(1e-3)] {
      let due = Schedule(pace: pace).due(number: .max, time: .max)
      #expect(due > 0 && due <= .max / 2)
    }
  }
}
