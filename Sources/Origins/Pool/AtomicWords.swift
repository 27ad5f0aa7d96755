internal import CLinux

/// Zeroed 64-bit words in memory of their own, on pairs of cache lines that nobody else uses; every
/// access is atomic and checked for range.
///
/// A plain handle that can be copied without counting; whoever allocates it frees it, after the last
/// use of any copy.
@safe
struct AtomicWords: @unchecked Sendable {
  // Sendable because every access to the words is atomic.
  private let start: UnsafeMutablePointer<UInt64>
  /// How many words there are.
  let count: Int

  /// Words of a line: two of the processor's, which fetches them in pairs.
  static var lineLength: Int { 16 }

  /// So many lines of zeros.
  static func allocate(lines: Int) -> AtomicWords {
    let bytes = lines * lineLength * 8
    guard lines > 0, let memory = unsafe aligned_alloc(128, bytes) else {
      preconditionFailure("out of memory: \(bytes) bytes")
    }
    unsafe memset(memory, 0, bytes)
    // Safe: the memory is aligned for words and that many fit.
    return unsafe AtomicWords(
      start: memory.bindMemory(to: UInt64.self, capacity: bytes / 8), count: bytes / 8)
  }

  private init(start: UnsafeMutablePointer<UInt64>, count: Int) {
    unsafe self.start = start
    self.count = count
  }

  /// Frees the memory. Nobody may use a copy afterwards.
  func deallocate() { unsafe free(start) }

  @inline(__always)
  private func word(_ index: Int) -> UnsafeMutablePointer<UInt64> {
    precondition(index >= 0 && index < count, "word out of the block")
    return unsafe start + index
  }

  /// The word, in any order with others.
  @inline(__always) func load(_ index: Int) -> UInt64 { unsafe weir_load_relaxed(word(index)) }

  /// Sets the word, in any order with others.
  @inline(__always) func store(_ index: Int, _ value: UInt64) {
    unsafe weir_store_relaxed(word(index), value)
  }

  /// Adds to the word.
  @inline(__always) func add(_ index: Int, _ amount: UInt64 = 1) {
    _ = unsafe weir_fetch_add(word(index), amount)
  }

  /// Sets the word if it is still `expected`; whether it was.
  @inline(__always) func exchange(_ index: Int, _ expected: UInt64, _ value: UInt64) -> Bool {
    unsafe weir_compare_exchange(word(index), expected, value) != 0
  }

  /// Sets the word to 0 and returns what it was.
  func take(_ index: Int) -> UInt64 {
    while true {
      let old = load(index)
      if old == 0 || exchange(index, old, 0) { return old }
    }
  }

  /// Changes the word by a rule that may be applied more than once; nil leaves it as it is. Whether
  /// it was changed.
  @inline(__always) @discardableResult
  func update(_ index: Int, _ rule: (UInt64) -> UInt64?) -> Bool {
    while true {
      let old = load(index)
      guard let new = rule(old) else { return false }
      if exchange(index, old, new) { return true }
    }
  }

  /// Every access before it is seen by all threads before every access after it.
  @inline(__always) static func fence() { weir_fence() }
}
