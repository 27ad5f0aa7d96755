internal import Bytes

/// Patterns with `*` for any characters, also none, and `?` for any one; the whole text must fit.
enum Glob {
  /// The longest pattern, in bytes.
  static let longest = 256

  /// Whether a text fits a pattern. Takes at most the product of the two lengths, and the sum for
  /// patterns whose pieces do not repeat themselves.
  static func matches(_ text: ByteView, _ pattern: ByteView) -> Bool {
    var at = 0
    var place = 0
    // Where to go on if what follows the last star does not fit: one byte further each time.
    var star = -1
    var resume = 0
    while at < text.count {
      if place < pattern.count, pattern[place] == 0x2A {
        star = place
        resume = at
        place += 1
      } else if place < pattern.count, pattern[place] == 0x3F || pattern[place] == text[at] {
        at += 1
        place += 1
      } else if star >= 0 {
        resume += 1
        at = resume
        place = star + 1
      } else {
        return false
      }
    }
    while place < pattern.count, pattern[place] == 0x2A { place += 1 }
    return place == pattern.count
  }
}
