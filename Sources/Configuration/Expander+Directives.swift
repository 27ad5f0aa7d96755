// What a configuration says of its own text: conditions, values and what stands for them (see Expander.swift).

internal import Rules

extension Expander {
  /// An argument of a directive: its text without quotes, with values in it.
  struct Argument {
    var text: String
    var range: SourceRange
  }

  /// Does what the directive that begins here says; false, and nothing is passed, if it is none of ours.
  mutating func directive() -> Bool {
    var index = offset
    while index < end, 0x61...0x7A ~= bytes[index] { index += 1 }
    guard index < end, bytes[index] == 0x20 || bytes[index] == 0x09 else { return false }
    let start = offset
    switch bytes[offset..<index] {
    case [UInt8]("include".utf8)[...]:
      guard mode != .skip else { return false }
      copy(to: start)
      offset = index
      include(from: start)
    case [UInt8]("snippet".utf8)[...]:
      guard mode != .skip else { return false }
      copy(to: start)
      offset = index
      snippet(from: start)
    case [UInt8]("use".utf8)[...]:
      guard mode != .skip else { return false }
      copy(to: start)
      offset = index
      useSnippet(from: start)
    default: return false
    }
    copied = max(copied, offset)
    expansion.isPlain = false
    return true
  }

  mutating func skipSpace() {
    while offset < end, bytes[offset] <= 0x20 { offset += 1 }
  }

  /// An argument up to white space, `;` or one of `stops`; nil if there is none.
  mutating func argument(stops: String = "") -> Argument? {
    skipSpace()
    let start = offset
    let former = (expansion.text.count, expansion.segments.count)
    copied = offset
    takesArgument = true
    defer { takesArgument = false }
    if byte(offset) == 0x22 {
      string(substitutes: true, depth: 0)
    } else {
      while offset < end, !Self.endsWord(bytes[offset]), !stops.utf8.contains(bytes[offset]) {
        if bytes[offset] == 0x24, byte(offset + 1) == 0x7B, substitution(.word(mayBeQuoted: false))
        {
          continue
        }
        offset += 1
      }
    }
    guard offset > start else { return nil }
    copy(to: offset)
    var text = Array(expansion.text[former.0...])
    expansion.text.removeSubrange(former.0...)
    expansion.segments.removeSubrange(former.1...)
    if text.first == 0x22 { text = Self.unquoted(text) }
    return Argument(text: String(decoding: text, as: UTF8.self), range: range(start, offset))
  }

  static func unquoted(_ text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    var isEscaped = false
    for byte in text.dropFirst().dropLast() {
      if !isEscaped && byte == 0x5C {
        isEscaped = true
        continue
      }
      result.append(isEscaped ? [0x6E: 0x0A, 0x72: 0x0D, 0x74: 0x09][byte] ?? byte : byte)
      isEscaped = false
    }
    return result
  }

  /// Passes the `;` of a directive, and reports it if it is missing.
  mutating func passEnd(of name: String) {
    let place = offset
    skipSpace()
    if byte(offset) == UInt8(ascii: ";") {
      offset += 1
      return
    }
    error(
      "\";\" is missing at the end of \"\(name)\"", at: range(place, place), help: "expected \";\"")
    offset = place
  }

  /// Reads something else and comes back.
  mutating func within(
    _ range: SourceRange, _ body: (inout Expander) -> Void
  ) {
    let here = (source, offset, end)
    begin(range)
    body(&self)
    copy(to: offset)
    (source, offset, end) = here
    copied = offset
  }
}
