// Data that stands beside the repository, and what else tests share.

import CLinux

enum SharedData {
  /// Beside the repository, or where WEIR_SHARED_DATA says.
  static let directory: String = {
    if let path = unsafe getenv("WEIR_SHARED_DATA") { return unsafe String(cString: path) }
    return repository + "/../shared/data"
  }()

  /// The repository.
  static let repository: String = {
    let parts = #filePath.split(separator: "/").dropLast()
    return "/" + parts.joined(separator: "/") + "/../.."
  }()

  static let maxMind = directory + "/mmdb"
  static var hasMaxMind: Bool { !names(in: maxMind).isEmpty }

  /// The names of the files in a directory, sorted.
  static func names(in directory: String) -> [String] {
    guard let handle = unsafe opendir(directory) else { return [] }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name.hasSuffix(".mmdb") { names.append(name) }
    }
    return names.sorted()
  }

  /// A file's text; empty if it cannot be read.
  static func text(_ path: String) -> String {
    let file = unsafe weir_open(path, O_RDONLY, 0)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe chunk.withUnsafeMutableBytes {
        unsafe read(file, $0.baseAddress, $0.count)
      }
      if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes.append(contentsOf: chunk[..<count])
    }
  }

  /// Replaces a file.
  static func write(_ text: String, to path: String) {
    let file = unsafe weir_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard file >= 0 else { return }
    defer { close(file) }
    let bytes = Array(text.utf8)
    var written = 0
    while written < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { buffer in
        unsafe CLinux.write(
          file, buffer.baseAddress?.advanced(by: written), bytes.count - written)
      }
      if count <= 0 { return }
      written += count
    }
  }

  /// Whether generated tables are rewritten instead of compared.
  static let isUpdating = unsafe getenv("WEIR_UPDATE_GOLDEN") != nil
}

/// A generator with a seed (SplitMix64), so that a failure can be had again.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
