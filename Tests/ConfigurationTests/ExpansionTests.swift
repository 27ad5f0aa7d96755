internal import CLinux
import Configuration
import Testing

private let rest = "origin app 127.0.0.1:9000;\nsite * { origin app; }\n"

/// Loads files, the first of which is the configuration; what is said, with the directory as DIR.
private func load(
  _ files: [(String, String)], then use: (LoadedConfiguration, String) -> Void = { _, _ in }
) -> String {
  Places.withTokens { directory in
    for (name, text) in files {
      if let slash = name.firstIndex(of: "/") {
        unsafe mkdir("\(directory)/\(name[..<slash])", 0o755)
      }
      Places.write(text, to: "\(directory)/\(name)")
    }
    let loaded = ConfigurationFile.load(path: "\(directory)/\(files[0].0)")
    use(loaded, directory)
    return Diagnostic.text(loaded.diagnostics)
      .split(separator: directory, omittingEmptySubsequences: false).joined(separator: "DIR")
  }
}

@Suite("Includes, variables and snippets")
struct ExpansionTests {
  @Test func `files are included in the order of their names`() {
    let said = load([
      ("edge.conf", "listen :8080;\ninclude parts/*.conf;\ninclude none/*.conf;\n" + rest),
      ("parts/b.conf", "site b.example { origin app; }  # without a line's end"),
      ("parts/a.conf", "\u{FEFF}site a.example { origin app; }"), ("parts/.c.conf", "nonsense"),
      ("parts/d.txt", "nonsense"),
    ]) { loaded, _ in
      #expect(loaded.configuration?.sites.map(\.hosts) == [["a.example"], ["b.example"], ["*"]])
    }
    #expect(said == "")
  }

  @Test func `what is wrong in an included file is shown there`() {
    let said = load([
      ("edge.conf", "listen :8080;\ninclude \"parts/a.conf\"; wokers 1;\n" + rest),
      ("parts/a.conf", "\n\nsite a.example {\n  orign app;\n}\n"),
    ])
    #expect(
      said == """
        DIR/parts/a.conf:4:3: error: unknown setting "orign" in "site"
            4 |   orign app;
              |   ^^^^^ did you mean "origin"?
        DIR/edge.conf:2:25: error: unknown setting "wokers" in the top level
            2 | include "parts/a.conf"; wokers 1;
              |                         ^^^^^^ did you mean "workers"?

        """)
  }

  @Test func `rules in included files are shown there, and know their lines`() {
    let said = load([
      ("edge.conf", "listen :8080;\ninclude a.conf;\n" + rest),
      ("a.conf", "site a.example {\n  origin app;\n  when pth == \"/\" { respond 404; }\n}\n"),
    ])
    #expect(said.hasPrefix("DIR/a.conf:3:8: error: "), "\(said)")
  }

  @Test func `a missing file is an error, and so is one that includes itself`() {
    let said = load([
      ("edge.conf", "include missing.conf;\ninclude a.conf;\n" + rest),
      ("a.conf", "include edge.conf;\n"),
    ])
    #expect(
      said == """
        DIR/edge.conf:1:9: error: include: "missing.conf" does not exist
            1 | include missing.conf;
              |         ^^^^^^^^^^^^ the path starts from the configuration's directory
        DIR/a.conf:1:9: error: include: "DIR/edge.conf" is being read already
            1 | include edge.conf;
              |         ^^^^^^^^^ a file cannot include itself, nor one that includes it

        """)
  }

  @Test func `a file closes what it opens, and nothing else`() {
    let said = load([
      ("edge.conf", "listen :80;\ninclude a.conf b.conf;\n" + rest),
      ("a.conf", "site a.example {\n  origin app;\n"), ("b.conf", "}\n"),
    ])
    #expect(said.contains("a.conf:1:16: error: this block is not closed in this file"), "\(said)")
    #expect(said.contains("b.conf:1:1: error: \"}\" closes nothing in this file"), "\(said)")
  }

  @Test func `variables of the environment stand in words and in texts`() {
    unsafe setenv("WEIR_TEST_PORT", "8081", 1)
    unsafe setenv("WEIR_TEST_HOST", "a.example", 1)
    unsafe setenv("WEIR_TEST_TEXT", "a \"b\" ; ${path} {", 1)
    let said = load([
      (
        "edge.conf",
        """
        listen :${WEIR_TEST_PORT}; node_name "${WEIR_TEST_NONE:-pop}-1";
        origin app 127.0.0.1:9000; site ${WEIR_TEST_HOST} { origin app;
          when host == "x" { respond 200 "${WEIR_TEST_TEXT} ${path}"; }
          when path == ${WEIR_TEST_TEXT} { respond 404; }
          when path matches r"^${WEIR_TEST_NONE}$" { respond 404; } }
        """
      )
    ]) { loaded, _ in
      #expect(loaded.configuration?.listeners.first?.port == 8081)
      #expect(loaded.configuration?.nodeName == "pop-1")
      #expect(loaded.configuration?.sites.first?.hosts == ["a.example"])
    }
    #expect(said == "")
  }

  @Test func `a variable that is not set is an error, and no value is shown`() {
    unsafe setenv("WEIR_TEST_SPACE", "two words", 1)
    unsafe setenv("WEIR_TEST_WORD", "secret", 1)
    let said = load([
      ("edge.conf", "listen :${WEIR_TEST_NONE};\nnode_name ${WEIR_TEST_NONE:-};\n" + rest)
    ])
    #expect(
      said == """
        DIR/edge.conf:1:9: error: the environment has no variable WEIR_TEST_NONE
            1 | listen :${WEIR_TEST_NONE};
              |         ^^^^^^^^^^^^^^^^^ set it, or give a default: ${WEIR_TEST_NONE:-…}

        """)
    let joined = load([("edge.conf", "listen :${WEIR_TEST_SPACE};\nlisten ${port};\n" + rest)])
    #expect(joined.contains(":1:9: error: the value cannot be a part of a word"), "\(joined)")
    #expect(joined.contains(":2:8: error: \"${port}\" stands for nothing here"), "\(joined)")
    let wrong = load([("edge.conf", "listen :80; workers  ${WEIR_TEST_WORD}; oops;\n" + rest)])
    #expect(wrong.contains("workers  ${WEIR_TEST_WORD}; oops;\n      |"), "\(wrong)")
    #expect(wrong.contains(":1:22: error: ") && wrong.contains(":1:41: error: "), "\(wrong)")
  }

  @Test func `a snippet with parameters is put where it is used`() {
    let said = load([
      (
        "edge.conf",
        """
        listen :8080;
        origin app 127.0.0.1:9000;
        site a.example { use cdn(1h, app); use note("a;b"); }
        snippet cdn(ttl, to) { origin ${to}; route / { cache { ttl 200 ${ttl}; } } }
        snippet note(text) { when path == "/x" { respond 200 "${text} ${path}"; } }
        """
      )
    ]) { loaded, _ in
      #expect(loaded.configuration?.sites.first?.routes.first?.origin == "app")
      #expect(
        loaded.configuration?.sites.first?.routes.first?.caching.lifetimes.first?.lifetime
          == 3_600_000_000_000)
    }
    #expect(said == "")
  }

  @Test func `what is wrong in a snippet is shown there, with where it is used`() {
    let said = load([
      (
        "edge.conf",
        """
        listen :8080;
        \(rest)snippet cdn(ttl) {
          cache { ttl ${ttl}; tll 1h; }
        }
        site a.example { origin app; route / { use cdn(often); } }
        """
      )
    ])
    #expect(said.contains("edge.conf:5:15: error: ttl"), "\(said)")
    #expect(said.contains("edge.conf:5:23: error: unknown setting \"tll\""), "\(said)")
    #expect(said.contains("the snippet is used here: DIR/edge.conf:7:40"), "\(said)")
    #expect(said.contains("    5 |   cache { ttl ${ttl}; tll 1h; }\n"), "\(said)")
  }

  @Test(arguments: [
    ("use cnd(1h);", "there is no snippet \"cnd\""),
    ("use cdn;", "snippet \"cdn\" takes 1 arguments, not 0"),
    ("use cdn(1h, 2h);", "snippet \"cdn\" takes 1 arguments, not 2"),
    ("use cdn(1h", "what stands in parentheses does not end"),
    ("use cdn(1h)\nlisten :81;", "\";\" is missing at the end of \"use\""),
    ("snippet cdn { }", "there are two of snippet \"cdn\""),
    ("snippet x { listen :1;", "this block is not closed"),
    ("snippet a { use b; } snippet b { use a; } use a;", "snippet \"a\" is in use already"),
    ("include ;", "\"include\" needs an argument"),
  ])
  func `what cannot be put in is said`(_ line: String, _ message: String) {
    let said = load([
      ("edge.conf", "snippet cdn(ttl) { drain_timeout ${ttl}; }\n" + rest + line + "\n")
    ])
    #expect(said.contains("error: \(message)"), "\(said)")
  }

  @Test func `a text keeps the files that it was read with, through an archive, too`() throws {
    var kept: ConfigurationText?
    var changed: ConfigurationText?
    _ = load([
      ("edge.conf", "listen :8080;\ninclude parts/*.conf;\n" + rest),
      ("parts/a.conf", "admin 127.0.0.1:9090 { token \"0123456789abcdef\"; }\n"),
    ]) { _, directory in
      kept = ConfigurationText.read(path: directory + "/edge.conf", directory: directory)
      Places.write("node_name pop;", to: directory + "/parts/b.conf")
      changed = ConfigurationText.read(path: directory + "/edge.conf", directory: directory)
    }
    let text = try #require(kept)
    #expect(text != changed)
    #expect(text.parts.paths.map { $0.hasSuffix("/parts/a.conf") } == [true])
    #expect(text.parsed().configuration?.admin?.token == "0123456789abcdef")
    #expect(!text.redacted.contains("0123456789abcdef") && text.redacted.contains("# --- "))
    let archived = ConfigurationText(
      name: text.name, directory: text.directory, archive: text.archive)
    #expect(archived == text)
    for length in 0..<text.archive.count {
      let cut = ConfigurationText(
        name: "a", directory: "/", archive: Array(text.archive.prefix(length)))
      #expect(cut.parts.paths.count <= 1)
    }
  }

  @Test func `a secret may stand in a file that only its user can read`() {
    let text = "listen :8080; admin 127.0.0.1:9090 { token file:admin.secret; }\n" + rest
    let said = load([("edge.conf", text)]) { _, directory in
      Places.write("0123456789abcdef\n", to: directory + "/admin.secret", mode: 0o600)
      let loaded = ConfigurationFile.load(path: directory + "/edge.conf")
      #expect(loaded.configuration?.admin?.token == "0123456789abcdef")
      Places.write("0123456789abcdef\n", to: directory + "/admin.secret", mode: 0o644)
      let refused = ConfigurationFile.load(path: directory + "/edge.conf")
      #expect(
        refused.diagnostics.map(\.message) == [
          "token: \"admin.secret\" can be read by every user"
        ])
    }
    #expect(said.contains("error: token: \"admin.secret\" does not exist"), "\(said)")
  }

  @Test func `no damage of a configuration with all of it traps`() {
    let good = Array(
      """
      snippet a(x, y) { when path == "${x}${y}" { respond 200 "${header("${x}")} ${WEIR_TEST_NONE:-z}"; } }
      site a { use a(1, "b"); include parts/*.conf; } listen ${WEIR_TEST_NONE:-":80"}; # ${X}
      """.utf8)
    var seed: UInt64 = 7
    for _ in 0..<500 {
      var bytes = good
      for _ in 0..<3 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let place = Int(seed >> 33) % bytes.count
        let pieces = Array("{}();,\"$\\r#\n :-".utf8)
        bytes[place] = pieces[Int(seed >> 20) % pieces.count]
      }
      let loaded = ConfigurationFile.parse(bytes, name: "edge.conf", directory: "/nonexistent")
      let hasErrors = loaded.diagnostics.contains { $0.severity == .error }
      #expect((loaded.configuration == nil) == hasErrors)
    }
  }
}
