// Asks a running node's admin listener: one request on a connection of its own, and all of the answer.

internal import Bytes
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

  let place: AdminPlace
  let trust: AdminTrust
  let token: String?
  /// How long the node may be silent, in milliseconds.
  var patience: Int32 = 10_000

  /// The answer to a request.
  func ask(_ method: String, _ path: String, json: String? = nil) throws(Failure) -> Answer {
    let connection = try NodeConnection(place, trust: trust, patience: patience)
    try connection.send(request(method, path, json))
    var buffer = ByteBuffer()
    while try connection.read(onto: &buffer) {}
    guard let answer = Self.answer(in: buffer.view.array) else {
      throw Failure(text: "what answers at \(place) is no node")
    }
    return answer
  }

  /// The beginning of an answer that goes on: a connection on which the head has come, its status, and what
  /// came behind it.
  func open(_ path: String) throws(Failure) -> (NodeConnection, status: Int, rest: [UInt8]) {
    let connection = try NodeConnection(place, trust: trust, patience: patience)
    try connection.send(request("GET", path, nil))
    var buffer = ByteBuffer()
    while try connection.read(onto: &buffer) {
      let bytes = buffer.view.array
      if let (status, length) = Self.head(bytes) {
        return (connection, status, Array(bytes.dropFirst(length)))
      }
    }
    throw Failure(text: "what answers at \(place) is no node")
  }

  /// Reads server-sent events until `take`, which is called with each one's name (`message` if it has none)
  /// and data, says no, or until the node ends them; `isWanted` is asked between them, a few times a second.
  /// An answer with another status than 200 is returned, and has no events.
  func follow(
    _ path: String, while isWanted: () -> Bool,
    _ take: (_ name: String, _ data: ArraySlice<UInt8>) -> Bool
  ) throws(Failure) -> Answer? {
    let (connection, status, rest) = try open(path)
    var buffer = ByteBuffer()
    guard status == 200 else {
      while try connection.read(onto: &buffer) {}
      return Answer(status: status, content: rest + buffer.view.array)
    }
    var events = EventReader()
    events.add(rest)
    while isWanted() {
      while let event = events.next() {
        if !take(event.name, event.data) { return nil }
      }
      switch try connection.receive(onto: &buffer) {
      case .bytes:
        events.add(buffer.view.array)
        buffer.removeAll()
      case .nothing: connection.waitAWhile()
      case .end: return nil
      }
    }
    return nil
  }

  private func request(_ method: String, _ path: String, _ json: String?) -> [UInt8] {
    var text = "\(method) \(path) HTTP/1.1\r\nHost: \(place.authority)\r\nConnection: close\r\n"
    if let token { text += "Authorization: Bearer \(token)\r\n" }
    if let json {
      text += "Content-Type: application/json\r\nContent-Length: \(json.utf8.count)\r\n"
    }
    return Array((text + "\r\n" + (json ?? "")).utf8)
  }

  /// An answer of which this is all, up to the end of its connection; nil if it is none.
  static func answer(in bytes: [UInt8]) -> Answer? {
    head(bytes).map { Answer(status: $0.status, content: Array(bytes.dropFirst($0.length))) }
  }

  /// An answer's status and the length of its head; nil as long as that is not whole.
  private static func head(_ bytes: [UInt8]) -> (status: Int, length: Int)? {
    let end = Array("\r\n\r\n".utf8)
    guard let start = bytes.indices.first(where: { bytes[$0...].starts(with: end) }) else {
      return nil
    }
    let status = String(decoding: bytes.prefix(12), as: UTF8.self).split(separator: " ").last
    return status.flatMap { Int($0) }.map { ($0, start + end.count) }
  }
}
