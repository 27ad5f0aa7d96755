import ArgumentParser
import Configuration

/// `weir settings`.
struct SettingsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "settings",
    abstract: "Explain every setting that a configuration may have.",
    discussion:
      "Block by block, with defaults, ranges and units. The same as docs/configuration.md.")

  @Flag(help: "Print a JSON array with an object for each setting.")
  var json = false

  func run() { print(json ? SettingsReference.json() : SettingsReference.text(), terminator: "") }
}
