/// The text of a configuration, as it was read once: what is in force is what this says, whatever happens
/// to the file meanwhile.
public struct ConfigurationText: Sendable, Equatable {
  /// What the file is called in diagnostics: its path, as it was given.
  public let name: String
  /// The absolute path that relative paths in it start from.
  public let directory: String
  /// The contents.
  public let bytes: [UInt8]
  /// The files that it includes, as they were read with it.
  public let parts: ConfigurationParts

  /// A text that somebody else has read; the files that it includes are read here.
  public init(name: String, directory: String, bytes: [UInt8]) {
    self.init(
      name: name, directory: directory, bytes: bytes,
      parts: Expander.expand(
        SourceText(name: name, bytes: bytes), directory: directory, .system
      ).expansion.parts)
  }

  init(name: String, directory: String, bytes: [UInt8], parts: ConfigurationParts) {
    self.name = name
    self.directory = directory
    self.bytes = bytes
    self.parts = parts
  }

  /// Reads the file at `path`; nil if it cannot be read, which `ConfigurationFile.load` explains.
  public static func read(path: String, directory: String) -> ConfigurationText? {
    let contents = FileContents.read(path, most: SourceText.largest, onlyRegular: false)
    guard case .success(let read) = contents else { return nil }
    return ConfigurationText(name: path, directory: directory, bytes: read.bytes)
  }

  /// What it says.
  public func parsed() -> LoadedConfiguration {
    ConfigurationFile.parse(bytes, name: name, directory: directory, .captured(parts))
  }

  /// The text with three asterisks for each secret; files that it includes follow it, each behind a comment
  /// with its path.
  public var redacted: String {
    var text = Self.redacted(SourceText(name: name, bytes: bytes))
    for file in parts.files {
      if !text.hasSuffix("\n") { text += "\n" }
      text += "# --- \(file.path)\n" + Self.redacted(SourceText(name: file.path, bytes: file.bytes))
    }
    return text
  }

  private static func redacted(_ source: SourceText) -> String {
    var findings = Findings(source: source)
    let tree = Parser.parse(source: 0, &findings, isSettingName: Setting.isName)
    var ranges: [SourceRange] = []
    collectSecrets(tree.directives, into: &ranges)
    var text = source.bytes
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

/// The files that a configuration includes, as they were read.
public struct ConfigurationParts: Sendable, Equatable {
  /// What a pattern stood for.
  struct Found: Sendable, Equatable {
    var pattern: String
    var paths: [String]
  }

  /// A file.
  struct File: Sendable, Equatable {
    var path: String
    var bytes: [UInt8]
  }

  var found: [Found] = []
  var files: [File] = []

  /// The paths of the files, in the order in which they were met first.
  public var paths: [String] { files.map(\.path) }
}

// As one run of bytes, for another process. A text without parts is its bytes; one with parts begins with a
// NUL, which no text has. Then come lists: how many there are, and each as its length and its bytes.
extension ConfigurationText {
  /// The text with its parts.
  public var archive: [UInt8] {
    if parts == ConfigurationParts() { return bytes }
    var archive: [UInt8] = [0]
    Self.put([bytes], into: &archive)
    Self.put(
      parts.found.flatMap { [Array($0.pattern.utf8), Array("\($0.paths.count)".utf8)] },
      into: &archive)
    Self.put(parts.found.flatMap(\.paths).map { Array($0.utf8) }, into: &archive)
    Self.put(parts.files.flatMap { [Array($0.path.utf8), $0.bytes] }, into: &archive)
    return archive
  }

  /// A text that was put into an archive. Of bytes that are none it is the text, without parts.
  public init(name: String, directory: String, archive: [UInt8]) {
    var rest = archive[...].dropFirst()
    guard archive.first == 0, let text = Self.take(from: &rest), text.count == 1,
      let patterns = Self.take(from: &rest), let paths = Self.take(from: &rest),
      let files = Self.take(from: &rest), patterns.count % 2 == 0, files.count % 2 == 0
    else {
      self.init(name: name, directory: directory, bytes: archive, parts: ConfigurationParts())
      return
    }
    var parts = ConfigurationParts()
    var left = paths.map { String(decoding: $0, as: UTF8.self) }[...]
    for index in stride(from: 0, to: patterns.count, by: 2) {
      let count = Int(String(decoding: patterns[index + 1], as: UTF8.self)) ?? 0
      parts.found.append(
        .init(
          pattern: String(decoding: patterns[index], as: UTF8.self),
          paths: Array(left.prefix(max(count, 0)))))
      left = left.dropFirst(max(count, 0))
    }
    for index in stride(from: 0, to: files.count, by: 2) {
      parts.files.append(
        .init(path: String(decoding: files[index], as: UTF8.self), bytes: Array(files[index + 1])))
    }
    self.init(name: name, directory: directory, bytes: Array(text[0]), parts: parts)
  }

  private static func put(_ list: [[UInt8]], into archive: inout [UInt8]) {
    put(list.count, into: &archive)
    for item in list {
      put(item.count, into: &archive)
      archive += item
    }
  }

  private static func put(_ number: Int, into archive: inout [UInt8]) {
    for shift in stride(from: 0, to: 32, by: 8) {
      archive.append(UInt8(truncatingIfNeeded: number >> shift))
    }
  }

  private static func take(from rest: inout ArraySlice<UInt8>) -> [ArraySlice<UInt8>]? {
    guard let count = number(from: &rest), count <= rest.count else { return nil }
    var list: [ArraySlice<UInt8>] = []
    for _ in 0..<count {
      guard let length = number(from: &rest), length <= rest.count else { return nil }
      list.append(rest.prefix(length))
      rest = rest.dropFirst(length)
    }
    return list
  }

  private static func number(from rest: inout ArraySlice<UInt8>) -> Int? {
    guard rest.count >= 4 else { return nil }
    var number = 0
    for (index, byte) in rest.prefix(4).enumerated() { number |= Int(byte) << (8 * index) }
    rest = rest.dropFirst(4)
    return number
  }
}
