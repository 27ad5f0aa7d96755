// Who may ask. Two things are checked.
//
// The token (RFC 6750 §2.1): `TokenTable` has them, with what each may be used for.
//
// The host, on loopback without TLS. There reading needs no token, since only users of this machine get through;
// but a browser on it might run a page of another site whose name was made to resolve to 127.0.0.1
// (DNS rebinding). Such a request names that site in Host. So only what is surely this machine is
// taken there: `localhost` and loopback addresses. Other pages cannot read answers, since no CORS
// field is ever sent, nor change anything, since that needs the token. With TLS the browser itself sees
// that the certificate is not that site's; and no page reaches a unix socket, whose file says who may.

internal import Bytes
internal import Configuration
internal import Edge

struct AdminAccess: Sendable {
  /// Who can connect to the listener.
  enum Reach: Sendable {
    /// Whom the mode of the socket's file lets.
    case socket
    /// Whoever is on this machine.
    case loopback
    /// Others as well.
    case network
  }

  private let reach: Reach
  private let tokens: TokenTable

  init(_ tokens: TokenTable, _ reach: Reach) {
    self.reach = reach
    self.tokens = tokens
  }

  /// Whether only this machine reaches the listener.
  private var isLocal: Bool {
    switch reach {
    case .socket, .loopback: true
    case .network: false
    }
  }

  /// Throws if a request is for another host.
  func checkHost(_ request: AdminRequest) throws(Problem) {
    guard case .loopback = reach, !request.isSecure, !request.host.isEmpty,
      !Self.isThisMachine(request.host)
    else { return }
    throw Problem(
      .wrongHost,
      "This listener is on loopback and answers to localhost and loopback addresses only.")
  }

  /// Who asks; throws unless they may use a route.
  func check(_ request: AdminRequest, for route: AdminRoute) throws(Problem) -> Caller {
    switch route.access {
    case .anyone: return .nobody
    case .reading where isLocal && (request.authorization.isEmpty || tokens.isEmpty):
      return .nobody
    case .reading, .changing: return try checkToken(request, for: route)
    }
  }

  private func checkToken(
    _ request: AdminRequest, for route: AdminRoute
  ) throws(Problem) -> Caller {
    guard !tokens.isEmpty else {
      throw Problem(
        .noToken,
        "No token is configured. Put one into the admin block of the configuration: "
          + "admin ADDRESS { token_file FILE; }")
    }
    guard request.authorization.count <= 1 else {
      throw Problem(.malformedRequest, "More than one Authorization field.")
    }
    guard let line = request.authorization.first, let given = TokenTable.bearer(line) else {
      throw Self.unauthorized("This needs a token: Authorization: Bearer …", challenge: "")
    }
    guard let known = tokens.find(given) else {
      throw Self.unauthorized(
        "There is no such token: show one of the node's admin block (token_file, tokens; for commands "
          + "also WEIR_TOKEN); weir token makes one.", challenge: ", error=\"invalid_token\"")
    }
    try Self.check(known.verbs, known.caller, for: route)
    return known.caller
  }

  private static func check(
    _ verbs: Set<AdminVerb>, _ caller: Caller, for route: AdminRoute
  ) throws(Problem) {
    guard verbs.contains(route.verb) else {
      throw forbidden("The token \(caller.name) may not \(route.verb.rawValue).", route)
    }
    guard caller.sites.isEmpty || route.isOfSites else {
      throw forbidden(
        "The token \(caller.name) is for \(caller.sites.joined(separator: ", ")), and this is about "
          + "the whole node.", route)
    }
  }

  /// RFC 6750 §3.1.
  private static func forbidden(_ detail: String, _ route: AdminRoute) -> Problem {
    var problem = Problem(.forbidden, detail)
    problem.fields = [
      (
        "www-authenticate",
        "Bearer realm=\"weir\", error=\"insufficient_scope\", scope=\"\(route.verb.rawValue)\""
      )
    ]
    return problem
  }

  private static func unauthorized(_ detail: String, challenge: String) -> Problem {
    var problem = Problem(.unauthorized, detail)
    problem.fields = [("www-authenticate", "Bearer realm=\"weir\"" + challenge)]
    return problem
  }

  /// Whether an authority, valid as the parser has checked, is this machine for certain.
  static func isThisMachine(_ authority: String) -> Bool {
    var host = Substring(authority.lowercased())
    if host.hasPrefix("[") {
      guard let bracket = host.firstIndex(of: "]") else { return false }
      return host[...bracket] == "[::1]"
    }
    host = host.prefix { $0 != ":" }
    if host == "localhost" { return true }
    let numbers = host.split(separator: ".", omittingEmptySubsequences: false)
    guard numbers.count == 4, numbers[0] == "127" else { return false }
    return numbers.allSatisfy { $0.utf8.allSatisfy(ASCII.isDigit) && UInt8($0) != nil }
  }
}
