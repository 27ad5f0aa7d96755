// Reads a recording in whatever portions it comes: decompression, then the format (found out from the first
// bytes if nobody says it), then the records. A line that cannot be read is counted and the first few are
// kept; nothing that a recording holds ends the reading of it.
//
// What is kept between portions is the beginning of a line (1 MiB at most: a longer one is a bad line), of a
// binary record, or all of an archive, which is one JSON document (1 GiB at most).

package import Bytes

/// A recording's reader.
package final class TrafficReader {
  private enum Phase {
    /// The format is not known yet.
    case detecting
    case lines(LineKind)
    case archive
    case binary
    /// The stream is damaged: nothing more comes.
    case broken
  }

  private enum LineKind {
    case json
    case log(LogFormat)
    case w3c(W3CLog)
    case columns(ColumnTrace)
    case urls
  }

  private let decompressor = Decompressor()
  private var phase = Phase.detecting
  private let chosen: TrafficFormat?
  /// What could not be taken yet: a line's beginning.
  private var rest = ByteBuffer()
  private var skipsLine = false
  private var builder = RecordBuilder()
  private var line = 0

  /// The format that the recording has, when it is known.
  package private(set) var format: TrafficFormat?
  /// How the recording is compressed, when it is known.
  package var coding: Decompressor.Coding? { decompressor.coding }
  /// Records handed out.
  package private(set) var recordCount = 0
  /// Lines that could not be read.
  package private(set) var badCount = 0
  /// The first of them.
  package private(set) var badLines: [BadLine] = []

  private static let longestLine = 1 << 20
  private static let largestArchive = 1 << 30
  private static let detectionBytes = 64 << 10
  private static let keptBadLines = 5

  /// A reader; without a format, it finds out.
  package init(format: TrafficFormat? = nil) { chosen = format }

  /// Takes bytes of the recording and hands out the records that are complete.
  package func feed(_ bytes: ByteView, _ take: (borrowing TrafficRecord) -> Void) {
    if case .broken = phase { return }
    let isSound = decompressor.feed(bytes) { [self] in accept($0, take) }
    if !isSound { breakOff(.badCompression) }
  }

  /// Says that there is no more, and hands out what is left.
  package func finish(_ take: (borrowing TrafficRecord) -> Void) {
    if case .broken = phase { return }
    let isWhole = decompressor.finish { [self] in accept($0, take) }
    if case .detecting = phase, !rest.isEmpty { detect(take) }
    switch phase {
    case .lines where !rest.isEmpty:
      let last = rest.view.array
      rest.removeAll()
      last.withView { takeLine($0, take) }
    case .archive: takeArchive(take)
    case .binary where !rest.isEmpty: bad(recordCount + badCount + 1, .cutOff, ByteView())
    default: break
    }
    if !isWhole { breakOff(.cutOff) }
  }

  private func breakOff(_ defect: Defect) {
    bad(line + 1, defect, ByteView())
    phase = .broken
    rest.release()
  }

  private func bad(_ number: Int, _ defect: Defect, _ bytes: ByteView) {
    badCount += 1
    if badLines.count < Self.keptBadLines {
      badLines.append(BadLine(number: number, reason: defect, bytes: bytes))
    }
  }

  // MARK: Portions

  private func accept(_ bytes: ByteView, _ take: (borrowing TrafficRecord) -> Void) {
    switch phase {
    case .detecting:
      rest.append(bytes)
      let mayDecide = chosen != nil || rest.count >= Self.detectionBytes
      if mayDecide || Detection.isEnough(rest.view) { detect(take) }
    case .lines: takeLines(bytes, take)
    case .archive:
      if rest.count + bytes.count > Self.largestArchive { return breakOff(.tooLargeArchive) }
      rest.append(bytes)
    case .binary: takeBinary(bytes, take)
    case .broken: break
    }
  }

  private func detect(_ take: (borrowing TrafficRecord) -> Void) {
    let format = chosen ?? Detection.format(of: rest.view)
    self.format = format
    switch format {
    case .json: phase = .lines(.json)
    case .log(let format): phase = .lines(.log(format))
    case .w3c: phase = .lines(.w3c(W3CLog()))
    case .columns(let values): phase = .lines(.columns(ColumnTrace(values)))
    case .urls: phase = .lines(.urls)
    case .har: phase = .archive
    case .oracleGeneral: phase = .binary
    }
    let start = rest.view.array
    rest.removeAll()
    start.withView { accept($0, take) }
  }

  private func takeLines(_ bytes: ByteView, _ take: (borrowing TrafficRecord) -> Void) {
    var at = 0
    while let end = bytes.firstIndex(of: ASCII.lf, from: at) {
      let piece = bytes[at..<end]
      at = end + 1
      if skipsLine {
        skipsLine = false
      } else if rest.isEmpty {
        takeLine(piece, take)
      } else {
        rest.append(piece)
        takeLine(rest.view, take)
        rest.removeAll()
      }
    }
    if skipsLine { return }
    rest.append(bytes.dropping(first: at))
    if rest.count > Self.longestLine {
      line += 1
      bad(line, .tooLong, rest.view)
      rest.removeAll()
      skipsLine = true
    }
  }

  private func takeLine(_ bytes: ByteView, _ take: (borrowing TrafficRecord) -> Void) {
    line += 1
    var bytes = bytes
    if line == 1, bytes.starts(with: ByteView("\u{FEFF}")) { bytes = bytes.dropping(first: 3) }
    if bytes.count > 0, bytes[bytes.count - 1] == ASCII.cr { bytes = bytes[0..<bytes.count - 1] }
    if bytes.isEmpty { return }
    builder.begin(bytes: bytes.count)
    do throws(Defect) {
      guard try parse(bytes) else { return }
      try builder.finish()
    } catch {
      return bad(line, error, bytes)
    }
    recordCount += 1
    take(builder.record)
  }

  /// Whether the line is a request.
  private func parse(_ bytes: ByteView) throws(Defect) -> Bool {
    guard case .lines(let kind) = phase else { return false }
    switch kind {
    case .json: try JSONLine.parse(bytes, into: &builder)
    case .log(let format): try format.parse(bytes, into: &builder)
    case .urls: try builder.set(.target, bytes)
    case .w3c(var log):
      defer { phase = .lines(.w3c(log)) }
      return try log.parse(bytes, into: &builder)
    case .columns(var trace):
      defer { phase = .lines(.columns(trace)) }
      return try trace.parse(bytes, into: &builder)
    }
    return true
  }

  private func takeArchive(_ take: (borrowing TrafficRecord) -> Void) {
    var found = 0
    let archive = rest.view
    HARArchive.parse(archive, &builder) { builder, _ in
      found += 1
      take(builder.record)
    } bad: { [self] number, defect, bytes in
      bad(number, defect, bytes)
    }
    recordCount += found
    rest.release()
  }

  // MARK: oracleGeneral

  /// Records of 24 bytes, little-endian: time in seconds (u32), object (u64), size in bytes (u32), and when
  /// it is asked for next (i64), which is of no use here.
  private func takeBinary(_ bytes: ByteView, _ take: (borrowing TrafficRecord) -> Void) {
    var bytes = bytes
    if !rest.isEmpty {
      let missing = 24 - rest.count
      rest.append(bytes.prefix(missing))
      bytes = bytes.dropping(first: missing)
      guard rest.count == 24 else { return }
      takeBinaryRecord(rest.view, take)
      rest.removeAll()
    }
    var at = 0
    while bytes.count - at >= 24 {
      takeBinaryRecord(bytes[at..<at + 24], take)
      at += 24
    }
    rest.append(bytes.dropping(first: at))
  }

  private func takeBinaryRecord(
    _ bytes: ByteView, _ take: (borrowing TrafficRecord) -> Void
  ) {
    builder.begin(bytes: 24)
    builder.set(
      time: Int64(bytes.uint32(at: 0)) * 1_000_000_000, responseBytes: Int64(bytes.uint32(at: 12)))
    builder.setKey(number: bytes.uint64(at: 4))
    recordCount += 1
    take(builder.record)
  }
}
