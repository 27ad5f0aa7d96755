// Web cache deception: `/account/x.css` is answered by the page `/account` of a client who was lured
// there, and stored for all because its path looks like a style sheet's. The defence: a route may
// require that what a path's extension promises is what the Content-Type says. A response that does not
// fit is sent, and not stored.
//
// Servers take a path apart at `;`, `%3B`, `%00`, `%23`, `%3F`, `%2F` and more; so the extension is what
// stands behind the last dot of the path as it was sent, escapes decoded, wherever such a byte is before
// it. An extension that is not in the table promises nothing, and neither does none.

package import Bytes
internal import HTTPMessage

/// Whether a path's extension and a content type fit.
package enum ExtensionFit: UInt8, Sendable, CaseIterable {
  /// They fit.
  case fits
  /// The path has no extension, or one that is not known: it promises nothing.
  case noPromise
  /// The type is another than the extension promises.
  case mismatch
  /// The extension promises a type, and there is no Content-Type, or none that is a type.
  case noType

  /// Whether the response may be stored on a route with the defence.
  package var mayStore: Bool {
    switch self {
    case .fits, .noPromise: true
    case .mismatch, .noType: false
    }
  }
}

/// The check. Allocates nothing.
package enum DeceptionDefence {
  /// Whether a response's Content-Type fits the extension of the request's path (without query).
  package static func check(path: ByteView, contentType: ByteView?) -> ExtensionFit {
    var name = InlineArray<8, UInt8>(repeating: 0)
    guard let count = readExtension(of: path, into: &name),
      let promise = promise(packed(name, count))
    else { return .noPromise }
    guard let contentType, let slash = contentType.firstIndex(of: ASCII.slash) else {
      return .noType
    }
    let end = contentType.firstIndex(of: ASCII.semicolon) ?? contentType.count
    guard slash < end else { return .noType }
    let type = contentType[0..<slash].trimmingWhitespace
    let subtype = contentType[slash + 1..<end].trimmingWhitespace
    guard type.isToken, subtype.isToken else { return .noType }
    return fits(promise, type: type, subtype: subtype) ? .fits : .mismatch
  }

  /// What an extension promises.
  private enum Promise {
    /// Any type under these.
    case under(StaticString)
    case audioOrVideo
    /// Style sheets.
    case css
    /// JavaScript, by any of its names (RFC 9239), and modules.
    case script
    case json
    case xml
    /// Text that is shown as it is.
    case plain
    case font
    case pdf
    case wasm
    /// Programs and archives: anything under `application` but what a browser shows.
    case binary
  }

  private static func promise(_ name: UInt64) -> Promise? {
    switch name {
    case "png", "jpg", "jpeg", "gif", "webp", "avif", "ico", "svg", "bmp", "tif", "tiff", "jxl",
      "apng", "heic", "svgz":
      .under("image")
    case "mp4", "webm", "mkv", "mov", "avi", "mp3", "ogg", "oga", "ogv", "flac", "wav", "aac",
      "m4a", "m4v", "opus", "mid", "midi":
      .audioOrVideo
    case "css": .css
    case "js", "mjs", "cjs": .script
    case "json", "map", "geojson", "jsonld": .json
    case "xml", "rss", "atom", "xsl": .xml
    case "txt", "csv", "md", "vtt": .plain
    case "woff", "woff2", "ttf", "otf", "eot": .font
    case "pdf": .pdf
    case "wasm": .wasm
    case "zip", "gz", "bz2", "xz", "zst", "tar", "tgz", "7z", "rar", "jar", "exe", "dll", "msi",
      "dmg", "iso", "apk", "deb", "rpm", "bin", "doc", "docx", "xls", "xlsx", "ppt", "pptx",
      "swf", "class", "ps":
      .binary
    default: nil
    }
  }

  private static func fits(_ promise: Promise, type: ByteView, subtype: ByteView) -> Bool {
    let isApplication = type.equalsIgnoringCase(ByteView("application"))
    let isText = type.equalsIgnoringCase(ByteView("text"))
    switch promise {
    case .under(let wanted): return type.equalsIgnoringCase(ByteView(wanted))
    case .audioOrVideo:
      return type.equalsIgnoringCase(ByteView("video"))
        || type.equalsIgnoringCase(ByteView("audio"))
        || isApplication && (subtype.isAny("ogg", "mp4") || subtype.isAny("octet-stream"))
    case .css: return isText && subtype.isAny("css")
    case .script:
      return (isText || isApplication)
        && (subtype.isAny("javascript", "ecmascript")
          || subtype.isAny("x-javascript", "x-ecmascript"))
    case .json:
      return subtype.isAny("json") && (isApplication || isText)
        || isApplication && subtype.ends(with: "+json")
    case .xml:
      return subtype.isAny("xml") && (isApplication || isText)
        || isApplication && subtype.ends(with: "+xml") && !subtype.isAny("xhtml+xml")
    case .plain:
      return isText && (subtype.isAny("plain", "csv") || subtype.isAny("markdown", "vtt"))
    case .font:
      return type.equalsIgnoringCase(ByteView("font"))
        || isApplication
          && (subtype.isAny("octet-stream", "vnd.ms-fontobject") || subtype.isFontName)
    case .pdf: return isApplication && subtype.isAny("pdf")
    case .wasm: return isApplication && subtype.isAny("wasm")
    case .binary: return isApplication && !subtype.isShown
    }
  }

  /// Reads the extension in lower case, at most eight bytes, into `name`; nil if there is none.
  private static func readExtension(
    of path: ByteView, into name: inout InlineArray<8, UInt8>
  ) -> Int? {
    var count: Int?
    var bytes = PathBytes(path)
    while let byte = bytes.next() {
      switch byte {
      case 0x2E: count = 0
      case ASCII.slash: count = nil
      default:
        guard let length = count else { continue }
        // One byte too many, and it is no extension that is known.
        if length < 8 { name[length] = ASCII.lowercase(byte) }
        count = length + 1
      }
    }
    guard let length = count, length > 0, length <= 8 else { return nil }
    return length
  }

  private static func packed(_ name: InlineArray<8, UInt8>, _ count: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<count { value = value &<< 8 | UInt64(name[index]) }
    return value
  }
}

/// The bytes that a path means: escapes decoded once.
private struct PathBytes {
  private let path: ByteView
  private var position = 0

  init(_ path: ByteView) { self.path = path }

  mutating func next() -> UInt8? {
    guard position < path.count else { return nil }
    let byte = path[position]
    position += 1
    guard byte == 0x25, path.count - position >= 2, let high = ASCII.hexValue(path[position]),
      let low = ASCII.hexValue(path[position + 1])
    else { return byte }
    position += 2
    return high << 4 | low
  }
}

/// An extension's name as a number: eight bytes, the last lowest.
private func ~= (name: StaticString, packed: UInt64) -> Bool {
  let bytes = ByteView(name)
  var value: UInt64 = 0
  for index in 0..<bytes.count { value = value &<< 8 | UInt64(bytes[index]) }
  return value == packed
}

extension ByteView {
  fileprivate func isAny(_ one: StaticString, _ other: StaticString = "") -> Bool {
    equalsIgnoringCase(ByteView(one)) || equalsIgnoringCase(ByteView(other))
  }

  fileprivate func ends(with suffix: StaticString) -> Bool {
    let suffix = ByteView(suffix)
    return dropping(first: count - suffix.count).equalsIgnoringCase(suffix)
  }

  /// Names of font types from before RFC 8081.
  fileprivate var isFontName: Bool {
    prefix(5).equalsIgnoringCase(ByteView("font-"))
      || prefix(7).equalsIgnoringCase(ByteView("x-font-"))
  }

  /// Whether a browser shows an `application` of that subtype as a page.
  fileprivate var isShown: Bool {
    isAny("xhtml+xml", "xml") || isAny("json") || ends(with: "+xml") || ends(with: "+json")
  }
}
