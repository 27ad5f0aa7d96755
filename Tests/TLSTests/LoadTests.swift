import CLinux
import TLS
import Testing

@Suite struct LoadTests {
  func error(_ files: CertificateFiles, now: Int64 = now) throws -> TLSLoadError? {
    let ring = try #require(TicketKeyRing())
    do throws(TLSLoadError) {
      _ = try ServerTLSContext(
        ServerTLSConfiguration(certificates: [files]), tickets: ring, now: now)
      return nil
    } catch {
      return error
    }
  }

  @Test func `what is wrong with a file is said with its name`() throws {
    let certificates = try TestCertificates.shared.get()
    let directory = certificates.directory
    let good = try files("ec")
    #expect(try error(good) == nil)

    var files = good
    files.chain = directory["missing.pem"]
    #expect(try error(files)?.description == "\(files.chain): No such file or directory")
    files = good
    files.key = directory["missing.key"]
    #expect(try error(files)?.subject == files.key)
    files.key = directory["rsa.key"]
    #expect(try error(files) == TLSLoadError(files.key, .keyMismatch(certificate: good.chain)))
    files.key = directory["encrypted.key"]
    #expect(try error(files) == TLSLoadError(files.key, .encryptedKey))
    files.key = good.chain
    #expect(try error(files) == TLSLoadError(files.key, .badKey))
    files = good
    files.chain = good.key
    #expect(try error(files) == TLSLoadError(files.chain, .badCertificate))
    files = good
    files.staple = good.chain
    #expect(try error(files) == TLSLoadError(good.chain, .badStaple))
  }

  @Test func `a damaged chain is not taken for a shorter one`() throws {
    let directory = try TestCertificates.shared.get().directory
    let text = directory.read("ec.pem")
    try directory.write(
      text + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged.pem")
    var files = try files("ec")
    files.chain = directory["damaged.pem"]
    #expect(try error(files)?.problem == .badCertificate)
    try directory.write(text + directory.read("ca.pem"), "whole.pem")
    files.chain = directory["whole.pem"]
    #expect(try error(files) == nil)
  }

  @Test func `a certificate outside its time is refused`() throws {
    let files = try files("ec")
    if case .expired = try error(files, now: now + 40 * 86_400)?.problem {
    } else {
      Issue.record("not expired")
    }
    if case .notYetValid = try error(files, now: now - 86_400)?.problem {
    } else {
      Issue.record("valid already")
    }
  }

  @Test func `settings are checked`() throws {
    func problem(_ change: (inout ServerTLSConfiguration) -> Void) -> TLSLoadProblem? {
      do {
        _ = try serverContext(["ec"], change)
        return nil
      } catch { return (error as? TLSLoadError)?.problem }
    }
    #expect(problem { $0.ciphers = "NONSENSE" } == .badList("NONSENSE"))
    #expect(problem { $0.cipherSuites = "NONSENSE" } == .badList("NONSENSE"))
    #expect(problem { $0.groups = "NONSENSE" } == .badList("NONSENSE"))
    #expect(problem { $0.certificates = [] } == .badSetting("there must be at least one"))
    #expect(problem { $0.ticketCount = 9 } == .badSetting("must be 0 to 8"))
    #expect(problem { $0.sessionLifetime = 0 } == .badSetting("must be 1 second to 7 days"))
    let key = try files("ec").key
    #expect(problem { $0.clientVerification = .required(authorities: key) } == .badCertificate)
  }
}
