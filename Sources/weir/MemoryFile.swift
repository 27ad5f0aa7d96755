// Texts for other processes of this command, as files in memory (memfd_create(2)) that they inherit.

internal import CLinux
import EventLoop

enum MemoryFile {
  /// The most that is read of one.
  private static let limit = 32 << 20

  /// A new one with that content.
  static func make(named name: String, _ content: [UInt8]) throws(Errno) -> Descriptor {
    let number = unsafe weir_memory_file(name)
    guard number >= 0 else { throw .current }
    let file = Descriptor(owning: number)
    try WholeWrite.append(content[...], to: file.number)
    return file
  }

  /// All of one, and of one that is far too large the first part, which is too large, too; nil if it cannot
  /// be read. At offsets, for processes share the descriptor's own.
  static func read(_ number: Int32) -> [UInt8]? {
    var offset = 0
    return unsafe read { buffer in
      let count = unsafe pread(number, buffer.baseAddress, buffer.count, off_t(offset))
      offset += max(0, count)
      return count
    }
  }

  /// The same of whatever is read by portions.
  static func read(_ portion: (UnsafeMutableRawBufferPointer) -> Int) -> [UInt8]? {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count <= limit {
      // Safe: the pointer is the array's own and used within the call only.
      let count = unsafe chunk.withUnsafeMutableBytes { unsafe portion($0) }
      if count < 0 && weir_errno() == EINTR { continue }
      if count < 0 { return nil }
      if count == 0 { break }
      bytes.append(contentsOf: chunk[..<count])
    }
    return bytes
  }
}
