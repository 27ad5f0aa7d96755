// The tags by which stored responses are purged, as three products write them:
//
//     Surrogate-Key: one two      separated by spaces
//     Cache-Tag: one, two         separated by commas
//     xkey: one two, three        by either
//
// A response with more or longer tags than the limits is not stored (`StorageRefusal.tagLimit`): a
// purge by a tag that was cut off would not reach it.

package import Bytes
package import HTTPMessage

/// How many tags a response may have, and how long each may be.
package struct TagLimits: Sendable, Equatable {
  /// The most tags of a response, repeated ones counted.
  package var count: Int
  /// The most bytes of a tag.
  package var length: Int

  package init(count: Int = 1_000, length: Int = 1_024) {
    self.count = count
    self.length = length
  }
}

/// Reads the tags of a response.
package enum Tags {
  /// What separates the tags of a field.
  package enum Separator: Sendable {
    /// Spaces and tabs: Surrogate-Key.
    case space
    /// Commas, whitespace around them taken off: Cache-Tag.
    case comma
    /// Both: xkey.
    case any
  }

  /// Calls `body` with each tag of a response, in the order of the fields, until a limit is passed.
  /// Returns whether all of them were within the limits.
  @discardableResult
  package static func forEach(
    in response: ResponseHead, within limits: TagLimits, _ body: (ByteView) -> Void
  ) -> Bool {
    var count = 0
    var isWithin = true
    func visit(_ tag: ByteView) {
      count += 1
      isWithin = isWithin && count <= limits.count && tag.count <= limits.length
      if isWithin { body(tag) }
    }
    response.fields.forEach(.surrogateKey, in: response.bytes) { split($0, by: .space, visit) }
    response.fields.forEach(.cacheTag, in: response.bytes) { split($0, by: .comma, visit) }
    response.fields.forEach(.xkey, in: response.bytes) { split($0, by: .any, visit) }
    return isWithin
  }

  /// Whether a response has more or longer tags than are indexed.
  package static func exceed(_ limits: TagLimits, in response: ResponseHead) -> Bool {
    !forEach(in: response, within: limits) { _ in }
  }

  /// Calls `body` with each tag of one value that is not empty.
  package static func split(
    _ value: ByteView, by separator: Separator, _ body: (ByteView) -> Void
  ) {
    var start = 0
    for index in 0...value.count {
      if index < value.count, !separates(value[index], separator) { continue }
      let tag = value[start..<index].trimmingWhitespace
      if !tag.isEmpty { body(tag) }
      start = index + 1
    }
  }

  private static func separates(_ byte: UInt8, _ separator: Separator) -> Bool {
    let isSpace = byte == ASCII.space || byte == ASCII.tab
    return switch separator {
    case .space: isSpace
    case .comma: byte == ASCII.comma
    case .any: isSpace || byte == ASCII.comma
    }
  }
}
