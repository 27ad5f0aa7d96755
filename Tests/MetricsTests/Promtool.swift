import FoundationEssentials
import Glibc

/// Prometheus' own checker, where it is installed.
enum Promtool {
  /// Where it is.
  static var path: String? {
    let environment = ProcessInfo.processInfo.environment
    let directories = (environment["PATH"] ?? "").split(separator: ":")
    let candidates = [environment["WEIR_PROMTOOL"] ?? ""] + directories.map { "\($0)/promtool" }
    return candidates.first { unsafe !$0.isEmpty && access($0, X_OK) == 0 }
  }

  struct CannotRun: Error {}

  /// Runs `promtool check metrics`; 0 if it finds nothing, neither errors nor lints.
  static func check(_ exposition: [UInt8]) throws -> Int32 {
    guard let path, let pipe = unsafe popen("'\(path)' check metrics", "w") else {
      throw CannotRun()
    }
    _ = unsafe fwrite(exposition, 1, exposition.count, pipe)
    return unsafe pclose(pipe)
  }
}
