// Which of RFC 9111 §4.2.1's rules a lifetime comes from, for people who ask: found out anew from the
// fields, for what is stored keeps only what came of them.

package import Bytes
internal import HTTPMessage

/// Where a freshness lifetime comes from.
package enum LifetimeSource: Sendable, Equatable {
  /// `s-maxage` of the field that counts.
  case sMaxAge(DirectiveSource)
  /// `max-age` of the field that counts.
  case maxAge(DirectiveSource)
  /// Directives that are malformed or contradict each other: none.
  case invalid
  /// `Expires`.
  case expires
  /// The configuration, whatever the response says.
  case override
  /// The configuration, where the response says nothing.
  case fallback
  /// A tenth of the time since it was last modified.
  case heuristic
  /// Nothing says anything: none.
  case nothing
  /// What is kept is not what the fields and the route's `cache` block say now: a rule's `cache ttl`, or a
  /// configuration before.
  case rule

  /// In words.
  package var text: String {
    switch self {
    case .sMaxAge(let source): "s-maxage of \(source.text)"
    case .maxAge(let source): "max-age of \(source.text)"
    case .invalid: "directives that are malformed"
    case .expires: "expires"
    case .override: "the route's cache block"
    case .fallback: "the route's cache block, for want of a directive"
    case .heuristic: "last-modified, by heuristics"
    case .nothing: "nothing says one"
    case .rule: "a rule, or a configuration before"
    }
  }
}

extension DirectiveSource {
  /// The field, in words.
  fileprivate var text: String {
    switch self {
    case .cacheControl: "cache-control"
    case .targeted: "a targeted field"
    case .surrogateControl: "surrogate-control"
    }
  }
}

extension Freshness {
  /// Where the lifetime of a response comes from whose stored lines are these.
  ///
  /// - Parameters:
  ///   - lines: field lines as they are stored.
  ///   - policy: the route's.
  package func source(
    status: UInt16, lines: ByteView, policy: CachePolicy
  ) -> LifetimeSource {
    // That field is not stored with the others.
    if flags.contains(.surrogate) { return .maxAge(.surrogateControl) }
    let head = ResponseHead()
    StoredLines.read(lines, status: status, into: head)
    let directives = ResponseDirectives(head, policy: policy)
    var expected = Freshness.of(
      response: head, directives: directives, requestTime: responseTime,
      responseTime: responseTime, policy: policy)
    let rule = policy.lifetime(for: status)
    if let rule, rule.overrides {
      expected.lifetime = rule.milliseconds.addingSaturating(correctedInitialAge)
    }
    guard expected.lifetime == lifetime else { return .rule }
    if rule?.overrides ?? false { return .override }
    if directives.hasInvalidLifetime { return .invalid }
    if directives.sMaxAge != nil { return .sMaxAge(directives.source) }
    if directives.maxAge != nil { return .maxAge(directives.source) }
    let ignoresExpires = policy.ignored.contains(.expires)
    if Freshness.hasExpires(head, directives, ignoresExpires: ignoresExpires) { return .expires }
    if rule != nil { return .fallback }
    return flags.contains(.heuristic) ? .heuristic : .nothing
  }
}
