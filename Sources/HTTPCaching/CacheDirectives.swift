// The grammar of Cache-Control (RFC 9111 §5.2), and of what shares it:
//
//     Cache-Control = #( token [ "=" ( token / quoted-string ) ] )
//
// A quoted string begins only right after the equals sign; a quote anywhere else is a stray byte and
// hides nothing. What does not fit the grammar ends at the next comma and makes its directive's
// argument malformed, so that a directive which restricts is honoured even so.

internal import Bytes
internal import HTTPMessage

/// One directive of a Cache-Control field.
struct CacheDirective {
  /// What stands behind its name.
  enum Argument {
    /// Nothing.
    case none
    /// A token.
    case token(ByteView)
    /// What is between the quotes, escapes not resolved.
    case quoted(ByteView)
    /// Something that the grammar does not allow.
    case malformed

    /// Whether there is no argument.
    var isNone: Bool { if case .none = self { true } else { false } }

    /// The argument as delta-seconds, in milliseconds; nil if it is none (RFC 9111 §1.2.2, §5.2:
    /// both the token and the quoted form are read).
    var deltaSeconds: Int64? {
      switch self {
      case .token(let text), .quoted(let text): DeltaSeconds.milliseconds(text)
      case .none, .malformed: nil
      }
    }

    /// The argument if it is a list of one or more field names.
    var fieldNames: ByteView? {
      switch self {
      case .none, .malformed: return nil
      case .token(let text): return text
      case .quoted(let text):
        var names = ListElements(ofTokens: text)
        var count = 0
        while let name = names.next() {
          guard name.isToken else { return nil }
          count += 1
        }
        return count > 0 ? text : nil
      }
    }
  }

  /// Its name, in the case it was sent in.
  let name: ByteView
  /// Its argument.
  let argument: Argument

  /// Whether it has that name, given in lower case.
  @inline(__always)
  func `is`(_ literal: StaticString) -> Bool { name.equalsIgnoringCase(ByteView(literal)) }
}

/// Seconds as HTTP writes them.
enum DeltaSeconds {
  /// The greatest number of seconds: 2³¹ (RFC 9111 §1.2.2).
  static var greatest: Int64 { 2_147_483_648 }

  /// The value in milliseconds, at most `greatest` seconds; nil unless all bytes are digits.
  static func milliseconds(_ text: ByteView) -> Int64? {
    guard !text.isEmpty else { return nil }
    var value: Int64 = 0
    for index in 0..<text.count {
      guard ASCII.isDigit(text[index]) else { return nil }
      value = min(value * 10 + Int64(text[index] &- 0x30), greatest)
    }
    return value * 1000
  }
}

/// The directives of one field line, in order.
struct CacheDirectives {
  private let value: ByteView
  private var position = 0
  /// Whether a quoted string had no end, so that directives may be hidden in it.
  private(set) var isUnterminated = false

  init(_ value: ByteView) { self.value = value }

  /// The next directive, or nil at the end. Elements without a name are skipped.
  mutating func next() -> CacheDirective? {
    while true {
      skip { $0 == ASCII.comma || $0 == ASCII.space || $0 == ASCII.tab }
      guard position < value.count else { return nil }
      let start = position
      skip(ASCII.isTokenByte)
      let name = value[start..<position]
      let argument = argument()
      if !name.isEmpty { return CacheDirective(name: name, argument: argument) }
    }
  }

  private mutating func argument() -> CacheDirective.Argument {
    guard position < value.count, value[position] == ASCII.equals else { return end(.none) }
    position += 1
    if position < value.count, value[position] == ASCII.quote { return quoted() }
    let start = position
    skip(ASCII.isTokenByte)
    return end(start == position ? .malformed : .token(value[start..<position]))
  }

  private mutating func quoted() -> CacheDirective.Argument {
    let start = position + 1
    position = start
    while position < value.count, value[position] != ASCII.quote {
      position += value[position] == ASCII.backslash ? 2 : 1
    }
    guard position < value.count else {
      position = value.count
      isUnterminated = true
      return .malformed
    }
    position += 1
    return end(.quoted(value[start..<position - 1]))
  }

  /// Goes to the end of the element; anything but whitespace on the way spoils the argument.
  private mutating func end(_ argument: CacheDirective.Argument) -> CacheDirective.Argument {
    skip { $0 == ASCII.space || $0 == ASCII.tab }
    guard position < value.count, value[position] != ASCII.comma else { return argument }
    skip { $0 != ASCII.comma }
    return .malformed
  }

  @inline(__always)
  private mutating func skip(_ isSkipped: (UInt8) -> Bool) {
    while position < value.count, isSkipped(value[position]) { position += 1 }
  }
}
