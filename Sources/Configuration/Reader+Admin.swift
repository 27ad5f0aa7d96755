// The operator's listener: who may ask it, and where what they did is written down.

extension Reader {
  /// Where the admin listens if nothing is said.
  static let usualAdmin = AdminAddress.network(ListenAddress(host: "127.0.0.1", port: 9090))

  /// `admin ADDRESS { … }`
  mutating func readAdmin(_ arguments: inout Arguments) {
    draft.admin = AdminConfiguration(address: Self.usualAdmin, token: nil)
    let address =
      arguments.upcoming == nil
      ? Placed(value: Self.usualAdmin, range: arguments.directive.range)
      : arguments.next(.adminAddress, &findings)
    let errors = findings.errorCount
    let seen = read(.admin, arguments.body, of: arguments.directive)
    guard let address else { return }
    switch address.value {
    case .unix(let path):
      draft.admin.address = .unix(resolve(path))
      checkSocketPath(resolve(path), at: address.range)
    case .network(let listen):
      draft.admin.address = address.value
      let isTokenGiven =
        seen.has("token") || seen.has("token_file") || !draft.admin.tokens.isEmpty
        || (seen.has("tokens") && findings.errorCount > errors)
      if !isTokenGiven && arguments.directive.isWhole && isComplete {
        checkReach(of: listen, at: address.range)
      }
      declareAdmin(listen, at: address.range)
      if let range = seen.settings["mode"] {
        findings.warning(
          "\"mode\" means nothing here", at: range,
          help: "it is for a listener such as unix:/run/weir/admin.sock")
      }
    }
    draft.node.admin = draft.admin
  }

  private mutating func checkSocketPath(_ path: String, at range: SourceRange) {
    guard path.utf8.count > 107 else { return }
    findings.error("admin: a unix socket's path has at most 107 bytes", at: range)
  }

  /// Without a token nobody but this machine may reach it.
  private mutating func checkReach(of address: ListenAddress, at range: SourceRange) {
    guard !Addresses.isLoopback(address.host) else { return }
    findings.error(
      "admin: \(address.text) can be reached from elsewhere and has no token", at: range,
      help: "add a token_file, or listen on 127.0.0.1:\(address.port)")
  }

  private mutating func declareAdmin(_ address: ListenAddress, at range: SourceRange) {
    guard address.port != 0 else { return }
    if let first = declared.listeners[address] {
      findings.error(
        "admin: \(address.text) is given to clients already", at: range,
        related: Finding.Note(message: "by this listen", range: first))
    }
    declared.listeners[address] = range
  }

  /// `certificate FILE key FILE;`
  mutating func readAdminCertificate(_ arguments: inout Arguments) {
    draft.admin.certificate = takeCertificate(&arguments)?.files
  }

  /// The tokens of a file, whose defects are reported where it is named.
  mutating func readAdminTokens(_ path: Placed<String>) {
    let file = resolve(path.value)
    draft.admin.tokensFile = file
    do throws(AdminTokenFile.Defect) {
      draft.admin.tokens = try AdminTokenFile.read(file)
    } catch {
      let place = error.line > 0 ? ", line \(error.line):" : ""
      findings.error(
        "tokens: \(quoted(path.value))\(place) \(error.text)", at: path.range,
        help: "weir token NAME --file \(path.value) adds a token")
    }
  }
}
