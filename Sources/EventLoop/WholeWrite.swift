// What is written to a file is written whole, but for an error: a signal or a small portion is no end.

package import Bytes
internal import CLinux

/// See the top of this file.
package enum WholeWrite {
  /// Writes all bytes at the position of an open file; the error, after which a part of them may stand there.
  package static func append(_ bytes: UnsafeRawBufferPointer, to file: Int32) -> Errno? {
    var rest = unsafe bytes[...]
    while unsafe !rest.isEmpty {
      let buffer = unsafe UnsafeRawBufferPointer(rebasing: rest)
      // Safe: the caller keeps the bytes for the time of the call.
      let count = unsafe CLinux.write(file, buffer.baseAddress, buffer.count)
      if count < 0 && weir_errno() == EINTR { continue }
      guard count != 0 else { return Errno(EIO) }
      guard count > 0 else { return .current }
      unsafe rest = rest.dropFirst(count)
    }
    return nil
  }

  /// The same of a view.
  package static func append(_ bytes: ByteView, to file: Int32) throws(Errno) {
    let buffer = unsafe UnsafeRawBufferPointer(start: bytes.baseAddress, count: bytes.count)
    if let error = unsafe append(buffer, to: file) { throw error }
  }

  /// The same of an array or a part of one.
  package static func append(_ bytes: ArraySlice<UInt8>, to file: Int32) throws(Errno) {
    let error = unsafe bytes.withUnsafeBytes { unsafe append($0, to: file) }
    if let error { throw error }
  }
}
