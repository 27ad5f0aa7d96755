// The origin that stands behind a cache under test: an epoll loop per thread, each with a listening socket of
// its own on the same address. It costs little, so that a machine's processors are left to what is measured.

internal import Bytes
package import EventLoop
internal import HTTP1
internal import HTTPMessage
internal import Synchronization

/// An origin for a recording, at work until the process ends or it is stopped.
package final class ReplayOrigin: Sendable {
  /// What it has answered so far.
  package struct Figures: Equatable, Sendable {
    /// Requests.
    package var requests: UInt64 = 0
    /// Bytes of content.
    package var bytes: UInt64 = 0
    /// Requests for what the recording does not have.
    package var unknown: UInt64 = 0
  }

  final class Shared: Sendable {
    let figures = Mutex(Figures())
    let isStopping = Atomic(false)
  }

  /// Where it listens.
  package let address: SocketAddress
  private let shared = Shared()
  private let threads: [LoopThread]
  private let wakers: [Waker]

  /// Listens and begins to answer; port 0 takes any that is free.
  ///
  /// - Parameter lifetime: the freshness lifetime of what has none in the recording, in seconds.
  package init(
    _ table: OriginTable, on address: SocketAddress, threads count: Int, lifetime: Int32
  ) throws(Errno) {
    var address = address
    var listeners: [Listener] = []
    var wakers: [Waker] = []
    for _ in 0..<max(1, count) {
      let socket = try Socket.listen(on: address, shared: true)
      if address.port == 0 { address = Socket.localAddress(of: socket) ?? address }
      listeners.append(Listener(socket))
      wakers.append(try Waker())
    }
    self.address = address
    self.wakers = wakers
    let shared = shared
    threads = zip(listeners, wakers).map { listener, waker in
      LoopThread(name: "replay-origin") {
        let loop = try? OriginLoop(
          table, listener: listener, waker: waker, shared: shared, lifetime: lifetime)
        loop?.run()
      }
    }
  }

  /// What it has answered so far.
  package var figures: Figures { shared.figures.withLock { $0 } }

  /// Closes everything and waits for its threads.
  package func stop() {
    shared.isStopping.store(true, ordering: .relaxed)
    for waker in wakers { waker.wake() }
    for thread in threads { thread.join() }
  }
}

/// One client of the origin.
private final class OriginConnection {
  let socket: Descriptor
  var name: UInt64 = 0
  /// What was read and not yet understood.
  var input = ByteBuffer()
  var output = ByteBuffer()
  /// Content that follows what is in `output`.
  var content: UInt64 = 0
  /// Content of a request that is still to be taken.
  var unread: UInt64 = 0
  var decoder: ChunkedDecoder?
  var closes = false

  init(_ socket: consuming Descriptor) { self.socket = socket }
}

private final class OriginLoop {
  private let table: OriginTable
  private let listener: Listener
  private let waker: Waker
  private let shared: ReplayOrigin.Shared
  private let lifetime: Int32
  private let poller: Poller
  private let clock = NodeClock()
  private var connections = Slab<OriginConnection>()
  private let head = RequestHead()
  private var date = ByteBuffer()
  private var dateSecond: Int64 = -1
  private var figures = ReplayOrigin.Figures()

  private static let listenerToken = UInt64.max
  private static let wakerToken = UInt64.max - 1
  private static let limits = HeadLimits(maxRequestLine: 65_536, maxHead: 262_144, maxFields: 500)
  private static let block = [UInt8](repeating: 0x78, count: 262_144)

  init(
    _ table: OriginTable, listener: Listener, waker: Waker, shared: ReplayOrigin.Shared,
    lifetime: Int32
  ) throws(Errno) {
    self.table = table
    self.listener = listener
    self.waker = waker
    self.shared = shared
    self.lifetime = lifetime
    poller = try Poller.open()
    try poller.addReader(listener.socket, token: Self.listenerToken)
    try poller.addReader(waker.descriptor, token: Self.wakerToken)
  }

  func run() {
    while !shared.isStopping.load(ordering: .relaxed) {
      let count = poller.wait(timeout: 1_000_000_000)
      setDate()
      for index in 0..<count {
        switch poller.token(index) {
        case Self.listenerToken: accept()
        case Self.wakerToken: waker.clear()
        case let token:
          if let connection = connections.element(token) { serve(connection) }
        }
      }
      publish()
    }
  }

  private func publish() {
    let own = figures
    figures = ReplayOrigin.Figures()
    if own == figures { return }
    shared.figures.withLock { all in
      all.requests += own.requests
      all.bytes &+= own.bytes
      all.unknown += own.unknown
    }
  }

  private func setDate() {
    let second = clock.now().wall / 1_000
    if second == dateSecond { return }
    dateSecond = second
    date.removeAll()
    HTTPDate.append(second, to: &date)
  }

  private func accept() {
    var address = SocketAddress(high: 0, low: 0, port: 0)
    // What cannot be accepted now is told again: the listener is level-triggered.
    while let socket = try? Socket.accept(from: listener.socket, address: &address) {
      Socket.configureConnection(socket.number)
      let connection = OriginConnection(socket)
      connection.name = connections.insert(connection)
      if (try? poller.add(connection.socket, token: connection.name)) == nil {
        connections.remove(connection.name)
      }
    }
  }

  /// Reads, answers and writes until the kernel has no more of either.
  private func serve(_ connection: OriginConnection) {
    while true {
      guard write(connection) else { return drop(connection) }
      if connection.content > 0 || !connection.output.isEmpty { return }
      if connection.closes { return drop(connection) }
      if answer(connection) { continue }
      let result = connection.socket.receive(onto: &connection.input, limit: 65_536)
      if result.wouldBlock { return }
      guard let count = result.count, count > 0 else { return drop(connection) }
    }
  }

  private func drop(_ connection: OriginConnection) {
    poller.remove(connection.socket)
    connections.remove(connection.name)
    connection.socket.shutdownSending()
  }

  /// Whether something was taken from the input, so that there may be something to write.
  private func answer(_ connection: OriginConnection) -> Bool {
    if connection.input.isEmpty { return false }
    if connection.unread > 0 {
      let count = min(Int(clamping: connection.unread), connection.input.count)
      connection.input.removeFirst(count)
      connection.unread -= UInt64(count)
      return count > 0
    }
    if connection.decoder != nil { return takeChunks(connection) }
    switch RequestParser.parse(connection.input.view, limits: Self.limits, into: head) {
    case .incomplete: return false
    case .complete: break
    default:
      connection.output.append("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
      connection.closes = true
      return true
    }
    if head.expectsContinue { connection.output.append("HTTP/1.1 100 Continue\r\n\r\n") }
    let answer = OriginAnswer(to: head, from: table)
    connection.closes = !head.keepAlive
    answer.append(
      to: &connection.output, date: date.view, lifetime: lifetime, keepsAlive: head.keepAlive)
    connection.content = answer.content
    figures.requests += 1
    figures.bytes &+= answer.content
    if answer.object == nil { figures.unknown += 1 }
    switch head.framing {
    case .length(let length): connection.unread = length
    case .chunked: connection.decoder = ChunkedDecoder()
    case .none, .untilClose: break
    }
    connection.input.removeFirst(head.length)
    return true
  }

  private func takeChunks(_ connection: OriginConnection) -> Bool {
    var at = 0
    let input = connection.input.view
    reading: while true {
      switch connection.decoder?.next(input, offset: &at) {
      case .content: continue
      case .incomplete: break reading
      case .end, nil:
        connection.decoder = nil
        break reading
      case .invalid:
        connection.closes = true
        break reading
      }
    }
    connection.input.removeFirst(at)
    return at > 0
  }

  /// Writes what the kernel takes; false if the client is gone.
  private func write(_ connection: OriginConnection) -> Bool {
    while connection.content > 0 || !connection.output.isEmpty {
      let missing = Int(clamping: connection.content)
      let result = Self.block.withView { block in
        connection.socket.send(connection.output.view, block.prefix(missing))
      }
      guard var count = result.count else { return result.wouldBlock }
      let fromHead = min(count, connection.output.count)
      connection.output.removeFirst(fromHead)
      count -= fromHead
      connection.content -= UInt64(count)
    }
    return true
  }
}
