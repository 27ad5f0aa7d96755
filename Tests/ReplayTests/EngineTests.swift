// The engine against the stand-in origin, on real sockets.

import Bytes
import CLinux
import EventLoop
import FoundationEssentials
import Testing
import TrafficFormats

@testable import Replay

enum SocketAddressForTests {
  static var local: SocketAddress { SocketAddress(high: 0, low: 0xFFFF_7F00_0001, port: 0) }
}

/// A recording in a file that goes when the test has ended, and the origin for it.
private final class Stage {
  let path: String
  let origin: ReplayOrigin

  convenience init(_ lines: String, lifetime: Int32 = 60) throws {
    try self.init(Data(lines.utf8), lifetime: lifetime)
  }

  init(_ bytes: Data, lifetime: Int32 = 60) throws {
    path = "/tmp/weir-replay-test-\(Random.hash128().low)"
    guard FileManager.default.createFile(atPath: path, contents: bytes) else {
      throw Errno(2)
    }
    var table = OriginTable()
    _ = try table.read(path, format: nil)
    origin = try ReplayOrigin(
      table, on: SocketAddressForTests.local, threads: 1, lifetime: lifetime)
  }

  deinit {
    origin.stop()
    try? FileManager.default.removeItem(atPath: path)
  }

  func replay(_ change: (inout ReplayPlan) -> Void = { _ in }) throws -> ReplayReport {
    var plan = ReplayPlan(address: origin.address, host: "test")
    plan.inputs = [path]
    plan.pace = .fastest
    change(&plan)
    return try ReplayRun(plan, name: "test", now: NodeClock().now()).finish().report
  }
}

private let trace = (0..<1_000).map { "\($0 / 100),\($0 % 37),\(($0 % 37) * 5_000)" }
  .joined(separator: "\n")

@Suite("Replays", .serialized)
struct EngineTests {
  @Test(
    arguments: [ConnectionUse.shared, .perClient, .fresh(share: 1), .fresh(share: 0.3)], [1, 3])
  func `every record is asked for once and answered whole`(use: ConnectionUse, threads: Int) throws
  {
    let stage = try Stage(trace)
    let report = try stage.replay { plan in
      plan.connections = use
      plan.threads = threads
      plan.clients = 20
    }
    #expect(report.answers == 1_000 && report.failed == 0, "\(report.errors)")
    #expect(report.statuses == ["200": 1_000])
    let bytes = UInt64((0..<1_000).reduce(0) { $0 + ($1 % 37) * 5_000 })
    #expect(report.contentBytes == bytes)
    #expect(stage.origin.figures == ReplayOrigin.Figures(requests: 1_000, bytes: bytes, unknown: 0))
    #expect(report.input.records == 1_000 && report.input.badLines == 0)
    if use == .fresh(share: 1) { #expect(report.connectionsOpened == 1_000) }
    if use == .shared { #expect(report.connectionsOpened <= 21 + UInt64(threads)) }
  }

  @Test func `all methods, contents and statuses go through`() throws {
    let lines = #"""
      {"client":"a","method":"GET","target":"/a","status":200,"bytes_sent":10}
      {"client":"a","method":"HEAD","target":"/a","status":200,"bytes_sent":0}
      {"client":"b","method":"POST","target":"/b","status":201,"bytes_sent":7,"bytes_received":200000}
      {"client":"b","method":"PURGE","target":"/c","status":404,"bytes_sent":9}
      {"client":"c","method":"GET","target":"/d","status":204,"bytes_sent":0}
      {"client":"c","method":"GET","target":"/e","status":206,"bytes_sent":5}
      {"client":"c","method":"GET","target":"/a","status":200,"fields":{"Range":"bytes=2-5"}}
      {"client":"c","method":"GET","target":"/a","status":304,"fields":{"If-None-Match":"\"a\""}}
      """#
    let stage = try Stage(lines)
    let report = try stage.replay { $0.clients = 1 }
    #expect(report.failed == 0, "\(report.errors)")
    #expect(
      report.statuses == ["200": 3, "201": 1, "404": 1, "204": 1, "206": 1, "304": 1])
    #expect(report.contentBytes == 10 + 7 + 9 + 5 + 4)
    #expect(report.sentBytes > 200_000)
  }

  @Test func `an open loop sends each request, however many are under way`() throws {
    let stage = try Stage(trace)
    let report = try stage.replay { $0.pace = .rate(20_000) }
    #expect(report.answers == 1_000 && report.failed == 0)
    #expect(report.latency.max >= report.serviceTime.max || report.late == 0)
  }

  @Test func `a recording is looped until so many requests were sent`() throws {
    let stage = try Stage("/a\n/b\n/c\n")
    let report = try stage.replay { plan in
      plan.loops = nil
      plan.requestLimit = 10_000
    }
    #expect(report.answers == 10_000)
    let seven = try stage.replay { $0.loops = 7 }
    #expect(seven.answers == 21)
  }

  @Test func `shifted keys are the same objects to the origin`() throws {
    let stage = try Stage("1,a,100\n2,b,200\n")
    let report = try stage.replay { plan in
      plan.loops = 3
      plan.faithfulness.shiftsKeys = true
    }
    #expect(report.statuses == ["200": 6])
    #expect(report.contentBytes == 900)
  }

  @Test func `what cannot be read is counted, and the rest replayed`() throws {
    let stage = try Stage("/a\nnonsense\n/b\n")
    let report = try stage.replay()
    #expect(report.answers == 2 && report.input.badLines == 1)
  }

  @Test func `a server that refuses is counted as such`() throws {
    let stage = try Stage("/a\n/b\n")
    // Nobody listens there; a port that was given back may soon be somebody else's.
    let nobody = SocketAddress(high: 0, low: 0xFFFF_7F00_0001, port: 1)
    let report = try stage.replay { $0.address = nobody }
    #expect(report.answers == 0 && report.errors == ["connect": 2])
  }

  @Test func `a server that says nothing is given up`() throws {
    let stage = try Stage("/a\n")
    let silent = try Socket.listen(on: SocketAddressForTests.local, shared: false)
    let bound = Socket.localAddress(of: silent)
    let address = try #require(bound)
    let report = try stage.replay { plan in
      plan.address = address
      plan.timeout = 200_000_000
    }
    #expect(report.errors == ["timeout": 1])
    _ = consume silent
  }

  @Test(arguments: [
    ("", true, "closed-early"), ("SSH-2.0-OpenSSH\r\n", false, "malformed"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", true, "closed-early"),
    ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", false, "malformed"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", true, "closed-early"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", false, "malformed"),
    ("HTTP/1.1 101 Other\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false, "malformed"),
    ("HTTP/1.1 200 OK\r\nA", false, "timeout"), ("HTTP/1.1 999 No\r\n\r\n", false, "malformed"),
  ])
  func `what is no answer is counted as what it is`(
    says: String, closes: Bool, failure: String
  ) throws {
    let stage = try Stage("/a\n/b\n/c\n")
    let server = try RudeServer(says: says, closes: closes)
    let report = try stage.replay { plan in
      plan.address = server.address
      // Only of the one that never ends its answer anything is to be waited for.
      plan.timeout = failure == "timeout" ? 200_000_000 : 60_000_000_000
    }
    #expect(report.answers == 0 && report.failed == 3)
    // A machine that is slow enough has not even connected by then.
    if failure != "timeout" { #expect(report.errors == [failure: 3]) }
    let multiplexed = try stage.replay { plan in
      plan.address = server.address
      plan.usesHTTP2 = true
      plan.timeout = failure == "timeout" ? 200_000_000 : 60_000_000_000
    }
    #expect(multiplexed.answers == 0 && multiplexed.failed == 3, "\(multiplexed.errors)")
  }

  @Test(arguments: [
    "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\n\r\n",
  ])
  func `a server that never stops sending keeps nobody from the clock`(says: String) throws {
    let stage = try Stage("/a\n")
    let server = try RudeServer(says: says, endlessly: true)
    let report = try stage.replay { plan in
      plan.address = server.address
      plan.timeout = 200_000_000
    }
    #expect(report.answers == 0 && report.failed == 1, "\(report.errors)")
  }

  @Test func `bytes behind an answer are nobody's, and the next goes elsewhere`() throws {
    let stage = try Stage("/a\n/b\n")
    let server = try RudeServer(
      says: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n")
    let report = try stage.replay { plan in
      plan.address = server.address
      plan.clients = 1
    }
    #expect(report.statuses == ["200": 2] && report.contentBytes == 4)
    #expect(report.connectionsOpened == 2)
  }

  @Test func `a clock that was set lets no time pass`() throws {
    // A first line of the wrong century, a jump of a year and one back: nobody waits that long.
    let lines = ["9000000000,x,1", "100,a,1", "101,b,1", "31536000,c,1", "102,d,1", "102,e,1"]
    let stage = try Stage(lines.joined(separator: "\n"))
    let report = try stage.replay { $0.pace = .recorded(factor: 1_000) }
    #expect(report.statuses == ["200": 6] && report.failed == 0)
  }

  @Test func `a recording that reaches to the end of all time is played again`() throws {
    let stage = try Stage("0,a,1\n9223372036854775807,b,1\n")
    let report = try stage.replay { plan in
      plan.loops = 3
      plan.pace = .recorded(factor: 1)
    }
    #expect(report.statuses == ["200": 6])
    let shifted = try stage.replay { plan in
      plan.loops = 3
      plan.faithfulness.shiftsKeys = true
    }
    #expect(shifted.statuses == ["200": 6])
  }

  @Test func `what is answered within the warm-up counts in nothing`() throws {
    let stage = try Stage("0,a,1000000\n")
    let report = try stage.replay { $0.warmUp = 3_600_000_000_000 }
    #expect(stage.origin.figures.requests == 1)
    #expect(report.sent == 0 && report.answers == 0 && report.contentBytes == 0)
    #expect(report.receivedBytes == 0 && report.sentBytes == 0)
  }

  @Test func `an open loop counts latency from when a request was due`() throws {
    // All are due at once, and one at a time is answered: the last waits as long as all others took.
    let stage = try Stage((0..<1_000).map { "/\($0)\n" }.joined())
    let report = try stage.replay { plan in
      plan.pace = .rate(1e9)
      plan.clients = 1
    }
    #expect(report.answers == 1_000)
    #expect(report.latency.max >= report.serviceTime.mean * 900)
    #expect(report.late > 0 && report.worstLateness >= report.serviceTime.mean * 900)
  }

  @Test func `as many are under way as there are clients, however many threads there are`() throws {
    let stage = try Stage((0..<200).map { "/\($0)\n" }.joined())
    for (clients, threads) in [(1, 3), (5, 3)] {
      let report = try stage.replay { plan in
        plan.clients = clients
        plan.threads = threads
        plan.maxConnections = 1_000
      }
      #expect(report.answers == 200 && report.connectionsOpened <= UInt64(clients))
    }
  }

  @Test func `the clock starts with the first request`() throws {
    let stage = try Stage("/a\n")
    let pipe = "/tmp/weir-replay-pipe-\(Random.hash128().low)"
    #expect(unsafe mkfifo(pipe, 0o600) == 0)
    defer { _ = unsafe unlink(pipe) }
    let writer = LoopThread(name: "writer") {
      let descriptor = unsafe weir_open(pipe, O_WRONLY, 0)
      _ = usleep(1_500_000)
      let line = Array("/a\n".utf8)
      _ = unsafe write(descriptor, line, line.count)
      _ = close(descriptor)
    }
    let report = try stage.replay { plan in
      plan.inputs = [pipe]
      plan.pace = .rate(100)
    }
    writer.join()
    #expect(report.answers == 1)
    // Of a second and a half in which nothing came, nothing is the server's.
    #expect(report.latency.max <= report.serviceTime.max + 1_000_000)
  }

  @Test func `where nothing comes, a replay ends with its duration`() throws {
    let stage = try Stage("/a\n")
    let pipe = "/tmp/weir-replay-pipe-\(Random.hash128().low)"
    #expect(unsafe mkfifo(pipe, 0o600) == 0)
    defer { _ = unsafe unlink(pipe) }
    let report = try stage.replay { plan in
      plan.inputs = [pipe]
      plan.pace = .rate(100)
      plan.duration = 100_000_000
    }
    #expect(report.sent == 0 && report.answers == 0)
  }

  @Test func `each client has connections of its own`() throws {
    let lines = (0..<30).map { #"{"client":"10.0.0.\#($0 % 3)","target":"/\#($0)"}"# + "\n" }
    let stage = try Stage(lines.joined())
    let report = try stage.replay { plan in
      plan.connections = .perClient
      plan.clients = 1
    }
    #expect(report.answers == 30 && report.connectionsOpened == 3)
  }

  @Test(arguments: [ConnectionUse.perClient, .fresh(share: 0.5), .fresh(share: 1)])
  func `who needs a connection gets the place of one that is idle`(_ use: ConnectionUse) throws {
    let lines = (0..<8).map { #"{"client":"10.0.0.\#($0)","target":"/\#($0)"}"# + "\n" }
    let stage = try Stage(lines.joined())
    for clients in [1, 4] {
      let report = try stage.replay { plan in
        plan.connections = use
        plan.clients = clients
        plan.maxConnections = 2
      }
      #expect(report.answers == 8 && report.failed == 0, "\(report.errors)")
      if use != .fresh(share: 0.5) { #expect(report.connectionsOpened == 8) }
    }
  }

  @Test func `of a server's addresses the first that answers is taken`() throws {
    let stage = try Stage("/a\n")
    let closed = SocketAddress(high: 0, low: 0xFFFF_7F00_0002, port: 1)
    #expect(try ReplayPlan.reachable(of: [closed, stage.origin.address]) == stage.origin.address)
    #expect(throws: Errno(ECONNREFUSED)) { try ReplayPlan.reachable(of: [closed]) }
    #expect(throws: Errno.self) { try ReplayPlan.reachable(of: []) }
  }

  @Test func `what is answered after the end is no part of the rate`() throws {
    var tally = Tally()
    tally.answers = 100
    tally.cut(at: 2_000_000_000)
    // A slow one.
    tally.answers = 101
    tally.lastAnswer = 30_000_000_000
    tally.cut(at: 30_000_000_000)
    var other = Tally()
    other.answers = 20
    other.lastAnswer = 1_000_000_000
    func rate(_ tally: Tally) -> Double {
      let plan = ReplayPlan(address: SocketAddressForTests.local, host: "test")
      return ReplayReport(
        tally, plan: plan, name: "", began: "", timeline: [], source: SourceOutcome()
      ).rate
    }
    #expect(rate(tally) == 50 && rate(other) == 20)
    var both = Tally()
    both.add(tally)
    both.add(other)
    #expect(rate(both) == 60 && both.answers == 121)
    // Where nothing was answered in time, there is what was answered later.
    var late = Tally()
    late.cut(at: 1_000_000_000)
    late.answers = 3
    late.lastAnswer = 6_000_000_000
    #expect(rate(late) == 0.5)
    var all = Tally()
    all.add(late)
    #expect(rate(all) == 0.5)
  }

  @Test func `a compressed recording is played whole, and stops when enough was sent`() throws {
    // 100,000 times "/some/path", of which a few bytes are left: many thousand lines come of one portion.
    let packed = try #require(
      Data(
        base64Encoded:
          "KLUv/QRonAAAWC9zb21lL3BhdGgKAQDy/86LF0QAAAABAP3/zgsQRAAAAAEA/f85AAJEAAAAAQD9/zkAAkQAAAABAP3/"
          + "OQACRAAAAAEA/f85AAJEAAAAAQD9/zkAAkQAAAABAP3/OQACRQAAAAEA3UgdAAEnhS98"))
    let stage = try Stage(packed)
    let whole = try stage.replay()
    #expect(whole.answers == 100_000 && whole.failed == 0 && whole.input.badLines == 0)
    let part = try stage.replay { $0.requestLimit = 1_000 }
    #expect(part.answers == 1_000)
  }
}
