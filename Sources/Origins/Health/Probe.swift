// One check of one server: a connection of its own, a request, as much of the answer as is asked about.
// It is driven by the checker's loop, and ends with a `CheckResult` exactly once.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTP1
internal import HTTPMessage
internal import TLS

final class Probe {
  /// What the loop has to do after an event.
  enum Progress {
    /// Wait for the next event.
    case waiting
    /// This connection failed: drop it and try the next address.
    case nextAddress
    /// The check has ended.
    case ended(CheckResult)
  }

  private enum Phase {
    case connecting, securing, head, content
  }

  let pool: OriginPool
  let index: Int
  let settings: HealthCheckSettings
  let started: Int64
  var plan: ConnectPlan
  var attempt = 0
  /// The connection under way.
  var connection: Listener?
  /// What the server said of its load, in permille.
  private(set) var load: Int?
  private var tls: TLSConnection?
  /// When the present connection was begun.
  private(set) var connectStarted: Int64 = 0
  /// Whether it is not there yet.
  var isConnecting: Bool { if case .connecting = phase { connection != nil } else { false } }
  private var phase = Phase.connecting
  private var output = ByteBuffer()
  private var input = ByteBuffer()
  private var content = ByteBuffer()
  private var decoder = ChunkedDecoder()
  private let head = ResponseHead()
  private let signer: (any CheckSigner)?

  /// The most content that is looked at.
  private static let contentLimit = 64 << 10
  private static let headLimit = 32 << 10
  private static let interimLimit = 8

  init(
    pool: OriginPool, index: Int, settings: HealthCheckSettings, signer: (any CheckSigner)?,
    now: Int64
  ) {
    self.pool = pool
    self.index = index
    self.settings = settings
    self.signer = signer
    started = now
    plan = pool.servers[index].connectPlan(now: now)
  }

  /// Begins on a new connection; `wall` is in milliseconds since the epoch.
  func begin(_ connection: Listener, now: Int64, wall: Int64) {
    self.connection = connection
    connectStarted = now
    tls = nil
    phase = .connecting
    output.removeAll()
    if let path = settings.path {
      let host = settings.host ?? pool.configuration.hostField ?? pool.servers[index].hostName
      CheckRequest.append(path: path, host: host, to: &output)
      signer?.sign(&output, now: wall)
    }
  }

  /// Forgets the connection.
  func drop() {
    tls = nil
    connection = nil
  }

  func handle(_ readiness: Readiness) -> Progress {
    guard let connection else { return .waiting }
    var mayRead = readiness.mayRead
    if case .connecting = phase {
      guard readiness.mayWrite else { return .waiting }
      if connection.socket.socketError() != nil { return .nextAddress }
      phase = .head
      if let settings = pool.tls {
        phase = .securing
        tls = settings.connect(on: connection.socket, to: pool.servers[index])
        if tls == nil { return .ended(.tlsFailed) }
      }
    }
    if case .securing = phase {
      switch tls?.handshake() {
      case .done:
        phase = .head
        // What has come with the handshake's end is told by no further event.
        mayRead = true
      case .wantsRead, .wantsWrite, .earlyData: return .waiting
      case .failed, nil: return .ended(.tlsFailed)
      }
    }
    if settings.path == nil { return .ended(.passed) }
    guard send(connection) else { return .ended(.reset) }
    return mayRead ? read(connection) : .waiting
  }

  /// Sends what is left of the request; false if that fails.
  private func send(_ connection: Listener) -> Bool {
    if tls != nil, case .failed? = tls?.flush() { return false }
    while !output.isEmpty {
      let result =
        tls == nil
        ? connection.socket.send(output.view) : IOResult(tls?.send(output.view, now: 0) ?? .end)
      guard let count = result.count else { return result.wouldBlock }
      output.removeFirst(count)
    }
    return true
  }

  private func receive(_ connection: Listener) -> IOResult {
    guard tls != nil else { return connection.socket.read(onto: &input, limit: 16 << 10) }
    return IOResult(tls?.receive(onto: &input, limit: 16 << 10) ?? .end)
  }

  private func read(_ connection: Listener) -> Progress {
    while true {
      let result = receive(connection)
      guard let count = result.count else { return result.wouldBlock ? .waiting : .ended(.reset) }
      if let end = phaseIsHead ? takeHead() : takeContent() { return .ended(end) }
      if count == 0 { return .ended(atEnd()) }
    }
  }

  private var phaseIsHead: Bool { if case .head = phase { true } else { false } }

  /// Nil: more has to come.
  private func takeHead() -> CheckResult? {
    let limits = HeadLimits(
      maxRequestLine: Self.headLimit, maxHead: Self.headLimit, maxFields: 200)
    for _ in 0..<Self.interimLimit {
      switch ResponseParser.parse(input.view, limits: limits, requestMethod: .get, into: head) {
      case .incomplete: return nil
      case .invalid: return .malformed
      case .complete:
        if head.status < 200 {
          input.removeFirst(head.length)
          continue
        }
        readLoad()
        guard settings.statuses.contains(where: { $0.contains(head.status) }) else {
          return .wrongStatus
        }
        guard settings.body != nil else { return .passed }
        input.removeFirst(head.length)
        phase = .content
        return takeContent()
      }
    }
    return .malformed
  }

  private func readLoad() {
    guard let field = pool.settings.loadField else { return }
    field.withView { name in
      head.fields.forEach(named: name, in: head.bytes) {
        if let permille = ReportedLoad.permille($0) { load = permille }
      }
    }
  }

  /// Collects content and looks for what it must contain. Nil: more has to come.
  private func takeContent() -> CheckResult? {
    var isWhole = false
    switch head.framing {
    case .none: isWhole = true
    case .untilClose: content.append(input.view)
    case .length(let length):
      content.append(input.view)
      isWhole = UInt64(content.count) >= length
    case .chunked:
      var offset = 0
      loop: while true {
        switch decoder.next(input.view, offset: &offset) {
        case .content(let range): content.append(input.view[range])
        case .incomplete: break loop
        case .end:
          isWhole = true
          break loop
        case .invalid: return .malformed
        }
      }
    }
    input.removeAll()
    if containsExpected() { return .passed }
    return isWhole || content.count >= Self.contentLimit ? .wrongContent : nil
  }

  private func containsExpected() -> Bool {
    guard let body = settings.body else { return true }
    return body.withView { wanted in
      guard !wanted.isEmpty else { return true }
      let text = content.view.prefix(Self.contentLimit)
      var from = 0
      while let at = text.firstIndex(of: wanted[0], from: from) {
        if text.dropping(first: at).starts(with: wanted) { return true }
        from = at + 1
      }
      return false
    }
  }

  /// The server has ended the connection.
  private func atEnd() -> CheckResult {
    if case .content = phase, case .untilClose = head.framing { return .wrongContent }
    return .reset
  }
}

extension OriginServer {
  /// What `Host` says of it where nothing else is configured.
  var hostName: String {
    switch location {
    case .host: name
    case .unix: "localhost"
    }
  }
}

/// The request of a check.
enum CheckRequest {
  /// Appends `GET path`. What may not stand in a target or a field is percent-encoded or left out.
  static func append(path: String, host: String, to output: inout ByteBuffer) {
    output.append("GET ")
    if !path.hasPrefix("/") { output.append(ASCII.slash) }
    for byte in path.utf8 {
      if byte > 0x20 && byte < 0x7F && byte != 0x23 {
        output.append(byte)
      } else {
        output.append(0x25 as UInt8)
        output.append(allHexadecimal: byte)
      }
    }
    output.append(" HTTP/1.1\r\nHost: ")
    for byte in host.utf8 where byte > 0x20 && byte < 0x7F { output.append(byte) }
    output.append("\r\nUser-Agent: weir-health\r\nAccept: */*\r\nConnection: close\r\n\r\n")
  }
}
