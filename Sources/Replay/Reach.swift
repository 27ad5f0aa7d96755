internal import CLinux
package import EventLoop

extension ReplayPlan {
  /// The first of a server's addresses that takes a connection, each of which has five seconds, so that a
  /// server which is not there is one message and not a million.
  ///
  /// - Throws: why the last of them took none.
  package static func reachable(of addresses: [SocketAddress]) throws(Errno) -> SocketAddress {
    var problem = Errno(EADDRNOTAVAIL)
    for address in addresses {
      do throws(Errno) {
        try connect(to: address)
        return address
      } catch {
        problem = error
      }
    }
    throw problem
  }

  private static func connect(to address: SocketAddress) throws(Errno) {
    let socket = try Socket.connect(to: address)
    var descriptors = pollfd(fd: socket.number, events: Int16(POLLOUT), revents: 0)
    guard unsafe poll(&descriptors, 1, 5_000) > 0 else { throw Errno(ETIMEDOUT) }
    if let error = socket.socketError() { throw error }
  }
}
