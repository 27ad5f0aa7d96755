// A worker's gates: what each route wants to be shown, with keys and memory of the worker's own. What the
// workers share is in `NodeCredentials`.
//
// First checks of signatures are rationed: so many in a turn, the rest in the next, so that a flood of new
// tokens delays those who bring them and nobody else. Passwords are checked by a thread of their own.

internal import Authentication
internal import Bytes
internal import Configuration
internal import Cryptography
internal import EventLoop
internal import Rules

/// What a route wants to be shown.
enum Gate {
  /// A token.
  case token(TokenGate)
  /// An API key.
  case key(KeyGate)
  /// A name and password.
  case password(PasswordGate)
  /// A signature in the URL.
  case url(URLGate)
  /// What a service wants to see.
  case service(ServiceGate)
}

final class TokenGate {
  let authenticator: TokenAuthenticator
  let places: [TokenLocation]
  let isOptional: Bool
  let isShared: Bool
  let challenge: Challenge

  init(
    _ authenticator: TokenAuthenticator, _ tokens: TokenConfiguration, isOptional: Bool,
    isShared: Bool
  ) {
    self.authenticator = authenticator
    places = tokens.places.map { place in
      switch place {
      case .header: .authorization
      case .cookie(let name): .cookie(named: name)
      case .query(let name): .query(named: name)
      }
    }
    self.isOptional = isOptional
    self.isShared = isShared
    challenge = Challenge.of(tokens.realm)
  }
}

final class KeyGate {
  let check: APIKeyCheck
  /// The name of the field, in lower case.
  let field: [UInt8]
  let isShared: Bool

  init(_ check: APIKeyCheck, field: String, isShared: Bool) {
    self.check = check
    self.field = Array(field.utf8)
    self.isShared = isShared
  }
}

final class PasswordGate {
  let authenticator: BasicAuthenticator
  let challenge: Challenge
  let isShared: Bool

  init(_ authenticator: BasicAuthenticator, realm: String, isShared: Bool) {
    self.authenticator = authenticator
    challenge = Challenge.of(realm)
    self.isShared = isShared
  }
}

final class URLGate {
  private let source: Published<[URLKey]>
  private var generation: UInt64 = 0
  private var signer: URLSigner?

  init(_ source: Published<[URLKey]>) { self.source = source }

  /// What comes of a target; malformed if OpenSSL cannot be had.
  func verify(_ target: ByteView, client: SignedAddress, now: Int64) -> URLOutcome {
    if source.generation != generation {
      let (keys, newest) = source.current
      generation = newest
      signer = try? URLSigner(keys)
    }
    return signer?.verify(target, client: client, now: now) ?? .unknownKey
  }
}

extension Challenge {
  /// For a realm of the configuration, which is printable ASCII.
  fileprivate static func of(_ realm: String) -> Challenge {
    Challenge(realm: realm) ?? Challenge(realm: "weir").unsafelyMade
  }
}

extension Optional where Wrapped == Challenge {
  /// Of a realm that is a literal.
  fileprivate var unsafelyMade: Challenge {
    guard let self else { preconditionFailure("a plain realm is a realm") }
    return self
  }
}

/// The gates of all routes, for one worker.
final class Gates {
  /// By the route's index; nil where nothing must be shown.
  let gates: [Gate?]
  /// By the route's index: from where it may be asked; nil: from everywhere.
  let access: [RouteAccess?]
  /// What remembers clients, by the name of the `jwt` block, and by the file of passwords.
  private let tokens: [String: (settings: TokenConfiguration, check: TokenAuthenticator)]
  private let passwords: [String: BasicAuthenticator]
  /// What services have answered, by the name of the `auth_service` block.
  private let services:
    [String: (settings: AuthenticationServiceConfiguration, memory: ServiceMemory)]
  /// First checks of tokens in a turn.
  static let checksPerTurn = 32
  /// How long a request waits for keys or for a password to be checked.
  static let patience: Int64 = 10_000_000_000

  /// Gates, which know the clients that those of the configuration before knew.
  init(
    _ configuration: NodeConfiguration, _ credentials: NodeCredentials, after former: Gates? = nil
  ) {
    var authenticators: [String: (settings: TokenConfiguration, check: TokenAuthenticator)] = [:]
    for (index, tokens) in configuration.tokens.enumerated()
    where index < credentials.keySources.count {
      // With the same settings it has the same source.
      let known = former?.tokens[tokens.name]
      if let known, known.settings == tokens {
        authenticators[tokens.name] = known
      } else {
        let check = TokenAuthenticator(
          rules: tokens.rules, source: credentials.keySources[index], secret: Random.hash128())
        authenticators[tokens.name] = (tokens, check)
      }
    }
    var services: [String: (settings: AuthenticationServiceConfiguration, memory: ServiceMemory)] =
      [:]
    for service in configuration.authenticationServices {
      let known = former?.services[service.name]
      if let known, known.settings == service {
        services[service.name] = known
      } else {
        services[service.name] = (service, ServiceGate.memory(service))
      }
    }
    access = configuration.sites.flatMap(\.routes).map { route in
      route.access.isOpen ? nil : RouteAccess(route.access, credentials.lists)
    }
    var passwords: [String: BasicAuthenticator] = [:]
    gates = configuration.sites.flatMap(\.routes).map { route in
      guard let authentication = route.authentication else { return nil }
      let isShared = authentication.isShared
      switch authentication.kind {
      case .token(let name, let isOptional):
        guard let authenticator = authenticators[name]?.check,
          let tokens = configuration.tokens.first(where: { $0.name == name })
        else { return .url(URLGate(Published([]))) }
        return .token(
          TokenGate(authenticator, tokens, isOptional: isOptional, isShared: isShared))
      case .apiKeys(let file, let field):
        let source = credentials.apiKeys[file] ?? Published(APIKeySet())
        guard let check = try? APIKeyCheck(source) else { return Gates.shut }
        return .key(KeyGate(check, field: field, isShared: isShared))
      case .basic(let file, let realm):
        let authenticator =
          passwords[file] ?? former?.passwords[file]
          ?? Gates.authenticator(file, credentials)
        guard let authenticator else { return Gates.shut }
        passwords[file] = authenticator
        return .password(PasswordGate(authenticator, realm: realm, isShared: isShared))
      case .signedURL(let file):
        return .url(URLGate(credentials.urlKeys[file] ?? Published([])))
      case .service(let name):
        guard let service = services[name],
          let pool = configuration.origins.firstIndex(where: {
            $0.name == service.settings.origin
          })
        else { return Gates.shut }
        return .service(
          ServiceGate(service.settings, pool: pool, isShared: isShared, memory: service.memory))
      }
    }
    tokens = authenticators
    self.passwords = passwords
    self.services = services
  }

  private static func authenticator(
    _ file: String, _ credentials: NodeCredentials
  ) -> BasicAuthenticator? {
    guard let source = credentials.passwords[file], let attempts = credentials.attempts,
      let secret = try? SecureRandom.bytes(32)
    else { return nil }
    return try? BasicAuthenticator(source, attempts: attempts, secret: secret)
  }

  /// A gate that nobody passes, where a check cannot be made: there are no keys.
  private static var shut: Gate { .url(URLGate(Published([]))) }
}

extension TokenConfiguration {
  /// As the authenticator takes them.
  var rules: TokenRules {
    let algorithms = algorithms.compactMap { name in
      name.withView { SignatureAlgorithm(name: $0) }
    }
    return TokenRules(
      algorithms: algorithms, issuers: issuers, audiences: audiences,
      ignoresAudience: ignoresAudience, skew: skew / 1_000_000,
      maxAge: maxAge.map { $0 / 1_000_000 }, requiredClaims: requiredClaims, type: type)
  }
}
