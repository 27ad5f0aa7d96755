internal import Bytes
internal import CLinux
internal import EventLoop

/// A directory as a page: names only, directories first. Hidden files are left out, and what is neither a
/// file nor a directory.
enum Listing {
  /// The most names.
  static var limit: Int { 10_000 }

  /// The page of an open directory; nil if it cannot be read. Blocks.
  static func page(of directory: borrowing Descriptor, title: [UInt8]) -> [UInt8]? {
    guard var names = names(in: directory) else { return nil }
    names.sort { first, second in
      first.isDirectory != second.isDirectory
        ? first.isDirectory : first.name.lexicographicallyPrecedes(second.name)
    }
    var page: [UInt8] = []
    let heading = escaped(title)
    page += "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>".utf8
    page +=
      heading + Array("</title></head>\n<body><h1>".utf8) + heading + Array("</h1>\n<ul>\n".utf8)
    if title != [ASCII.slash] { page += "<li><a href=\"../\">../</a></li>\n".utf8 }
    for entry in names {
      let slash: [UInt8] = entry.isDirectory ? [ASCII.slash] : []
      // The ./ keeps a name with a colon from being a scheme.
      page += Array("<li><a href=\"./".utf8) + encoded(entry.name) + slash + Array("\">".utf8)
      page += escaped(entry.name) + slash + Array("</a></li>\n".utf8)
    }
    page += "</ul></body></html>\n".utf8
    return page
  }

  private struct Entry {
    var name: [UInt8]
    var isDirectory: Bool
  }

  private static func names(in directory: borrowing Descriptor) -> [Entry]? {
    // A copy with an offset of its own, which closedir closes.
    let number = unsafe weir_openat(directory.number, ".", O_RDONLY | O_DIRECTORY)
    guard number >= 0 else { return nil }
    guard let stream = unsafe fdopendir(number) else {
      _ = close(number)
      return nil
    }
    defer { unsafe closedir(stream) }
    var entries: [Entry] = []
    while entries.count < limit, let entry = unsafe readdir(stream) {
      // Safe: the entry is good until the next readdir, its name ends with a zero.
      guard let text = unsafe weir_entry_name(entry) else { continue }
      let name = unsafe Array(UnsafeRawBufferPointer(start: text, count: strlen(text)))
      guard name.first != 0x2E else { continue }
      var status = stat()
      guard unsafe fstatat(number, text, &status, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
      switch status.st_mode & mode_t(S_IFMT) {
      case mode_t(S_IFDIR): entries.append(Entry(name: name, isDirectory: true))
      case mode_t(S_IFREG): entries.append(Entry(name: name, isDirectory: false))
      default: continue
      }
    }
    return entries
  }

  /// As text in HTML.
  private static func escaped(_ name: [UInt8]) -> [UInt8] {
    var text: [UInt8] = []
    for byte in name {
      switch byte {
      case 0x26: text += "&amp;".utf8
      case 0x3C: text += "&lt;".utf8
      case 0x3E: text += "&gt;".utf8
      case 0x22: text += "&quot;".utf8
      case 0x27: text += "&#39;".utf8
      default: text.append(byte)
      }
    }
    return text
  }

  /// As a path segment (RFC 3986 §3.3).
  private static func encoded(_ name: [UInt8]) -> [UInt8] {
    let digits = Array("0123456789ABCDEF".utf8)
    var text: [UInt8] = []
    for byte in name {
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: text.append(byte)
      default: text += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return text
  }
}
