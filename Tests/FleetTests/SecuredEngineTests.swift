import EdgeTesting
import Fleet
import Redis
import RedisTesting
import Testing

/// An engine that is reached by TLS, as a user of its own.
@Suite(.enabled(if: RedisProcess.isInstalled, "redis-server is not installed"))
struct SecuredEngineTests {
  /// An engine with a port for TLS besides, and the settings of who reaches it there.
  private func engine(
    _ certificates: TestCertificates, _ leaf: String
  ) throws -> (RedisProcess, RedisSettings) {
    let port = try FreePort.take()
    let directory = certificates.directory
    let engine = try RedisProcess([
      "--tls-port", "\(port)", "--tls-auth-clients", "no",
      "--tls-cert-file", directory.file("\(leaf).pem"),
      "--tls-key-file", directory.file("\(leaf).key"),
      "--tls-ca-cert-file", certificates.authority,
    ])
    var settings = RedisSettings(servers: [RedisServer(host: "127.0.0.1", port: port)])
    settings.isSecure = true
    settings.trustFile = certificates.authority
    return (engine, settings)
  }

  @Test func `a fleet shares its purges by TLS, as a user with a password`() async throws {
    let certificates = try await TestCertificates()
    try await certificates.leaf("engine", "IP:127.0.0.1")
    let (engine, secured) = try engine(certificates, "engine")
    var settings = secured
    try engine.command("ACL", "SETUSER", "weir", "on", ">secret", "~*", "&*", "+@all")
    try engine.command("ACL", "SETUSER", "default", "-@all", "+ping")
    settings.user = "weir"
    settings.password = "secret"
    let pops = try ["a", "b"].map { try TestPoP($0, engine: settings) }
    for pop in pops { try pop.inStep() }
    let before = try pops[1].purges
    #expect(try pops[0].reach(of: pops[0].purge("shoes")).isComplete)
    #expect(try pops[1].purges == before + 1)
  }

  @Test func `an engine that others vouch for, or that has another's name, is not believed`()
    async throws
  {
    let certificates = try await TestCertificates()
    let others = try await TestCertificates()
    try await certificates.leaf("engine", "IP:127.0.0.1")
    try await certificates.leaf("other", "DNS:redis.example, IP:127.0.0.9")
    let (first, trusting) = try engine(certificates, "engine")
    var stranger = trusting
    stranger.trustFile = others.authority
    let (second, renamed) = try engine(certificates, "other")
    for settings in [stranger, renamed] {
      let failure = try RedisSession(settings).failureToConnect()
      guard case .tls? = failure else {
        Issue.record("\(String(describing: failure))")
        continue
      }
    }
    // Who is believed is told by the authority alone.
    #expect(try RedisSession(trusting).connect(milliseconds: 60_000))
    withExtendedLifetime((first, second)) {}
  }
}
