// A connection to a node's admin listener: in the clear or by TLS, over the network or a unix socket.
// Blocking, with a patience: for commands, not for nodes.

internal import Bytes
internal import CLinux
import EventLoop
import TLS

/// Whom a command believes that it speaks with the node.
enum AdminTrust {
  /// Who shows a certificate that these authorities (PEM) have signed for the node's name; nil: the
  /// system's.
  case authorities(String?)
  /// Who shows this very certificate, by its SHA-256, and so has its key.
  case certificate([UInt8])
}

/// See the top of the file. Used by one thread at a time.
final class NodeConnection {
  /// What a look at the socket came to.
  enum Received {
    case bytes
    /// Nothing yet.
    case nothing
    case end
  }

  /// The socket, for whoever waits for several things at once.
  let socket: Descriptor
  private let place: AdminPlace
  /// What its certificate must be for.
  private let name: String
  private let patience: Int32
  private var tls: TLSConnection?

  /// Connects, and shakes hands; `patience` is how long the node may be silent, in milliseconds. `name` is
  /// whom it must be by its certificate, if that is not the place's host.
  init(
    _ place: AdminPlace, name: String? = nil, trust: AdminTrust, patience: Int32
  ) throws(AdminClient.Failure) {
    self.place = place
    self.name = name ?? place.host
    self.patience = patience
    socket = try Self.connect(to: place, patience)
    if place.isSecure { try shakeHands(trust) }
  }

  private static func connect(
    to place: AdminPlace, _ patience: Int32
  ) throws(AdminClient.Failure) -> Descriptor {
    switch place {
    case .unix(let path, _):
      do throws(Errno) {
        return try UnixSocket.connect(to: path)
      } catch {
        throw AdminClient.Failure(text: "cannot connect to \(place): \(error)")
      }
    case .network(let host, let port, _):
      var failure = "\(host) is not known"
      for address in Socket.resolve(host: host, port: port) {
        do throws(Errno) {
          let socket = try Socket.connect(to: address)
          guard wait(for: Int16(POLLOUT), on: socket, patience) else {
            failure = "\(address) does not answer"
            continue
          }
          if let error = socket.socketError() { throw error }
          return socket
        } catch {
          failure = "\(address): \(error)"
        }
      }
      throw AdminClient.Failure(text: "cannot connect to \(failure): is the node running?")
    }
  }

  // MARK: TLS

  private func shakeHands(_ trust: AdminTrust) throws(AdminClient.Failure) {
    var settings = ClientTLSConfiguration()
    switch trust {
    case .authorities(let file): settings.authorities = file
    case .certificate: settings.verifies = false
    }
    do throws(TLSLoadError) {
      // By the system's time, as OpenSSL goes by it.
      let context = try ClientTLSContext(settings, now: Int64(time(nil)))
      tls = context.connect(on: socket, host: name)
    } catch {
      throw AdminClient.Failure(text: "\(error)")
    }
    while true {
      switch tls?.handshake() {
      case .done: return try check(trust)
      case .wantsRead, .earlyData: try wait(for: Int16(POLLIN))
      case .wantsWrite: try wait(for: Int16(POLLOUT))
      case .failed(let failure):
        throw AdminClient.Failure(text: "\(place) is not believed: \(failure)")
      case nil: throw AdminClient.Failure(text: "no TLS with \(place.host)")
      }
    }
  }

  private func check(_ trust: AdminTrust) throws(AdminClient.Failure) {
    guard case .certificate(let wanted) = trust else { return }
    guard tls?.peerCertificate?.fingerprint == wanted else {
      throw AdminClient.Failure(
        text:
          "\(place) shows another certificate than the configuration names; --ca says whom to believe"
      )
    }
  }

  // MARK: Bytes

  /// Sends all of it.
  func send(_ bytes: [UInt8]) throws(AdminClient.Failure) {
    var sent = 0
    while sent < bytes.count || tls?.hasUnsent ?? false {
      let result = bytes.withView { sendSome($0.dropping(first: sent)) }
      guard let count = result.count else {
        guard result.wouldBlock else {
          throw AdminClient.Failure(text: "cannot ask the node at \(place): is it running?")
        }
        try wait(for: Int16(POLLOUT))
        continue
      }
      sent += count
    }
  }

  private func sendSome(_ bytes: ByteView) -> IOResult {
    guard place.isSecure else { return socket.send(bytes) }
    // How large records are made depends on the time; nothing else does.
    return (tls?.send(bytes, now: 0) ?? .end).outcome
  }

  /// Takes what is there, without waiting.
  func receive(onto buffer: inout ByteBuffer) throws(AdminClient.Failure) -> Received {
    let result =
      place.isSecure
      ? (tls?.receive(onto: &buffer, limit: 64 << 10) ?? .end).outcome
      : socket.receive(onto: &buffer, limit: 64 << 10)
    guard let count = result.count else {
      if result.wouldBlock { return .nothing }
      throw AdminClient.Failure(text: "the node at \(place) broke the connection off")
    }
    return count == 0 ? .end : .bytes
  }

  /// Waits until there is something, and takes it; false at the end.
  func read(onto buffer: inout ByteBuffer) throws(AdminClient.Failure) -> Bool {
    while true {
      switch try receive(onto: &buffer) {
      case .bytes: return true
      case .end: return false
      case .nothing: try wait(for: Int16(POLLIN))
      }
    }
  }

  /// Waits a fifth of a second for something to take, or for less.
  func waitAWhile() { _ = Self.wait(for: Int16(POLLIN), on: socket, 200) }

  private func wait(for events: Int16) throws(AdminClient.Failure) {
    guard Self.wait(for: events, on: socket, patience) else {
      throw AdminClient.Failure(text: "the node at \(place) does not answer")
    }
  }

  private static func wait(
    for events: Int16, on socket: borrowing Descriptor, _ patience: Int32
  ) -> Bool {
    var descriptors = pollfd(fd: socket.number, events: events, revents: 0)
    return unsafe poll(&descriptors, 1, patience) != 0
  }
}
