// JSON as it is written (RFC 8259). By hand, because members must keep their order (answers that do not
// jump about can be read and compared), and because tags are names there: two tags with other bytes
// are two tags, where a Dictionary of strings would take "é" and "e" with an accent for one.

internal import Bytes

/// A JSON text.
struct JSONText: Sendable, Equatable {
  /// The text.
  let text: String

  private init(_ text: String) { self.text = text }

  /// `null`.
  static let null = JSONText("null")

  /// A whole number.
  static func number(_ value: UInt64) -> JSONText { JSONText(String(value)) }

  /// A number of thousandths: 1500 is 1.500.
  static func thousandths(_ value: UInt64) -> JSONText {
    let rest = String(value % 1000)
    return JSONText(
      "\(value / 1000)." + String(repeating: "0", count: 3 - rest.utf8.count) + rest)
  }

  /// A text that is JSON already.
  static func verbatim(_ text: String) -> JSONText { JSONText(text) }

  /// `true` or `false`.
  static func bool(_ value: Bool) -> JSONText { JSONText(value ? "true" : "false") }

  /// An object with its members in order.
  static func object(_ members: [(name: String, value: JSONText)]) -> JSONText {
    let lines = members.map { "\(string($0.name).text): \($0.value.text)" }
    return JSONText("{" + lines.joined(separator: ", ") + "}")
  }

  /// An array.
  static func array(_ elements: [JSONText]) -> JSONText {
    JSONText("[" + elements.map(\.text).joined(separator: ", ") + "]")
  }

  /// A string.
  static func string(_ value: String) -> JSONText { JSONText(JSONString.quoted(value)) }
}
