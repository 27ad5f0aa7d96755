// How far a PoP has purged, for the PoPs that it asks (its parents) and that ask it (its children): so that
// a purge does not race between them. A child says in each request through where it has purged; a parent
// that is not that far answers nothing that it has stored without asking its own origin.
//
//     Weir-Purged: 1f2e…;1700000000000-0      the log, and the place in it
//     Weir-Purged: 1f2e…;*                    further than the log: own purges are not there yet
//
// What a child says is raised before a purge comes into force there, and what a parent compares with after it
// has: then in between the parent validates once too often, and never too seldom. Who has no connection to
// the log has purged through nothing: what it has read may stand no more.

package import Bytes
package import ObjectStore
import Synchronization

/// A place in the log, as one number that compares like it.
package struct FleetPlace: Sendable, Equatable {
  /// Milliseconds times 65,536, and the entry's number in them.
  package var value: UInt64
  /// The log.
  package var history: UInt64

  /// Further than the log.
  package static let beyond = UInt64.max

  /// A place.
  package init(value: UInt64, history: UInt64) {
    self.value = value
    self.history = history
  }

  /// What a position that is asked for is: never less than it.
  static func asked(_ position: LogPosition) -> UInt64 {
    guard position.milliseconds < 1 << 47 else { return beyond }
    return position.number > 0xFFFF
      ? (position.milliseconds + 1) << 16 : position.milliseconds << 16 | position.number
  }

  /// What a position that is reached is: never more than it.
  static func reached(_ position: LogPosition) -> UInt64 {
    guard position.milliseconds < 1 << 47 else { return 0 }
    return position.milliseconds << 16 | min(position.number, 0xFFFF)
  }

  /// The value of a field; nil if it is none.
  package init?(_ field: ByteView) {
    guard let semicolon = field.firstIndex(of: ASCII.semicolon),
      let history = UInt64(field.prefix(semicolon).string, radix: 16)
    else { return nil }
    let place = field.dropping(first: semicolon + 1)
    if place == ByteView("*") {
      self.init(value: Self.beyond, history: history)
    } else if let position = LogPosition(place.string) {
      self.init(value: Self.asked(position), history: history)
    } else {
      return nil
    }
  }

  /// Appends the field's value.
  package func append(to buffer: inout ByteBuffer) {
    buffer.append(text: String(history, radix: 16))
    buffer.append(ASCII.semicolon)
    if value == Self.beyond {
      buffer.append(0x2A as UInt8)
    } else {
      buffer.append(decimal: value >> 16)
      buffer.append(0x2D as UInt8)
      buffer.append(decimal: value & 0xFFFF)
    }
  }
}

/// How far this PoP is. Written by the fleet's thread, read by all.
package final class FleetProgress: Sendable {
  private let history = Atomic<UInt64>(0)
  private let asks = Atomic<UInt64>(0)
  private let has = Atomic<UInt64>(0)

  /// What parents are to be asked with; nil: nothing is known of the log.
  package func asking(_ store: ObjectStore) -> FleetPlace? {
    let history = history.load(ordering: .acquiring)
    guard history != 0 else { return nil }
    // Own purges first: who has read one back has raised the place before.
    let value = store.hasFleetOrders ? FleetPlace.beyond : asks.load(ordering: .acquiring)
    return FleetPlace(value: value, history: history)
  }

  /// Whether all that a child has purged is in force here.
  package func hasReached(_ place: FleetPlace) -> Bool {
    history.load(ordering: .acquiring) == place.history && place.value != FleetPlace.beyond
      && has.load(ordering: .acquiring) >= place.value
  }

  /// A purge at a position is about to come into force.
  func willReach(_ position: LogPosition) {
    let value = FleetPlace.asked(position)
    if value > asks.load(ordering: .relaxed) { asks.store(value, ordering: .releasing) }
  }

  /// All through a position is in force.
  func didReach(_ position: LogPosition) {
    willReach(position)
    has.store(FleetPlace.reached(position), ordering: .releasing)
  }

  /// The log has been looked at: it is this one, and stands as it was through a position.
  func follow(_ number: UInt64, through position: LogPosition) {
    has.store(0, ordering: .releasing)
    asks.store(FleetPlace.asked(position), ordering: .releasing)
    history.store(number, ordering: .releasing)
    has.store(FleetPlace.reached(position), ordering: .releasing)
  }

  /// There is no connection to the log.
  func cut() { has.store(0, ordering: .releasing) }
}
