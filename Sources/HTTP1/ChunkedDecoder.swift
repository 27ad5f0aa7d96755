// The chunked transfer coding (RFC 9112 §7.1):
//
//     1f;name=value CR LF  content CR LF  …  0 CR LF  name: value CR LF  …  CR LF
//
// The decoder takes every byte it is given: what it needs of a size, an extension or a trailer it keeps
// itself, so that its caller can forget what was read, at whatever byte a read ended. Content is never
// copied, but returned as a range of the view. Lines end with CR LF and nothing else.
//
// Extensions are dropped (RFC 9112 §7.1.1). What they may cost is counted over the message, against its
// content: a peer that sends them with one-byte chunks to make work is found out, one that signs every
// chunk of a long upload is not. Trailer lines are collected, checked like any field lines when all are
// there, and written again in lower case without those that must not be in a trailer.

package import Bytes
internal import HTTPMessage

/// What is wrong with a chunked body; where the next message begins is then unknown.
package enum ChunkDefect: UInt8, Error, CaseIterable, Sendable {
  /// A chunk size that is not a hexadecimal number, or is followed by something else than CR LF or an
  /// extension.
  case badSize
  /// A chunk size of 2⁶³ or more, or written with more than 16 digits.
  case sizeTooLarge
  /// A control byte in a chunk extension.
  case badExtension
  /// Extensions beyond the limit.
  case extensionTooLong
  /// CR without LF.
  case bareCarriageReturn
  /// LF without CR.
  case bareLineFeed
  /// No CR LF behind a chunk's content.
  case missingLineEnd
  /// A trailer line that is no field line.
  case badTrailer
  /// Trailers beyond a limit.
  case trailerTooLarge

  /// The status code of the answer, if one can still be given.
  package var status: UInt16 { self == .trailerTooLarge ? 431 : 400 }

  /// What is wrong, in a few words for the log.
  package var text: StaticString {
    switch self {
    case .badSize: "malformed chunk size"
    case .sizeTooLarge: "chunk size out of range"
    case .badExtension: "control byte in a chunk extension"
    case .extensionTooLong: "chunk extensions too long"
    case .bareCarriageReturn: "CR without LF in chunked content"
    case .bareLineFeed: "LF without CR in chunked content"
    case .missingLineEnd: "no line end behind a chunk"
    case .badTrailer: "malformed trailer field"
    case .trailerTooLarge: "trailer section too large"
    }
  }
}

/// Reads one chunked body.
package struct ChunkedDecoder: ~Copyable {
  /// What a call found.
  package enum Step: Equatable, Sendable {
    /// Content, at these places of the view.
    case content(Range<Int>)
    /// All of the view is taken and more must come.
    case incomplete
    /// The body has ended; what is behind `offset` belongs to the next message.
    case end
    /// Not a chunked body.
    case invalid(ChunkDefect)
  }

  /// What the next byte is part of.
  private enum Phase {
    case sizeStart, size, whitespace, chunkExtension, sizeLineFeed
    case content, contentCarriageReturn, contentLineFeed
    case trailerStart, trailer, lastLineFeed
    case ended(Step)
  }

  private let maxExtension: Int
  private let maxTrailer: Int
  private let maxTrailerFields: Int
  private var phase = Phase.sizeStart
  /// The size as far as it is read; then how much of the chunk is missing.
  private var remaining: UInt64 = 0
  private var digits = 0
  /// Bytes of extensions that no content has made up for.
  private var extensionBytes = 0
  /// Trailer lines as they came.
  private var collected = ByteBuffer()
  private var kept = ByteBuffer()

  /// A decoder at the beginning of a body. `maxExtension` is by how many bytes extensions may exceed
  /// the content before them; `maxTrailer` is in bytes.
  package init(maxExtension: Int = 4096, maxTrailer: Int = 8192, maxTrailerFields: Int = 64) {
    self.maxExtension = maxExtension
    self.maxTrailer = maxTrailer
    self.maxTrailerFields = maxTrailerFields
  }

  /// Trailer lines after `.end`: lower-case `name: value` lines, each with CR LF, without those that
  /// must not be in a trailer (RFC 9110 §6.5.1); empty if there are none. Good as long as the decoder.
  package var trailers: ByteView { kept.view }

  /// Reads on from `offset`, which it moves past what it has taken. After `.end` and `.invalid` it
  /// takes nothing more and says the same again.
  package mutating func next(_ bytes: ByteView, offset: inout Int) -> Step {
    precondition(offset >= 0 && offset <= bytes.count, "offset out of the view")
    while true {
      if case .ended(let step) = phase { return step }
      guard offset < bytes.count else { return .incomplete }
      if case .content = phase { return takeContent(bytes, &offset) }
      let byte = bytes[offset]
      offset += 1
      do throws(ChunkDefect) {
        try take(byte)
      } catch {
        phase = .ended(.invalid(error))
      }
    }
  }

  private mutating func takeContent(_ bytes: ByteView, _ offset: inout Int) -> Step {
    let available = bytes.count - offset
    let length = remaining < UInt64(available) ? Int(remaining) : available
    let range = offset..<offset + length
    offset += length
    remaining -= UInt64(length)
    extensionBytes = max(0, extensionBytes - length)
    if remaining == 0 { phase = .contentCarriageReturn }
    return .content(range)
  }

  /// Takes a byte that is not content.
  private mutating func take(_ byte: UInt8) throws(ChunkDefect) {
    switch phase {
    case .sizeStart:
      remaining = 0
      digits = 0
      guard ASCII.hexValue(byte) != nil else { throw .badSize }
      try takeSize(byte)
      phase = .size
    case .size: try takeSize(byte)
    case .whitespace: try takeWhitespace(byte)
    case .chunkExtension: try takeExtension(byte)
    case .sizeLineFeed:
      guard byte == ASCII.lf else { throw .bareCarriageReturn }
      phase = remaining == 0 ? .trailerStart : .content
    case .contentCarriageReturn:
      guard byte == ASCII.cr else { throw byte == ASCII.lf ? .bareLineFeed : .missingLineEnd }
      phase = .contentLineFeed
    case .contentLineFeed:
      guard byte == ASCII.lf else { throw .bareCarriageReturn }
      phase = .sizeStart
    case .trailerStart where byte == ASCII.cr: phase = .lastLineFeed
    case .trailerStart, .trailer:
      phase = .trailer
      try takeTrailer(byte)
    case .lastLineFeed:
      guard byte == ASCII.lf else { throw .bareCarriageReturn }
      phase = .ended(.end)
    case .content, .ended: break  // Not bytes for this function.
    }
  }

  private mutating func takeSize(_ byte: UInt8) throws(ChunkDefect) {
    if let value = ASCII.hexValue(byte) {
      digits += 1
      guard digits <= 16, remaining < 1 << 59 else { throw .sizeTooLarge }
      remaining = remaining << 4 | UInt64(value)
      return
    }
    switch byte {
    case ASCII.cr: phase = .sizeLineFeed
    case ASCII.lf: throw .bareLineFeed
    default: try takeWhitespace(byte)
    }
  }

  /// Between size and extension there may be whitespace (RFC 9112 §7.1.1), but not without extension.
  private mutating func takeWhitespace(_ byte: UInt8) throws(ChunkDefect) {
    try countExtension()
    switch byte {
    case ASCII.semicolon: phase = .chunkExtension
    case ASCII.space, ASCII.tab: phase = .whitespace
    default: throw .badSize
    }
  }

  private mutating func takeExtension(_ byte: UInt8) throws(ChunkDefect) {
    switch byte {
    case ASCII.cr: phase = .sizeLineFeed
    case ASCII.lf: throw .bareLineFeed
    case ASCII.tab, 0x20...0x7E, 0x80...0xFF: try countExtension()
    default: throw .badExtension
    }
  }

  private mutating func countExtension() throws(ChunkDefect) {
    extensionBytes += 1
    guard extensionBytes <= maxExtension else { throw .extensionTooLong }
  }

  private mutating func takeTrailer(_ byte: UInt8) throws(ChunkDefect) {
    guard collected.count < maxTrailer else { throw .trailerTooLarge }
    collected.append(byte)
    guard byte == ASCII.lf else { return }
    let lines = collected.view
    guard lines.count >= 2, lines[lines.count - 2] == ASCII.cr else { throw .bareLineFeed }
    guard lines.count >= 4, lines[lines.count - 3] == ASCII.lf else { return }
    try keepTrailers()
    phase = .ended(.end)
  }

  /// Checks the collected lines and writes those that may be passed on.
  private mutating func keepTrailers() throws(ChunkDefect) {
    let lines = collected.view
    var table = FieldTable()
    let end: Int?
    do throws(HeadDefect) {
      end = try FieldParser.parse(
        lines, from: 0, to: lines.count, maxFields: maxTrailerFields, into: &table)
    } catch {
      throw ChunkDefect(error)
    }
    guard end == lines.count else { throw .badTrailer }
    for index in 0..<table.count {
      let name = table[index].name(in: lines)
      if TrailerField.isForbidden(table[index].known, name) { continue }
      kept.appendLowercased(name)
      kept.append(": ")
      kept.append(table[index].value(in: lines))
      kept.append("\r\n")
    }
    collected.release()
  }
}

extension ChunkDefect {
  fileprivate init(_ defect: HeadDefect) {
    switch defect {
    case .tooManyFields, .headTooLarge: self = .trailerTooLarge
    case .bareCarriageReturn: self = .bareCarriageReturn
    case .bareLineFeed: self = .bareLineFeed
    default: self = .badTrailer
    }
  }
}
