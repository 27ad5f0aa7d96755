// The tree of a rule, as it was written.

/// A rule of a site or a route: a condition with a block, or an action.
package struct RuleStatement: Sendable {
  indirect enum Kind: Sendable {
    /// `when … { … } else when … { … } else { … }`
    case when([Branch], otherwise: [RuleStatement]?)
    case respond(status: Int, body: Expression?, fields: [AnswerField])
    case redirect(status: Int, target: Expression, fields: [AnswerField])
    case rewritePath(Expression)
    case rewriteQuery(Expression)
    case set(Target, Expression)
    case unset(Target)
    case add(Target, Expression)
    case origin(String, RuleRange)
    case limit(String, RuleRange, cost: Expression?)
    case cacheBypass
    case cacheTTL(Expression)
    case cacheKey(Expression)
    case varyBy([Expression])
    case tag([Expression])
    case log(String, Expression)
    /// `on response { … }`
    case onResponse([RuleStatement])
    /// `degrade { … }`
    case onFailure([RuleStatement])
    /// A preset: what it does with the request, and with the response.
    case preset(request: [RuleStatement], response: [RuleStatement])
    /// Reported already.
    case broken
  }

  var kind: Kind
  /// All of it; of what has a block, up to the brace.
  package var range: RuleRange
  /// Whether a preset wrote it.
  var isPreset = false
  /// Whether its syntax is sound; if not, that has been reported.
  package var isWhole: Bool {
    if case .broken = kind { return false }
    return true
  }
}

/// A condition and what to do then.
struct Branch: Sendable {
  var condition: Expression
  var body: [RuleStatement]
}

/// A field of an answer: `NAME VALUE;`.
struct AnswerField: Sendable {
  var name: String
  var nameRange: RuleRange
  var value: Expression
}

/// What `set`, `unset` and `add` change.
struct Target: Sendable {
  enum Kind: Sendable {
    case variable(String)
    /// A field of what is at hand: of the request, or in `on response` of the response.
    case field(String)
  }
  var kind: Kind
  var range: RuleRange
}
