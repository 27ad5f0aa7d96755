// Keys whose origin failed: while a stale response is served in its place, the origin is asked for that
// key again only after a pause that doubles with each failure, instead of with every hit.
//
// Shared by the workers in 16 stripes, each behind a lock that is held for some nanoseconds. A stripe is a
// table of sets of 8 places, a key belongs to one set: 4 KiB of keys know no more than that memory, and a
// flood of failing keys displaces those that are due soonest, which costs the origin one request each and
// nothing else. While nothing has failed a question is one load.

package import Bytes
internal import Synchronization

/// See the top of this file.
package final class KeyFailures: Sendable {
  private struct Place {
    var key = Hash128(low: 0, high: 0)
    /// When the origin may be asked again (monotonic); 0: a free place.
    var notBefore: Int64 = 0
    var failures = 0
  }

  private struct Stripe: ~Copyable, Sendable {
    let places: Mutex<[Place]>
    private let padding = InlineArray<14, UInt64>(repeating: 0)
    init() { places = Mutex([]) }
  }

  private static let setSize = 8
  private let stripes: InlineArray<16, Stripe>
  private let setsPerStripe: Int
  private let first: Int64
  private let longest: Int64
  private let known = Atomic<Int>(0)

  /// Knows at most `capacity` keys (rounded up to 128). The pause is at first `first` nanoseconds, then
  /// twice as long each time up to `longest`.
  package init(
    capacity: Int = 16_384, first: Int64 = 1_000_000_000, longest: Int64 = 60_000_000_000
  ) {
    stripes = InlineArray { _ in Stripe() }
    setsPerStripe = max(1, (min(capacity, 1 << 24) + 127) / 128)
    self.first = max(first, 1)
    self.longest = max(longest, self.first)
  }

  /// How many keys are known.
  package var count: Int { known.load(ordering: .relaxed) }

  /// Nanoseconds until the origin may be asked for a key again; nil if it may be now. Who is told that
  /// it may, while the key is known, does it for all: the others wait as long again.
  package func wait(for key: Hash128, now: Int64) -> Int64? {
    guard known.load(ordering: .relaxed) > 0 else { return nil }
    return withSet(of: key) { places, range in
      for index in range where places[index].notBefore != 0 && places[index].key == key {
        let place = places[index]
        if now < place.notBefore { return place.notBefore - now }
        places[index].notBefore = max(now &+ pause(place.failures), 1)
        return nil
      }
      return nil
    }
  }

  /// The origin failed for a key. `retryAfter`: what it asked for, in nanoseconds.
  package func failed(_ key: Hash128, retryAfter: Int64? = nil, now: Int64) {
    withSet(of: key) { places, range in
      var target = range.lowerBound
      for index in range {
        if places[index].notBefore != 0, places[index].key == key {
          target = index
          break
        }
        if places[index].notBefore < places[target].notBefore { target = index }
      }
      var place = places[target]
      if place.notBefore == 0 || place.key != key {
        if place.notBefore == 0 { known.add(1, ordering: .relaxed) }
        place = Place(key: key)
      }
      place.failures = min(place.failures + 1, 64)
      let pause = max(self.pause(place.failures), min(retryAfter ?? 0, longest))
      place.notBefore = max(now &+ pause, 1)
      places[target] = place
    }
  }

  /// The origin answered for a key.
  package func succeeded(_ key: Hash128) {
    guard known.load(ordering: .relaxed) > 0 else { return }
    withSet(of: key) { places, range in
      for index in range where places[index].notBefore != 0 && places[index].key == key {
        places[index] = Place()
        known.subtract(1, ordering: .relaxed)
      }
    }
  }

  private func pause(_ failures: Int) -> Int64 {
    Backoff.bound(retry: failures, first: first, longest: longest)
  }

  private func withSet<Result: Sendable>(
    of key: Hash128, _ body: (inout [Place], Range<Int>) -> Result
  ) -> Result {
    let spread = SeededRandom.mix(key.low ^ key.high &<< 1)
    let size = setsPerStripe * Self.setSize
    let set = Int(truncatingIfNeeded: (spread &>> 8) % UInt64(setsPerStripe)) * Self.setSize
    return stripes[Int(truncatingIfNeeded: spread & 15)].places.withLock { places in
      // Memory comes with the first failure.
      if places.isEmpty { places = [Place](repeating: Place(), count: size) }
      return body(&places, set..<set + Self.setSize)
    }
  }
}
