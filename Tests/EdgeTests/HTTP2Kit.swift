// A client that speaks HTTP/2 without TLS frame by frame, for what no honest client does.

import EdgeTesting
import Testing

/// A frame, as it came.
struct Frame: Sendable {
  var type: UInt8
  var flags: UInt8
  var stream: Int
  var content: [UInt8]

  static let data: UInt8 = 0
  static let headers: UInt8 = 1
  static let reset: UInt8 = 3
  static let settings: UInt8 = 4
  static let ping: UInt8 = 6
  static let goAway: UInt8 = 7
  static let windowUpdate: UInt8 = 8
  static let continuation: UInt8 = 9

  var bytes: [UInt8] {
    let length = UInt32(content.count)
    var head: [UInt8] = [UInt8(length >> 16), UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF)]
    head += [type, flags]
    for shift: UInt32 in [24, 16, 8, 0] {
      head.append(UInt8(truncatingIfNeeded: UInt32(stream) >> shift))
    }
    return head + content
  }

  /// A 32-bit number at an offset of the content.
  func number(at offset: Int) -> Int {
    content[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
  }
}

struct FrameClient {
  let client: RawClient

  func send(_ frames: Frame...) async throws { try await client.write(frames.flatMap(\.bytes)) }

  /// Fields as literals that are not indexed (RFC 7541 §6.2.2).
  static func fields(_ fields: [(String, String)]) -> [UInt8] {
    var block: [UInt8] = []
    for (name, value) in fields {
      block.append(0)
      block.append(UInt8(name.utf8.count))
      block.append(contentsOf: name.utf8)
      block.append(UInt8(value.utf8.count))
      block.append(contentsOf: value.utf8)
    }
    return block
  }

  static func request(
    _ stream: Int, _ path: String, method: String = "GET", scheme: String = "http",
    ends: Bool = true, _ more: [(String, String)] = []
  ) -> Frame {
    let block = fields(
      [
        (":method", method), (":scheme", scheme), (":path", path), (":authority", "a.example"),
      ] + more)
    return Frame(
      type: Frame.headers, flags: ends ? 5 : 4, stream: stream, content: block)
  }

  func read() async throws -> Frame {
    let head = try await client.read(exactly: 9)
    let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
    let stream = head[5..<9].reduce(0) { $0 << 8 | Int($1) } & 0x7FFF_FFFF
    let content = length > 0 ? try await client.read(exactly: length) : []
    return Frame(type: head[3], flags: head[4], stream: stream, content: content)
  }

  /// Reads until a frame is of the kind, and of the stream if one is given.
  func next(_ type: UInt8, stream: Int? = nil) async throws -> Frame {
    while true {
      let frame = try await read()
      if frame.type == type, stream == nil || frame.stream == stream { return frame }
      if frame.type == Frame.goAway {
        throw PeerFailure(.ended, "GOAWAY with \(frame.number(at: 4)), waiting for \(type)")
      }
    }
  }

  /// Reads a stream's content to its end.
  func content(of stream: Int) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    while true {
      let frame = try await read()
      guard frame.stream == stream else { continue }
      if frame.type == Frame.reset { throw PeerFailure(.reset, "code \(frame.number(at: 0))") }
      if frame.type == Frame.data { bytes += frame.content }
      if frame.type == Frame.data || frame.type == Frame.headers, frame.flags & 1 != 0 {
        return bytes
      }
    }
  }
}
