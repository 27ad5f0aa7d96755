import AccessLog
import Bytes
import Dispatch
import EventLoop
import FoundationEssentials
import Testing

private let labels = AccessLogLabels(routes: [], cache: [])

extension AccessLogRing {
  /// Appends a record that carries a number in `duration_us` and a target of some length.
  @discardableResult
  fileprivate func append(number: Int, padding: Int = 0) -> Bool {
    Array(repeating: UInt8(0x2F), count: padding).withView {
      var record = AccessRecord()
      record.duration = Int64(number) * 1000
      record.target = $0
      return append(record)
    }
  }
}

@Suite struct WriterTests {
  @Test func `workers' lines all arrive, each worker's in order`() throws {
    let directory = try TemporaryDirectory()
    let log = try AccessLogWriter(target: .file(directory.file("log")), labels: labels)
    let rings = (0..<4).map { _ in log.makeRing() }
    DispatchQueue.concurrentPerform(iterations: rings.count) { worker in
      for number in 0..<3000 { rings[worker].append(number: worker * 10_000 + number) }
    }
    log.flush()
    let numbers = try directory.lines("log").map { try Int(Line($0).duration_us) }
    #expect(log.lines == 12_000 && numbers.count == 12_000)
    for worker in rings.indices {
      let mine = numbers.filter { $0 / 10_000 == worker }
      #expect(mine == (0..<3000).map { worker * 10_000 + $0 })
    }
  }

  @Test func `a full ring drops and counts, and what got in arrives whole and in order`() throws {
    let directory = try TemporaryDirectory()
    let log = try AccessLogWriter(target: .file(directory.file("log")), labels: labels)
    let ring = log.makeRing(capacity: 1)
    var random = Seeded(state: 7)
    var accepted: [Int] = []
    for number in 0..<30_000 {
      let padding = Int.random(in: 0...2048, using: &random)
      if ring.append(number: number, padding: padding) { accepted.append(number) }
    }
    log.flush()
    #expect(try directory.lines("log").map { try Int(Line($0).duration_us) } == accepted)
    #expect(log.lines + log.dropped == 30_000)
    #expect(ring.dropped == log.dropped && log.unwritten == 0)
  }

  @Test func `the first record of a quiet log is written without anybody asking`() throws {
    let pipe = try Pipe()
    let log = try AccessLogWriter(target: .descriptor(pipe.writing), labels: labels)
    let ring = log.makeRing()
    // Each read blocks until the line is there: the log must wake up by itself, again and again.
    for number in 0..<5 {
      ring.append(number: number)
      #expect(try Line(pipe.readLine()).duration_us == number)
    }
  }

  @Test func `a log that nobody writes to stands still`() throws {
    let log = try AccessLogWriter(target: .descriptor(1), labels: labels)
    let ring = log.makeRing()
    log.flush()
    // An order makes one turn or two; none comes from a clock.
    #expect(log.turns <= 2)
    _ = ring
  }

  @Test func `after a rename and reopening, lines go to a new file`() throws {
    let directory = try TemporaryDirectory()
    let log = try AccessLogWriter(target: .file(directory.file("log")), labels: labels)
    let ring = log.makeRing()
    for number in 0..<10 { ring.append(number: number) }
    log.flush()
    try FileManager.default.moveItem(
      atPath: directory.file("log"), toPath: directory.file("log.1"))
    for number in 10..<20 { ring.append(number: number) }
    log.reopen()
    log.flush()
    for number in 20..<30 { ring.append(number: number) }
    log.flush()
    #expect(try directory.lines("log.1").map { try Int(Line($0).duration_us) } == Array(0..<20))
    #expect(try directory.lines("log").map { try Int(Line($0).duration_us) } == Array(20..<30))
  }

  @Test func `a path that cannot be reopened leaves the log where it was`() throws {
    let directory = try TemporaryDirectory()
    let inner = directory.file("inner")
    try FileManager.default.createDirectory(atPath: inner, withIntermediateDirectories: true)
    let log = try AccessLogWriter(target: .file(inner + "/log"), labels: labels)
    let ring = log.makeRing()
    try FileManager.default.moveItem(atPath: inner, toPath: directory.file("moved"))
    log.reopen()
    ring.append(number: 1)
    log.flush()
    #expect(log.writeErrors == 1 && log.lastError != nil && log.dropped == 0)
    #expect(try directory.lines("moved/log").count == 1)
  }

  @Test func `a path that cannot be opened is refused at the start`() {
    #expect(throws: Errno.self) {
      try AccessLogWriter(target: .file("/nonexistent/weir/log"), labels: labels)
    }
  }

  @Test func `a full disk costs lines and nothing else`() throws {
    let log = try AccessLogWriter(target: .file("/dev/full"), labels: labels)
    let ring = log.makeRing()
    for number in 0..<100 { ring.append(number: number) }
    log.flush()
    for number in 0..<100 { ring.append(number: number) }
    log.flush()
    #expect(log.lines == 0 && log.unwritten == 200 && log.dropped == 200)
    #expect(log.writeErrors >= 2)
    log.close()
  }

  @Test func `a reader that has gone costs lines and nothing else`() throws {
    let pipe = try Pipe()
    let log = try AccessLogWriter(target: .descriptor(pipe.writing), labels: labels)
    let ring = log.makeRing()
    ring.append(number: 0)
    _ = pipe.readLine()
    pipe.closeReading()
    for number in 1...10 { ring.append(number: number) }
    log.flush()
    #expect(log.lines == 1 && log.unwritten == 10)
  }

  @Test func `a reader that does not read costs lines, and the log still ends`() throws {
    let pipe = try Pipe()
    let log = try AccessLogWriter(target: .descriptor(pipe.writing), labels: labels)
    let ring = log.makeRing()
    // More than a pipe takes, and few batches: each waits a second.
    for number in 0..<60 { ring.append(number: number, padding: 2000) }
    log.close()
    #expect(log.lines + log.dropped == 60)
    #expect(log.lines > 10 && log.dropped > 10)
  }

  @Test func `a line that was cut off is ended before the next`() throws {
    let pipe = try Pipe()
    let log = try AccessLogWriter(target: .descriptor(pipe.writing), labels: labels)
    let ring = log.makeRing()
    for number in 0..<60 { ring.append(number: number, padding: 2000) }
    log.flush()
    var read = 0
    while read < log.lines { if (try? Line(pipe.readLine())) != nil { read += 1 } }
    ring.append(number: 1000)
    log.flush()
    // What is left: at most a torn line, then the new one.
    var line = pipe.readLine()
    if (try? Line(line)) == nil { line = pipe.readLine() }
    #expect(try Line(line).duration_us == 1000)
  }

  @Test func `flushing and closing a closed log do nothing`() throws {
    let directory = try TemporaryDirectory()
    let log = try AccessLogWriter(target: .file(directory.file("log")), labels: labels)
    let ring = log.makeRing()
    ring.append(number: 1)
    log.close()
    ring.append(number: 2)
    log.flush()
    log.close()
    #expect(try directory.lines("log").count == 1)
  }
}
