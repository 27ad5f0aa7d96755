import Configuration
import Testing

@Suite("The table of settings")
struct SettingsTests {
  @Test func `the tables of the document are those of the settings`() {
    let document = String(decoding: Places.read(Places.document), as: UTF8.self)
    let updated = SettingsReference.updated(document: document)
    if Places.isUpdating {
      Places.write(updated, to: Places.document)
    } else {
      #expect(updated == document, "run the tests with WEIR_UPDATE_GOLDEN=1 to rewrite the tables")
    }
    for block in Setting.Block.allCases {
      #expect(document.contains(SettingsReference.marker(block)), "\(block) has no table")
    }
  }

  @Test func `the examples of the document are good configurations`() {
    let document = String(decoding: Places.read(Places.document), as: UTF8.self)
    let examples = document.split(separator: "```nginx\n").dropFirst().compactMap {
      $0.split(separator: "```", omittingEmptySubsequences: false).first.map(String.init)
    }
    #expect(!examples.isEmpty)
    Places.withTokens { directory in
      for example in examples {
        let loaded = ConfigurationFile.parse(example, name: "edge.conf", directory: directory)
        #expect(Diagnostic.text(loaded.diagnostics) == "")
      }
    }
  }

  @Test func `each setting has one name in its block and is documented`() {
    var seen: Set<String> = []
    for setting in Setting.all {
      #expect(seen.insert("\(setting.block).\(setting.name)").inserted, "\(setting.name)")
      #expect(setting.text.hasSuffix("."), "\(setting.name)")
      #expect(
        setting.name.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "_" }, "\(setting.name)")
    }
  }

  @Test func `each block but the top level is opened by one setting`() {
    for block in Setting.Block.allCases where block != .top {
      // One, wherever it stands.
      let names = Set(Setting.all.filter { $0.opens == block }.map(\.name))
      #expect(names.count == 1, "\(block)")
    }
  }

  @Test func `no alias is the name of a setting of its block`() {
    for setting in Setting.all {
      let names = Setting.all.filter { $0.block == setting.block }.map(\.name)
      for alias in setting.aliases { #expect(!names.contains(alias), "\(alias)") }
    }
  }

  @Test func `a default that is written out changes nothing`() {
    // The defaults stand in the model; here each is written as the reference shows it.
    let blocks: [Setting.Block] = [.top, .store, .client, .origin, .limit, .route]
    var text: [Setting.Block: String] = [:]
    for setting in Setting.all {
      guard let value = setting.defaultText, !value.contains(" "), !value.contains("'") else {
        continue
      }
      text[setting.block, default: ""] += "\(setting.name) \(value); "
    }
    let parts = blocks.map { text[$0] ?? "" }
    #expect(parts.allSatisfy { !$0.isEmpty })
    let written = source(parts)
    let plain = source(blocks.map { _ in "" })
    let configuration = ConfigurationFile.parse(written, name: "a", directory: "/").configuration
    #expect(configuration != nil)
    #expect(
      configuration == ConfigurationFile.parse(plain, name: "b", directory: "/").configuration)
  }

  private func source(_ parts: [String]) -> String {
    """
    listen :80; \(parts[0]) store /s { \(parts[1]) } client { \(parts[2]) }
    origin app { server a:1; \(parts[3]) } limit l { token_bucket 1/s; \(parts[4]) }
    site * { route / { origin app; limit l; \(parts[5]) } }
    """
  }

  @Test func `the settings are shown as text`() {
    let text = SettingsReference.text()
    #expect(
      text.contains(
        """
          header_timeout DURATION;
              How long the head of a request may take from its first byte, or from the
              connection's start.
              (default: 10s; range: 1ms to 1d; unit: time)

        """))
    #expect(text.hasPrefix("Top level\n"))
    for setting in Setting.all { #expect(text.contains("  \(setting.usage)\n")) }
  }

  @Test func `the settings are shown as JSON`() {
    let json = SettingsReference.json()
    let line = #"""
        {"name": "size", "block": "store", "syntax": "SIZE", "range": "1MiB to 64TiB", "default": "1GiB", "unit": "bytes", "repeatable": false, "required": false, "text": "The most bytes that stored responses may use."}
      """#
    #expect(json.contains(line))
    #expect(json.split(separator: "\n").count == Setting.all.count + 2)
  }
}
