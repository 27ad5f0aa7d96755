// A worker's way to the log: a ring of bytes with one writer and one reader.
//
// Positions only grow; a position's low bits are its place. A record lies in one piece: a fixed
// header, then the five texts and the members that rules add. One that does not fit before the ring's
// end is put at its beginning, and a header with nothing but its length fills the gap.
//
//    0 length of the whole, a multiple of 8 (u32)      4 1: a record, 0: a gap (u32)
//    8 wall   16 duration   24 origin duration   32 sent   40 received   48, 56 address
//   64 port   66 status   68 route   70 cache   71 version   72 detail   73 1: a text was cut
//   74 lengths of the five texts (u16 each)            84 length of the members (u16)
//   86 channel   87 1: no line is wanted, it is only for who watches   88 cipher suite (u16)
//   90 0 (6 bytes)   96 the texts
//
// When to wake the reader is one word that all rings share:
//
//   awake     it is looking at the rings, or about to: nothing to do
//   napping   it looks again in 50 ms: wake it if a ring is more than half full
//   sleeping  it found nothing for 50 ms and waits for as long as it takes: wake it
//
// So a quiet node never wakes up, and a busy one makes one system call for a first record and none
// after it. That no record is left lying rests on order: the worker publishes, then reads the word;
// the reader says that it sleeps, then looks at the rings once more; all four sequentially
// consistent.

internal import Bytes
internal import CLinux
internal import EventLoop

/// The word that all rings of a log share, and what wakes the log's thread.
@safe
final class LogSignal: @unchecked Sendable {
  // Sendable because the word is only touched by atomic operations.
  static let awake: UInt64 = 0
  static let napping: UInt64 = 1
  static let sleeping: UInt64 = 2

  private let word: UnsafeMutablePointer<UInt64>
  let waker: Waker

  init() throws(Errno) {
    waker = try Waker()
    // A line of its own: the workers read it for every record.
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
    unsafe word = memory.bindMemory(to: UInt64.self, capacity: 16)
    unsafe word.initialize(repeating: 0, count: 16)
  }

  deinit { unsafe word.deallocate() }

  /// Whether somebody records, whatever lines are wanted.
  @inline(__always)
  var isRecording: Bool { unsafe weir_load_relaxed(word + 1) != 0 }

  func setRecording(_ isOn: Bool) { unsafe weir_store_relaxed(word + 1, isOn ? 1 : 0) }

  @inline(__always)
  func set(_ state: UInt64) { unsafe weir_store_seqcst(word, state) }

  /// After a record was published, or could not be.
  @inline(__always)
  func published(halfFull: Bool) {
    let state = unsafe weir_load_seqcst(word)
    if state == Self.awake || state == Self.napping && !halfFull { return }
    wake(from: state)
  }

  /// Only who changes the word makes the system call.
  @inline(never)
  private func wake(from state: UInt64) {
    if unsafe weir_compare_exchange(word, state, Self.awake) == 1 { waker.wake() }
  }
}

/// A worker's ring. `append` on its worker's thread only.
@safe
package final class AccessLogRing: @unchecked Sendable {
  // Sendable because what both sides touch are words behind atomic operations; the bytes between
  // them belong to whichever side those words say.
  private let bytes: UnsafeMutableRawPointer
  private let words: UnsafeMutablePointer<UInt64>
  private let capacity: UInt64
  private let signal: LogSignal
  private let live: LiveLog

  static let headerLength = 96
  // Words of the worker's line: how far it has written, how far it knows the reader to be, losses.
  private static let written = 0
  private static let knownRead = 1
  private static let lost = 2
  /// The reader's line: how far it has read.
  private static let read = 16

  /// `capacity` is rounded up to a power of two of at least 32 KiB, so that the longest record fits.
  init(capacity: Int, signal: LogSignal, live: LiveLog) {
    var size = 32 << 10
    while size < capacity && size < 1 << 30 { size *= 2 }
    self.capacity = UInt64(size)
    self.signal = signal
    self.live = live
    unsafe bytes = .allocate(byteCount: size, alignment: 128)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 256, alignment: 128)
    unsafe words = memory.bindMemory(to: UInt64.self, capacity: 32)
    unsafe words.initialize(repeating: 0, count: 32)
  }

  deinit {
    unsafe bytes.deallocate()
    unsafe words.deallocate()
  }

  /// Records lost because the ring was full. On any thread.
  package var dropped: UInt64 { unsafe weir_load_relaxed(words + Self.lost) }

  /// Whether there is nothing to read.
  var isEmpty: Bool {
    unsafe weir_load_seqcst(words + Self.written) == weir_load_relaxed(words + Self.read)
  }

  // MARK: The worker's side

  /// Whether somebody watches, or records, also requests of which no line is wanted.
  @inline(__always)
  package var isWatched: Bool { live.isWatched || signal.isRecording }

  /// Leaves a record for the log; false if there was no room, which is counted. Allocates nothing
  /// and makes no system call but, now and then, one to wake the log's thread.
  @discardableResult
  package func append(_ record: borrowing AccessRecord) -> Bool {
    let lengths = (
      min(record.method.count, AccessRecord.textLimit),
      min(record.host.count, AccessRecord.textLimit),
      min(record.target.count, AccessRecord.textLimit),
      min(record.referer.count, AccessRecord.textLimit),
      min(record.userAgent.count, AccessRecord.textLimit)
    )
    let texts = lengths.0 &+ lengths.1 &+ lengths.2 &+ lengths.3 &+ lengths.4
    let members = record.members.count <= AccessRecord.textLimit ? record.members.count : 0
    let length = (Self.headerLength &+ texts &+ members &+ 7) & ~7
    guard let position = claim(length) else {
      unsafe weir_store_relaxed(words + Self.lost, weir_load_relaxed(words + Self.lost) &+ 1)
      signal.published(halfFull: true)
      return false
    }
    // Safe: `claim` has found `length` free bytes in one piece at this place.
    let start = unsafe bytes + Int(position & (capacity &- 1))
    let isCut =
      texts != record.method.count &+ record.host.count &+ record.target.count
      &+ record.referer.count &+ record.userAgent.count
    unsafe Self.writeHeader(record, length: length, isCut: isCut, to: start)
    unsafe Self.writeTexts(record, lengths, members, to: start)
    publish(position &+ UInt64(length))
    return true
  }

  /// The position for a record of that length, behind a gap if need be; nil if there is no room.
  @inline(__always)
  private func claim(_ length: Int) -> UInt64? {
    let position = unsafe weir_load_relaxed(words + Self.written)
    let tillEnd = capacity &- position & (capacity &- 1)
    let gap = UInt64(length) <= tillEnd ? 0 : tillEnd
    let needed = UInt64(length) &+ gap
    if capacity &- (position &- (unsafe weir_load_relaxed(words + Self.knownRead))) < needed {
      let read = unsafe weir_load_acquire(words + Self.read)
      unsafe weir_store_relaxed(words + Self.knownRead, read)
      if capacity &- (position &- read) < needed { return nil }
    }
    if gap > 0 {
      let start = unsafe bytes + Int(position & (capacity &- 1))
      unsafe start.storeBytes(of: gap, as: UInt64.self)
    }
    return position &+ gap
  }

  @inline(__always)
  private func publish(_ position: UInt64) {
    unsafe weir_store_seqcst(words + Self.written, position)
    var isHalfFull = false
    if position &- (unsafe weir_load_relaxed(words + Self.knownRead)) > capacity / 2 {
      let read = unsafe weir_load_acquire(words + Self.read)
      unsafe weir_store_relaxed(words + Self.knownRead, read)
      isHalfFull = position &- read > capacity / 2
    }
    signal.published(halfFull: isHalfFull)
  }

  @inline(__always)
  private static func writeHeader(
    _ record: borrowing AccessRecord, length: Int, isCut: Bool, to start: UnsafeMutableRawPointer
  ) {
    unsafe start.storeBytes(of: UInt64(length) | 1 << 32, as: UInt64.self)
    unsafe start.storeBytes(of: record.wall, toByteOffset: 8, as: Int64.self)
    unsafe start.storeBytes(of: record.duration, toByteOffset: 16, as: Int64.self)
    unsafe start.storeBytes(of: record.originDuration, toByteOffset: 24, as: Int64.self)
    unsafe start.storeBytes(of: record.bytesSent, toByteOffset: 32, as: UInt64.self)
    unsafe start.storeBytes(of: record.bytesReceived, toByteOffset: 40, as: UInt64.self)
    unsafe start.storeBytes(of: record.client.high, toByteOffset: 48, as: UInt64.self)
    unsafe start.storeBytes(of: record.client.low, toByteOffset: 56, as: UInt64.self)
    unsafe start.storeBytes(of: record.client.port, toByteOffset: 64, as: UInt16.self)
    unsafe start.storeBytes(of: record.status, toByteOffset: 66, as: UInt16.self)
    unsafe start.storeBytes(of: record.route, toByteOffset: 68, as: UInt16.self)
    unsafe start.storeBytes(of: record.cache, toByteOffset: 70, as: UInt8.self)
    unsafe start.storeBytes(of: record.version, toByteOffset: 71, as: UInt8.self)
    unsafe start.storeBytes(of: record.detail, toByteOffset: 72, as: UInt8.self)
    unsafe start.storeBytes(of: isCut ? 1 : 0, toByteOffset: 73, as: UInt8.self)
    unsafe start.storeBytes(of: record.channel, toByteOffset: 86, as: UInt8.self)
    unsafe start.storeBytes(of: record.isOnlyWatched ? 1 : 0, toByteOffset: 87, as: UInt8.self)
    unsafe start.storeBytes(of: UInt64(record.cipherSuite), toByteOffset: 88, as: UInt64.self)
  }

  @inline(__always)
  private static func writeTexts(
    _ record: borrowing AccessRecord, _ lengths: (Int, Int, Int, Int, Int), _ members: Int,
    to start: UnsafeMutableRawPointer
  ) {
    var text = unsafe start + headerLength
    func write(_ view: ByteView, _ length: Int, at offset: Int) {
      unsafe start.storeBytes(
        of: UInt16(truncatingIfNeeded: length), toByteOffset: offset, as: UInt16.self)
      unsafe memcpy(text, view.baseAddress, length)
      unsafe text += length
    }
    write(record.method, lengths.0, at: 74)
    write(record.host, lengths.1, at: 76)
    write(record.target, lengths.2, at: 78)
    write(record.referer, lengths.3, at: 80)
    write(record.userAgent, lengths.4, at: 82)
    write(record.members, members, at: 84)
  }

  // MARK: The reader's side

  /// Hands over, one after the other, the records that are there now; each one's bytes are given
  /// back to the worker when `body` returns. Returns how many there were.
  func drain(_ body: (StoredRecord) -> Void) -> Int {
    let end = unsafe weir_load_acquire(words + Self.written)
    var position = unsafe weir_load_relaxed(words + Self.read)
    var count = 0
    while position != end {
      // Safe: between the two positions lie whole records, which the worker leaves alone.
      let start = unsafe UnsafeRawPointer(bytes) + Int(position & (capacity &- 1))
      let head = unsafe start.load(as: UInt64.self)
      let length = head & 0xFFFF_FFFF
      precondition(length >= 8 && length <= end &- position, "the log's ring is damaged")
      if head &>> 32 == 1 {
        body(unsafe StoredRecord(bytes: ByteView(unsafeStart: start, count: Int(length))))
        count += 1
      }
      position &+= length
      unsafe weir_store_release(words + Self.read, position)
    }
    return count
  }
}

/// A record as it lies in the ring.
struct StoredRecord {
  let bytes: ByteView

  var wall: Int64 { Int64(bitPattern: bytes.uint64(at: 8)) }
  var duration: Int64 { Int64(bitPattern: bytes.uint64(at: 16)) }
  var originDuration: Int64 { Int64(bitPattern: bytes.uint64(at: 24)) }
  var bytesSent: UInt64 { bytes.uint64(at: 32) }
  var bytesReceived: UInt64 { bytes.uint64(at: 40) }
  var client: SocketAddress {
    SocketAddress(high: bytes.uint64(at: 48), low: bytes.uint64(at: 56), port: bytes.uint16(at: 64))
  }
  var status: UInt16 { bytes.uint16(at: 66) }
  var route: UInt16 { bytes.uint16(at: 68) }
  var cache: UInt8 { bytes[70] }
  var version: UInt8 { bytes[71] }
  var detail: UInt8 { bytes[72] }
  var isCut: Bool { bytes[73] == 1 }
  var channel: UInt8 { bytes[86] }
  var isOnlyWatched: Bool { bytes[87] == 1 }
  var cipherSuite: UInt16 { bytes.uint16(at: 88) }

  /// The members that rules add.
  var members: ByteView {
    let length = Int(bytes.uint16(at: 84))
    var start = AccessLogRing.headerLength
    for place in [74, 76, 78, 80, 82] { start += Int(bytes.uint16(at: place)) }
    return bytes[start..<start + length]
  }

  /// Calls `body` with the method, host, target, referer and user agent.
  func withTexts(_ body: (ByteView, ByteView, ByteView, ByteView, ByteView) -> Void) {
    var offset = AccessLogRing.headerLength
    func next(_ place: Int) -> ByteView {
      let length = Int(bytes.uint16(at: place))
      defer { offset += length }
      return bytes[offset..<offset + length]
    }
    let (method, host, target) = (next(74), next(76), next(78))
    body(method, host, target, next(80), next(82))
  }
}
