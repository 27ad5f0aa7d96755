// A pattern over keys: `*` stands for any bytes, `?` for any one byte, `\` makes the next byte mean
// itself. The whole key must match, byte for byte, case included. A pattern that begins with `//` is about
// what stands behind a URL's scheme, whichever that is (a network-path reference, RFC 3986 §4.2).
//
// All states of the pattern run at once, as bits (shift-and, Baeza-Yates and Gonnet 1992): state n is on
// while the pattern's first n places match what was read. A byte moves each state on to the next if the
// place between them takes that byte; a state before which a star stands stays on. So a key costs its
// length times the pattern's words (one for each 64 places), whatever both contain: there is nothing to
// go back to. Once no state is on, the rest of the key is not looked at, which for most keys is soon.

package import Bytes

/// A pattern that a key may match.
package struct KeyPattern: Sendable, Equatable {
  /// Bytes that a pattern may have.
  package static let limit = 512

  /// The pattern as it was written.
  package let text: [UInt8]
  private let words: Int
  /// For each byte `words` words: bit n is set if the byte leads to state n.
  private let entries: [UInt64]
  /// The states that stay on.
  private let loops: [UInt64]
  private let places: Int
  private let isWithoutScheme: Bool

  /// Nil if the pattern is empty, longer than `limit`, or ends in a backslash that escapes nothing.
  package init?(_ text: ByteView) {
    guard !text.isEmpty, text.count <= Self.limit else { return nil }
    var places: [UInt8?] = []
    var stars: [Int] = []
    var index = 0
    while index < text.count {
      switch text[index] {
      case UInt8(ascii: "*"): stars.append(places.count)
      case UInt8(ascii: "?"): places.append(nil)
      case UInt8(ascii: "\\"):
        index += 1
        guard index < text.count else { return nil }
        places.append(text[index])
      case let byte: places.append(byte)
      }
      index += 1
    }
    self.text = text.array
    isWithoutScheme = text.starts(with: ByteView("//"))
    self.places = places.count
    words = places.count / 64 + 1
    var entries = [UInt64](repeating: 0, count: 256 * words)
    for (place, byte) in places.enumerated() {
      let (word, bit) = ((place + 1) / 64, UInt64(1) << UInt64((place + 1) % 64))
      for value in byte.map({ Int($0)...Int($0) }) ?? 0...255 {
        entries[value * words + word] |= bit
      }
    }
    self.entries = entries
    var loops = [UInt64](repeating: 0, count: words)
    for star in stars { loops[star / 64] |= 1 << UInt64(star % 64) }
    self.loops = loops
  }

  /// The pattern of all keys that begin with these bytes; nil if it would be too long.
  package init?(prefix: ByteView) {
    var text: [UInt8] = []
    for index in 0..<prefix.count {
      if [UInt8(ascii: "*"), UInt8(ascii: "?"), UInt8(ascii: "\\")].contains(prefix[index]) {
        text.append(UInt8(ascii: "\\"))
      }
      text.append(prefix[index])
    }
    text.append(UInt8(ascii: "*"))
    guard let pattern = text.withView({ KeyPattern($0) }) else { return nil }
    self = pattern
  }

  /// Whether the whole key matches.
  package func matches(_ key: ByteView) -> Bool {
    let key = isWithoutScheme ? Self.withoutScheme(key) : key
    return words == 1 ? matchesInOneWord(key) : matchesInWords(key)
  }

  /// A URL from the `//` on that follows its scheme; anything else as it is.
  private static func withoutScheme(_ key: ByteView) -> ByteView {
    guard let colon = key.prefix(16).firstIndex(of: ASCII.colon), key.count - colon > 2,
      key[colon + 1] == ASCII.slash, key[colon + 2] == ASCII.slash
    else { return key }
    return key.dropping(first: colon + 1)
  }

  private func matchesInOneWord(_ key: ByteView) -> Bool {
    var states: UInt64 = 1
    let loops = loops[0]
    for index in 0..<key.count {
      states = states &<< 1 & entries[Int(key[index])] | states & loops
      if states == 0 { return false }
    }
    return states &>> UInt64(places) & 1 == 1
  }

  private func matchesInWords(_ key: ByteView) -> Bool {
    var states = [UInt64](repeating: 0, count: words)
    states[0] = 1
    for index in 0..<key.count {
      let start = Int(key[index]) * words
      var isAny: UInt64 = 0
      for word in stride(from: words - 1, through: 0, by: -1) {
        let carry = word > 0 ? states[word - 1] &>> 63 : 0
        let moved = (states[word] &<< 1 | carry) & entries[start + word]
        states[word] = moved | states[word] & loops[word]
        isAny |= states[word]
      }
      if isAny == 0 { return false }
    }
    return states[places / 64] &>> UInt64(places % 64) & 1 == 1
  }
}
