// How much goes into a record. A client can use nothing of a record before all of it is there: so the first
// records after a pause fit a segment or two, when the congestion window is small and a page's head matters
// most; later ones are full, because a record costs the same whatever its size. The size doubles with each
// record, as the window does with each round trip: four extra records for a large response.

internal import Bytes

/// Chooses the size of the next record.
struct RecordSizing {
  /// What fits one segment: 1,460 bytes less TCP's timestamps, IPv6's longer header and the record's own
  /// 22 bytes, rounded down.
  static var smallest: Int { 1_400 }
  /// The most that a record may hold (RFC 8446 §5.1).
  static var largest: Int { 16_384 }
  /// After that many nanoseconds without a record sizes begin anew, as the congestion window may
  /// (RFC 5681 §4.1).
  static var pause: Int64 { 1_000_000_000 }

  private var size = RecordSizing.smallest
  private var lastRecord: Int64 = .min

  /// The most that the next record may hold.
  mutating func limit(now: Int64) -> Int {
    let (idle, overflow) = now.subtractingReportingOverflow(lastRecord)
    if overflow || idle > RecordSizing.pause { size = RecordSizing.smallest }
    return size
  }

  /// Says that a record of `count` bytes was made; short ones say nothing about the window.
  mutating func made(count: Int, now: Int64) {
    lastRecord = now
    if count >= size { size = min(size * 2, RecordSizing.largest) }
  }
}

/// Memory in which parts of a record are brought together; one for each worker is enough.
package final class RecordGatherer {
  var buffer = ByteBuffer()

  /// Memory for one full record, taken when it is first used.
  package init() {}
}
