internal import COpenSSL

/// A version of TLS that is still fit for use (RFC 8996 ended the earlier ones).
package enum TLSVersion: String, Sendable, CaseIterable {
  /// TLS 1.2 (RFC 5246).
  case tls12 = "1.2"
  /// TLS 1.3 (RFC 8446).
  case tls13 = "1.3"

  var number: Int32 {
    switch self {
    case .tls12: TLS1_2_VERSION
    case .tls13: TLS1_3_VERSION
    }
  }
}

/// A protocol above TLS, as ALPN names it (RFC 7301).
package enum ApplicationProtocol: Equatable, Sendable {
  /// `http/1.1`
  case http1
  /// `h2`
  case http2

  var name: StaticString {
    switch self {
    case .http1: "http/1.1"
    case .http2: "h2"
    }
  }
}

/// What a server asks of its clients' certificates.
package enum ClientVerification: Equatable, Sendable {
  /// Nothing: none is asked for.
  case none
  /// One is asked for; without one, or with one that does not verify, the handshake goes on, and
  /// `PeerCertificate.isVerified` says which it was. The path is a PEM file of certificate authorities.
  case optional(authorities: String)
  /// Without one that verifies the handshake fails.
  case required(authorities: String)

  /// The same number for the same question, in this process: what was verified under one says nothing
  /// about another.
  package var identity: Int {
    switch self {
    case .none: 0
    case .optional(let path): (path + "\0optional").hashValue | 1
    case .required(let path): (path + "\0required").hashValue | 1
    }
  }

  var authorities: String? {
    switch self {
    case .none: nil
    case .optional(let path), .required(let path): path
    }
  }
}

/// All there is to set about TLS towards clients.
package struct ServerTLSConfiguration: Sendable {
  /// The certificates; the first is for clients that name no host, or one that no certificate has.
  /// Several of one name and different kinds of key (RSA and ECDSA) stand side by side: the client's
  /// abilities choose, ECDSA first.
  package var certificates: [CertificateFiles]
  /// Whether a client that names a host which no certificate has is refused (alert
  /// unrecognized_name, RFC 6066 §3) instead of being shown the first certificate.
  package var refusesUnknownNames = false
  /// The oldest version to speak.
  package var minimumVersion = TLSVersion.tls12
  /// Ciphers of TLS 1.2 in OpenSSL's names: forward secrecy and authenticated encryption only.
  package var ciphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    + "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
  /// Cipher suites of TLS 1.3.
  package var cipherSuites =
    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
  /// Groups for the key exchange.
  package var groups = "X25519:P-256:P-384"
  /// Protocols to choose from, the preferred one first. Empty: no ALPN.
  package var applicationProtocols: [ApplicationProtocol] = [.http2, .http1]
  /// Clients' certificates.
  package var clientVerification = ClientVerification.none
  /// What is asked of clients that ask for certain names instead: `a.example`, or `*.a.example` for all
  /// below it. In lower case.
  package var verifications: [String: ClientVerification] = [:]
  /// How many tickets a full handshake of TLS 1.3 sends, 0 to 8; a resumed one sends one.
  package var ticketCount = 1
  /// How long a session may be resumed, in seconds; RFC 8446 §4.6.1 allows up to seven days.
  package var sessionLifetime = 7_200
  /// Bytes of early data (RFC 8446 §2.3) that a client may send; 0: none. What comes early can be
  /// replayed by anybody who saw it: see `TLSConnection.hasEarlyData` and `EarlyDataRegister`.
  package var maxEarlyData: UInt32 = 0
  /// Whether the kernel may take over the records of a connection, where it can.
  package var usesKernelTLS = false

  /// The defaults with some certificates.
  package init(certificates: [CertificateFiles]) { self.certificates = certificates }
}
