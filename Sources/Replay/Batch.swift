// Requests on their way from the recording to the senders, ready to be sent: a sender copies nothing and
// composes nothing. What must be done for each request is done once, by the thread that reads.

internal import Bytes
internal import EventLoop
internal import HTTPMessage
internal import Synchronization

/// The bytes of many requests. Written once, then only read, by any thread.
final class Arena: @unchecked Sendable {
  // Sendable because nobody writes to it once it is in a batch.
  private var buffer: ByteBuffer

  init(_ buffer: consuming ByteBuffer) { self.buffer = buffer }

  /// Bytes in it; good as long as the arena.
  func view(_ offset: UInt32, _ count: UInt32) -> ByteView {
    buffer.view[Int(offset)..<Int(offset) + Int(count)]
  }

  var bytes: ByteView { buffer.view }
}

/// A request that is ready.
struct Entry: Sendable {
  /// Nanoseconds after the start; −1: at once.
  var due: Int64
  /// Nanoseconds behind the recording's first request.
  var time: Int64
  /// Which client it is of.
  var client: UInt64
  /// Bytes of content behind the head.
  var content: UInt64
  /// Where its head is in the arena.
  var head: UInt32
  var headLength: UInt32
  /// Where its client's address is, as text.
  var address: UInt32
  var addressLength: UInt16
  var method: Method
  /// Whether it is the last on its connection.
  var closes: Bool
}

/// Requests for one sender, in the order of their times.
struct Batch: Sendable {
  let arena: Arena
  var entries: [Entry]
}

/// Batches from the reading thread to one sender, at most a few.
final class BatchQueue: Sendable {
  private struct State {
    var batches: [Batch] = []
    var isEnded = false
  }
  private let state = Mutex(State())
  /// Wakes the sender.
  let ready: Waker
  /// Wakes the reader.
  private let room: Waker
  private static let capacity = 8

  init(room: Waker) throws(Errno) {
    ready = try Waker()
    self.room = room
  }

  /// How many batches wait.
  var count: Int { state.withLock { $0.batches.count } }
  /// Whether another batch is welcome.
  var hasRoom: Bool { count < Self.capacity }

  /// Adds a batch.
  func add(_ batch: Batch) {
    let wasEmpty = state.withLock { state in
      state.batches.append(batch)
      return state.batches.count == 1
    }
    if wasEmpty { ready.wake() }
  }

  /// Says that no more come.
  func end() {
    state.withLock { $0.isEnded = true }
    ready.wake()
  }

  /// The next batch, if there is one, and whether none will come.
  func take() -> (batch: Batch?, isEnded: Bool) {
    let (batch, isEnded) = state.withLock { state in
      if state.batches.isEmpty { return (nil as Batch?, state.isEnded) }
      return (state.batches.removeFirst(), false)
    }
    if batch != nil { room.wake() }
    return (batch, isEnded)
  }
}
