// What all workers check credentials against: sources of keys, files of API keys, users and URL keys, the
// thread that checks passwords.

internal import Authentication
internal import Bytes
package import Configuration
package import EventLoop
internal import RateLimiting
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
  /// All files that may change while the node runs.
  package let files = WatchedFiles()
  /// How often a client may have a password checked that is not remembered; for all workers.
  let attempts: RateLimiter?
  let checker: PasswordChecker?

  /// No credentials: nothing is asked for.
  package init() {
    keySources = []
    apiKeys = [:]
    passwords = [:]
    urlKeys = [:]
    lists = [:]
    attempts = nil
    checker = nil
  }

  /// Reads the files of a configuration. Keys that are fetched are not there yet; `start()` fetches them.
  package init(
    _ configuration: NodeConfiguration, clock: NodeClock
  ) throws(CredentialFailure) {
    var sources: [KeySource] = []
    var apiKeys: [String: Published<APIKeySet>] = [:]
    var passwords: [String: Published<PasswordFile>] = [:]
    var urlKeys: [String: Published<[URLKey]>] = [:]
    var lists: [String: Published<AddressSet>] = [:]
    do {
      for tokens in configuration.tokens {
        sources.append(try Self.source(tokens, clock, files))
      }
      for route in configuration.sites.flatMap(\.routes) {
        for list in route.access.allowed + route.access.denied {
          guard let file = list.file, lists[file] == nil else { continue }
          lists[file] = try files.publish(file, Self.addresses)
        }
        switch route.authentication?.kind {
        case .apiKeys(let file, _) where apiKeys[file] == nil:
          apiKeys[file] = try files.publish(file, APIKeySet.load)
        case .basic(let file, _) where passwords[file] == nil:
          passwords[file] = try files.publish(file, PasswordFile.load)
        case .signedURL(let file) where urlKeys[file] == nil:
          urlKeys[file] = try files.publish(file, URLKey.load)
        default: continue
        }
      }
      checker = passwords.isEmpty ? nil : try PasswordChecker()
    } catch {
      throw CredentialFailure(description: "\(error)")
    }
    keySources = sources
    self.apiKeys = apiKeys
    self.passwords = passwords
    self.urlKeys = urlKeys
    self.lists = lists
    // Twenty at once, then one each six seconds: a pair that is right is asked for once by each
    // worker, and by each connection that a browser opens at first.
    attempts =
      passwords.isEmpty
      ? nil
      : TokenBucketRate(tokens: 10, per: 60_000_000_000, burst: 20)
        .map { RateLimiter(rate: $0, maxKeys: 100_000, secret: Random.hash128()) }
  }

  private static func source(
    _ tokens: TokenConfiguration, _ clock: NodeClock, _ files: WatchedFiles
  ) throws -> KeySource {
    let timing = RefreshTiming(interval: tokens.refresh, cooldown: tokens.cooldown)
    switch tokens.keys {
    case .file(let path):
      let source = try KeySource(.file(path), timing: timing, clock: clock)
      files.add(path) { () throws(WatchedFiles.Problem) in
        do throws(KeySourceError) {
          try source.load()
        } catch {
          throw WatchedFiles.Problem(text: "\(error)")
        }
      }
      try source.load()
      return source
    case .url(let text):
      return try KeySource(
        .url(try KeyURL(text), trustFile: tokens.trustFile), timing: timing, clock: clock)
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

  /// Starts fetching keys and checking passwords; `post` is called after each attempt to get keys.
  package func start(afterKeys post: @escaping @Sendable () -> Void) {
    for source in keySources {
      source.afterEachAttempt(post)
      source.start()
    }
    checker?.start()
  }

  /// Ends the threads.
  package func stop() {
    for source in keySources { source.stop() }
    checker?.stop()
  }
}

extension WatchedFiles {
  /// Reads a file, and again when it has changed.
  fileprivate func publish<Value: Sendable>(
    _ path: String, _ read: @escaping @Sendable (String) throws(CredentialDefect) -> Value
  ) throws(CredentialDefect) -> Published<Value> {
    let state = FileState(of: path)
    let published = Published(try read(path))
    add(path, as: state) { () throws(Problem) in
      do throws(CredentialDefect) {
        published.publish(try read(path))
      } catch {
        throw Problem(text: error.line > 0 ? "line \(error.line): \(error.text)" : error.text)
      }
    }
    return published
  }
}
