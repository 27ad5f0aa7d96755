// What the TLS module is told: all certificates of the node and its sites, each once.

package import TLS

extension NodeConfiguration {
  /// TLS towards clients; nil if no listener has it, or there is no certificate.
  package func serverTLS() -> ServerTLSConfiguration? {
    let all = allCertificates
    guard !tlsListeners.isEmpty, !all.isEmpty else { return nil }
    var settings = ServerTLSConfiguration(certificates: all)
    settings.refusesUnknownNames = tls.refusesUnknownNames
    settings.minimumVersion = tls.minimumVersion == .tls13 ? .tls13 : .tls12
    if let ciphers = tls.ciphers { settings.ciphers = ciphers }
    if let suites = tls.cipherSuites { settings.cipherSuites = suites }
    if let groups = tls.groups { settings.groups = groups }
    settings.applicationProtocols = http2.isOn ? [.http2, .http1] : [.http1]
    settings.clientVerification = clientVerification
    for site in sites where site.clientCertificates != nil {
      for host in site.hosts { settings.verifications[host] = clientVerification(of: site) }
    }
    settings.ticketCount = tls.tickets
    settings.sessionLifetime = Int(clamping: max(tls.ticketLifetime / 1_000_000_000, 1))
    settings.maxEarlyData = tls.takesEarlyData ? Self.earlyDataLimit : 0
    settings.usesKernelTLS = tls.usesKernel
    return settings
  }

  /// TLS towards the operator; nil if its listener has no certificate.
  package var adminTLS: ServerTLSConfiguration? {
    guard let certificate = admin?.certificate else { return nil }
    var settings = ServerTLSConfiguration(certificates: [
      CertificateFiles(
        chain: certificate.chain, key: certificate.key, staple: certificate.staple)
    ])
    settings.minimumVersion = tls.minimumVersion == .tls13 ? .tls13 : .tls12
    settings.applicationProtocols = [.http1]
    return settings
  }

  /// Bytes that a client may send before its handshake's end: heads of requests, with HTTP/2's preface.
  private static let earlyDataLimit: UInt32 = 16_384

  /// What is asked of clients where no site says otherwise.
  package var clientVerification: ClientVerification {
    Self.verification(tls.clientCertificates, tls.clientAuthorities)
  }

  /// What is asked of a site's clients.
  package func clientVerification(of site: SiteConfiguration) -> ClientVerification {
    guard let asked = site.clientCertificates else { return clientVerification }
    return Self.verification(asked, site.clientAuthorities ?? tls.clientAuthorities)
  }

  private static func verification(
    _ asked: ClientCertificates, _ authorities: String?
  ) -> ClientVerification {
    switch (asked, authorities) {
    case (.optional, let path?): .optional(authorities: path)
    case (.required, let path?): .required(authorities: path)
    default: .none
    }
  }

  /// How many keys of tickets before the current one are kept, so that a ticket lives as long as it may.
  package var keptTicketKeys: Int {
    let (lifetime, rotation) = (tls.ticketLifetime, max(tls.ticketRotation, 1))
    return Int(clamping: lifetime / rotation) + (lifetime % rotation == 0 ? 0 : 1)
  }

  /// The node's certificates, then the sites', each file once. A name that a site shows a certificate of
  /// its own for is not the node's.
  private var allCertificates: [CertificateFiles] {
    var files: [CertificateFiles] = []
    for certificate in certificates {
      files.append(
        CertificateFiles(
          chain: certificate.chain, key: certificate.key, staple: certificate.staple))
    }
    let own = files.count
    for certificate in sites.flatMap(\.certificates) {
      let made = CertificateFiles(
        chain: certificate.chain, key: certificate.key, staple: certificate.staple,
        names: certificate.names)
      let place = files[own...].firstIndex {
        $0.chain == made.chain && $0.key == made.key && $0.staple == made.staple
      }
      guard let place else {
        files.append(made)
        continue
      }
      files[place].names = files[place].names.flatMap { names in
        made.names.map { names + $0.filter { !names.contains($0) } }
      }
    }
    let taken = Set(files[own...].flatMap { $0.names ?? [] })
    for index in 0..<own { files[index].yielded = taken }
    return files
  }
}
