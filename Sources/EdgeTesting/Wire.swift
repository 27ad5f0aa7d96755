// One end of a connection: bytes out, and messages in, read without mercy.
//
// The reader is written for tests of a node that must never send anything doubtful: what RFC 9112 lets
// a recipient forgive (bare LF, obs-fold, space before the colon, a chunk extension, both lengths) is a
// failure here that says where it stood.

import Bytes
import Synchronization

final class Wire: Sendable {
  let socket: PeerSocket
  /// Who is at this end, for messages.
  let name: String
  private let unread = Mutex<[UInt8]>([])

  init(_ socket: PeerSocket, name: String) {
    self.socket = socket
    self.name = name
  }

  func failure(_ kind: PeerFailure.Kind, _ message: String) -> PeerFailure {
    PeerFailure(kind, "\(name): \(message)")
  }

  // MARK: Bytes

  func write(_ bytes: [UInt8]) async throws(PeerFailure) {
    try await socket.write(bytes, "\(name): writing")
  }

  /// Reads more behind what is unread; false at the other side's clean end.
  func fill(_ doing: String) async throws(PeerFailure) -> Bool {
    let waiting = unread.withLock { $0.count }
    let context = "\(name): \(doing), \(waiting) bytes read and not used: \(preview())"
    switch try await socket.read(context) {
    case .bytes(let bytes):
      unread.withLock { $0 += bytes }
      return true
    case .end: return false
    case .reset: throw PeerFailure(.reset, context)
    }
  }

  /// Takes at most `limit` of the unread bytes.
  func takeUnread(_ limit: Int = .max) -> [UInt8] {
    unread.withLock { unread in
      let taken = Array(unread.prefix(limit))
      unread.removeFirst(taken.count)
      return taken
    }
  }

  var hasUnread: Bool { unread.withLock { !$0.isEmpty } }

  /// The unread bytes as text, for messages.
  func preview() -> String {
    let text = unread.withLock { String(decoding: $0.prefix(200), as: UTF8.self) }
    return text.debugDescription
  }

  /// Reads exactly so many bytes.
  func read(exactly count: Int) async throws(PeerFailure) -> [UInt8] {
    while unread.withLock({ $0.count }) < count {
      guard try await fill("reading \(count) bytes") else {
        throw failure(.ended, "wanted \(count) bytes, got only \(preview())")
      }
    }
    return takeUnread(count)
  }

  /// Reads to the other side's clean end.
  func readToEnd() async throws(PeerFailure) -> [UInt8] {
    while try await fill("reading to the end") {}
    return takeUnread()
  }

  // MARK: Lines

  /// Reads a line; CR and LF in it stand only at its end.
  func readLine(_ doing: String) async throws(PeerFailure) -> String {
    while true {
      if let line = takeLine() {
        guard line.suffix(2) == [13, 10], !line.dropLast(2).contains(13) else {
          throw failure(.malformed, "\(doing): a bare CR or LF in \(Self.text(line))")
        }
        return String(decoding: line.dropLast(2), as: UTF8.self)
      }
      guard try await fill(doing) else {
        throw failure(.ended, "\(doing): the connection ended after \(preview())")
      }
    }
  }

  private func takeLine() -> [UInt8]? {
    unread.withLock { unread in
      guard let end = unread.firstIndex(of: 10) else { return nil }
      let line = Array(unread[...end])
      unread.removeFirst(line.count)
      return line
    }
  }

  /// Reads field lines to the empty line behind them.
  func readFields(_ doing: String) async throws(PeerFailure) -> [PeerField] {
    var fields: [PeerField] = []
    while true {
      let line = try await readLine(doing)
      if line.isEmpty { return fields }
      guard let colon = line.utf8.firstIndex(of: ASCII.colon) else {
        throw failure(.malformed, "\(doing): no colon in \(line.debugDescription)")
      }
      let name = String(line[..<colon])
      guard !name.isEmpty, name.utf8.allSatisfy(ASCII.isTokenByte) else {
        throw failure(.malformed, "\(doing): not a field name in \(line.debugDescription)")
      }
      let raw = Array(line.utf8[line.utf8.index(after: colon)...])
      guard raw.allSatisfy({ $0 == ASCII.tab || $0 >= 0x20 && $0 != 0x7F }) else {
        throw failure(.malformed, "\(doing): a control byte in \(line.debugDescription)")
      }
      fields.append(PeerField(name, Self.trimmed(raw)))
    }
  }

  static func trimmed(_ bytes: [UInt8]) -> String {
    let isSpace = { (byte: UInt8) in byte == ASCII.space || byte == ASCII.tab }
    let start = bytes.drop(while: isSpace)
    let end = start.reversed().drop(while: isSpace)
    return String(decoding: end.reversed(), as: UTF8.self)
  }

  static func text(_ bytes: [UInt8]) -> String {
    String(decoding: bytes, as: UTF8.self).debugDescription
  }
}
