import Configuration
import Testing

// A golden file is a configuration, a line of dashes, and what comes of it: the model, or the
// diagnostics, or warnings and the model. WEIR_UPDATE_GOLDEN=1 rewrites what stands below the dashes.

private let separator = "\n----------------\n"

@Suite("Golden files")
struct GoldenTests {
  @Test(arguments: Places.names(in: Places.golden, ending: ".conf"))
  func `a configuration gives what its golden file says`(_ name: String) {
    let path = Places.golden + "/" + name
    let text = String(decoding: Places.read(path), as: UTF8.self)
    let parts = split(text)
    let result = Places.withTokens { directory in
      show(
        ConfigurationFile.parse(parts.source, name: "edge.conf", directory: directory),
        directory: directory)
    }
    if Places.isUpdating {
      Places.write(parts.source + separator + result, to: path)
    } else {
      #expect(result == parts.expected, "\(name)")
    }
  }

  @Test func `there are golden files, good and bad`() {
    let names = Places.names(in: Places.golden, ending: ".conf")
    #expect(names.count >= 40)
    #expect(names.contains { $0.hasPrefix("good-") })
    #expect(names.contains { $0.hasPrefix("bad-") })
  }

  private func split(_ text: String) -> (source: String, expected: String) {
    guard let dashes = text.range(ofLine: separator) else { return (text, "") }
    return (String(text[..<dashes.lowerBound]), String(text[dashes.upperBound...]))
  }

  private func show(_ loaded: LoadedConfiguration, directory: String) -> String {
    var text = Diagnostic.text(loaded.diagnostics)
    if let configuration = loaded.configuration { text += dump(configuration) }
    return text.split(separator: directory, omittingEmptySubsequences: false)
      .joined(separator: "/etc/weir")
  }
}

extension String {
  /// Where the last line of dashes stands.
  fileprivate func range(ofLine line: String) -> Range<Index>? {
    let (text, wanted) = (Array(utf8), Array(line.utf8))
    guard text.count >= wanted.count else { return nil }
    for start in stride(from: text.count - wanted.count, through: 0, by: -1)
    where text[start..<(start + wanted.count)].elementsEqual(wanted) {
      return utf8.index(
        startIndex, offsetBy: start)..<utf8.index(
          startIndex, offsetBy: start + wanted.count)
    }
    return nil
  }
}
