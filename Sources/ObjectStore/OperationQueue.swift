import Bytes
import EventLoop
import Synchronization

/// What the writer is asked to do.
enum Operation: Sendable {
  case chunk(body: UInt64, number: UInt32, SharedBytes, count: Int, @Sendable (Bool) -> Void)
  /// A chunk of a sliced body.
  case slice(body: UInt64, number: UInt32, SharedBytes, count: Int, @Sendable (Bool) -> Void)
  case store(NewObject, @Sendable (StoreOutcome) -> Void)
  case freshen(Freshening, @Sendable (StoreOutcome) -> Void)
  case dropBody(UInt64)
  /// By the id that names the stored response; 0 for whatever the damaged entry names.
  case remove(Hash128, birth: UInt64)
  /// If it still has that body.
  case removeSliced(Hash128, body: UInt64)
  case removeDamaged(Hash128, id: UInt64)
  /// Runs on the writer's thread after everything before it is committed.
  case barrier(@Sendable (Writer) -> Void)

  /// About how many bytes of pages it will dirty, and of memory it holds.
  var cost: Int {
    switch self {
    case .chunk(_, _, let bytes, _, _), .slice(_, _, let bytes, _, _): bytes.capacity
    case .store(let object, _):
      512 + object.key.count + object.target.count + object.head.count + object.varyValues.count
        + 8 * object.tags.count + (object.inlineBytes ?? 0)
    case .freshen(let freshening, _): 4_096 + freshening.head.count
    case .dropBody, .remove, .removeSliced, .removeDamaged, .barrier: 256
    }
  }

  var isBarrier: Bool { if case .barrier = self { true } else { false } }
}

/// A stored response's new head and metadata.
struct Freshening: Sendable {
  var id: UInt64
  var keyHash: Hash128
  var head: [UInt8]
  var metadata: Metadata
  var tags: [UInt64]?
  var implicitTags: [UInt64]?
  var sequence: UInt64
}

extension NewObject {
  /// Bytes of an inline body.
  var inlineBytes: Int? {
    if case .inline(let bytes) = body { bytes.count } else { nil }
  }
}

/// The bounded queue between everybody and the writer.
final class OperationQueue: Sendable {
  private struct State {
    var operations: [Operation] = []
    var bytes = 0
    var barriers = 0
    var isClosed = false
  }
  /// How many operations may wait.
  private static let countLimit = 32_768

  private let state = Mutex(State())
  private let byteLimit: Int
  private let groupBytes: Int
  private let groupCount: Int
  private let waker: Waker

  /// `groupBytes` and `groupCount`: what makes a group full.
  init(byteLimit: Int, groupBytes: Int, groupCount: Int) throws(Errno) {
    self.byteLimit = byteLimit
    self.groupBytes = groupBytes
    self.groupCount = groupCount
    waker = try Waker()
  }

  /// Leaves an operation for the writer; false if too much waits, or none is taken any more.
  /// What makes room (`isSmall`) is always taken.
  func push(_ operation: Operation, isSmall: Bool = false) -> Bool {
    let cost = operation.cost
    let (taken, wakes) = state.withLock { state in
      if state.isClosed { return (false, false) }
      if !isSmall
        && (state.operations.count >= Self.countLimit || state.bytes + cost > byteLimit)
      {
        return (false, false)
      }
      let wasFull = isFull(state)
      state.operations.append(operation)
      state.bytes += cost
      if operation.isBarrier { state.barriers += 1 }
      return (true, state.operations.count == 1 || isFull(state) && !wasFull)
    }
    if wakes { waker.wake() }
    return taken
  }

  private func isFull(_ state: State) -> Bool {
    state.barriers > 0 || state.bytes >= groupBytes || state.operations.count >= groupCount
  }

  /// What waits, for the writer's decision: nothing, something, or a full group.
  var waiting: (count: Int, bytes: Int, isFull: Bool) {
    state.withLock { ($0.operations.count, $0.bytes, isFull($0)) }
  }

  /// Takes a group.
  func take() -> [Operation] {
    state.withLock { state in
      var bytes = 0
      var count = 0
      while count < state.operations.count && count < groupCount {
        let cost = state.operations[count].cost
        if count > 0 && bytes + cost > groupBytes { break }
        bytes += cost
        count += 1
      }
      let taken = Array(state.operations[..<count])
      state.operations.removeFirst(count)
      state.bytes -= bytes
      state.barriers -= taken.count { $0.isBarrier }
      return taken
    }
  }

  /// Takes no operation any more.
  func close() {
    state.withLock { $0.isClosed = true }
    waker.wake()
  }

  var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Blocks the writer until there is something new, at most that long (negative: for ever).
  func wait(milliseconds: Int32) { waker.wait(milliseconds: milliseconds) }

  /// Makes the writer look around.
  func wake() { waker.wake() }
}
