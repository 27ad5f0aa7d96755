internal import Bytes
internal import HTTPMessage

/// An entity tag (RFC 9110 §8.8.3).
struct EntityTag {
  /// Whether it is marked as weak.
  let isWeak: Bool
  /// The tag with its quotes; a tag that lacks them is kept as it is and is never strong.
  let opaque: ByteView

  /// Whether the tag is in quotes and has none within.
  var isWellFormed: Bool {
    opaque.count >= 2 && opaque[0] == ASCII.quote
      && opaque.firstIndex(of: ASCII.quote, from: 1) == opaque.count - 1
  }

  /// Whether the tag is well formed and not weak.
  var isStrong: Bool { !isWeak && isWellFormed }

  /// The tag of an ETag field.
  init(_ value: ByteView) {
    isWeak = value.starts(with: ByteView("W/\""))
    opaque = isWeak ? value.dropping(first: 2) : value
  }

  /// Weak comparison (§8.8.3.2): the tags are the same, weak or not.
  func matchesWeakly(_ other: EntityTag) -> Bool { !opaque.isEmpty && opaque == other.opaque }

  /// Strong comparison (§8.8.3.2): the tags are the same, and neither is weak.
  func matchesStrongly(_ other: EntityTag) -> Bool {
    isStrong && other.isStrong && opaque == other.opaque
  }
}

/// The members of If-None-Match and If-Match. A tag may hold commas and backslashes, so that neither
/// the splitting of other lists nor that of quoted strings fits.
struct EntityTagList {
  private let value: ByteView
  private var position = 0

  init(_ value: ByteView) { self.value = value }

  /// The next member, or nil at the end; `*` comes out as a tag of that byte.
  mutating func next() -> EntityTag? {
    while position < value.count {
      let byte = value[position]
      guard byte == ASCII.comma || byte == ASCII.space || byte == ASCII.tab else { break }
      position += 1
    }
    guard position < value.count else { return nil }
    let start = position
    let isWeak = value.dropping(first: start).starts(with: ByteView("W/\""))
    let quote = isWeak ? start + 2 : start
    if value[quote] == ASCII.quote, let end = value.firstIndex(of: ASCII.quote, from: quote + 1) {
      position = end + 1
    } else {
      position = value.firstIndex(of: ASCII.comma, from: start) ?? value.count
    }
    return EntityTag(value[start..<position].trimmingWhitespace)
  }
}
