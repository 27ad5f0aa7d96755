// Limits that count by who was let in: such a key is there only where the route lets nobody in without it.

internal import Rules

extension Reader {
  /// Reports limits on routes where nothing that they count by is ever known.
  mutating func checkLimitKeys() {
    guard findings.errorCount == 0 else { return }
    var everKnown: [String: Set<Int>] = [:]
    for route in draft.node.sites.flatMap(\.routes) {
      for name in route.limits.map(\.name) + (route.rules?.limits.map(\.name) ?? []) {
        guard let limit = draft.node.limits.first(where: { $0.name == name }) else { continue }
        let known = limit.keys.indices.filter { index in
          limit.keys[index].allSatisfy { isKnown($0, in: route) }
        }
        everKnown[name, default: []].formUnion(known)
        if known.isEmpty && !limit.keys.isEmpty { reportUnknown(limit, in: route) }
      }
    }
    for limit in draft.node.limits {
      guard let known = everKnown[limit.name], !known.isEmpty,
        let index = limit.keys.indices.first(where: { !known.contains($0) }),
        let place = declared.limits[limit.name]
      else { continue }
      findings.warning(
        "limit \(quoted(limit.name)): no route that it is in knows \(limit.keys[index].texts)",
        at: place, help: "add auth to one of them, or take it out of the key")
    }
  }

  private mutating func reportUnknown(_ limit: LimitConfiguration, in route: RouteConfiguration) {
    let ruled = route.rules?.limits.first { $0.name == limit.name }?.range
    let named = used.routeLimits[route.name]?[limit.name]
    guard let place = named ?? ruled.map({ SourceRange($0, of: 0) }) else { return }
    let others =
      route.authentication == nil
      ? "the route lets everybody in" : "the route's auth does not say that"
    findings.error(
      "limit: \(quoted(limit.name)) would never apply in \(quoted(route.name)): it counts by "
        + "\(limit.keys[limit.keys.count - 1].texts), and \(others)",
      at: place, help: "add auth, or what to count by instead: key … else client.ip;")
  }
}

extension [LimitKeyPart] {
  /// As they are written.
  fileprivate var texts: String { map(\.text).joined(separator: " ") }
}

extension Reader {
  /// Whether requests of a route can have a part.
  private func isKnown(_ part: LimitKeyPart, in route: RouteConfiguration) -> Bool {
    switch part {
    case .clientAddress, .field, .cookie, .route, .host, .clientCertificate, .fingerprint:
      return true
    case .subject, .claim, .apiKey: break
    }
    switch (part, route.authentication?.kind) {
    case (.subject, .token), (.subject, .apiKeys), (.subject, .basic): return true
    case (.claim, .token), (.claim, .apiKeys), (.apiKey, .apiKeys): return true
    case (.subject, .service(let name)):
      return service(name).map { $0.subjectField != nil } ?? true
    case (.claim(let field), .service(let name)):
      return service(name).map { $0.requestFields.contains(field) } ?? true
    default: return false
    }
  }

  private func service(_ name: String) -> AuthenticationServiceConfiguration? {
    draft.node.authenticationServices.first { $0.name == name }
  }
}
