internal import Bytes

/// `HTTP/1.1` and its relatives (RFC 9112 §2.3).
enum Version {
  enum Defect: Error {
    /// Not `HTTP/`, a digit, a dot, a digit.
    case malformed
    /// Another major version than 1.
    case unsupported
  }

  /// How many bytes a version is.
  static var length: Int { 8 }

  /// The minor version of the eight bytes at `at`, with those above 1 taken as 1 (RFC 9110 §2.5); nil
  /// if fewer are there and could become a version.
  @inline(__always)
  static func minor(_ bytes: ByteView, at: Int, to: Int) throws(Defect) -> UInt8? {
    if to - at >= length {
      let word = bytes.uint64(at: at)
      if word == 0x312E_312F_5054_5448 { return 1 }  // "HTTP/1.1", its first byte lowest
      if word == 0x302E_312F_5054_5448 { return 0 }  // "HTTP/1.0"
    }
    return try unusual(bytes[at..<min(at + length, to)])
  }

  @inline(never)
  private static func unusual(_ text: ByteView) throws(Defect) -> UInt8? {
    let name = ByteView("HTTP/")
    guard name.starts(with: text.prefix(name.count)) else { throw .malformed }
    for index in name.count..<max(name.count, text.count) {
      let byte = text[index]
      guard index == 6 ? byte == 0x2E : ASCII.isDigit(byte) else { throw .malformed }
    }
    guard text.count == length else { return nil }
    guard text[5] == 0x31 else { throw .unsupported }
    return text[7] == 0x30 ? 0 : 1
  }
}
