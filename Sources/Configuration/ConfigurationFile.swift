/// A configuration as it was read, and what is to be said about it.
public struct LoadedConfiguration: Sendable {
  /// What the file says; nil if there is any error.
  public var configuration: NodeConfiguration?
  /// All errors and warnings, in the order of the text.
  public var diagnostics: [Diagnostic]
}

/// Reads `edge.conf`.
///
/// Everything is checked, and everything that is wrong is reported at once; but what is wrong with includes,
/// variables and snippets comes first, alone. Besides the file itself, files that it names are read. It is
/// linear in the file's size; a file has at most 16 MiB.
public enum ConfigurationFile {
  /// Reads the file at `path`; relative paths in it start from the directory that it stands in.
  public static func load(path: String) -> LoadedConfiguration {
    switch FileContents.read(path, most: SourceText.largest, onlyRegular: false) {
    case .success(let contents):
      return parse(contents.bytes, name: path, directory: directory(of: path))
    case .failure(let problem):
      return unreadable(path, "the configuration \(problem.described)")
    }
  }

  /// Reads text.
  /// - Parameters:
  ///   - source: the contents of the file.
  ///   - name: what the file is called in diagnostics.
  ///   - directory: the absolute path that relative paths start from.
  public static func parse(
    _ source: String, name: String, directory: String
  ) -> LoadedConfiguration {
    parse(Array(source.utf8), name: name, directory: directory)
  }

  /// Reads bytes, which should be UTF-8; see `parse(_:name:directory:)` of a string.
  public static func parse(
    _ source: [UInt8], name: String, directory: String
  ) -> LoadedConfiguration {
    parse(source, name: name, directory: directory, .system)
  }

  /// The same with files and variables from somewhere.
  static func parse(
    _ source: [UInt8], name: String, directory: String, _ surroundings: Surroundings
  ) -> LoadedConfiguration {
    if source.count > SourceText.largest {
      let problem = FileProblem.tooLarge(most: SourceText.largest)
      return unreadable(name, "the configuration \(problem.described)")
    }
    var findings = expanded(SourceText(name: name, bytes: source), directory, surroundings)
    guard findings.errorCount == 0 else {
      return LoadedConfiguration(diagnostics: findings.diagnostics())
    }
    let tree = Parser.parse(source: 0, &findings, isSettingName: Setting.isName)
    if tree.directives.isEmpty && findings.errorCount == 0 {
      findings.general(
        .error, "the configuration is empty", help: "it needs at least listen, an origin and a site"
      )
      return LoadedConfiguration(diagnostics: findings.diagnostics())
    }
    var reader = Reader(directory: directory, isComplete: tree.isComplete, findings: findings)
    reader.readFile(tree)
    return LoadedConfiguration(
      configuration: reader.findings.errorCount == 0 ? reader.draft.node : nil,
      diagnostics: reader.findings.diagnostics())
  }

  /// The `admin` block of a file that may be wrong otherwise; nil if it says nothing that can be used.
  public static func admin(path: String) -> AdminConfiguration? {
    let contents = FileContents.read(path, most: SourceText.largest, onlyRegular: false)
    guard case .success(let read) = contents else { return nil }
    let directory = directory(of: path)
    var findings = expanded(SourceText(name: path, bytes: read.bytes), directory, .system)
    guard findings.sources[0].firstUnreadable() == nil else { return nil }
    var tree = Parser.parse(source: 0, &findings, isSettingName: Setting.isName)
    tree.directives.removeAll { $0.name.text != "admin" }
    var reader = Reader(
      directory: directory, isComplete: false, findings: Findings(source: findings.sources[0]))
    reader.readFile(tree)
    return reader.draft.node.admin
  }

  /// The text that is to be parsed, as the first source of what has been found so far.
  private static func expanded(
    _ text: SourceText, _ directory: String, _ surroundings: Surroundings
  ) -> Findings {
    var findings = Findings(source: text)
    guard isText(&findings) else { return findings }
    var (expansion, wrong) = Expander.expand(text, directory: directory, surroundings)
    if expansion.isPlain { return findings }
    findings = Findings(source: SourceText(name: text.name, bytes: expansion.text))
    if wrong.errorCount > 0 { return wrong }
    expansion.text = []
    findings.expansion = expansion
    return findings
  }

  /// Whether the source can be read as text; if not, that is the only thing to say.
  private static func isText(_ findings: inout Findings) -> Bool {
    guard let bad = findings.sources[0].firstUnreadable() else { return true }
    let place = SourceRange(source: 0, lower: bad.offset, upper: bad.offset + 1)
    if bad.isNUL {
      findings.error("a NUL byte stands here", at: place, help: "is this a text file?")
    } else {
      findings.error("this is not UTF-8", at: place, help: "save the file as UTF-8")
    }
    return false
  }

  private static func unreadable(_ name: String, _ message: String) -> LoadedConfiguration {
    LoadedConfiguration(diagnostics: [
      Diagnostic(severity: .error, file: name, line: 0, column: 0, length: 0, message: message)
    ])
  }

  /// The absolute path of the directory that a file stands in.
  private static func directory(of path: String) -> String {
    let parent = path.lastIndex(of: "/").map { String(path[..<$0]) }
    if path.hasPrefix("/") { return parent.flatMap { $0.isEmpty ? nil : $0 } ?? "/" }
    let current = FileContents.currentDirectory() ?? "/"
    guard let parent, parent != "." else { return current }
    return current == "/" ? "/" + parent : current + "/" + parent
  }
}
