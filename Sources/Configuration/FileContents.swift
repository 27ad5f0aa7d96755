// The only files that are read here: configurations and tokens.

internal import CLinux

/// What was read from a file.
struct FileContents {
  /// All of it.
  var bytes: [UInt8]
  /// Whether users who neither own it nor are of its group can read it.
  var isReadableByOthers: Bool
}

/// Why a file cannot be read.
enum FileProblem: Error, Equatable {
  /// There is none.
  case missing
  /// The process may not read it.
  case forbidden
  /// It is a directory.
  case directory
  /// It is neither a file nor what can be read like one.
  case notRegular
  /// It has more bytes than are allowed.
  case tooLarge(most: Int)
  /// Anything else, by its errno.
  case failed(Int32)

  /// Goes on after the file's name.
  var described: String {
    switch self {
    case .missing: "does not exist"
    case .forbidden: "cannot be read: permission denied"
    case .directory: "is a directory"
    case .notRegular: "is not a regular file"
    case .tooLarge(let most): "is larger than \(Units.text(size: UInt64(most)))"
    case .failed(let code): "cannot be read (errno \(code))"
    }
  }

  /// What an errno means.
  init(errno code: Int32) {
    switch code {
    case ENOENT, ENOTDIR: self = .missing
    case EACCES, EPERM: self = .forbidden
    case EISDIR: self = .directory
    default: self = .failed(code)
    }
  }
}

extension FileContents {
  /// Reads a file of at most so many bytes; `onlyRegular` refuses pipes and devices.
  static func read(
    _ path: String, most: Int, onlyRegular: Bool
  ) -> Result<FileContents, FileProblem> {
    // A pipe that nobody writes to must not hold up a start: it is opened without waiting.
    let descriptor = unsafe weir_open(path, O_RDONLY | (onlyRegular ? O_NONBLOCK : 0), 0)
    if descriptor < 0 { return .failure(FileProblem(errno: weir_errno())) }
    defer { close(descriptor) }
    var status = stat()
    if unsafe fstat(descriptor, &status) != 0 { return .failure(FileProblem(errno: weir_errno())) }
    let kind = status.st_mode & mode_t(S_IFMT)
    if kind == mode_t(S_IFDIR) { return .failure(.directory) }
    if onlyRegular && kind != mode_t(S_IFREG) { return .failure(.notRegular) }
    return bytes(of: descriptor, most: most).map { bytes in
      FileContents(bytes: bytes, isReadableByOthers: status.st_mode & 0o004 != 0)
    }
  }

  private static func bytes(of descriptor: Int32, most: Int) -> Result<[UInt8], FileProblem> {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      // Safe: the pointer is the array's own and used within the call only.
      let count = unsafe chunk.withUnsafeMutableBytes { buffer in
        unsafe CLinux.read(descriptor, buffer.baseAddress, buffer.count)
      }
      if count < 0 {
        if weir_errno() == EINTR { continue }
        return .failure(FileProblem(errno: weir_errno()))
      }
      if count == 0 { return .success(bytes) }
      if bytes.count + count > most { return .failure(.tooLarge(most: most)) }
      bytes.append(contentsOf: chunk[..<count])
    }
  }

  /// The directory that relative paths start from; nil if it has none any more.
  static func currentDirectory() -> String? {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    // Safe: getcwd writes at most the count that it is given.
    let isKnown = unsafe buffer.withUnsafeMutableBufferPointer { buffer in
      unsafe getcwd(buffer.baseAddress, buffer.count) != nil
    }
    guard isKnown else { return nil }
    let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return String(decoding: bytes, as: UTF8.self)
  }
}

// What stands for files and values by name.
extension FileContents {
  /// The value of a variable of the environment; nil if it is not set, or not text.
  static func variable(_ name: String) -> String? {
    // Safe: nothing here changes the environment while a configuration is read.
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(validatingCString: value)
  }

  /// The most paths that a pattern may stand for.
  static let mostMatches = 1_000

  /// The paths that an absolute pattern stands for, sorted by bytes; `*` and `?` stand for characters of
  /// one name, and not for its first dot. Without those it is one path, which must be there.
  static func matching(_ pattern: String) -> Result<[String], FileProblem> {
    let isPattern: (Substring) -> Bool = { $0.contains("*") || $0.contains("?") }
    guard isPattern(pattern[...]) else {
      var status = stat()
      if unsafe stat(pattern, &status) != 0 { return .failure(FileProblem(errno: weir_errno())) }
      return .success([pattern])
    }
    var paths = [""]
    for part in pattern.split(separator: "/") {
      if !isPattern(part) {
        paths = paths.map { "\($0)/\(part)" }
        continue
      }
      let wanted = Array(part.utf8)
      paths = paths.flatMap { directory in
        names(in: directory.isEmpty ? "/" : directory).filter { name in
          (name.first != 0x2E || wanted.first == 0x2E) && matches(name[...], wanted[...])
        }.map { "\(directory)/\(String(decoding: $0, as: UTF8.self))" }
      }
      if paths.count > mostMatches { return .failure(.failed(E2BIG)) }
    }
    let found = paths.filter { path in
      var status = stat()
      return unsafe stat(path, &status) == 0 && status.st_mode & mode_t(S_IFMT) != mode_t(S_IFDIR)
    }
    return .success(found.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
  }

  private static func names(in directory: String) -> [[UInt8]] {
    guard let stream = unsafe opendir(directory) else { return [] }
    defer { unsafe closedir(stream) }
    var names: [[UInt8]] = []
    while names.count <= 100_000, let entry = unsafe readdir(stream) {
      // Safe: the entry is good until the next readdir, its name ends with a zero.
      guard let text = unsafe weir_entry_name(entry) else { continue }
      names.append(unsafe Array(UnsafeRawBufferPointer(start: text, count: strlen(text))))
    }
    return names
  }

  /// Whether a name is what a pattern says, in time linear in both for each `*`.
  private static func matches(_ name: ArraySlice<UInt8>, _ pattern: ArraySlice<UInt8>) -> Bool {
    var (name, pattern) = (name, pattern)
    var star: (pattern: ArraySlice<UInt8>, name: ArraySlice<UInt8>)?
    while true {
      if let next = pattern.first, next == UInt8(ascii: "*") {
        pattern = pattern.dropFirst()
        star = (pattern, name)
      } else if let byte = name.first, let next = pattern.first,
        next == byte || next == UInt8(ascii: "?")
      {
        name = name.dropFirst()
        pattern = pattern.dropFirst()
      } else if name.isEmpty && pattern.isEmpty {
        return true
      } else if let (after, from) = star, !from.isEmpty {
        star = (after, from.dropFirst())
        name = from.dropFirst()
        pattern = after
      } else {
        return false
      }
    }
  }
}
