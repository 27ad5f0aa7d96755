// Certificates, TLS and HTTP/2. The files of certificates are read here, so that what is wrong with them is
// said with the line that names them, before anything relies on it.

internal import CLinux
internal import TLS

/// A certificate of the file, with what was found in it.
struct DeclaredCertificate {
  var files: CertificateConfiguration
  /// Where its files are named.
  var chain: SourceRange
  var key: SourceRange
  var staple: SourceRange?
  /// The names that it carries; nil if it could not be read.
  var carried: [String]?
}

extension DeclaredCertificate {
  /// Where the file is named that an error is about.
  func range(of error: TLSLoadError) -> SourceRange {
    switch error.problem {
    case .badKey, .encryptedKey, .keyMismatch: key
    case .badStaple: staple ?? chain
    default:
      switch error.subject {
      case files.chain: chain
      case files.key: key
      default: staple ?? chain
      }
    }
  }
}

/// What was said of TLS, and where.
struct DeclaredTLS {
  /// Listeners with TLS.
  var listeners: [SourceRange] = []
  /// Certificates of the node, and of the open site.
  var node: [DeclaredCertificate] = []
  var site: [DeclaredCertificate] = []
  /// Where each file and each setting of `tls` stands.
  var places: [String: SourceRange] = [:]
  /// The first certificate.
  var first: SourceRange?
}

extension Reader {
  /// `certificate FILE key FILE [ocsp FILE];`
  mutating func readCertificate(_ arguments: inout Arguments, isOfSite: Bool) {
    declaredTLS.first = declaredTLS.first ?? arguments.directive.range
    guard let declared = takeCertificate(&arguments) else { return }
    if isOfSite { declaredTLS.site.append(declared) } else { declaredTLS.node.append(declared) }
  }

  /// The files of a certificate, looked into; nil if they are not named.
  mutating func takeCertificate(_ arguments: inout Arguments) -> DeclaredCertificate? {
    let file = Syntax<String>.path("FILE", of: "a file")
    guard let chain = arguments.next(file, &findings),
      takeWord("key", &arguments, isRequired: true),
      let key = arguments.next(file, &findings)
    else { return nil }
    var certificate = CertificateConfiguration(
      chain: resolve(chain.value), key: resolve(key.value))
    var stapleRange: SourceRange?
    if takeWord("ocsp", &arguments, isRequired: false) {
      guard let staple = arguments.next(file, &findings) else { return nil }
      certificate.staple = resolve(staple.value)
      stapleRange = staple.range
    }
    if declaredTLS.places[certificate.chain] == nil {
      declaredTLS.places[certificate.chain] = chain.range
    }
    var declared = DeclaredCertificate(
      files: certificate, chain: chain.range, key: key.range, staple: stapleRange, carried: nil)
    inspect(&declared)
    return declared
  }

  /// Passes a word that stands between files.
  private mutating func takeWord(
    _ text: String, _ arguments: inout Arguments, isRequired: Bool
  ) -> Bool {
    if let word = arguments.upcoming, word.text == text, !word.isQuoted {
      arguments.skip()
      return true
    }
    guard isRequired, arguments.directive.isWhole else { return false }
    let place = arguments.upcoming?.range ?? arguments.directive.range.end
    findings.error("certificate: \"\(text)\" was expected", at: place, help: "write key FILE here")
    while arguments.upcoming != nil { arguments.skip() }
    return false
  }

  private mutating func inspect(_ declared: inout DeclaredCertificate) {
    let files = CertificateFiles(
      chain: declared.files.chain, key: declared.files.key, staple: declared.files.staple)
    do throws(TLSLoadError) {
      let facts = try files.inspect(now: Int64(time(nil)))
      declared.carried = facts.names
      if let notice = facts.notice {
        findings.warning("certificate: \(notice)", at: declared.staple ?? declared.chain)
      }
      warnOfReaders(declared.files.key, at: declared.key)
    } catch {
      findings.error(
        "certificate: \(error.reason)", at: declared.range(of: error), help: error.help)
    }
  }

  private mutating func warnOfReaders(_ key: String, at range: SourceRange) {
    guard case .success(let contents) = FileContents.read(key, most: 1 << 20, onlyRegular: true),
      contents.isReadableByOthers
    else { return }
    findings.warning(
      "certificate: the private key can be read by every user", at: range, help: "chmod o-rwx it")
  }

  /// `tls { … }`
  mutating func readTLS(_ arguments: inout Arguments) {
    let seen = read(.tls, arguments.body, of: arguments.directive)
    for (name, range) in seen.settings { declaredTLS.places[name] = range }
  }

  /// `client_ca FILE;`
  mutating func readClientAuthorities(_ path: Placed<String>) {
    draft.node.tls.clientAuthorities = resolve(path.value)
    declaredTLS.places[resolve(path.value)] = path.range
  }

  /// `verify off|optional|required;` of a site
  mutating func readSiteVerification(_ choice: Placed<ClientCertificates>) {
    draft.siteVerification = choice
  }

  /// `client_ca FILE;` of a site
  mutating func readSiteAuthorities(_ path: Placed<String>) {
    draft.siteAuthorities = Placed(value: resolve(path.value), range: path.range)
    declaredTLS.places[resolve(path.value)] = path.range
  }

  /// `http2 [on|off] { … }`
  mutating func readHTTP2(_ arguments: inout Arguments) {
    if arguments.upcoming != nil {
      draft.node.http2.isOn = arguments.next(.flag, &findings)?.value ?? true
    }
    _ = read(.http2, arguments.body, of: arguments.directive)
  }

  /// `NUMBER/s [burst=NUMBER]`; nil, with the reason reported, if it is wrong.
  mutating func readFrameRate(_ arguments: inout Arguments) -> FrameRateConfiguration? {
    let rate = arguments.next(.perSecond("frames"), &findings)
    let burst: Placed<Int>? = arguments.named(
      "burst", .count(1...1_000_000, of: "frames"), &findings)
    return rate.map { FrameRateConfiguration(perSecond: $0.value, burst: burst?.value ?? $0.value) }
  }

  /// `hsts DURATION [include_subdomains] [preload];`
  mutating func readStrictTransport(_ arguments: inout Arguments) {
    let second: Int64 = 1_000_000_000
    let age = arguments.next(.duration(0...(10 * 365 * 86_400 * second)), &findings)
    var policy = StrictTransport(
      maxAge: (age?.value ?? 0) / second, includesSubdomains: false, preloads: false)
    var preload: SourceRange?
    while let word = arguments.upcoming {
      let choice = arguments.next(
        .choice([("include_subdomains", true), ("preload", false)]), &findings)
      switch choice?.value {
      case true?: policy.includesSubdomains = true
      case false?:
        policy.preloads = true
        preload = word.range
      case nil: break
      }
    }
    guard age != nil else { return }
    if let preload, !policy.includesSubdomains || policy.maxAge < 31_536_000 {
      findings.warning(
        "hsts: browsers take a site onto their lists only with include_subdomains and a year or more",
        at: preload, help: "hsts 365d include_subdomains preload;")
    }
    draft.siteTransport = policy
  }

  /// `redirect_to_https [on|off] [port=NUMBER];`
  mutating func readHTTPSRedirect(_ arguments: inout Arguments) {
    var isOn = true
    if arguments.upcoming != nil { isOn = arguments.next(.flag, &findings)?.value ?? true }
    let port: Placed<UInt16>? = arguments.named("port", .count(1...65_535, of: "a port"), &findings)
    draft.siteRedirect = isOn ? port?.value ?? 443 : nil
  }
}

// What needs the whole block, or the whole file.
extension Reader {
  /// Begins a site.
  mutating func beginSiteTLS() {
    declaredTLS.site = []
    draft.siteTransport = nil
    draft.siteRedirect = nil
    draft.siteVerification = nil
    draft.siteAuthorities = nil
  }

  /// What a site asks of its clients' certificates.
  private mutating func endVerification(_ site: inout SiteConfiguration) {
    site.clientCertificates = draft.siteVerification?.value
    site.clientAuthorities = draft.siteAuthorities?.value
    if let asked = draft.siteVerification, site.hosts.contains("*") {
      findings.error(
        "verify: the site is for every host", at: asked.range, help: "say it in tls { … }")
    }
    if let path = draft.siteAuthorities, draft.siteVerification == nil {
      findings.warning(
        "client_ca: the site asks for no certificates", at: path.range,
        help: "add verify optional; or verify required;")
    }
  }

  /// Gives a site what was read for it.
  mutating func endSiteTLS(_ site: inout SiteConfiguration) {
    site.strictTransport = draft.siteTransport
    site.redirectPort = draft.siteRedirect
    endVerification(&site)
    var answered: Set<String> = []
    for declared in declaredTLS.site {
      var files = declared.files
      if let carried = declared.carried {
        let names = CertificateNames.answered(hosts: site.hosts, carried: carried)
        answered.formUnion(names)
        files.names = names
        if names.isEmpty {
          findings.warning(
            "certificate: it is for none of this site's names", at: declared.chain,
            help: "it is for \(carried.prefix(4).joined(separator: ", "))")
        }
      }
      site.certificates.append(files)
    }
    guard let first = declaredTLS.site.first, declaredTLS.site.allSatisfy({ $0.carried != nil }),
      !answered.isEmpty
    else { return }
    for host in site.hosts
    where host != "*" && !CertificateNames.isAnswered(host, by: answered) {
      findings.warning(
        "certificate: none of this site's is for \(quoted(host))", at: first.chain,
        help: "clients will refuse the connection")
    }
  }

  /// Checks what certificates, listeners and settings make together.
  mutating func checkTLS() {
    draft.node.certificates = declaredTLS.node.map(\.files)
    guard isComplete else { return }
    let hasAny = declaredTLS.first != nil
    if let listener = declaredTLS.listeners.first, !hasAny {
      findings.error(
        "listen: there is no certificate to show here", at: listener,
        help: "add certificate FILE key FILE; at the top level or in sites")
    }
    if let certificate = declaredTLS.first, declaredTLS.listeners.isEmpty,
      findings.errorCount == 0
    {
      findings.warning(
        "certificate: no listener has TLS", at: certificate, help: "add listen :443 tls;")
    }
    checkClientCertificates()
    guard findings.errorCount == 0, var settings = draft.node.serverTLS() else {
      return
    }
    settings.applicationProtocols = []
    guard let ring = TicketKeyRing() else { return }
    do throws(TLSLoadError) {
      _ = try ServerTLSContext(settings, tickets: ring, now: Int64(time(nil)))
    } catch {
      let name = error.subject.split(separator: " ").joined(separator: "_")
      let place = declaredTLS.places[error.subject] ?? declaredTLS.places[name]
      if let place {
        findings.error("tls: \(error.reason)", at: place, help: error.help)
      } else {
        findings.general(.error, "tls: \(error)", help: "see docs/tls.md")
      }
    }
  }

  private mutating func checkClientCertificates() {
    let tls = draft.node.tls
    if tls.clientCertificates != .off, tls.clientAuthorities == nil,
      let range = declaredTLS.places["verify"]
    {
      findings.error(
        "verify: nobody's signature would be good", at: range, help: "add client_ca FILE;")
    }
    for site in draft.node.sites {
      guard let asked = site.clientCertificates, asked != .off,
        site.clientAuthorities == nil, tls.clientAuthorities == nil
      else { continue }
      findings.general(
        .error, "verify: nobody's signature would be good for \(site.hosts[0])",
        help: "add client_ca FILE; to the site, or to tls { … }")
    }
    let isUsed = draft.node.sites.contains { $0.clientCertificates ?? .off != .off }
    if tls.clientCertificates == .off, !isUsed, tls.clientAuthorities != nil,
      findings.errorCount == 0,
      let range = declaredTLS.places["client_ca"]
    {
      findings.warning(
        "client_ca: clients are not asked for certificates", at: range,
        help: "add verify optional; or verify required;")
    }
  }
}

/// Which names of a certificate a site's hosts are answered with.
enum CertificateNames {
  /// The names under which a site shows a certificate: its hosts as far as the certificate has them, and
  /// what the certificate has of a site for many.
  static func answered(hosts: [String], carried: [String]) -> [String] {
    var names: [String] = []
    for host in hosts {
      if host == "*" { return carried }
      if host.hasPrefix("*.") {
        names += carried.filter { $0 == host || $0.hasSuffix(host.dropFirst()) }
      } else if isAnswered(host, by: Set(carried)) {
        names.append(host)
      }
    }
    var seen: Set<String> = []
    return names.filter { seen.insert($0).inserted }
  }

  /// Whether a certificate with those names is good for a host (RFC 6125 §6.4.3).
  static func isAnswered(_ host: String, by names: Set<String>) -> Bool {
    if names.contains(host) { return true }
    if host.hasPrefix("*.") {
      let rest = host.dropFirst()
      return names.contains { $0.hasSuffix(rest) }
    }
    guard let dot = host.firstIndex(of: ".") else { return false }
    return names.contains("*" + host[dot...])
  }
}
