import TLS
import Testing

/// Clients that are asked for a certificate by the name that they ask for.
@Suite struct VerificationTests {
  /// A server that asks nobody but those who come for `closed.example` or a name below `deep.example`.
  func server(_ verification: ClientVerification? = nil) throws -> ServerTLSContext {
    let authority = try TestCertificates.shared.get().authority
    let required = ClientVerification.required(authorities: authority)
    return try serverContext {
      $0.verifications = ["closed.example": required, "*.deep.example": required]
      if let verification { $0.clientVerification = verification }
    }
  }

  /// A client that takes any certificate.
  func client(_ version: TLSVersion, certificate: String? = nil) throws -> ClientTLSContext {
    try clientContext {
      $0.verifies = false
      $0.maximumVersion = version
      $0.certificate = certificate.flatMap { try? files($0) }
    }
  }

  @Test(arguments: [TLSVersion.tls12, .tls13])
  func `the name decides what is asked`(version: TLSVersion) throws {
    let server = try server()
    for host in ["a.example", "deep.example", "other.example"] {
      let ends = try Ends(server, client(version), host: host)
      #expect(ends.serverResult == .done, "\(host)")
      #expect(ends.server.verification == 0)
    }
    for host in ["closed.example", "CLOSED.example.", "x.deep.example", "x.y.deep.example"] {
      let refused = try Ends(server, client(version), host: host)
      #expect(refused.serverResult.failure == .certificateMissing, "\(host)")
      let known = try Ends(server, client(version, certificate: "client"), host: host)
      #expect(known.serverResult == .done, "\(host)")
      #expect(known.server.peerCertificate?.isVerified == true)
      let authority = try TestCertificates.shared.get().authority
      let asked = ClientVerification.required(authorities: authority).identity
      #expect(asked != 0 && known.server.verification == asked)
    }
  }

  @Test(arguments: [TLSVersion.tls12, .tls13])
  func `a name may be asked nothing where all others are`(version: TLSVersion) throws {
    let authority = try TestCertificates.shared.get().authority
    let server = try serverContext {
      $0.clientVerification = .required(authorities: authority)
      $0.verifications = ["open.example": .none]
    }
    #expect(try Ends(server, client(version), host: "open.example").serverResult == .done)
    let refused = try Ends(server, client(version), host: "a.example")
    #expect(refused.serverResult.failure == .certificateMissing)
  }

  /// In TLS 1.3 OpenSSL looks at the ticket before it calls back for the name.
  @Test(arguments: [TLSVersion.tls12, .tls13])
  func `a session that was not asked leads to no name that asks`(version: TLSVersion) throws {
    let server = try server()
    let client = try client(version)
    var first = try Ends(server, client, host: "a.example")
    #expect(first.pass("x") == "x")
    let session = first.client.session()
    let own = try Ends(server, client, host: "a.example", resuming: session)
    #expect(own.server.isResumed == true)
    for host in ["closed.example", "x.y.deep.example"] {
      let stolen = try Ends(server, client, host: host, resuming: session)
      #expect(stolen.serverResult.failure == .certificateMissing, "\(host)")
    }
  }

  @Test(arguments: [TLSVersion.tls12, .tls13])
  func `a session is resumed under the question that it was made under`(version: TLSVersion) throws
  {
    let server = try server()
    let client = try client(version, certificate: "client")
    var first = try Ends(server, client, host: "closed.example")
    #expect(first.pass("x") == "x")
    let session = first.client.session()
    let again = try Ends(server, client, host: "closed.example", resuming: session)
    #expect(again.server.isResumed == true)
    #expect(again.server.peerCertificate?.isVerified == true)
    #expect(again.server.verification != 0)
    let elsewhere = try Ends(server, client, host: "a.example", resuming: session)
    #expect(elsewhere.serverResult == .done)
    #expect(elsewhere.server.isResumed == false)
  }
}
