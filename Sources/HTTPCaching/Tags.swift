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

/// Reads the tags of a response.
package enum Tags {
  /// The most bytes of a tag.
  package static var greatestLength: Int { 1024 }
  /// The most tags of a response, repeated ones counted.
  package static var greatestCount: Int { 1000 }

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
  package static func forEach(in response: ResponseHead, _ body: (ByteView) -> Void) -> Bool {
    var count = 0
    var isWithin = true
    func visit(_ tag: ByteView) {
      count += 1
      isWithin = isWithin && count <= greatestCount && tag.count <= greatestLength
      if isWithin { body(tag) }
    }
    response.fields.forEach(.surrogateKey, in: response.bytes) { split($0, by: .space, visit) }
    response.fields.forEach(.cacheTag, in: response.bytes) { split($0, by: .comma, visit) }
    response.fields.forEach(.xkey, in: response.bytes) { split($0, by: .any, visit) }
    return isWithin
  }

  /// Whether a response has more or longer tags than are indexed.
  package static func exceedLimits(_ response: ResponseHead) -> Bool {
    !forEach(in: response) { _ in }
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
