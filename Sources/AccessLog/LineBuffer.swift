internal import Bytes
internal import CLinux

/// Lines of JSON on their way to the file: memory of a fixed size, with room made before each line.
///
/// Each `append` checks once that its text fits, escaped in the worst way, and then writes without
/// further checks: formatting a line takes the log's thread less time than the worker's request did.
@safe
struct LineBuffer: ~Copyable {
  private let bytes: UnsafeMutablePointer<UInt8>
  let capacity: Int
  /// How many bytes there are.
  private(set) var count = 0

  init(capacity: Int) {
    self.capacity = capacity
    unsafe bytes = .allocate(capacity: capacity)
    unsafe bytes.initialize(repeating: 0, count: capacity)
  }

  deinit { unsafe bytes.deallocate() }

  /// Everything so far; good until the next change.
  var view: ByteView { unsafe ByteView(unsafeStart: UnsafeRawPointer(bytes), count: count) }

  mutating func removeAll() { count = 0 }

  /// Removes one byte that there is.
  mutating func remove(at index: Int) {
    precondition(index >= 0 && index < count, "no such byte")
    unsafe memmove(bytes + index, bytes + index + 1, count &- index &- 1)
    count &-= 1
  }

  /// A literal that needs no escaping.
  @inline(__always)
  mutating func append(_ literal: StaticString) {
    let length = literal.utf8CodeUnitCount
    checkRoom(length)
    unsafe memcpy(bytes + count, literal.utf8Start, length)
    count &+= length
  }

  /// Bytes that need no escaping.
  @inline(__always)
  mutating func append(_ view: ByteView) {
    checkRoom(view.count)
    unsafe memcpy(bytes + count, view.baseAddress, view.count)
    count &+= view.count
  }

  /// One byte that needs no escaping.
  @inline(__always)
  mutating func append(_ byte: UInt8) {
    checkRoom(1)
    put(byte)
  }

  /// A number in decimal.
  @inline(__always)
  mutating func append(decimal value: UInt64) {
    checkRoom(20)
    var length = 1
    var bound: UInt64 = 10
    while value >= bound && length < 20 {
      length &+= 1
      let (next, overflow) = bound.multipliedReportingOverflow(by: 10)
      bound = overflow ? .max : next
    }
    var rest = value
    var place = count &+ length
    repeat {
      place &-= 1
      let digit = UInt8(truncatingIfNeeded: rest % 10)
      unsafe bytes[place] = 0x30 &+ digit
      rest /= 10
    } while place > count
    count &+= length
  }

  /// A number in decimal with leading zeros, `digits` long.
  @inline(__always)
  mutating func append(_ value: Int, digits: Int) {
    checkRoom(digits)
    var rest = value
    for place in stride(from: count + digits - 1, through: count, by: -1) {
      unsafe bytes[place] = 0x30 &+ UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    }
    count &+= digits
  }

  /// Text from outside, as the inside of a JSON string (RFC 8259 §7).
  ///
  /// Control characters (C1 and DEL too, which terminals obey), quotes and backslashes are escaped;
  /// what is not UTF-8 becomes \ufffd, one for each byte.
  mutating func append(escaping text: ByteView) {
    checkRoom(text.count &* 6 &+ 8)
    var index = appendPlain(text, from: 0)
    while index < text.count {
      index &+= appendSpecial(text[index], text, index)
      index = appendPlain(text, from: index)
    }
  }

  /// Text from outside between quotes, as Apache and nginx have it: what is not printable ASCII, a
  /// quote and a backslash become \xHH.
  mutating func append(quoting text: ByteView) {
    checkRoom(text.count &* 4 &+ 8)
    var index = appendPlain(text, from: 0)
    while index < text.count {
      put(ASCII.backslash)
      put(0x78)
      append(upperHexDigit: text[index] &>> 4)
      append(upperHexDigit: text[index] & 0xF)
      index = appendPlain(text, from: index &+ 1)
    }
  }

  /// Copies bytes that need no escaping, from `start` on; returns where one does, or the end. There is
  /// room for all of them, and for eight more.
  @inline(__always)
  private mutating func appendPlain(_ text: ByteView, from start: Int) -> Int {
    let source = unsafe text.baseAddress
    var index = start
    while index < text.count {
      if text.count &- index >= 8 {
        let word = unsafe source.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        if !Self.hasSpecial(word) {
          unsafe UnsafeMutableRawPointer(bytes + count).storeBytes(of: word, as: UInt64.self)
          index &+= 8
          count &+= 8
          continue
        }
      }
      let byte = unsafe source.load(fromByteOffset: index, as: UInt8.self)
      if Self.isSpecial(byte) { return index }
      put(byte)
      index &+= 1
    }
    return index
  }

  /// Whether one of eight bytes is below 0x20, above 0x7E, a quote or a backslash.
  @inline(__always)
  private static func hasSpecial(_ word: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let tops: UInt64 = 0x8080_8080_8080_8080
    // Where all bytes are below 0x80 no carry passes from one to the next; where one is not, the
    // answer is yes anyway.
    let low = ~(word &+ ones &* 0x60)
    let quote = (word ^ ones &* 0x22) &- ones
    let backslash = (word ^ ones &* 0x5C) &- ones
    let delete = word &+ ones
    return (low | quote | backslash | delete | word) & tops != 0
  }

  @inline(__always)
  private static func isSpecial(_ byte: UInt8) -> Bool {
    byte < 0x20 || byte >= 0x7F || byte == ASCII.quote || byte == ASCII.backslash
  }

  /// Writes a special byte, or the character that it begins; returns how many bytes that took.
  @inline(never)
  private mutating func appendSpecial(_ byte: UInt8, _ text: ByteView, _ index: Int) -> Int {
    switch byte {
    case ASCII.quote, ASCII.backslash:
      put(ASCII.backslash)
      put(byte)
      return 1
    case 0x0A: appendEscape(0x6E)
    case 0x0D: appendEscape(0x72)
    case 0x09: appendEscape(0x74)
    case 0..<0x20, 0x7F: appendEscape(code: byte)
    default:
      let length = UTF8Sequence.length(text, index)
      if length == 0 {
        append("\\ufffd")
        return 1
      }
      if byte == 0xC2 && text[index &+ 1] < 0xA0 {
        appendEscape(code: text[index &+ 1])
      } else {
        for offset in 0..<length { put(text[index &+ offset]) }
      }
      return length
    }
    return 1
  }

  private mutating func appendEscape(_ letter: UInt8) {
    put(ASCII.backslash)
    put(letter)
  }

  private mutating func appendEscape(code: UInt8) {
    append("\\u00")
    append(hexDigit: code &>> 4)
    append(hexDigit: code & 0xF)
  }

  private mutating func append(hexDigit digit: UInt8) {
    append(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit)
  }

  private mutating func append(upperHexDigit digit: UInt8) {
    append(digit < 10 ? 0x30 &+ digit : 0x37 &+ digit)
  }

  /// A number in lower-case hexadecimal without leading zeros.
  mutating func append(hexadecimal value: UInt16) {
    var started = false
    for shift in [12, 8, 4, 0] as [UInt16] {
      let digit = UInt8(truncatingIfNeeded: value &>> shift & 0xF)
      if digit == 0 && !started && shift > 0 { continue }
      started = true
      append(hexDigit: digit)
    }
  }

  /// Writes a byte for which there is room.
  @inline(__always)
  private mutating func put(_ byte: UInt8) {
    unsafe bytes[count] = byte
    count &+= 1
  }

  @inline(__always)
  private func checkRoom(_ length: Int) {
    precondition(capacity &- count >= length, "a line is longer than the room made for it")
  }
}

/// Well-formed UTF-8 (Unicode, table 3-7).
enum UTF8Sequence {
  /// How many bytes the character at `index` has, of two or more; 0 if none begins there.
  static func length(_ text: ByteView, _ index: Int) -> Int {
    let first = text[index]
    let left = text.count &- index
    func continues(_ offset: Int, from low: UInt8 = 0x80, through high: UInt8 = 0xBF) -> Bool {
      let byte = text[index &+ offset]
      return byte >= low && byte <= high
    }
    switch first {
    case 0xC2...0xDF: return left >= 2 && continues(1) ? 2 : 0
    case 0xE0...0xEF:
      let low: UInt8 = first == 0xE0 ? 0xA0 : 0x80
      let high: UInt8 = first == 0xED ? 0x9F : 0xBF
      return left >= 3 && continues(1, from: low, through: high) && continues(2) ? 3 : 0
    case 0xF0...0xF4:
      let low: UInt8 = first == 0xF0 ? 0x90 : 0x80
      let high: UInt8 = first == 0xF4 ? 0x8F : 0xBF
      return left >= 4 && continues(1, from: low, through: high) && continues(2) && continues(3)
        ? 4 : 0
    default: return 0
    }
  }
}
