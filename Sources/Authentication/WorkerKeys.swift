internal import Bytes
internal import Cryptography

/// A worker's own keys, made from a `KeySet`. Belongs to one thread.
package final class WorkerKeys {
  private struct Entry {
    let description: KeyDescription
    let keys: [VerificationKey]
  }

  private let entries: [Entry]
  /// The most keys that are tried for a token that does not say which one it is signed with.
  private static var maxTries: Int { 4 }

  /// The keys of a set that may be used with the given algorithms.
  package init(_ set: KeySet, algorithms: AlgorithmSet) {
    entries = set.keys.map { description in
      let usable = description.algorithms.filter(algorithms.contains)
      return Entry(
        description: description,
        keys: usable.compactMap { algorithm in
          // What the set let through can be made; a secret may be too short for some algorithms.
          try? VerificationKey(description.material, for: algorithm)
        })
    }
  }

  /// The description of a key.
  func description(of number: Int) -> KeyDescription { entries[number].description }

  /// The numbers of the keys that may have signed a token: those with the name, and those without
  /// one; if the token names none, all that fit.
  func candidates(
    named name: ByteView?, for algorithm: SignatureAlgorithm
  ) throws(TokenRefusal) -> [Int] {
    var named: [Int] = []
    for (number, entry) in entries.enumerated() where isCandidate(entry, name) {
      named.append(number)
    }
    guard !named.isEmpty else { throw .unknownKey(fetching: false) }
    let fitting = named.filter { key($0, algorithm) != nil }
    guard !fitting.isEmpty else { throw .algorithmNotAllowed }
    return Array(fitting.prefix(Self.maxTries))
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
