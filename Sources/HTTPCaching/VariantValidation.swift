// Validating when none of several stored variants is known to fit the request (RFC 9111 §4.3.1): all
// their tags are offered, and a 304 names the one to use (§4.3.4). Dates are not: If-Modified-Since
// speaks of one response, and none was selected.

package import Bytes
package import HTTPMessage

/// The tags of stored variants that are offered to the origin. It owns them, since the answer comes in
/// a later turn. Allocates: for fills only.
package struct VariantTags: Sendable, Equatable {
  /// The most tags that are offered.
  package static var greatestCount: Int { 8 }
  /// The most bytes of all tags together, so that the field fits what origins take.
  package static var greatestLength: Int { 2048 }

  /// The tags, in the order they were added, and the number each was added with.
  private var tags: [(tag: [UInt8], number: Int)] = []
  private var length = 0

  /// No tags.
  package init() {}

  package static func == (left: VariantTags, right: VariantTags) -> Bool {
    left.tags.elementsEqual(right.tags) { $0.tag == $1.tag && $0.number == $1.number }
  }

  /// Whether there are none.
  package var isEmpty: Bool { tags.isEmpty }

  /// Offers a variant's tag; the newest variant first. Left out are what is no entity tag (a client's
  /// mistake must not be made the node's), tags that are there, and what goes beyond the limits.
  package mutating func add(_ etag: ByteView, number: Int) {
    guard tags.count < Self.greatestCount, EntityTag(etag).isWellFormed,
      length + etag.count <= Self.greatestLength
    else { return }
    let tag = etag.array
    guard !tags.contains(where: { $0.tag == tag }) else { return }
    tags.append((tag, number))
    length += tag.count
  }

  /// Appends `if-none-match` with all tags; nothing if there are none.
  package func appendCondition(to buffer: inout ByteBuffer) {
    guard !tags.isEmpty else { return }
    buffer.append("if-none-match: ")
    for index in tags.indices {
      if index > 0 { buffer.append(", ") }
      tags[index].tag.withView { buffer.append($0) }
    }
    buffer.append("\r\n")
  }

  /// The number of the variant that a 304 means: the one with its tag, compared strongly if it is
  /// strong, else weakly. A 304 without a tag can mean only a single one. Nil: send the request again
  /// without conditions.
  package func selected(by notModified: ResponseHead) -> Int? {
    guard let value = notModified.value(.etag), !value.isEmpty else {
      return tags.count == 1 ? tags[0].number : nil
    }
    let named = EntityTag(value)
    for entry in tags {
      let isNamed = entry.tag.withView { tag in
        named.isStrong
          ? named.matchesStrongly(EntityTag(tag)) : named.matchesWeakly(EntityTag(tag))
      }
      if isNamed { return entry.number }
    }
    return nil
  }
}

/// What a 200 to HEAD means for a stored response to GET (RFC 9111 §4.3.5).
package enum HeadFreshening: Sendable, Equatable {
  /// It is the same: update its fields (`HeadComposer.appendFreshened`) and its freshness.
  case update
  /// It is another: consider what is stored stale.
  case invalidate
  /// The answer says nothing about it: it is no 200.
  case ignore

  /// Compares the validators that the answer has, and its Content-Length, with what is stored.
  package static func decide(
    _ head: ResponseHead, storedETag: ByteView?, storedLastModified: ByteView?,
    storedLength: UInt64
  ) -> HeadFreshening {
    guard head.status == 200 else { return .ignore }
    if let etag = head.value(.etag), etag != storedETag { return .invalidate }
    if let modified = head.value(.lastModified), modified != storedLastModified {
      return .invalidate
    }
    if let length = head.value(.contentLength), Digits.exact(length) != storedLength {
      return .invalidate
    }
    return .update
  }
}
