/// The numbers of the listening sockets that a node inherits, as they stand on its command line: those
/// of an address joined by commas, in the order of the workers, the addresses joined by semicolons.
///
///     3,4;5,6        two addresses, two workers
package struct InheritedSockets: Sendable, Equatable {
  /// By address, then by worker; every address has equally many, and no number stands twice.
  package let numbers: [[Int32]]

  /// Numbers that are known to be right.
  package init(numbers: [[Int32]]) { self.numbers = numbers }

  /// Reads the text of a command line; nil if it is not what `text` writes. Standard input, output and
  /// error are no sockets.
  package init?(text: some StringProtocol) {
    if text.isEmpty {
      self.init(numbers: [])
      return
    }
    var numbers: [[Int32]] = []
    var seen: Set<Int32> = []
    for address in text.split(separator: ";", omittingEmptySubsequences: false) {
      var sockets: [Int32] = []
      for word in address.split(separator: ",", omittingEmptySubsequences: false) {
        guard let number = Int32(word), String(number) == word, number > 2,
          seen.insert(number).inserted
        else { return nil }
        sockets.append(number)
      }
      numbers.append(sockets)
    }
    guard numbers.allSatisfy({ $0.count == numbers[0].count }) else { return nil }
    self.init(numbers: numbers)
  }

  /// As it stands on a command line.
  package var text: String {
    numbers.map { $0.map { String($0) }.joined(separator: ",") }.joined(separator: ";")
  }

  /// How many workers they are for; nil if there are no sockets.
  package var workers: Int? { numbers.first?.count }
}
