/// `sign aws4 { … }`: how requests to an origin are signed.
public struct OriginSigningConfiguration: Sendable, Equatable {
  /// Whom requests are signed for.
  public enum Credentials: Sendable, Equatable {
    /// A key and its secret, and the token of a temporary one.
    case given(
      accessKey: String, secretKey: FleetConfiguration.Secret,
      sessionToken: FleetConfiguration.Secret?)
    /// A section of a file, which is read again when it changes; its absolute path.
    case file(String, profile: String)
  }

  /// The region that the service is in.
  public var region: String
  /// The service.
  public var service: String
  /// Whom requests are signed for.
  public var credentials: Credentials
  /// The methods that are signed; others are refused.
  public var methods: [String]
  /// Whether queries go to the origin.
  public var keepsQuery: Bool
}
