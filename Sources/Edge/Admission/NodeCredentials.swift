// What all workers check credentials against: sources of keys, files of API keys, users and URL keys, the
// thread that checks passwords.

internal import Authentication
internal import Bytes
package import Configuration
package import EventLoop
internal import RateLimiting
internal import RequestSigning
internal import Rules

/// Why credentials could not be read.
package struct CredentialFailure: Error, CustomStringConvertible {
  /// What went wrong.
  package let description: String
}

/// The credentials of a node.
package final class NodeCredentials: Sendable {
  /// By the index of the `jwt` block.
  let keySources: [KeySource]
  /// By the file's path.
  let apiKeys: [String: Published<APIKeySet>]
  let passwords: [String: Published<PasswordFile>]
  let urlKeys: [String: Published<[URLKey]>]
  /// Lists of addresses, by the file's path.
  let lists: [String: Published<AddressSet>]
  /// What requests to origins are signed for, by the file's path and its section.
  let signing: [SigningFile: Published<SigningCredentials>]
  /// All files that may change while the node runs.
  package let files = WatchedFiles()
  /// How often a client may have a password checked that is not remembered; for all workers.
  let attempts: RateLimiter?
  let checker: PasswordChecker?
  private let settings: [TokenConfiguration]
  /// The sources that no earlier configuration had.
  private let freshSources: [KeySource]
  /// Puts what was read in the place of what others go by.
  private let pending: [@Sendable () -> Void]

  /// No credentials: nothing is asked for.
  package init() {
    keySources = []
    apiKeys = [:]
    passwords = [:]
    urlKeys = [:]
    lists = [:]
    signing = [:]
    attempts = nil
    checker = nil
    settings = []
    freshSources = []
    pending = []
  }

  /// Reads the files of a configuration. Keys that are fetched are not there yet; `start()` fetches them.
  ///
  /// - Parameter former: what the configuration before this went by. Sources, and what is remembered of
  ///   clients, are taken on; what files say now is in force for both after `publish()`.
  package init(
    _ configuration: NodeConfiguration, clock: NodeClock, after former: NodeCredentials? = nil
  ) throws(CredentialFailure) {
    var reading = Reading(clock: clock, former: former, files: files)
    do {
      for tokens in configuration.tokens { try reading.add(tokens) }
      for route in configuration.routes {
        try reading.add(route.authentication?.kind)
        for list in route.access.allowed + route.access.denied { try reading.add(list) }
      }
      for origin in configuration.origins { try reading.add(origin.signing?.credentials) }
      checker = try former?.checker ?? (reading.passwords.isEmpty ? nil : PasswordChecker())
    } catch {
      throw CredentialFailure(description: "\(error)")
    }
    settings = configuration.tokens
    keySources = reading.sources
    freshSources = reading.freshSources
    apiKeys = reading.apiKeys
    passwords = reading.passwords
    urlKeys = reading.urlKeys
    lists = reading.lists
    signing = reading.signing
    pending = reading.pending
    // Twenty at once, then one each six seconds: a pair that is right is asked for once by each
    // worker, and by each connection that a browser opens at first.
    let limiter =
      passwords.isEmpty
      ? nil
      : TokenBucketRate(tokens: 10, per: 60_000_000_000, burst: 20)
        .map { RateLimiter(rate: $0, maxKeys: 100_000, secret: Random.hash128()) }
    attempts = former?.attempts ?? limiter
  }

  /// Puts what the files say now in force, also for requests under the configuration before.
  package func publish() { for action in pending { action() } }

  /// Starts fetching keys and checking passwords, as far as that is not done already; `post` is called
  /// after each attempt to get keys.
  package func start(afterKeys post: @escaping @Sendable () -> Void) {
    for source in freshSources {
      source.afterEachAttempt(post)
      source.start()
    }
    checker?.start()
  }

  /// Ends the threads, but for those that `successor` goes on with. Blocks until they have ended.
  package func stop(before successor: NodeCredentials? = nil) {
    let kept = successor?.keySources ?? []
    for source in keySources where !kept.contains(where: { $0 === source }) { source.stop() }
    if successor?.checker == nil { checker?.stop() }
  }

  /// What is found on the way through a configuration.
  private struct Reading {
    let clock: NodeClock
    let former: NodeCredentials?
    let files: WatchedFiles
    var sources: [KeySource] = []
    var freshSources: [KeySource] = []
    var apiKeys: [String: Published<APIKeySet>] = [:]
    var passwords: [String: Published<PasswordFile>] = [:]
    var urlKeys: [String: Published<[URLKey]>] = [:]
    var lists: [String: Published<AddressSet>] = [:]
    var signing: [SigningFile: Published<SigningCredentials>] = [:]
    var pending: [@Sendable () -> Void] = []

    mutating func add(_ tokens: TokenConfiguration) throws {
      var state: FileState?
      if case .file(let path) = tokens.keys { state = FileState(of: path) }
      let source = try makeSource(tokens)
      let place = former?.settings.firstIndex {
        $0.keys == tokens.keys && $0.refresh == tokens.refresh && $0.cooldown == tokens.cooldown
          && $0.trustFile == tokens.trustFile
      }
      let known = place.flatMap { former?.keySources[$0] }
      sources.append(known ?? source)
      if known == nil { freshSources.append(source) }
      guard case .file(let path) = tokens.keys else { return }
      // The file was fit to be read just now.
      if let known { pending.append { try? known.load() } }
      let used = known ?? source
      files.add(path, as: state) { () throws(WatchedFiles.Problem) in
        do throws(KeySourceError) {
          try used.load()
        } catch {
          throw WatchedFiles.Problem(text: "\(error)")
        }
      }
    }

    private func makeSource(_ tokens: TokenConfiguration) throws -> KeySource {
      let timing = RefreshTiming(interval: tokens.refresh, cooldown: tokens.cooldown)
      switch tokens.keys {
      case .file(let path):
        let source = try KeySource(.file(path), timing: timing, clock: clock)
        try source.load()
        return source
      case .url(let text):
        return try KeySource(
          .url(try KeyURL(text), trustFile: tokens.trustFile), timing: timing, clock: clock)
      }
    }

    mutating func add(_ kind: AuthenticationConfiguration.Kind?) throws {
      switch kind {
      case .apiKeys(let file, _) where apiKeys[file] == nil:
        apiKeys[file] = try taken(file, former?.apiKeys[file], APIKeySet.load)
      case .basic(let file, _) where passwords[file] == nil:
        passwords[file] = try taken(file, former?.passwords[file], PasswordFile.load)
      case .signedURL(let file) where urlKeys[file] == nil:
        urlKeys[file] = try taken(file, former?.urlKeys[file], URLKey.load)
      default: break
      }
    }

    mutating func add(_ list: AccessList) throws {
      guard let file = list.file, lists[file] == nil else { return }
      lists[file] = try taken(file, former?.lists[file], Self.addresses)
    }

    mutating func add(_ source: OriginSigningConfiguration.Credentials?) throws {
      guard case .file(let path, let profile)? = source else { return }
      let file = SigningFile(path: path, profile: profile)
      guard signing[file] == nil else { return }
      signing[file] = try taken(path, former?.signing[file]) { path throws(CredentialDefect) in
        try file.read(path)
      }
    }

    /// The addresses and networks of a file.
    private static func addresses(_ path: String) throws(CredentialDefect) -> AddressSet {
      let content: [UInt8]
      do throws(Errno) {
        content = try SmallFile.read(path, maxBytes: 64 << 20)
      } catch {
        throw CredentialDefect(file: path, line: 0, text: "\(error)")
      }
      let (set, problems) = ListFile.addresses(content)
      // Not what stands there: it may be a file of secrets, named by mistake.
      guard let first = problems.first else { return set }
      throw CredentialDefect(
        file: path, line: first.line, text: "neither an address nor a network")
    }

    /// Reads a file, now and whenever it has changed. What is known of it is taken on.
    private mutating func taken<Value: Sendable>(
      _ path: String, _ known: Published<Value>?,
      _ read: @escaping @Sendable (String) throws(CredentialDefect) -> Value
    ) throws(CredentialDefect) -> Published<Value> {
      let state = FileState(of: path)
      let value = try read(path)
      let published = known ?? Published(value)
      if known != nil { pending.append { published.publish(value) } }
      files.add(path, as: state) { () throws(WatchedFiles.Problem) in
        do throws(CredentialDefect) {
          published.publish(try read(path))
        } catch {
          throw WatchedFiles.Problem(
            text: error.line > 0 ? "line \(error.line): \(error.text)" : error.text)
        }
      }
      return published
    }
  }
}
