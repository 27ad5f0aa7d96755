/// A listening socket, shared by reference between whoever opens it and the loop that accepts.
package final class Listener: Sendable {
  /// The socket.
  package let socket: Descriptor

  /// Takes over a listening socket.
  package init(_ socket: consuming Descriptor) { self.socket = socket }
}
