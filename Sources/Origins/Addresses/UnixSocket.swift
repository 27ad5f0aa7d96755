internal import CLinux
package import EventLoop

/// Connections to servers on this machine by a path.
package enum UnixSocket {
  /// The longest path, in bytes: `sun_path` with its terminating zero.
  package static var longestPath: Int { 107 }

  /// Starts to connect, non-blocking and closed on exec. A full queue at the server is EAGAIN, and no
  /// connection: unlike TCP the kernel does not go on by itself (unix(7)).
  package static func connect(to path: String) throws(Errno) -> Descriptor {
    let bytes = Array(path.utf8)
    guard !bytes.isEmpty, bytes.count <= longestPath, !bytes.contains(0) else {
      throw Errno(ENAMETOOLONG)
    }
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let number = socket(AF_UNIX, kind, 0)
    guard number >= 0 else { throw .current }
    let descriptor = Descriptor(owning: number)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    // Safe: the structure outlives the call, which only reads it.
    let result = unsafe withUnsafeBytes(of: &address) {
      unsafe CLinux.connect(
        descriptor.number,
        $0.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t($0.count))
    }
    if result != 0 && weir_errno() != EINPROGRESS { throw .current }
    return descriptor
  }
}
