// Frame headers, seen before nghttp2 sees them. It has no word for frames on closed streams (it drops them
// without a sound) nor for most floods; the callbacks come too late or not at all.

internal import Bytes

/// A frame's header (RFC 9113 §4.1).
struct FrameHeader {
  var length = 0
  var type: UInt8 = 0
  var flags: UInt8 = 0
  var stream: Int32 = 0

  static var size: Int { 9 }

  enum Kind {
    static var data: UInt8 { 0 }
    static var headers: UInt8 { 1 }
    static var priority: UInt8 { 2 }
    static var reset: UInt8 { 3 }
    static var settings: UInt8 { 4 }
    static var push: UInt8 { 5 }
    static var ping: UInt8 { 6 }
    static var goaway: UInt8 { 7 }
    static var windowUpdate: UInt8 { 8 }
    static var continuation: UInt8 { 9 }
    static var priorityUpdate: UInt8 { 0x10 }
  }

  /// END_STREAM of DATA and HEADERS, ACK of SETTINGS and PING.
  var hasFirstFlag: Bool { flags & 0x1 != 0 }
  /// END_HEADERS
  var endsHeaders: Bool { flags & 0x4 != 0 }

  /// The header in nine bytes.
  init(_ bytes: ByteView) {
    length = Int(bytes[0]) << 16 | Int(bytes[1]) << 8 | Int(bytes[2])
    type = bytes[3]
    flags = bytes[4]
    let number =
      UInt32(bytes[5]) << 24 | UInt32(bytes[6]) << 16 | UInt32(bytes[7]) << 8 | UInt32(bytes[8])
    stream = Int32(truncatingIfNeeded: number & 0x7FFF_FFFF)
  }
}

/// Where in the frames a connection's bytes are.
struct FrameScanner: ~Copyable {
  /// Bytes of the preface that are still to come.
  private var preface = FrameScanner.prefaceText.count
  /// Bytes of the frame's content that are still to come.
  private var content = 0
  /// The part of a header that came at the end of a read.
  private var partial = ByteBuffer()

  static var prefaceText: ByteView { ByteView("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") }

  enum Step {
    /// So many bytes belong to what is known already.
    case pass(Int)
    /// A header begins; with the content that is there it covers so many bytes. The part of it that came
    /// earlier is `pending`.
    case frame(FrameHeader, Int)
    /// All bytes are used; part of a header is kept.
    case incomplete
    /// The preface is wrong.
    case badPreface
  }

  /// What the bytes at the front are. After `.frame` the part kept from before comes first.
  mutating func next(_ bytes: ByteView) -> Step {
    guard !bytes.isEmpty else { return .incomplete }
    if preface > 0 {
      let text = FrameScanner.prefaceText
      let piece = bytes.prefix(preface)
      guard piece == text.dropping(first: text.count - preface).prefix(piece.count) else {
        return .badPreface
      }
      preface -= piece.count
      return .pass(piece.count)
    }
    if content > 0 {
      let count = min(content, bytes.count)
      content -= count
      return .pass(count)
    }
    let missing = FrameHeader.size - partial.count
    guard bytes.count >= missing else {
      partial.append(bytes)
      return .incomplete
    }
    let header: FrameHeader
    if partial.isEmpty {
      header = FrameHeader(bytes.prefix(FrameHeader.size))
    } else {
      partial.append(bytes.prefix(missing))
      header = FrameHeader(partial.view)
      partial.truncate(to: partial.count - missing)
    }
    let there = min(header.length, bytes.count - missing)
    content = header.length - there
    return .frame(header, missing + there)
  }

  /// The part of a header that came earlier, after `.frame`.
  var pending: ByteView { partial.view }

  /// Forgets that part.
  mutating func clearPending() {
    if !partial.isEmpty { partial.release() }
  }
}
