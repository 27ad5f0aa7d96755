// The tokens of the admin's listener, which sites that take PURGE ask as well. The one of the
// configuration may do everything; those of the file have a name, verbs and sites.
//
// What came is hashed once (SHA-256) and compared with the hash of every token there is, each in full:
// neither the time that takes nor where it ends says anything about a token. The file is read again when
// it has changed, so that a token can be taken away while the node runs; a file that cannot be read
// leaves things as they are, and the log says so.

internal import Bytes
internal import CLinux
package import Configuration
internal import Cryptography
import Synchronization

/// Who asks, as far as that is known.
package struct Caller: Sendable, Equatable {
  /// The token's name; of the one in the configuration `token`, of who showed none `nobody`.
  package var name: String
  /// The sites that it is kept to; empty: all.
  package var sites: [String]

  /// A caller.
  package init(name: String, sites: [String] = []) {
    self.name = name
    self.sites = sites
  }

  /// Who showed no token.
  package static var nobody: Caller { Caller(name: "nobody") }
}

/// The tokens of a node. Any thread.
package final class TokenTable: Sendable {
  /// What is known of a token.
  package struct Holder: Sendable {
    /// Who has it.
    package let caller: Caller
    /// What it may be used for.
    package let verbs: Set<AdminVerb>
    fileprivate let digest: Digest256
  }

  private struct State {
    var single: Holder?
    var listed: [Holder]
    var file: String?
    var stamp: FileStamp?
  }

  private let state: Mutex<State>
  private let note: @Sendable (String) -> Void

  /// The tokens of an `admin` block; none without one.
  package init(
    _ configuration: AdminConfiguration? = nil,
    note: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.note = note
    state = Mutex(Self.state(configuration))
  }

  private static func state(_ configuration: AdminConfiguration?) -> State {
    let single = configuration?.token.flatMap { token in
      digest(of: Array(token.utf8)).map {
        Holder(caller: Caller(name: "token"), verbs: Set(AdminVerb.allCases), digest: $0)
      }
    }
    return State(
      single: single, listed: holders(configuration?.tokens ?? []),
      file: configuration?.tokensFile, stamp: configuration?.tokensFile.flatMap { FileStamp($0) })
  }

  /// Goes over to the tokens of another configuration.
  func adopt(_ configuration: AdminConfiguration?) {
    let next = Self.state(configuration)
    state.withLock { $0 = next }
  }

  private static func holders(_ tokens: [AdminToken]) -> [Holder] {
    tokens.compactMap { token in
      token.digest.withView { Digest256($0) }.map {
        Holder(
          caller: Caller(name: token.name, sites: token.sites), verbs: token.verbs, digest: $0)
      }
    }
  }

  private static func digest(of token: [UInt8]) -> Digest256? {
    AdminTokenFile.digest(of: token).flatMap { $0.withView { Digest256($0) } }
  }

  /// Whether there is any token.
  package var isEmpty: Bool {
    readAgainIfChanged()
    return state.withLock { $0.single == nil && $0.listed.isEmpty }
  }

  /// The holder of a token; nil if there is no such token.
  package func find(_ token: [UInt8]) -> Holder? {
    readAgainIfChanged()
    guard let digest = Self.digest(of: token) else { return nil }
    var found: Holder?
    let known = state.withLock { [$0.single].compactMap { $0 } + $0.listed }
    for holder in known where holder.digest == digest {
      found = holder
    }
    return found
  }

  /// Reads the tokens again if their file is another one than it was.
  private func readAgainIfChanged() {
    guard let file = state.withLock({ $0.file }), let now = FileStamp(file) else { return }
    let isChanged = state.withLock { state in
      defer { state.stamp = now }
      return state.stamp != now
    }
    guard isChanged else { return }
    do throws(AdminTokenFile.Defect) {
      let holders = Self.holders(try AdminTokenFile.read(file))
      state.withLock { $0.listed = holders }
      note("tokens: \(file) was read again: \(holders.count) tokens")
    } catch {
      note("tokens: \(file), line \(error.line): \(error.text). The former tokens stay.")
    }
  }

  /// The token of `Bearer token`; nil for anything else. The scheme's case does not matter
  /// (RFC 9110 §11.1).
  package static func bearer(_ line: [UInt8]) -> [UInt8]? {
    let scheme = Array("bearer".utf8)
    guard line.count > scheme.count, line[scheme.count] == ASCII.space,
      line.prefix(scheme.count).map({ ASCII.lowercase($0) }) == scheme
    else { return nil }
    let token = line.dropFirst(scheme.count).drop { $0 == ASCII.space }
    guard !token.isEmpty, token.allSatisfy({ $0 > ASCII.space && $0 < 0x7F }) else { return nil }
    return Array(token)
  }
}

/// What tells one version of a file from the next.
private struct FileStamp: Equatable {
  private let device: UInt64
  private let node: UInt64
  private let size: Int64
  private let seconds: Int64
  private let nanoseconds: Int64

  /// Nil if there is no such file.
  init?(_ path: String) {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return nil }
    device = UInt64(truncatingIfNeeded: status.st_dev)
    node = UInt64(truncatingIfNeeded: status.st_ino)
    size = Int64(truncatingIfNeeded: status.st_size)
    seconds = Int64(truncatingIfNeeded: status.st_mtim.tv_sec)
    nanoseconds = Int64(truncatingIfNeeded: status.st_mtim.tv_nsec)
  }
}
