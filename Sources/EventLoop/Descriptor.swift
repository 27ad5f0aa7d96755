package import Bytes
internal import CLinux

/// A file descriptor with one owner; closed when the owner goes.
package struct Descriptor: ~Copyable, Sendable {
  /// The number, for what has no wrapper here.
  package let number: Int32

  /// Takes ownership of an open descriptor.
  package init(owning number: Int32) {
    precondition(number >= 0, "not a descriptor")
    self.number = number
  }

  deinit { _ = CLinux.close(number) }

  /// Gives the descriptor away without closing it.
  package consuming func release() -> Int32 {
    let number = number
    discard self
    return number
  }

  /// Reads into memory; see `IOResult`.
  package borrowing func read(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
    // Safe: the kernel writes at most `count` bytes into a buffer the caller owns.
    retrying { unsafe CLinux.read(number, buffer.baseAddress, buffer.count) }
  }

  /// Reads from a socket into memory. Cheaper than `read`, which goes by way of the file system.
  package borrowing func receive(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
    // Safe: the kernel writes at most `count` bytes into a buffer the caller owns.
    retrying { unsafe weir_recv(number, buffer.baseAddress, buffer.count) }
  }

  /// Looks at what a socket has, without taking it.
  package borrowing func peek(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
    // Safe: the kernel writes at most `count` bytes into a buffer the caller owns.
    retrying { unsafe recv(number, buffer.baseAddress, buffer.count, Int32(MSG_PEEK)) }
  }

  /// Takes at most `count` bytes off a TCP socket without looking at them: nothing is copied.
  package borrowing func discard(_ count: Int) -> IOResult {
    retrying { weir_recv_discard(number, count) }
  }

  /// Reads at most `limit` bytes onto the end of a buffer.
  package borrowing func read(onto buffer: inout ByteBuffer, limit: Int) -> IOResult {
    var result = IOResult(returned: 0)
    unsafe buffer.appendUninitialized(atLeast: limit) { free in
      result = unsafe read(into: UnsafeMutableRawBufferPointer(rebasing: free.prefix(limit)))
      return result.count ?? 0
    }
    return result
  }

  /// Reads at most `limit` bytes from a socket onto the end of a buffer.
  package borrowing func receive(onto buffer: inout ByteBuffer, limit: Int) -> IOResult {
    var result = IOResult(returned: 0)
    unsafe buffer.appendUninitialized(atLeast: limit) { free in
      result = unsafe receive(into: UnsafeMutableRawBufferPointer(rebasing: free.prefix(limit)))
      return result.count ?? 0
    }
    return result
  }

  /// Writes from a view; never raises SIGPIPE on a socket.
  package borrowing func send(_ bytes: ByteView, more: Bool = false) -> IOResult {
    let flags = Int32(MSG_NOSIGNAL) | (more ? Int32(MSG_MORE) : 0)
    // Safe: the view covers `count` readable bytes.
    return retrying { unsafe weir_send(number, bytes.baseAddress, bytes.count, flags) }
  }

  /// Writes two runs in one call.
  package borrowing func send(_ first: ByteView, _ second: ByteView, more: Bool = false) -> IOResult
  {
    if second.isEmpty { return send(first, more: more) }
    if first.isEmpty { return send(second, more: more) }
    // Safe: the kernel only reads the two runs, which outlive the call.
    var vectors = unsafe (
      iovec(iov_base: UnsafeMutableRawPointer(mutating: first.baseAddress), iov_len: first.count),
      iovec(iov_base: UnsafeMutableRawPointer(mutating: second.baseAddress), iov_len: second.count)
    )
    return unsafe sendVectors(&vectors, count: 2, more: more)
  }

  /// Writes three runs in one call; the first must not be empty.
  package borrowing func send(
    _ first: ByteView, _ second: ByteView, _ third: ByteView, more: Bool = false
  ) -> IOResult {
    var vectors = unsafe (
      iovec(iov_base: UnsafeMutableRawPointer(mutating: first.baseAddress), iov_len: first.count),
      iovec(iov_base: UnsafeMutableRawPointer(mutating: second.baseAddress), iov_len: second.count),
      iovec(iov_base: UnsafeMutableRawPointer(mutating: third.baseAddress), iov_len: third.count)
    )
    return unsafe sendVectors(&vectors, count: 3, more: more)
  }

  private borrowing func sendVectors(_ vectors: UnsafeMutableRawPointer, count: Int, more: Bool)
    -> IOResult
  {
    var message = unsafe msghdr()
    unsafe message.msg_iov = vectors.assumingMemoryBound(to: iovec.self)
    unsafe message.msg_iovlen = count
    let flags = Int32(MSG_NOSIGNAL) | (more ? Int32(MSG_MORE) : 0)
    return retrying { unsafe sendmsg(number, &message, flags) }
  }

  /// Sends `count` bytes of a file from `offset` without bringing them into the process.
  package borrowing func sendFile(_ file: Int32, offset: Int, count: Int) -> IOResult {
    var position = off_t(offset)
    return retrying { unsafe CLinux.sendfile(number, file, &position, count) }
  }

  /// Bytes handed to the kernel that the peer has not acknowledged.
  package borrowing func unacknowledged() -> Int {
    var count: Int32 = 0
    return unsafe weir_ioctl_int(number, UInt(SIOCOUTQ), &count) == 0 ? Int(count) : 0
  }

  /// Ends the sending side.
  package borrowing func shutdownSending() { _ = shutdown(number, Int32(SHUT_WR)) }

  /// Makes the close that follows a reset: the peer sees an error, never a clean end.
  package borrowing func resetOnClose() {
    var option = linger(l_onoff: 1, l_linger: 0)
    _ = unsafe setsockopt(
      number, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
  }

  /// The error a socket has met, such as the outcome of a connect.
  package borrowing func socketError() -> Errno? {
    var code: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    guard unsafe getsockopt(number, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else {
      return .current
    }
    return code == 0 ? nil : Errno(code)
  }
}
