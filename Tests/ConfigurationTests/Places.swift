// Where the tests' files are, and a directory for those that have to be made.

internal import CLinux

/// Files of the tests and of the repository.
enum Places {
  private static let tests: String = {
    let file = #filePath
    return String(file[..<(file.lastIndex(of: "/") ?? file.endIndex)])
  }()

  /// The golden files.
  static let golden = tests + "/Golden"
  /// The operator's page.
  static let document = tests + "/../../docs/configuration.md"

  /// All pages.
  static let pages: [String] =
    [tests + "/../../README.md"]
    + names(in: tests + "/../../docs", ending: ".md").map { tests + "/../../docs/" + $0 }

  /// Whether golden files and generated tables are rewritten instead of compared.
  static let isUpdating = unsafe getenv("WEIR_UPDATE_GOLDEN") != nil

  /// The names of the files in a directory that end so, sorted.
  static func names(in directory: String, ending: String) -> [String] {
    guard let handle = unsafe opendir(directory) else { return [] }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name.hasSuffix(ending) { names.append(name) }
    }
    return names.sorted()
  }

  /// A file's bytes; empty if it cannot be read.
  static func read(_ path: String) -> [UInt8] {
    let descriptor = unsafe weir_open(path, O_RDONLY, 0)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    var result: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe chunk.withUnsafeMutableBytes { buffer in
        unsafe CLinux.read(descriptor, buffer.baseAddress, buffer.count)
      }
      if count <= 0 { return result }
      result.append(contentsOf: chunk[..<count])
    }
  }

  /// Replaces a file.
  static func write(_ text: String, to path: String, mode: mode_t = 0o644) {
    let descriptor = unsafe weir_open(path, O_WRONLY | O_CREAT | O_TRUNC, mode)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    fchmod(descriptor, mode)
    let bytes = Array(text.utf8)
    var written = 0
    while written < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { buffer in
        unsafe CLinux.write(
          descriptor, buffer.baseAddress?.advanced(by: written), bytes.count - written)
      }
      if count <= 0 { return }
      written += count
    }
  }

  /// A directory with token files in several states, which is gone when `body` ends.
  static func withTokens<Result>(_ body: (String) throws -> Result) rethrows -> Result {
    var template = Array("/tmp/weir-configuration-XXXXXX".utf8CString)
    let directory = unsafe template.withUnsafeMutableBufferPointer { buffer in
      unsafe buffer.baseAddress.flatMap { unsafe mkdtemp($0) }.map { unsafe String(cString: $0) }
    }
    guard let directory else { return try body("/nonexistent") }
    write("0123456789abcdef0123\n", to: directory + "/good.token", mode: 0o600)
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    write(
      "{\"keys\": [{\"kty\": \"oct\", \"kid\": \"a\", \"k\": \"\(secret)\"}]}\n",
      to: directory + "/keys.json", mode: 0o600)
    write(
      "shop:2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683:plan=gold\n",
      to: directory + "/api.keys", mode: 0o600)
    write(
      "anna:$2b$05$vYo2ml36nUoKR2e5NfIBRurrb77IEC6MvhDP1nQAiVyPixnNeY6vO\n",
      to: directory + "/users",
      mode: 0o600)
    write(
      "2026a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n", to: directory + "/url.keys",
      mode: 0o600)
    write("192.0.2.1 # one\n10.0.0.0/8\n", to: directory + "/networks", mode: 0o600)
    write("0123456789abcdef0123\n", to: directory + "/admin.token", mode: 0o600)
    write("0123456789abcdef0123\n", to: directory + "/open.token", mode: 0o644)
    let credentials =
      "[media]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = abc/DEF+0123\n"
    write(credentials, to: directory + "/storage.credentials", mode: 0o600)
    write(credentials, to: directory + "/open.credentials", mode: 0o644)
    write("abc/DEF+0123\n", to: directory + "/storage.secret", mode: 0o600)
    write("  \n", to: directory + "/empty.token", mode: 0o600)
    write("two words of a token\n", to: directory + "/words.token", mode: 0o600)
    defer {
      for name in names(in: directory, ending: "") where name != "." && name != ".." {
        unsafe unlink(directory + "/" + name)
      }
      unsafe rmdir(directory)
    }
    return try body(directory)
  }
}
