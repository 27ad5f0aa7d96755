/// What was probably meant by a word that is not known.
package enum Spelling {
  /// The most words that a word is compared with: a suggestion is not worth more.
  private static let mostCandidates = 1_000

  /// The word nearest to `word`: at most one change in three characters, and at most
  /// three; of equally near ones the one with the longest common begin.
  package static func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
    let letters = Array(word.lowercased().utf8)
    guard (1...64).contains(letters.count) else { return nil }
    var best: String?
    var bestPrefix = 0
    var least = min(max(letters.count / 3, 1), 3) + 1
    for candidate in candidates.prefix(mostCandidates) {
      let other = Array(candidate.lowercased().utf8)
      guard abs(other.count - letters.count) <= least, other.count <= 64 else { continue }
      let distance = distance(letters, other)
      let prefix = zip(letters, other).prefix { $0 == $1 }.count
      let isBetter = distance < least || (distance == least && best != nil && prefix > bestPrefix)
      if isBetter && distance < other.count {
        least = distance
        best = candidate
        bestPrefix = prefix
      }
    }
    return best
  }

  /// How many insertions, deletions, replacements and swaps of neighbours lead from one to the other.
  package static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var before: [Int] = []
    var previous = Array(0...right.count)
    for row in 0..<left.count {
      var current = [row + 1]
      current.reserveCapacity(right.count + 1)
      for column in 0..<right.count {
        let same = left[row] == right[column]
        var cost = min(
          previous[column] + (same ? 0 : 1), previous[column + 1] + 1, current[column] + 1)
        if row > 0 && column > 0 && left[row] == right[column - 1]
          && left[row - 1] == right[column]
        {
          cost = min(cost, before[column - 1] + 1)
        }
        current.append(cost)
      }
      before = previous
      previous = current
    }
    return previous[right.count]
  }
}
