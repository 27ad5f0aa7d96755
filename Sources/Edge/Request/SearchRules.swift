// What responses have said of their queries (No-Vary-Search), by the URI without its query. A request
// is looked up by what the last answer for its path said; so the first request after that finds nothing
// and asks, and from then on all that mean the same share one stored response. The key holds the rule
// and what it lets count; and an answer is stored, or shared, under such a key only if it says that rule
// itself (`OriginRequest.isSaidByAnswer`).
//
// In memory only, and bounded: what is forgotten costs a request to the origin.

internal import Bytes
internal import HTTPCaching
import Synchronization

final class SearchRules: Sendable {
  private struct Stripe {
    var rules: [Hash128: NoVarySearch] = [:]
  }
  private final class Lock: Sendable {
    let stripe = Mutex(Stripe())
  }

  private static let stripeCount = 16
  private static let rulesPerStripe = 4_096
  private let stripes: [Lock] = (0..<stripeCount).map { _ in Lock() }
  /// How many rules there are: while it is 0, as nearly everywhere, a hit does not look.
  private let count = Atomic<Int>(0)

  /// Whether there are none.
  var isEmpty: Bool { count.load(ordering: .relaxed) == 0 }

  private func stripe(_ path: Hash128) -> Lock {
    stripes[Int(truncatingIfNeeded: path.low) & (Self.stripeCount - 1)]
  }

  /// The rule for a path.
  func find(_ path: Hash128) -> NoVarySearch? {
    stripe(path).stripe.withLock { $0.rules[path] }
  }

  /// Notes what the newest response for a path said.
  func note(_ rule: NoVarySearch, for path: Hash128) {
    let change = stripe(path).stripe.withLock { stripe in
      let before = stripe.rules.count
      if rule.isDefault {
        stripe.rules[path] = nil
      } else {
        if before >= Self.rulesPerStripe && stripe.rules[path] == nil {
          stripe.rules.removeAll(keepingCapacity: true)
        }
        stripe.rules[path] = rule
      }
      return stripe.rules.count - before
    }
    count.add(change, ordering: .relaxed)
  }
}
