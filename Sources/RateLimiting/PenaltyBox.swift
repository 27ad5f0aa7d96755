package import Bytes
internal import Synchronization

/// A time out for who is refused again and again: after `offences` refusals within `window`, all is
/// refused for `duration`.
///
/// It comes on top of a limit, which goes on refusing on its own; so a key for which there is no room
/// here is let off nothing but the penalty. A refusal during the penalty does not make it longer.
package final class PenaltyBox: Sendable {
  // A key's state: (refusals, since when) while it is watched; (.max, until when) while it is punished.
  private struct Table: ~Copyable {
    var keys: KeyTable
  }

  private let stripes: InlineArray<16, Mutex<Table>>
  private let stripeMask: UInt64
  private let offences: UInt64
  private let window: Int64
  private let duration: Int64

  /// Times in nanoseconds of a monotonic clock; at most `maxKeys` keys (at least one) are watched.
  package init(offences: UInt64, window: Int64, duration: Int64, maxKeys: Int) {
    let keys = max(maxKeys, 1)
    var count = 1
    while count < 16 && keys / (count * 2) >= 64 { count *= 2 }
    let capacity = keys / count
    stripes = InlineArray { _ in Mutex(Table(keys: KeyTable(capacity: capacity))) }
    stripeMask = UInt64(count - 1)
    self.offences = min(max(offences, 1), .max - 1)
    self.window = min(max(window, 1), 1 << 60)
    self.duration = min(max(duration, 1), 1 << 60)
  }

  /// How many nanoseconds the key's penalty lasts on; nil if it has none.
  package func remaining(key: Hash128, now: Int64) -> Int64? {
    let key = BucketKey(key)
    let now = Self.bounded(now)
    return stripes[stripe(of: key)].withLock { table in
      guard let index = table.keys.find(key) else { return nil }
      let state = table.keys[index]
      guard state.first == .max else { return nil }
      let rest = Int64(bitPattern: state.second) &- now
      if rest > duration {
        // Longer than any penalty: the clock was set back.
        table.keys[index].second = UInt64(bitPattern: now &+ duration)
        return duration
      }
      return rest > 0 ? rest : nil
    }
  }

  /// Notes a refusal; whether it was the one too many.
  @discardableResult
  package func offend(key: Hash128, now: Int64) -> Bool {
    let key = BucketKey(key)
    let now = Self.bounded(now)
    let (window, duration) = (window, duration)
    return stripes[stripe(of: key)].withLock { table in
      var state = KeyState(first: 0, second: UInt64(bitPattern: now))
      let index = table.keys.find(key)
      if let index, !Self.isOver(table.keys[index], now: now, window: window) {
        state = table.keys[index]
      }
      if state.first == .max { return false }
      state.first += 1
      let isPunished = state.first >= offences
      if isPunished {
        state = KeyState(first: .max, second: UInt64(bitPattern: now &+ duration))
      }
      if let index {
        table.keys[index] = state
        return isPunished
      }
      table.keys.sweep { Self.isOver($0, now: now, window: window) }
      guard table.keys.count < table.keys.capacity else { return false }
      table.keys.insert(key, state)
      return isPunished
    }
  }

  /// Ends a key's penalty and forgets its refusals; whether there were any.
  package func forgive(key: Hash128) -> Bool {
    let key = BucketKey(key)
    return stripes[stripe(of: key)].withLock { table in
      guard let index = table.keys.find(key) else { return false }
      table.keys.remove(index)
      return true
    }
  }

  /// How many keys are watched or punished.
  package var keys: Int {
    var sum = 0
    for index in stripes.indices { sum += stripes[index].withLock { $0.keys.count } }
    return sum
  }

  private static func isOver(_ state: KeyState, now: Int64, window: Int64) -> Bool {
    let time = Int64(bitPattern: state.second)
    // Watched since a time that is to come: the clock was set back.
    return state.first == .max ? time <= now : now &- time >= window || time > now &+ window
  }

  private static func bounded(_ now: Int64) -> Int64 { min(max(now, 0), 1 << 61) }

  private func stripe(of key: BucketKey) -> Int {
    Int(truncatingIfNeeded: key.spread &>> 12 & stripeMask)
  }
}
