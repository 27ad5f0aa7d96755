internal import CLinux

/// Opening sockets: all of them non-blocking and closed on exec.
package enum Socket {
  /// A listening TCP socket. With `shared`, several may listen on one address (SO_REUSEPORT) and the
  /// kernel spreads connections over them.
  package static func listen(on address: SocketAddress, shared: Bool, backlog: Int32 = 4096)
    throws(Errno) -> Descriptor
  {
    let socket = try open(address)
    set(socket.number, SOL_SOCKET, SO_REUSEADDR, 1)
    if shared { set(socket.number, SOL_SOCKET, SO_REUSEPORT, 1) }
    if !address.isIPv4 { set(socket.number, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 0) }
    guard unsafe address.withKernelForm({ unsafe bind(socket.number, $0, $1) }) == 0 else {
      throw .current
    }
    guard CLinux.listen(socket.number, backlog) == 0 else { throw .current }
    return socket
  }

  /// Starts to connect; the socket becomes writable when it is done, and `socketError` tells how.
  package static func connect(to address: SocketAddress) throws(Errno) -> Descriptor {
    let socket = try open(address)
    configureConnection(socket.number)
    let result = unsafe address.withKernelForm { unsafe CLinux.connect(socket.number, $0, $1) }
    if result != 0 && weir_errno() != EINPROGRESS { throw .current }
    return socket
  }

  /// A UDP socket that sends to an address, non-blocking.
  package static func datagrams(to address: SocketAddress) throws(Errno) -> Descriptor {
    let kind = Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let number = socket(address.isIPv4 ? AF_INET : AF_INET6, kind, 0)
    guard number >= 0 else { throw .current }
    let socket = Descriptor(owning: number)
    // Safe: the kernel reads the address during the call.
    let result = unsafe address.withKernelForm { unsafe CLinux.connect(socket.number, $0, $1) }
    guard result == 0 else { throw .current }
    return socket
  }

  /// Takes a connection off a listening socket's queue; nil when there is none.
  package static func accept(
    from listener: borrowing Descriptor, address: inout SocketAddress
  ) throws(Errno) -> Descriptor? {
    while true {
      var storage = sockaddr_storage()
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let number = unsafe withUnsafeMutableBytes(of: &storage) {
        unsafe accept4(
          listener.number, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, &length,
          Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue))
      }
      if number >= 0 {
        address = SocketAddress(storage: storage) ?? SocketAddress(high: 0, low: 0, port: 0)
        return Descriptor(owning: number)
      }
      switch weir_errno() {
      case EAGAIN: return nil
      // A connection that went away in the queue says nothing about the next one.
      case EINTR, ECONNABORTED, EPROTO: continue
      default: throw .current
      }
    }
  }

  /// The same socket by another number, non-blocking and closed on exec.
  package static func duplicate(_ socket: borrowing Descriptor) throws(Errno) -> Descriptor {
    let number = weir_fcntl_int(socket.number, F_DUPFD_CLOEXEC, 3)
    guard number >= 0 else { throw .current }
    let copy = Descriptor(owning: number)
    let flags = weir_fcntl_int(number, F_GETFL, 0)
    guard flags >= 0, weir_fcntl_int(number, F_SETFL, flags | O_NONBLOCK) == 0 else {
      throw .current
    }
    return copy
  }

  /// What every connection of the node is set to: answers are written whole, and wait for no more.
  package static func configureConnection(_ number: Int32) {
    set(number, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
  }

  /// Bounds what the kernel takes from a connection before it is sent.
  package static func limitUnsent(_ socket: borrowing Descriptor, bytes: Int32) {
    set(socket.number, Int32(IPPROTO_TCP), TCP_NOTSENT_LOWAT, bytes)
  }

  /// The address that a socket is bound to.
  package static func localAddress(of socket: borrowing Descriptor) -> SocketAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = unsafe withUnsafeMutableBytes(of: &storage) {
      unsafe getsockname(
        socket.number, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, &length)
    }
    return result == 0 ? SocketAddress(storage: storage) : nil
  }

  /// All addresses that a name has, in the system's order. Blocks: never on a loop's thread.
  package static func resolve(host: String, port: UInt16) -> [SocketAddress] {
    if let numeric = SocketAddress(host: host, port: port), !host.isEmpty { return [numeric] }
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard unsafe getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
    defer { unsafe freeaddrinfo(list) }
    var found: [SocketAddress] = []
    var next = unsafe list
    while let entry = unsafe next {
      var storage = sockaddr_storage()
      let length = unsafe min(Int(entry.pointee.ai_addrlen), MemoryLayout<sockaddr_storage>.size)
      unsafe withUnsafeMutableBytes(of: &storage) {
        unsafe $0.baseAddress?.copyMemory(from: entry.pointee.ai_addr, byteCount: length)
      }
      if var address = SocketAddress(storage: storage) {
        address.port = port
        if !found.contains(address) { found.append(address) }
      }
      unsafe next = entry.pointee.ai_next
    }
    return found
  }

  private static func open(_ address: SocketAddress) throws(Errno) -> Descriptor {
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let number = socket(address.isIPv4 ? AF_INET : AF_INET6, kind, 0)
    guard number >= 0 else { throw .current }
    return Descriptor(owning: number)
  }

  private static func set(_ number: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
    var value = value
    // An option the kernel lacks costs speed, never correctness.
    _ = unsafe setsockopt(number, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
  }
}
