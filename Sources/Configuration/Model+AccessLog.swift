/// An access log, `access_log`: where lines go, what they look like, and what is not to be read in them.
public struct AccessLogConfiguration: Sendable, Equatable {
  /// Where lines go.
  public var target = AccessLogTarget.off
  /// What a line looks like.
  public var format = AccessLogFormat.json
  /// Of a million requests so many have a line; those answered with 5xx always.
  public var sample: UInt32 = 1_000_000
  /// How clients' addresses are shown.
  public var clientAddresses = ClientAddressDisplay.full
  /// Which values of query parameters are left out.
  public var redaction = QueryRedaction.usual([])
  /// From how many bytes on the file is put aside; nil: whatever its size.
  public var rotateSize: UInt64?
  /// From what age on, nanoseconds; nil: whatever its age.
  public var rotateAge: Int64?
  /// How many files that were put aside are kept.
  public var keep = 14
  /// For how long they are kept, nanoseconds; nil: however long.
  public var keepFor: Int64?
  /// Whether they are compressed.
  public var compressesRotated = false
  /// The facility of messages to syslog, 0 to 23 (RFC 5424 §6.2.1).
  public var syslogFacility: UInt8 = 23
  /// The name that they come under.
  public var syslogTag = "weir"

  /// No log.
  public init() {}
}

/// Where the access log goes.
public enum AccessLogTarget: Sendable, Equatable {
  /// Nowhere.
  case off
  /// Standard output.
  case standardOutput
  /// A file, absolute, reopened on SIGUSR1.
  case file(String)
  /// The datagram socket of a syslog server, absolute.
  case syslogSocket(String)
  /// A syslog server by UDP: a numeric address and a port.
  case syslogServer(host: String, port: UInt16)
}

/// What a line of the access log looks like.
public enum AccessLogFormat: Sendable, Equatable {
  /// A JSON object with every field.
  case json
  /// NCSA's combined log format, as Apache, nginx and Varnish write it.
  case combined
  /// A JSON object with these fields, in this order; `log` stands for what rules log.
  case fields([String])
  /// Text with fields, `$name` or `${name}`.
  case template(String)
}

/// How clients' addresses stand in the access log.
public enum ClientAddressDisplay: Sendable, Equatable {
  /// As they are.
  case full
  /// The first 24 bits of IPv4, the first 48 of IPv6.
  case shortened
  /// Another in their place, the same one for a day.
  case hashed
}

/// Whose values are left out of logged queries.
public enum QueryRedaction: Sendable, Equatable {
  /// Of the names that are known to carry credentials, and of these.
  case usual([String])
  /// Of these alone.
  case only([String])
}
