package import Bytes
internal import Synchronization

/// A limit: a token bucket for each key, shared by all workers.
///
/// The keys are spread over up to 256 stripes, each behind its own lock, which is held for one
/// decision (some 30 ns, and a cache miss where there are many keys). Memory is bounded by `maxKeys`
/// at no more than 64 bytes each, and grows only as keys come. See BucketTable.swift for who leaves,
/// and what then.
package final class RateLimiter: Sendable {
  /// A stripe with its lock, on cache lines of its own.
  private struct Stripe: ~Copyable, Sendable {
    let table: Mutex<BucketTable>
    private let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) =
      (0, 0, 0, 0, 0, 0, 0, 0)

    init(capacity: Int, rate: TokenBucketRate) {
      table = Mutex(BucketTable(capacity: capacity, rate: rate))
    }
  }

  private let stripes: InlineArray<256, Stripe>
  private let stripeMask: UInt64
  private let hash: SipHash
  private let changing = Mutex(())

  /// A limit that remembers at most `maxKeys` keys (at least one).
  ///
  /// `secret` keys the hash of `key(addressHigh:addressLow:)`, so that nobody outside can choose
  /// addresses that fall on each other.
  package init(rate: TokenBucketRate, maxKeys: Int, secret: Hash128) {
    let keys = max(maxKeys, 1)
    // Few keys in many stripes would leave some full while others are empty.
    var count = 1
    while count < 256 && keys / (count * 2) >= 64 { count *= 2 }
    let capacity = keys / count
    stripes = InlineArray { _ in Stripe(capacity: capacity, rate: rate) }
    stripeMask = UInt64(count - 1)
    hash = SipHash(key: secret)
  }

  /// Takes `cost` tokens from the key's bucket, or refuses and leaves the bucket as it is.
  ///
  /// `now` is a monotonic clock in nanoseconds; workers' clocks may disagree. A cost of 0 only asks.
  package func decide(key: Hash128, now: Int64, cost: UInt64 = 1) -> LimitDecision {
    let key = BucketKey(key)
    let index = Int(truncatingIfNeeded: key.spread &>> 12 & stripeMask)
    return stripes[index].table.withLock { $0.decide(key, now: now, cost: cost) }
  }

  /// The key of a client's address: two big-endian words, IPv4 as ::ffff:a.b.c.d. An IPv6 client
  /// counts with its whole /64, which is what one customer gets (RFC 6177).
  package func key(addressHigh: UInt64, addressLow: UInt64) -> Hash128 {
    let isIPv4 = addressHigh == 0 && addressLow &>> 32 == 0xFFFF
    return isIPv4 ? hash.hash(4, addressLow) : hash.hash(6, addressHigh)
  }

  /// Goes on at another rate, from the next decision on, in all workers.
  ///
  /// What was spent stays spent: a key that owes so many tokens at `now` owes as many afterwards,
  /// even if that is more than a bucket now holds, and they come back at the new rate. Returns when
  /// all buckets are converted (some 30 ms for a million keys); decisions go on meanwhile.
  package func setRate(_ rate: TokenBucketRate, now: Int64) {
    changing.withLock { _ in
      for index in stripes.indices {
        stripes[index].table.withLock { $0.change(to: rate, now: now) }
      }
      for index in stripes.indices {
        var next: Int? = 0
        while let start = next {
          next = stripes[index].table.withLock { $0.convertAll(from: start, limit: 128) }
        }
      }
    }
  }

  /// How many keys are remembered. For figures, not for decisions.
  package var keys: Int {
    var sum = 0
    for index in stripes.indices { sum += stripes[index].table.withLock { $0.count } }
    return sum
  }

  /// Bytes that the tables take.
  package var bytes: Int {
    var sum = MemoryLayout<InlineArray<256, Stripe>>.size
    for index in stripes.indices { sum += stripes[index].table.withLock { $0.bytes } }
    return sum
  }
}
