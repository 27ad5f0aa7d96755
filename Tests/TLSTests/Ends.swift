import Bytes
import CLinux
import EventLoop
import TLS
import Testing

let now = Int64(time(nil))

/// The test certificates of that name.
func files(_ name: String, staple: String? = nil, names: [String] = []) throws -> CertificateFiles {
  let certificates = try TestCertificates.shared.get()
  let (chain, key) = certificates.files(name)
  return CertificateFiles(
    chain: chain, key: key, staple: staple.map { certificates.directory[$0] },
    names: names.isEmpty ? nil : names)
}

func serverContext(
  _ names: [String] = ["ec"], tickets: TicketKeyRing? = TicketKeyRing(),
  _ change: (inout ServerTLSConfiguration) -> Void = { _ in }
) throws -> ServerTLSContext {
  var configuration = ServerTLSConfiguration(certificates: try names.map { try files($0) })
  change(&configuration)
  return try ServerTLSContext(configuration, tickets: try #require(tickets), now: now)
}

func clientContext(
  _ change: (inout ClientTLSConfiguration) -> Void = { _ in }
) throws -> ClientTLSContext {
  var configuration = ClientTLSConfiguration()
  configuration.authorities = try TestCertificates.shared.get().authority
  change(&configuration)
  return try ClientTLSContext(configuration, now: now)
}

/// Two connected sockets.
struct SocketPair: ~Copyable {
  var near: Descriptor
  var far: Descriptor

  init() throws {
    var numbers: [Int32] = [0, 0]
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue)
    let result = unsafe socketpair(AF_UNIX, kind, 0, &numbers)
    try #require(result == 0)
    near = Descriptor(owning: numbers[0])
    far = Descriptor(owning: numbers[1])
  }
}

func accept(
  _ context: ServerTLSContext, _ socket: borrowing Descriptor, gathers: Bool = false
) throws -> TLSConnection {
  guard let connection = context.accept(on: socket, gathers: gathers) else { throw Missing() }
  return connection
}

func begin(
  _ context: ClientTLSContext, _ socket: borrowing Descriptor, host: String = "a.example",
  resuming session: borrowing TLSSession? = nil
) throws -> TLSConnection {
  guard let connection = context.connect(on: socket, host: host, resuming: session) else {
    throw Missing()
  }
  return connection
}

/// Both ends of a connection.
struct Ends: ~Copyable {
  let sockets: SocketPair
  var server: TLSConnection
  var client: TLSConnection
  private(set) var serverResult = HandshakeResult.wantsRead
  private(set) var clientResult = HandshakeResult.wantsRead

  init(
    _ serverContext: ServerTLSContext, _ clientContext: ClientTLSContext,
    host: String = "a.example", resuming session: borrowing TLSSession? = nil
  ) throws {
    let sockets = try SocketPair()
    let server = try accept(serverContext, sockets.near)
    let client = try begin(clientContext, sockets.far, host: host, resuming: session)
    self.sockets = sockets
    self.server = server
    self.client = client
    for _ in 0..<10 {
      if clientResult.isOpen { clientResult = self.client.handshake() }
      if serverResult.isOpen { serverResult = self.server.handshake() }
    }
  }

  /// What one end has to say, and the other has read; up to a failure or the end.
  mutating func pass(_ text: String) -> String {
    _ = Array(text.utf8).withView { server.send($0, now: 0) }
    return client.text()
  }
}

struct Missing: Error {}

extension HandshakeResult {
  /// Whether the handshake is not over.
  var isOpen: Bool {
    switch self {
    case .wantsRead, .wantsWrite, .earlyData: true
    case .done, .failed: false
    }
  }

  var failure: TLSFailure.Reason? {
    if case .failed(let failure) = self { return failure.reason }
    return nil
  }
}

extension TLSResult {
  var failure: TLSFailure.Reason? {
    if case .failed(let failure) = self { return failure.reason }
    return nil
  }
}

extension TLSConnection {
  /// Reads all there is.
  mutating func text() -> String {
    var buffer = ByteBuffer()
    while case .bytes = receive(onto: &buffer, limit: 4_096) {}
    return buffer.view.string
  }
}
