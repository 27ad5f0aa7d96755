internal import Bytes
internal import EventLoop
internal import RateLimiting

/// The checks of a request for as long as they are needed: a box, since they are large and most
/// connections have none. A worker keeps its boxes for reuse.
final class HeldChecks {
  var checks = LimitChecks()
  /// Those that were asked before, of the same request.
  var earlier: HeldChecks?
}

/// What holds a response's content back: at most one limit by key, and one of its own.
final class Pacing {
  /// The limit by key; -1: none.
  let limit: Int
  let key: Hash128
  private let limits: LimitSet
  private var pacer: BandwidthPacer?
  /// How much of what was allowed last the key has not paid for, because the limit only counts.
  private var unpaid: UInt64 = 0
  /// Whether the key had no place of its own then.
  private var isOverflow = false
  /// Content that was copied, since what it was in would not have lasted.
  var content = ByteBuffer()
  /// How much of it was sent.
  var sent = 0

  init(_ limits: LimitSet, limit: Int, key: Hash128, rate: TokenBucketRate?) {
    self.limits = limits
    self.limit = limit
    self.key = key
    pacer = rate.map { BandwidthPacer(rate: $0) }
  }

  /// How much of `wanted` bytes may be sent now; the rest is to be given back.
  func allowance(_ wanted: UInt64, _ worker: Worker) -> PacingDecision {
    let now = worker.now.monotonic
    var granted = wanted
    if limit >= 0 {
      switch byKey(wanted, worker, now) {
      case .send(let bytes): granted = bytes
      case .waits(let time): return .waits(until: time)
      }
    }
    guard pacer != nil else { return .send(granted) }
    switch pacer?.allowance(granted, now: now) {
    case .send(let bytes):
      giveBackToKey(granted &- bytes, worker)
      return .send(bytes)
    case .waits(let time):
      giveBackToKey(granted, worker)
      return .waits(until: time)
    case nil: return .send(granted)
    }
  }

  private func byKey(_ wanted: UInt64, _ worker: Worker, _ now: Int64) -> PacingDecision {
    let limit = limits.limits[limit]
    guard case .tokenBucket(let limiter) = limit.rule else { return .send(wanted) }
    let (decision, isOverflow) = limiter.allowance(wanted, key: key, now: now)
    self.isOverflow = isOverflow
    unpaid = 0
    guard limit.isShadow else { return decision }
    // What only counts holds nothing back.
    if case .send(let bytes) = decision {
      unpaid = wanted - min(bytes, wanted)
    } else {
      unpaid = wanted
    }
    return .send(wanted)
  }

  private func giveBackToKey(_ bytes: UInt64, _ worker: Worker) {
    guard limit >= 0, bytes > 0, case .tokenBucket(let limiter) = limits.limits[limit].rule
    else { return }
    let free = min(bytes, unpaid)
    unpaid -= free
    guard bytes > free else { return }
    limiter.refund(
      key: key, cost: bytes - free, isOverflow: isOverflow, now: worker.now.monotonic)
  }

  /// Takes back what was allowed and not sent.
  func giveBack(_ bytes: UInt64, _ worker: Worker) {
    guard bytes > 0 else { return }
    giveBackToKey(bytes, worker)
    pacer?.giveBack(bytes)
  }
}
