// Between a commit's becoming visible and the table's knowing of it, the table names ids that the
// newest snapshot no longer has. For objects that the commit gave a new id (eviction's survivors,
// freshened and replaced ones), a reader that meets this finds the new one here: an ascending list of
// pairs, published before the commit and taken back after the table is up to date.

final class Moves: @unchecked Sendable {
  // Sendable because the words are atomic; only the writer publishes.
  private let published = Words.allocate(1)
  private let epochs: Epochs

  init(epochs: Epochs) { self.epochs = epochs }

  deinit {
    Words(address: published.load(0))?.deallocate()
    published.deallocate()
  }

  /// Where an object has gone to; nil if no commit under way has moved it. Any thread, within a turn.
  func find(_ id: UInt64) -> TableEntry? {
    guard let list = Words(address: published.loadAcquiring(0)) else { return nil }
    var low = 0
    var high = list.count / 2
    while low < high {
      let middle = (low + high) / 2
      let found = list.load(2 * middle)
      if found == id { return TableEntry(word: list.load(2 * middle + 1)) }
      if found < id { low = middle + 1 } else { high = middle }
    }
    return nil
  }

  /// Publishes old ids and new entries. Writer only.
  func publish(_ moves: [(old: UInt64, new: TableEntry)]) {
    guard !moves.isEmpty else { return }
    let list = Words.allocate(2 * moves.count)
    for (index, move) in moves.sorted(by: { $0.old < $1.old }).enumerated() {
      list.store(2 * index, move.old)
      list.store(2 * index + 1, move.new.word)
    }
    published.storeReleasing(0, list.address)
  }

  /// Takes them back. Writer only.
  func retract() {
    guard let list = Words(address: published.load(0)) else { return }
    published.storeReleasing(0, 0)
    epochs.retire(list)
  }
}
