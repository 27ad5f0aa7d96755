internal import CLinux

/// A small file that is read and written as a whole, beside the store.
package enum StateFile {
  /// More than this is not one of ours.
  private static let longest = 1 << 30

  /// What a file says; nil if there is none, or it cannot be read.
  package static func read(_ path: String) -> [UInt8]? {
    let number = unsafe weir_open(path, O_RDONLY | O_CLOEXEC, 0)
    guard number >= 0 else { return nil }
    let file = Descriptor(owning: number)
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count < longest {
      // Safe: the buffer is the array's own, and used within the call only.
      let result = unsafe piece.withUnsafeMutableBytes { unsafe file.read(into: $0) }
      guard let count = result.count else { return nil }
      if count == 0 { return bytes }
      bytes.append(contentsOf: piece[..<count])
    }
    return nil
  }

  /// Replaces a file, at once or not at all: what a reader finds after a crash is the old one or the
  /// new one. Only the node's own user may read it.
  package static func write(_ bytes: [UInt8], to path: String) throws(Errno) {
    let temporary = path + ".new"
    let number = unsafe weir_open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard number >= 0 else { throw .current }
    let file = Descriptor(owning: number)
    try WholeWrite.append(bytes[...], to: file.number)
    guard fsync(file.number) == 0, unsafe rename(temporary, path) == 0 else { throw .current }
  }
}
