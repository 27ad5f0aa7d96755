// A PoP's part in its fleet: a thread with two connections to the engine, one that waits for what the log
// brings, and one for everything else. No worker ever waits for it, and what it says to workers is one byte
// (`gate`).
//
//     admin ─ order ─→ store's journal ─ durable ─→ weir-fleet ─ XADD ─→ log ─ XREAD ─→ weir-fleet ─→ store's journal
//                                                                      (every PoP, the one that ordered too)
//
// The log of the fleet is a stream; who there is, a hash; the log's own name, a string that is set once.

package import EventLoop
package import ObjectStore
internal import Redis
import Synchronization

/// What workers ask: one byte.
package final class FleetGate: Sendable {
  /// What may be served from the store.
  package enum Mode: UInt8, Sendable {
    /// What is stored.
    case serve
    /// What is stored, once validated.
    case revalidate
    /// Nothing stored.
    case bypass
  }

  private let state: Atomic<UInt8>
  private let afterLoss = Atomic(false)

  /// A gate that stands so.
  package init(_ mode: Mode) { state = Atomic(mode.rawValue) }

  /// What may be served.
  @inline(__always)
  package var mode: Mode { Mode(rawValue: state.load(ordering: .relaxed)) ?? .serve }

  /// Whether anything but `serve` holds: one relaxed load.
  @inline(__always)
  package var isClosed: Bool { state.load(ordering: .relaxed) != 0 }

  /// Whether this PoP has lost the log and is not in step again, while what it serves from the store is
  /// validated.
  package var isAfterLoss: Bool { afterLoss.load(ordering: .relaxed) }

  func set(_ mode: Mode, isAfterLoss: Bool) {
    state.store(mode.rawValue, ordering: .relaxed)
    afterLoss.store(isAfterLoss, ordering: .relaxed)
  }
}

/// How this PoP stands, for figures and reports.
package struct FleetStatus: Sendable, Equatable {
  /// Whether all that the log has is in force here.
  package var isInStep = false
  /// In a word: `cut`, `rejoining`, `catching_up`, `following`.
  package var phase = "cut"
  /// Which server the log is read from; nil: none.
  package var server: String?
  /// What ended the last connection, or attempt.
  package var failure: String?
  /// How far the log is applied, durably.
  package var position = LogPosition.start
  /// Milliseconds since the engine last said what there is; nil: it has not yet.
  package var silence: Int64?
  /// Own orders that the log may lack.
  package var waiting = 0
  /// Entries read and not applied.
  package var backlog = 0
  /// Purges of others that were applied since the start.
  package var applied: UInt64 = 0
  /// Own orders that were appended, repeats included.
  package var appended: UInt64 = 0
  /// Connections that began.
  package var connections: UInt64 = 0
  /// Losses by reason: how often everything stored had to count as purged.
  package var losses: [String: UInt64] = [:]
  /// How the limits stand that the region shares.
  package var budgets = BudgetStatus()
  /// How long purges took from the log to here: counts by upper bound (`bounds`), and beyond.
  package var delays = [UInt64](repeating: 0, count: FleetStatus.bounds.count + 1)
  /// Their sum, ms.
  package var delaySum: UInt64 = 0
  /// Upper bounds of `delays`, ms.
  package static let bounds: [Int64] = [5, 10, 25, 50, 75, 100, 150, 200, 300, 500, 1_000, 5_000]
}

/// A PoP's part in its fleet. Any thread.
package final class FleetClient: Sendable {
  /// What may be served.
  package let gate: FleetGate
  /// How far this PoP is.
  package let progress = FleetProgress()
  /// How it takes part.
  package let settings: FleetSettings
  /// The random number that its store has.
  package let pop: UInt64
  let inbox: Inbox<FleetMessage>
  let state = Mutex(FleetStatus())
  let interval: Atomic<Int64>
  /// Bytes of own orders to warm that are kept.
  let warmBytes = Mutex(0)
  private let store: ObjectStore
  private let thread = Mutex<LoopThread?>(nil)
  private let note: @Sendable (String) -> Void

  /// A part in a fleet that has not begun. `note` takes lines for the log.
  package init(
    _ settings: FleetSettings, store: ObjectStore, note: @escaping @Sendable (String) -> Void
  ) throws(Errno) {
    self.settings = settings
    self.store = store
    self.note = note
    gate = FleetGate(settings.whenBehind == .bypass ? .bypass : .revalidate)
    pop = store.fleetBook().pop
    interval = Atomic(settings.validationInterval)
    inbox = try Inbox()
  }

  /// Nanoseconds from one validation that this PoP asks of an origin to the next, once all that is stored
  /// has become stale: its part of the fleet's rate.
  package var validationInterval: Int64 { interval.load(ordering: .relaxed) }

  /// How this PoP stands.
  package var status: FleetStatus { state.withLock { $0 } }

  /// Begins, on a thread of its own. Call once. `translate` says there what an order in the fleet's words
  /// purges; what it does not understand it must make more of, never less. `budgets`: the limits that the
  /// region shares. `warmer`: what carries out orders to warm; nil: they are passed over here.
  package func start(
    budgets: FleetBudgets? = nil, warmer: (any FleetWarmer)? = nil,
    translate: @escaping @Sendable ([UInt8]) -> PurgeOrder
  ) throws(Errno) {
    let loop = try FleetLoop(
      settings, store: store, client: self, budgets: budgets, warmer: warmer,
      translate: translate, note: note)
    let inbox = inbox
    store.listenForFleetOrders { lowest in inbox.post(.ordered(from: lowest)) }
    let box = LoopBox(loop)
    thread.withLock { $0 = LoopThread(name: "weir-fleet") { box.run() } }
  }

  /// Ends the connections and the thread. What the log lacks stays in the store for the next start.
  package func stop() {
    store.listenForFleetOrders(nil)
    inbox.post(.stop)
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
  }

  /// Whether there is room for another order: while the engine is away they pile up.
  package var takesOrders: Bool { status.waiting < 65_536 }

  /// Tells, at the latest after `timeout` nanoseconds and on the fleet's thread, who has applied an own
  /// order.
  package func wait(
    for number: UInt64, _ scope: FleetScope, timeout: Int64,
    done: @escaping @Sendable (FleetReach) -> Void
  ) {
    inbox.post(.wait(number: number, scope, timeout: timeout, done))
  }

  /// Tells, on the fleet's thread, who there is; nil if the engine does not answer within a second or two.
  package func list(done: @escaping @Sendable (FleetList?) -> Void) { inbox.post(.list(done)) }

  // MARK: Warming

  /// Tells the other PoPs of an order to warm, which this one has begun; `urls`: a line each. Says on the
  /// fleet's thread who has taken it, once that is all who can, and after `timeout` nanoseconds at the latest.
  /// False, and nothing is told, if `WarmBoard.ownBytes` of own orders may still be taken.
  package func warm(
    _ order: FleetWarmOrder, _ urls: [UInt8], timeout: Int64,
    done: @escaping @Sendable (FleetWarmReach) -> Void
  ) -> Bool {
    let cost = WarmBoard.cost(of: urls)
    let hasRoom = warmBytes.withLock { bytes in
      guard bytes + cost <= WarmBoard.ownBytes else { return false }
      bytes += cost
      return true
    }
    if hasRoom { inbox.post(.warm(order, urls, timeout: timeout, done)) }
    return hasRoom
  }

  /// Says, on the fleet's thread and within a second or two, how far all PoPs are with an order that this one
  /// has begun `age` milliseconds ago.
  package func reach(
    of order: FleetWarmOrder, age: Int64, done: @escaping @Sendable (FleetWarmReach) -> Void
  ) {
    inbox.post(.warmed(order, age: age, done))
  }

  /// Ends an order to warm at all PoPs that have it.
  package func endWarming(_ name: String) { inbox.post(.endWarming(name)) }
}

/// What is told to the fleet's thread.
enum FleetMessage: Sendable {
  /// Own orders have become durable.
  case ordered(from: UInt64)
  /// A limit that the region shares has something to tell.
  case limited
  /// A purge of another PoP is durable, or will not be. `generation`: of the follower that applied it.
  case applied(generation: Int, PurgeFailure?)
  /// Everything stored counts as purged, or will not. `epoch`: of the connection.
  case rejoined(epoch: Int, PurgeFailure?)
  /// Somebody waits for a purge to be applied.
  case wait(
    number: UInt64, FleetScope, timeout: Int64, @Sendable (FleetReach) -> Void)
  /// Somebody wants to know who there is.
  case list(@Sendable (FleetList?) -> Void)
  /// An order to warm is to be told.
  case warm(FleetWarmOrder, [UInt8], timeout: Int64, @Sendable (FleetWarmReach) -> Void)
  /// Somebody wants to know how far an order to warm is.
  case warmed(FleetWarmOrder, age: Int64, @Sendable (FleetWarmReach) -> Void)
  /// An order to warm is to end.
  case endWarming(String)
  /// End.
  case stop
}

/// Carries the loop to the thread that runs it.
private final class LoopBox: @unchecked Sendable {
  // Sendable because the loop is used by one thread only, from `run` on.
  private let loop: FleetLoop
  init(_ loop: FleetLoop) { self.loop = loop }
  func run() { loop.run() }
}
