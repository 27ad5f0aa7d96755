// From a request's path to a name beneath the root. What a path means must be beyond doubt, so what other
// servers repair is refused here: dot segments and empty segments (plain or encoded), an encoded slash or
// zero byte, a broken percent sign. The kernel then makes sure that nothing leads out (`Beneath`); this
// rule is there so that one file has one name.

package import Bytes

/// A path that names something beneath the root.
package struct FilePath: Sendable, Equatable {
  /// Names with slashes between, none at either end; empty for the root itself. Any bytes but zero.
  package let name: [UInt8]
  /// Whether it ends with a slash: a directory is meant.
  package let isDirectory: Bool

  /// Reads a path as it was sent, with its first slash and without the query; nil if it names nothing
  /// that is served. Segments that begin with a dot are hidden and count as nothing, except
  /// `.well-known` at the front (RFC 8615).
  package init?(_ path: ByteView) {
    guard !path.isEmpty, path[0] == ASCII.slash, path.count <= Self.longest else { return nil }
    var decoded: [UInt8] = []
    decoded.reserveCapacity(path.count)
    var at = 1
    var segment = 0
    while at < path.count {
      var byte = path[at]
      at += 1
      if byte == 0x25 {
        guard path.count - at >= 2, let high = ASCII.hexValue(path[at]),
          let low = ASCII.hexValue(path[at + 1])
        else { return nil }
        at += 2
        byte = high << 4 | low
        guard byte != ASCII.slash else { return nil }
      } else if byte == ASCII.slash {
        guard Self.isServed(decoded[segment...], isFirst: segment == 0) else { return nil }
        decoded.append(byte)
        segment = decoded.count
        continue
      }
      guard byte != 0 else { return nil }
      decoded.append(byte)
    }
    isDirectory = segment == decoded.count
    if isDirectory {
      if !decoded.isEmpty { decoded.removeLast() }
    } else {
      guard Self.isServed(decoded[segment...], isFirst: segment == 0) else { return nil }
    }
    name = decoded
  }

  private init(name: [UInt8], isDirectory: Bool) {
    self.name = name
    self.isDirectory = isDirectory
  }

  /// The longest path, in bytes as sent: what the kernel takes, each byte encoded.
  private static var longest: Int { 3 * 4095 }

  private static func isServed(_ segment: ArraySlice<UInt8>, isFirst: Bool) -> Bool {
    guard let first = segment.first else { return false }
    return first != 0x2E || isFirst && segment.elementsEqual(".well-known".utf8)
  }

  /// A file in this directory.
  func appending(_ file: String) -> FilePath {
    FilePath(
      name: name.isEmpty ? Array(file.utf8) : name + [ASCII.slash] + Array(file.utf8),
      isDirectory: false)
  }

  /// The name with something behind it.
  func suffixed(_ suffix: String) -> FilePath {
    FilePath(name: name + Array(suffix.utf8), isDirectory: false)
  }

  /// What stands behind the last dot of the last segment, in lower case; empty if there is none.
  var fileExtension: String {
    let last = name.lastIndex(of: ASCII.slash).map { $0 + 1 } ?? 0
    guard let dot = name[last...].lastIndex(of: 0x2E), dot > last, name.count - dot <= 16 else {
      return ""
    }
    return String(decoding: name[(dot + 1)...].map { ASCII.lowercase($0) }, as: UTF8.self)
  }
}
