internal import CLinux

/// A block of 64-bit words in allocated memory, every access to them atomic and checked for range.
///
/// A plain handle: whoever allocates a block frees it, once no thread can reach it (`Epochs`). Its
/// address can be kept in a word of another block, which is how tables are published.
@safe
struct Words: @unchecked Sendable {
  // Sendable because every access to the words is atomic.
  private let start: UnsafeMutablePointer<UInt64>
  /// How many words there are.
  let count: Int

  /// A block of zeros. The word before the first keeps the count.
  static func allocate(_ count: Int) -> Words {
    guard let memory = unsafe calloc(count + 2, 8) else {
      preconditionFailure("out of memory: \(count) words")
    }
    // Safe: calloc's memory is aligned for words, and two more than `count` were asked for.
    let block = unsafe memory.bindMemory(to: UInt64.self, capacity: count + 2)
    unsafe block.pointee = UInt64(count)
    return unsafe Words(start: block + 2, count: count)
  }

  private init(start: UnsafeMutablePointer<UInt64>, count: Int) {
    unsafe self.start = start
    self.count = count
  }

  /// The block at another's `address`; nil for 0.
  @inline(__always)
  init?(address: UInt64) {
    guard let start = unsafe UnsafeMutablePointer<UInt64>(bitPattern: UInt(address)) else {
      return nil
    }
    unsafe self.start = start
    count = unsafe Int(start[-2])
  }

  /// Names the block.
  var address: UInt64 { UInt64(UInt(bitPattern: unsafe start)) }

  /// Frees the memory. No thread may be able to reach the block.
  func deallocate() { unsafe free(start - 2) }

  @inline(__always)
  private func word(_ index: Int) -> UnsafeMutablePointer<UInt64> {
    precondition(index >= 0 && index < count, "word out of the block")
    return unsafe start + index
  }

  @inline(__always) func load(_ index: Int) -> UInt64 { unsafe weir_load_relaxed(word(index)) }
  @inline(__always) func loadAcquiring(_ index: Int) -> UInt64 {
    unsafe weir_load_acquire(word(index))
  }
  @inline(__always) func loadOrdered(_ index: Int) -> UInt64 {
    unsafe weir_load_seqcst(word(index))
  }
  @inline(__always) func store(_ index: Int, _ value: UInt64) {
    unsafe weir_store_relaxed(word(index), value)
  }
  @inline(__always) func storeReleasing(_ index: Int, _ value: UInt64) {
    unsafe weir_store_release(word(index), value)
  }
  @inline(__always) func storeOrdered(_ index: Int, _ value: UInt64) {
    unsafe weir_store_seqcst(word(index), value)
  }
  /// Stores `value` if the word is still `expected`; false if it is not.
  @inline(__always) @discardableResult
  func exchange(_ index: Int, _ expected: UInt64, _ value: UInt64) -> Bool {
    unsafe weir_compare_exchange(word(index), expected, value) != 0
  }
}
