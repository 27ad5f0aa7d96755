// Who may ask. The files that are named here are read here too, so that what is wrong in them is known
// before anything starts; the node reads them again, since they change.

internal import Authentication
internal import Bytes
internal import Cryptography
internal import Rules

// Tokens.
extension Reader {
  /// `jwt NAME { … }`
  mutating func readTokens(_ arguments: inout Arguments) {
    draft.tokens = TokenConfiguration(name: "")
    let name = arguments.next(.name, &findings)
    let seen = read(.jwt, arguments.body, of: arguments.directive)
    checkTrust(seen)
    guard let name, declare(name, "jwt", in: \.tokens) else { return }
    draft.tokens.name = name.value
    if draft.tokens.places.isEmpty { draft.tokens.places = [.header] }
    draft.node.tokens.append(draft.tokens)
  }

  /// `keys FILE|URL;`
  mutating func readKeys(_ arguments: inout Arguments) {
    guard let place = arguments.next(.path("FILE", of: "a file, or a URL"), &findings) else {
      return
    }
    guard place.value.hasPrefix("https://") || place.value.hasPrefix("http://") else {
      let path = resolve(place.value)
      draft.tokens.keys = .file(path)
      checkFile(place, most: 1 << 20) { bytes throws(FileDefect) in
        do throws(KeySetDefect) {
          _ = try KeySet.read(bytes, allowsSecrets: true)
        } catch {
          throw FileDefect("\(error)")
        }
      }
      return
    }
    do throws(KeyURL.Defect) {
      let url = try KeyURL(place.value)
      if !url.isSecure && !Addresses.isLoopback(url.host) {
        findings.error(
          "keys: \(quoted(place.value)) would be fetched in the clear", at: place.range,
          help: "whoever is on the way could let anybody in: use https")
      }
      draft.tokens.keys = .url(place.value)
    } catch {
      findings.error("keys: \(quoted(place.value)) is not a URL (\(error))", at: place.range)
    }
  }

  /// `ca FILE;`
  mutating func readTrustFile(_ path: Placed<String>) {
    let file = resolve(path.value)
    draft.tokens.trustFile = file
    checkFile(path, most: 16 << 20) { _ throws(FileDefect) in
      do throws(OpenSSLError) {
        _ = try TLSTrust.load(file: file)
      } catch {
        throw FileDefect("it has no certificate in PEM that OpenSSL can read")
      }
    }
  }

  /// Whose certificates count is only asked where keys are fetched over TLS.
  private mutating func checkTrust(_ seen: Seen) {
    guard let range = seen.settings["ca"], draft.tokens.trustFile != nil else { return }
    if case .url(let url) = draft.tokens.keys, url.hasPrefix("https://") { return }
    findings.error(
      "ca: the keys are not fetched over TLS", at: range, help: "remove it, or give an https URL")
  }

  /// `algorithms NAME…;`
  mutating func readAlgorithms(_ arguments: inout Arguments) {
    let names = SignatureAlgorithm.allCases.map { "\($0.name)" }
    repeat {
      let syntax = Syntax<String>.choice(names.map { ($0, $0) })
      guard let name = arguments.next(syntax, &findings) else { continue }
      draft.tokens.algorithms.append(name.value)
    } while arguments.upcoming != nil
  }

  /// `audience TEXT…;` or `audience any;`
  mutating func readAudiences(_ arguments: inout Arguments) {
    if let word = arguments.upcoming, !word.isQuoted, word.text == "any" {
      arguments.skip()
      draft.tokens.ignoresAudience = true
      return
    }
    draft.tokens.audiences = readTexts(&arguments)
  }

  /// `from header|cookie NAME|query NAME;`
  mutating func readTokenPlace(_ arguments: inout Arguments) {
    let kinds = ["header", "cookie", "query"]
    let syntax = Syntax<String>.choice(kinds.map { ($0, $0) })
    guard let kind = arguments.next(syntax, &findings) else { return }
    if kind.value == "header" {
      draft.tokens.places.append(.header)
      return
    }
    guard let name = arguments.next(.name, &findings) else { return }
    draft.tokens.places.append(
      kind.value == "cookie" ? .cookie(name.value) : .query(name.value))
  }

  /// All that is left, at least one.
  mutating func readTexts(_ arguments: inout Arguments) -> [String] {
    var texts: [String] = []
    repeat {
      guard let text = arguments.next(.fieldText, &findings) else { continue }
      texts.append(text.value)
    } while arguments.upcoming != nil
    return texts
  }
}

// Sites and routes.
extension Reader {
  /// `auth KIND …;`
  mutating func readAuthentication(_ arguments: inout Arguments, in block: Setting.Block) {
    let kinds = ["jwt", "api_keys", "basic", "signed_url", "service", "off"]
    let syntax = Syntax<String>.choice(kinds.map { ($0, $0) })
    guard let kind = arguments.next(syntax, &findings) else { return }
    var choice = AuthenticationChoice.off
    switch kind.value {
    case "jwt": choice = readTokenUse(&arguments)
    case "api_keys": choice = readKeyUse(&arguments)
    case "basic": choice = readPasswordUse(&arguments)
    case "signed_url": choice = readSignedUse(&arguments)
    case "service": choice = readServiceUse(&arguments)
    default: break
    }
    if block == .site {
      draft.siteAuthentication = choice
    } else {
      draft.routeAuthentication = choice
    }
  }

  private mutating func readTokenUse(_ arguments: inout Arguments) -> AuthenticationChoice {
    guard let name = arguments.next(.name, &findings) else { return .wrong }
    used.tokens.append(name)
    let isOptional = takes("optional", &arguments)
    return choice(.token(name: name.value, isOptional: isOptional), &arguments)
  }

  private mutating func readKeyUse(_ arguments: inout Arguments) -> AuthenticationChoice {
    guard let file = arguments.next(.path("FILE", of: "a file"), &findings) else { return .wrong }
    checkFile(file, most: 256 << 20) { bytes throws(FileDefect) in
      do throws(CredentialDefect) {
        _ = try APIKeySet.read(bytes, file: file.value)
      } catch {
        throw FileDefect(error)
      }
    }
    var field = "x-api-key"
    if takes("header", &arguments) {
      guard let name = arguments.next(.fieldName, &findings) else { return .wrong }
      field = name.value
    }
    return choice(.apiKeys(file: resolve(file.value), field: field), &arguments)
  }

  private mutating func readPasswordUse(_ arguments: inout Arguments) -> AuthenticationChoice {
    guard let file = arguments.next(.path("FILE", of: "a file"), &findings) else { return .wrong }
    checkFile(file, most: 256 << 20) { bytes throws(FileDefect) in
      do throws(CredentialDefect) {
        _ = try PasswordFile.read(bytes, file: file.value)
      } catch {
        throw FileDefect(error)
      }
    }
    var realm = "weir"
    if takes("realm", &arguments) {
      guard let text = arguments.next(.fieldText, &findings) else { return .wrong }
      realm = text.value
    }
    return choice(.basic(file: resolve(file.value), realm: realm), &arguments)
  }

  private mutating func readSignedUse(_ arguments: inout Arguments) -> AuthenticationChoice {
    guard let file = arguments.next(.path("FILE", of: "a file"), &findings) else { return .wrong }
    checkFile(file, most: 1 << 20) { bytes throws(FileDefect) in
      do throws(CredentialDefect) {
        _ = try URLKey.read(bytes, file: file.value)
      } catch {
        throw FileDefect(error)
      }
    }
    return .on(AuthenticationConfiguration(.signedURL(file: resolve(file.value))))
  }

  mutating func choice(
    _ kind: AuthenticationConfiguration.Kind, _ arguments: inout Arguments
  ) -> AuthenticationChoice {
    var configuration = AuthenticationConfiguration(kind)
    configuration.isShared = takes("shared", &arguments)
    return .on(configuration)
  }

  private func takes(_ word: String, _ arguments: inout Arguments) -> Bool {
    guard let next = arguments.upcoming, !next.isQuoted, next.text == word else { return false }
    arguments.skip()
    return true
  }

  /// `allow FILE|NETWORK…;` and `deny FILE|NETWORK…;`
  mutating func readAccess(
    _ arguments: inout Arguments, _ list: WritableKeyPath<AccessConfiguration, [AccessList]>,
    in block: Setting.Block
  ) {
    var networks: [IPNetwork] = []
    repeat {
      guard let word = arguments.next(.path("FILE", of: "a file, or a network"), &findings) else {
        continue
      }
      var text = ByteBuffer()
      text.append(text: word.value)
      if let network = IPNetwork.parse(text.view) {
        networks.append(network)
      } else if Self.looksLikeNetwork(word.value) {
        findings.error("\(quoted(word.value)) is neither an address nor a network", at: word.range)
      } else if let set = addresses(inFile: word) {
        add(AccessList(addresses: set, file: resolve(word.value)), to: list, in: block)
      }
    } while arguments.upcoming != nil
    if !networks.isEmpty {
      add(AccessList(addresses: AddressSet(networks)), to: list, in: block)
    }
  }

  private mutating func add(
    _ set: AccessList, to list: WritableKeyPath<AccessConfiguration, [AccessList]>,
    in block: Setting.Block
  ) {
    if block == .site {
      draft.siteAccess[keyPath: list].append(set)
    } else {
      draft.route.access[keyPath: list].append(set)
    }
  }

  /// Whether a text can only have been meant as an address or a network.
  private static func looksLikeNetwork(_ text: String) -> Bool {
    text.utf8.contains { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "/") }
      && text.utf8.allSatisfy { byte in
        ASCII.hexValue(byte) != nil || byte == UInt8(ascii: ".") || byte == UInt8(ascii: ":")
          || byte == UInt8(ascii: "/")
      } && text.utf8.first.map { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ".") } ?? false
  }

  private mutating func addresses(inFile path: Placed<String>) -> AddressSet? {
    var found: AddressSet?
    checkFile(path, most: 64 << 20) { bytes throws(FileDefect) in
      let (set, problems) = ListFile.addresses(bytes.array)
      if let first = problems.first {
        // Not what stands there: it may be a file of secrets, named by mistake.
        throw FileDefect("line \(first.line) is neither an address nor a network")
      }
      found = set
    }
    return found
  }

  /// Reads a file and reports what is wrong with it. Nothing of its content is shown but what `body`
  /// says.
  private mutating func checkFile(
    _ path: Placed<String>, most: Int, _ body: (ByteView) throws(FileDefect) -> Void
  ) {
    switch FileContents.read(resolve(path.value), most: most, onlyRegular: true) {
    case .failure(let problem):
      findings.error(
        "\(quoted(path.value)) \(problem.described)", at: path.range,
        help: "the path starts from the configuration's directory")
    case .success(let contents):
      var buffer = ByteBuffer(capacity: contents.bytes.count)
      contents.bytes.withView { buffer.append($0) }
      do throws(FileDefect) {
        try body(buffer.view)
      } catch {
        findings.error("\(quoted(path.value)): \(error.text)", at: path.range)
      }
    }
  }
}

/// What is wrong in a file.
struct FileDefect: Error {
  let text: String

  init(_ text: String) { self.text = text }

  init(_ defect: CredentialDefect) {
    text = defect.line > 0 ? "line \(defect.line): \(defect.text)" : defect.text
  }
}

/// What `auth` says, where it stands.
enum AuthenticationChoice {
  /// Nobody has to show anything.
  case off
  /// This must be shown.
  case on(AuthenticationConfiguration)
  /// It could not be read, which was reported.
  case wrong

  /// What a route goes by.
  var configuration: AuthenticationConfiguration? {
    if case .on(let configuration) = self { configuration } else { nil }
  }
}
