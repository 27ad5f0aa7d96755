package import Bytes
internal import CLinux

/// A run of bytes that one thread appends to and others read: a segment of a fill's body.
///
/// The owner appends and then tells others how many bytes there are (through an inbox or a lock, which
/// orders the memory); they read below that count only. The bytes never move and never change.
@safe
package final class SharedBytes: @unchecked Sendable {
  // Sendable because what is below a count that was told is never written again.
  private let start: UnsafeMutableRawPointer
  /// How many bytes fit.
  package let capacity: Int
  /// How many bytes there are. For the owner; others go by the count they were told.
  package private(set) var count = 0

  /// An empty run with room for `capacity` bytes, at least 1.
  package init(capacity: Int) {
    precondition(capacity > 0, "a run of bytes needs room")
    guard let memory = unsafe malloc(capacity) else {
      preconditionFailure("out of memory: \(capacity) bytes")
    }
    unsafe start = memory
    self.capacity = capacity
  }

  deinit { unsafe free(start) }

  /// Whether no byte fits any more.
  package var isFull: Bool { count == capacity }

  /// Appends as many bytes as fit, and returns how many did. Owner only.
  @discardableResult
  package func append(_ bytes: ByteView) -> Int {
    let length = min(bytes.count, capacity - count)
    // Safe: within the allocation, behind what others may read.
    if length > 0 { unsafe memcpy(start + count, bytes.baseAddress, length) }
    count += length
    return length
  }

  /// The free room behind the bytes, for read(2); tell with `commit` how much was written. Owner only.
  package var room: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(start: start + count, count: capacity - count)
  }

  /// Counts `length` bytes that were written into `room`. Owner only.
  package func commit(_ length: Int) {
    precondition(length >= 0 && length <= capacity - count, "wrote more than there was room for")
    count += length
  }

  /// The bytes in `range`, which must be below the count that the caller was told. Good while the
  /// caller holds a reference.
  package func view(_ range: Range<Int>) -> ByteView {
    precondition(range.lowerBound >= 0 && range.upperBound <= capacity, "range out of the run")
    return unsafe ByteView(
      unsafeStart: UnsafeRawPointer(start) + range.lowerBound, count: range.count)
  }
}
