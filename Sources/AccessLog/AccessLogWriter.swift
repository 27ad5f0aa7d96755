// The log's thread: takes what is in the rings, formats it, writes it.
//
// It never makes a worker wait, and nothing that the file does ends it: what cannot be written is
// counted and forgotten. Lines of one worker are in order; of several, within 50 ms of it.

internal import Bytes
package import EventLoop
internal import Synchronization

/// The access log.
package final class AccessLogWriter: Sendable {
  private let drain: LogDrain
  private let thread: LoopThread
  private let isClosed = Mutex(false)
  private let flushing = Mutex(())

  /// Opens the destination and starts the log's thread. Throws what opening met.
  package init(
    target: AccessLogDestination, format: AccessLogFormat = .json, labels: AccessLogLabels
  ) throws(Errno) {
    let drain = try LogDrain(file: LogFile.open(target), format: format, labels: labels)
    self.drain = drain
    thread = LoopThread(name: "weir-log") { drain.run() }
  }

  deinit { close() }

  /// A ring for one more worker. `capacity` in bytes is rounded up to a power of two.
  package func makeRing(capacity: Int = 1 << 20) -> AccessLogRing { drain.makeRing(capacity) }

  /// Opens the file by its name again, after what was appended until now has been written to the
  /// one that is open. Returns at once.
  package func reopen() {
    drain.wantsReopen.store(true, ordering: .releasing)
    drain.signal.waker.wake()
  }

  /// For who records what the node serves.
  package var tap: LogTap { drain.tap }

  /// Waits until everything appended before the call is written, or given up on.
  package func flush() {
    flushing.withLock { _ in
      let ticket = drain.flushAsked.add(1, ordering: .acquiringAndReleasing).newValue
      drain.signal.waker.wake()
      while drain.flushDone.load(ordering: .acquiring) < ticket {
        drain.flushed.wait(milliseconds: -1)
      }
    }
  }

  /// Writes what there is and ends the thread. What is appended later is lost.
  package func close() {
    isClosed.withLock { closed in
      if closed { return }
      closed = true
      drain.wantsClose.store(true, ordering: .releasing)
      drain.signal.waker.wake()
      thread.join()
    }
  }

  /// Records lost, in the rings and on the way to the file.
  package var dropped: UInt64 { unwritten + drain.lostInRings }

  /// Lines lost on the way to the file.
  package var unwritten: UInt64 { drain.unwritten.load(ordering: .relaxed) }

  /// Lines written.
  package var lines: UInt64 { drain.lines.load(ordering: .relaxed) }

  /// Writes, and reopenings, that failed.
  package var writeErrors: UInt64 { drain.writeErrors.load(ordering: .relaxed) }

  /// What the last of them met; nil if none has failed.
  package var lastError: Errno? {
    let code = drain.lastError.load(ordering: .relaxed)
    return code == 0 ? nil : Errno(code)
  }

  /// Times that the thread has looked at the rings; stands still while nothing is logged.
  package var turns: UInt64 { drain.turns.load(ordering: .relaxed) }
}

/// What the thread works on.
final class LogDrain: @unchecked Sendable {
  // Sendable because `file`, `formatter` and `buffer` are only touched by the log's thread, and the
  // rest is atomic or locked.
  let signal: LogSignal
  let flushed: Waker
  let flushAsked = Atomic<UInt64>(0)
  let flushDone = Atomic<UInt64>(0)
  let wantsReopen = Atomic<Bool>(false)
  let wantsClose = Atomic<Bool>(false)
  let lines = Atomic<UInt64>(0)
  let unwritten = Atomic<UInt64>(0)
  let writeErrors = Atomic<UInt64>(0)
  let lastError = Atomic<Int32>(0)
  let turns = Atomic<UInt64>(0)
  let tap = LogTap(secret: Random.hash128())

  private let rings = Mutex<[AccessLogRing]>([])
  private var file: LogFile
  private var formatter: LineFormatter
  private var buffer = LineBuffer(capacity: batch + LineFormatter.longestLine)
  // For the tap: always JSON, and memory only while somebody comes for lines.
  private var tapFormatter: LineFormatter
  private var tapLines = LineBuffer(capacity: 0)
  private var tapRecord = ByteBuffer()
  private let clock = NodeClock()
  /// How many lines are in the buffer.
  private var buffered: UInt64 = 0

  /// So many bytes are written at a time.
  private static let batch = 64 << 10
  /// How long a nap is.
  private static let nap: Int32 = 50

  init(
    file: consuming LogFile, format: AccessLogFormat, labels: AccessLogLabels
  ) throws(Errno) {
    signal = try LogSignal()
    flushed = try Waker()
    self.file = file
    formatter = LineFormatter(format: format, labels: labels)
    tapFormatter = LineFormatter(format: .json, labels: labels)
  }

  func makeRing(_ capacity: Int) -> AccessLogRing {
    let ring = AccessLogRing(capacity: capacity, signal: signal)
    rings.withLock { $0.append(ring) }
    return ring
  }

  var lostInRings: UInt64 { rings.withLock { $0 }.reduce(0) { $0 &+ $1.dropped } }

  /// The thread's life.
  func run() {
    while true {
      signal.set(LogSignal.awake)
      turns.add(1, ordering: .relaxed)
      // Orders are looked at before the rings, so that each covers what was appended before it.
      let ticket = flushAsked.load(ordering: .acquiring)
      let closes = wantsClose.load(ordering: .acquiring)
      let reopens = wantsReopen.exchange(false, ordering: .acquiringAndReleasing)
      let rings = rings.withLock { $0 }
      let count = drainAll(rings)
      if reopens, let error = file.reopen() { note(error) }
      if ticket > flushDone.load(ordering: .relaxed) || closes {
        flushDone.store(closes ? .max : ticket, ordering: .releasing)
        flushed.wake()
      }
      if closes { return }
      rest(afterWork: count > 0)
    }
  }

  /// Waits: briefly after work, for as long as it takes when there was none. Whoever orders
  /// something writes to the waker, so that no order is slept over.
  private func rest(afterWork: Bool) {
    if afterWork {
      signal.set(LogSignal.napping)
      signal.waker.wait(milliseconds: Self.nap)
      return
    }
    signal.set(LogSignal.sleeping)
    // The list is read anew: a ring made since the last turn may hold a record already.
    if !rings.withLock({ $0 }).allSatisfy(\.isEmpty) { return }
    signal.waker.wait(milliseconds: -1)
  }

  private func drainAll(_ rings: [AccessLogRing]) -> Int {
    var count = 0
    let order = tap.order { clock.monotonic() }
    if order == nil && tapLines.capacity > 0 {
      tapLines = LineBuffer(capacity: 0)
      tapRecord.release()
    }
    for ring in rings {
      count += ring.drain { record in
        if let order { copy(record, order) }
        formatter.format(record, into: &buffer)
        buffered &+= 1
        if buffer.count >= Self.batch { writeOut() }
      }
    }
    writeOut()
    return count
  }

  /// A record's line for the tap, redacted.
  private func copy(_ record: StoredRecord, _ order: TapOrder) {
    guard tap.isWanted(record, order) else { return }
    if tapLines.capacity == 0 { tapLines = LineBuffer(capacity: LineFormatter.longestLine) }
    tap.redact(record, order, into: &tapRecord)
    tapLines.removeAll()
    tapFormatter.format(StoredRecord(bytes: tapRecord.view), into: &tapLines)
    tap.add(tapLines.view, count: 1)
  }

  private func writeOut() {
    if buffer.count == 0 { return }
    let batch = buffer.view
    let (written, error) = file.write(batch)
    if let error {
      let lost = Self.count(batch.dropping(first: written))
      note(error)
      unwritten.add(lost, ordering: .relaxed)
      buffered &-= lost
    }
    lines.add(buffered, ordering: .relaxed)
    buffered = 0
    buffer.removeAll()
  }

  private func note(_ error: Errno) {
    lastError.store(error.code, ordering: .relaxed)
    writeErrors.add(1, ordering: .relaxed)
  }

  /// How many lines end in a run of bytes.
  private static func count(_ bytes: ByteView) -> UInt64 {
    var count: UInt64 = 0
    var from = 0
    while let end = bytes.firstIndex(of: ASCII.lf, from: from) {
      count += 1
      from = end + 1
    }
    return count
  }
}
