/// The text of a configuration, as it was read once: what is in force is what this says, whatever happens
/// to the file meanwhile.
public struct ConfigurationText: Sendable, Equatable {
  /// What the file is called in diagnostics: its path, as it was given.
  public let name: String
  /// The absolute path that relative paths in it start from.
  public let directory: String
  /// The contents.
  public let bytes: [UInt8]

  /// A text that somebody else has read.
  public init(name: String, directory: String, bytes: [UInt8]) {
    self.name = name
    self.directory = directory
    self.bytes = bytes
  }

  /// Reads the file at `path`; nil if it cannot be read, which `ConfigurationFile.load` explains.
  public static func read(path: String, directory: String) -> ConfigurationText? {
    let contents = FileContents.read(path, most: SourceText.largest, onlyRegular: false)
    guard case .success(let read) = contents else { return nil }
    return ConfigurationText(name: path, directory: directory, bytes: read.bytes)
  }

  /// What it says.
  public func parsed() -> LoadedConfiguration {
    ConfigurationFile.parse(bytes, name: name, directory: directory)
  }

  /// The text with three asterisks for each secret.
  public var redacted: String {
    var findings = Findings(source: SourceText(name: name, bytes: bytes))
    let tree = Parser.parse(source: 0, &findings, isSettingName: Setting.isName)
    var ranges: [SourceRange] = []
    Self.collectSecrets(tree.directives, into: &ranges)
    var text = findings.sources[0].bytes
    for range in ranges.sorted(by: { $0.lower > $1.lower }) {
      text.replaceSubrange(range.lower..<range.upper, with: "***".utf8)
    }
    return String(decoding: text, as: UTF8.self)
  }

  private static func collectSecrets(_ directives: [Directive], into ranges: inout [SourceRange]) {
    for directive in directives {
      if Setting.isSecret(directive.name.text) { ranges += directive.arguments.map(\.range) }
      collectSecrets(directive.block ?? [], into: &ranges)
    }
  }
}
