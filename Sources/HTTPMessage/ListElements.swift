// Comma-separated lists (RFC 9110 §5.6.1), as recipients must read them: empty elements are skipped,
// optional whitespace around elements is not part of them, a comma inside a quoted string separates
// nothing. A quoted string that does not end takes the rest of the value with it.

package import Bytes

extension ASCII {
  /// Whether the byte is optional whitespace: a space or a tab (RFC 9110 §5.6.3).
  @inline(__always)
  package static func isWhitespace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}

extension ByteView {
  /// The view without the optional whitespace at its ends (RFC 9110 §5.6.3).
  package var trimmingWhitespace: ByteView {
    var start = 0
    var end = count
    while start < end, ASCII.isWhitespace(self[start]) { start += 1 }
    while end > start, ASCII.isWhitespace(self[end - 1]) { end -= 1 }
    return self[start..<end]
  }

  /// Whether the view is a token (RFC 9110 §5.6.2).
  package var isToken: Bool {
    for index in 0..<count where !ASCII.isTokenByte(self[index]) { return false }
    return count > 0
  }
}

/// The elements of a field value that is a comma-separated list.
///
///     for element in ListElements(value) { … }
package struct ListElements: Sequence, IteratorProtocol {
  private let value: ByteView
  private let hasQuotedStrings: Bool
  private var offset = 0

  /// The elements of `value`, the value of one field line.
  package init(_ value: ByteView) {
    self.value = value
    hasQuotedStrings = true
  }

  /// The elements of a list whose elements are tokens: every comma separates, and a stray quote hides
  /// nothing that follows it.
  package init(ofTokens value: ByteView) {
    self.value = value
    hasQuotedStrings = false
  }

  /// The next element that is not empty, without whitespace around it; nil at the end.
  package mutating func next() -> ByteView? {
    while offset < value.count {
      let start = offset
      let end = elementEnd()
      offset = end + 1  // Behind the comma; at most one past the end.
      let element = value[start..<end].trimmingWhitespace
      if !element.isEmpty { return element }
    }
    return nil
  }

  /// Where the element that begins at `offset` ends: at a comma or with the value.
  private func elementEnd() -> Int {
    if !hasQuotedStrings { return value.firstIndex(of: ASCII.comma, from: offset) ?? value.count }
    var at = offset
    var quoted = false
    while at < value.count {
      switch value[at] {
      case ASCII.comma where !quoted: return at
      case ASCII.quote: quoted.toggle()
      case ASCII.backslash where quoted: at += 1
      default: break
      }
      at += 1
    }
    return value.count
  }
}

extension FieldTable {
  /// Whether any line of a known list-valued field has `element`, given in lower case, in any case.
  package func hasElement(
    _ element: StaticString, of field: KnownField, in bytes: ByteView
  ) -> Bool {
    let wanted = ByteView(element)
    var next = first(field)
    while let index = next {
      for found in ListElements(self[index].value(in: bytes)) where found.count == wanted.count {
        if found.equalsIgnoringCase(wanted) { return true }
      }
      next = self.next(field, after: index)
    }
    return false
  }
}
