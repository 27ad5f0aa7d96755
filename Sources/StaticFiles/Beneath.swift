// Opening what lies beneath a directory, and nothing else: whatever the name holds, and whoever renames
// things meanwhile. Checking a path first and opening it afterwards cannot do that.
//
// openat2 with RESOLVE_BENEATH (Linux 5.6) lets the kernel refuse every step that leads out: `..`, an
// absolute link, a magic link of /proc. Where it is missing (an old kernel, a sandbox that does not know
// it), the name is walked segment by segment, each opened with O_NOFOLLOW; links are then not followed at
// all. Hard links and mounts inside the root are the administrator's.
//
// What is opened is a regular file or a directory. A FIFO would block without O_NONBLOCK, a terminal
// could become the process's without O_NOCTTY; both are closed again at once.

internal import Bytes
internal import CLinux
package import EventLoop

/// What a name beneath a root is.
enum Found {
  /// A file to be served.
  case file(OpenFile)
  /// A directory.
  case directory(Listener)
  /// Nothing that is served.
  case nothing
  /// It is there and the process may not read it.
  case forbidden
  /// The system is short of something, or the disk fails.
  case unavailable
}

/// A directory beneath which files are opened.
package final class Beneath: Sendable {
  private let root: Descriptor
  private let followsLinks: Bool
  private let walks: Bool

  private enum Resolve {
    static var noMagicLinks: UInt64 { 0x02 }
    static var noLinks: UInt64 { 0x04 }
    static var beneath: UInt64 { 0x08 }
  }

  /// Opens the root. `followsLinks`: symbolic links that stay beneath it are followed. `walks`: as if
  /// the kernel had no openat2.
  package init(_ path: String, followsLinks: Bool = false, walks: Bool = false) throws(Errno) {
    let flags = O_RDONLY | O_DIRECTORY
    let number = unsafe path.withCString { unsafe weir_open($0, flags, 0) }
    guard number >= 0 else { throw .current }
    root = Descriptor(owning: number)
    self.followsLinks = followsLinks
    self.walks = walks || !Self.hasOpenat2(root.number)
  }

  private static func hasOpenat2(_ directory: Int32) -> Bool {
    let number = unsafe weir_openat2(
      directory, ".", UInt64(O_RDONLY | O_DIRECTORY), Resolve.beneath)
    if number >= 0 { _ = close(number) }
    return number >= 0
  }

  /// Finds out what a name is, and opens it. Blocks.
  func open(_ path: FilePath) -> Found {
    let flags = O_RDONLY | O_NONBLOCK | O_NOCTTY
    // A rename on the way makes the kernel say EAGAIN.
    for _ in 0..<8 {
      let number = walks ? walk(path.name, flags) : resolve(path.name, flags)
      if number >= 0 { return examine(Descriptor(owning: number)) }
      switch weir_errno() {
      case EAGAIN, EINTR: continue
      case EACCES, EPERM: return .forbidden
      case EMFILE, ENFILE, ENOMEM, EIO: return .unavailable
      default: return .nothing
      }
    }
    return .unavailable
  }

  private func resolve(_ name: [UInt8], _ flags: Int32) -> Int32 {
    var how = Resolve.beneath | Resolve.noMagicLinks
    if !followsLinks { how |= Resolve.noLinks }
    return unsafe withCString(name[...]) {
      unsafe weir_openat2(root.number, $0, UInt64(flags), how)
    }
  }

  private func walk(_ name: [UInt8], _ flags: Int32) -> Int32 {
    let segments = name.split(separator: ASCII.slash)
    guard let last = segments.last else { return unsafe weir_openat(root.number, ".", flags) }
    var directory = Int32(-1)
    defer { if directory >= 0 { _ = close(directory) } }
    for segment in segments.dropLast() {
      let next = unsafe withCString(segment) {
        unsafe weir_openat(
          directory >= 0 ? directory : root.number, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
      }
      guard next >= 0 else { return -1 }
      if directory >= 0 { _ = close(directory) }
      directory = next
    }
    let number = unsafe withCString(last) {
      unsafe weir_openat(directory >= 0 ? directory : root.number, $0, flags | O_NOFOLLOW)
    }
    let error = weir_errno()
    defer { weir_set_errno(error) }
    return number
  }

  private func withCString(_ name: ArraySlice<UInt8>, _ body: (UnsafePointer<CChar>) -> Int32)
    -> Int32
  {
    let text = name.isEmpty ? [0x2E, 0] : name.map { CChar(bitPattern: $0) } + [0]
    // Safe: it ends with a zero, and holds no other (`FilePath`).
    return unsafe text.withUnsafeBufferPointer { buffer in
      guard let start = buffer.baseAddress else { return -1 }
      return unsafe body(start)
    }
  }

  private func examine(_ descriptor: consuming Descriptor) -> Found {
    var status = stat()
    guard unsafe fstat(descriptor.number, &status) == 0 else { return .unavailable }
    switch status.st_mode & mode_t(S_IFMT) {
    case mode_t(S_IFREG): return .file(OpenFile(descriptor, status))
    case mode_t(S_IFDIR): return .directory(Listener(descriptor))
    default: return .nothing
    }
  }
}
