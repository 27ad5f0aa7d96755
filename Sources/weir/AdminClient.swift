// Asks a running node's admin listener: one request on a connection of its own, and all of the answer.
// Blocking, with a patience: for commands, not for nodes.

internal import Bytes
internal import CLinux
import Configuration
import EventLoop

/// Where a node is asked, and with what token.
struct AdminClient {
  /// Why there is no answer.
  struct Failure: Error {
    let text: String
  }

  /// What came back.
  struct Answer {
    let status: Int
    let content: [UInt8]
  }

  /// How long the node may be silent, in milliseconds.
  private let patience: Int32
  private let address: SocketAddress
  private let token: String?

  /// The admin listener of a configuration.
  init(_ configuration: NodeConfiguration, patience: Int32 = 10_000) throws(Failure) {
    self.patience = patience
    guard let admin = configuration.admin else {
      throw Failure(text: "the configuration has no admin listener: add admin 127.0.0.1:9090 { … }")
    }
    // A listener on every address is reached on this machine's own.
    let host = admin.address.host.isEmpty ? "127.0.0.1" : admin.address.host
    guard let address = SocketAddress(host: host, port: admin.address.port) else {
      throw Failure(text: "\(host) is not an address")
    }
    self.address = address
    token = Self.environment("WEIR_TOKEN") ?? admin.token
  }

  private static func environment(_ name: String) -> String? {
    guard let text = unsafe getenv(name) else { return nil }
    return unsafe String(cString: text)
  }

  /// The answer to a request.
  func ask(_ method: String, _ path: String, json: String? = nil) throws(Failure) -> Answer {
    let socket: Descriptor
    do throws(Errno) {
      socket = try Socket.connect(to: address)
    } catch {
      throw Failure(text: "cannot connect to \(address): \(error)")
    }
    try send(request(method, path, json), on: socket)
    return try read(from: socket)
  }

  /// Reads server-sent events until `take`, which is called with each one's name (`message` if it has none)
  /// and data, says no, or until the node ends them; `isWanted` is asked between them, a few times a second.
  /// An answer with another status than 200 is returned, and has no events.
  func follow(
    _ path: String, while isWanted: () -> Bool,
    _ take: (_ name: String, _ data: ArraySlice<UInt8>) -> Bool
  ) throws(Failure) -> Answer? {
    let socket: Descriptor
    do throws(Errno) {
      socket = try Socket.connect(to: address)
    } catch {
      throw Failure(text: "cannot connect to \(address): \(error)")
    }
    try send(request("GET", path, nil), on: socket)
    var events = EventReader()
    while isWanted() {
      var descriptors = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
      if unsafe poll(&descriptors, 1, 200) == 0 { continue }
      var buffer = ByteBuffer()
      let result = socket.receive(onto: &buffer, limit: 64 << 10)
      guard let count = result.count else {
        if result.wouldBlock { continue }
        throw Failure(text: "the node at \(address) broke the connection off")
      }
      if count == 0 {
        if events.isStream { return nil }
        return try Self.answer(events.bytes, from: address)
      }
      events.add(buffer.view.array)
      while let event = events.next() {
        if !take(event.name, event.data) { return nil }
      }
    }
    return nil
  }

  private func request(_ method: String, _ path: String, _ json: String?) -> [UInt8] {
    var text = "\(method) \(path) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n"
    if let token { text += "Authorization: Bearer \(token)\r\n" }
    if let json {
      text += "Content-Type: application/json\r\nContent-Length: \(json.utf8.count)\r\n"
    }
    return Array((text + "\r\n" + (json ?? "")).utf8)
  }

  private func send(_ bytes: [UInt8], on socket: borrowing Descriptor) throws(Failure) {
    var sent = 0
    while sent < bytes.count {
      try wait(for: Int16(POLLOUT), on: socket)
      let result = bytes.withView { socket.send($0.dropping(first: sent)) }
      guard let count = result.count else {
        if result.wouldBlock { continue }
        throw Failure(text: "cannot ask the node at \(address): is it running?")
      }
      sent += count
    }
  }

  private func read(from socket: borrowing Descriptor) throws(Failure) -> Answer {
    var buffer = ByteBuffer()
    while true {
      try wait(for: Int16(POLLIN), on: socket)
      let result = socket.receive(onto: &buffer, limit: 64 << 10)
      guard let count = result.count else {
        if result.wouldBlock { continue }
        throw Failure(text: "the node at \(address) broke the connection off")
      }
      if count == 0 { break }
    }
    return try Self.answer(buffer.view.array, from: address)
  }

  private static func answer(_ bytes: [UInt8], from address: SocketAddress) throws(Failure)
    -> Answer
  {
    let end = Array("\r\n\r\n".utf8)
    let start = bytes.indices.first { bytes[$0...].starts(with: end) }
    let status = String(decoding: bytes.prefix(12), as: UTF8.self).split(separator: " ").last
    guard let start, let number = status.flatMap({ Int($0) }) else {
      throw Failure(text: "what answers at \(address) is no node")
    }
    return Answer(status: number, content: Array(bytes[(start + end.count)...]))
  }

  private func wait(for events: Int16, on socket: borrowing Descriptor) throws(Failure) {
    var descriptors = pollfd(fd: socket.number, events: events, revents: 0)
    let count = unsafe poll(&descriptors, 1, patience)
    if count == 0 { throw Failure(text: "the node at \(address) does not answer") }
  }
}
