// A view of bytes that somebody else owns.
//
// The node's buffers live in classes (a connection, a worker), and a Span cannot be taken from a
// class's stored property and kept past the expression ("escapes its scope"). So buffers hand out
// views: a pointer and a length, every access checked against the length. What the compiler does not
// check is how long the view stays good. The rule, which every user of a view must keep:
//
//   A view is good until the turn of the loop ends or its owner is written to, whichever is first.
//   Nothing keeps one in a stored property across turns: between turns keep offsets.
//
// Pure modules take `Span<UInt8>` in their signatures (`view.span`), which the compiler does check.

internal import CLinux

/// A bounds-checked, unowned run of bytes: see the rule at the top of this file.
@safe
public struct ByteView: @unchecked Sendable {
  // Sendable because it is only read through; whose memory it is, is the rule above.
  @usableFromInline let start: UnsafeRawPointer
  /// How many bytes the view covers.
  public let count: Int

  /// A view of `count` bytes at `start`; the memory must outlive every use of the view.
  @inlinable
  public init(unsafeStart start: UnsafeRawPointer, count: Int) {
    precondition(count >= 0, "a view cannot have a negative length")
    unsafe self.start = start
    self.count = count
  }

  /// A view of a buffer; an empty one without an address becomes an empty view.
  @inlinable
  public init(unsafe buffer: UnsafeRawBufferPointer) {
    if let base = buffer.baseAddress {
      unsafe self.init(unsafeStart: base, count: buffer.count)
    } else {
      self.init()
    }
  }

  /// An empty view.
  @inlinable
  public init() {
    unsafe start = UnsafeRawPointer(bitPattern: 1).unsafelyUnwrapped
    count = 0
  }

  /// A view of a literal's bytes, which live as long as the process.
  @inlinable
  public init(_ literal: StaticString) {
    unsafe self.init(unsafeStart: literal.utf8Start, count: literal.utf8CodeUnitCount)
  }

  /// Whether the view covers no bytes.
  @inlinable public var isEmpty: Bool { count == 0 }

  /// The address of the first byte, for system calls and C functions.
  @unsafe
  @inlinable public var baseAddress: UnsafeRawPointer { unsafe start }

  /// The byte at `index`, which must be in `0 ..< count`.
  @inlinable
  public subscript(index: Int) -> UInt8 {
    precondition(index >= 0 && index < count, "index out of the view")
    return unsafe start.load(fromByteOffset: index, as: UInt8.self)
  }

  /// The part of the view in `range`, which must lie within it.
  @inlinable
  public subscript(range: Range<Int>) -> ByteView {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range out of the view")
    return unsafe ByteView(unsafeStart: start + range.lowerBound, count: range.count)
  }

  /// What follows the first `length` bytes; empty if there is nothing.
  @inlinable
  public func dropping(first length: Int) -> ByteView { self[min(max(length, 0), count)..<count] }

  /// The first `length` bytes, or all if there are fewer.
  @inlinable
  public func prefix(_ length: Int) -> ByteView { self[0..<min(max(length, 0), count)] }

  /// The same bytes as a span whose lifetime the compiler checks against this value's.
  @inlinable
  public var span: Span<UInt8> {
    @_lifetime(borrow self)
    get {
      let span = unsafe Span<UInt8>(
        _unsafeStart: start.assumingMemoryBound(to: UInt8.self), count: count)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// A 16-bit little-endian integer at `offset`.
  @inlinable
  public func uint16(at offset: Int) -> UInt16 {
    precondition(offset >= 0 && count - offset >= 2, "offset out of the view")
    return unsafe UInt16(littleEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  /// A 32-bit little-endian integer at `offset`.
  @inlinable
  public func uint32(at offset: Int) -> UInt32 {
    precondition(offset >= 0 && count - offset >= 4, "offset out of the view")
    return unsafe UInt32(littleEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  /// A 64-bit little-endian integer at `offset`.
  @inlinable
  public func uint64(at offset: Int) -> UInt64 {
    precondition(offset >= 0 && count - offset >= 8, "offset out of the view")
    return unsafe UInt64(littleEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  /// The bytes, copied.
  public var array: [UInt8] {
    unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: count))
  }

  /// The bytes as text; what is not UTF-8 is replaced. Not for the hit path.
  public var string: String {
    unsafe String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
  }

  /// Where `byte` first stands at or after `from`.
  public func firstIndex(of byte: UInt8, from: Int = 0) -> Int? {
    guard from >= 0, from < count else { return nil }
    guard let found = unsafe memchr(start + from, Int32(byte), count - from) else { return nil }
    return unsafe UnsafeRawPointer(found) - start
  }
}

extension ByteView: Equatable {
  /// Whether both views hold the same bytes.
  public static func == (left: ByteView, right: ByteView) -> Bool {
    guard left.count == right.count else { return false }
    return unsafe memcmp(left.start, right.start, left.count) == 0
  }
}

extension ByteView {
  /// Whether the view begins with `prefix`.
  public func starts(with prefix: ByteView) -> Bool {
    guard count >= prefix.count else { return false }
    return unsafe memcmp(start, prefix.start, prefix.count) == 0
  }

  /// Whether both are the same but for the case of ASCII letters.
  @inlinable
  public func equalsIgnoringCase(_ other: ByteView) -> Bool {
    guard count == other.count else { return false }
    for index in 0..<count {
      let left = unsafe start.load(fromByteOffset: index, as: UInt8.self)
      let right = unsafe other.start.load(fromByteOffset: index, as: UInt8.self)
      if left != right && ASCII.lowercase(left) != ASCII.lowercase(right) { return false }
    }
    return true
  }
}

extension [UInt8] {
  /// Calls `body` with a view of the array, good for the time of the call.
  public func withView<Result>(_ body: (ByteView) throws -> Result) rethrows -> Result {
    try unsafe withUnsafeBytes { try body(unsafe ByteView(unsafe: $0)) }
  }
}

extension String {
  /// Calls `body` with a view of the string's UTF-8, good for the time of the call.
  public func withView<Result>(_ body: (ByteView) throws -> Result) rethrows -> Result {
    try Array(utf8).withView(body)
  }
}
