// The thread that reads the recordings and deals their requests out to the senders.
//
// It is ahead of them by a few batches and never waits for answers. A batch is handed on when it is full, or
// when nothing more is to be read for the moment, so that a live stream is not held up. A recording that is
// played more than once and is small enough is kept as it was encoded: from the second time on, dealing a
// request out costs a copy of 64 bytes.

internal import Bytes
internal import CLinux
internal import EventLoop
package import TrafficFormats

/// What reading the recordings came to.
package struct SourceOutcome: Sendable {
  /// Records that were read, each as often as it was played.
  package var records = 0
  /// Of these, those that the plan leaves out.
  package var skipped = 0
  /// Lines that could not be read.
  package var badCount = 0
  /// The first of them, with their files.
  package var badLines: [(file: String, line: BadLine)] = []
  /// Why reading ended before the recordings did.
  package var problem: String?

  /// Nothing yet.
  package init() {}
}

final class Source {
  /// Requests on their way to one sender.
  private final class Pending {
    var bytes = ByteBuffer()
    var entries: [Entry] = []
    var lastDue: Int64 = -1
  }

  /// All of a recording, encoded.
  private final class Kept {
    var bytes = ByteBuffer()
    var entries: [Entry] = []
    static let most = 256 << 20
  }

  private let plan: ReplayPlan
  private let queues: [BatchQueue]
  private let room: Waker
  private let isStopping: @Sendable () -> Bool
  /// Told before the first batch is handed on, and at the end.
  private let begin: () -> Void
  private let schedule: Schedule
  private let encoder: RequestEncoder
  private let pending: [Pending]
  private var kept: Kept?
  /// Requests dealt out.
  private var number = 0
  private var turn = 0
  /// The time of the record before; how far the present repetition is behind the first; the latest time.
  private var timeBefore: Int64?
  private var offset: Int64 = 0
  private var lastTime: Int64 = 0
  /// What a record's time has to be lessened by.
  private var base: Int64 = 0
  private var numberAtLoop = 0
  private var recordsAtLoop = 0
  /// When the last request was logged, in the recording's own time; and whether a file has begun since.
  private var loggedBefore: Int64?
  private var beginsFile = false
  private(set) var outcome = SourceOutcome()

  private static let batchSize = 256
  /// A clock that jumps by more, a day in nanoseconds, was set, or the line is damaged: no time passes.
  private static let longestPause: Int64 = 86_400_000_000_000
  /// Logs know the second, and are in its order within about as much.
  private static let disorder: Int64 = 2_000_000_000

  init(
    _ plan: ReplayPlan, queues: [BatchQueue], room: Waker, now: Int64,
    isStopping: @escaping @Sendable () -> Bool, begin: @escaping () -> Void
  ) {
    self.plan = plan
    self.begin = begin
    self.queues = queues
    self.room = room
    self.isStopping = isStopping
    schedule = Schedule(pace: plan.pace)
    encoder = RequestEncoder(plan, now: now)
    pending = queues.map { _ in Pending() }
    let mayKeep = !plan.faithfulness.shiftsKeys && !plan.inputs.contains("-")
    if plan.loops != 1 && mayKeep { kept = Kept() }
  }

  /// Plays the recordings until they or the plan end.
  func run() {
    var loop = 0
    while !isDone, plan.loops.map({ loop < $0 }) ?? true {
      let before = number
      encoder.loop = loop
      if loop > 0, let kept {
        replay(kept)
        break
      }
      read()
      // Nothing to be sent in it, or nothing to be had from a pipe any more.
      if number == before || plan.inputs.contains("-") { break }
      loop += 1
      beginLoop()
    }
    for index in pending.indices { flush(index) }
    begin()
    for queue in queues { queue.end() }
    outcome.skipped = encoder.skipped
  }

  private var isDone: Bool { isStopping() || plan.requestLimit.map { number >= $0 } ?? false }

  /// The next repetition begins one mean distance behind the last request.
  private func beginLoop() {
    let requests = Int64(max(number - numberAtLoop, 2) - 1)
    offset = Self.sum(lastTime, max((lastTime - offset) / requests, 1_000))
    numberAtLoop = number
    recordsAtLoop = outcome.records
    timeBefore = nil
    loggedBefore = nil
  }

  /// The sum of two moments; what is beyond all time is its end.
  private static func sum(_ moment: Int64, _ time: Int64) -> Int64 {
    let (sum, overflow) = moment.addingReportingOverflow(time)
    return overflow ? .max : sum
  }

  // MARK: Reading

  private func read() {
    for path in plan.inputs where !isDone {
      // Opening a pipe that nobody writes to yet must not keep this thread from ending.
      let number = path == "-" ? dup(0) : unsafe weir_open(path, O_RDONLY | O_NONBLOCK, 0)
      guard number >= 0 else {
        outcome.problem = "\(path): \(Errno.current)"
        return
      }
      read(Descriptor(owning: number), path)
    }
  }

  private func read(_ file: borrowing Descriptor, _ path: String) {
    let reader = TrafficReader(format: plan.format)
    beginsFile = true
    var buffer = ByteBuffer(capacity: 1 << 16)
    while !isDone {
      if !hasBytes(file) { continue }
      buffer.removeAll()
      let result = file.read(onto: &buffer, limit: 1 << 16)
      if result.wouldBlock { continue }
      if let error = result.error {
        outcome.problem = "\(path): \(error)"
        break
      }
      if result.isEnd { break }
      feed(buffer.view, to: reader)
    }
    reader.finish { take($0, reader) }
    outcome.badCount += reader.badCount
    let free = max(0, 5 - outcome.badLines.count)
    outcome.badLines += reader.badLines.prefix(free).map { (path, $0) }
  }

  /// What is compressed is given in small portions: a few bytes may be millions of lines, and between two
  /// portions it is asked whether there is still somebody who wants them.
  private func feed(_ bytes: ByteView, to reader: TrafficReader) {
    let isPlain = reader.coding == Decompressor.Coding.none
    let portion = isPlain ? bytes.count : 1 << 10
    var at = 0
    while at < bytes.count, !isDone {
      reader.feed(bytes[at..<min(at + portion, bytes.count)]) { take($0, reader) }
      at += portion
    }
  }

  /// Whether something is to be read; if not, what is pending goes out.
  private func hasBytes(_ file: borrowing Descriptor) -> Bool {
    var descriptors = pollfd(fd: file.number, events: Int16(POLLIN), revents: 0)
    if unsafe poll(&descriptors, 1, 0) > 0 { return true }
    for index in pending.indices { flush(index) }
    return unsafe poll(&descriptors, 1, 100) > 0
  }

  private func take(_ record: borrowing TrafficRecord, _ reader: TrafficReader) {
    if isDone { return }
    outcome.records += 1
    // By its place in the recording: what is left out has one, too.
    let client = encoder.client(of: record, number: outcome.records - recordsAtLoop)
    let time = time(of: record, reader)
    let index = index(of: client)
    let pending = pending[index]
    guard
      var entry = encoder.encode(record, number: number, client: client, onto: &pending.bytes)
    else { return }
    entry.time = time
    keep(entry, pending)
    deal(entry, to: index)
  }

  /// When a request came, behind the recording's first. Servers log when they have answered.
  private func time(of record: borrowing TrafficRecord, _ reader: TrafficReader) -> Int64 {
    guard var time = record.time else { return lastTime }
    // A file of what another server did in the same hours, or an earlier one: it is played behind the one before.
    let isOverlapping =
      beginsFile
      && loggedBefore.map { $0.subtractingReportingOverflow(time).partialValue > Self.disorder }
        ?? false
    beginsFile = false
    loggedBefore = time
    if reader.format != .har, let duration = record.duration {
      time = time.subtractingReportingOverflow(duration).partialValue
    }
    if let before = timeBefore {
      let (pause, overflow) = time.subtractingReportingOverflow(before)
      if overflow || isOverlapping || pause.magnitude > Self.longestPause.magnitude {
        base = time.subtractingReportingOverflow(lastTime - offset).partialValue
      }
    } else {
      base = time
    }
    timeBefore = time
    let moment = Self.sum(max(time.subtractingReportingOverflow(base).partialValue, 0), offset)
    lastTime = max(lastTime, moment)
    return moment
  }

  // MARK: Keeping

  private func keep(_ entry: Entry, _ pending: Pending) {
    guard let kept else { return }
    let bytes = Int(entry.headLength) + Int(entry.addressLength)
    guard kept.bytes.count + bytes + kept.entries.count * 64 < Kept.most else {
      self.kept = nil
      return
    }
    var copy = entry
    copy.address = UInt32(truncatingIfNeeded: kept.bytes.count)
    kept.bytes.append(
      pending.bytes.view[Int(entry.address)..<Int(entry.address) + Int(entry.addressLength)])
    copy.head = UInt32(truncatingIfNeeded: kept.bytes.count)
    kept.bytes.append(
      pending.bytes.view[Int(entry.head)..<Int(entry.head) + Int(entry.headLength)])
    kept.entries.append(copy)
  }

  /// Plays what was kept until the plan ends: the loops are counted here.
  private func replay(_ kept: Kept) {
    for index in pending.indices { flush(index) }
    var bytes = ByteBuffer(capacity: kept.bytes.count)
    bytes.append(kept.bytes.view)
    let arena = Arena(bytes)
    let entries = kept.entries
    var loop = 1
    let batches = queues.map { _ in Pending() }
    while !isDone, plan.loops.map({ loop < $0 }) ?? true {
      for entry in entries where !isDone {
        var entry = entry
        entry.time = Self.sum(entry.time, offset)
        lastTime = max(lastTime, entry.time)
        entry.due = schedule.due(number: number, time: entry.time)
        outcome.records += 1
        number += 1
        let index = index(of: entry.client)
        batches[index].entries.append(entry)
        if batches[index].entries.count == Self.batchSize {
          hand(arena, batches[index], to: index)
        }
      }
      loop += 1
      beginLoop()
    }
    for index in batches.indices { hand(arena, batches[index], to: index) }
  }

  // MARK: Dealing out

  /// A client's requests go to one sender, where that matters.
  private func index(of client: UInt64) -> Int {
    if queues.count == 1 { return 0 }
    if plan.connections == .perClient || plan.faithfulness.addressing == .proxy {
      return Int(client % UInt64(queues.count))
    }
    // A batch for each in turn.
    if number % Self.batchSize == 0 { turn = (turn + 1) % queues.count }
    return turn
  }

  private func deal(_ entry: Entry, to index: Int) {
    var entry = entry
    entry.due = schedule.due(number: number, time: entry.time)
    number += 1
    pending[index].entries.append(entry)
    if pending[index].entries.count >= Self.batchSize || pending[index].bytes.count > 4 << 20 {
      flush(index)
    }
  }

  private func flush(_ index: Int) {
    let pending = pending[index]
    guard !pending.entries.isEmpty else { return }
    var bytes = ByteBuffer()
    swap(&bytes, &pending.bytes)
    hand(Arena(bytes), pending, to: index)
  }

  /// Hands a batch on when its sender has room for it.
  private func hand(_ arena: Arena, _ pending: Pending, to index: Int) {
    var entries = pending.entries
    pending.entries = []
    guard !entries.isEmpty else { return }
    if plan.pace.hasSchedule {
      // Logs are in the order of the requests' ends.
      if case .recorded = plan.pace { entries.sort { $0.due < $1.due } }
      for place in entries.indices {
        entries[place].due = max(entries[place].due, pending.lastDue)
        pending.lastDue = entries[place].due
      }
    }
    begin()
    while !queues[index].hasRoom, !isStopping() { room.wait(milliseconds: 100) }
    queues[index].add(Batch(arena: arena, entries: entries))
  }
}
