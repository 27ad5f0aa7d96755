// Language negotiation by lookup (RFC 4647 §3.4): ranges by descending quality, each shortened from its
// end until a tag is found. Bounded: of a field only the first 32 ranges count.

internal import Bytes
internal import HTTPMessage

enum LanguageLookup {
  private struct Range {
    var start = 0
    var count = 0
    /// Thousandths.
    var quality = 0
  }

  private static let most = 32

  /// The number of the tag that suits best; nil if none does. `tag` gives the tags by number.
  static func find(
    _ accepted: ByteView, tags: Int, _ tag: (Int) -> ByteView
  ) -> Int? {
    var ranges = InlineArray<32, Range>(repeating: Range())
    var count = 0
    var offset = 0
    while offset < accepted.count, count < most {
      let end = accepted.firstIndex(of: ASCII.comma, from: offset) ?? accepted.count
      if let range = parse(accepted, offset, end) {
        ranges[count] = range
        count += 1
      }
      offset = end + 1
    }
    for _ in 0..<count {
      // The best that is left; of equal ones the first.
      var best = -1
      for index in 0..<count where ranges[index].quality > 0 {
        if best < 0 || ranges[index].quality > ranges[best].quality { best = index }
      }
      guard best >= 0 else { return nil }
      let range = accepted[ranges[best].start..<ranges[best].start + ranges[best].count]
      ranges[best].quality = -1
      if range.count == 1, range[0] == 0x2A { return nil }
      if let found = lookUp(range, tags, tag) {
        var isRefused = false
        for index in 0..<count where ranges[index].quality == 0 {
          let refused = accepted[ranges[index].start..<ranges[index].start + ranges[index].count]
          if refused.equalsIgnoringCase(tag(found)) { isRefused = true }
        }
        if !isRefused { return found }
      }
    }
    return nil
  }

  private static func lookUp(_ range: ByteView, _ tags: Int, _ tag: (Int) -> ByteView) -> Int? {
    var rest = range
    while !rest.isEmpty {
      for index in 0..<tags where rest.equalsIgnoringCase(tag(index)) { return index }
      // Without its last subtag, and without a single letter that is then the last (§3.4).
      var end = rest.count
      repeat {
        end -= 1
        while end > 0 && rest[end] != 0x2D { end -= 1 }
        rest = rest.prefix(end)
      } while end >= 2 && rest[end - 2] == 0x2D
    }
    return nil
  }

  /// A range and its quality (RFC 9110 §12.5.4, §12.4.2); nil if it is none.
  private static func parse(_ text: ByteView, _ start: Int, _ end: Int) -> Range? {
    let element = text[start..<end]
    let semicolon = element.firstIndex(of: ASCII.semicolon) ?? element.count
    var first = 0
    while first < semicolon, ASCII.isWhitespace(element[first]) { first += 1 }
    let range = element[first..<semicolon].trimmingWhitespace
    guard !range.isEmpty, range.count <= 64 else { return nil }
    var quality = 1_000
    if semicolon < element.count {
      let weight = element.dropping(first: semicolon + 1).trimmingWhitespace
      guard weight.count >= 3, weight[0] | 0x20 == 0x71, weight[1] == ASCII.equals else {
        return nil
      }
      quality = parse(quality: weight.dropping(first: 2))
    }
    return Range(start: start + first, count: range.count, quality: quality)
  }

  /// Thousandths of `0.8`; 0 for what is no quality.
  private static func parse(quality: ByteView) -> Int {
    guard quality.count <= 5, quality[0] == 0x30 || quality[0] == 0x31 else { return 0 }
    var value = Int(quality[0] & 0xF) * 1_000
    if quality.count == 1 { return value }
    guard quality[1] == 0x2E else { return 0 }
    var place = 100
    for index in 2..<max(2, quality.count) {
      guard ASCII.isDigit(quality[index]) else { return 0 }
      value += Int(quality[index] & 0xF) * place
      place /= 10
    }
    return min(value, 1_000)
  }
}
