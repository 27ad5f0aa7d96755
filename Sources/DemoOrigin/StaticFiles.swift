internal import CLinux
internal import EventLoop

/// A file that is open to be served.
final class OpenFile {
  private let descriptor: Descriptor
  let size: Int
  /// Seconds since the epoch.
  let modified: Int
  let entityTag: String
  let type: String

  fileprivate init?(path: String) {
    let number = unsafe path.withCString { unsafe weir_open($0, O_RDONLY | O_NOFOLLOW, 0) }
    guard number >= 0 else { return nil }
    descriptor = Descriptor(owning: number)
    var status = stat()
    guard unsafe fstat(number, &status) == 0, status.st_mode & mode_t(S_IFMT) == mode_t(S_IFREG)
    else { return nil }
    size = Int(status.st_size)
    modified = status.st_mtim.tv_sec
    let stamp = status.st_mtim.tv_sec &* 1_000_000_000 &+ status.st_mtim.tv_nsec
    entityTag = "\"\(String(stamp, radix: 16))-\(String(size, radix: 16))\""
    type =
      Self.types[path.split(separator: ".").last.map(String.init) ?? ""]
      ?? "application/octet-stream"
  }

  /// Reads at most `count` bytes from `offset`; nil if the file has become shorter.
  func read(at offset: Int, count: Int) -> [UInt8]? {
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { free, read in
      read = max(0, unsafe pread(descriptor.number, free.baseAddress, count, off_t(offset)))
    }
    return bytes.isEmpty ? nil : bytes
  }

  private static let types = [
    "html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8", "css": "text/css",
    "js": "text/javascript", "mjs": "text/javascript", "json": "application/json",
    "txt": "text/plain; charset=utf-8", "md": "text/markdown; charset=utf-8", "xml": "text/xml",
    "svg": "image/svg+xml", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg",
    "gif": "image/gif", "webp": "image/webp", "avif": "image/avif", "ico": "image/x-icon",
    "pdf": "application/pdf", "wasm": "application/wasm", "woff2": "font/woff2",
    "gz": "application/gzip",
    "mp4": "video/mp4", "webm": "video/webm", "mp3": "audio/mpeg",
  ]
}

/// The files of a directory and those below, and nothing outside of it.
struct StaticFiles: Sendable {
  private let root: String

  /// The files of a directory; nil if there is no such directory.
  init?(directory: String) {
    guard let root = Self.realPath(directory) else { return nil }
    var status = stat()
    guard unsafe stat(root, &status) == 0, status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR) else {
      return nil
    }
    self.root = root == "/" ? "" : root
  }

  /// The file that a request's path names; nil if there is none, or it lies outside. A path that ends
  /// with a slash names the `index.html` there.
  func open(path: String) -> OpenFile? {
    guard path.hasPrefix("/"), let decoded = percentDecoded(path[...]), !decoded.contains(0) else {
      return nil
    }
    var name = String(decoding: decoded, as: UTF8.self)
    let segments = name.split(separator: "/")
    guard !segments.contains("."), !segments.contains("..") else { return nil }
    if name.hasSuffix("/") { name += "index.html" }
    // The real path has no links and no dots left, so its beginning says where the file lies.
    guard let real = Self.realPath(root + name), real.hasPrefix(root + "/") else { return nil }
    return OpenFile(path: real)
  }

  private static func realPath(_ path: String) -> String? {
    guard let found = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(found) }
    return unsafe String(cString: found)
  }
}
