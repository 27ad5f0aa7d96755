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
    let read = unsafe MemoryFile.read { unsafe CLinux.read(file.number, $0.baseAddress, $0.count) }
    guard let bytes = read else { return nil }
    text = ConfigurationText(name: path, directory: Self.directory(of: path), bytes: bytes)
  }

  /// Reads the copy that a supervisor has made of the file at `path`; nil if it is none.
  init?(copy number: Int32, of path: String) {
    guard let bytes = MemoryFile.read(number) else { return nil }
    text = ConfigurationText(name: path, directory: Self.directory(of: path), archive: bytes)
  }

  /// A text that a node has sent.
  init(_ text: ConfigurationText) { self.text = text }

  /// The configuration that it says.
  func parsed() -> LoadedConfiguration { text.parsed() }

  /// A copy for another process.
  func copied() throws(Errno) -> Descriptor {
    try MemoryFile.make(named: "edge.conf", text.archive)
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
