// The parsing algorithms of RFC 9651 §4.2, one function for each. A value that is spread over several
// field lines is to be joined with commas first (§4.2).

package import Bytes

/// Parses one value.
package struct StructuredFieldParser {
  /// The most members of a list or dictionary.
  package static var greatestMemberCount: Int { 1024 }
  /// The most items of an inner list, and the most parameters of an item.
  package static var greatestParameterCount: Int { 256 }

  private let bytes: ByteView
  private var position = 0

  private init(_ bytes: ByteView) { self.bytes = bytes }

  /// The members of a dictionary, each key once, where it first stood, with its last value (§4.2.2).
  package static func dictionary(
    _ value: ByteView
  ) throws(StructuredFieldError) -> [Keyed<Member>] {
    var parser = StructuredFieldParser(value)
    return try parser.dictionary()
  }

  /// The members of a list (§4.2.1).
  package static func list(_ value: ByteView) throws(StructuredFieldError) -> [Member] {
    var parser = StructuredFieldParser(value)
    return try parser.list()
  }

  /// An item (§4.2.3).
  package static func item(_ value: ByteView) throws(StructuredFieldError) -> Item {
    var parser = StructuredFieldParser(value)
    parser.skipSpaces()
    let item = try parser.item()
    parser.skipSpaces()
    guard parser.isAtEnd else { throw .syntax }
    return item
  }

  // MARK: Containers

  private mutating func dictionary() throws(StructuredFieldError) -> [Keyed<Member>] {
    var members: [Keyed<Member>] = []
    skipSpaces()
    while !isAtEnd {
      let key = try key()
      let member: Member
      if skip(ASCII.equals) {
        member = try self.member()
      } else {
        member = .item(Item(.boolean(true), parameters: try parameters()))
      }
      try Self.set(key, member, in: &members, limit: Self.greatestMemberCount)
      if try !hasMore() { break }
    }
    return members
  }

  private mutating func list() throws(StructuredFieldError) -> [Member] {
    var members: [Member] = []
    skipSpaces()
    while !isAtEnd {
      guard members.count < Self.greatestMemberCount else { throw .tooLong }
      members.append(try member())
      if try !hasMore() { break }
    }
    return members
  }

  /// Goes past the comma behind a member; false at the end.
  private mutating func hasMore() throws(StructuredFieldError) -> Bool {
    skipWhitespace()
    if isAtEnd { return false }
    guard skip(ASCII.comma) else { throw .syntax }
    skipWhitespace()
    if isAtEnd { throw .syntax }
    return true
  }

  private mutating func member() throws(StructuredFieldError) -> Member {
    guard peek == 0x28 else { return .item(try item()) }
    position += 1
    var items: [Item] = []
    while true {
      skipSpaces()
      if skip(0x29) { return .innerList(items, parameters: try parameters()) }
      guard items.count < Self.greatestParameterCount else { throw .tooLong }
      items.append(try item())
      guard peek == ASCII.space || peek == 0x29 else { throw .syntax }
    }
  }

  private mutating func item() throws(StructuredFieldError) -> Item {
    let bare = try bareItem()
    return Item(bare, parameters: try parameters())
  }

  private mutating func parameters() throws(StructuredFieldError) -> Parameters {
    var parameters: Parameters = []
    while skip(ASCII.semicolon) {
      skipSpaces()
      let key = try key()
      let value = skip(ASCII.equals) ? try bareItem() : .boolean(true)
      try Self.set(key, value, in: &parameters, limit: Self.greatestParameterCount)
    }
    return parameters
  }

  private mutating func key() throws(StructuredFieldError) -> [UInt8] {
    guard let first = peek, Self.isLowercase(first) || first == 0x2A else { throw .syntax }
    let start = position
    while let byte = peek, Self.isKeyByte(byte) { position += 1 }
    return bytes[start..<position].array
  }

  private static func set<Value>(
    _ key: [UInt8], _ value: Value, in members: inout [Keyed<Value>], limit: Int
  ) throws(StructuredFieldError) {
    if let index = members.firstIndex(where: { $0.key == key }) {
      members[index].value = value
      return
    }
    guard members.count < limit else { throw .tooLong }
    members.append(Keyed(key: key, value: value))
  }

  // MARK: Bare items

  private mutating func bareItem() throws(StructuredFieldError) -> BareItem {
    guard let first = peek else { throw .syntax }
    switch first {
    case 0x2D, 0x30...0x39: return try number()
    case ASCII.quote: return .string(try string())
    case 0x2A, 0x41...0x5A, 0x61...0x7A: return .token(token())
    case ASCII.colon: return .binary(try binary())
    case ASCII.question: return .boolean(try boolean())
    case 0x40: return .date(try date())
    case 0x25: return .displayString(try displayString())
    default: throw .syntax
    }
  }

  /// §4.2.4: at most 15 digits, or 12 and a point and 1 to 3.
  private mutating func number() throws(StructuredFieldError) -> BareItem {
    let isNegative = skip(0x2D)
    let (integer, digits) = self.digits(limit: 15)
    guard digits > 0 else { throw .syntax }
    if let byte = peek, ASCII.isDigit(byte) { throw .syntax }
    let sign: Int64 = isNegative ? -1 : 1
    guard peek == 0x2E else { return .integer(sign * integer) }
    guard digits <= 12 else { throw .syntax }
    position += 1
    let (fraction, places) = self.digits(limit: 3)
    guard places > 0 else { throw .syntax }
    if let byte = peek, ASCII.isDigit(byte) { throw .syntax }
    let unit: Int64 = places == 1 ? 100 : places == 2 ? 10 : 1
    return .decimal(thousandths: sign * (integer * 1000 + fraction * unit))
  }

  /// Reads up to `limit` digits, at most 15: no overflow.
  private mutating func digits(limit: Int) -> (value: Int64, count: Int) {
    var (value, count): (Int64, Int) = (0, 0)
    while count < limit, let byte = peek, ASCII.isDigit(byte) {
      value = value * 10 + Int64(byte &- 0x30)
      count += 1
      position += 1
    }
    return (value, count)
  }

  private mutating func string() throws(StructuredFieldError) -> [UInt8] {
    position += 1
    var text: [UInt8] = []
    while let byte = take() {
      switch byte {
      case ASCII.quote: return text
      case ASCII.backslash:
        guard let escaped = take(), escaped == ASCII.quote || escaped == ASCII.backslash else {
          throw .syntax
        }
        text.append(escaped)
      case 0x20...0x7E: text.append(byte)
      default: throw .syntax
      }
    }
    throw .syntax
  }

  private mutating func token() -> [UInt8] {
    let start = position
    while let byte = peek,
      ASCII.isTokenByte(byte) || byte == ASCII.colon || byte == ASCII.slash
    {
      position += 1
    }
    return bytes[start..<position].array
  }

  private mutating func boolean() throws(StructuredFieldError) -> Bool {
    position += 1
    switch take() {
    case 0x30: return false
    case 0x31: return true
    default: throw .syntax
    }
  }

  private mutating func date() throws(StructuredFieldError) -> Int64 {
    position += 1
    guard peek == 0x2D || peek.map({ ASCII.isDigit($0) }) == true,
      case .integer(let seconds) = try number()
    else { throw .syntax }
    return seconds
  }

  private mutating func binary() throws(StructuredFieldError) -> [UInt8] {
    position += 1
    let start = position
    guard let end = bytes.firstIndex(of: ASCII.colon, from: start) else { throw .syntax }
    position = end + 1
    guard let decoded = Base64.decode(bytes[start..<end]) else { throw .syntax }
    return decoded
  }

  /// §4.2.10: printable ASCII, and UTF-8 in lower-case percent-escapes.
  private mutating func displayString() throws(StructuredFieldError) -> [UInt8] {
    position += 1
    guard skip(ASCII.quote) else { throw .syntax }
    var text: [UInt8] = []
    while let byte = take() {
      switch byte {
      case ASCII.quote:
        guard String(validating: text, as: UTF8.self) != nil else { throw .syntax }
        return text
      case 0x25:
        guard let high = lowercaseHexDigit(), let low = lowercaseHexDigit() else { throw .syntax }
        text.append(high << 4 | low)
      case 0x20...0x7E: text.append(byte)
      default: throw .syntax
      }
    }
    throw .syntax
  }

  private mutating func lowercaseHexDigit() -> UInt8? {
    guard let byte = take(), !(0x41...0x5A).contains(byte) else { return nil }
    return ASCII.hexValue(byte)
  }

  // MARK: Bytes

  private var isAtEnd: Bool { position >= bytes.count }
  private var peek: UInt8? { isAtEnd ? nil : bytes[position] }

  private mutating func take() -> UInt8? {
    guard !isAtEnd else { return nil }
    position += 1
    return bytes[position - 1]
  }

  private mutating func skip(_ byte: UInt8) -> Bool {
    guard peek == byte else { return false }
    position += 1
    return true
  }

  private mutating func skipSpaces() {
    while peek == ASCII.space { position += 1 }
  }

  private mutating func skipWhitespace() {
    while peek == ASCII.space || peek == ASCII.tab { position += 1 }
  }

  private static func isLowercase(_ byte: UInt8) -> Bool { byte &- 0x61 < 26 }

  private static func isKeyByte(_ byte: UInt8) -> Bool {
    isLowercase(byte) || ASCII.isDigit(byte) || byte == 0x5F || byte == 0x2D || byte == 0x2E
      || byte == 0x2A
  }
}
