// The settings of `tls { … }` in an origin: how servers prove who they are, and how the node does.

extension Setting {
  static let originTransport: [Setting] = [
    Setting(
      "tls", in: .origin, shape: "", body: .optional(.originTLS),
      aliases: ["ssl", "proxy_ssl", "transport"],
      """
      Speaks TLS to the servers of the pool. `server https://…` says the same with the defaults: the \
      certificate must be valid, and name the server.
      """
    ) { arguments, reader in reader.readOriginTLS(&arguments) },
    Setting(
      "h2c", in: .origin, .flag, to: \.origin.speaksCleartextHTTP2,
      aliases: ["grpc_pass", "grpc", "http2_prior_knowledge", "versions"],
      """
      Speaks HTTP/2 without TLS to the servers of the pool, from the first byte on: as gRPC servers within a \
      network have it. Upgrades go by HTTP/1.1 all the same, and second tries (`hedge`) are not made.
      """),
    originSigningBlock,
  ]

  static let originTLS: [Setting] = [
    Setting(
      "verify", in: .originTLS, .flag, to: \.originTLS.verifies,
      aliases: ["proxy_ssl_verify", "tls_insecure_skip_verify"],
      """
      Whether a server's certificate must be valid and name it. With `off` whoever can come between may \
      read and change everything.
      """),
    Setting(
      "name", in: .originTLS, .tlsName, none: "the server's", to: \.originTLS.serverName,
      aliases: ["server_name", "proxy_ssl_name", "sni", "tls_server_name"],
      "The name that servers are asked for (SNI), and that their certificates must have."),
    Setting(
      "trusted_ca", in: .originTLS, .path("FILE", of: "a file"), default: "the system's",
      aliases: ["proxy_ssl_trusted_certificate", "ca", "ca_file", "tls_trust_pool"],
      "Certificates (PEM) of authorities that are believed instead of the system's."
    ) { path, reader in reader.setAuthorities(path) },
    Setting(
      "certificate", in: .originTLS, shape: "FILE key FILE",
      aliases: ["proxy_ssl_certificate", "tls_client_auth", "client_certificate"],
      """
      The certificate that the node shows to servers, with its chain, and its private key (PEM, without \
      a password).
      """
    ) { arguments, reader in reader.readClientCertificate(&arguments) },
    Setting(
      "http2", in: .originTLS, .flag, to: \.originTLS.offersHTTP2,
      aliases: ["proxy_http_version", "alpn", "h2"],
      """
      Whether servers are offered HTTP/2; those that choose it get many requests on one connection, each \
      of which counts for `max_connections`. Upgrades, second tries beside the first and health checks go \
      by HTTP/1.1.
      """),
    Setting(
      "min_version", in: .originTLS, .choice([("1.2", .tls12), ("1.3", .tls13)]),
      to: \.originTLS.minimumVersion, aliases: ["proxy_ssl_protocols", "protocols"],
      "The oldest version of TLS that is spoken."),
  ]
}

// MARK: - Reading them

extension Reader {
  /// `tls { … }` in an origin.
  mutating func readOriginTLS(_ arguments: inout Arguments) {
    draft.originTLS = OriginTLSConfiguration()
    let seen = read(.originTLS, arguments.body, of: arguments.directive)
    draft.origin.tls = draft.originTLS
    guard !draft.originTLS.verifies, let range = seen.settings["trusted_ca"] else { return }
    findings.warning(
      "\"trusted_ca\" means nothing here", at: range,
      help: "with \"verify off\" every certificate is taken")
  }

  /// `trusted_ca FILE;`
  mutating func setAuthorities(_ path: Placed<String>) {
    draft.originTLS.authorities = checkedFile(path, of: "trusted_ca")
  }

  /// `certificate FILE key FILE;`
  mutating func readClientCertificate(_ arguments: inout Arguments) {
    let file = Syntax<String>.path("FILE", of: "a file")
    guard let chain = arguments.next(file, &findings),
      arguments.next(.choice([("key", true)]), &findings) != nil,
      let key = arguments.next(file, &findings)
    else { return }
    draft.originTLS.certificate = ClientCertificate(
      chain: checkedFile(chain, of: "certificate"), key: checkedFile(key, of: "certificate"))
  }

  /// The absolute path of a file that must be there and be readable; reported if it is not.
  private mutating func checkedFile(_ path: Placed<String>, of setting: String) -> String {
    let absolute = resolve(path.value)
    if case .failure(let problem) = FileContents.read(absolute, most: 1 << 20, onlyRegular: true) {
      findings.error(
        "\(setting): \(quoted(path.value)) \(problem.described)", at: path.range,
        help: "the path starts from the configuration's directory")
    }
    return absolute
  }

  /// Notes whether a server is spoken to by TLS.
  mutating func noteScheme(of server: Placed<ServerTarget>) {
    if server.value.isSecure {
      declared.secureServer = declared.secureServer ?? server.range
    } else {
      declared.plainServer = declared.plainServer ?? server.range
    }
  }

  /// Settles whether the open pool speaks TLS: all of its servers do, or none.
  mutating func decideTransport(of origin: Directive) {
    defer { checkCleartextHTTP2(of: origin) }
    if let secure = declared.secureServer, draft.origin.tls == nil {
      draft.origin.tls = OriginTLSConfiguration()
      if let plain = declared.plainServer {
        findings.error(
          "a pool speaks TLS to all of its servers, or to none", at: plain,
          help: "write https:// before this one too, or make it a pool of its own",
          related: Finding.Note(message: "this one has https://", range: secure))
      }
    }
    guard let tls = draft.origin.tls, tls.serverName == nil, tls.verifies, isComplete,
      draft.origin.servers.contains(where: { $0.address.isUnix })
    else { return }
    findings.error(
      "\(origin.described) has a unix socket, and no name that its certificate must have",
      at: origin.range, help: "add tls { name app.example.com; }")
  }
}

extension Reader {
  /// What does not go together with `h2c on`.
  private mutating func checkCleartextHTTP2(of origin: Directive) {
    guard draft.origin.speaksCleartextHTTP2 else { return }
    if draft.origin.tls != nil {
      findings.error(
        "\(origin.described): \"h2c\" is HTTP/2 without TLS", at: origin.range,
        help: "with TLS servers are offered HTTP/2 anyway; leave it out")
    }
    if draft.origin.health?.path != nil {
      findings.error(
        "\(origin.described): checks with GET are made by HTTP/1.1, which servers with \"h2c\" do not speak",
        at: origin.range, help: "health connect; opens a connection")
    }
  }
}

extension ServerAddress {
  fileprivate var isUnix: Bool { if case .unix = self { true } else { false } }
}

extension Syntax where Value == String {
  /// A name that a certificate has: of a host, or an address.
  fileprivate static var tlsName: Syntax {
    Syntax(
      "NAME", expected: "a name such as app.example.com, or an address",
      read: { text throws(Problem) in
        guard let name = Addresses.canonical(text) ?? Addresses.hostName(text) else {
          throw Problem("\(quoted(text)) is not a name or address")
        }
        return name
      }, write: { $0 })
  }
}
