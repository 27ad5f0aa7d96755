internal import Bytes

/// The hops of one line of Forwarded (RFC 7239 §4), read from the left and taken from the right. More
/// than 32 are not kept, and end the walk.
struct ForwardedElements {
  /// What an element's `for` says; nil if that is not an address, or there is none.
  struct Hop {
    var address: IPAddress?
  }

  private var hops: InlineArray<32, Hop> = .init(repeating: Hop())
  private var count = 0
  private var next = 0

  private var offset = 0
  /// Whether there were more.
  private(set) var isCut = false

  /// Takes the rightmost hop that has not been taken.
  mutating func popLast() -> Hop? {
    guard count > 0 else { return nil }
    count -= 1
    next = (next + 31) % 32
    return hops[next]
  }

  private mutating func push(_ hop: Hop) {
    hops[next] = hop
    next = (next + 1) % 32
    if count == 32 { isCut = true }
    count = min(count + 1, 32)
  }

  /// Reads a line; false if it is not of the grammar.
  mutating func read(_ line: ByteView) -> Bool {
    while true {
      skipBlanks(line)
      if offset < line.count, line[offset] == ASCII.comma {
        offset += 1  // An empty element of a list (RFC 9110 §5.6.1).
        continue
      }
      guard offset < line.count else { return true }
      guard let hop = element(line) else { return false }
      push(hop)
      skipBlanks(line)
      guard offset < line.count else { return true }
      guard line[offset] == ASCII.comma else { return false }
      offset += 1
    }
  }

  private mutating func skipBlanks(_ line: ByteView) {
    while offset < line.count, ForwardedPath.isBlank(line[offset]) { offset += 1 }
  }

  /// Pairs with semicolons between them; nil if malformed.
  private mutating func element(_ line: ByteView) -> Hop? {
    var hop = Hop()
    var hasFor = false
    while true {
      skipBlanks(line)
      if offset < line.count, ASCII.isTokenByte(line[offset]) {
        let name = token(line)
        guard offset < line.count, line[offset] == ASCII.equals else { return nil }
        offset += 1
        let isFor = name.equalsIgnoringCase(ByteView("for"))
        if isFor && hasFor { return nil }
        guard let node = value(line, isNode: isFor) else { return nil }
        if isFor { (hop, hasFor) = (node, true) }
      }
      skipBlanks(line)
      guard offset < line.count, line[offset] == ASCII.semicolon else { return hop }
      offset += 1
    }
  }

  private mutating func token(_ line: ByteView) -> ByteView {
    let start = offset
    while offset < line.count, ASCII.isTokenByte(line[offset]) { offset += 1 }
    return line[start..<offset]
  }

  /// A token or a quoted string; nil if malformed.
  private mutating func value(_ line: ByteView, isNode: Bool) -> Hop? {
    guard offset < line.count else { return nil }
    guard line[offset] == ASCII.quote else {
      let token = token(line)
      return token.isEmpty ? nil : isNode ? Hop(address: Self.address(token)) : Hop()
    }
    let start = offset + 1
    var at = start
    var hasEscapes = false
    while at < line.count, line[at] != ASCII.quote {
      if line[at] == ASCII.backslash {
        hasEscapes = true
        at += 1
        guard at < line.count else { return nil }
      }
      guard line[at] >= 0x20 || line[at] == ASCII.tab, line[at] != 0x7F else { return nil }
      at += 1
    }
    guard at < line.count else { return nil }
    offset = at + 1
    guard isNode else { return Hop() }
    // Nothing in an address needs to be escaped, but it may be.
    return Hop(
      address: hasEscapes ? Self.unescaped(line[start..<at]) : Self.address(line[start..<at]))
  }

  private static func unescaped(_ text: ByteView) -> IPAddress? {
    guard text.count <= 128 else { return nil }
    var bytes: [UInt8] = []
    var index = 0
    while index < text.count {
      if text[index] == ASCII.backslash { index += 1 }
      guard index < text.count else { return nil }
      bytes.append(text[index])
      index += 1
    }
    return bytes.withView { address($0) }
  }

  /// A node with an address (RFC 7239 §6); nil for `unknown`, an obfuscated one, and what is none.
  private static func address(_ node: ByteView) -> IPAddress? {
    guard !node.isEmpty else { return nil }
    if node[0] == UInt8(ascii: "[") {
      guard let close = node.firstIndex(of: UInt8(ascii: "]")),
        let address = IPAddress(node[1..<close]), IPAddress.ipv4(node[1..<close]) == nil,
        ForwardedPath.isPortOrNothing(node.dropping(first: close + 1), allowObfuscated: true)
      else { return nil }
      return address
    }
    let end = node.firstIndex(of: ASCII.colon) ?? node.count
    guard let four = IPAddress.ipv4(node[0..<end]),
      ForwardedPath.isPortOrNothing(node.dropping(first: end), allowObfuscated: true)
    else { return nil }
    return IPAddress(ipv4: four)
  }
}
