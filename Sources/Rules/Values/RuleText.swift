// What functions do with texts. All are linear: searches use the C library's memmem (two-way), and
// nothing is looked at twice.

internal import Bytes
internal import CLinux
internal import HTTPMessage

enum RuleText {
  /// Where a part first stands at or after `from`; -1 if nowhere.
  static func find(_ part: ByteView, in text: ByteView, from: Int) -> Int {
    guard from <= text.count else { return -1 }
    if part.isEmpty { return from }
    let rest = text.dropping(first: from)
    guard rest.count >= part.count else { return -1 }
    // Safe: both are read by their lengths.
    guard let found = unsafe memmem(rest.baseAddress, rest.count, part.baseAddress, part.count)
    else {
      return -1
    }
    return unsafe UnsafeRawPointer(found) - text.baseAddress
  }

  static func ends(_ text: ByteView, with suffix: ByteView) -> Bool {
    text.count >= suffix.count && text.dropping(first: text.count - suffix.count) == suffix
  }

  /// The order in which sets are: by length, then by bytes.
  static func order(_ left: ByteView, _ right: ByteView) -> Int {
    if left.count != right.count { return left.count < right.count ? -1 : 1 }
    return unsafe Int(memcmp(left.baseAddress, right.baseAddress, left.count))
  }

  static func hasUppercase(_ text: ByteView) -> Bool {
    for index in 0..<text.count where text[index] &- 0x41 < 26 { return true }
    return false
  }

  /// The whole number that a text is; nil if it is none, or too large.
  static func integer(_ text: ByteView) -> Int64? {
    let isNegative = text.count > 1 && text[0] == 0x2D
    let digits = text.dropping(first: isNegative ? 1 : 0)
    guard (1...19).contains(digits.count) else { return nil }
    var value: Int64 = 0
    for index in 0..<digits.count {
      guard ASCII.isDigit(digits[index]) else { return nil }
      let (product, isLarge) = value.multipliedReportingOverflow(by: 10)
      let (sum, isLarger) = product.addingReportingOverflow(Int64(digits[index] & 0xF))
      if isLarge || isLarger { return nil }
      value = sum
    }
    return isNegative ? -value : value
  }
}

// Parts.
extension RuleText {
  /// Part `number` of a text; negative numbers count from the end; nil if it is not there.
  static func part(_ number: Int, of text: ByteView, _ separator: ByteView) -> ByteView? {
    var wanted = number
    if number < 0 {
      wanted = partCount(of: text, separator) + number
      if wanted < 0 { return nil }
    }
    var start = 0
    while true {
      let end = find(separator, in: text, from: start)
      if wanted == 0 { return text[start..<(end < 0 ? text.count : end)] }
      if end < 0 { return nil }
      start = end + separator.count
      wanted -= 1
    }
  }

  static func partCount(of text: ByteView, _ separator: ByteView) -> Int {
    var count = 1
    var start = 0
    while true {
      let end = find(separator, in: text, from: start)
      if end < 0 { return count }
      start = end + separator.count
      count += 1
    }
  }

  static func hasPart(_ part: ByteView, of text: ByteView, _ separator: ByteView) -> Bool {
    var start = 0
    while true {
      let end = find(separator, in: text, from: start)
      if text[start..<(end < 0 ? text.count : end)] == part { return true }
      if end < 0 { return false }
      start = end + separator.count
    }
  }
}

// Cookies and queries.
extension RuleText {
  /// The value of a cookie in one line (RFC 6265 §4.2.1).
  static func cookie(_ name: ByteView, in line: ByteView) -> ByteView? {
    var offset = 0
    while offset < line.count {
      while offset < line.count, ASCII.isWhitespace(line[offset]) { offset += 1 }
      let end = line.firstIndex(of: ASCII.semicolon, from: offset) ?? line.count
      if end - offset > name.count, line[offset + name.count] == ASCII.equals,
        line[offset..<offset + name.count] == name
      {
        return line[offset + name.count + 1..<end].trimmingWhitespace
      }
      offset = end + 1
    }
    return nil
  }

  /// The value of a parameter as it was sent; one without `=` is empty. Names may be encoded.
  static func parameter(_ name: ByteView, in query: ByteView) -> ByteView? {
    var offset = 0
    while offset < query.count {
      let end = query.firstIndex(of: 0x26, from: offset) ?? query.count
      let pair = query[offset..<end]
      let equals = pair.firstIndex(of: ASCII.equals) ?? pair.count
      if isSame(pair.prefix(equals), name) { return pair.dropping(first: equals + 1) }
      offset = end + 1
    }
    return nil
  }

  /// Whether an encoded name is `name`.
  private static func isSame(_ encoded: ByteView, _ name: ByteView) -> Bool {
    guard encoded.count >= name.count else { return false }
    if encoded.count == name.count && encoded == name { return true }
    var place = 0
    var index = 0
    while index < encoded.count {
      let (byte, length) = decode(encoded, index, plusIsSpace: true)
      guard place < name.count, name[place] == byte else { return false }
      place += 1
      index += length
    }
    return place == name.count
  }

  static func isEncoded(_ text: ByteView) -> Bool {
    text.firstIndex(of: 0x25) != nil || text.firstIndex(of: 0x2B) != nil
  }

  /// The byte that stands at a place, and how long its encoding is.
  @inline(__always)
  static func decode(
    _ text: ByteView, _ index: Int, plusIsSpace: Bool
  ) -> (byte: UInt8, length: Int) {
    let byte = text[index]
    if byte == 0x25, text.count - index >= 3, let high = ASCII.hexValue(text[index + 1]),
      let low = ASCII.hexValue(text[index + 2])
    {
      return (high << 4 | low, 3)
    }
    return (byte == 0x2B && plusIsSpace ? 0x20 : byte, 1)
  }

  /// Whether a text may be the value of a field (RFC 9110 §5.5).
  static func isFieldValue(_ text: ByteView) -> Bool {
    for index in 0..<text.count {
      let byte = text[index]
      if (byte < 0x20 && byte != ASCII.tab) || byte == 0x7F { return false }
    }
    return true
  }

  /// Whether a text is a path that leads nowhere else: it begins with one slash, and no segment is a dot
  /// or two for a server that decodes it, takes a backslash for a slash, or leaves parameters (RFC 3986
  /// §3.3) out.
  static func isPath(_ path: ByteView) -> Bool {
    guard path.count > 0, path[0] == ASCII.slash else { return false }
    var dots = 0
    var isOther = false
    var isCut = false
    var index = 0
    while index < path.count {
      let (byte, length) = decode(path, index, plusIsSpace: false)
      switch byte {
      case ASCII.slash, 0x5C:
        if !isOther && (dots == 1 || dots == 2) { return false }
        (dots, isOther, isCut) = (0, false, false)
      case ASCII.semicolon: isCut = true
      case 0x2E where !isCut: dots += 1
      default: if !isCut { isOther = true }
      }
      index += length
    }
    return isOther || (dots != 1 && dots != 2)
  }
}

// Texts in the scratch's room.
extension RuleScratch {
  /// What an encoding leaves as it is.
  enum Encoding {
    /// Unreserved characters (RFC 3986 §2.3).
    case component
    /// All that may stand in a path, escapes included.
    case path
    /// All that may stand in a query.
    case query
    /// All that may stand in a URI reference.
    case location
  }

  func append(_ text: ByteView, each change: (UInt8) -> UInt8) -> Bool {
    for index in 0..<text.count where !append(change(text[index])) { return false }
    return true
  }

  func appendDecoded(_ text: ByteView, plusIsSpace: Bool) -> Bool {
    var index = 0
    while index < text.count {
      let (byte, length) = RuleText.decode(text, index, plusIsSpace: plusIsSpace)
      guard append(byte) else { return false }
      index += length
    }
    return true
  }

  func appendReplacing(_ text: ByteView, _ part: ByteView, _ with: ByteView) -> Bool {
    guard !part.isEmpty else { return append(text) }
    var start = 0
    while true {
      let found = RuleText.find(part, in: text, from: start)
      if found < 0 { return append(text.dropping(first: start)) }
      guard append(text[start..<found]), append(with) else { return false }
      start = found + part.count
    }
  }

  /// A text in which what may not stand in a part of a URI is encoded; nil if there is no room.
  func encoded(_ text: ByteView, _ encoding: Encoding) -> ByteView? {
    let start = used
    for index in 0..<text.count {
      let byte = text[index]
      if Self.isLeft(byte, encoding) {
        guard append(byte) else { return nil }
      } else {
        guard append(0x25 as UInt8), append(Self.digit(byte >> 4)), append(Self.digit(byte & 0xF))
        else { return nil }
      }
    }
    return made(since: start)
  }

  private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x37 + value }

  private static func isLeft(_ byte: UInt8, _ encoding: Encoding) -> Bool {
    if (byte | 0x20) &- 0x61 < 26 || ASCII.isDigit(byte) { return true }
    switch byte {
    case 0x2D, 0x2E, 0x5F, 0x7E: return true  // - . _ ~
    case 0x21, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x2B, 0x2C, 0x2F, 0x3A, 0x3B, 0x3D, 0x40:
      // ! $ % & ' ( ) * + , / : ; = @
      if case .component = encoding { return false }
      return true
    case 0x3F:  // ?
      switch encoding {
      case .query, .location: return true
      case .path, .component: return false
      }
    case 0x23, 0x5B, 0x5D:  // # [ ]
      if case .location = encoding { return true }
      return false
    default: return false
    }
  }

  /// Appends what base64url, or base64, stands for; false if it stands for nothing, nil without room.
  func appendBase64(_ text: ByteView) -> Bool? {
    var count = text.count
    while count > 0, text.count - count < 2, text[count - 1] == ASCII.equals { count -= 1 }
    guard count % 4 != 1 else { return false }
    var bits: UInt32 = 0
    var filled: UInt32 = 0
    for index in 0..<count {
      guard let value = Self.sextet(text[index]) else { return false }
      bits = bits << 6 | UInt32(value)
      filled += 6
      if filled >= 8 {
        filled -= 8
        guard append(UInt8(truncatingIfNeeded: bits >> filled)) else { return nil }
      }
    }
    return true
  }

  private static func sextet(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x41...0x5A: byte - 0x41
    case 0x61...0x7A: byte - 0x61 + 26
    case 0x30...0x39: byte - 0x30 + 52
    case 0x2D, 0x2B: 62
    case 0x5F, 0x2F: 63
    default: nil
    }
  }
}
