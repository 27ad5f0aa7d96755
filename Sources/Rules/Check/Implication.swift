// What follows from what, as far as it can be seen without trying: enough to find rules that never run,
// and never wrong (what is said to follow does follow). Costs the product of the two sizes.

internal import Bytes

extension Expression {
  /// Whether this can only be true where `other` is.
  func implies(_ other: Expression) -> Bool {
    if !canonical.isEmpty && canonical == other.canonical { return true }
    switch (kind, other.kind) {
    case (.any(let terms), _): return terms.allSatisfy { $0.implies(other) }
    case (_, .any(let terms)) where terms.contains(where: { self.implies($0) }): return true
    case (_, .all(let terms)): return terms.allSatisfy { self.implies($0) }
    case (.all(let terms), _): return terms.contains { $0.implies(other) }
    default: return isNarrower(than: other)
    }
  }

  /// The same for two conditions without `&&` and `||`.
  private func isNarrower(than other: Expression) -> Bool {
    guard let mine = Fact(self), let theirs = Fact(other), mine.subject == theirs.subject else {
      return false
    }
    switch (mine.kind, theirs.kind) {
    case (.among(let values), .among(let wider)): return Set(wider).isSuperset(of: values)
    case (.among(let values), .prefix(let prefix)):
      return values.allSatisfy { $0.starts(with: prefix) }
    case (.among(let values), .suffix(let suffix)):
      return values.allSatisfy { $0.reversed().starts(with: suffix.reversed()) }
    case (.among(let values), .differs(let other)): return !values.contains(other)
    case (.prefix(let longer), .prefix(let shorter)): return longer.starts(with: shorter)
    case (.suffix(let longer), .suffix(let shorter)):
      return longer.reversed().starts(with: shorter.reversed())
    case (.networks(let inner), .networks(let outer)):
      return inner.allSatisfy { one in
        outer.contains { $0.contains(one.first) && $0.contains(one.last) }
      }
    default: return false
    }
  }

  /// What this says if a name of the request's data has a value; nil if that is not all it asks.
  func holds(path: [UInt8]) -> Bool? {
    switch kind {
    case .boolean(let value): return value
    case .not(let inner): return inner.holds(path: path).map { !$0 }
    case .all(let terms):
      let values = terms.map { $0.holds(path: path) }
      if values.contains(false) { return false }
      return values.contains { $0 == nil } ? nil : true
    case .any(let terms):
      let values = terms.map { $0.holds(path: path) }
      if values.contains(true) { return true }
      return values.contains { $0 == nil } ? nil : false
    default:
      guard let fact = Fact(self), fact.subject == "path" else { return nil }
      switch fact.kind {
      case .among(let values): return values.contains(path)
      case .differs(let value): return value != path
      case .prefix(let prefix): return path.starts(with: prefix)
      case .suffix(let suffix): return path.reversed().starts(with: suffix.reversed())
      case .glob(let pattern):
        return path.withView { text in pattern.withView { Glob.matches(text, $0) } }
      case .networks: return nil
      }
    }
  }

  /// All names and variables in it, in canonical form.
  var subjects: Set<String> {
    var result: Set<String> = []
    collect(into: &result)
    return result
  }

  private func collect(into result: inout Set<String>) {
    switch kind {
    case .name, .variable: result.insert(canonical)
    case .text(let parts):
      for case .value(let value) in parts { value.collect(into: &result) }
    case .list(let items), .all(let items), .any(let items):
      for item in items { item.collect(into: &result) }
    case .call(let name, _, let arguments):
      if let data = DataName.called(name, arguments) {
        result.insert(data)
      } else {
        for argument in arguments { argument.collect(into: &result) }
      }
    case .index(let base, _): base.collect(into: &result)
    case .not(let inner): inner.collect(into: &result)
    case .compare(_, let left, let right):
      left.collect(into: &result)
      right.collect(into: &result)
    case .integer, .duration, .boolean, .address, .network, .pattern, .broken: break
    }
  }

  /// What it is whatever the request: nil if that depends on the request.
  var constantCondition: Bool? {
    switch kind {
    case .boolean(let value): return value
    case .not(let inner): return inner.constantCondition.map { !$0 }
    case .all(let terms):
      let values = terms.map(\.constantCondition)
      if values.contains(false) || isContradiction(terms) { return false }
      return values.allSatisfy { $0 == true } ? true : nil
    case .any(let terms):
      let values = terms.map(\.constantCondition)
      if values.contains(true) { return true }
      return values.allSatisfy { $0 == false } ? false : nil
    case .compare(let comparison, let left, let right):
      return Self.constant(comparison, left, right)
    case .call("percent", _, let arguments) where arguments.count >= 2:
      guard case .integer(let share) = arguments[1].kind else { return nil }
      return share == 0 ? false : share == 100 ? true : nil
    default: return nil
    }
  }

  private static func constant(
    _ comparison: Comparison, _ left: Expression, _ right: Expression
  ) -> Bool? {
    switch (comparison, left.kind, right.kind) {
    case (.less, .integer(let a), .integer(let b)): return a < b
    case (.lessOrEqual, .integer(let a), .integer(let b)): return a <= b
    case (.greater, .integer(let a), .integer(let b)): return a > b
    case (.greaterOrEqual, .integer(let a), .integer(let b)): return a >= b
    case (.isIn, _, .list(let items)):
      if items.isEmpty { return false }
      guard left.isLiteral else { return nil }
      return items.contains { $0.canonical == left.canonical }
    case (.equal, _, _), (.notEqual, _, _):
      let isSame = left.canonical == right.canonical && !left.canonical.isEmpty
      if isSame { return comparison == .equal }
      return left.isLiteral && right.isLiteral ? comparison == .notEqual : nil
    default: return nil
    }
  }

  private var isLiteral: Bool {
    switch kind {
    case .integer, .duration, .boolean, .address: true
    default: constantText != nil
    }
  }

  /// Whether two of the terms exclude each other.
  private func isContradiction(_ terms: [Expression]) -> Bool {
    let facts = terms.prefix(32).compactMap { Fact($0) }
    for (index, fact) in facts.enumerated() {
      for other in facts[..<index] where other.subject == fact.subject {
        if fact.excludes(other) || other.excludes(fact) { return true }
      }
    }
    for case .not(let inner) in terms.map(\.kind) {
      if terms.contains(where: { $0.canonical == inner.canonical && !inner.canonical.isEmpty }) {
        return true
      }
    }
    return false
  }
}

/// What a simple condition says about one subject.
private struct Fact {
  enum Kind {
    case among([[UInt8]])
    case differs([UInt8])
    case prefix([UInt8])
    case suffix([UInt8])
    case glob([UInt8])
    case networks([IPNetwork])
  }

  var subject: String
  var kind: Kind

  /// The most values of a list that are compared.
  private static let most = 256

  init?(_ condition: Expression) {
    switch condition.kind {
    case .compare(.equal, let left, let right): self.init(left, equals: right)
    case .compare(.notEqual, let left, let right):
      guard let text = right.constantText else { return nil }
      self.init(left, .differs(text))
    case .compare(.isIn, let left, let right):
      if case .network(let network) = right.kind {
        self.init(left, .networks([network]))
        return
      }
      guard case .list(let items) = right.kind, items.count <= Self.most else { return nil }
      let texts = items.compactMap(\.constantText)
      let networks = items.compactMap(\.constantNetwork)
      if texts.count == items.count {
        self.init(left, .among(texts))
      } else if networks.count == items.count {
        self.init(left, .networks(networks))
      } else {
        return nil
      }
    case .compare(.matches, let left, let right):
      guard let text = right.constantText else { return nil }
      self.init(left, .glob(text))
    case .call("starts_with", _, let arguments) where arguments.count == 2:
      guard let text = arguments[1].constantText else { return nil }
      self.init(arguments[0], .prefix(text))
    case .call("ends_with", _, let arguments) where arguments.count == 2:
      guard let text = arguments[1].constantText else { return nil }
      self.init(arguments[0], .suffix(text))
    default: return nil
    }
  }

  private init?(_ left: Expression, equals right: Expression) {
    if let text = right.constantText {
      self.init(left, .among([text]))
    } else if let text = left.constantText {
      self.init(right, .among([text]))
    } else if let network = right.constantNetwork {
      self.init(left, .networks([network]))
    } else {
      return nil
    }
  }

  private init?(_ subject: Expression, _ kind: Kind) {
    guard !subject.canonical.isEmpty else { return nil }
    self.subject = subject.canonical
    self.kind = kind
  }

  /// Whether both cannot be true at once.
  func excludes(_ other: Fact) -> Bool {
    switch (kind, other.kind) {
    case (.among(let values), .among(let others)): return Set(values).isDisjoint(with: others)
    case (.among(let values), .prefix(let prefix)):
      return !values.contains { $0.starts(with: prefix) }
    case (.among(let values), .differs(let value)): return values == [value]
    case (.prefix(let one), .prefix(let two)):
      return !one.starts(with: two) && !two.starts(with: one)
    case (.networks(let some), .networks(let others)):
      return !some.contains { one in
        others.contains { $0.first <= one.last && one.first <= $0.last }
      }
    default: return false
    }
  }
}

extension Expression {
  /// The network of an address or a network that is written in place.
  var constantNetwork: IPNetwork? {
    switch kind {
    case .address(let address): IPNetwork(address: address, bits: 128)
    case .network(let network): network
    default: nil
    }
  }
}
