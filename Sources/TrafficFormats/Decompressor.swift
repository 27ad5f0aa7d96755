// gzip (with several members) and zstd (with several frames), told apart by their first bytes; what is neither
// goes through as it is. Feeding bytes in any portions gives the same result.

package import Bytes
internal import CZlib
internal import CZstd

/// Undoes a stream's compression, if it has any.
@safe
package final class Decompressor {
  /// How the stream is compressed.
  package enum Coding: Equatable, Sendable {
    /// Not at all.
    case none
    /// gzip, RFC 1952.
    case gzip
    /// Zstandard, RFC 8878.
    case zstd
  }

  // Safe: what the cases point to is freed in `deinit` and `fail`, and used here only.
  @safe
  private enum State {
    case unknown
    case plain
    case inflating(UnsafeMutablePointer<z_stream>)
    case zstd(OpaquePointer)
    case failed
  }

  private var state = State.unknown
  private var head = ByteBuffer()
  private var output = ByteBuffer()
  private var memberEnded = false
  /// How the stream is compressed, when enough of it was seen.
  package private(set) var coding: Coding?
  private static let pieceSize = 128 << 10

  /// A decompressor at the beginning of a stream.
  package init() {}

  deinit {
    switch state {
    case .inflating(let stream):
      unsafe inflateEnd(stream)
      unsafe stream.deallocate()
    case .zstd(let stream): unsafe ZSTD_freeDStream(stream)
    case .unknown, .plain, .failed: break
    }
  }

  /// Takes bytes and hands out what they are; false if the stream is damaged, and all that follows with it.
  package func feed(_ bytes: ByteView, _ take: (ByteView) -> Void) -> Bool {
    if case .unknown = state {
      head.append(bytes)
      guard head.count >= 4 else { return true }
      return begin(take)
    }
    return decompress(bytes, take)
  }

  /// Says that there is no more; false if the stream was cut off.
  package func finish(_ take: (ByteView) -> Void) -> Bool {
    if case .unknown = state, !head.isEmpty { guard begin(take) else { return false } }
    switch state {
    case .unknown, .plain: return true
    case .failed: return false
    case .inflating, .zstd: return memberEnded
    }
  }

  private func begin(_ take: (ByteView) -> Void) -> Bool {
    let first = head.view
    if first.count >= 2, first.uint16(at: 0) == 0x8B1F {
      beginInflating()
    } else if first.count >= 4, first.uint32(at: 0) == 0xFD2F_B528 {
      beginZstd()
    } else {
      coding = Coding.none
      state = .plain
    }
    let start = first.array
    head.release()
    return start.withView { decompress($0, take) }
  }

  private func beginInflating() {
    coding = .gzip
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    // All zero is how zlib wants a stream that uses the system's allocator.
    unsafe stream.initialize(to: z_stream())
    if unsafe weir_inflate_init(stream) == Z_OK {
      unsafe state = .inflating(stream)
    } else {
      unsafe stream.deallocate()
      state = .failed
    }
  }

  private func beginZstd() {
    coding = .zstd
    if let stream = unsafe ZSTD_createDStream() {
      unsafe state = .zstd(stream)
    } else {
      state = .failed
    }
  }

  private func decompress(_ bytes: ByteView, _ take: (ByteView) -> Void) -> Bool {
    switch state {
    case .unknown, .failed: return false
    case .plain:
      take(bytes)
      return true
    case .inflating(let stream): return unsafe inflate(bytes, stream, take)
    case .zstd(let stream): return unsafe unzstd(bytes, stream, take)
    }
  }

  private func inflate(
    _ bytes: ByteView, _ stream: UnsafeMutablePointer<z_stream>, _ take: (ByteView) -> Void
  ) -> Bool {
    // Safe: zlib only reads the view, which outlives the call, and writes at most what it is told.
    unsafe stream.pointee.next_in = UnsafeMutablePointer(
      mutating: bytes.baseAddress.assumingMemoryBound(to: UInt8.self))
    unsafe stream.pointee.avail_in = UInt32(clamping: bytes.count)
    while true {
      if memberEnded {
        guard unsafe stream.pointee.avail_in > 0 else { return true }
        // Another member, or the padding that some tapes and tools leave.
        memberEnded = false
        unsafe inflateReset(stream)
      }
      var code: Int32 = 0
      output.removeAll()
      unsafe output.appendUninitialized(atLeast: Self.pieceSize) { free in
        unsafe stream.pointee.next_out = free.baseAddress?.assumingMemoryBound(to: UInt8.self)
        unsafe stream.pointee.avail_out = UInt32(clamping: free.count)
        unsafe code = CZlib.inflate(stream, Z_NO_FLUSH)
        return unsafe free.count - Int(stream.pointee.avail_out)
      }
      if !output.isEmpty { take(output.view) }
      switch code {
      case Z_STREAM_END: memberEnded = true
      case Z_OK:
        if unsafe stream.pointee.avail_in == 0 && output.count < Self.pieceSize { return true }
      case Z_BUF_ERROR: return true
      default: return fail()
      }
    }
  }

  private func unzstd(
    _ bytes: ByteView, _ stream: OpaquePointer, _ take: (ByteView) -> Void
  ) -> Bool {
    var input = unsafe ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
    while true {
      var code = 0
      output.removeAll()
      unsafe output.appendUninitialized(atLeast: Self.pieceSize) { free in
        var place = unsafe ZSTD_outBuffer(dst: free.baseAddress, size: free.count, pos: 0)
        code = unsafe ZSTD_decompressStream(stream, &place, &input)
        return unsafe place.pos
      }
      if !output.isEmpty { take(output.view) }
      if ZSTD_isError(code) != 0 { return fail() }
      // 0: a frame is complete; the next may follow.
      memberEnded = code == 0
      let isFull = output.count >= Self.pieceSize
      if unsafe input.pos == input.size && !isFull { return true }
    }
  }

  private func fail() -> Bool {
    switch state {
    case .inflating(let stream):
      unsafe inflateEnd(stream)
      unsafe stream.deallocate()
    case .zstd(let stream): unsafe ZSTD_freeDStream(stream)
    case .unknown, .plain, .failed: break
    }
    state = .failed
    return false
  }
}
