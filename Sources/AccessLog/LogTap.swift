// What a node serves, for somebody who records it to replay it: a copy of the log's records, as lines of JSON,
// kept for as long as somebody comes for them. It costs nothing otherwise.
//
// Whatever leaves here is redacted already: a client's address becomes another, always the same one while the
// node runs, of a range that nobody has (fd00::/8, RFC 4193); a value in a query becomes another, as long,
// always the same one, and different values become different ones: a page's number has one digit, and if its
// letter were by chance that of another page, a cache would hit more often than it did. So sessions, keys and
// their popularity stay what they were. What rules log is left out.

internal import Bytes
internal import EventLoop
internal import Synchronization

/// What a recorder asks for.
package struct TapOrder: Sendable, Equatable {
  /// The share of clients that is recorded, 0 to 1.
  package var sample = 1.0
  /// Whether clients' addresses are shown.
  package var keepsClients = false
  /// Whether values in queries are shown.
  package var keepsQueries = false

  /// All clients, redacted.
  package init() {}
}

/// Copies of the log's lines for a recorder.
package final class LogTap: Sendable {
  private struct State {
    var order = TapOrder()
    var lines: [UInt8] = []
    var lost: UInt64 = 0
  }

  private let state = Mutex(State())
  /// Until when somebody is expected to come again, monotonic; 0: nobody does.
  private let awaited = Atomic<Int64>(0)
  private let hash: SipHash
  private let signal: LogSignal
  /// What stands for each place of the alphabet.
  private let substitution: [Int]

  /// What values consist of when they are hidden (RFC 3986 §2.3: it need not be encoded anywhere).
  private static let alphabet = Array(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~".utf8)
  /// The place of each byte in it; others share places with these.
  private static let places = (0..<256).map { byte in
    alphabet.firstIndex(of: UInt8(byte)) ?? byte % alphabet.count
  }

  /// So much is kept for a recorder that is late.
  private static let capacity = 8 << 20
  /// So long a recorder may stay away, in nanoseconds.
  private static let patience: Int64 = 15_000_000_000

  init(secret: Hash128, signal: LogSignal) {
    hash = SipHash(key: secret)
    self.signal = signal
    var table = Array(0..<Self.alphabet.count)
    for index in table.indices.dropFirst() {
      let other = Int(hash.hash(UInt64(index), 1 << 32).low % UInt64(index + 1))
      table.swapAt(index, other)
    }
    substitution = table
  }

  /// The lines since the last call, and how many were lost; from now on there are lines for what is asked.
  /// `now` is monotonic.
  package func take(_ order: TapOrder, now: Int64) -> (lines: [UInt8], lost: UInt64) {
    awaited.store(now + Self.patience, ordering: .relaxed)
    signal.setRecording(true)
    return state.withLock { state in
      // What was collected for another order is not for this one.
      if state.order != order { state = State() }
      state.order = order
      let taken = (state.lines, state.lost)
      state.lines = []
      state.lost = 0
      return taken
    }
  }

  /// The order in force; nil if nobody comes for lines.
  func order(now: () -> Int64) -> TapOrder? {
    let until = awaited.load(ordering: .relaxed)
    if until == 0 { return nil }
    if now() < until { return state.withLock { $0.order } }
    awaited.store(0, ordering: .relaxed)
    signal.setRecording(false)
    state.withLock { $0 = State() }
    return nil
  }

  /// Adds lines.
  func add(_ lines: ByteView, count: UInt64) {
    state.withLock { state in
      if state.lines.count + lines.count > Self.capacity {
        state.lost += count
      } else {
        state.lines += lines.array
      }
    }
  }

  /// Whether a record's client is in the sample.
  func isWanted(_ record: StoredRecord, _ order: TapOrder) -> Bool {
    if order.sample >= 1 { return true }
    let place = hash.hash(record.client.high, record.client.low).high >> 11
    return Double(place) < order.sample * Double(1 << 53 as UInt64)
  }

  /// Copies a record without what the order hides.
  func redact(_ record: StoredRecord, _ order: TapOrder, into copy: inout ByteBuffer) {
    copy.removeAll()
    copy.append(record.bytes)
    // The members that rules add stand last.
    copy.overwrite(at: 84, littleEndian: 0 as UInt16)
    if !order.keepsClients {
      let client = hash.hash(record.client.high, record.client.low)
      copy.overwrite(at: 48, littleEndian: 0xFD << 56 | client.high & (1 << 56 - 1))
      copy.overwrite(at: 56, littleEndian: client.low)
    }
    if order.keepsQueries { return }
    var start = AccessLogRing.headerLength
    for place in [74, 76, 78, 80] {
      let length = Int(record.bytes.uint16(at: place))
      // Of target and referer; the method and the host have none.
      if place >= 78 { hideQuery(in: start..<start + length, of: record.bytes, &copy) }
      start += length
    }
  }

  /// Replaces the values of a query.
  private func hideQuery(in range: Range<Int>, of bytes: ByteView, _ copy: inout ByteBuffer) {
    guard let mark = bytes[range].firstIndex(of: ASCII.question) else { return }
    var at = range.lowerBound + mark + 1
    while at < range.upperBound {
      var end = at
      while end < range.upperBound, bytes[end] != 0x26 { end += 1 }
      // A parameter without a name is a value.
      let name = bytes[at..<end].firstIndex(of: ASCII.equals).map { $0 + 1 } ?? 0
      for (index, byte) in hidden(bytes[at + name..<end]).enumerated() {
        copy.overwrite(at: at + name + index, littleEndian: byte)
      }
      at = end + 1
    }
  }

  /// Another value of the same length. Four times over it, there and back, each character is moved by what
  /// those before it have become: each step can be undone by who has the key, so no two values become one, and
  /// in the end each character depends on all.
  private func hidden(_ value: ByteView) -> [UInt8] {
    var symbols = (0..<value.count).map { Self.places[Int(value[$0])] }
    for pass in 0..<4 as Range<UInt64> {
      var state = hash.hash(UInt64(symbols.count), pass).low
      for step in symbols.indices {
        let place = pass & 1 == 0 ? step : symbols.count - 1 - step
        let moved = (symbols[place] + Int(state % 65_536)) % Self.alphabet.count
        symbols[place] = substitution[moved]
        state = hash.hash(state, UInt64(moved)).low
      }
    }
    return symbols.map { Self.alphabet[$0] }
  }
}
