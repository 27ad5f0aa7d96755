import ArgumentParser
import Configuration
import Supervision

/// `weir check`.
struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Say everything that is wrong with a configuration.",
    discussion: """
      All errors and warnings at once, each with its file, line and column. Nothing is started, and \
      nothing is changed.

      Exit status: 0 if the configuration can be used, 78 if it has errors.
      """)

  @OptionGroup var source: ConfigurationArgument

  @Flag(
    help: "Print a JSON array with an object for each error and warning, empty if there is none.")
  var json = false

  func run() throws {
    let loaded = ConfigurationFile.load(path: source.file)
    if json {
      print(Diagnostic.json(loaded.diagnostics), terminator: "")
    } else {
      report(loaded)
    }
    if loaded.configuration == nil { throw ExitCode(ExitStatus.configuration) }
  }

  private func report(_ loaded: LoadedConfiguration) {
    StandardError.write(Diagnostic.text(loaded.diagnostics))
    let summary = "\(source.file): \(loaded.summary)"
    if loaded.configuration == nil { StandardError.write(summary + "\n") } else { print(summary) }
  }
}

extension LoadedConfiguration {
  /// In a few words, how it went.
  fileprivate var summary: String {
    let errors = diagnostics.count { $0.severity == .error }
    let counts = [(errors, "error"), (diagnostics.count - errors, "warning")]
      .filter { $0.0 > 0 }.map { $0.0 == 1 ? "1 \($0.1)" : "\($0.0) \($0.1)s" }
    return ((configuration == nil ? [] : ["ok"]) + counts).joined(separator: ", ")
  }
}
