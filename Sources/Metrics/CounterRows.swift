internal import CLinux

/// Rows of counters in chunks that are added as they are needed and never move. One thread writes and
/// adds, any may read.
@safe
struct CounterRows: ~Copyable, @unchecked Sendable {
  // Sendable because chunks are published by a store that releases, before a row of theirs is used, and
  // stay until the end.
  private let chunks: UnsafeMutablePointer<UInt64>
  private let rowLength: Int

  private static var rowsPerChunk: Int { 64 }
  private static var chunkLimit: Int { 1024 }

  init(rowLength: Int) {
    self.rowLength = rowLength
    unsafe chunks = .allocate(capacity: Self.chunkLimit)
    unsafe chunks.initialize(repeating: 0, count: Self.chunkLimit)
  }

  deinit {
    for index in 0..<Self.chunkLimit {
      guard let chunk = unsafe Self.pointer(chunks[index]) else { continue }
      unsafe free(chunk)
    }
    unsafe chunks.deallocate()
  }

  private static func pointer(_ address: UInt64) -> UnsafeMutablePointer<UInt64>? {
    unsafe UnsafeMutablePointer(bitPattern: UInt(address))
  }

  /// Makes room for so many rows; what is beyond 65,536 has none.
  func grow(to rows: Int) {
    let needed = min((max(rows, 0) + Self.rowsPerChunk - 1) / Self.rowsPerChunk, Self.chunkLimit)
    for index in 0..<needed where unsafe chunks[index] == 0 {
      // calloc leaves what is not used untouched, so that routes nobody asks for cost no memory.
      guard let chunk = unsafe calloc(Self.rowsPerChunk * rowLength, 8) else {
        preconditionFailure("out of memory: counters of routes")
      }
      unsafe weir_store_release(chunks + index, UInt64(UInt(bitPattern: chunk)))
    }
  }

  /// Whether there is such a row.
  @inline(__always)
  func has(_ row: Int) -> Bool {
    let index = row &>> 6
    guard row >= 0, index < Self.chunkLimit else { return false }
    return unsafe weir_load_acquire(chunks + index) != 0
  }

  @inline(__always)
  private func word(_ row: Int, _ cell: Int) -> UnsafeMutablePointer<UInt64> {
    precondition(has(row) && cell >= 0 && cell < rowLength, "no such counter")
    let chunk = unsafe Self.pointer(weir_load_acquire(chunks + row &>> 6))
    // Safe: there is such a chunk, and the cell lies within it.
    return unsafe chunk.unsafelyUnwrapped + ((row & 63) &* rowLength &+ cell)
  }

  /// Adds to a cell of a row that there is; only on the owning thread.
  @inline(__always)
  func add(_ row: Int, _ cell: Int, _ amount: UInt64) {
    let word = unsafe word(row, cell)
    unsafe weir_store_relaxed(word, weir_load_relaxed(word) &+ amount)
  }

  /// What a cell of a row that there is stands at.
  func value(_ row: Int, _ cell: Int) -> UInt64 { unsafe weir_load_relaxed(word(row, cell)) }
}
