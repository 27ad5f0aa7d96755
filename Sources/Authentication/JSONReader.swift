// The reader that fills a `JSONDocument`; what it accepts is said there.

internal import Bytes

struct JSONReader {
  let source: ByteView
  let limits: JSONLimits
  private var at = 0
  private var depth = 0

  init(source: ByteView, limits: JSONLimits) {
    self.source = source
    self.limits = limits
  }

  private var next: UInt8? { at < source.count ? source[at] : nil }

  private mutating func skipSpace() {
    while at < source.count {
      switch source[at] {
      case ASCII.space, ASCII.tab, ASCII.cr, ASCII.lf: at += 1
      default: return
      }
    }
  }

  mutating func whole(
    _ text: inout ByteBuffer, _ nodes: inout [JSONNode]
  ) throws(JSONDefect) {
    skipSpace()
    try value(&text, &nodes)
    skipSpace()
    guard at == source.count else { throw .malformed }
  }

  private mutating func value(
    _ text: inout ByteBuffer, _ nodes: inout [JSONNode]
  ) throws(JSONDefect) {
    switch next {
    case 0x7B: try container(.object, &text, &nodes)
    case 0x5B: try container(.array, &text, &nodes)
    case ASCII.quote: try string(&text, &nodes)
    case 0x74: try word("true", .yes, &nodes)
    case 0x66: try word("false", .no, &nodes)
    case 0x6E: try word("null", .null, &nodes)
    default: try number(&nodes)
    }
  }

  private func add(_ node: JSONNode, _ nodes: inout [JSONNode]) throws(JSONDefect) {
    guard nodes.count < limits.nodes else { throw .tooLarge }
    var node = node
    node.end = UInt32(truncatingIfNeeded: nodes.count + 1)
    nodes.append(node)
  }

  private mutating func word(
    _ word: StaticString, _ kind: JSONKind, _ nodes: inout [JSONNode]
  ) throws(JSONDefect) {
    let word = ByteView(word)
    guard source.dropping(first: at).starts(with: word) else { throw .malformed }
    at += word.count
    try add(JSONNode(kind: kind), &nodes)
  }

  // MARK: Arrays and objects

  private mutating func container(
    _ kind: JSONKind, _ text: inout ByteBuffer, _ nodes: inout [JSONNode]
  ) throws(JSONDefect) {
    guard depth < limits.depth else { throw .tooLarge }
    depth += 1
    at += 1
    let node = nodes.count
    try add(JSONNode(kind: kind), &nodes)
    let close: UInt8 = kind == .object ? 0x7D : 0x5D
    skipSpace()
    var count = 0
    if next != close {
      while true {
        if kind == .object { try name(of: node, count, &text, &nodes) }
        try value(&text, &nodes)
        count += 1
        skipSpace()
        if next == close { break }
        guard next == ASCII.comma else { throw .malformed }
        at += 1
        skipSpace()
      }
    }
    at += 1
    depth -= 1
    nodes[node].count = UInt32(truncatingIfNeeded: count)
    nodes[node].end = UInt32(truncatingIfNeeded: nodes.count)
  }

  /// Reads a name and its colon, and compares it with all names before it.
  private mutating func name(
    of object: Int, _ count: Int, _ text: inout ByteBuffer, _ nodes: inout [JSONNode]
  ) throws(JSONDefect) {
    guard next == ASCII.quote else { throw .malformed }
    guard count < limits.members else { throw .tooLarge }
    let new = nodes.count
    try string(&text, &nodes)
    let name = view(nodes[new], text)
    var other = object + 1
    while other < new {
      if view(nodes[other], text) == name { throw .repeatedMember }
      other = Int(nodes[other + 1].end)
    }
    skipSpace()
    guard next == ASCII.colon else { throw .malformed }
    at += 1
    skipSpace()
  }

  private func view(_ node: JSONNode, _ text: borrowing ByteBuffer) -> ByteView {
    text.view[Int(node.start)..<Int(node.start) + Int(node.count)]
  }

  // MARK: Strings

  private mutating func string(
    _ text: inout ByteBuffer, _ nodes: inout [JSONNode]
  ) throws(JSONDefect) {
    at += 1
    let start = at
    while let byte = next {
      if byte == ASCII.quote {
        try add(node(.string, start, at - start), &nodes)
        at += 1
        return
      }
      guard byte >= 0x20 else { throw .malformed }
      if byte == ASCII.backslash {
        try escapedString(from: start, &text, &nodes)
        return
      }
      at += 1
    }
    throw .malformed
  }

  private func node(_ kind: JSONKind, _ start: Int, _ count: Int) -> JSONNode {
    JSONNode(
      kind: kind, start: UInt32(truncatingIfNeeded: start), count: UInt32(truncatingIfNeeded: count)
    )
  }

  /// Goes on with a string at its first escape: what it stands for is written behind the source.
  private mutating func escapedString(
    from start: Int, _ text: inout ByteBuffer, _ nodes: inout [JSONNode]
  ) throws(JSONDefect) {
    let written = text.count
    text.append(source[start..<at])
    while let byte = next {
      if byte == ASCII.quote {
        try add(node(.string, written, text.count - written), &nodes)
        at += 1
        return
      }
      guard byte >= 0x20 else { throw .malformed }
      if byte == ASCII.backslash {
        try escape(&text)
      } else {
        text.append(byte)
        at += 1
      }
    }
    throw .malformed
  }

  private mutating func escape(_ text: inout ByteBuffer) throws(JSONDefect) {
    at += 1
    guard let letter = next else { throw .malformed }
    at += 1
    switch letter {
    case ASCII.quote, ASCII.backslash, ASCII.slash: text.append(letter)
    case 0x62: text.append(0x08 as UInt8)
    case 0x66: text.append(0x0C as UInt8)
    case 0x6E: text.append(ASCII.lf)
    case 0x72: text.append(ASCII.cr)
    case 0x74: text.append(ASCII.tab)
    case 0x75:
      for byte in UTF8.encode(try scalar()) ?? UTF8.encodedReplacementCharacter {
        text.append(byte)
      }
    default: throw .malformed
    }
  }

  /// The scalar behind `\u`, with the second half of a pair if it needs one.
  private mutating func scalar() throws(JSONDefect) -> Unicode.Scalar {
    let first = try unit()
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard first < 0xDC00, next == ASCII.backslash, at + 1 < source.count, source[at + 1] == 0x75
    else { throw .notUTF8 }
    at += 2
    let second = try unit()
    guard second & 0xFC00 == 0xDC00,
      let scalar = Unicode.Scalar(
        0x10000 + (UInt32(first) & 0x3FF) << 10 + UInt32(second) & 0x3FF)
    else { throw .notUTF8 }
    return scalar
  }

  /// Four hexadecimal digits.
  private mutating func unit() throws(JSONDefect) -> UInt16 {
    var value: UInt16 = 0
    for _ in 0..<4 {
      guard let digit = next.flatMap(ASCII.hexValue) else { throw .malformed }
      value = value << 4 | UInt16(digit)
      at += 1
    }
    return value
  }

  // MARK: Numbers

  private mutating func number(_ nodes: inout [JSONNode]) throws(JSONDefect) {
    let start = at
    if next == 0x2D { at += 1 }
    if next == 0x30 {
      at += 1
    } else {
      try digits()
    }
    if next == 0x2E {
      at += 1
      try digits()
    }
    if let exponent = next, exponent | 0x20 == 0x65 {
      at += 1
      if next == 0x2B || next == 0x2D { at += 1 }
      try digits()
    }
    try add(node(.number, start, at - start), &nodes)
  }

  private mutating func digits() throws(JSONDefect) {
    guard let first = next, ASCII.isDigit(first) else { throw .malformed }
    while let byte = next, ASCII.isDigit(byte) { at += 1 }
  }
}
