// Lines as they come, for operators who watch (`weir log -f`): any number of readers up to a bound, each
// with a filter.
//
//   workers ──rings──→ log's thread ──batches──→ thread of its own ──→ each reader's lines ──→ admin's loop
//                                     4 MiB        filters              1 MiB each
//
// Filters run on a thread of their own, which there is from the first reader on: neither a worker nor the
// log waits for a filter that is slow. Both buffers are bounded; what does not fit is lost and counted, and
// each reader is told how many. Without readers it costs a worker a look at one word, and that only for a
// request of which no line is wanted.

package import Bytes
internal import CLinux
package import EventLoop
internal import Synchronization

/// What a filter sees of a line. Views are good for the call.
package struct LogLine {
  let record: StoredRecord
  /// The line as JSON, without its end, redacted as in the log.
  package let text: ByteView
  /// What the cache did, why, and the route's name; empty if there is none.
  package let cache: ByteView
  /// See `cache`.
  package let detail: ByteView
  /// See `cache`.
  package let route: ByteView

  /// The status code.
  package var status: UInt16 { record.status }
  /// The client's address as lines have it.
  package var client: SocketAddress { record.client }
  /// From the request's first byte to the response's last, nanoseconds.
  package var duration: Int64 { record.duration }
  /// To the head of the origin's response, nanoseconds; negative if none was asked.
  package var originDuration: Int64 { record.originDuration }
  /// Bytes of content that were sent.
  package var bytesSent: UInt64 { record.bytesSent }
  /// Bytes of content that were received.
  package var bytesReceived: UInt64 { record.bytesReceived }
  /// 10, 11 or 20.
  package var version: UInt8 { record.version }

  /// Calls `body` with method, host, target, referer and user agent, as the client sent them.
  package func withTexts(_ body: (ByteView, ByteView, ByteView, ByteView, ByteView) -> Void) {
    record.withTexts(body)
  }

  /// Calls `body` with each member that rules have logged.
  package func forEachMember(_ body: (ByteView, ByteView) -> Void) {
    LogMembers.forEach(record.members, body)
  }
}

/// Which lines a reader wants.
package protocol LineFilter: Sendable {
  /// A test for one thread.
  func makeTest() -> any LineTest
}

/// One thread's test.
package protocol LineTest: AnyObject {
  /// Whether a line is wanted.
  func isTrue(of line: LogLine) -> Bool
}

/// Lines for who watches; lives as long as the node, whatever logs come and go.
@safe
package final class LiveLog: @unchecked Sendable {
  // Sendable because the word is only touched by atomic operations, and the rest is locked or used by
  // `follow`'s thread alone.
  private struct Reader {
    let id: UInt64
    /// Nil: every line.
    let filter: (any LineFilter)?
    var lines: [[UInt8]] = []
    var bytes = 0
    var lost: UInt64 = 0
  }
  private struct State {
    var batches: [[UInt8]] = []
    var bytes = 0
    var readers: [Reader] = []
    var lastID: UInt64 = 0
    var thread: LoopThread?
    var isStopped = false
  }

  /// The most readers at a time.
  package static let mostReaders = 16
  /// So much waits for the filters, and for each reader.
  private static let mostWaiting = 4 << 20
  private static let mostForReader = 1 << 20

  private let state = Mutex(State())
  private let watched: UnsafeMutablePointer<UInt64>
  private let waker: Waker
  private let labels: AccessLogLabels

  /// Nobody watches.
  package init(labels: AccessLogLabels) throws(Errno) {
    self.labels = labels
    waker = try Waker()
    // A line of its own: workers read it.
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
    unsafe watched = memory.bindMemory(to: UInt64.self, capacity: 16)
    unsafe watched.initialize(repeating: 0, count: 16)
  }

  deinit { unsafe watched.deallocate() }

  /// Whether there is a reader.
  @inline(__always)
  var isWatched: Bool { unsafe weir_load_relaxed(watched) != 0 }

  // MARK: Readers

  /// Begins to collect lines for a reader; nil if there are too many. On any thread.
  package func open(_ filter: (any LineFilter)?) -> UInt64? {
    state.withLock { state in
      guard state.readers.count < Self.mostReaders, !state.isStopped else { return nil }
      state.lastID += 1
      state.readers.append(Reader(id: state.lastID, filter: filter))
      unsafe weir_store_relaxed(watched, UInt64(state.readers.count))
      if state.thread == nil {
        // Strongly: the thread ends by `stop`.
        state.thread = LoopThread(name: "weir-live") { self.run() }
      }
      return state.lastID
    }
  }

  /// What has come for a reader since the last call: whole lines of JSON without their ends, and how many
  /// lines may have been lost. At most `limit` bytes, unless one line is longer.
  package func take(_ id: UInt64, limit: Int) -> (lines: [[UInt8]], lost: UInt64) {
    state.withLock { state in
      guard let place = state.readers.firstIndex(where: { $0.id == id }) else { return ([], 0) }
      var count = 0
      var bytes = 0
      for line in state.readers[place].lines {
        if count > 0 && bytes + line.count > limit { break }
        count += 1
        bytes += line.count
      }
      let lines = Array(state.readers[place].lines.prefix(count))
      state.readers[place].lines.removeFirst(count)
      state.readers[place].bytes -= bytes
      let lost = state.readers[place].lost
      state.readers[place].lost = 0
      return (lines, lost)
    }
  }

  /// Ends a reader.
  package func close(_ id: UInt64) {
    state.withLock { state in
      state.readers.removeAll { $0.id == id }
      unsafe weir_store_relaxed(watched, UInt64(state.readers.count))
      if state.readers.isEmpty {
        state.batches = []
        state.bytes = 0
      }
    }
  }

  /// Ends its thread, for good. Blocks until then.
  package func stop() {
    let thread = state.withLock { state in
      state.isStopped = true
      state.readers = []
      defer { state.thread = nil }
      return state.thread
    }
    unsafe weir_store_relaxed(watched, 0)
    waker.wake()
    thread?.join()
  }

  // MARK: The log's thread

  /// Hands over entries (`LiveBatch`), `count` of them.
  func post(_ entries: ByteView, count: UInt64) {
    state.withLock { state in
      guard !state.readers.isEmpty else { return }
      if state.bytes + entries.count > Self.mostWaiting {
        for place in state.readers.indices { state.readers[place].lost += count }
      } else {
        state.batches.append(entries.array)
        state.bytes += entries.count
      }
    }
    waker.wake()
  }

  // MARK: The filters' thread

  private func run() {
    let table = LogLabelTable(labels)
    var tests: [UInt64: any LineTest] = [:]
    while true {
      waker.wait(milliseconds: -1)
      let (batches, readers, isStopped) = state.withLock { state in
        defer {
          state.batches = []
          state.bytes = 0
        }
        return (
          state.batches, state.readers.map { (id: $0.id, filter: $0.filter) }, state.isStopped
        )
      }
      if isStopped { return }
      tests = tests.filter { test in readers.contains { $0.id == test.key } }
      for reader in readers where tests[reader.id] == nil {
        tests[reader.id] = reader.filter?.makeTest()
      }
      for batch in batches {
        for reader in readers {
          let found = Self.select(batch, by: tests[reader.id], table)
          if !found.isEmpty { deliver(found, to: reader.id) }
        }
      }
    }
  }

  /// The lines of a batch that a test wants.
  private static func select(
    _ batch: [UInt8], by test: (any LineTest)?, _ table: LogLabelTable
  ) -> [[UInt8]] {
    var found: [[UInt8]] = []
    batch.withView { batch in
      LiveBatch.forEach(batch) { record, text in
        guard let test else {
          found.append(text.array)
          return
        }
        table.withValue(.cache, Int(record.cache)) { cache in
          table.withValue(.detail, Int(record.detail)) { detail in
            table.withValue(.route, Int(record.route)) { route in
              let line = LogLine(
                record: record, text: text, cache: cache, detail: detail, route: route)
              if test.isTrue(of: line) { found.append(text.array) }
            }
          }
        }
      }
    }
    return found
  }

  private func deliver(_ lines: [[UInt8]], to id: UInt64) {
    state.withLock { state in
      guard let place = state.readers.firstIndex(where: { $0.id == id }) else { return }
      for line in lines {
        if state.readers[place].bytes + line.count > Self.mostForReader {
          state.readers[place].lost += 1
        } else {
          state.readers[place].lines.append(line)
          state.readers[place].bytes += line.count
        }
      }
    }
  }
}

/// Entries on their way to the filters: length of the record and of the line (u32 each), both of them, and
/// up to 7 bytes so that the next begins at a multiple of 8.
enum LiveBatch {
  static func append(_ record: ByteView, line: ByteView, to batch: inout ByteBuffer) {
    batch.append(littleEndian: UInt32(record.count))
    batch.append(littleEndian: UInt32(line.count))
    batch.append(record)
    batch.append(line)
    while batch.count & 7 != 0 { batch.append(0 as UInt8) }
  }

  static func forEach(_ batch: ByteView, _ body: (StoredRecord, ByteView) -> Void) {
    var offset = 0
    while batch.count - offset >= 8 {
      let length = Int(batch.uint32(at: offset))
      let text = Int(batch.uint32(at: offset + 4))
      let start = offset + 8
      guard batch.count - start >= length + text else { return }
      body(
        StoredRecord(bytes: batch[start..<start + length]),
        batch[start + length..<start + length + text])
      offset = (start + length + text + 7) & ~7
    }
  }
}
