// The blocks of the top level but for sites: what the node itself has.

internal import Bytes
internal import Rules

extension Reader {
  /// An absolute path of one that may be relative to the file's directory.
  func resolve(_ path: String) -> String { Self.resolve(path, from: directory) }

  /// The same of a directory.
  static func resolve(_ path: String, from directory: String) -> String {
    if path.hasPrefix("/") { return path }
    var rest = path[...]
    while rest.hasPrefix("./") { rest = rest.dropFirst(2).drop { $0 == "/" } }
    if rest.isEmpty || rest == "." { return directory }
    return directory.hasSuffix("/") ? directory + rest : "\(directory)/\(rest)"
  }

  /// Adds where clients connect.
  mutating func addListener(_ address: Placed<ListenAddress>) {
    if address.value.port != 0, let first = declared.listeners[address.value] {
      findings.error(
        "listen: \(address.value.text) is given twice", at: address.range,
        related: Finding.Note(message: "the first is here", range: first))
      return
    }
    declared.listeners[address.value] = address.range
    draft.node.listeners.append(address.value)
  }

  /// `health_paths LIVE READY [from NETWORK…]`
  mutating func readHealthPaths(_ arguments: inout Arguments) {
    let live = arguments.next(.routePath, &findings)
    let ready = arguments.next(.routePath, &findings)
    var networks: [IPNetwork]?
    if let word = arguments.upcoming {
      arguments.skip()
      guard word.text == "from", arguments.upcoming != nil else {
        findings.error(
          "health_paths: networks stand behind \"from\"", at: word.range,
          help: "as in health_paths /healthz /readyz from 10.0.0.0/8 ::1;")
        while arguments.upcoming != nil { arguments.skip() }
        return
      }
      var list: [IPNetwork] = []
      while let word = arguments.upcoming {
        arguments.skip()
        if let network = Array(word.text.utf8).withView({ IPNetwork.parse($0) }) {
          list.append(network)
        } else {
          findings.error(
            "health_paths: \(quoted(word.text)) is neither an address nor a network",
            at: word.range, help: "addresses are written 192.0.2.1, networks 192.0.2.0/24")
        }
      }
      networks = list
    }
    guard let live, let ready else { return }
    if live.value == ready.value {
      findings.error(
        "health_paths: the paths are the same", at: ready.range,
        help: "the first says that the node is alive, the second that it is ready")
    }
    draft.node.healthPaths = HealthPathsConfiguration(
      live: live.value, ready: ready.value, networks: networks.map { AddressSet($0) })
  }

  /// Adds a database of where addresses are.
  mutating func addGeoDatabase(_ path: Placed<String>) {
    guard draft.node.geoDatabases.count < 2 else {
      findings.error(
        "there are more than two geo databases", at: path.range,
        help: "one of cities or countries, and one of networks (ASN)")
      return
    }
    draft.node.geoDatabases.append(resolve(path.value))
  }

  /// `store DIR { … }`
  mutating func readStore(_ arguments: inout Arguments) {
    draft.store = StoreConfiguration(path: "")
    let path = arguments.next(.path("DIR", of: "a directory"), &findings)
    let errors = findings.errorCount
    let seen = read(.store, arguments.body, of: arguments.directive)
    if findings.errorCount == errors, let range = seen.settings["max_object"],
      draft.store.maxObject > draft.store.size
    {
      findings.warning(
        "\"max_object\" is larger than the store", at: range,
        help: "the store's size is \(Units.text(size: draft.store.size))")
    }
    guard let path else { return }
    draft.store.path = resolve(path.value)
    draft.node.store = draft.store
  }

  /// `client { … }`
  mutating func readClient(_ arguments: inout Arguments) {
    let errors = findings.errorCount
    let seen = read(.client, arguments.body, of: arguments.directive)
    let client = draft.node.client
    if findings.errorCount == errors, let range = seen.settings["max_request_line"],
      client.maxRequestLine > client.maxHeader
    {
      findings.warning(
        "\"max_request_line\" is larger than \"max_header\"", at: range,
        help:
          "a head, request line included, has at most \(Units.text(size: UInt64(client.maxHeader)))"
      )
    }
  }
}

// The operator's tokens.
extension Reader {
  /// A token, with a warning if it can be guessed.
  mutating func checkedToken(_ token: Placed<String>) -> String {
    if token.value.utf8.count < 16 {
      findings.warning(
        "the token is short", at: token.range,
        help: "use at least 16 characters, for example of openssl rand -hex 16")
    }
    return token.value
  }
}

// Pools.
extension Reader {
  /// `origin NAME { … }` and `origin NAME SERVER…;`
  mutating func readOrigin(_ arguments: inout Arguments) {
    draft.origin = OriginConfiguration(name: "")
    declared.servers = [:]
    declared.secureServer = nil
    declared.plainServer = nil
    let name = arguments.next(.name, &findings)
    var seen = Seen()
    while let word = arguments.upcoming {
      seen.settings["server"] = word.range
      guard let server = arguments.next(.server, &findings) else { continue }
      noteScheme(of: server)
      let configuration = ServerConfiguration(resolved(server.value.address))
      addServer(Placed(value: configuration, range: server.range))
    }
    seen = read(.origin, arguments.body, of: arguments.directive, given: seen)
    checkServers(of: arguments.directive, seen)
    decideTransport(of: arguments.directive)
    decideSigning(of: arguments.directive)
    guard let name, declare(name, "origin", in: \.origins) else { return }
    draft.origin.name = name.value
    draft.node.origins.append(draft.origin)
  }

  /// Records a name; whether it is the first of its kind, which is reported otherwise.
  mutating func declare(
    _ name: Placed<String>, _ kind: String,
    in names: WritableKeyPath<Declarations, [String: SourceRange]>
  ) -> Bool {
    if let first = declared[keyPath: names][name.value] {
      findings.error(
        "there are two of \(kind) \(quoted(name.value))", at: name.range,
        related: Finding.Note(message: "the first is here", range: first))
      return false
    }
    declared[keyPath: names][name.value] = name.range
    return true
  }
}
