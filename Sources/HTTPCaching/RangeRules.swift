// What a request for ranges is answered with (RFC 9110 §14.2, §15.3.7, §15.5.17).
//
// Ranges are a wish that a server may ignore, and it should where answering costs more than the whole
// or is an attack (§17.15): more than `greatestCount` ranges, more than two that overlap others, or
// ranges that come to more bytes than the representation has. All of these get the whole.

package import Bytes
package import HTTPMessage

/// What a Range field comes to, for a representation of known length.
package enum RangeSelection: Sendable, Equatable {
  /// Answer with the whole: there is no Range, or it is to be ignored.
  case whole
  /// Answer 206 with one range as the content.
  case single(ByteRange)
  /// Answer 206 with multipart/byteranges: `RangeRules.ranges` gives the ranges.
  case several
  /// Answer 416 with `Content-Range: bytes */length` (`ContentRange.unsatisfied`).
  case unsatisfiable
}

/// What a request that is answered from the store gets, its conditions and ranges taken together.
package enum Selection: Sendable, Equatable {
  /// The whole, with the stored status.
  case whole
  /// 304 (Not Modified).
  case notModified
  /// 412 (Precondition Failed).
  case failed
  /// 206 with one range.
  case single(ByteRange)
  /// 206 with multipart/byteranges.
  case several
  /// 416 (Range Not Satisfiable).
  case unsatisfiable
}

/// What is known of the representation that conditions and ranges are about.
package struct SelectedRepresentation: Sendable {
  /// The stored status; ranges are for 200 only.
  package var status: UInt16
  /// Its length in bytes; nil if it is not known yet, and ranges are then not evaluated.
  package var length: UInt64?
  /// Its ETag.
  package var etag: ByteView?
  /// Its Last-Modified, seconds since the epoch.
  package var lastModified: Int64?
  /// Its Date, or else when it was received, seconds since the epoch.
  package var date: Int64

  /// A representation as it is stored.
  package init(
    status: UInt16, length: UInt64?, etag: ByteView?, lastModified: Int64?, date: Int64
  ) {
    self.status = status
    self.length = length
    self.etag = etag
    self.lastModified = lastModified
    self.date = date
  }
}

/// The rules for ranges. Nothing here allocates but `ranges`.
package enum RangeRules {
  /// The most ranges of a request that is not answered with the whole.
  package static var greatestCount: Int { 32 }

  /// Evaluates a request in the order of RFC 9110 §13.2.2: If-None-Match, else If-Modified-Since,
  /// then Range with If-Range. (If-Match and If-Unmodified-Since are for the origin:
  /// `Preconditions.requiresForwarding`.) `now`, in milliseconds, tells the century of two-digit
  /// years.
  package static func select(
    _ request: RequestHead, of stored: SelectedRepresentation, now: Int64
  ) -> Selection {
    let precondition = Preconditions.evaluate(
      request: request, etag: stored.etag, lastModified: stored.lastModified, date: stored.date,
      status: stored.status, now: now)
    switch precondition {
    case .notModified: return .notModified
    case .failed: return .failed
    case .proceed: break
    }
    guard request.fields.contains(.range), let length = stored.length,
      applies(request, to: stored, now: now), let value = request.value(.range)
    else { return .whole }
    switch select(value, length: length) {
    case .whole: return .whole
    case .single(let range): return .single(range)
    case .several: return .several
    case .unsatisfiable: return .unsatisfiable
    }
  }

  /// Whether the request's Range counts: one line, on a GET (§14.2), for what would be a 200, and
  /// If-Range is absent or true.
  package static func applies(
    _ request: RequestHead, to stored: SelectedRepresentation, now: Int64
  ) -> Bool {
    switch request.method {
    case .get: break
    default: return false
    }
    guard stored.status == 200, request.fields.contains(.range),
      !request.fields.isRepeated(.range)
    else { return false }
    guard let condition = request.value(.ifRange) else { return true }
    return !request.fields.isRepeated(.ifRange) && ifRangeHolds(condition, stored, now: now)
  }

  /// What the value of Range selects in a representation of that length.
  package static func select(_ value: ByteView, length: UInt64) -> RangeSelection {
    // No Content-Range can speak of no bytes; §14.2 lets Range be ignored then.
    guard length > 0, var specs = RangeSpecs(value) else { return .whole }
    if value.firstIndex(of: ASCII.comma) == nil {
      // One range, as nearly always.
      guard case .spec(let spec) = specs.next() else { return .whole }
      return spec.resolved(length: length).map { .single($0) } ?? .unsatisfiable
    }
    var kept = InlineRanges()
    var count = 0
    while true {
      switch specs.next() {
      case .invalid: return .whole
      case .spec(let spec):
        count += 1
        if count > greatestCount { return .whole }
        if let range = spec.resolved(length: length) { kept.append(range) }
      case .end:
        return count == 0 ? .whole : kept.selection(length: length)
      }
    }
  }

  /// The ranges of a value for which `select` says `several`, in the order of the request.
  /// Allocates.
  package static func ranges(_ value: ByteView, length: UInt64) -> [ByteRange] {
    guard var specs = RangeSpecs(value) else { return [] }
    var ranges: [ByteRange] = []
    while ranges.count < greatestCount, case .spec(let spec) = specs.next() {
      if let range = spec.resolved(length: length) { ranges.append(range) }
    }
    return ranges
  }

  /// If-Range (§13.1.5): a strong tag that is the stored one, or the exact date of a Last-Modified
  /// that is a strong validator.
  private static func ifRangeHolds(
    _ condition: ByteView, _ stored: SelectedRepresentation, now: Int64
  ) -> Bool {
    if let etag = stored.etag, Validators.matchStrongly(condition, etag) { return true }
    guard let date = HTTPDate.parse(condition, now: now.wholeSeconds),
      let modified = stored.lastModified, date == modified
    else { return false }
    return Validators.isStrong(lastModified: modified, date: stored.date)
  }
}

/// The satisfiable ranges of one request, at most `RangeRules.greatestCount`, without allocation.
private struct InlineRanges {
  private var ranges = InlineArray<32, ByteRange?>(repeating: nil)
  private var count = 0

  mutating func append(_ range: ByteRange) {
    guard count < 32 else { return }
    ranges[count] = range
    count += 1
  }

  func selection(length: UInt64) -> RangeSelection {
    guard count > 0, let first = ranges[0] else { return .unsatisfiable }
    if count == 1 { return .single(first) }
    return isWorthwhile(length: length) ? .several : .whole
  }

  /// Whether the ranges are fewer bytes than the whole, and hardly overlap.
  private func isWorthwhile(length: UInt64) -> Bool {
    var total: UInt64 = 0
    var overlapping = 0
    for index in 0..<count {
      guard let range = ranges[index] else { continue }
      let (sum, overflow) = total.addingReportingOverflow(range.count)
      if overflow || sum > length { return false }
      total = sum
      if overlapsAnother(index, range) { overlapping += 1 }
    }
    return overlapping <= 2
  }

  private func overlapsAnother(_ index: Int, _ range: ByteRange) -> Bool {
    for other in 0..<count where other != index {
      if let other = ranges[other], other.overlaps(range) { return true }
    }
    return false
  }
}
