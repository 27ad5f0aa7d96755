// Who may ask. Two things are checked.
//
// The token (RFC 6750 §2.1). What came and what is configured are both hashed with a secret of this
// process, and the hashes compared as numbers: nothing about the token can be learned from the time
// that takes.
//
// The host, on loopback. There reading needs no token, since only users of this machine get through;
// but a browser on it might run a page of another site whose name was made to resolve to 127.0.0.1
// (DNS rebinding). Such a request names that site in Host. So only what is surely this machine is
// taken there: `localhost` and loopback addresses. Other pages cannot read answers, since no CORS
// field is ever sent, nor change anything, since that needs the token.

internal import Bytes

struct AdminAccess: Sendable {
  private let isLoopback: Bool
  private let hash = SipHash(
    key: Random.hash128(), compressionRounds: 2, finalizationRounds: 4)
  private let token: Hash128?

  /// - Parameters:
  ///   - token: what requests must carry, if there is one.
  ///   - isLoopback: whether only this machine reaches the listener.
  init(token: String?, isLoopback: Bool) {
    self.isLoopback = isLoopback
    let hash = hash
    self.token = token.map { $0.withView { hash.hash($0) } }
  }

  /// Throws if a request is for another host.
  func checkHost(_ request: AdminRequest) throws(Problem) {
    if !isLoopback || request.host.isEmpty || Self.isThisMachine(request.host) { return }
    throw Problem(
      .wrongHost,
      "This listener is on loopback and answers to localhost and loopback addresses only.")
  }

  /// Throws unless a request may use a route.
  func check(_ request: AdminRequest, for access: AdminRoute.Access) throws(Problem) {
    switch access {
    case .anyone: return
    case .reading where isLoopback: return
    case .reading, .changing: try checkToken(request)
    }
  }

  private func checkToken(_ request: AdminRequest) throws(Problem) {
    guard let token else {
      throw Problem(
        .noToken,
        "No token is configured. Put one into the admin block of the configuration: "
          + "admin ADDRESS { token_file FILE; }")
    }
    guard request.authorization.count <= 1 else {
      throw Problem(.malformedRequest, "More than one Authorization field.")
    }
    guard let line = request.authorization.first, let given = Self.bearer(line) else {
      throw Self.unauthorized("This needs the token: Authorization: Bearer …", challenge: "")
    }
    let hashed = given.withView { hash.hash($0) }
    guard (hashed.low ^ token.low) | (hashed.high ^ token.high) == 0 else {
      throw Self.unauthorized("This is not the token.", challenge: ", error=\"invalid_token\"")
    }
  }

  private static func unauthorized(_ detail: String, challenge: String) -> Problem {
    var problem = Problem(.unauthorized, detail)
    problem.fields = [("www-authenticate", "Bearer realm=\"weir\"" + challenge)]
    return problem
  }

  /// The token of `Bearer token`; nil for anything else. The scheme's case does not matter
  /// (RFC 9110 §11.1).
  static func bearer(_ line: [UInt8]) -> [UInt8]? {
    let scheme = Array("bearer".utf8)
    guard line.count > scheme.count, line[scheme.count] == ASCII.space,
      line.prefix(scheme.count).map({ ASCII.lowercase($0) }) == scheme
    else { return nil }
    let token = line.dropFirst(scheme.count).drop { $0 == ASCII.space }
    guard !token.isEmpty, token.allSatisfy({ $0 > ASCII.space && $0 < 0x7F }) else { return nil }
    return Array(token)
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
