package import Rules

/// A `jwt` block: which tokens let a request in (RFC 7519, RFC 8725).
public struct TokenConfiguration: Sendable, Equatable {
  /// Its name.
  public var name: String
  /// Where the keys are.
  public var keys = KeyPlace.file("")
  /// Issuers of which `iss` must name one; empty: any.
  public var issuers: [String] = []
  /// Audiences of which `aud` must name one; empty: a token for somebody is refused.
  public var audiences: [String] = []
  /// Whether `aud` is not looked at.
  public var ignoresAudience = false
  /// The algorithms that are accepted, by their names in JOSE.
  public var algorithms: [String] = []
  /// Where tokens are looked for, in order.
  public var places: [TokenPlace] = []
  /// By how much clocks may differ, nanoseconds.
  public var skew: Int64 = 60_000_000_000
  /// The oldest `iat` that is accepted, nanoseconds before now; nil: any.
  public var maxAge: Int64?
  /// Claims that must be there.
  public var requiredClaims = ["exp"]
  /// What `typ` must be; nil: anything.
  public var type: String?
  /// What the challenge calls the protection space.
  public var realm = "weir"
  /// How often the keys are fetched, or the file is read, nanoseconds.
  public var refresh: Int64 = 600_000_000_000
  /// The least time between two fetches, nanoseconds.
  public var cooldown: Int64 = 30_000_000_000
  /// The certificates that are trusted for the keys' server, a file (absolute); nil: the system's.
  public var trustFile: String?

  /// Tokens of a name.
  public init(name: String) { self.name = name }
}

/// Where keys are.
public enum KeyPlace: Sendable, Equatable {
  /// A file, absolute.
  case file(String)
  /// A document on a server.
  case url(String)
}

/// Where a token stands in a request.
public enum TokenPlace: Sendable, Equatable {
  /// `Authorization: Bearer …`
  case header
  /// A cookie of that name.
  case cookie(String)
  /// A parameter of the query.
  case query(String)
}

/// `auth` of a site or a route: who may ask.
public struct AuthenticationConfiguration: Sendable, Equatable {
  /// What must be shown.
  public enum Kind: Sendable, Equatable {
    /// A token of the `jwt` block of that name; with `optional`, or nothing.
    case token(name: String, isOptional: Bool)
    /// A key of a file (absolute), in the field of that name.
    case apiKeys(file: String, field: String)
    /// A name and password of a file.
    case basic(file: String, realm: String)
    /// A URL that was signed with a key of a file.
    case signedURL(file: String)
    /// What the `auth_service` of that name wants to see.
    case service(name: String)
  }
  /// What must be shown.
  public var kind: Kind
  /// Whether responses to those who are let in may be stored and given to each other.
  public var isShared = false

  /// What must be shown.
  public init(_ kind: Kind) { self.kind = kind }
}

/// A list of addresses and networks.
package struct AccessList: Sendable, Equatable {
  /// What is on it, or was when its file was read.
  package var addresses: AddressSet
  /// The file that it comes from, absolute; nil: it stands in the configuration.
  package var file: String?

  /// Whether an address is on it.
  package func contains(_ address: IPAddress) -> Bool { addresses.contains(address) }
}

/// `allow` and `deny` of a site and a route.
public struct AccessConfiguration: Sendable, Equatable {
  /// Who may ask; empty: all who are not denied.
  package var allowed: [AccessList] = []
  /// Who may not.
  package var denied: [AccessList] = []

  /// Everybody.
  public init() {}

  /// Whether everybody may ask.
  public var isOpen: Bool { allowed.isEmpty && denied.isEmpty }
}
