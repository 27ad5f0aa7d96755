// The settings that say who may ask: `jwt NAME { … }`, and in sites and routes `auth`, `allow`, `deny`.

extension Setting {
  private static let second: Int64 = 1_000_000_000

  /// What stands at the top level.
  static let tokenBlock = Setting(
    "jwt", in: .top, shape: "NAME", body: .block(.jwt), repeatable: true,
    aliases: ["auth_jwt", "oidc", "jwks"],
    "Which tokens let a request in, for `auth jwt NAME` in sites and routes (docs/authentication.md)."
  ) { arguments, reader in reader.readTokens(&arguments) }

  static let tokens: [Setting] = [
    Setting(
      "keys", in: .jwt, shape: "FILE|URL", presence: .required, example: "keys keys.json;",
      aliases: ["auth_jwt_key_file", "jwks_uri", "jwks"],
      """
      The issuer's keys, a JWK set (RFC 7517): a file, or an `https` URL. They are read anew at \
      intervals, and at once when a token names a key that is not among them.
      """
    ) { arguments, reader in reader.readKeys(&arguments) },
    Setting(
      "algorithms", in: .jwt, shape: "NAME…", presence: .required, example: "algorithms ES256;",
      aliases: ["alg", "signing_algorithms"],
      """
      The only algorithms that are accepted, whatever a token says (RFC 8725 §3.1): `HS256` `HS384` \
      `HS512` `RS256` `RS384` `RS512` `PS256` `PS384` `PS512` `ES256` `ES384` `ES512` `EdDSA`.
      """
    ) { arguments, reader in reader.readAlgorithms(&arguments) },
    Setting(
      "issuer", in: .jwt, shape: "TEXT…", aliases: ["iss", "issuers"],
      "The issuers of which `iss` must name one; without it any may."
    ) { arguments, reader in
      reader.draft.tokens.issuers = reader.readTexts(&arguments)
    },
    Setting(
      "audience", in: .jwt, shape: "TEXT…|any", aliases: ["aud", "audiences"],
      """
      The audiences of which `aud` must name one. Without it a token that is for somebody is refused \
      (RFC 7519 §4.1.3); `any` does not look at it.
      """
    ) { arguments, reader in reader.readAudiences(&arguments) },
    Setting(
      "from", in: .jwt, shape: "header|cookie NAME|query NAME", default: "header",
      repeatable: true, aliases: ["token_from", "token_sources", "forward_header"],
      """
      Where a token is looked for; the first place that has one counts. `header` is \
      `Authorization: Bearer …`.
      """
    ) { arguments, reader in reader.readTokenPlace(&arguments) },
    Setting(
      "skew", in: .jwt, .duration(0...(3_600 * second)), to: \.tokens.skew, aliases: ["leeway"],
      "By how much the issuer's clock and this one may differ."),
    Setting(
      "max_age", in: .jwt, .duration(second...(10 * 365 * 24 * 3_600 * second)), none: "none",
      to: \.tokens.maxAge, "The oldest token that is accepted, by its `iat`, whatever its `exp`."),
    Setting(
      "required_claims", in: .jwt, shape: "NAME…", default: "exp", aliases: ["require"],
      "Claims that must be there."
    ) { arguments, reader in
      reader.draft.tokens.requiredClaims = reader.readTexts(&arguments)
    },
    Setting(
      "type", in: .jwt, .fieldText, default: "any", aliases: ["typ"],
      "What `typ` must be, such as `at+jwt` (RFC 8725 §3.11)."
    ) { text, reader in reader.draft.tokens.type = text.value },
    Setting(
      "realm", in: .jwt, .fieldText, to: \.tokens.realm,
      "What `WWW-Authenticate` calls what is protected."),
    Setting(
      "refresh", in: .jwt, .duration(second...(7 * 24 * 3_600 * second)), to: \.tokens.refresh,
      "How often the keys are read anew."),
    Setting(
      "cooldown", in: .jwt, .duration(second...(24 * 3_600 * second)), to: \.tokens.cooldown,
      "The least time between two readings, however many tokens name unknown keys."),
    Setting(
      "ca", in: .jwt, .path("FILE", of: "a file"), default: "the system's",
      aliases: ["trusted_certificate", "tls_ca", "proxy_ssl_trusted_certificate", "ca_file"],
      """
      The certificates that vouch for the server of an `https` URL, in PEM: of a private authority, \
      say. They count in place of the system's.
      """
    ) { path, reader in reader.readTrustFile(path) },
  ]

  /// What stands in a site, for all its routes, and in a route.
  static func admission(in block: Block) -> [Setting] {
    [
      Setting(
        "auth", in: block, shape: "KIND …", default: block == .route ? "the site's" : "off",
        aliases: ["auth_basic", "auth_jwt", "basicauth", "basic_auth", "satisfy"],
        """
        Who may ask (docs/authentication.md): `auth jwt NAME [optional] [shared]`, \
        `auth api_keys FILE [header NAME] [shared]`, `auth basic FILE [realm TEXT] [shared]`, \
        `auth signed_url FILE`, `auth service NAME [shared]`, or `auth off`.
        """
      ) { arguments, reader in reader.readAuthentication(&arguments, in: block) },
      Setting(
        "allow", in: block, shape: "FILE|NETWORK…", repeatable: true,
        aliases: ["allow_list", "remote_ip"],
        "Only clients of these addresses and networks may ask; a file has one on each line."
      ) { arguments, reader in reader.readAccess(&arguments, \.allowed, in: block) },
      Setting(
        "deny", in: block, shape: "FILE|NETWORK…", repeatable: true,
        aliases: ["deny_list", "block_list"],
        "Clients of these addresses and networks may not ask, even if allowed: 403."
      ) { arguments, reader in reader.readAccess(&arguments, \.denied, in: block) },
    ]
  }
}

extension Syntax where Value == String {
  /// A text that can stand in a field: printable ASCII.
  static var fieldText: Syntax {
    Syntax(
      "TEXT", expected: "printable ASCII, at most 1000 bytes",
      read: { text throws(Problem) in
        guard !text.isEmpty, text.utf8.count <= 1_000 else {
          throw Problem("the text is empty, or longer than 1000 bytes")
        }
        guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else {
          throw Problem("the text has a character that is not printable ASCII")
        }
        return text
      }, write: { $0 })
  }
}
