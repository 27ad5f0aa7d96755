// A response on its way from an origin, to every client that waits for it and to the store.
//
// One worker, the leader, reads it; clients of any worker read from it. What they share is here, under
// one small lock that nobody holds across a system call. The content is a chain of segments that are
// only appended to. A segment is as long as a chunk of the store, so that a full one is handed to the
// store as it is; once it is committed the chain may forget it, and a client that is slower than the
// others goes on from the store.
//
//   position   0 ......... base ............. received
//              |  store    |  segments        |
//
//   waiting → streaming → complete
//        \         \----→ failed     (a cut-off answer: every client is reset, nothing is stored)
//         \→ private                  (not to be shared: the other clients ask for themselves)
//
// How far the leader may read ahead: `window` past the fastest client, and `window` past what the
// store has committed; committed segments are forgotten at once. A fill that is not stored goes at the
// pace of its slowest client and holds `passingWindow` for it.

package import Bytes
package import ObjectStore
import Synchronization

/// A client's place among those that read a fill.
struct FillReader: Hashable, Sendable {
  /// The worker it belongs to.
  var worker: Int
  /// Its connection there.
  var connection: UInt64
}

/// Who reads a fill, and how far each is. The first stands by itself: most fills have one, which then
/// costs no memory.
struct FillReaders: Sendable {
  private var first: FillReader?
  private var firstPosition: UInt64 = 0
  private var others: [FillReader: UInt64] = [:]

  var count: Int { others.count + (first == nil ? 0 : 1) }
  var isEmpty: Bool { first == nil && others.isEmpty }

  /// Adds one at the start.
  mutating func insert(_ reader: FillReader) {
    if first == nil || first == reader {
      first = reader
      firstPosition = 0
    } else {
      others[reader] = 0
    }
  }

  mutating func remove(_ reader: FillReader) {
    if first == reader { first = nil } else { others[reader] = nil }
  }

  /// Notes how far one is, if it is there.
  mutating func move(_ reader: FillReader, to position: UInt64) {
    if first == reader {
      firstPosition = position
    } else if let place = others.index(forKey: reader) {
      others.values[place] = position
    }
  }

  /// How far the first is; nil if nobody reads.
  var fastest: UInt64? {
    let most = others.isEmpty ? nil : others.values.max()
    guard first != nil else { return most }
    return max(firstPosition, most ?? 0)
  }

  /// How far the last is; nil if nobody reads.
  var slowest: UInt64? {
    let least = others.isEmpty ? nil : others.values.min()
    guard first != nil else { return least }
    return min(firstPosition, least ?? .max)
  }

  func forEach(_ body: (FillReader) -> Void) {
    if let first { body(first) }
    for reader in others.keys { body(reader) }
  }
}

package final class Fill: @unchecked Sendable {
  // Sendable because what changes is in `state`, under its lock, but for `soleReader`, which belongs to
  // the leader's thread.

  /// How many bytes may be read ahead of the fastest client, and of the store's commits. At a commit
  /// every 20 ms it lets an origin send 200 MB/s.
  static let window: UInt64 = 4 << 20
  /// How many bytes are held of a content that is not stored.
  static let passingWindow: UInt64 = 256 << 10
  /// How long the others may wait for the slowest, in nanoseconds, before its pace is looked at; and
  /// the bytes a second that it must have come to then.
  static let patience: Int64 = 5_000_000_000
  static let leastRate: UInt64 = 16 << 10

  enum Phase: Sendable {
    /// No head yet.
    case waiting
    /// The head is there, the content is coming.
    case streaming
    /// All of it is there.
    case complete
    /// It will never be whole.
    case failed(OriginFailure)
  }

  private struct State {
    var phase = Phase.waiting
    var head: FillHead?
    var segments: [SharedBytes] = []
    var base: UInt64 = 0
    var received: UInt64 = 0
    var bodyID: UInt64 = 0
    var committed: UInt64 = 0
    var trailers: [UInt8] = []
    var readers = FillReaders()
    var isPaused = false
    /// Since when the leader has not read on, and how far the slowest was then.
    var pausedSince: Int64 = 0
    var pausedAt: UInt64 = 0
    var keepsAll = false
    var retryAfter: Int64 = 0
  }

  /// What it is found by; nil for a request that nobody may share.
  package let key: Hash128?
  /// The full cache key, which decides.
  package let fullKey: [UInt8]
  /// The URL that the client sent, if the key is not it; else empty.
  let target: [UInt8]
  /// The tags of the URI that it is for, by which a purge of that URI reaches it.
  let targetTags: [UInt64]
  /// The purge sequence at its start.
  package let mark: FillMark?
  /// The worker that reads it.
  let leader: Int
  /// What it is to fetch, if not the whole.
  let slice: SliceJob?
  /// When the origin was asked (monotonic), or is about to be; `.max`: not yet, for others go first.
  private let asking: Atomic<Int64>
  private let state: Mutex<State>
  /// The connection that reads a fill which nobody may share. Only the leader's thread looks at it.
  var soleReader: UInt64?

  init(
    key: Hash128?, fullKey: [UInt8], target: [UInt8] = [], targetTags: [UInt64],
    mark: FillMark?, leader: Int, began: Int64, slice: SliceJob? = nil
  ) {
    self.key = key
    self.fullKey = fullKey
    self.target = target
    self.targetTags = targetTags
    self.mark = mark
    self.leader = leader
    asking = Atomic(began)
    self.slice = slice
    state = Mutex(State())
  }
}

extension Fill {
  /// When the origin was asked (monotonic), or is about to be.
  func asked(now: Int64) -> Int64 { min(asking.load(ordering: .relaxed), now) }

  /// It is not asked yet, for others go first.
  func noteInLine() { asking.store(.max, ordering: .relaxed) }

  /// It is asked now.
  func noteAsked(now: Int64) { asking.store(now, ordering: .relaxed) }

  /// Whether all of the answer is there.
  var isComplete: Bool {
    state.withLock { state in
      if case .complete = state.phase { true } else { false }
    }
  }

  /// Whether a purge that came after it began is about what it brings.
  func isPurged(in store: ObjectStore, since mark: FillMark, tags: [UInt64]) -> Bool {
    (target.isEmpty ? fullKey : target).withView {
      store.isPurged(since: mark.sequence, tags: tags, url: $0)
    }
  }
}

// MARK: - For clients

extension Fill {
  /// What a client finds at its position.
  enum Piece {
    /// So many bytes of a segment.
    case bytes(SharedBytes, Range<Int>)
    /// A chunk of the store, from an offset; as much as there is.
    case chunk(body: UInt64, number: UInt32, offset: Int)
    /// Nothing yet.
    case wait
    /// Nothing more.
    case end
    /// Nothing more, though there should be.
    case failed(OriginFailure)
  }

  /// Adds a client at the start of the content; false if there are `limit` already.
  func join(_ reader: FillReader, limit: Int) -> Bool {
    state.withLock { state in
      guard state.readers.count < limit else { return false }
      state.readers.insert(reader)
      return true
    }
  }

  /// Takes a client out. The leader is told, since it may have been the one it waited for.
  func leave(_ reader: FillReader) {
    state.withLock { $0.readers.remove(reader) }
  }

  /// The head once it is there, and how the fill stands.
  func look() -> (phase: Phase, head: FillHead?) { state.withLock { ($0.phase, $0.head) } }

  /// When a fill that failed is worth another try, in nanoseconds; 0: nobody knows.
  var retryAfter: Int64 { state.withLock { $0.retryAfter } }

  /// The trailers, as field lines; known when the fill is complete.
  var trailers: [UInt8] { state.withLock { $0.trailers } }

  /// Whether a client that takes nothing now is too slow for the others. `wakesLeader` as for `piece`.
  func isHeldUp(
    by reader: FillReader, at position: UInt64, now: Int64, wakesLeader: inout Bool
  ) -> Bool {
    state.withLock { state in
      guard state.isPaused else { return false }
      state.readers.move(reader, to: position)
      trim(&state)
      if isTooSlow(position, state, now: now) { return true }
      wakesLeader = mayRead(state)
      return false
    }
  }

  /// Whether the leader waits for clients, of whom the slowest may be left behind.
  var waitsForSlowest: Bool { state.withLock { $0.isPaused && $0.keepsAll } }

  /// What is at a client's position, after noting that position. `wakesLeader` says whether the
  /// leader had stopped reading and may go on now.
  func piece(
    for reader: FillReader, at position: UInt64, now: Int64, wakesLeader: inout Bool
  ) -> Piece {
    state.withLock { state in
      state.readers.move(reader, to: position)
      trim(&state)
      if state.isPaused && isTooSlow(position, state, now: now) { return .failed(.closedEarly) }
      wakesLeader = state.isPaused && mayRead(state)
      if position < state.base {
        guard state.bodyID != 0 else { return .failed(.closedEarly) }
        let size = UInt64(ObjectStore.chunkSize)
        let first = (state.head?.contentStart ?? 0) / size
        return .chunk(
          body: state.bodyID, number: UInt32(truncatingIfNeeded: first + position / size),
          offset: Int(position % size))
      }
      var start = state.base
      for index in state.segments.indices {
        let end = start + count(of: index, in: state)
        if position < end {
          return .bytes(state.segments[index], Int(position - start)..<Int(end - start))
        }
        start = end
      }
      switch state.phase {
      case .complete: return .end
      case .failed(let failure): return .failed(failure)
      case .waiting, .streaming: return .wait
      }
    }
  }
}

// MARK: - For the leader

extension Fill {
  /// Publishes the head. `bodyID` is where the content is or will be stored, 0 for nowhere.
  func begin(_ head: FillHead, bodyID: UInt64) {
    state.withLock { state in
      state.head = head
      state.bodyID = bodyID
      state.keepsAll = head.isShared && !head.isStored
      state.phase = .streaming
    }
  }

  /// Publishes a stored response that the origin confirmed: its content is in the store, or given.
  func beginValidated(_ head: FillHead, body: SharedBytes?, bodyID: UInt64, length: UInt64) {
    state.withLock { state in
      state.head = head
      state.bodyID = bodyID
      state.received = length
      if let body { state.segments = [body] } else { state.base = length }
      state.committed = length
      state.phase = .complete
    }
  }

  /// Adds a segment that holds `count` bytes now and may grow.
  func append(_ segment: SharedBytes, count: Int) {
    state.withLock { state in
      state.segments.append(segment)
      state.received += UInt64(count)
    }
  }

  /// Puts a larger segment, with the same bytes at its front, in the last one's place.
  func replaceLast(_ segment: SharedBytes) {
    state.withLock { state in
      guard !state.segments.isEmpty else { return }
      state.segments[state.segments.count - 1] = segment
    }
  }

  /// Publishes bytes that were appended to the last segment.
  func grew(by count: Int) { state.withLock { $0.received += UInt64(count) } }

  /// Notes that the store has committed the content up to `position`. True if it is a slice, and that
  /// was the last of it: whoever wants it now finds it in the store.
  func committed(through position: UInt64) -> Bool {
    state.withLock { state in
      state.committed = max(state.committed, position)
      trim(&state)
      guard state.head?.sliced != nil, slice != nil, case .complete = state.phase else {
        return false
      }
      return state.committed == state.received
    }
  }

  /// Notes that nothing is stored any more: what the slowest client still needs is kept.
  func stopStoring() {
    state.withLock { state in
      state.keepsAll = true
      if state.base == 0 { state.bodyID = 0 }
    }
  }

  func complete(trailers: [UInt8]) {
    state.withLock { state in
      state.trailers = trailers
      state.phase = .complete
    }
  }

  /// `retryAfter`: when it is worth another try, in nanoseconds; 0: nobody knows.
  func fail(_ failure: OriginFailure, retryAfter: Int64 = 0) {
    state.withLock { state in
      if case .complete = state.phase { return }
      state.phase = .failed(failure)
      state.retryAfter = retryAfter
    }
  }

  /// Whether the leader may read on; if not, a client or the store will tell it when it may.
  func mayReadOn(now: Int64) -> Bool {
    state.withLock { state in
      trim(&state)
      let may = mayRead(state)
      if !may && !state.isPaused {
        state.pausedSince = now
        state.pausedAt = state.readers.slowest ?? 0
      }
      state.isPaused = !may
      return may
    }
  }

  /// Whether anybody reads it.
  var hasReaders: Bool { state.withLock { !$0.readers.isEmpty } }

  /// The workers that have clients here, the leader's own left out.
  func otherWorkers() -> [Int] {
    state.withLock { state in
      var found: [Int] = []
      state.readers.forEach { reader in
        if reader.worker != leader && !found.contains(reader.worker) { found.append(reader.worker) }
      }
      return found
    }
  }

  /// How many bytes of a segment may be read. The last one may be growing: what was published of it is
  /// what counts, not what its owner has written.
  private func count(of index: Int, in state: borrowing State) -> UInt64 {
    if index < state.segments.count - 1 { return UInt64(state.segments[index].count) }
    var before = state.base
    for earlier in state.segments.dropLast() { before += UInt64(earlier.count) }
    return state.received - before
  }

  /// Whether a client is the one that others wait for, and below the least pace.
  private func isTooSlow(_ position: UInt64, _ state: borrowing State, now: Int64) -> Bool {
    let waited = now - state.pausedSince
    guard waited >= Self.patience, state.keepsAll, state.readers.count > 1,
      position == state.readers.slowest
    else { return false }
    let least = UInt64(waited / 1_000_000_000) &* Self.leastRate
    return position &- state.pausedAt < least
  }

  private func mayRead(_ state: borrowing State) -> Bool {
    let held = state.received - state.base
    let isStored = (state.head?.isStored ?? false) && !state.keepsAll
    guard held < (isStored ? Self.window : Self.passingWindow) else { return false }
    guard let fastest = state.readers.fastest else { return true }
    return state.received < fastest + Self.window
  }

  /// Forgets segments that nobody needs from memory: committed ones once memory is short, those that
  /// every client has read if there is no store behind it.
  private func trim(_ state: inout State) {
    let isStored = (state.head?.isStored ?? false) && !state.keepsAll
    while !state.segments.isEmpty {
      let length = count(of: 0, in: state)
      guard length > 0 else { return }
      let end = state.base + length
      if isStored {
        guard state.segments.count > 1, end <= state.committed else { return }
      } else {
        // The last segment still grows.
        guard state.segments.count > 1, state.head?.isValidated != true,
          let slowest = state.readers.slowest, end <= slowest
        else { return }
      }
      state.segments.removeFirst()
      state.base = end
    }
  }
}
