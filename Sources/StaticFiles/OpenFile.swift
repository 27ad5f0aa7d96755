internal import CLinux
package import EventLoop

/// What a read of a file came to.
package enum FileRead: Sendable, Equatable {
  /// So many bytes; less than asked for only at the end of the file.
  case bytes(Int)
  /// Not in memory: let a helper thread read it.
  case cold
  /// The file has become shorter than it was, or cannot be read.
  case failed
}

/// A regular file that is open to be served. Its content may change under it: what is sent is what the
/// head announced only if the size stays; a shorter one is noticed (`failed`).
package final class OpenFile: Sendable {
  /// For sendfile.
  package let descriptor: Descriptor
  /// Bytes, when it was opened.
  package let size: Int
  /// When it was last changed: seconds since the epoch.
  package let modified: Int64
  let modifiedNanoseconds: Int64
  let inode: UInt64

  init(_ descriptor: consuming Descriptor, _ status: stat) {
    self.descriptor = descriptor
    size = max(0, Int(status.st_size))
    modified = Int64(status.st_mtim.tv_sec)
    modifiedNanoseconds = Int64(status.st_mtim.tv_nsec)
    inode = UInt64(status.st_ino)
  }

  /// Reads what is in the kernel's memory, without waiting for a disk. Where the file system cannot tell
  /// what that is (NFS, FUSE, overlayfs), everything is cold, unless it has no disk (tmpfs).
  package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> FileRead {
    guard let start = buffer.baseAddress, unsafe !buffer.isEmpty, offset >= 0 else {
      return .bytes(0)
    }
    // Safe: the kernel writes at most the buffer's length.
    let count = unsafe weir_pread_cached(descriptor.number, start, buffer.count, off_t(offset))
    if count > 0 { return .bytes(Int(count)) }
    if count == 0 { return offset >= size ? .bytes(0) : .failed }
    switch weir_errno() {
    case EAGAIN, EINTR: return .cold
    case EOPNOTSUPP, ENOSYS, EINVAL:
      guard weir_is_in_memory(descriptor.number) != 0 else { return .cold }
      return unsafe readWaiting(into: buffer, at: offset)
    default: return .failed
    }
  }

  /// Reads, waiting for the disk if need be. Not on a worker's thread.
  package func readWaiting(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> FileRead {
    guard let start = buffer.baseAddress, unsafe !buffer.isEmpty, offset >= 0 else {
      return .bytes(0)
    }
    while true {
      let count = unsafe pread(descriptor.number, start, buffer.count, off_t(offset))
      if count > 0 { return .bytes(count) }
      if count == 0 { return offset >= size ? .bytes(0) : .failed }
      guard weir_errno() == EINTR else { return .failed }
    }
  }
}
