// Every configuration that a page shows is read by the compiler. What a page shows whole is taken as it is;
// of a fragment it is tried where it could stand, with the names declared that it refers to and does not
// declare. That a file of an example is not here is not the page's fault; all else is.

import Configuration
import Rules
import Testing

/// A block of code of a page.
struct DocumentedBlock: Sendable, CustomTestStringConvertible {
  let page: String
  let line: Int
  /// Behind the fence; empty for an indented one.
  let language: String
  let text: String
  /// Whether it shows several ways of saying one thing: what stands before it is `<!-- one of these -->`.
  var isChoice = false

  var testDescription: String { "\(page):\(line)" }

  /// All blocks of all pages.
  static let all: [DocumentedBlock] = Places.pages.flatMap { path in
    let name = path.split(separator: "/").last.map(String.init) ?? path
    return blocks(of: String(decoding: Places.read(path), as: UTF8.self), page: name)
  }

  private static func blocks(of document: String, page: String) -> [DocumentedBlock] {
    var blocks: [DocumentedBlock] = []
    var fence: (line: Int, language: String)?
    var lines: [Substring] = []
    var indented: [Substring] = []
    var isAfterBlank = true
    func end(_ line: Int) {
      while indented.last?.allSatisfy(\.isWhitespace) == true { indented.removeLast() }
      if !indented.isEmpty {
        let text = indented.map { $0.dropFirst(4) }.joined(separator: "\n")
        blocks.append(
          DocumentedBlock(page: page, line: line, language: "", text: text, isChoice: isChoice))
        isChoice = false
      }
      indented = []
    }
    let all = document.split(separator: "\n", omittingEmptySubsequences: false)
    var isChoice = false
    for (index, line) in all.enumerated() {
      if line == "<!-- one of these -->" { isChoice = true }
      if let open = fence {
        if line.hasPrefix("```") {
          let text = lines.joined(separator: "\n")
          blocks.append(
            DocumentedBlock(page: page, line: open.line, language: open.language, text: text))
          fence = nil
        } else {
          lines.append(line)
        }
        continue
      }
      let isBlank = line.allSatisfy(\.isWhitespace)
      if line.hasPrefix("```") {
        end(index - indented.count + 1)
        fence = (index + 1, String(line.dropFirst(3)))
        lines = []
      } else if line.hasPrefix("    "), !isBlank, isAfterBlank || !indented.isEmpty {
        indented.append(line)
      } else if isBlank && !indented.isEmpty {
        indented.append(line)
      } else if !indented.isEmpty {
        end(index - indented.count + 1)
      }
      isAfterBlank = isBlank
    }
    end(all.count - indented.count + 1)
    return blocks
  }

  /// Whether it is a configuration: said so, or every statement in it begins with a setting's name.
  var isConfiguration: Bool {
    if language == "nginx" { return true }
    guard language.isEmpty, text.contains(";") else { return false }
    var depth = 0
    var isBegin = true
    var first: [Substring] = []
    for line in text.split(separator: "\n") {
      let code = line.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)[0]
      let words = code.split(separator: " ")
      guard let word = words.first else { continue }
      if depth == 0 && isBegin { first.append(word) }
      depth += code.count { $0 == "{" } - code.count { $0 == "}" }
      isBegin = code.last { $0 != " " }.map { ";{}".contains($0) } ?? true
    }
    return !first.isEmpty
      && first.allSatisfy { word in Setting.all.contains { $0.name == word } }
  }
}

@Suite("Configurations in the pages")
struct DocumentedConfigurationTests {
  @Test func `there are pages, and blocks of configuration in them`() {
    #expect(Places.pages.count >= 15)
    let found = DocumentedBlock.all.filter(\.isConfiguration)
    #expect(found.count >= 30)
    #expect(Set(found.map(\.page)).count >= 8)
  }

  @Test(arguments: DocumentedBlock.all.filter(\.isConfiguration))
  func `each is one that the compiler takes`(block: DocumentedBlock) {
    let parts = block.isChoice ? Self.parts(of: block.text) : [block.text]
    for part in parts {
      let problems = Places.withTokens { directory in
        Self.places.map { place in
          let text = Self.wrapped(part, in: place)
          let loaded = ConfigurationFile.parse(text, name: "edge.conf", directory: directory)
          return loaded.diagnostics.filter { $0.severity == .error && !Self.isOfTheMachine($0) }
        }
      }
      let fewest = problems.min { $0.count < $1.count } ?? []
      #expect(fewest.isEmpty, "\(Diagnostic.text(fewest))")
    }
  }

  /// The parts of a text between empty lines.
  private static func parts(of text: String) -> [String] {
    text.split(separator: "\n\n").map(String.init)
  }

  /// Whether it says no more than that a file is not here.
  private static func isOfTheMachine(_ diagnostic: Diagnostic) -> Bool {
    ["does not exist", "No such file", "the environment has no variable"].contains {
      diagnostic.message.contains($0)
    }
  }

  /// Where a fragment may stand: what is before it, and behind.
  private static let places: [(String, String)] = [
    ("", ""), ("site here.example { origin app;\n", "\n}"),
    ("site here.example { route / { origin app;\n", "\n} }"),
    ("origin here {\n", "\n}\nsite here.example { origin here; }"),
    ("origin here { server 127.0.0.1:9;\n", "\n}\nsite here.example { origin here; }"),
    ("site here.example { route / { origin app; cache {\n", "\n} } }"),
  ]

  /// What pages refer to without saying it again, by kind and name.
  private static let declarations: [(kind: String, name: String, text: String)] = [
    ("listen", "", "listen :8099;"), ("store", "", "store ./store;"),
    ("origin", "app", "origin app 127.0.0.1:9000;"),
    ("origin", "shop", "origin shop 127.0.0.1:9001;"),
    ("limit", "login", "limit login { token_bucket 5/m; key client.ip; }"),
    ("limit", "per-client", "limit per-client { token_bucket 5/m; key client.ip; }"),
    (
      "jwt", "main",
      "jwt main { keys keys.json; issuer \"https://id.example\"; audience shop; algorithms ES256; }"
    ),
    (
      "jwt", "staff",
      "jwt staff { keys keys.json; issuer \"https://id.example\"; audience in; algorithms ES256; }"
    ),
  ]

  private static func wrapped(_ fragment: String, in place: (String, String)) -> String {
    var text = place.0 + fragment + place.1 + "\n"
    for item in declarations where !declares(item, text) && refers(item, text) {
      text += item.text + "\n"
    }
    return text
  }

  private static func declares(
    _ item: (kind: String, name: String, text: String), _ text: String
  ) -> Bool {
    text.split(separator: "\n").contains { line in
      let words = line.split { " ;{".contains($0) }
      guard words.first == Substring(item.kind) else { return false }
      if item.name.isEmpty { return true }
      // `origin app;` refers to one, `origin app { … }` and `origin app SERVER;` declare it.
      guard words.dropFirst().first == Substring(item.name) else { return false }
      return !line.contains("\(item.kind) \(item.name);")
    }
  }

  private static func refers(
    _ item: (kind: String, name: String, text: String), _ text: String
  ) -> Bool {
    item.name.isEmpty && item.kind == "listen" || text.contains(" \(item.name);")
      || text.contains(" \(item.name) ")
  }
}
