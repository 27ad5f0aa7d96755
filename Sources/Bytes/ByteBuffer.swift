internal import CLinux

/// A growable run of bytes with one owner.
///
/// An empty buffer owns no memory, so that an idle connection costs nothing. Appending may move the
/// bytes: a view taken before is no longer good (see `ByteView`).
@safe
public struct ByteBuffer: ~Copyable, @unchecked Sendable {
  // Sendable because it has one owner: whoever holds it may move it to another thread.
  @usableFromInline var storage: UnsafeMutableRawPointer?
  /// How many bytes it holds.
  public internal(set) var count: Int = 0
  /// How many it could hold without growing.
  public internal(set) var capacity: Int = 0

  /// An empty buffer that owns no memory.
  public init() { unsafe storage = nil }

  /// An empty buffer with room for `capacity` bytes.
  public init(capacity: Int) {
    unsafe storage = nil
    reserve(capacity)
  }

  deinit { unsafe free(storage) }

  /// Whether it holds nothing.
  @inlinable public var isEmpty: Bool { count == 0 }

  /// The bytes, good until the buffer is next written to.
  @inlinable
  public var view: ByteView {
    guard let storage = unsafe storage else { return ByteView() }
    return unsafe ByteView(unsafeStart: UnsafeRawPointer(storage), count: count)
  }

  /// Makes room for `additional` more bytes, growing at least by half.
  public mutating func reserve(_ additional: Int) {
    let (needed, overflow) = count.addingReportingOverflow(additional)
    precondition(additional >= 0 && !overflow, "buffer size out of range")
    guard needed > capacity else { return }
    let grown = max(needed, capacity + capacity / 2, 64)
    guard let memory = unsafe realloc(storage, grown) else {
      preconditionFailure("out of memory: \(grown) bytes")
    }
    unsafe storage = memory
    capacity = grown
  }

  /// Appends the bytes of a view, which must not be of this buffer.
  public mutating func append(_ bytes: ByteView) {
    guard bytes.count > 0 else { return }
    reserve(bytes.count)
    guard let storage = unsafe storage else { return }
    unsafe memcpy(storage + count, bytes.baseAddress, bytes.count)
    count += bytes.count
  }

  /// Appends a literal.
  public mutating func append(_ literal: StaticString) { append(ByteView(literal)) }

  /// Appends one byte.
  public mutating func append(_ byte: UInt8) {
    reserve(1)
    guard let storage = unsafe storage else { return }
    unsafe storage.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
    count += 1
  }

  /// Appends a string's UTF-8. Not for the hit path.
  public mutating func append(text: String) { text.withView { append($0) } }

  /// Appends bytes with ASCII letters in lower case.
  public mutating func appendLowercased(_ bytes: ByteView) {
    reserve(bytes.count)
    guard let storage = unsafe storage else { return }
    for index in 0..<bytes.count {
      unsafe storage.storeBytes(
        of: ASCII.lowercase(bytes[index]), toByteOffset: count + index, as: UInt8.self)
    }
    count += bytes.count
  }

  /// Appends a number in decimal.
  public mutating func append(decimal value: UInt64) {
    reserve(20)
    guard let storage = unsafe storage else { return }
    var length = 1
    var rest = value
    while rest >= 10 {
      rest /= 10
      length += 1
    }
    rest = value
    var position = count + length
    repeat {
      position -= 1
      let digit = UInt8(truncatingIfNeeded: rest % 10) &+ 0x30
      unsafe storage.storeBytes(of: digit, toByteOffset: position, as: UInt8.self)
      rest /= 10
    } while position > count
    count += length
  }

  /// Appends a signed number in decimal.
  public mutating func append(decimal value: Int) {
    if value < 0 { append(0x2D as UInt8) }
    append(decimal: UInt64(value.magnitude))
  }

  /// Appends a number in lower-case hexadecimal, without leading zeros.
  public mutating func append(hexadecimal value: UInt64) {
    var started = false
    for shift in stride(from: UInt64(60), through: 0, by: -4) {
      let digit = UInt8(truncatingIfNeeded: value &>> shift & 0xF)
      if digit == 0 && !started && shift != 0 { continue }
      started = true
      append(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit)
    }
  }

  /// Appends a number in lower-case hexadecimal, with leading zeros: 2 digits of a byte, 16 of 8 bytes.
  public mutating func append<Value: FixedWidthInteger & UnsignedInteger>(
    allHexadecimal value: Value
  ) {
    var shift = Value.bitWidth
    while shift > 0 {
      shift &-= 4
      let digit = UInt8(truncatingIfNeeded: value &>> Value(truncatingIfNeeded: shift) & 0xF)
      append(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit)
    }
  }

  /// Appends an integer's bytes, least significant first.
  public mutating func append<Value: FixedWidthInteger>(littleEndian value: Value) {
    let size = MemoryLayout<Value>.size
    reserve(size)
    guard let storage = unsafe storage else { return }
    unsafe (storage + count).storeBytes(of: value.littleEndian, as: Value.self)
    count += size
  }

  /// Overwrites bytes at `offset`, which must exist, with an integer's, least significant first.
  public mutating func overwrite<Value: FixedWidthInteger>(
    at offset: Int, littleEndian value: Value
  ) {
    let size = MemoryLayout<Value>.size
    precondition(offset >= 0 && count - offset >= size, "offset out of the buffer")
    guard let storage = unsafe storage else { return }
    unsafe (storage + offset).storeBytes(of: value.littleEndian, as: Value.self)
  }

  /// Forgets the bytes and keeps the memory.
  public mutating func removeAll() { count = 0 }

  /// Forgets the first `length` bytes and moves the rest to the front.
  public mutating func removeFirst(_ length: Int) {
    precondition(length >= 0 && length <= count, "cannot remove more than there is")
    guard let storage = unsafe storage, length > 0 else { return }
    count -= length
    unsafe memmove(storage, storage + length, count)
  }

  /// Keeps only the first `length` bytes.
  public mutating func truncate(to length: Int) {
    precondition(length >= 0 && length <= count, "cannot keep more than there is")
    count = length
  }

  /// Forgets the bytes and gives the memory back.
  public mutating func release() {
    unsafe free(storage)
    unsafe storage = nil
    count = 0
    capacity = 0
  }

  /// Lets `fill` write into at least `atLeast` free bytes behind the content; what it returns, at
  /// most the buffer's length, is how many bytes it wrote.
  public mutating func appendUninitialized<Failure: Error>(
    atLeast: Int, _ fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Int
  ) throws(Failure) {
    reserve(atLeast)
    let free = capacity - count
    let written = try unsafe fill(
      UnsafeMutableRawBufferPointer(start: storage.map { unsafe $0 + count }, count: free))
    precondition(written >= 0 && written <= free, "wrote more than there was room for")
    count += written
  }
}
