/// What kind of value an expression has. Nothing is converted silently but inside of texts.
package enum RuleType: String, Sendable, Equatable {
  /// Bytes, mostly characters. One that is not there is empty, and only `exists` tells it apart.
  case text
  /// A whole number of 64 bits.
  case integer
  /// True or false.
  case boolean
  /// A time in nanoseconds.
  case duration
  /// An IP address.
  case address
  /// A range of addresses.
  case network
  /// A regular expression.
  case pattern
  /// What `split` gives: parts of a text.
  case parts
  /// A list in brackets, or one from a file.
  case list

  /// With an article, as a message says it.
  var described: String {
    switch self {
    case .text: "a text"
    case .integer: "a number"
    case .boolean: "true or false"
    case .duration: "a duration"
    case .address: "an address"
    case .network: "a network"
    case .pattern: "a regular expression"
    case .parts: "the parts of a text"
    case .list: "a list"
    }
  }

  /// Whether a variable can hold it.
  var isScalar: Bool {
    switch self {
    case .text, .integer, .boolean, .duration, .address: true
    case .network, .pattern, .parts, .list: false
    }
  }
}
