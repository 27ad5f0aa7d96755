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

  /// Opens the destinations and starts the log's thread. Records carry the channel's place in `channels`.
  /// Throws what opening met.
  package init(
    channels: [AccessLogChannel], labels: AccessLogLabels, live: LiveLog? = nil
  ) throws(Errno) {
    let followed: LiveLog
    if let live { followed = live } else { followed = try LiveLog(labels: labels) }
    let drain = try LogDrain(channels, labels: labels, live: followed)
    self.drain = drain
    thread = LoopThread(name: "weir-log") { drain.run() }
  }

  /// A log of one channel.
  package convenience init(
    target: AccessLogDestination, format: AccessLogFormat = .json, labels: AccessLogLabels,
    redaction: LogRedaction = .usual(), rotation: LogRotation? = nil
  ) throws(Errno) {
    let channel = AccessLogChannel(
      target, format: format, redaction: redaction, rotation: rotation)
    try self.init(channels: [channel], labels: labels)
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

/// A channel as the log's thread has it.
private final class LogOutput {
  /// Where its lines go; nil: nowhere.
  let sink: LogSink?
  var formatter: LineFormatter
  /// Lines for who watches: JSON with every field, with as little to be read in it.
  var liveFormatter: LineFormatter

  init(_ channel: AccessLogChannel, _ sink: LogSink?, _ labels: LogLabelTable) {
    self.sink = sink
    formatter = LineFormatter(
      format: channel.format, labels: labels, redaction: channel.redaction,
      addresses: channel.addresses)
    liveFormatter = LineFormatter(
      format: .json, labels: labels, redaction: channel.redaction, addresses: channel.addresses)
  }
}

/// What the thread works on.
final class LogDrain: @unchecked Sendable {
  // Sendable because sinks, formatters and buffers are only touched by the log's thread, and the rest is
  // atomic or locked.
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
  let tap: LogTap

  private let rings = Mutex<[AccessLogRing]>([])
  private let outputs: [LogOutput]
  private let sinks: [LogSink]
  private let live: LiveLog
  private var liveBatch = ByteBuffer()
  private var liveCount: UInt64 = 0
  private var liveRecord = ByteBuffer()
  // A line for who watches: memory only while somebody does.
  private var liveLine = LineBuffer(capacity: 0)
  // For the tap: always JSON, and memory only while somebody comes for lines.
  private var tapFormatter: LineFormatter
  private var tapLines = LineBuffer(capacity: 0)
  private var tapRecord = ByteBuffer()
  private let clock = NodeClock()
  /// How long a nap is.
  private static let nap: Int32 = 50
  /// How often files that are put aside by age are looked after while nothing is logged.
  private static let tending: Int32 = 60_000
  private let needsTending: Bool

  init(
    _ channels: [AccessLogChannel], labels: AccessLogLabels, live: LiveLog
  ) throws(Errno) {
    signal = try LogSignal()
    flushed = try Waker()
    tap = LogTap(secret: Random.hash128(), signal: signal)
    self.live = live
    let table = LogLabelTable(labels)
    var opened: [(destination: AccessLogDestination, sink: LogSink?)] = []
    var outputs: [LogOutput] = []
    for channel in channels {
      let known = opened.first { $0.destination == channel.destination }
      let sink =
        if let known { known.sink } else {
          try LogSink.open(channel.destination, rotation: channel.rotation)
        }
      if known == nil { opened.append((channel.destination, sink)) }
      outputs.append(LogOutput(channel, sink, table))
    }
    self.outputs = outputs
    sinks = opened.compactMap(\.sink)
    needsTending = sinks.contains(where: \.needsTending)
    tapFormatter = LineFormatter(format: .json, labels: table, redaction: .none)
    for sink in sinks {
      if let error = sink.openingError { note(error) }
    }
  }

  func makeRing(_ capacity: Int) -> AccessLogRing {
    let ring = AccessLogRing(capacity: capacity, signal: signal, live: live)
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
      if reopens {
        for sink in sinks {
          if let error = sink.reopen() { note(error) }
        }
      }
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
    signal.waker.wait(milliseconds: needsTending ? Self.tending : -1)
    if !needsTending { return }
    for sink in sinks {
      if let error = sink.tend() { note(error) }
    }
  }

  private func drainAll(_ rings: [AccessLogRing]) -> Int {
    var count = 0
    let order = tap.order { clock.monotonic() }
    if order == nil && tapLines.capacity > 0 {
      tapLines = LineBuffer(capacity: 0)
      tapRecord.release()
    }
    let isWatched = live.isWatched
    if !isWatched && liveLine.capacity > 0 { forgetLive() }
    for ring in rings {
      count += ring.drain { record in
        if let order { copy(record, order) }
        guard Int(record.channel) < outputs.count else { return }
        let output = outputs[Int(record.channel)]
        if isWatched { follow(record, output) }
        guard !record.isOnlyWatched, let sink = output.sink else { return }
        output.formatter.format(record, into: &sink.buffer)
        if sink.count() { writeOut(sink) }
      }
    }
    for sink in sinks { writeOut(sink) }
    if liveCount > 0 { postLive() }
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

  /// A record and its line for who watches.
  private func follow(_ record: StoredRecord, _ output: LogOutput) {
    if liveLine.capacity == 0 { liveLine = LineBuffer(capacity: LineFormatter.longestLine) }
    liveLine.removeAll()
    output.liveFormatter.format(record, into: &liveLine)
    let client = output.liveFormatter.shown(record)
    liveRecord.removeAll()
    liveRecord.append(record.bytes)
    liveRecord.overwrite(at: 48, littleEndian: client.high)
    liveRecord.overwrite(at: 56, littleEndian: client.low)
    liveRecord.overwrite(at: 64, littleEndian: client.port)
    LiveBatch.append(
      liveRecord.view, line: liveLine.view.prefix(liveLine.count - 1), to: &liveBatch)
    liveCount += 1
    if liveBatch.count > 256 << 10 { postLive() }
  }

  private func postLive() {
    live.post(liveBatch.view, count: liveCount)
    liveBatch.removeAll()
    liveCount = 0
  }

  private func forgetLive() {
    liveLine = LineBuffer(capacity: 0)
    liveRecord.release()
    liveBatch.release()
  }

  private func writeOut(_ sink: LogSink) {
    let outcome = sink.writeOut(at: clock.now().wall)
    for error in outcome.errors { note(error) }
    if outcome.lost > 0 { unwritten.add(outcome.lost, ordering: .relaxed) }
    lines.add(outcome.written, ordering: .relaxed)
  }

  private func note(_ error: Errno) {
    lastError.store(error.code, ordering: .relaxed)
    writeErrors.add(1, ordering: .relaxed)
  }
}
