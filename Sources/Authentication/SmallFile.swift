internal import CLinux
package import EventLoop

/// Files that are read whole.
package enum SmallFile {
  /// The content of a file of at most `maxBytes`; EFBIG if there is more.
  package static func read(_ path: String, maxBytes: Int) throws(Errno) -> [UInt8] {
    let number = unsafe weir_open(path, O_RDONLY, 0)
    guard number >= 0 else { throw .current }
    let file = Descriptor(owning: number)
    var content: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 65_536)
    while true {
      let result = unsafe block.withUnsafeMutableBytes { unsafe file.read(into: $0) }
      if let error = result.error { throw error }
      guard let count = result.count, count > 0 else { return content }
      guard content.count + count <= maxBytes else { throw Errno(EFBIG) }
      content += block[..<count]
    }
  }
}
