// What nginx keeps, of a location. It keeps nothing unless proxy_cache says so, and an edge.conf everything that
// may be kept: so what nginx would not keep has to be said.

extension NginxConversion {
  /// The snippet with what nginx never stores.
  static let snippet = "as-nginx"

  /// The lines of a route about its store.
  mutating func caching(_ scope: NginxScope, of entry: NginxDirective) -> [String] {
    guard let cache = scope.cache, let zone = cache.arguments.first, zone != "off" else {
      return ["cache off;"]
    }
    if zone.contains("$") {
      drop(cache, "whether something is kept depends on the request: cache off until rules say so")
      return ["cache off;"]
    }
    if let key = scope.key, !Self.isWhole(key) {
      drop(key, "cache off until key or vary_by tells apart what it does")
      return ["cache off;"]
    }
    var tests: [String] = []
    for directive in scope.uncached {
      guard let found = Self.presences(directive.arguments) else {
        drop(directive, "cache off until a rule says when: when … { cache bypass; }")
        return ["cache off;"]
      }
      tests += found.filter { !tests.contains($0) }
    }
    let bypass =
      tests.isEmpty ? [] : ["when \(tests.joined(separator: " || ")) { cache bypass; }"]
    let (lifetimes, statuses) = lifetimes(scope.valid)
    var unsaid = #"!(response.header.cache-control matches r"(?i)max-?age=")"#
    if !statuses.isEmpty {
      unsaid = "!(response.status in [\(statuses.joined(separator: ", "))]) && " + unsaid
    }
    return bypass + [
      "use \(Self.snippet)();", "on response { when \(unsaid) { cache bypass; } }",
      lifetimes.isEmpty ? "cache on;" : "cache { \(lifetimes.joined(separator: " ")) }",
    ]
  }

  private mutating func lifetimes(
    _ directives: [NginxDirective]
  ) -> (lines: [String], statuses: [String]) {
    var lines: [String] = []
    var all: [String] = []
    for directive in directives {
      let statuses = directive.arguments.dropLast()
      guard let time = directive.arguments.last.flatMap(Self.time),
        statuses.allSatisfy({ (100...599).contains(Int($0) ?? 0) })
      else {
        drop(directive, "default_ttl STATUS… DURATION; in cache")
        continue
      }
      // Of several for a status the first counts, and none is kept for no time.
      let named = (statuses.isEmpty ? ["200", "301", "302"] : statuses).filter { !all.contains($0) }
      if named.isEmpty || Int(time.dropLast()) == 0 { continue }
      all += named
      lines.append("default_ttl \(named.joined(separator: " ")) \(time);")
    }
    return (lines, all)
  }

  /// Whether a key tells nothing apart but what an edge.conf tells apart by itself.
  private static func isWhole(_ key: NginxDirective) -> Bool {
    let known: Set<Substring> = [
      "scheme", "host", "http_host", "proxy_host", "server_name", "request_method", "request_uri",
      "uri", "is_args", "args", "query_string",
    ]
    let text = key.arguments.joined(separator: " ")
    let names = text.split(separator: "$", omittingEmptySubsequences: false).dropFirst().map {
      part in
      (part.first == "{" ? part.dropFirst() : part).prefix {
        $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_")
      }
    }
    return !names.isEmpty && names.allSatisfy(known.contains)
  }

  /// When one of these variables has a value, or might; nil if one is not known.
  private static func presences(_ variables: [String]) -> [String]? {
    var tests: [String] = []
    for variable in variables {
      if variable.hasPrefix("$cookie_") {
        // nginx looks for it in upper and lower case.
        tests.append("exists(header.cookie)")
      } else if variable.hasPrefix("$arg_") || variable == "$args" || variable == "$is_args" {
        tests.append("query != \"\"")
      } else if variable.hasPrefix("$http_"), let data = data(variable) {
        tests.append("exists(\(data))")
      } else if !["0", ""].contains(variable) {
        return nil
      }
    }
    return tests
  }

  /// Says what nginx never stores, once for all routes.
  static func writeSnippet(_ out: inout ConfigurationWriter) {
    out.gap()
    out.line("# What nginx does not store, whatever else is said.")
    out.open("snippet \(snippet)()")
    out.open("on response")
    let control = "response.header.cache-control"
    for test in [
      #"exists(response.header.set-cookie) || response.header.x-accel-expires matches r"^(0|@)""#,
      control
        + #" matches r"(?i)private|no-cache|no-store|s-maxage=0|^(?!.*s-maxage=).*max-age=0""#,
      #"exists(response.header.expires) && !(\#(control) matches r"(?i)max-?age=")"#,
    ] { out.line("when \(test) { cache bypass; }") }
    out.close()
    out.close()
  }
}
