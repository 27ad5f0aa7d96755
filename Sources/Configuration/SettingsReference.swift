// The table of settings as people and programs read it.

/// What `weir settings` prints, and the tables of docs/configuration.md.
public enum SettingsReference {
  /// All settings for a terminal, block by block.
  public static func text() -> String {
    var result = ""
    for block in Setting.Block.allCases {
      result += (result.isEmpty ? "" : "\n") + title(of: block) + "\n"
      for setting in settings(of: block) {
        result += "\n  \(setting.usage)\n"
        for line in wrapped(setting.text.withoutMarks, width: 72) { result += "      \(line)\n" }
        let facts = setting.facts
        if !facts.isEmpty { result += "      (\(facts.joined(separator: "; ")))\n" }
      }
    }
    return result
  }

  /// All settings as a JSON array of objects.
  public static func json() -> String {
    JSONText.array(
      Setting.all.map { setting in
        JSONText.object([
          ("name", JSONText.string(setting.name)),
          ("block", JSONText.string(setting.block.rawValue)),
          ("syntax", JSONText.string(setting.shape)),
          ("opens", setting.opens.map { JSONText.string($0.rawValue) }),
          ("range", setting.range.map(JSONText.string)),
          ("default", setting.defaultText.map(JSONText.string)),
          ("unit", setting.unit.map(JSONText.string)),
          ("repeatable", String(setting.isRepeatable)), ("required", String(setting.isRequired)),
          ("text", JSONText.string(setting.text)),
        ])
      })
  }

  /// The settings of a block as a Markdown table.
  public static func markdown(_ block: Setting.Block) -> String {
    var result = "| setting | default | range | meaning |\n|---|---|---|---|\n"
    for setting in settings(of: block) {
      var text = setting.text
      if let need = setting.need { text += " " + need }
      if setting.isRepeatable { text += " May be repeated." }
      let cells = ["`\(setting.usage)`", setting.defaultText ?? "", setting.range ?? "", text]
      let row = cells.map { $0.split(separator: "|", omittingEmptySubsequences: false) }
      result += "| " + row.map { $0.joined(separator: "\\|") }.joined(separator: " | ") + " |\n"
    }
    return result
  }

  /// A document in which what stands between `<!-- settings: BLOCK -->` and `<!-- end -->` is
  /// replaced by the block's table.
  public static func updated(document: String) -> String {
    var result = ""
    var isSkipping = false
    for line in document.split(separator: "\n", omittingEmptySubsequences: false) {
      if line == "<!-- end -->" { isSkipping = false }
      if !isSkipping { result += line + "\n" }
      if let block = block(ofMarker: line) {
        result += markdown(block)
        isSkipping = true
      }
    }
    return String(result.dropLast())
  }

  /// The line before a block's table.
  public static func marker(_ block: Setting.Block) -> String {
    "<!-- settings: \(block.rawValue) -->"
  }

  private static func block(ofMarker line: Substring) -> Setting.Block? {
    Setting.Block.allCases.first { marker($0) == line }
  }

  private static func settings(of block: Setting.Block) -> [Setting] {
    Setting.all.filter { $0.block == block }
  }

  private static func title(of block: Setting.Block) -> String {
    guard let opener = Setting.all.first(where: { $0.opens == block }) else { return "Top level" }
    return "In \(opener.usage)"
  }

  /// Words in lines of at most `width` characters.
  private static func wrapped(_ text: String, width: Int) -> [String] {
    var lines: [String] = []
    for word in text.split(separator: " ") {
      if let last = lines.last, last.count + word.count < width {
        lines[lines.count - 1] = last + " " + word
      } else {
        lines.append(String(word))
      }
    }
    return lines
  }
}

extension Setting {
  /// The block that its braces hold; nil if it has none.
  public var opens: Block? {
    switch body {
    case .none, .rules: nil
    case .block(let block), .optional(let block): block
    }
  }

  /// Whether a block cannot be without it.
  public var isRequired: Bool {
    switch presence {
    case .required, .one: true
    case .optional, .atMostOne: false
    }
  }

  /// How it is written.
  public var usage: String {
    let start = shape.isEmpty ? name : "\(name) \(shape)"
    return body == .none ? start + ";" : start + " { … }"
  }

  /// That a block cannot be without it, or without one of its kind.
  fileprivate var need: String? {
    guard case .one(let group) = presence else { return isRequired ? "Required." : nil }
    let others = Setting.all.count { $0.block == block && $0.presence == presence }
    return others == 1 ? "Required." : "A block has exactly one \(group)."
  }

  /// What there is to know besides its text.
  fileprivate var facts: [String] {
    var facts: [String] = []
    if let need { facts.append(need.dropLast().lowercased()) }
    if isRepeatable { facts.append("may be repeated") }
    if let defaultText { facts.append("default: \(defaultText)") }
    if let range { facts.append("range: \(range)") }
    if let unit { facts.append("unit: \(unit)") }
    return facts
  }
}

extension String {
  /// The text without Markdown's marks of code.
  fileprivate var withoutMarks: String { filter { $0 != "`" } }
}
