// Reads JSON (RFC 8259) where it stands. It looks for a few members in many lines, so it makes no tree:
// whoever asks for a member gets it, all others are gone past. What it lets through beyond the grammar
// (control bytes in strings, numbers with leading zeros) matters to no log.

internal import Bytes

struct JSONReader {
  private let text: ByteView
  private(set) var at = 0
  private static let deepest = 64

  init(_ text: ByteView) { self.text = text }

  /// Whether nothing but whitespace is left.
  mutating func isAtEnd() -> Bool {
    skipSpace()
    return at == text.count
  }

  /// The next byte that is no whitespace; nil at the end.
  mutating func peek() -> UInt8? {
    skipSpace()
    return at < text.count ? text[at] : nil
  }

  /// Goes past a byte if it is next.
  mutating func take(_ byte: UInt8) -> Bool {
    guard peek() == byte else { return false }
    at += 1
    return true
  }

  /// Calls `body` with each member's name, the reader in front of its value, which `body` must read. False
  /// if it is no object or `body` says so.
  mutating func members(_ body: (inout JSONReader, ByteView) -> Bool) -> Bool {
    guard take(0x7B) else { return false }
    if take(0x7D) { return true }
    repeat {
      guard let name = rawString(), take(ASCII.colon), body(&self, name) else { return false }
    } while take(ASCII.comma)
    return take(0x7D)
  }

  /// Calls `body` in front of each element of an array, which it must read.
  mutating func elements(_ body: (inout JSONReader) -> Bool) -> Bool {
    guard take(0x5B) else { return false }
    if take(0x5D) { return true }
    repeat {
      guard body(&self) else { return false }
    } while take(ASCII.comma)
    return take(0x5D)
  }

  /// A string, number or word as text, with escapes undone into the builder's scratch; empty for `null`.
  /// Nil if it is an array, an object or no JSON.
  mutating func scalar(_ builder: inout RecordBuilder) -> ByteView? {
    switch peek() {
    case ASCII.quote:
      guard let raw = rawString() else { return nil }
      guard raw.firstIndex(of: ASCII.backslash) != nil else { return raw }
      return builder.written { Self.unescape(raw, to: &$0) }
    case 0x7B, 0x5B, nil: return nil
    default:
      let word = word()
      if word.isEmpty { return nil }
      return word == ByteView("null") ? ByteView() : word
    }
  }

  /// Goes past a value; false if it is no JSON or nested too deeply.
  mutating func skip(depth: Int = 0) -> Bool {
    guard depth < Self.deepest else { return false }
    switch peek() {
    case ASCII.quote: return rawString() != nil
    case 0x7B: return members { reader, _ in reader.skip(depth: depth + 1) }
    case 0x5B: return elements { reader in reader.skip(depth: depth + 1) }
    case nil: return false
    default: return !word().isEmpty
    }
  }

  /// What stands between a string's quotes.
  private mutating func rawString() -> ByteView? {
    guard take(ASCII.quote) else { return nil }
    let start = at
    while let quote = text.firstIndex(of: ASCII.quote, from: at) {
      var backslashes = 0
      while quote - backslashes > start, text[quote - backslashes - 1] == ASCII.backslash {
        backslashes += 1
      }
      at = quote + 1
      if backslashes & 1 == 0 { return text[start..<quote] }
    }
    return nil
  }

  /// A number, `true`, `false` or `null`.
  private mutating func word() -> ByteView {
    let start = at
    while at < text.count {
      let byte = text[at]
      let isPart =
        ASCII.isDigit(byte) || 0x61...0x7A ~= (byte | 0x20) || byte == 0x2B || byte == 0x2D
        || byte == 0x2E
      guard isPart else { break }
      at += 1
    }
    return text[start..<at]
  }

  private mutating func skipSpace() {
    while at < text.count, text[at] == 0x20 || text[at] == 0x0A || text[at] == 0x0D || text[at] == 9
    {
      at += 1
    }
  }

  /// Undoes escapes; never writes more than it reads.
  static func unescape(_ raw: ByteView, to buffer: inout ByteBuffer) {
    var at = 0
    while at < raw.count {
      guard raw[at] == ASCII.backslash, at + 1 < raw.count else {
        buffer.append(raw[at])
        at += 1
        continue
      }
      let byte = raw[at + 1]
      at += 2
      switch byte {
      case 0x62: buffer.append(8 as UInt8)
      case 0x66: buffer.append(12 as UInt8)
      case 0x6E: buffer.append(10 as UInt8)
      case 0x72: buffer.append(13 as UInt8)
      case 0x74: buffer.append(9 as UInt8)
      case 0x75: appendScalar(raw, &at, to: &buffer)
      default: buffer.append(byte)
      }
    }
  }

  private static func appendScalar(_ raw: ByteView, _ at: inout Int, to buffer: inout ByteBuffer) {
    guard let first = unit(raw, at) else { return }
    at += 4
    var value = first
    if 0xD800..<0xDC00 ~= first, at + 6 <= raw.count, raw[at] == ASCII.backslash,
      raw[at + 1] == 0x75, let second = unit(raw, at + 2), 0xDC00..<0xE000 ~= second
    {
      value = 0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)
      at += 6
    }
    let scalar = UnicodeScalar(value) ?? "\u{FFFD}"
    for byte in UTF8.encode(scalar) ?? .init() { buffer.append(byte) }
  }

  private static func unit(_ raw: ByteView, _ at: Int) -> UInt32? {
    guard at + 4 <= raw.count else { return nil }
    var value: UInt32 = 0
    for index in at..<at + 4 {
      guard let digit = ASCII.hexValue(raw[index]) else { return nil }
      value = value << 4 | UInt32(digit)
    }
    return value
  }
}
