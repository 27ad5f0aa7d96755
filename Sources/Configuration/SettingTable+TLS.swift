// The settings of TLS and HTTP/2: certificates, `tls { … }`, `http2 { … }`, and what sites say of them.

extension Setting {
  private static let second: Int64 = 1_000_000_000

  static let tlsTop: [Setting] = [
    Setting(
      "certificate", in: .top, shape: "FILE key FILE [ocsp FILE]", repeatable: true,
      aliases: ["ssl_certificate", "tls_certificate", "cert"],
      """
      A certificate with its chain (PEM) and its key, for clients that ask for one of its names and for \
      those that name no host. With `ocsp` a response to staple (DER). One of RSA and one of ECDSA may \
      stand side by side.
      """
    ) { arguments, reader in reader.readCertificate(&arguments, isOfSite: false) },
    Setting(
      "tls", in: .top, shape: "", body: .block(.tls), aliases: ["ssl", "https"],
      "TLS towards clients, for all listeners that have it."
    ) { arguments, reader in reader.readTLS(&arguments) },
    Setting(
      "http2", in: .top, shape: "[on|off]", body: .optional(.http2), default: "on",
      aliases: ["h2", "protocols"],
      "Whether clients with TLS are offered HTTP/2, and what they may take of it."
    ) { arguments, reader in reader.readHTTP2(&arguments) },
  ]

  static let tls: [Setting] = [
    Setting(
      "min_version", in: .tls, .choice([("1.2", .tls12), ("1.3", .tls13)]),
      to: \.node.tls.minimumVersion, aliases: ["ssl_protocols", "protocols"],
      "The oldest version of TLS that is spoken."),
    Setting(
      "ciphers", in: .tls, .cipherList, none: "forward secret, authenticated",
      to: \.node.tls.ciphers, aliases: ["ssl_ciphers"],
      "Ciphers of TLS 1.2 in OpenSSL's names, by colons."),
    Setting(
      "cipher_suites", in: .tls, .cipherList, none: "all three", to: \.node.tls.cipherSuites,
      aliases: ["ciphersuites"], "Cipher suites of TLS 1.3, by colons."),
    Setting(
      "groups", in: .tls, .cipherList, none: "X25519:P-256:P-384", to: \.node.tls.groups,
      aliases: ["ssl_ecdh_curve", "curves"], "Groups for the key exchange, by colons."),
    Setting(
      "verify", in: .tls,
      .choice([("off", .off), ("optional", .optional), ("required", .required)]),
      to: \.node.tls.clientCertificates, aliases: ["ssl_verify_client", "client_auth"],
      """
      Whether clients are asked for certificates. With `optional` rules decide by \
      `tls.client.subject`; with `required` the handshake fails without one.
      """),
    Setting(
      "client_ca", in: .tls, .path("FILE", of: "a file"),
      aliases: ["ssl_client_certificate", "ca_file"],
      "Who may have signed clients' certificates (PEM)."
    ) { path, reader in reader.readClientAuthorities(path) },
    Setting(
      "refuse_unknown_names", in: .tls, .flag, to: \.node.tls.refusesUnknownNames,
      aliases: ["ssl_reject_handshake", "strict_sni"],
      "Whether a client that asks for a name which no certificate has is refused; else it is shown the first."
    ),
    Setting(
      "tickets", in: .tls, .count(0...8, of: "tickets"), to: \.node.tls.tickets,
      aliases: ["ssl_session_tickets"],
      "How many session tickets a full handshake gives; 0: none, so that no session is resumed."),
    Setting(
      "ticket_lifetime", in: .tls, .duration(second...(604_800 * second)),
      to: \.node.tls.ticketLifetime, aliases: ["ssl_session_timeout"],
      "How long a session can be resumed."),
    Setting(
      "ticket_rotation", in: .tls, .duration((60 * second)...(604_800 * second)),
      to: \.node.tls.ticketRotation,
      "How often the key of tickets changes. What was recorded is safe once the last key is forgotten."
    ),
    Setting(
      "early_data", in: .tls, .flag, to: \.node.tls.takesEarlyData,
      aliases: ["ssl_early_data", "zero_rtt", "0rtt"],
      """
      Whether a client that resumes a session by TLS 1.3 may send requests before its handshake's end \
      (0-RTT). Of these a fresh stored response answers a GET or HEAD at once; all else waits for the end.
      """
    ),
    Setting(
      "kernel", in: .tls, .flag, to: \.node.tls.usesKernel, aliases: ["ktls"],
      "Whether the kernel may take over the records of connections, where it can."),
    Setting(
      "handshake_timeout", in: .tls, .duration(1_000_000...(3_600 * second)),
      to: \.node.tls.handshakeTimeout,
      "How long a handshake may take, from the connection's start."),
    Setting(
      "handshakes", in: .tls, .perSecond("handshakes"), none: "off", isWord: true,
      to: \.node.tls.handshakeRate,
      "How many handshakes each worker begins in a second; further clients wait."),
    Setting(
      "watch", in: .tls, .duration(second...(86_400 * second)), none: "off", isWord: true,
      to: \.node.tls.watchInterval,
      "How often the files of certificates are looked at; one that was renewed is taken in."),
  ]

  static let http2: [Setting] = [
    Setting(
      "streams", in: .http2, .count(1...1_024, of: "streams"), to: \.node.http2.maxStreams,
      aliases: ["http2_max_concurrent_streams", "max_concurrent_streams"],
      "How many requests of a connection may be open at once."),
    Setting(
      "continuations", in: .http2, .count(0...1_000, of: "frames"),
      to: \.node.http2.maxContinuations, "CONTINUATION frames of one request's fields, at most."),
    frames(
      "resets", to: \.resets,
      "Streams that a client opens and resets, or breaks rules in (rapid reset)."),
    frames("settings", to: \.settings, "SETTINGS frames."),
    frames("pings", to: \.pings, "PING frames."),
    frames("priorities", to: \.priorities, "PRIORITY and PRIORITY_UPDATE frames."),
    frames("small_frames", to: \.smallFrames, "DATA of less than 64 bytes, and unknown frames."),
    frames("window_updates", to: \.windowUpdates, "WINDOW_UPDATE frames."),
    Setting(
      "stall_timeout", in: .http2, .duration(1_000_000...(3_600 * second)),
      to: \.node.http2.stallTimeout,
      "How long content may wait for the client's window before the connection is ended."),
    Setting(
      "window", in: .http2, .size(65_535...(16 << 20)), to: \.node.http2.window,
      aliases: ["http2_body_preread_size", "initial_window_size"],
      "How much of a request's content is taken before anybody reads it."),
    Setting(
      "max_window", in: .http2, .size(65_535...(1 << 30)), to: \.node.http2.maxWindow,
      "What the windows of a connection may grow to when its path is long and fat."),
    Setting(
      "window_memory", in: .http2, .size(0...(1 << 40)), to: \.node.http2.windowMemory,
      "What the windows of each worker's connections may grow by in all; then they stay as they are."
    ),
    Setting(
      "field_table", in: .http2, .size(0...65_536), to: \.node.http2.fieldTable,
      "Bytes of the table that compresses fields of responses, for each connection that is used."),
  ]

  /// A limit on frames.
  private static func frames(
    _ name: String,
    to path: any WritableKeyPath<HTTP2Configuration, FrameRateConfiguration> & Sendable,
    _ text: String
  ) -> Setting {
    let plain = HTTP2Configuration()[keyPath: path]
    return Setting(
      name, in: .http2, shape: "NUMBER/s [burst=NUMBER]", range: "1/s to 1000000/s",
      default: "\(plain.perSecond)/s burst=\(plain.burst)", unit: "frames",
      argumentNames: ["burst"], text + " More end the connection."
    ) { arguments, reader in
      reader.draft.node.http2[keyPath: path] = reader.readFrameRate(&arguments) ?? plain
    }
  }

  static let tlsSite: [Setting] = [
    Setting(
      "certificate", in: .site, shape: "FILE key FILE [ocsp FILE]", repeatable: true,
      aliases: ["ssl_certificate", "tls_certificate", "cert"],
      "A certificate for this site's names, as at the top level."
    ) { arguments, reader in reader.readCertificate(&arguments, isOfSite: true) },
    Setting(
      "verify", in: .site,
      .choice([("off", .off), ("optional", .optional), ("required", .required)]),
      aliases: ["ssl_verify_client", "client_auth"],
      """
      Whether this site's clients are asked for certificates; else as `tls` says. It is reached only by connections that \
      asked for one of its names, and not by plain HTTP if it is `required`.
      """
    ) { choice, reader in reader.readSiteVerification(choice) },
    Setting(
      "client_ca", in: .site, .path("FILE", of: "a file"),
      aliases: ["ssl_client_certificate", "ca_file"],
      "Who may have signed certificates of this site's clients (PEM)."
    ) { path, reader in reader.readSiteAuthorities(path) },
    Setting(
      "hsts", in: .site, shape: "DURATION [include_subdomains] [preload]",
      aliases: ["strict_transport_security"],
      """
      Tells browsers to use TLS only, for so long (`Strict-Transport-Security`), unless the response \
      says so itself. Not said over plain HTTP.
      """
    ) { arguments, reader in reader.readStrictTransport(&arguments) },
    Setting(
      "redirect_to_https", in: .site, shape: "[on|off] [port=NUMBER]", default: "off",
      aliases: ["https_redirect", "ssl_redirect"], argumentNames: ["port"],
      """
      Answers plain HTTP with 308 and the same address with `https`, but for \
      `/.well-known/acme-challenge/`.
      """
    ) { arguments, reader in reader.readHTTPSRedirect(&arguments) },
  ]
}

extension Syntax where Value == String {
  /// A list of OpenSSL's names by colons; whether it knows them is asked when all is read.
  static var cipherList: Syntax {
    Syntax(
      "LIST", expected: "names by colons, such as ECDHE-RSA-AES128-GCM-SHA256",
      read: { text throws(Problem) in
        guard !text.isEmpty, text.utf8.count <= 4_096,
          text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { throw Problem("\(quoted(text)) is no list of names") }
        return text
      }, write: { $0 })
  }
}

extension Syntax where Value == Int {
  /// So many a second.
  static func perSecond(_ what: String) -> Syntax {
    Syntax(
      "NUMBER/s", expected: "a rate such as 500/s", range: "1/s to 1000000/s", unit: what,
      read: { text throws(Problem) in
        let rate = try Units.rate(text)
        guard rate.period == 1_000_000_000 else {
          throw Problem("\(quoted(text)) is not a number for each second")
        }
        guard rate.count <= 1_000_000 else {
          throw Problem("\(quoted(text)) is out of range", help: "expected at most 1000000/s")
        }
        return Int(rate.count)
      }, write: { "\($0)/s" })
  }
}
