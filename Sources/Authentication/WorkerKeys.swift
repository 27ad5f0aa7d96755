internal import Bytes
internal import Cryptography

/// A worker's own keys, made from a `KeySet`. Belongs to one thread.
package final class WorkerKeys {
  private struct Entry {
    let description: KeyDescription
    /// Names the key for as long as it stays in the sets that follow each other.
    let identity: UInt32
    let keys: [VerificationKey]
  }

  private let entries: [Entry]
  private let nextIdentity: UInt32
  /// The most keys that are tried for a token that does not say which one it is signed with.
  private static var maxTries: Int { 4 }

  /// The keys of a set that may be used with the given algorithms. What is in the former set too is
  /// not made again, and keeps its identity.
  package init(_ set: KeySet, algorithms: AlgorithmSet, former: WorkerKeys? = nil) {
    var entries: [Entry] = []
    var identity = former?.nextIdentity ?? 0
    for description in set.keys {
      if let entry = former?.entries.first(where: { $0.description == description }) {
        entries.append(entry)
        continue
      }
      let usable = description.algorithms.filter(algorithms.contains)
      // What the set let through can be made; a secret may be too short for some algorithms.
      let keys = usable.compactMap { try? VerificationKey(description.material, for: $0) }
      entries.append(Entry(description: description, identity: identity, keys: keys))
      identity &+= 1
    }
    self.entries = entries
    nextIdentity = identity
  }

  /// The identity of a key.
  func identity(of number: Int) -> UInt32 { entries[number].identity }

  /// Whether the key of an identity is here.
  func contains(_ identity: UInt32) -> Bool { entries.contains { $0.identity == identity } }

  /// Whether all keys of another set are here too.
  func contains(allOf other: WorkerKeys) -> Bool {
    other.entries.allSatisfy { contains($0.identity) }
  }

  /// The numbers of the keys that may have signed a token: those with the name, and those without
  /// one; if the token names none, all that fit.
  func candidates(
    named name: ByteView?, for algorithm: SignatureAlgorithm
  ) throws(TokenRefusal) -> [Int] {
    var isNamed = false
    var fitting: [Int] = []
    for (number, entry) in entries.enumerated() where isCandidate(entry, name) {
      isNamed = true
      if key(number, algorithm) != nil, fitting.count < Self.maxTries { fitting.append(number) }
    }
    guard isNamed else { throw .unknownKey(fetching: false) }
    guard !fitting.isEmpty else { throw .algorithmNotAllowed }
    return fitting
  }

  private func isCandidate(_ entry: Entry, _ name: ByteView?) -> Bool {
    guard let name, let id = entry.description.id else { return true }
    return id.withView { $0 == name }
  }

  private func key(_ number: Int, _ algorithm: SignatureAlgorithm) -> VerificationKey? {
    entries[number].keys.first { $0.algorithm == algorithm }
  }

  func verifies(
    _ number: Int, _ algorithm: SignatureAlgorithm, _ message: ByteView, _ signature: ByteView
  ) -> Bool {
    key(number, algorithm)?.verifies(message, signature: signature) ?? false
  }
}
