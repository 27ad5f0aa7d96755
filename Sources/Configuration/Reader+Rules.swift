// Rules of sites and routes: collected as they stand, compiled for each route once its site is read.

internal import Rules

/// What the rules of all routes ask of the rest of the file.
struct RuleNeeds {
  /// Where each name was first used, so that it is reported once however many routes have the rule.
  var names: Set<Int> = []
  /// Where data of a geo database was first used.
  var geo: SourceRange?
}

extension Reader {
  /// A rule, in whichever block it stands.
  mutating func readRule(_ rule: RuleStatement, _ directive: Directive, in block: Setting.Block) {
    switch block {
    case .site: draft.siteRules.append(rule)
    case .route: draft.routeRules.append(rule)
    default:
      guard isComplete else { return }
      findings.error(
        "the rule \(quoted(directive.name.text)) cannot stand in \(block.described)",
        at: directive.name.range, help: "rules stand in \"site\" or \"route\"")
    }
  }

  /// `redirects FILE [STATUS]`
  mutating func readRedirects(_ arguments: inout Arguments, in block: Setting.Block) {
    let path = arguments.next(.path("FILE", of: "a file"), &findings)
    var status = 301
    if let word = arguments.upcoming {
      arguments.skip()
      guard let number = Int(word.text), [301, 302, 303, 307, 308].contains(number) else {
        findings.error(
          "redirects: \(quoted(word.text)) is no status of a redirect", at: word.range,
          help: "expected 301, 302, 303, 307 or 308")
        return
      }
      status = number
    }
    guard let path else { return }
    let place = arguments.directive.range
    let rule = RuleLanguage.redirects(
      file: path.value, status: status, at: RuleRange(lower: place.lower, upper: place.upper))
    if block == .site { draft.siteRules.append(rule) } else { draft.routeRules.append(rule) }
  }

  /// `cookies keep|drop`: before all rules of the block.
  mutating func readCookies(_ dropped: Placed<Bool>, in block: Setting.Block) {
    guard dropped.value else { return }
    let rule = RuleLanguage.withoutField(
      "cookie", at: RuleRange(lower: dropped.range.lower, upper: dropped.range.upper))
    if block == .site {
      draft.siteRules.insert(rule, at: 0)
    } else {
      draft.routeRules.insert(rule, at: 0)
    }
  }

  /// A request is under at most eight limits, whoever chooses them.
  mutating func checkLimitCount(of route: RouteConfiguration) {
    guard let limits = route.rules?.limits, limits.count + route.limits.count > 8,
      let last = limits.last, ruleNeeds.names.insert(-1 - last.range.lower).inserted
    else { return }
    findings.error(
      "limit: a route has at most 8, those that rules choose included",
      at: SourceRange(last.range, of: 0))
  }

  /// The rules of a route, with those of its site before them; nil if there are none, or wrong ones.
  mutating func compile(
    _ rules: [RuleStatement], of route: String, isFailure: Bool = false
  ) -> RuleCode? {
    guard !rules.isEmpty else { return nil }
    let source = findings.sources[0]
    var context = RuleContext(files: ruleFiles)
    context.routeName = route
    context.isFailure = isFailure
    context.line = { [findings] in findings.line(at: $0) }
    guard
      let code = RuleLanguage.compile(rules, text: source.bytes, context, &ruleFindings)
    else { return nil }
    for origin in code.origins where ruleNeeds.names.insert(origin.range.lower).inserted {
      used.origins.append(
        Placed(value: origin.name, range: SourceRange(origin.range, of: 0)))
    }
    for limit in code.limits where ruleNeeds.names.insert(limit.range.lower).inserted {
      used.limits.append(Placed(value: limit.name, range: SourceRange(limit.range, of: 0)))
    }
    if code.usesFingerprint { draft.node.tls.needsFingerprints = true }
    if let geo = code.usesGeo { ruleNeeds.geo = ruleNeeds.geo ?? SourceRange(geo, of: 0) }
    return code
  }
}
