// The operator's listener: who may ask it, and where what they did is written down.

extension Reader {
  /// Where the admin listens if nothing is said.
  static let usualAdmin = ListenAddress(host: "127.0.0.1", port: 9090)

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
