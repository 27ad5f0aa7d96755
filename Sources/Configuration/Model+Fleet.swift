/// The `fleet` block: the PoPs that this one shares purges with.
public struct FleetConfiguration: Sendable, Equatable {
  /// What a PoP serves that is out of step with the fleet for longer than it may be.
  public enum WhenBehind: String, Sendable, CaseIterable {
    /// What is stored, as ever.
    case serve
    /// What is stored, once the origin has said that it is still good.
    case revalidate
    /// Nothing that is stored.
    case bypass
  }

  /// The fleet's name.
  public var name: String
  /// Servers of the engine, or its Sentinels if `primary` names one: host and port.
  public var servers: [ServerAddress] = []
  /// Replicas near this PoP that the log is read from; empty: it is read where it is written.
  public var replicas: [ServerAddress] = []
  /// Servers of the engine of the region's limits; empty: it is the same.
  public var limitServers: [ServerAddress] = []
  /// The name by which Sentinels know the primary; nil: `servers` are the engine itself.
  public var primary: String?
  /// Where this PoP is.
  public var region = "default"
  /// This PoP's name; nil: the node's.
  public var pop: String?
  /// The engine's user; nil: its default one.
  public var user: String?
  /// The user's password.
  public var password: Secret?
  /// Whether TLS is spoken to the engine.
  public var isSecure = false
  /// Certificates of authorities that are believed instead of the system's; a file's absolute path.
  public var trustFile: String?
  /// How long it may be out of step before `whenBehind` counts, nanoseconds.
  public var maxLag: Int64 = 10_000_000_000
  /// What is served then.
  public var whenBehind = WhenBehind.serve
  /// The networks of PoPs behind this one, whose word about purges counts; nil: all trusted proxies.
  public var children: [String]?
  /// How many purges the log keeps, about.
  public var logLength = 100_000
  /// How many validations all PoPs together ask of an origin, once all that is stored has become stale.
  public var validationRate = LimitRate(count: 1_000, period: 1_000_000_000)

  /// A password, which no text of a configuration shows.
  public struct Secret: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
    /// As it is.
    public let text: String
    /// Not the password.
    public var description: String { "(secret)" }
    /// Nothing of it.
    public var customMirror: Mirror { Mirror(self, children: []) }

    /// A password.
    public init(_ text: String) { self.text = text }
  }

  /// A fleet without an engine yet.
  public init(name: String) { self.name = name }
}
