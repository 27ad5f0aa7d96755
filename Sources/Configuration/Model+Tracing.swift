/// The `trace` block: which requests are traced, and who is told.
public struct TraceConfiguration: Sendable, Equatable {
  /// The URL that traces are posted to.
  public var collector: String
  /// Of a million requests so many are traced.
  public var sample: UInt32 = 10_000
  /// Whether a client that traces its request has it traced here.
  public var followsClients = false

  /// Traces for a collector, of one request in a hundred.
  public init(collector: String) { self.collector = collector }

  /// What a random number of 64 bits must be below for a request to be traced; 0: none is.
  public var threshold: UInt64 {
    sample >= 1_000_000 ? .max : UInt64(sample) * (UInt64.max / 1_000_000)
  }
}
