internal import CZlib

/// Bytes into a gzip file (RFC 1952), by portions. For one thread.
@safe
final class GzipStream {
  // Safe: freed in `deinit`, and used here only. Not in the object itself, for zlib wants it never to move.
  private let stream: UnsafeMutablePointer<z_stream>
  private var output = [UInt8](repeating: 0, count: 64 << 10)
  /// zlib's usual level: logs become a tenth, at some 50 MB/s.
  private static let level: Int32 = 6

  /// An empty one; nil if there is no memory.
  init?() {
    unsafe stream = .allocate(capacity: 1)
    // All zero is how zlib wants a stream that uses the system's allocator.
    unsafe stream.initialize(to: z_stream())
    guard unsafe weir_gzip_init(stream, Self.level) == Z_OK else { return nil }
  }

  deinit {
    _ = unsafe deflateEnd(stream)
    unsafe stream.deallocate()
  }

  /// Takes bytes, and gives those of the file to `take`, whose false ends it. False: it has ended so, or zlib
  /// has failed.
  func feed(
    _ bytes: ArraySlice<UInt8>, isEnd: Bool, _ take: (ArraySlice<UInt8>) -> Bool
  ) -> Bool {
    var input = Array(bytes)
    // Safe: zlib reads and writes within both arrays, during the closures only.
    return unsafe input.withUnsafeMutableBufferPointer { input in
      unsafe stream.pointee.next_in = input.baseAddress
      unsafe stream.pointee.avail_in = UInt32(clamping: input.count)
      while true {
        let (code, count) = unsafe output.withUnsafeMutableBufferPointer { room in
          unsafe stream.pointee.next_out = room.baseAddress
          unsafe stream.pointee.avail_out = UInt32(clamping: room.count)
          let code = unsafe deflate(stream, isEnd ? Z_FINISH : Z_NO_FLUSH)
          return unsafe (code, room.count - Int(stream.pointee.avail_out))
        }
        guard code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR else { return false }
        if count > 0, !take(output[..<count]) { return false }
        // Room that is left means that all of the input was taken.
        if code == Z_STREAM_END || (!isEnd && count < output.count) { return true }
      }
    }
  }
}
