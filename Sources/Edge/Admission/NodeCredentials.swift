// What all workers check credentials against: sources of keys, files of API keys, users and URL keys, the
// thread that checks passwords.

internal import Authentication
internal import Bytes
package import Configuration
package import EventLoop
internal import RateLimiting

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
  /// How often a client may have a password checked that is not remembered; for all workers.
  let attempts: RateLimiter?
  let checker: PasswordChecker?

  /// No credentials: nothing is asked for.
  package init() {
    keySources = []
    apiKeys = [:]
    passwords = [:]
    urlKeys = [:]
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
    do {
      for tokens in configuration.tokens { sources.append(try Self.source(tokens, clock)) }
      for route in configuration.sites.flatMap(\.routes) {
        switch route.authentication?.kind {
        case .apiKeys(let file, _) where apiKeys[file] == nil:
          apiKeys[file] = Published(try APIKeySet.load(file))
        case .basic(let file, _) where passwords[file] == nil:
          passwords[file] = Published(try PasswordFile.load(file))
        case .signedURL(let file) where urlKeys[file] == nil:
          urlKeys[file] = Published(try URLKey.load(file))
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
    // Twenty at once, then one each six seconds: a pair that is right is asked for once by each
    // worker, and by each connection that a browser opens at first.
    attempts =
      passwords.isEmpty
      ? nil
      : TokenBucketRate(tokens: 10, per: 60_000_000_000, burst: 20)
        .map { RateLimiter(rate: $0, maxKeys: 100_000, secret: Random.hash128()) }
  }

  private static func source(
    _ tokens: TokenConfiguration, _ clock: NodeClock
  ) throws -> KeySource {
    let timing = RefreshTiming(interval: tokens.refresh, cooldown: tokens.cooldown)
    switch tokens.keys {
    case .file(let path):
      let source = try KeySource(.file(path), timing: timing, clock: clock)
      try source.load()
      return source
    case .url(let text):
      return try KeySource(
        .url(try KeyURL(text), trustFile: nil), timing: timing, clock: clock)
    }
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
