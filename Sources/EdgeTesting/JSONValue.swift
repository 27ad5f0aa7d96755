internal import FoundationEssentials

/// A JSON value, read with `value["key"]?.string` and the like.
package enum JSONValue: Sendable, Equatable, Decodable {
  /// `null`.
  case null
  /// `true` or `false`.
  case bool(Bool)
  /// A number.
  case number(Double)
  /// A string.
  case string(String)
  /// An array.
  case array([JSONValue])
  /// An object.
  case object([String: JSONValue])

  /// Reads whichever it is.
  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode([JSONValue].self) {
      self = .array(value)
    } else {
      self = .object(try container.decode([String: JSONValue].self))
    }
  }

  /// Reads a text.
  package init(parsing text: String) throws {
    self = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
  }

  /// The member of an object; nil if it is none or has none.
  package subscript(key: String) -> JSONValue? {
    if case .object(let members) = self { members[key] } else { nil }
  }
  /// The element of an array; nil if it is none or is shorter.
  package subscript(index: Int) -> JSONValue? {
    if case .array(let elements) = self, elements.indices.contains(index) {
      elements[index]
    } else {
      nil
    }
  }
  /// The string; nil if it is none.
  package var string: String? { if case .string(let value) = self { value } else { nil } }
  /// The number; nil if it is none.
  package var double: Double? { if case .number(let value) = self { value } else { nil } }
  /// The number, if it is a whole one.
  package var int: Int? { double.flatMap { Int(exactly: $0) } }
  /// The truth value; nil if it is none.
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  /// The elements; nil if it is no array.
  package var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  /// The members; nil if it is no object.
  package var object: [String: JSONValue]? {
    if case .object(let value) = self { value } else { nil }
  }
}
