import Bytes
import TLS
import Testing

@Suite struct ResumptionTests {
  /// Connects, and returns a session to resume.
  func session(
    _ server: ServerTLSContext, _ client: ClientTLSContext
  ) throws -> TLSSession? {
    var ends = try Ends(server, client)
    #expect(ends.pass("x") == "x")
    #expect(ends.server.isResumed == false)
    return ends.client.session()
  }

  @Test(arguments: [TLSVersion.tls12, .tls13])
  func `contexts that share a ring resume each other's sessions`(version: TLSVersion) throws {
    let ring = try #require(TicketKeyRing())
    let client = try clientContext { $0.maximumVersion = version }
    let session = try session(serverContext(tickets: ring), client)
    var ends = try Ends(serverContext(tickets: ring), client, resuming: session)
    #expect(ends.server.isResumed == true)
    #expect(ends.client.isResumed == true)
    #expect(ends.pass("again") == "again")
    let strange = try Ends(serverContext(), client, resuming: session)
    #expect(strange.serverResult == .done)
    #expect(strange.server.isResumed == false)
  }

  @Test(arguments: [TLSVersion.tls12, .tls13])
  func `a rotated key opens old tickets until it is forgotten`(version: TLSVersion) throws {
    let ring = try #require(TicketKeyRing(kept: 1))
    let server = try serverContext(tickets: ring)
    let client = try clientContext { $0.maximumVersion = version }
    let session = try session(server, client)
    ring.rotate(to: try #require(TicketKey.random()))
    #expect(try Ends(server, client, resuming: session).server.isResumed == true)
    ring.rotate(to: try #require(TicketKey.random()))
    #expect(try Ends(server, client, resuming: session).server.isResumed == false)
  }

  @Test func `a ring rotates when its time has come`() throws {
    let ring = try #require(TicketKeyRing(kept: 0))
    let server = try serverContext(tickets: ring)
    let client = try clientContext()
    ring.rotateIfDue(now: 100, interval: 50)
    let session = try session(server, client)
    ring.rotateIfDue(now: 149, interval: 50)
    #expect(try Ends(server, client, resuming: session).server.isResumed == true)
    ring.rotateIfDue(now: 150, interval: 50)
    #expect(try Ends(server, client, resuming: session).server.isResumed == false)
  }

  @Test func `a session does not carry a client past a new verification`() throws {
    let ring = try #require(TicketKeyRing())
    let authority = try TestCertificates.shared.get().authority
    let client = try clientContext()
    let session = try session(serverContext(tickets: ring), client)
    let strict = try serverContext(tickets: ring) {
      $0.clientVerification = .required(authorities: authority)
    }
    let ends = try Ends(strict, client, resuming: session)
    #expect(ends.serverResult != .done)
  }

  @Test func `a resumed session still knows the client's certificate`() throws {
    let authority = try TestCertificates.shared.get().authority
    let server = try serverContext { $0.clientVerification = .required(authorities: authority) }
    let client = try clientContext { $0.certificate = try? files("client") }
    let ends = try Ends(server, client, resuming: session(server, client))
    #expect(ends.server.isResumed == true)
    #expect(ends.server.peerCertificate?.subject == "CN=Ann,O=Shop")
    #expect(ends.server.peerCertificate?.isVerified == true)
  }

  @Test func `a key from outside has one length`() {
    #expect(TicketKey([UInt8](repeating: 1, count: TicketKey.length)) != nil)
    #expect(TicketKey([UInt8](repeating: 1, count: 48)) == nil)
  }
}
