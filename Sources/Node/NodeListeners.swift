// The listening sockets of a node. Whoever opens them (the supervisor, or a node that runs by itself)
// may hand them to another process by number: they outlive a node that dies, so that its clients see a
// pause and not a refusal.

package import Configuration
package import EventLoop
import Synchronization

/// Why a node cannot start.
package struct NodeError: Error, CustomStringConvertible, Sendable {
  /// For an operator: what failed, and what to do.
  package let description: String

  /// An error with that text.
  package init(_ description: String) { self.description = description }
}

/// The listening sockets: for each address one for each worker, and the admin's.
package final class NodeListeners: Sendable {
  /// By address in the order of the configuration, then by worker; and the admin's, if there is one.
  package typealias Sockets = (data: [[Listener]], admin: Listener?)
  private let sockets: Mutex<Sockets>

  private init(data: [[Listener]], admin: Listener?) { sockets = Mutex((data, admin)) }

  /// Hands the sockets over: whoever holds them closes them.
  package func take() -> Sockets {
    sockets.withLock { sockets in
      defer { sockets = ([], nil) }
      return sockets
    }
  }

  /// Opens all of them, but for those that are among `given`: whoever started this process opened those.
  package static func open(
    _ configuration: NodeConfiguration, workers: Int, given: [Listener] = []
  ) throws(NodeError) -> NodeListeners {
    var data: [[Listener]] = []
    for address in configuration.listeners {
      if let socket = find(address, in: given) {
        data.append(try shared(socket, by: workers))
      } else {
        data.append(try open(address, workers: workers))
      }
    }
    let admin = try configuration.admin.map { admin throws(NodeError) in
      try open(admin, given: given)
    }
    return NodeListeners(data: data, admin: admin)
  }

  /// The operator's.
  private static func open(
    _ admin: AdminConfiguration, given: [Listener]
  ) throws(NodeError) -> Listener {
    switch admin.address {
    case .network(let address):
      if let socket = find(address, in: given) { return try shared(socket, by: 1)[0] }
      return try open(host: address.host, port: address.port, shared: false)
    case .unix(let path):
      if let socket = given.first(where: { UnixSocket.path(of: $0.socket) == path }) {
        return try shared(socket, by: 1)[0]
      }
      do {
        return Listener(try UnixSocket.listen(at: path, mode: admin.socketMode))
      } catch Errno.addressInUse {
        throw NodeError("cannot listen on unix:\(path): another process does. Stop it first.")
      } catch {
        throw NodeError(
          "cannot listen on unix:\(path): \(error). Its directory must be there, and nothing else by "
            + "that name.")
      }
    }
  }

  /// Removes the file of the operator's unix socket, if nobody listens there any more.
  package static func removeLeftovers(of configuration: NodeConfiguration) {
    if case .unix(let path)? = configuration.admin?.address {
      UnixSocket.removeLeftover(at: path)
    }
  }

  /// The socket of an address.
  private static func find(_ address: ListenAddress, in given: [Listener]) -> Listener? {
    guard let wanted = SocketAddress(host: address.host, port: address.port) else { return nil }
    return given.first { Socket.localAddress(of: $0.socket) == wanted }
  }

  /// One socket for all workers, each by a number of its own: they take connections from one queue.
  private static func shared(_ socket: Listener, by workers: Int) throws(NodeError) -> [Listener] {
    var copies: [Listener] = []
    for _ in 0..<workers {
      do throws(Errno) {
        copies.append(Listener(try Socket.duplicate(socket.socket)))
      } catch {
        throw NodeError("a socket that was handed over cannot be used: \(error)")
      }
    }
    return copies
  }

  /// Opens an address, for each worker a socket.
  static func open(_ address: ListenAddress, workers: Int) throws(NodeError) -> [Listener] {
    var port = address.port
    // Sockets that share an address would also share it with another node of the same user.
    if port != 0 { _ = try open(host: address.host, port: port, shared: false) }
    var sockets: [Listener] = []
    for _ in 0..<workers {
      let listener = try open(host: address.host, port: port, shared: true)
      // Port 0: the first socket's port is everybody's.
      if port == 0 { port = Socket.localAddress(of: listener.socket)?.port ?? 0 }
      sockets.append(listener)
    }
    return sockets
  }

  private static func open(host: String, port: UInt16, shared: Bool) throws(NodeError) -> Listener {
    guard let address = SocketAddress(host: host, port: port) else {
      throw NodeError("\(host) is not an address to listen on")
    }
    do {
      return Listener(try Socket.listen(on: address, shared: shared))
    } catch Errno.addressInUse {
      throw NodeError(
        "cannot listen on \(address): another process does. Stop it, or choose another port.")
    } catch {
      throw NodeError(
        "cannot listen on \(address): \(error). weir doctor says what to do about it.")
    }
  }

  /// Takes over sockets that another process opened, by their numbers: those of `numbers` by address
  /// and worker, and the admin's.
  package static func inherited(data numbers: [[Int32]], admin: Int32?) -> NodeListeners {
    NodeListeners(
      data: numbers.map { $0.map { Listener(Descriptor(owning: $0)) } },
      admin: admin.map { Listener(Descriptor(owning: $0)) })
  }

  /// The sockets' numbers, for the process that inherits them.
  package var numbers: (data: [[Int32]], admin: Int32?) {
    sockets.withLock { sockets in
      (sockets.data.map { $0.map { $0.socket.number } }, sockets.admin?.socket.number)
    }
  }
}
