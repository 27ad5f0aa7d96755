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

  /// Opens all of them.
  package static func open(_ configuration: NodeConfiguration, workers: Int)
    throws(NodeError) -> NodeListeners
  {
    var data: [[Listener]] = []
    for address in configuration.listeners { data.append(try open(address, workers: workers)) }
    let admin = try configuration.admin.map { admin throws(NodeError) in
      try open(host: admin.address.host, port: admin.address.port, shared: false)
    }
    return NodeListeners(data: data, admin: admin)
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
      throw NodeError("cannot listen on \(address): \(error)")
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
