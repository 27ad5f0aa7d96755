internal import CLinux

/// Sockets on this machine that have a path (unix(7)).
package enum UnixSocket {
  /// The longest path, in bytes: `sun_path` with its terminating zero.
  package static var longestPath: Int { 107 }

  /// Who has connected to a socket, as the kernel has noted it.
  package struct Peer: Sendable, Equatable {
    /// The user, by number.
    package let user: UInt32
    /// The process that connected.
    package let process: Int32
  }

  /// Starts to connect, non-blocking and closed on exec. A full queue at the server is EAGAIN, and no
  /// connection: unlike TCP the kernel does not go on by itself (unix(7)).
  package static func connect(to path: String) throws(Errno) -> Descriptor {
    let descriptor = try open()
    let result = unsafe try withAddress(path) { address, length in
      unsafe CLinux.connect(descriptor.number, address, length)
    }
    if result != 0 && weir_errno() != EINPROGRESS { throw .current }
    return descriptor
  }

  /// A listening socket at a path, which then has that mode. What a process left there that has ended is
  /// replaced; where somebody still listens it is EADDRINUSE, where something else is EEXIST.
  package static func listen(at path: String, mode: UInt32) throws(Errno) -> Descriptor {
    guard removeLeftover(at: path) else { throw .addressInUse }
    let descriptor = try open()
    // The mode of the socket is that of its file: so it is never there with a wider one.
    guard fchmod(descriptor.number, mode_t(mode)) == 0 else { throw .current }
    let result = unsafe try withAddress(path) { address, length in
      unsafe bind(descriptor.number, address, length)
    }
    guard result == 0 else { throw Errno.current == .addressInUse ? Errno(EEXIST) : .current }
    // What the mask took away.
    guard unsafe chmod(path, mode_t(mode)) == 0, CLinux.listen(descriptor.number, 128) == 0 else {
      throw .current
    }
    return descriptor
  }

  /// Removes a socket at which nobody listens any more; false if somebody does. Anything else that stands
  /// at the path is left alone.
  @discardableResult
  package static func removeLeftover(at path: String) -> Bool {
    var status = stat()
    guard unsafe lstat(path, &status) == 0, status.st_mode & mode_t(S_IFMT) == mode_t(S_IFSOCK)
    else { return true }
    do throws(Errno) {
      _ = try connect(to: path)
      return false
    } catch {
      guard error.code == ECONNREFUSED else { return false }
    }
    unsafe unlink(path)
    return true
  }

  /// The path that a socket listens at; nil if it is of another kind.
  package static func path(of socket: borrowing Descriptor) -> String? {
    var address = sockaddr_un()
    var length = socklen_t(MemoryLayout<sockaddr_un>.size)
    let result = unsafe withUnsafeMutableBytes(of: &address) {
      unsafe getsockname(
        socket.number, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, &length)
    }
    guard result == 0, Int32(address.sun_family) == AF_UNIX else { return nil }
    return unsafe withUnsafeBytes(of: &address.sun_path) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }

  /// Who is at the other end of a connection; nil if the kernel does not say.
  package static func peer(of socket: borrowing Descriptor) -> Peer? {
    // struct ucred: process, user, group.
    var credentials: (Int32, UInt32, UInt32) = (0, 0, 0)
    var length = socklen_t(MemoryLayout<(Int32, UInt32, UInt32)>.size)
    guard
      unsafe getsockopt(socket.number, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0
    else { return nil }
    return Peer(user: credentials.1, process: credentials.0)
  }

  private static func open() throws(Errno) -> Descriptor {
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let number = socket(AF_UNIX, kind, 0)
    guard number >= 0 else { throw .current }
    return Descriptor(owning: number)
  }

  /// Calls `body` with the kernel's form of a path; throws ENAMETOOLONG if it has none.
  private static func withAddress(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) throws(Errno) -> Int32 {
    let bytes = Array(path.utf8)
    guard !bytes.isEmpty, bytes.count <= longestPath, !bytes.contains(0) else {
      throw Errno(ENAMETOOLONG)
    }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    // Safe: the structure outlives the call, which only reads it.
    return unsafe withUnsafeBytes(of: &address) {
      unsafe body(
        $0.assumingMemoryBound(to: sockaddr.self).baseAddress.unsafelyUnwrapped,
        socklen_t($0.count))
    }
  }
}
