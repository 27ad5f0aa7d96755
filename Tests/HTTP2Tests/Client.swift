import Bytes
import CNGHTTP2
import HTTP2
import HTTPMessage

/// Frames written by hand, and read.
struct Frame: Equatable, CustomStringConvertible {
  var type: UInt8
  var flags: UInt8 = 0
  var stream: UInt32 = 0
  var payload: [UInt8] = []

  var bytes: [UInt8] {
    let length = payload.count
    return [UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags]
      + big(stream) + payload
  }

  var description: String { "type \(type) flags \(flags) stream \(stream) \(payload.count) bytes" }

  /// The error code of RST_STREAM or GOAWAY.
  var code: UInt32 {
    let at = type == 7 ? 4 : 0
    guard payload.count >= at + 4 else { return .max }
    return payload[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }
}

func big(_ value: UInt32) -> [UInt8] {
  (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
}

/// A field section without compression: literals without indexing (RFC 7541 §6.2.2).
func section(_ fields: [(String, String)]) -> [UInt8] {
  fields.flatMap { [0] + string($0.0) + string($0.1) }
}

func string(_ text: String) -> [UInt8] {
  let bytes = text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
  if bytes.count < 127 { return [UInt8(bytes.count)] + bytes }
  var rest = bytes.count - 127
  var length: [UInt8] = [127]
  while rest >= 128 {
    length.append(UInt8(rest & 127 | 128))
    rest >>= 7
  }
  return length + [UInt8(rest)] + bytes
}

func headers(
  _ stream: UInt32, _ fields: [(String, String)], ends: Bool = true, whole: Bool = true
) -> [UInt8] {
  Frame(type: 1, flags: (ends ? 1 : 0) | (whole ? 4 : 0), stream: stream, payload: section(fields))
    .bytes
}

func data(_ stream: UInt32, _ text: String, ends: Bool = false) -> [UInt8] {
  Frame(type: 0, flags: ends ? 1 : 0, stream: stream, payload: Array(text.utf8)).bytes
}

func get(_ path: String = "/", _ more: [(String, String)] = []) -> [(String, String)] {
  [(":method", "GET"), (":scheme", "https"), (":path", path), (":authority", "a.example")] + more
}

func post(_ more: [(String, String)] = []) -> [(String, String)] {
  [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", "a.example")] + more
}

let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
let settings = Frame(type: 4).bytes

/// What `next` returned, in words that can be compared.
enum Seen: Equatable {
  case request(UInt32, String)
  case content(UInt32, String)
  case end(UInt32, String)
  case closed(UInt32, UInt32)
  case goingAway
}

/// Content from arrays.
@safe
final class Content: HTTP2ContentProvider {
  var waiting: [UInt64: [HTTP2Content]] = [:]
  var bodies: [UInt64: [UInt8]] = [:]
  var trailers: [UInt64: [UInt8]] = [:]
  var asked: [UInt32] = []
  private var lent: [UnsafeMutableRawBufferPointer] = unsafe []

  deinit { unsafe lent.forEach { unsafe $0.deallocate() } }

  func content(stream: Int32, token: UInt64, limit: Int) -> HTTP2Content {
    asked.append(UInt32(stream))
    guard let body = bodies[token] else { return .wait }
    let piece = Array(body.prefix(limit))
    bodies[token] = Array(body.dropFirst(limit))
    let view = keep(piece)
    guard piece.count == body.count else { return .bytes(view) }
    if let lines = trailers[token] { return .lastWithTrailers(view, keep(lines)) }
    return .last(view)
  }

  /// A view that stays good as long as this does.
  private func keep(_ bytes: [UInt8]) -> ByteView {
    let memory = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(1, bytes.count), alignment: 1)
    unsafe memory.copyBytes(from: bytes)
    unsafe lent.append(memory)
    return unsafe ByteView(unsafe: UnsafeRawBufferPointer(rebasing: memory.prefix(bytes.count)))
  }
}

/// A session with a client whose frames are written by hand.
@safe
final class Peer {
  let session: HTTP2Session
  let content = Content()
  let head = RequestHead()
  var now: Int64 = 1_000_000_000
  private var received: [UInt8] = []
  private var inflater: OpaquePointer?

  /// A session after the preface; with `greets` the client's SETTINGS have come too.
  init(
    _ change: (inout HTTP2Options) -> Void = { _ in }, budget: WindowBudget? = nil,
    greets: Bool = true
  ) throws {
    var options = HTTP2Options()
    change(&options)
    guard let session = HTTP2Session(options, budget: budget, now: now) else { throw NoSession() }
    self.session = session
    unsafe nghttp2_hd_inflate_new(&inflater)
    if greets {
      _ = send(preface + settings)
      _ = frames()
    }
  }

  deinit { unsafe nghttp2_hd_inflate_del(inflater) }

  /// Feeds bytes, and returns what they said.
  func send(_ bytes: [UInt8], step: Int = .max) -> [Seen] {
    var seen: [Seen] = []
    var at = 0
    while at < bytes.count {
      let end = min(bytes.count, step == .max ? bytes.count : at + step)
      Array(bytes[at..<end]).withView {
        session.feed($0, now: now)
        seen += events()
      }
      at = end
    }
    return seen
  }

  func events() -> [Seen] {
    var seen: [Seen] = []
    while let event = session.next(into: head) {
      switch event {
      case .request(let stream, _):
        session.attach(UInt64(stream), to: stream)
        seen.append(.request(UInt32(stream), head.bytes.prefix(head.length).string))
      case .content(let stream, let bytes): seen.append(.content(UInt32(stream), bytes.string))
      case .end(let stream, let trailers): seen.append(.end(UInt32(stream), trailers.string))
      case .closed(let stream, let code): seen.append(.closed(UInt32(stream), code.number))
      case .goingAway: seen.append(.goingAway)
      }
    }
    return seen
  }

  /// The frames that the session has to send.
  func frames(limit: Int = 65_536) -> [Frame] {
    for _ in 0..<10_000 where session.wantsToSend {
      var output = ByteBuffer()
      let tail = session.produce(into: &output, from: content, limit: limit, now: now)
      if output.isEmpty && tail.isEmpty { break }
      received += output.view.array + tail.array
    }
    var found: [Frame] = []
    var at = 0
    while at + 9 <= received.count {
      let length = Int(received[at]) << 16 | Int(received[at + 1]) << 8 | Int(received[at + 2])
      let stream = received[at + 5..<at + 9].reduce(0) { $0 << 8 | UInt32($1) }
      found.append(
        Frame(
          type: received[at + 3], flags: received[at + 4], stream: stream,
          payload: Array(received[at + 9..<at + 9 + length])))
      at += 9 + length
    }
    received.removeFirst(at)
    return found
  }

  /// The fields of a HEADERS frame, as lines.
  func fields(_ frame: Frame) -> [String] {
    var lines: [String] = []
    var rest = frame.payload
    while true {
      var field = unsafe nghttp2_nv()
      var flags: Int32 = 0
      let used = unsafe nghttp2_hd_inflate_hd2(inflater, &field, &flags, rest, rest.count, 1)
      if used < 0 { return ["undecodable"] }
      rest.removeFirst(used)
      if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
        let name = unsafe String(
          decoding: UnsafeBufferPointer(start: field.name, count: field.namelen), as: UTF8.self)
        let value = unsafe String(
          decoding: UnsafeBufferPointer(start: field.value, count: field.valuelen), as: UTF8.self)
        lines.append("\(name): \(value)")
      }
      if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { break }
    }
    unsafe nghttp2_hd_inflate_end_headers(inflater)
    return lines
  }
}

struct NoSession: Error {}
