// A large object as slices of one size, each fetched by a request for its range:
//
//     slice     0            1            2         n
//     bytes     [0, size)    [size, 2·size)  …      [n·size, length)   the last may be short
//
// Every fetch but the first carries If-Range with the strong validator of what is stored, so that an
// object that changed comes as a 200 instead of as a wrong slice. The answer is checked all the same:
// an origin may ignore what it likes.

package import Bytes
package import HTTPMessage

/// What a slice's answer is good for.
package enum SliceAnswer: Sendable, Equatable {
  /// The slice that was asked for, or as much of it as the object has.
  case slice(PartialContent)
  /// The whole, from an origin that ignores Range: of the same representation or of a new one.
  case whole
  /// Another representation: what is stored is to be dropped, and clients that have part of it reset.
  case changed
  /// There is no such range; the complete length, if the origin says it. With a known length, the
  /// object changed.
  case unsatisfiable(completeLength: UInt64?)
  /// Not what was asked for: another range, a length that differs, or no valid Content-Range.
  case mismatch
  /// Any other status.
  case other
}

/// How an object is cut, and what is fetched of it. Pure arithmetic.
package struct SlicePlan: Sendable, Equatable {
  /// The bytes of a slice.
  package let sliceSize: UInt64
  /// The length of the object; nil until the first answer has come.
  package var completeLength: UInt64?

  /// A plan for slices of at least one byte.
  package init(sliceSize: UInt64, completeLength: UInt64? = nil) {
    self.sliceSize = max(sliceSize, 1)
    self.completeLength = completeLength
  }

  /// How many slices there are; nil while the length is not known.
  package var sliceCount: UInt64? {
    completeLength.map { $0 == 0 ? 0 : ($0 - 1) / sliceSize + 1 }
  }

  /// The bytes of a slice; nil if the object has no such slice, or it lies beyond 64 bits.
  package func range(ofSlice index: UInt64) -> ByteRange? {
    let (start, tooFar) = index.multipliedReportingOverflow(by: sliceSize)
    let (end, overflow) = start.addingReportingOverflow(sliceSize)
    if tooFar { return nil }
    return ByteRange(start: start, end: min(overflow ? .max : end, completeLength ?? .max))
  }

  /// The numbers of the slices that hold a range.
  package func slices(of range: ByteRange) -> Range<UInt64> {
    range.start / sliceSize..<(range.end - 1) / sliceSize + 1
  }

  /// Which slice to fetch first for a request of which no slice is stored and no length is known: the
  /// one in which its first range begins. A suffix needs the length, which slice 0 brings; so does a
  /// value that is no range, for which the answer is nil: fetch the whole.
  package func firstSlice(for value: ByteView) -> UInt64? {
    guard var specs = RangeSpecs(value), case .spec(let spec) = specs.next() else { return nil }
    switch spec {
    case .suffix: return 0
    case .positions(let first, _):
      return range(ofSlice: first / sliceSize) == nil ? 0 : first / sliceSize
    }
  }

  /// The first slices of a wanted range that are missing, next to each other, at most `limit` of them;
  /// nil if all are there.
  package func missing(
    of wanted: ByteRange, limit: UInt64, isStored: (UInt64) -> Bool
  ) -> Range<UInt64>? {
    let slices = slices(of: wanted)
    guard limit > 0, let first = slices.first(where: { !isStored($0) }) else { return nil }
    var end = first + 1
    while end < slices.upperBound, end - first < limit, !isStored(end) { end += 1 }
    return first..<end
  }

  /// The bytes of slices that lie next to each other.
  package func range(of slices: Range<UInt64>) -> ByteRange? {
    guard !slices.isEmpty, let first = range(ofSlice: slices.lowerBound),
      let last = range(ofSlice: slices.upperBound - 1)
    else { return nil }
    return ByteRange(start: first.start, end: last.end)
  }

  /// Appends the fields that make a request one for a range: `range`, and `if-range` if there is a
  /// strong validator of what is stored (a tag, or a Last-Modified as it was sent that is strong). The
  /// request's own Range and If-Range and conditions must be left out.
  package static func appendFields(
    _ range: ByteRange, validator: ByteView?, to buffer: inout ByteBuffer
  ) {
    buffer.append("range: bytes=")
    buffer.append(decimal: range.start)
    buffer.append(0x2D as UInt8)
    buffer.append(decimal: range.end - 1)
    buffer.append("\r\n")
    guard let validator else { return }
    buffer.append("if-range: ")
    buffer.append(validator)
    buffer.append("\r\n")
  }

  /// What an answer to a request for `asked` is.
  ///
  /// - Parameters:
  ///   - storedETag, storedLastModified, storedDate: validators of what is stored, times in seconds;
  ///     all nil for the first slice, which any representation may answer.
  ///   - now: milliseconds.
  package func check(
    _ response: ResponseHead, asked: ByteRange, storedETag: ByteView?, storedLastModified: Int64?,
    storedDate: Int64?, now: Int64
  ) -> SliceAnswer {
    switch response.status {
    case 200: return .whole
    case 416: return .unsatisfiable(completeLength: Self.unsatisfiedLength(response))
    case 206: break
    default: return .other
    }
    // Without a length one that breaks off would look whole.
    guard case .length = response.framing else { return .mismatch }
    switch PartialResponses.storage(of: response) {
    case .refuse: return .mismatch
    // The first slice must be joined with later ones; without a strong validator it cannot be.
    case .alone: return .mismatch
    case .combinable(let content):
      guard isAsked(content, asked) else { return .mismatch }
      if storedETag == nil && storedLastModified == nil { return .slice(content) }
      guard
        PartialResponses.mayCombine(
          response, storedETag: storedETag, storedLastModified: storedLastModified,
          storedDate: storedDate ?? 0, now: now),
        completeLength == nil || content.completeLength == completeLength
      else { return .changed }
      return .slice(content)
    }
  }

  /// Whether the content is the range that was asked for, cut where the object ends.
  private func isAsked(_ content: PartialContent, _ asked: ByteRange) -> Bool {
    guard content.range.start == asked.start, let length = content.completeLength else {
      return false
    }
    return content.range.end == min(asked.end, length)
  }

  private static func unsatisfiedLength(_ response: ResponseHead) -> UInt64? {
    guard let value = response.value(.contentRange),
      case .unsatisfied(let length) = ContentRange.parse(value)
    else { return nil }
    return length
  }
}
