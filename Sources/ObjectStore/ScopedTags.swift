// Purges of a tag within a host only. Objects carry no tag for that: every object has its host among its
// implicit tags, so what is purged is a mixture of the two hashes, and an object is reached if a mixture
// of one of its implicit tags and one of its own is. That costs nothing to store; an object that is
// tested against such a purge has its pairs looked up, once.
//
// Both hashes are keyed with the store's secret, so that nobody outside can choose what collides.

enum ScopedTag {
  /// So many pairs are looked at one by one; beyond, the purge counts as one that may reach.
  static let pairLimit = 4_096

  /// The mixture of a host's tag and another; never 0.
  static func mix(_ host: UInt64, _ tag: UInt64) -> UInt64 {
    // One round of multiplying and folding (wyhash, Wang Yi 2019).
    let product = (host ^ 0xa076_1d64_78bd_642f).multipliedFullWidth(
      by: tag ^ 0xe703_7ed1_a0b4_28db)
    return max(product.high ^ product.low, 1)
  }

  /// The mixtures of all hosts with all tags.
  static func mix(_ hosts: [UInt64], _ tags: [UInt64]) -> [UInt64] {
    hosts.flatMap { host in tags.map { mix(host, $0) } }
  }
}

extension TagList {
  /// How many pairs of an implicit tag and one of the origin's there are.
  var pairs: Int { explicit * implicit }

  /// Whether a mixture is of a pair of these.
  func containsScoped(_ mixture: UInt64) -> Bool {
    for host in explicit..<count {
      for tag in 0..<explicit where ScopedTag.mix(self[host], self[tag]) == mixture { return true }
    }
    return false
  }
}
