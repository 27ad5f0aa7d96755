// What ties a purge to the log of a fleet, and travels in the purge's own record (PurgeHistory.swift): so a
// PoP that comes back knows exactly what it has applied, and what of its own orders the others may lack.
//
//     0 u8 kind   1 0   8 u64 PoP   16 u64 number   24 u64, 32 u64 position   40 u64 history
//    48 u64 stamp   56 order

internal import Bytes

/// A place in the fleet's log: the id of a stream's entry.
package struct LogPosition: Sendable, Hashable, Comparable {
  /// Milliseconds by the engine's clock, or whatever was larger before.
  package var milliseconds: UInt64
  /// Tells entries of one millisecond apart.
  package var number: UInt64

  /// A position.
  package init(milliseconds: UInt64, number: UInt64) {
    self.milliseconds = milliseconds
    self.number = number
  }

  /// Before everything.
  package static let start = LogPosition(milliseconds: 0, number: 0)

  /// `1700000000000-0`
  package init?(_ text: String) {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let milliseconds = UInt64(parts[0]), let number = UInt64(parts[1])
    else { return nil }
    self.init(milliseconds: milliseconds, number: number)
  }

  /// As the engine writes it.
  package var text: String { "\(milliseconds)-\(number)" }

  package static func < (left: LogPosition, right: LogPosition) -> Bool {
    (left.milliseconds, left.number) < (right.milliseconds, right.number)
  }
}

/// An entry of the log without its content: whose it is, and where.
package struct LogPlace: Sendable, Hashable {
  /// Where it stands.
  package var position: LogPosition
  /// The PoP that ordered it.
  package var pop: UInt64
  /// That PoP's number of it.
  package var number: UInt64
  /// What this entry was given by chance when it was appended: of an order that was appended twice, each
  /// has its own.
  package var stamp: UInt64

  /// An entry's place.
  package init(position: LogPosition, pop: UInt64, number: UInt64, stamp: UInt64) {
    self.position = position
    self.pop = pop
    self.number = number
    self.stamp = stamp
  }
}

/// What a purge is to the fleet.
package struct FleetMark: Sendable, Equatable {
  /// What is said.
  package enum Kind: UInt8, Sendable {
    /// Ordered here: the others are to have it. With the order.
    case own = 1
    /// An own one stands in the log at the position.
    case appended
    /// Another PoP's was applied; the log is read through the position.
    case applied
    /// What was stored before counts as purged; the log is read from the position on, whose entry, if it
    /// is known, is in `order`.
    case rejoined
    /// What is known of a PoP's numbers: through `number`, and those that are packed in `order`.
    case seen
    /// The log is read through the position; `order` has the newest entries.
    case standing
  }

  /// What is said.
  package var kind: Kind
  /// Whose purge it is.
  package var pop: UInt64
  /// That PoP's number of it.
  package var number: UInt64
  /// Where in the log.
  package var position = LogPosition.start
  /// Which log: the engine's history.
  package var history: UInt64 = 0
  /// The entry's stamp; of `rejoined` and `standing`, how many entries the log had been trimmed of.
  package var stamp: UInt64 = 0
  /// The order in the fleet's words; at most 4 MiB.
  package var order: [UInt8] = []

  /// A mark.
  package init(
    _ kind: Kind, pop: UInt64, number: UInt64 = 0, position: LogPosition = .start,
    history: UInt64 = 0, stamp: UInt64 = 0, order: [UInt8] = []
  ) {
    self.stamp = stamp
    self.kind = kind
    self.pop = pop
    self.number = number
    self.position = position
    self.history = history
    self.order = order
  }

  static let headerSize = 56
  static let orderLimit = 4 << 20

  func append(to buffer: inout ByteBuffer) {
    for word in [
      UInt64(kind.rawValue), pop, number, position.milliseconds, position.number, history,
      stamp,
    ] {
      buffer.append(littleEndian: word)
    }
    order.withView { buffer.append($0) }
  }

  init?(_ bytes: ByteView) {
    guard bytes.count >= Self.headerSize,
      let kind = UInt8(exactly: bytes.uint64(at: 0)).flatMap({ Kind(rawValue: $0) })
    else { return nil }
    self.init(
      kind, pop: bytes.uint64(at: 8), number: bytes.uint64(at: 16),
      position: LogPosition(milliseconds: bytes.uint64(at: 24), number: bytes.uint64(at: 32)),
      history: bytes.uint64(at: 40), stamp: bytes.uint64(at: 48),
      order: bytes.dropping(first: Self.headerSize).array)
  }
}
