// The text of a configuration, read once.
//
// The supervisor opens sockets for what the file says when it starts, and has to start nodes with just
// that at any time later: when a node dies while somebody is editing the file, the next one must not
// meet a half-written configuration, or one whose addresses and workers do not fit the sockets. So the
// nodes get a copy of the text, as a file in memory that they inherit; it is also how a configuration
// that comes from a pipe can be read twice.

internal import CLinux
import Configuration
import EventLoop

struct ConfigurationSource {
  /// The text, with the files that it includes.
  let text: ConfigurationText

  /// What the file is called, in diagnostics and for the paths in it.
  var path: String { text.name }

  /// Reads a file; nil if it cannot be read.
  init?(path: String) {
    let number = unsafe weir_open(path, O_RDONLY, 0)
    guard number >= 0 else { return nil }
    let file = Descriptor(owning: number)
    let read = unsafe Self.bytes { unsafe CLinux.read(file.number, $0.baseAddress, $0.count) }
    guard let bytes = read else { return nil }
    text = ConfigurationText(name: path, directory: Self.directory(of: path), bytes: bytes)
  }

  /// Reads the copy that a supervisor has made of the file at `path`; nil if it is none.
  init?(copy number: Int32, of path: String) {
    var offset = 0
    let bytes = unsafe Self.bytes { buffer in
      // At an offset, for nodes share the descriptor's own.
      let count = unsafe pread(number, buffer.baseAddress, buffer.count, off_t(offset))
      offset += max(0, count)
      return count
    }
    guard let bytes else { return nil }
    text = ConfigurationText(name: path, directory: Self.directory(of: path), archive: bytes)
  }

  /// A text that a node has sent.
  init(_ text: ConfigurationText) { self.text = text }

  /// The configuration that it says.
  func parsed() -> LoadedConfiguration { text.parsed() }

  /// A copy for another process.
  func copied() throws(Errno) -> Descriptor {
    let number = unsafe weir_memory_file("edge.conf")
    guard number >= 0 else { throw .current }
    let copy = Descriptor(owning: number)
    var rest = text.archive[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { buffer in
        unsafe CLinux.write(copy.number, buffer.baseAddress, buffer.count)
      }
      if count < 0 && weir_errno() == EINTR { continue }
      if count <= 0 { throw .current }
      rest = rest.dropFirst(count)
    }
    return copy
  }

  /// All that a file has, and of one that is far too large the first part, which is too large, too.
  private static func bytes(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> [UInt8]? {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count <= 32 << 20 {
      // Safe: the pointer is the array's own and used within the call only.
      let count = unsafe chunk.withUnsafeMutableBytes { unsafe read($0) }
      if count < 0 && weir_errno() == EINTR { continue }
      if count < 0 { return nil }
      if count == 0 { break }
      bytes.append(contentsOf: chunk[..<count])
    }
    return bytes
  }

  /// The absolute path of the directory that a file stands in.
  private static func directory(of path: String) -> String {
    let parent = path.lastIndex(of: "/").map { String(path[..<$0]) }
    if path.hasPrefix("/") { return parent.flatMap { $0.isEmpty ? nil : $0 } ?? "/" }
    let current = currentDirectory() ?? "/"
    guard let parent else { return current }
    return current == "/" ? "/" + parent : current + "/" + parent
  }

  private static func currentDirectory() -> String? {
    guard let text = unsafe getcwd(nil, 0) else { return nil }
    defer { unsafe free(text) }
    return unsafe String(cString: text)
  }
}
