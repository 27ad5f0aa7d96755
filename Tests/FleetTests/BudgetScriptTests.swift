import Redis
import RedisTesting
import Testing

@testable import Fleet

/// The script of the region's limits, in a real engine.
@Suite(
  .enabled(if: RedisProcess.isInstalled, "redis-server is not installed"), .serialized)
struct BudgetScriptTests {
  /// What a PoP says of a bucket: a token costs 100 s, so that no time passes while the test runs.
  private struct Words {
    var spent = 0
    var want = 0
    var back = 0
    var end: Int64 = 0
  }

  private func say(_ words: Words, to engine: RedisProcess) throws -> (leased: Int64, end: Int64) {
    let session = try RedisSession(port: engine.port)
    #expect(session.connect(milliseconds: 60_000))
    let price = 100_000_000
    let numbers: [Int64] = [
      Int64(price), Int64(10 * price), Int64(21 * price), Int64(20 * price), Int64(words.spent),
      Int64(words.want), 0, Int64(words.back), words.end,
    ]
    var command: RedisCommand = ["EVAL", BudgetScript.lease, "1", "weir:{shop}:budget:eu:a:b"]
    for number in numbers { command.add(String(number)) }
    let reply = try #require(session.ask(command))
    let elements = reply.elements.compactMap(\.number)
    try #require(elements.count == 3, "\(reply)")
    return (elements[0], elements[2])
  }

  @Test func `a bucket is leased once, and what is given back again`() throws {
    let engine = try RedisProcess()
    let first = try say(Words(want: 6), to: engine)
    #expect(first.leased == 6)
    let second = try say(Words(want: 6), to: engine)
    #expect(second.leased == 4)
    #expect(try say(Words(want: 6), to: engine).leased == 0)
    // Of ten tokens the first has come back in part, so five of the first six have not.
    #expect(try say(Words(want: 10, back: 6, end: first.end), to: engine).leased == 5)
    // What was given back has moved what stands behind it: of the last four at most the same is left.
    let last = try say(Words(want: 10, back: 4, end: second.end), to: engine).leased
    #expect(last == 4)
    #expect(try say(Words(want: 10, back: 10, end: second.end), to: engine).leased == 0)
  }

  @Test func `what has come back by itself is not given back`() throws {
    let engine = try RedisProcess()
    let lease = try say(Words(want: 10), to: engine)
    #expect(lease.leased == 10)
    // A stretch that is over.
    #expect(try say(Words(want: 10, back: 10, end: 1), to: engine).leased == 0)
    // What was spent beyond the bucket is paid first.
    #expect(try say(Words(spent: 5, want: 10, back: 3, end: lease.end), to: engine).leased == 0)
  }
}
