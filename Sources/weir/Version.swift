import ArgumentParser
import Crashes

/// What this is.
enum Version {
  /// The package's version.
  static let number = "0.1.0"

  /// The version, what it was built with and for, and which build it is.
  static let text = "weir \(number) (swift \(compiler), \(machine), \(mode)\(build))"

  /// The beginning of the build id, which reports of crashes name.
  private static var build: String {
    BuildID.own.map { ", build \($0.prefix(12))" } ?? ""
  }

  private static var compiler: String {
    #if compiler(>=6.4)
      "6.4 or later"
    #elseif compiler(>=6.3)
      "6.3"
    #else
      "6.2"
    #endif
  }

  private static var machine: String {
    #if arch(x86_64)
      "x86_64-linux"
    #elseif arch(arm64)
      "aarch64-linux"
    #else
      "linux"
    #endif
  }

  private static var mode: String {
    #if DEBUG
      "debug"
    #else
      "release"
    #endif
  }
}

/// `weir version`.
struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "Say which version this is, and how it was built.")

  func run() { print(Version.text) }
}
