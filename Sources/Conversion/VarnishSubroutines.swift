// What a VCL's subroutines do with every request, and with every answer.

extension VarnishConversion {
  /// A body with those of the subroutines that it calls in their places.
  mutating func expanded(_ body: [VarnishStatement]) -> [VarnishStatement] {
    var left = 10_000
    return expanded(body, depth: 0, &left)
  }

  private mutating func expanded(
    _ body: [VarnishStatement], depth: Int, _ left: inout Int
  ) -> [VarnishStatement] {
    var all: [VarnishStatement] = []
    for statement in body {
      left -= 1
      if left < 0 || depth > 80 {
        isClosed = true
        result.remark(statement.line, "\(statement.shown): too much to read: 503 for all")
        return all
      }
      if statement.words.count == 2, statement.words[0] == "call",
        let inner = subroutines[statement.words[1]]
      {
        called.insert(statement.words[1])
        all += expanded(inner, depth: depth + 8, &left)
      } else {
        var statement = statement
        statement.block = statement.block.map { expanded($0, depth: depth + 1, &left) }
        all.append(statement)
      }
    }
    return all
  }

  /// A subroutine, all of its parts. What is done for every request is carried over, but for what stands behind
  /// something that may have ended it, and what is also done otherwise under a condition that is not.
  mutating func read(_ body: [VarnishStatement], of name: String) {
    if name == "vcl_hash" { return readHash(body) }
    let unsure = unsure(body, of: name)
    var end: Int?
    var rest = body[...]
    while let statement = rest.popFirst() {
      var chain = [statement]
      if statement.isCondition {
        while let next = rest.first, next.isElse { chain.append(rest.removeFirst()) }
        readCondition(chain, of: name, end)
      } else {
        readAlways(statement, of: name, end, unsure)
      }
      if end == nil, chain.contains(where: \.mayEnd) { end = statement.line }
    }
  }

  /// What is changed under conditions that are not carried over as a whole.
  private func unsure(_ body: [VarnishStatement], of name: String) -> Set<String> {
    var changes: Set<String> = []
    var copy = self
    var rest = body[...]
    while let statement = rest.popFirst() {
      guard statement.isCondition else { continue }
      var chain = [statement]
      while let next = rest.first, next.isElse { chain.append(rest.removeFirst()) }
      if copy.rule(chain, of: name)?.isWhole != true { changes.formUnion(chain.flatMap(\.changes)) }
    }
    return changes
  }

  private mutating func readCondition(
    _ chain: [VarnishStatement], of name: String, _ end: Int?
  ) {
    let remarks = result.remarks.count
    let effects = VarnishEffects.of(chain)
    let found = rule(chain, of: name)
    var isOfUse = found.map { $0.isWhole || !effects.isEmpty } ?? false
    // What may have ended before goes on in rules: it may be refused and passed by the store, and nothing else.
    if end != nil, effects.isEmpty || effects.contains(.routes) { isOfUse = false }
    guard let found, isOfUse else {
      result.remarks.removeSubrange(remarks...)
      withhold(chain, name)
      if effects.isEmpty {
        for statement in chain { result.remark(statement.line, "\(name): \(statement.shown)") }
      }
      return
    }
    let isResponse = name == "vcl_backend_response" || name == "vcl_deliver"
    route.append(isResponse ? "on response { \(found.text) }" : found.text)
    if !found.isWhole { keepBack(chain, of: name) }
    if let end, effects.contains(.refuses) {
      result.remark(
        chain[0].line, "\(name): \(chain[0].shown): here it is also for what ends in line \(end)")
    }
  }

  /// Closes what statements that are left out may have closed.
  mutating func withhold(_ body: [VarnishStatement], _ name: String) {
    for statement in body {
      let effects = VarnishEffects.of([statement])
      let shown = "\(name): \(statement.shown)"
      if effects.contains(.refuses) || effects.contains(.routes) {
        isClosed = true
        result.remark(statement.line, "\(shown): all is answered with 503 until rules say when")
      } else if effects.contains(.passes) {
        isUncached = true
        result.remark(statement.line, "\(shown): nothing is stored until rules say what")
      }
    }
    keepBack(body, of: name)
  }

  /// Takes away fields that a client, or an origin, might have sent, where what the VCL makes of them is left out.
  private mutating func keepBack(_ body: [VarnishStatement], of name: String) {
    for statement in body {
      keepBack(statement.block ?? [], of: name)
      if let text = statement.change {
        let known = text.hasPrefix("bereq.") ? "req." + text.dropFirst(6) : text
        if known != "req.url" || statement.leadsElsewhere {
          conditions.changed.insert(known)
        } else {
          conditions.isQueryCut = true
        }
      }
      guard let change = statement.change, let field = Self.field(change, of: name) else {
        continue
      }
      if !field.isResponse {
        if !Self.ofClients.contains(field.name), !withheld.contains(field.name) {
          withheld.append(field.name)
        }
      } else if statement.words[0] != "set", let line = self.change(statement, of: name) {
        let line = "on response { \(line.text) }"
        if !route.contains(line) { route.append(line) }
      }
    }
  }

  /// Fields in which nobody trusts, or that the node sets itself.
  private static let ofClients: Set<String> = [
    "cookie", "accept", "accept-encoding", "accept-language", "user-agent", "range", "referer",
    "cache-control", "pragma", "if-none-match", "if-modified-since", "surrogate-capability",
    "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
  ]

  private mutating func readAlways(
    _ statement: VarnishStatement, of name: String, _ end: Int?, _ unsure: Set<String>
  ) {
    let shown = "\(name): \(statement.shown)"
    if VarnishEffects.of([statement]).contains(.refuses) {
      // Whom conditions before it let through, they let through here too; so nobody is, until rules say who.
      isClosed = true
      return result.remark(
        statement.line, "\(shown): all is answered with 503 until rules say who may")
    }
    if statement.leadsElsewhere || statement.keepsOut || statement.action != nil {
      if VarnishEffects.of([statement]).isEmpty { return readReturn(statement, of: name) }
      return withhold([statement], name)
    }
    let change = statement.change
    let isLeftOut = end != nil || change.map(unsure.contains) == true
    let isBackend = change.map(VarnishStatement.backends.contains) == true
    if isLeftOut, isBackend { isOriginUnknown = true }
    guard isLeftOut else {
      if !carry(statement, of: name) {
        keepBack([statement], of: name)
        result.remark(statement.line, shown)
      }
      return
    }
    keepBack([statement], of: name)
    result.remark(
      statement.line,
      end.map { "\(shown): only if what line \($0) asks for is not so" }
        ?? "\(shown): it depends on a condition")
  }

  /// A `return` that neither refuses nor passes by the store.
  private mutating func readReturn(_ statement: VarnishStatement, of name: String) {
    switch (name, statement.action) {
    case ("vcl_deliver", "deliver"), ("vcl_backend_fetch", "fetch"): break
    case ("vcl_recv", "hash"), ("vcl_recv", "lookup"):
      result.remark(
        statement.line,
        "\(name): \(statement.shown): here what has cookies or credentials is not stored")
    case ("vcl_backend_response", "deliver"):
      result.remark(
        statement.line,
        "\(name): \(statement.shown): here what sets cookies or is private is not stored")
    default: result.remark(statement.line, "\(name): \(statement.shown)")
    }
  }

  /// A statement that is done for every request; whether it could be carried over.
  private mutating func carry(_ statement: VarnishStatement, of name: String) -> Bool {
    let words = statement.words
    if words.count == 4, words[0] == "set", words[2] == "=" {
      switch words[1] {
      case "beresp.ttl":
        if let time = Self.time(words[3]) {
          lifetime = time
          return true
        }
      case "beresp.grace":
        if let time = Self.time(words[3]) {
          grace = time
          return true
        }
      case let text where VarnishStatement.backends.contains(text):
        let name = ConfigurationWriter.name(words[3])
        isOriginUnknown = !origins.contains { $0.name == name }
        if !isOriginUnknown { origin = name }
        return !isOriginUnknown
      default: break
      }
    } else if let change = statement.change, VarnishStatement.backends.contains(change) {
      isOriginUnknown = true
    }
    let change = statement.change
    if words.count == 2, change == "beresp.http.set-cookie" {
      route.append(Self.stripping)
      return true
    }
    if words.count == 2, change == "req.http.cookie", name == "vcl_recv", !conditions.asksCookies {
      route.append("cookies drop;")
      dropsCookies = true
      return true
    }
    guard let line = self.change(statement, of: name) else { return false }
    route.append(line.isResponse ? "on response { \(line.text) }" : line.text)
    return true
  }

  /// What answers are told apart by besides host and target.
  private mutating func readHash(_ body: [VarnishStatement]) {
    for statement in body {
      readHash(statement.block ?? [])
      let text = statement.words.joined().lowercased()
      guard text.hasPrefix("hash_data(") else {
        if statement.block == nil, statement.action == nil {
          withhold([statement], "vcl_hash")
          result.remark(statement.line, "vcl_hash: \(statement.shown)")
        }
        continue
      }
      let data = text.dropFirst("hash_data(".utf8.count).dropLast()
      if ["req.url", "req.http.host", "server.ip"].contains(data) { continue }
      if let field = Self.field(String(data), of: "vcl_recv"),
        !conditions.changed.contains("req.http.\(field.name)"), !withheld.contains(field.name)
      {
        let line = "vary_by header.\(field.name);"
        if !route.contains(line) { route.append(line) }
      } else {
        isUncached = true
        result.remark(
          statement.line,
          "vcl_hash: \(statement.shown): nothing is stored until key or vary_by says it")
      }
    }
  }
}
