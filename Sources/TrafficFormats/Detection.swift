// Which format a recording has, from its first lines.

internal import Bytes

enum Detection {
  /// Whether there is a whole line that says something, so that more bytes would not change the answer.
  static func isEnough(_ bytes: ByteView) -> Bool {
    if isBinary(bytes) { return bytes.count >= 24 }
    guard let line = firstLine(bytes, needsEnd: true) else { return false }
    // An archive may be printed over many lines: the brace alone does not tell it from lines of JSON.
    return line.count > 2 || line[0] != 0x7B
  }

  /// The format; lines of URLs if it is none that is known.
  static func format(of bytes: ByteView) -> TrafficFormat {
    if isBinary(bytes) { return .oracleGeneral }
    guard let line = firstLine(bytes, needsEnd: false) else { return .urls }
    switch line[0] {
    case 0x7B: return isArchive(bytes) ? .har : .json
    case 0x23:
      return bytes.string.contains("#Version") || bytes.string.contains("#Fields")
        ? .w3c : .columns(nil)
    case ASCII.slash: return .urls
    default: break
    }
    if line.starts(with: ByteView("http://")) || line.starts(with: ByteView("https://")) {
      return .urls
    }
    if line.firstIndex(of: 0x5B) != nil, line.firstIndex(of: ASCII.quote) != nil {
      return .log(.combined)
    }
    return .columns(nil)
  }

  /// Bytes that no text has. Times and sizes are small enough numbers that some of theirs are 0.
  private static func isBinary(_ bytes: ByteView) -> Bool {
    for index in 0..<min(bytes.count, 96) where bytes[index] == 0 { return true }
    return false
  }

  /// Whether `"log"` comes before the second line's end or an object's.
  private static func isArchive(_ bytes: ByteView) -> Bool {
    var reader = JSONReader(
      bytes.starts(with: ByteView("\u{FEFF}")) ? bytes.dropping(first: 3) : bytes)
    var found = false
    _ = reader.members { _, name in
      found = name == ByteView("log")
      return false
    }
    return found
  }

  private static func firstLine(_ bytes: ByteView, needsEnd: Bool) -> ByteView? {
    var at = bytes.starts(with: ByteView("\u{FEFF}")) ? 3 : 0
    while at < bytes.count {
      guard let end = bytes.firstIndex(of: ASCII.lf, from: at) else {
        return needsEnd ? nil : bytes.dropping(first: at)
      }
      let line = bytes[at..<end]
      if !line.isEmpty, line[0] != ASCII.cr { return line }
      at = end + 1
    }
    return nil
  }
}
