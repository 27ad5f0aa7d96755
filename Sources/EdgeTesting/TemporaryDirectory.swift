internal import CLinux
internal import FoundationEssentials

/// A directory of its own for a test, removed with all that is in it when this goes. In memory where that has
/// room: what others write to the disk then makes no test late.
package final class TemporaryDirectory: Sendable {
  /// Its path, without a slash at the end.
  package let path: String

  /// Makes one.
  package init() throws {
    var template = "\(Self.base)/weir-test-XXXXXX".utf8CString.map { $0 }
    guard unsafe mkdtemp(&template) != nil else {
      throw PeerFailure(.system, "making a temporary directory")
    }
    path = String(
      decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// A container often has 64 MiB there, which stores would fill.
  private static let base: String = {
    var status = statvfs()
    guard unsafe statvfs("/dev/shm", &status) == 0, unsafe access("/dev/shm", W_OK) == 0,
      UInt64(status.f_bavail) &* UInt64(status.f_frsize) > 1 << 30
    else { return "/tmp" }
    return "/dev/shm"
  }()

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of a file in it.
  package func file(_ name: String) -> String { "\(path)/\(name)" }

  /// Writes a file, with the directories above it, and returns its path.
  @discardableResult
  package func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    let file = file(name)
    if let slash = file.lastIndex(of: "/") {
      try FileManager.default.createDirectory(
        atPath: String(file[..<slash]), withIntermediateDirectories: true)
    }
    try Data(bytes).write(to: URL(filePath: file))
    return file
  }

  /// Writes a text file and returns its path.
  @discardableResult
  package func write(_ name: String, _ text: String) throws -> String {
    try write(name, Array(text.utf8))
  }

  /// Writes a text file that only its user can read and returns its path.
  @discardableResult
  package func writeSecret(_ name: String, _ text: String) throws -> String {
    let file = try write(name, text)
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file)
    return file
  }

  /// Copies a file into it, in place of what is there under that name.
  package func copy(_ source: String, to name: String) throws {
    try write(name, Array(Data(contentsOf: URL(filePath: source))))
  }

  /// Removes a file.
  package func remove(_ name: String) throws {
    try FileManager.default.removeItem(atPath: file(name))
  }

  /// Makes a symbolic link in it.
  package func link(_ name: String, to target: String) throws {
    try FileManager.default.createSymbolicLink(atPath: file(name), withDestinationPath: target)
  }
}
