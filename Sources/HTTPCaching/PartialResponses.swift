// 206 answers of an origin: whether they may be kept (RFC 9111 §3.3) and put together (§3.4).
//
// Ranges of two answers are of the same representation only if both have the same strong validator
// (RFC 9110 §15.3.7.3); a 206 without one may be kept, but only alone. A multipart answer is not kept:
// the node never asks for several ranges.

package import Bytes
package import HTTPMessage

/// What a 206 holds.
package struct PartialContent: Sendable, Equatable {
  /// Which bytes.
  package let range: ByteRange
  /// The length of the whole; nil if the origin does not say.
  package let completeLength: UInt64?

  /// A part of a representation.
  package init(range: ByteRange, completeLength: UInt64?) {
    self.range = range
    self.completeLength = completeLength
  }

  /// Whether it is the whole after all.
  package var isWhole: Bool { range.start == 0 && range.end == completeLength }
}

/// Why a 206 is not kept.
package enum PartialRefusal: UInt8, Sendable, CaseIterable {
  /// It is no 206.
  case notPartial
  /// There is no Content-Range, or several, or it is invalid; or the content is multipart.
  case badContentRange
  /// Content-Length and Content-Range contradict each other.
  case lengthMismatch
}

/// Whether a 206 may be kept.
package enum PartialStorage: Sendable, Equatable {
  /// It may, and be joined with others that have the same strong validator.
  case combinable(PartialContent)
  /// It may, but only alone: it has no strong validator.
  case alone(PartialContent)
  /// It may not.
  case refuse(PartialRefusal)
}

/// The rules for incomplete responses.
package enum PartialResponses {
  /// Whether a 206 may be kept, as far as its being partial goes; `StorageRules` decides the rest, as
  /// for a 200, if its policy has `storesPartial`.
  package static func storage(of response: ResponseHead) -> PartialStorage {
    guard response.status == 206 else { return .refuse(.notPartial) }
    guard !response.fields.isRepeated(.contentRange), let value = response.value(.contentRange),
      case .range(let range, let completeLength) = ContentRange.parse(value)
    else { return .refuse(.badContentRange) }
    if case .length(let length) = response.framing, length != range.count {
      return .refuse(.lengthMismatch)
    }
    let content = PartialContent(range: range, completeLength: completeLength)
    return hasStrongValidator(response) ? .combinable(content) : .alone(content)
  }

  /// Whether the content of a new response may be joined to what is stored (RFC 9111 §3.4): both have
  /// the same strong tag, or, if neither has a tag, the same strong Last-Modified.
  package static func mayCombine(
    _ response: ResponseHead, storedETag: ByteView?, storedLastModified: Int64?, storedDate: Int64,
    now: Int64
  ) -> Bool {
    if let stored = storedETag, !stored.isEmpty {
      return response.value(.etag).map { Validators.matchStrongly($0, stored) } ?? false
    }
    if let etag = response.value(.etag), !etag.isEmpty { return false }
    guard let stored = storedLastModified,
      Validators.isStrong(lastModified: stored, date: storedDate),
      let modified = date(response, .lastModified, now: now), modified == stored,
      let date = date(response, .date, now: now)
    else { return false }
    return Validators.isStrong(lastModified: modified, date: date)
  }

  /// Appends the head of two combined responses (RFC 9111 §3.4): the stored lines, updated by the
  /// newer response's fields as a 304 would update them, without Content-Range. The status is 200 once
  /// all is there. Allocates.
  package static func appendCombined(
    stored: ByteView, with response: ResponseHead, options: ResponseFieldOptions = [],
    responseTime: Int64, policy: CachePolicy = CachePolicy(), to buffer: inout ByteBuffer
  ) {
    var merged = ByteBuffer(capacity: stored.count + response.length)
    HeadComposer.appendFreshened(
      stored: stored, by: response, options: options, responseTime: responseTime, policy: policy,
      to: &merged)
    appendWithoutContentRange(merged.view, to: &buffer)
  }

  /// Appends stored lines without `content-range`: what is kept of the head of a first slice.
  package static func appendWithoutContentRange(
    _ lines: ByteView, to buffer: inout ByteBuffer
  ) {
    var iterator = StoredLines(lines)
    while let line = iterator.next() {
      if KnownField.identify(lines[line.name]) == .contentRange { continue }
      HeadComposer.append(name: lines[line.name], value: lines[line.value], to: &buffer)
    }
  }

  private static func hasStrongValidator(_ response: ResponseHead) -> Bool {
    if let etag = response.value(.etag), !etag.isEmpty { return Validators.isStrong(etag: etag) }
    guard let modified = date(response, .lastModified, now: 0),
      let date = date(response, .date, now: 0)
    else { return false }
    return Validators.isStrong(lastModified: modified, date: date)
  }

  private static func date(_ response: ResponseHead, _ field: KnownField, now: Int64) -> Int64? {
    response.value(field).flatMap { HTTPDate.parse($0, now: now.wholeSeconds) }
  }
}
