// The request's data, as one table: names, types and meanings. The checker, suggestions and the tables
// of docs/rules.md come from it.

/// A name of the request's data.
package struct DataName: Sendable {
  /// Where the evaluator gets it from.
  enum Source: Sendable {
    case text(TextSource)
    case integer(NumberSource)
    case boolean(FlagSource)
    case clientAddress
    case routeName
    case subject
    /// Any name behind a prefix.
    case family(Family)
    /// The tags of a stored object, which `in` looks for.
    case tags
  }

  /// Data with names of the client's or the origin's own.
  enum Family: Sendable {
    case field, responseField, cookie, parameter, claim
  }

  /// As it is written; a family ends with `NAME`.
  package let name: String
  /// What it is.
  package let type: RuleType
  let source: Source
  /// Whether it is known only once there is a response.
  package let isOfResponse: Bool
  /// What it means, in a sentence.
  package let text: String
  /// What other programs call it; only for suggestions.
  let aliases: [String]

  init(
    _ name: String, _ type: RuleType, _ source: Source, ofResponse: Bool = false,
    aliases: [String] = [], _ text: String
  ) {
    self.name = name
    self.type = type
    self.source = source
    self.isOfResponse = ofResponse
    self.text = text
    self.aliases = aliases
  }

  /// All names.
  package static let all: [DataName] = [
    DataName(
      "request.method", .text, .text(.method), aliases: ["method", "request_method"],
      "The method, in upper case as it was sent."),
    DataName(
      "request.content_length", .integer, .integer(.contentLength),
      aliases: ["content_length", "request.length", "request.size"],
      "The length of the request's content in bytes; 0 without content, -1 if it is not known yet."),
    DataName(
      "scheme", .text, .text(.scheme), aliases: ["request.scheme", "proto"], "`https` or `http`."),
    DataName(
      "host", .text, .text(.host), aliases: ["request.host", "hostname"],
      "The host of the target in lower case, without a port."),
    DataName(
      "path", .text, .text(.path), aliases: ["request.path", "uri", "request_uri", "request.uri"],
      """
      The path of the target without the query, as the route is chosen by it: unreserved characters \
      decoded, encoded slashes and backslashes as slashes, runs of slashes made one, all else as it was \
      sent. After `rewrite path` it is the new one.
      """),
    DataName(
      "query", .text, .text(.query), aliases: ["request.query", "args", "query_string"],
      "The query without its question mark, as it was sent."),
    DataName(
      "query.NAME", .text, .family(.parameter), aliases: ["arg", "param"],
      "The value of the first parameter of that name, decoded. `query(\"…\")` takes any name."),
    DataName(
      "header.NAME", .text, .family(.field),
      aliases: ["request.header", "http", "req.http", "headers"],
      """
      The field of that name in any case; several lines are joined by a comma, of `cookie` by a \
      semicolon (RFC 9110 §5.3). `header("…")` takes any name.
      """),
    DataName(
      "cookie.NAME", .text, .family(.cookie), aliases: ["cookies"],
      "The value of the first cookie of that name, as it was sent. `cookie(\"…\")` takes any name."),
    DataName(
      "client.ip", .address, .clientAddress, aliases: ["remote_addr", "client.address", "ip"],
      "The client's address."),
    DataName(
      "client.port", .integer, .integer(.clientPort), aliases: ["remote_port"],
      "The client's port."),
    DataName(
      "listener.port", .integer, .integer(.listenerPort), aliases: ["server_port"],
      "The port that the client connected to."),
    DataName(
      "geo.country", .text, .text(.country), aliases: ["country", "geoip.country"],
      "The country of the client's address as ISO 3166-1 has it, such as `JP`; empty if unknown."),
    DataName(
      "geo.continent", .text, .text(.continent), aliases: ["continent"],
      "The continent: `AF AN AS EU NA OC SA`; empty if unknown."),
    DataName(
      "geo.region", .text, .text(.region), aliases: ["region", "geo.subdivision"],
      "The largest part of the country as ISO 3166-2 has it, such as `CA`; empty if unknown."),
    DataName(
      "geo.city", .text, .text(.city), aliases: ["city"],
      "The English name of the city; empty if unknown."),
    DataName(
      "geo.asn", .integer, .integer(.network), aliases: ["asn"],
      "The number of the client's network (autonomous system); 0 if unknown."),
    DataName(
      "jwt.valid", .boolean, .boolean(.isAuthenticated),
      aliases: ["authenticated", "jwt.verified", "auth.valid"],
      "Whether the request is authenticated: the edge has checked a token or other credentials."),
    DataName(
      "jwt.sub", .text, .subject, aliases: ["jwt.subject", "user", "auth.user"],
      "The subject: a token's `sub`, or the name that goes with other credentials."),
    DataName(
      "jwt.claim.NAME", .text, .family(.claim), aliases: ["claim", "jwt"],
      """
      A claim of the token as text; the elements of an array are joined by spaces. `claim("…")` \
      takes any name.
      """),
    DataName(
      "tls.version", .text, .text(.tlsVersion), aliases: ["ssl_protocol"],
      "`TLSv1.3` or `TLSv1.2`; empty without TLS."),
    DataName(
      "tls.sni", .text, .text(.tlsServerName), aliases: ["tls.server_name", "ssl_server_name"],
      "The name that the client asked for in its handshake."),
    DataName(
      "tls.cipher", .text, .text(.tlsCipher), aliases: ["ssl_cipher"], "The cipher suite."),
    DataName(
      "tls.alpn", .text, .text(.tlsProtocol), aliases: ["tls.protocol"],
      "The protocol that was agreed on: `h2` or `http/1.1`."),
    DataName(
      "tls.ja4", .text, .text(.tlsFingerprint), aliases: ["ja4", "tls.fingerprint"],
      "The JA4 fingerprint of the client's hello: which program it is, whatever it says of itself."),
    DataName(
      "tls.client.subject", .text, .text(.tlsClientSubject),
      aliases: ["tls.client", "ssl_client_s_dn"],
      "The subject of the client's certificate, once it is verified."),
    DataName(
      "tls.client.fingerprint", .text, .text(.tlsClientFingerprint),
      aliases: ["ssl_client_fingerprint"],
      "The SHA-256 of the client's certificate in lower-case hexadecimal."),
    DataName(
      "route.name", .text, .routeName, aliases: ["route"],
      "The route's name as in logs and metrics."),
    DataName(
      "now", .integer, .integer(.now), aliases: ["time", "timestamp"],
      "The time in seconds since 1970."),
    DataName(
      "response.status", .integer, .integer(.status), ofResponse: true,
      aliases: ["status", "beresp.status", "resp.status"], "The status of the response."),
    DataName(
      "response.stored", .boolean, .boolean(.isStored), ofResponse: true,
      aliases: ["response.cached", "response.hit"],
      "Whether the response comes from the store."),
    DataName(
      "response.header.NAME", .text, .family(.responseField), ofResponse: true,
      aliases: ["resp.http", "beresp.http"], "A field of the response, in any case."),
  ]

  private static let plain: [String: DataName] = {
    var result: [String: DataName] = [:]
    for entry in all where !entry.name.hasSuffix(".NAME") { result[entry.name] = entry }
    return result
  }()

  /// Families by their prefix with its dot.
  private static let families: [(prefix: String, entry: DataName)] = all.compactMap { entry in
    entry.name.hasSuffix(".NAME") ? (String(entry.name.dropLast(4)), entry) : nil
  }

  /// What a name stands for; of a family also the name behind the prefix.
  static func find(_ name: String) -> (entry: DataName, member: String)? {
    if let entry = plain[name] { return (entry, "") }
    for family in families where name.hasPrefix(family.prefix) && name.count > family.prefix.count {
      return (family.entry, String(name.dropFirst(family.prefix.count)))
    }
    return nil
  }

  /// Whether there is such data.
  static func isKnown(_ name: String) -> Bool { find(name) != nil }

  /// The same for all ways to write a name: fields in lower case.
  static func canonical(_ name: String) -> String {
    guard let found = find(name) else { return name }
    switch found.entry.source {
    case .family(.field), .family(.responseField): return name.lowercased()
    default: return name
    }
  }

  /// The canonical name of `header("…")` and its like; nil for other calls.
  static func called(_ function: String, _ arguments: [Expression]) -> String? {
    guard arguments.count == 1, let member = arguments[0].constantString else { return nil }
    switch function {
    case "header": return canonical("header.\(member)")
    case "query": return "query.\(member)"
    case "cookie": return "cookie.\(member)"
    case "claim": return "jwt.claim.\(member)"
    default: return nil
    }
  }

  /// What was probably meant by a name that is not known.
  static func suggestion(for name: String) -> String? {
    if let entry = all.first(where: { $0.aliases.contains(name) }) {
      return entry.name.hasSuffix("NAME") ? nil : entry.name
    }
    for entry in all where entry.name.hasSuffix(".NAME") {
      for alias in entry.aliases where name.hasPrefix(alias + ".") {
        return String(entry.name.dropLast(4)) + String(name.dropFirst(alias.count + 1))
      }
    }
    if let dot = name.firstIndex(of: ".") {
      let prefixes = ["header", "query", "cookie"]
      if let near = Spelling.nearest(to: String(name[..<dot]), among: prefixes) {
        return near + String(name[dot...])
      }
    }
    return Spelling.nearest(to: name, among: plain.keys.sorted())
  }
}

/// Texts that the request has one of.
enum TextSource: Int32, Sendable {
  case method, scheme, host, path, query
  case country, continent, region, city
  case tlsVersion, tlsServerName, tlsCipher, tlsProtocol, tlsClientSubject, tlsClientFingerprint
  case tlsFingerprint
  case subject
  // Of stored objects.
  case url, contentType, variant
  // Of lines of the access log.
  case lineMethod, lineProtocol, cacheResult, detail, route, referer, userAgent
}

/// Numbers that the request has one of.
enum NumberSource: Int32, Sendable {
  case contentLength, clientPort, listenerPort, network, now, status
  // Of stored objects.
  case size, age
  // Of lines of the access log.
  case duration, originDuration, received
}

/// Truths about the request.
enum FlagSource: Int32, Sendable {
  case isAuthenticated, isStored
}
