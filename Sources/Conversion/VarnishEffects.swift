// What statements of a VCL do that must not get lost.

/// What a piece of a VCL may do with a request.
struct VarnishEffects: OptionSet {
  let rawValue: Int
  /// It is refused, or nobody knows.
  static let refuses = VarnishEffects(rawValue: 1)
  /// It, or its answer, goes by the store.
  static let passes = VarnishEffects(rawValue: 2)
  /// It is led elsewhere.
  static let routes = VarnishEffects(rawValue: 4)

  /// What statements may do, and those in them.
  static func of(_ body: [VarnishStatement]) -> VarnishEffects {
    body.reduce(into: []) { $0.formUnion(of($1)) }
  }

  private static func of(_ statement: VarnishStatement) -> VarnishEffects {
    var effects = of(statement.block ?? [])
    switch statement.action {
    case nil: break
    case "pass", "pipe", "hit_for_pass", "hit_for_miss", "abandon": effects.insert(.passes)
    case "synth", "fail", "error", "purge", "vcl": effects.insert(.refuses)
    default: break
    }
    if statement.isUnknown { effects.insert(.refuses) }
    if statement.keepsOut { effects.insert(.passes) }
    if let change = statement.change, VarnishStatement.backends.contains(change) {
      effects.insert(.routes)
    }
    if statement.leadsElsewhere { effects.insert(.routes) }
    return effects
  }
}

extension VarnishStatement {
  static let backends: Set<String> = ["req.backend_hint", "bereq.backend", "req.backend"]

  /// What a `return`, or `error`, asks for; nil if it is neither.
  var action: String? {
    if words.first == "error" { return "error" }
    guard block == nil, let first = words.first, first.hasPrefix("return") else { return nil }
    let rest = words.joined().dropFirst(6)
    guard rest.isEmpty || rest.hasPrefix("(") else { return nil }
    return String(rest.drop { $0 == "(" }.prefix { $0.isLetter || $0 == "_" })
  }

  /// What it sets or removes, in lower case.
  var change: String? {
    guard words.count > 1, ["set", "unset", "remove"].contains(words[0]) else { return nil }
    return words[1].lowercased()
  }

  /// What is set or removed here and in its blocks.
  var changes: [String] { (change.map { [$0] } ?? []) + (block ?? []).flatMap(\.changes) }

  /// Whether it may do anything: a subroutine that is not here, C.
  var isUnknown: Bool {
    words.first == "call" || words.first == "include" || words.first?.hasPrefix("C{") == true
  }

  /// Whether it keeps an answer out of the store.
  var keepsOut: Bool {
    guard words.first == "set", words.count > 3, words[2] == "=" else { return false }
    if words[1] == "beresp.uncacheable" { return words[3] != "false" }
    let number = words[3].drop { $0 == "-" }.prefix { $0.isNumber || $0 == "." }
    return words[1] == "beresp.ttl"
      && (words[3].hasPrefix("-") || Double(number).map { $0 == 0 } ?? false)
  }

  /// Whether it asks for another path.
  var leadsElsewhere: Bool {
    guard let change, change == "req.url" || change == "bereq.url" else { return false }
    let text = words.dropFirst(3).joined()
    if text.hasPrefix("std.querysort(") || text.hasPrefix("querysort") { return false }
    // Of the query something is taken away.
    guard text.hasPrefix("regsub"), let pattern = texts.min(), pattern < words.count else {
      return true
    }
    let takes = texts.max().map { words[$0].isEmpty || words[$0].hasPrefix("\\") } ?? false
    return !takes
      || !["\\?", "(\\?", "[?", "&", "(&", "#", "\\#", "(?:&", "([?"].contains {
        words[pattern].hasPrefix($0)
      }
  }

  /// Whether it is a condition, or goes on with one.
  var isCondition: Bool {
    block != nil && words.first.map { $0 == "if" || $0.hasPrefix("if(") } == true
  }
  var isElse: Bool {
    block != nil && words.first.map { ["else", "elsif", "elseif", "elif"].contains($0) } == true
  }

  /// Whether a request may go on elsewhere behind it. One that is answered at once, purged or refused is none
  /// that the rest would have been for.
  var mayEnd: Bool {
    if isUnknown { return true }
    if let action { return !["purge", "synth", "fail", "abandon", "error"].contains(action) }
    return (block ?? []).contains(where: \.mayEnd)
  }
}
