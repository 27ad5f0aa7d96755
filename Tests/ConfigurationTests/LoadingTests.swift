import Configuration
import Testing

@Suite("Loading a file")
struct LoadingTests {
  @Test func `relative paths start from the directory of the file`() {
    Places.withTokens { directory in
      let text = """
        listen :8080; store cache; access_log ./logs/access.json;
        admin 127.0.0.1:9090 { token_file good.token; }
        origin app 127.0.0.1:9000; site * { origin app; }
        """
      Places.write(text, to: directory + "/edge.conf")
      let loaded = ConfigurationFile.load(path: directory + "/edge.conf")
      #expect(Diagnostic.text(loaded.diagnostics) == "")
      #expect(loaded.configuration?.store?.path == directory + "/cache")
      #expect(loaded.configuration?.accessLog.target == .file(directory + "/logs/access.json"))
      #expect(loaded.configuration?.admin?.token == "0123456789abcdef0123")
    }
  }

  @Test func `a file that is not there is an error without a line`() {
    let loaded = ConfigurationFile.load(path: "/nonexistent/edge.conf")
    #expect(loaded.configuration == nil)
    #expect(
      Diagnostic.text(loaded.diagnostics)
        == "/nonexistent/edge.conf: error: the configuration does not exist\n")
  }

  @Test func `a directory is not a configuration`() {
    let loaded = ConfigurationFile.load(path: "/tmp")
    #expect(loaded.diagnostics.map(\.message) == ["the configuration is a directory"])
  }

  @Test func `diagnostics are shown as JSON`() {
    let loaded = ConfigurationFile.parse(
      "listne :80;\nworkers 1; workers \"2\";\nlisten :80;", name: "a\"b", directory: "/")
    #expect(
      Diagnostic.json(loaded.diagnostics) == #"""
        [
          {"severity": "error", "file": "a\"b", "line": 1, "column": 1, "length": 6, "message": "unknown setting \"listne\" in the top level", "suggestion": "listen"},
          {"severity": "error", "file": "a\"b", "line": 2, "column": 12, "length": 7, "message": "\"workers\" is given twice", "related": {"file": "a\"b", "line": 2, "column": 1, "message": "the first is here"}}
        ]

        """#)
    #expect(Diagnostic.json([]) == "[]\n")
  }

  @Test func `of a long line only the part around the error is shown`() {
    let padding = String(repeating: "listen 127.0.0.1:0; ", count: 1_000)
    let loaded = ConfigurationFile.parse(
      padding + "wokers 1; " + padding, name: "edge.conf", directory: "/")
    let shown = loaded.diagnostics.first?.excerpt
    #expect(loaded.diagnostics.first?.column == 20_001)
    #expect((shown?.text.count ?? 0) < 220)
    #expect(
      shown?.text.unicodeScalars.dropFirst(shown?.offset ?? 0).starts(with: "wokers".unicodeScalars)
        == true)
  }

  @Test func `control characters of a file do not reach the terminal`() {
    let loaded = ConfigurationFile.parse(
      "listen \"\u{1B}[31m\"; \u{7}\u{202E}", name: "edge.conf", directory: "/")
    let text = Diagnostic.text(loaded.diagnostics)
    let safe = text.unicodeScalars.allSatisfy {
      $0 == "\n" || ($0.value >= 0x20 && $0 != "\u{202E}")
    }
    #expect(safe && !loaded.diagnostics.isEmpty)
  }
}
