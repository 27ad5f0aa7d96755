// TLS and HTTP/2 towards clients.

/// A certificate, its chain and its key.
public struct CertificateConfiguration: Sendable, Equatable {
  /// PEM: the certificate, then its chain. Absolute.
  public var chain: String
  /// PEM: the private key. Absolute.
  public var key: String
  /// DER: an OCSP response to staple. Absolute; nil: none.
  public var staple: String?
  /// The names that it is shown for, in lower case; `*.a.example` for one label more. Nil: those that
  /// it carries.
  public var names: [String]?

  /// A certificate for all its names.
  public init(chain: String, key: String, staple: String? = nil, names: [String]? = nil) {
    self.chain = chain
    self.key = key
    self.staple = staple
    self.names = names
  }
}

/// What is asked of clients' certificates.
public enum ClientCertificates: Sendable, Equatable {
  /// Nothing.
  case off
  /// One is asked for; without, the handshake goes on.
  case optional
  /// Without one the handshake fails.
  case required
}

/// The oldest version that is spoken.
public enum TLSMinimum: Sendable, Equatable {
  /// TLS 1.2.
  case tls12
  /// TLS 1.3.
  case tls13
}

/// The `tls` block, for all listeners with TLS.
public struct TLSConfiguration: Sendable, Equatable {
  /// The oldest version.
  public var minimumVersion = TLSMinimum.tls12
  /// Ciphers of TLS 1.2 in OpenSSL's names; nil: the usual ones.
  public var ciphers: String?
  /// Cipher suites of TLS 1.3; nil: the usual ones.
  public var cipherSuites: String?
  /// Groups for the key exchange; nil: the usual ones.
  public var groups: String?
  /// Clients' certificates.
  public var clientCertificates = ClientCertificates.off
  /// PEM: who may have signed them. Absolute.
  public var clientAuthorities: String?
  /// Whether a client that asks for a name which no certificate has is refused.
  public var refusesUnknownNames = false
  /// How many session tickets a full handshake gives.
  public var tickets = 1
  /// How long a session can be resumed, nanoseconds.
  public var ticketLifetime: Int64 = 7_200_000_000_000
  /// How often the key of tickets changes, nanoseconds.
  public var ticketRotation: Int64 = 3_600_000_000_000
  /// Whether clients that resume a session may send requests before their handshake's end.
  public var takesEarlyData = false
  /// Whether a rule or a limit's key asks for clients' fingerprints.
  public var needsFingerprints = false
  /// Whether the kernel may take over the records.
  public var usesKernel = false
  /// How long a handshake may take, nanoseconds.
  public var handshakeTimeout: Int64 = 10_000_000_000
  /// Handshakes a second of each worker; nil: no limit.
  public var handshakeRate: Int?
  /// How often files of certificates are looked at, nanoseconds; nil: never.
  public var watchInterval: Int64? = 10_000_000_000

  /// The defaults.
  public init() {}
}

/// How many frames of a kind a connection may send.
public struct FrameRateConfiguration: Sendable, Equatable {
  /// In the long run.
  public var perSecond: Int
  /// At once.
  public var burst: Int

  /// A rate.
  public init(perSecond: Int, burst: Int) {
    self.perSecond = perSecond
    self.burst = burst
  }
}

/// The `http2` block.
public struct HTTP2Configuration: Sendable, Equatable {
  /// Whether it is offered to clients with TLS.
  public var isOn = true
  /// Streams that may be open at once.
  public var maxStreams: UInt32 = 128
  /// CONTINUATION frames of one field section.
  public var maxContinuations = 8
  /// Streams opened and reset.
  public var resets = FrameRateConfiguration(perSecond: 50, burst: 300)
  /// SETTINGS.
  public var settings = FrameRateConfiguration(perSecond: 1, burst: 10)
  /// PING.
  public var pings = FrameRateConfiguration(perSecond: 10, burst: 60)
  /// PRIORITY and PRIORITY_UPDATE.
  public var priorities = FrameRateConfiguration(perSecond: 100, burst: 1_000)
  /// Frames with little or nothing in them.
  public var smallFrames = FrameRateConfiguration(perSecond: 2_000, burst: 1_000)
  /// WINDOW_UPDATE.
  public var windowUpdates = FrameRateConfiguration(perSecond: 20_000, burst: 20_000)
  /// How long content may wait for the client's window, nanoseconds.
  public var stallTimeout: Int64 = 30_000_000_000
  /// The receive window of a stream at first.
  public var window: UInt32 = 65_535
  /// What it may grow to.
  public var maxWindow: UInt32 = 1 << 20
  /// What the windows of a worker's connections may grow by in all.
  public var windowMemory: UInt64 = 64 << 20
  /// Bytes of the table that compresses fields of responses.
  public var fieldTable = 4_096

  /// The defaults.
  public init() {}
}

/// `hsts`: HTTP Strict Transport Security (RFC 6797).
public struct StrictTransport: Sendable, Equatable {
  /// How long a client remembers it, seconds.
  public var maxAge: Int64
  /// Whether it is for all names below, too.
  public var includesSubdomains: Bool
  /// Whether the site may be put on browsers' lists.
  public var preloads: Bool

  /// A policy.
  public init(maxAge: Int64, includesSubdomains: Bool, preloads: Bool) {
    self.maxAge = maxAge
    self.includesSubdomains = includesSubdomains
    self.preloads = preloads
  }

  /// The field's value.
  public var fieldValue: String {
    "max-age=\(maxAge)" + (includesSubdomains ? "; includeSubDomains" : "")
      + (preloads ? "; preload" : "")
  }
}
