// What an operator's connection goes by: a socket, with TLS over it or not. OpenSSL reads and writes the
// socket itself; what `send` says is taken is taken, though it may wait in here (`hasUnsent`).

internal import Bytes
internal import EventLoop
internal import TLS

/// Who asks, as far as the kernel knows.
enum AdminPeer: Sendable, CustomStringConvertible {
  /// Over the network.
  case network(SocketAddress)
  /// By a unix socket; nil: the kernel did not say who.
  case local(UnixSocket.Peer?)

  var description: String {
    switch self {
    case .network(let address): address.description
    case .local(let peer?): "user \(peer.user), process \(peer.process)"
    case .local(nil): "unix"
    }
  }
}

/// A connection's way to its peer. Used by its loop's thread only.
final class AdminLink {
  /// The socket.
  let socket: Descriptor
  private var tls: TLSConnection?

  init(_ socket: consuming Descriptor) { self.socket = socket }

  /// Whether TLS is spoken.
  var isSecure: Bool {
    switch tls {
    case .some: true
    case .none: false
    }
  }

  /// Begins a handshake; false if there is no memory for it.
  func begin(_ context: ServerTLSContext) -> Bool {
    tls = context.accept(on: socket)
    return isSecure
  }

  /// Goes on with the handshake.
  func handshake() -> HandshakeResult { tls?.handshake() ?? .done }

  /// An event says that there is something to read.
  func noteReadable() { tls?.noteReadable() }

  /// Reads at most `limit` bytes onto the end of a buffer. Nothing is the end, with a close_notify or
  /// without: HTTP itself says where a message ends.
  func receive(onto buffer: inout ByteBuffer, limit: Int) -> IOResult {
    if let result = tls?.receive(onto: &buffer, limit: limit) { return result.outcome }
    return socket.receive(onto: &buffer, limit: limit)
  }

  /// Sends; how many bytes need not be offered again. `now` is monotonic.
  func send(_ bytes: ByteView, now: Int64) -> IOResult {
    if let result = tls?.send(bytes, now: now) { return result.outcome }
    return socket.send(bytes)
  }

  /// Whether a record waits for the socket.
  var hasUnsent: Bool { tls?.hasUnsent ?? false }

  /// Sends what waits; 0 when all of it is out.
  func flush() -> IOResult { (tls?.flush() ?? .bytes(0)).outcome }

  /// Says that nothing more will be sent.
  func endSending() {
    _ = tls?.sendCloseNotify()
    socket.shutdownSending()
  }
}
