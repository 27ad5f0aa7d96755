import Bytes
import Edge
import Testing

@Suite struct HeavyHittersTests {
  /// The algorithm as its paper has it: one list that is searched.
  private struct Model {
    var entries: [(hash: UInt64, weight: UInt64, error: UInt64, count: UInt64)] = []

    mutating func record(_ hash: UInt64, _ weight: UInt64) {
      if let place = entries.firstIndex(where: { $0.hash == hash }) {
        entries[place].weight += weight
        entries[place].count += 1
      } else if entries.count < HeavyHitters.capacity {
        entries.append((hash, weight, 0, 1))
      } else if let least = entries.map(\.weight).min() {
        // Whose place is taken among equals is nobody's business.
        guard let place = entries.firstIndex(where: { $0.weight == least }) else { return }
        entries[place] = (hash, least + weight, least, 1)
      }
    }
  }

  @Test(arguments: [1, 2, 3] as [UInt64])
  func `weights are those of the algorithm, and what is heavy is on the list`(seed: UInt64) {
    var random = SeededRandom(seed)
    var hitters = HeavyHitters()
    var model = Model()
    var truth: [UInt64: UInt64] = [:]
    for _ in 0..<12_000 {
      // Few are frequent, and very many come once.
      let number =
        Bool.random(using: &random)
        ? UInt64.random(in: 0..<40, using: &random) : UInt64.random(in: 0..<1 << 40, using: &random)
      let hash = number &* 0x9E37_79B9_7F4A_7C15
      let weight = UInt64.random(in: 1...9, using: &random)
      let name = Array("/\(number)".utf8)
      name.withView {
        hitters.record($0, hash: hash, weight: weight, kind: 1, count: 1, bytes: 2, now: 0)
      }
      model.record(hash, weight)
      truth[hash, default: 0] += weight
    }
    let all = hitters.all
    #expect(all.count == HeavyHitters.capacity)
    #expect(Set(all.map(\.hash)).count == all.count)
    #expect(all.map(\.entry.weight).reduce(0, +) == truth.values.reduce(0, +))
    #expect(model.entries.map(\.weight).reduce(0, +) == truth.values.reduce(0, +))
    for (hash, entry) in all {
      let real = truth[hash] ?? 0
      #expect(entry.weight >= real && entry.weight - entry.error <= real)
      #expect(entry.tally.bytes == 2 * entry.tally.count)
      let number = UInt64(String(decoding: entry.name.dropFirst(), as: UTF8.self))
      #expect(number.map { $0 &* 0x9E37_79B9_7F4A_7C15 } == hash)
    }
    let listed = Set(all.map(\.hash))
    let whole = truth.values.reduce(0, +)
    for (hash, weight) in truth where weight > whole / UInt64(HeavyHitters.capacity) {
      #expect(listed.contains(hash))
    }
    let heavy = model.entries.sorted { $0.weight > $1.weight }.prefix(40).map(\.hash)
    #expect(Set(heavy).isSubset(of: listed))
  }

  @Test func `weights are halved with time, and what has none left goes`() {
    var hitters = HeavyHitters()
    func record(_ name: String, _ hash: UInt64, _ weight: UInt64, _ now: Int64) {
      Array(name.utf8).withView {
        hitters.record($0, hash: hash, weight: weight, kind: 0, count: weight, bytes: 0, now: now)
      }
    }
    for hash in 0..<600 as Range<UInt64> { record("light", hash << 20, 1, 1) }
    record("heavy", 7, 1_000, 1)
    record("late", 9, 5, 300_000_000_002)
    let all = Dictionary(uniqueKeysWithValues: hitters.all.map { ($0.hash, $0.entry) })
    #expect(all[7]?.weight == 500 || all[7]?.weight == 501)
    #expect(all[9]?.weight == 5 && all[9]?.error == 0)
    #expect(all.values.allSatisfy { $0.weight >= 1 })
  }
}
