// The tree of an expression, as it was written. Lists are n-ary (`a && b && c` is one node), so that the
// tree is never deeper than the parser lets it be.

struct Expression: Sendable {
  indirect enum Kind: Sendable {
    /// `"…${…}…"`
    case text([TextPart])
    case integer(Int64)
    /// Nanoseconds.
    case duration(Int64)
    case boolean(Bool)
    case address(IPAddress)
    case network(IPNetwork)
    /// A regular expression.
    case pattern([UInt8])
    case list([Expression])
    /// The request's data: `request.method`.
    case name(String)
    case variable(String)
    case call(String, RuleRange, [Expression])
    /// `split(…)[2]`; negative numbers count from the end.
    case index(Expression, Int)
    case not(Expression)
    case all([Expression])
    case any([Expression])
    case compare(Comparison, Expression, Expression)
    /// Reported already.
    case broken
  }

  var kind: Kind
  var range: RuleRange
}

/// A part of a text in quotes.
enum TextPart: Sendable {
  case literal([UInt8])
  case value(Expression)
}

/// What stands between two values that are compared.
enum Comparison: String, Sendable, CaseIterable {
  case equal = "=="
  case notEqual = "!="
  case less = "<"
  case lessOrEqual = "<="
  case greater = ">"
  case greaterOrEqual = ">="
  case isIn = "in"
  case matches
}

extension Expression {
  /// The bytes of a text without values in it; nil for anything else.
  var constantText: [UInt8]? {
    guard case .text(let parts) = kind else { return nil }
    var result: [UInt8] = []
    for part in parts {
      guard case .literal(let bytes) = part else { return nil }
      result += bytes
    }
    return result
  }

  /// The same as a string.
  var constantString: String? { constantText.map { String(decoding: $0, as: UTF8.self) } }

  /// A text that stands for this expression and for all that mean the same; empty for what is broken.
  var canonical: String {
    switch kind {
    case .text(let parts):
      return "\""
        + parts.map { part in
          switch part {
          case .literal(let bytes): bytes.map { String($0, radix: 16) }.joined(separator: ".")
          case .value(let value): "{\(value.canonical)}"
          }
        }.joined(separator: "+") + "\""
    case .integer(let value): return "\(value)"
    case .duration(let value): return "\(value)ns"
    case .boolean(let value): return "\(value)"
    case .address(let address): return "\(address.high):\(address.low)"
    case .network(let network): return "\(network.first.high):\(network.first.low)/\(network.bits)"
    case .pattern(let bytes): return "r\(bytes)"
    case .list(let items): return "[\(items.map(\.canonical).joined(separator: ","))]"
    case .name(let name): return DataName.canonical(name)
    case .variable(let name): return "$\(name)"
    case .call(let name, _, let arguments):
      if let data = DataName.called(name, arguments) { return data }
      return "\(name)(\(arguments.map(\.canonical).joined(separator: ",")))"
    case .index(let base, let index): return "\(base.canonical)[\(index)]"
    case .not(let inner): return "!(\(inner.canonical))"
    case .all(let terms): return "(\(terms.map(\.canonical).joined(separator: "&&")))"
    case .any(let terms): return "(\(terms.map(\.canonical).joined(separator: "||")))"
    case .compare(let comparison, let left, let right):
      return "(\(left.canonical)\(comparison.rawValue)\(right.canonical))"
    case .broken: return ""
    }
  }
}
