import Bytes
import EventLoop
import Synchronization

/// A server that says the same to whatever comes: once to each connection, or without end.
final class RudeServer: Sendable {
  /// Where it listens.
  let address: SocketAddress
  private let isStopping: Stop
  private let waker: Waker
  private let thread: LoopThread

  private final class Stop: Sendable {
    let isSet = Atomic(false)
  }

  /// Begins to listen. After what it says it closes the connection, if it `closes`.
  init(says text: String, endlessly: Bool = false, closes: Bool = false) throws {
    let listener = try Socket.listen(on: SocketAddressForTests.local, shared: false)
    address = Socket.localAddress(of: listener) ?? SocketAddressForTests.local
    let (stop, waker) = (Stop(), try Waker())
    (isStopping, self.waker) = (stop, waker)
    let accepting = Listener(listener)
    thread = LoopThread(name: "rude-server") {
      try? Self.run(accepting, waker, stop, Array(text.utf8), endlessly, closes)
    }
  }

  deinit {
    isStopping.isSet.store(true, ordering: .relaxed)
    waker.wake()
    thread.join()
  }

  private final class Guest {
    let socket: Descriptor
    var hasHeard = false
    init(_ socket: consuming Descriptor) { self.socket = socket }
  }

  private static func run(
    _ listener: Listener, _ waker: Waker, _ stop: Stop, _ text: [UInt8], _ endlessly: Bool,
    _ closes: Bool
  ) throws {
    let poller = try Poller.open()
    try poller.addReader(listener.socket, token: .max)
    try poller.addReader(waker.descriptor, token: .max - 1)
    var guests = Slab<Guest>()
    while !stop.isSet.load(ordering: .relaxed) {
      for index in 0..<poller.wait(timeout: -1) {
        let token = poller.token(index)
        if token == .max {
          var from = address(0)
          while let socket = try Socket.accept(from: listener.socket, address: &from) {
            let guest = Guest(socket)
            try poller.add(guest.socket, token: guests.insert(guest))
          }
        } else if let guest = guests.element(token), isOver(guest, stop, text, endlessly, closes) {
          poller.remove(guest.socket)
          guests.remove(token)
        }
      }
    }
  }

  private static func address(_ port: UInt16) -> SocketAddress {
    SocketAddress(high: 0, low: 0, port: port)
  }

  /// Hears and speaks; whether that was all.
  private static func isOver(
    _ guest: Guest, _ stop: Stop, _ text: [UInt8], _ endlessly: Bool, _ closes: Bool
  ) -> Bool {
    var buffer = ByteBuffer()
    reading: while true {
      buffer.removeAll()
      let result = guest.socket.receive(onto: &buffer, limit: 65_536)
      if result.wouldBlock { break reading }
      guard let count = result.count, count > 0 else { return true }
      if guest.hasHeard { continue }
      guest.hasHeard = true
      _ = text.withView { guest.socket.send($0) }
      if closes { return true }
    }
    guard endlessly, guest.hasHeard else { return false }
    let block = [UInt8](repeating: 0x78, count: 1 << 16)
    // Of what is said without end the last line comes again and again; without lines it is content.
    let more = text.last == 10 && text.starts(with: Array("HTTP/1.1 1".utf8)) ? text : block
    while !stop.isSet.load(ordering: .relaxed) {
      let result = more.withView { guest.socket.send($0) }
      if result.wouldBlock { return false }
      if result.count == nil { return true }
    }
    return true
  }
}
