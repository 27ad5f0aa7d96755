internal import Bytes
internal import EventLoop
internal import TLS

/// A socket to the server under test, with TLS over it if that is wanted.
final class Transport {
  private enum Phase {
    case connecting
    case handshaking
    case ready
  }

  /// How far an opening has come.
  enum Opening {
    case waiting
    case ready
    case failed(SendFailure)
  }

  /// What a read came to.
  enum Received {
    case bytes(Int)
    case nothing
    case end
    case reset
  }

  /// What a write came to.
  enum Written {
    case bytes(Int)
    case nothing
    case reset
  }

  let socket: Descriptor
  private var phase = Phase.connecting
  private var tls: TLSConnection?
  private let context: ClientTLSContext?
  private let host: String
  /// What goes before anything else: a PROXY protocol header.
  private var preface: [UInt8]

  /// At most so many bytes are read at once.
  static let readSize = 65_536
  /// After so many reads of one connection the others have their turn: what a server never stops sending
  /// must not keep a sender from its clock.
  static let readsAtOnce = 32

  init(
    socket: consuming Descriptor, context: ClientTLSContext?, host: String, preface: [UInt8]
  ) {
    self.socket = socket
    self.context = context
    self.host = host
    self.preface = preface
  }

  var isReady: Bool { phase == .ready }
  var isConnecting: Bool { phase == .connecting }
  var isSecure: Bool { context != nil }

  /// Whether there may be more to read after a read of so many bytes. Edge-triggered: who has read less than
  /// there was room for has read all, and is told of more. Not with TLS, whose bytes may be of an earlier
  /// read, made while writing: what the event was about may still be in the socket.
  func mayHoldMore(after count: Int) -> Bool { isSecure || count >= Self.readSize }

  /// Goes on with the opening, on an event.
  func open() -> Opening {
    switch phase {
    case .ready: return .ready
    case .handshaking: return handshake()
    case .connecting: break
    }
    if socket.socketError() != nil { return .failed(.connect) }
    if !preface.isEmpty {
      let count = preface.count
      // A socket that has just been connected has room for a line.
      guard preface.withView({ socket.send($0) }).count == count else { return .failed(.connect) }
      preface = []
    }
    guard let context else {
      phase = .ready
      return .ready
    }
    tls = context.connect(on: socket, host: host)
    phase = .handshaking
    return tls == nil ? .failed(.tls) : handshake()
  }

  private func handshake() -> Opening {
    switch tls?.handshake() {
    case .done:
      phase = .ready
      return .ready
    case .wantsRead, .wantsWrite, .earlyData: return .waiting
    case .failed, nil: return .failed(.tls)
    }
  }

  /// Sends what TLS still holds; whether there is room for more.
  func flush() -> Written {
    guard isSecure, tls?.hasUnsent ?? false else { return .bytes(0) }
    let result = tls?.flush() ?? .end
    return result.count.map { .bytes($0) } ?? (result.wouldBlock ? .nothing : .reset)
  }

  func write(_ bytes: ByteView, more: Bool, now: Int64) -> Written {
    if isSecure {
      let result = tls?.send(bytes, now: now) ?? .end
      if let count = result.count, count > 0 { return .bytes(count) }
      return result.wouldBlock || result.count != nil ? .nothing : .reset
    }
    let result = socket.send(bytes, more: more)
    return result.count.map { .bytes($0) } ?? (result.wouldBlock ? .nothing : .reset)
  }

  /// Reads onto an empty buffer.
  func receive(_ buffer: inout ByteBuffer) -> Received {
    if isSecure {
      switch tls?.receive(onto: &buffer, limit: Self.readSize) {
      case .bytes(let count): return .bytes(count)
      case .wantsRead, .wantsWrite: return .nothing
      case .end: return .end
      case .failed, nil: return .reset
      }
    }
    let result = socket.receive(onto: &buffer, limit: Self.readSize)
    guard let count = result.count else { return result.wouldBlock ? .nothing : .reset }
    return count > 0 ? .bytes(count) : .end
  }
}
