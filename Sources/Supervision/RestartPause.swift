/// How long to wait before a node that has died is started again.
///
/// The first death is followed by a start at once: clients see a pause of some milliseconds. A node
/// that dies again right after its start is probably not helped by another one, so the pause grows. It
/// stays as it is while nodes live for some seconds each, and is forgotten when one has run steadily.
package struct RestartPause: Sendable {
  /// The first pause that is one, in nanoseconds.
  package static let shortest: Int64 = 100_000_000
  /// The pause that is never exceeded, in nanoseconds.
  package static let longest: Int64 = 5_000_000_000
  /// A node that lives for less than this died at its start: the pause grows.
  package static let brief: Int64 = 1_000_000_000
  /// A node that lives for this long has worked: what was before it is forgotten.
  package static let steady: Int64 = 10_000_000_000

  /// The pause before; nil if no node has died yet.
  private var last: Int64?

  /// No node has died yet.
  package init() {}

  /// The pause, in nanoseconds, after a node that has run for so many.
  package mutating func afterRun(of nanoseconds: Int64) -> Int64 {
    let pause: Int64
    if let last, nanoseconds < Self.steady {
      pause = nanoseconds < Self.brief ? min(max(Self.shortest, 2 * last), Self.longest) : last
    } else {
      pause = 0
    }
    last = pause
    return pause
  }
}
