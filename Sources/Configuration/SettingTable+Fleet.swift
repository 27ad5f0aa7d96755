// The settings of `fleet NAME { … }`.

extension Setting {
  private static let second: Int64 = 1_000_000_000

  static let fleetBlock = Setting(
    "fleet", in: .top, shape: "NAME", body: .block(.fleet),
    aliases: ["cluster", "redis"],
    """
    Shares purges with the other PoPs of that fleet, by an engine (Redis 7) that all of them reach \
    (docs/fleet.md).
    """
  ) { arguments, reader in reader.readFleet(&arguments) }

  static let fleet: [Setting] = [
    Setting(
      "server", in: .fleet, .server, repeatable: true, presence: .required,
      example: "server 10.0.0.5:6379;", aliases: ["engine", "redis"],
      """
      A server of the engine. Several are tried in turn until one says that it is the primary. With \
      `sentinel` they are Sentinels.
      """
    ) { server, reader in reader.addFleetServer(server, to: \.servers) },
    Setting(
      "replica", in: .fleet, .server, repeatable: true, example: "replica 10.1.0.5:6379;",
      aliases: ["read_server"],
      """
      A replica of the engine near this PoP, from which the log is read; user, password and `tls` are the \
      same. Several are tried in turn, then the `server`s (not with `sentinel`). What there is to read the primary says, so a replica \
      that lags does not make a PoP serve what was purged.
      """
    ) { server, reader in reader.addFleetServer(server, to: \.replicas) },
    Setting(
      "limit_server", in: .fleet, .server, repeatable: true,
      """
      A server of another engine for the limits that the region shares (`scope region`), near it; user, \
      password and `tls` are the same. Without one they are in the engine that has the log.
      """
    ) { server, reader in reader.addFleetServer(server, to: \.limitServers) },
    Setting(
      "sentinel", in: .fleet, .name, aliases: ["master_name", "sentinel_master"],
      "The name by which Sentinels know the primary; the servers are Sentinels then."
    ) { name, reader in reader.draft.fleet.primary = name.value },
    Setting(
      "region", in: .fleet, .name, to: \.fleet.region,
      "Where this PoP is: what `wait=region` waits for."),
    Setting(
      "pop", in: .fleet, .name, default: "node_name",
      "This PoP's name, by which the others show it."
    ) { name, reader in reader.draft.fleet.pop = name.value },
    Setting(
      "user", in: .fleet, .name, default: "the engine's default user", aliases: ["username"],
      "The engine's user (ACL)."
    ) { name, reader in reader.draft.fleet.user = name.value },
    Setting(
      "password_file", in: .fleet, .path("FILE", of: "a file"),
      aliases: ["password", "requirepass"],
      "A file with the user's password."
    ) { path, reader in
      reader.draft.fleet.password = reader.password(inFile: path).map {
        FleetConfiguration.Secret($0)
      }
    },
    Setting(
      "tls", in: .fleet, .flag, to: \.fleet.isSecure, aliases: ["ssl"],
      "Whether TLS is spoken to the engine; its certificate must be valid and name the server."),
    Setting(
      "trusted_ca", in: .fleet, .path("FILE", of: "a file"), default: "the system's",
      aliases: ["ca", "ca_file"],
      "Certificates (PEM) of authorities that are believed instead of the system's."
    ) { path, reader in reader.draft.fleet.trustFile = reader.resolve(path.value) },
    Setting(
      "max_lag", in: .fleet, .duration(second...(24 * 3_600 * second)), to: \.fleet.maxLag,
      "How long this PoP may be out of step before `when_behind` counts."),
    Setting(
      "when_behind", in: .fleet,
      .choice(FleetConfiguration.WhenBehind.allCases.map { ($0.rawValue, $0) }),
      to: \.fleet.whenBehind,
      """
      What is served after that: what is stored; what is stored once the origin has said that it is \
      still good; or nothing that is stored.
      """),
    Setting(
      "children", in: .fleet, shape: "NETWORK…|none", default: "`trusted_proxies`",
      """
      Where PoPs are whose origin is this one: what they say of how far they have purged counts, and \
      nobody else's word.
      """
    ) { arguments, reader in reader.readChildren(&arguments) },
    Setting(
      "log_length", in: .fleet, .count(100...10_000_000, of: "purges"), to: \.fleet.logLength,
      """
      How many purges the log keeps, about. A PoP that was away for more of them has to take all that it has \
      stored for purged, softly.
      """),
    Setting(
      "validation_rate", in: .fleet, .rate, default: "1000/s", aliases: ["revalidation_rate"],
      """
      Once all that is stored has become stale at the same time, since the log was lost or by a soft purge \
      of everything: how many validations all PoPs together ask of an origin. Each takes an equal part.
      """
    ) { rate, reader in
      reader.draft.fleet.validationRate = LimitRate(
        count: rate.value.count, period: rate.value.period)
    },
  ]
}

extension Reader {
  /// `fleet NAME { … }`
  mutating func readFleet(_ arguments: inout Arguments) {
    draft.fleet = FleetConfiguration(name: "")
    let name = arguments.next(.name, &findings)
    _ = read(.fleet, arguments.body, of: arguments.directive)
    guard let name else { return }
    draft.fleet.name = name.value
    draft.node.fleet = draft.fleet
  }

  /// Adds a server of the engine.
  mutating func addFleetServer(
    _ server: Placed<ServerTarget>, to list: WritableKeyPath<FleetConfiguration, [ServerAddress]>
  ) {
    guard case .host = server.value.address, !server.value.isSecure else {
      findings.error(
        "server: the engine is reached by HOST:PORT", at: server.range,
        help: "tls on; speaks TLS to it")
      return
    }
    draft.fleet[keyPath: list].append(server.value.address)
  }

  /// `children NETWORK…;` or `children none;`
  mutating func readChildren(_ arguments: inout Arguments) {
    if arguments.upcoming?.text == "none" {
      arguments.skip()
      draft.fleet.children = []
    } else {
      draft.fleet.children = readNetworks(&arguments)
    }
  }

  /// The first line of a file with a password.
  mutating func password(inFile path: Placed<String>) -> String? {
    switch FileContents.read(resolve(path.value), most: 64 << 10, onlyRegular: true) {
    case .failure(let problem):
      findings.error(
        "password_file: \(quoted(path.value)) \(problem.described)", at: path.range,
        help: "the path starts from the configuration's directory")
      return nil
    case .success(let contents):
      if contents.isReadableByOthers {
        findings.warning(
          "password_file: \(quoted(path.value)) can be read by every user", at: path.range,
          help: "chmod o-rwx it")
      }
      let line = contents.bytes.prefix { $0 != 0x0A && $0 != 0x0D }
      guard !line.isEmpty, let text = String(validating: line, as: UTF8.self) else {
        findings.error("password_file: \(quoted(path.value)) has no password", at: path.range)
        return nil
      }
      return text
    }
  }
}
