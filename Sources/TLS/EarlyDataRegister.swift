// Early data can be replayed by whoever has recorded it (RFC 8446 §8). Three things are in the way:
//
//   - a ticket is good for early data only as long as its key, which no other process has;
//   - OpenSSL takes early data only if the ticket's age, as the client says it, is right within ten seconds;
//   - for longer than that this register remembers the hellos whose early data was taken (§8.2).
//
// A hello is known by its random bytes, which the PSK's binder covers: a copy with other ones has no valid
// binder, and the register is asked after the binder was verified. Who is refused is answered after its
// handshake, as anybody is: so the register may be full, and may take two for one.
//
// Two generations: the newer takes hellos for `span`, then becomes the older, and the oldest is forgotten. So
// each is remembered for one span at least, and for two at most.

internal import CLinux
internal import Synchronization

/// The hellos whose early data was taken lately. Shared by all workers; asked once for a handshake with
/// early data.
package final class EarlyDataRegister: Sendable {
  private struct Generations {
    var newer: Set<UInt128> = []
    var older: Set<UInt128> = []
    /// When the newer one began, in monotonic nanoseconds.
    var since = Int64.min
  }

  /// How long a hello is remembered at least: more than the ten seconds of OpenSSL's allowance with what
  /// rounding to whole seconds adds at either end.
  package static let span: Int64 = 15_000_000_000

  private let state = Mutex(Generations())
  private let limit: Int

  /// An empty register. `limit`: hellos of a span; further ones are refused. Each takes some 32 bytes.
  package init(limit: Int = 65_536) { self.limit = limit }

  /// Whether a hello has not been seen: it is now. `now` is monotonic, in nanoseconds.
  package func admits(_ hello: UInt128, now: Int64) -> Bool {
    state.withLock { state in
      let (age, overflow) = now.subtractingReportingOverflow(state.since)
      if overflow || age >= Self.span {
        let isOld = overflow || age >= 2 * Self.span
        state.older = isOld ? [] : state.newer
        state.newer = []
        state.since = now
      }
      guard !state.older.contains(hello), state.newer.count < limit else { return false }
      return state.newer.insert(hello).inserted
    }
  }

  /// The same by the system's clock, for the random bytes of a hello.
  func admits(random: [UInt8]) -> Bool {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    let now = Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    return admits(random.prefix(16).reduce(0) { $0 << 8 | UInt128($1) }, now: now)
  }
}
