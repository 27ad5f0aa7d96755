// A file of keys and values, looked up by bytes.
//
//     # the former address      the present one
//     /old/page.html            /new/page
//     /shop                     https://shop.example.com/
//
// A line has a key, white space and a value, which is the rest of the line; `#` begins a comment where a
// line begins. The file's bytes are kept as they are; a table of open addressing over them, at most half
// full, says where the keys are. It is made once and never changes, so that workers share it without a
// lock, and a lookup is a hash and, most often, one comparison: nothing is allocated or copied.

package import Bytes
internal import Synchronization

/// What is wrong with a file of keys and values.
package struct TextMapProblem: Error, Equatable, Sendable {
  /// The line, from 1.
  package let line: Int
  /// What is wrong there.
  package let text: String
}

/// Keys and their values.
@safe
package final class TextMap: @unchecked Sendable {
  // Unchecked: the memory is written by the initialiser only.

  /// Where a key and its value stand; a key of no bytes is none, and marks what is empty.
  private struct Slot {
    var key: UInt32 = 0
    var keyCount: UInt32 = 0
    var value: UInt32 = 0
    var valueCount: UInt32 = 0
  }

  /// The most bytes of a file.
  package static let largest = 64 << 20
  /// The most keys of a file.
  package static let mostKeys = 1_000_000

  /// How many keys there are.
  package let count: Int
  private let bytes: UnsafeMutablePointer<UInt8>
  private let slots: UnsafeMutablePointer<Slot>
  private let mask: Int
  // The keys are an operator's; a client only chooses what is looked for.
  private static let hash = SipHash(key: Hash128(low: 0x6D61_7073, high: 0))

  private init(bytes text: [UInt8], count: Int) {
    self.count = count
    unsafe bytes = .allocate(capacity: max(text.count, 1))
    for index in text.indices { unsafe bytes[index] = text[index] }
    var capacity = 4
    while capacity < 2 * count { capacity *= 2 }
    mask = capacity - 1
    unsafe slots = .allocate(capacity: capacity)
    unsafe slots.initialize(repeating: Slot(), count: capacity)
  }

  deinit {
    unsafe bytes.deallocate()
    unsafe slots.deallocate()
  }

  /// The value of a key, good as long as the map; nil if there is none.
  package func find(_ key: ByteView) -> ByteView? {
    let slot = slot(of: key)
    return slot.keyCount > 0 ? view(slot.value, slot.valueCount) : nil
  }

  /// The slot of a key, or the empty one in which it would be.
  private func slot(of key: ByteView) -> Slot { unsafe slots[place(of: key)] }

  private func place(of key: ByteView) -> Int {
    var place = Int(truncatingIfNeeded: Self.hash.hash(key).low) & mask
    while true {
      // Safe: the mask keeps it in the table, which is at most half full.
      let slot = unsafe slots[place]
      if slot.keyCount == 0 || view(slot.key, slot.keyCount) == key { return place }
      place = (place + 1) & mask
    }
  }

  private func view(_ start: UInt32, _ count: UInt32) -> ByteView {
    // Safe: slots name ranges of these bytes only.
    unsafe ByteView(unsafeStart: UnsafeRawPointer(bytes + Int(start)), count: Int(count))
  }
}

extension TextMap {
  /// The map that a text is.
  package static func parse(_ text: [UInt8]) throws(TextMapProblem) -> TextMap {
    guard text.count <= largest else {
      throw TextMapProblem(line: 1, text: "the file has more than 64 MiB")
    }
    var lines = 1
    for byte in text where byte == ASCII.lf { lines += 1 }
    guard lines <= mostKeys * 2 else {
      throw TextMapProblem(line: mostKeys, text: "there are more than \(mostKeys) keys")
    }
    var entries: [(line: Int, slot: Slot)] = []
    entries.reserveCapacity(lines)
    var line = 0
    var start = text.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    while start < text.count {
      line += 1
      let end = text[start...].firstIndex(of: ASCII.lf) ?? text.count
      if let slot = try entry(text, start..<end, line: line) { entries.append((line, slot)) }
      start = end + 1
    }
    guard entries.count <= mostKeys else {
      throw TextMapProblem(line: line, text: "there are more than \(mostKeys) keys")
    }
    let map = TextMap(bytes: text, count: entries.count)
    for entry in entries {
      let key = map.view(entry.slot.key, entry.slot.keyCount)
      let place = map.place(of: key)
      guard unsafe map.slots[place].keyCount == 0 else {
        throw TextMapProblem(line: entry.line, text: "\(shown(key.string)) stands there twice")
      }
      unsafe map.slots[place] = entry.slot
    }
    return map
  }

  /// What a line says; nil if it says nothing.
  private static func entry(
    _ text: [UInt8], _ range: Range<Int>, line: Int
  ) throws(TextMapProblem) -> Slot? {
    let isBlank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
    guard let key = text[range].firstIndex(where: { !isBlank($0) }),
      text[key] != UInt8(ascii: "#")
    else { return nil }
    guard let bad = text[range].first(where: { $0 < 0x20 && !isBlank($0) || $0 == 0x7F }) else {
      let keyEnd = text[key..<range.upperBound].firstIndex(where: isBlank) ?? range.upperBound
      guard let value = text[keyEnd..<range.upperBound].firstIndex(where: { !isBlank($0) }),
        let last = text[value..<range.upperBound].lastIndex(where: { !isBlank($0) })
      else { throw TextMapProblem(line: line, text: "the key has no value behind it") }
      return Slot(
        key: UInt32(key), keyCount: UInt32(keyEnd - key), value: UInt32(value),
        valueCount: UInt32(last + 1 - value))
    }
    throw TextMapProblem(
      line: line, text: "a control character (0x\(String(bad, radix: 16))) stands there")
  }
}

/// A file of keys and values that rules look into, and that may be read anew while they do. Whoever looks
/// up keeps the map that it has got, and looks at the generation to know when to get the next one.
package final class RuleMap: Sendable {
  /// The path of the file.
  package let path: String
  private let number = Atomic<UInt64>(1)
  private let map: Mutex<TextMap>

  /// What a file had.
  package init(path: String, _ map: TextMap) {
    self.path = path
    self.map = Mutex(map)
  }

  /// Grows with each reading.
  package var generation: UInt64 { number.load(ordering: .acquiring) }

  /// What the file had when it was read last.
  package var current: (map: TextMap, generation: UInt64) {
    map.withLock { ($0, number.load(ordering: .relaxed)) }
  }

  /// Puts what a file has now in the place of what it had.
  package func replace(with new: TextMap) {
    map.withLock {
      $0 = new
      number.add(1, ordering: .releasing)
    }
  }
}
