import FoundationEssentials
import Testing

/// What pages say of other pages, of files and of modules: that it is there.
@Suite("What pages refer to") struct PagesTests {
  private static let root: String =
    "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/"

  private static let pages: [String] = {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: root + "docs")) ?? []
    return ["README.md"] + names.filter { $0.hasSuffix(".md") }.sorted().map { "docs/\($0)" }
  }()

  private static func text(_ page: String) -> String {
    (try? String(contentsOf: URL(filePath: root + page), encoding: .utf8)) ?? ""
  }

  private static func isThere(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: root + path)
  }

  /// The anchors of a page's headings, as they are made of these.
  private static func anchors(of text: String) -> Set<String> {
    Set(
      text.split(separator: "\n").filter { $0.hasPrefix("#") }.map { line in
        line.drop { $0 == "#" || $0 == " " }.lowercased().compactMap { character in
          if character == " " { return "-" }
          let isKept = character.isLetter || character.isNumber || "-_".contains(character)
          return isKept ? String(character) : nil
        }.joined()
      })
  }

  @Test(arguments: pages)
  func `links lead somewhere`(_ page: String) {
    let folder = page.hasPrefix("docs/") ? "docs/" : ""
    let text = Self.text(page)
    #expect(!text.isEmpty)
    for link in text.matches(of: /\]\(([^)\s]+)\)/).map({ String($0.1) })
    where !link.hasPrefix("http") {
      let parts = link.split(separator: "#", omittingEmptySubsequences: false).map(String.init)
      let path = parts[0].isEmpty ? page : folder + parts[0]
      #expect(Self.isThere(path), "\(link)")
      if parts.count > 1 {
        #expect(Self.anchors(of: Self.text(path)).contains(parts[1]), "\(link)")
      }
    }
  }

  @Test(arguments: pages)
  func `files of the repository that are named are there`(_ page: String) {
    let path = /(?:^|[\s`(])((?:tools|docs|Sources|Tests)\/[\w.\/+\-]*[\w\/])(?:[^\w*…-]|$)/
    for path in Self.text(page).matches(of: path).map({ String($0.1) }) {
      #expect(Self.isThere(path), "\(path)")
    }
  }

  @Test func `what the architecture says of files and modules is so`() throws {
    let text = Self.text("docs/architecture.md")
    let sources = try FileManager.default.contentsOfDirectory(atPath: Self.root + "Sources")
    let files = text.matches(of: /`([A-Z]\w+\/[\w+\/]+\.swift)`/).map { String($0.1) }
    #expect(files.count > 20)
    for file in files { #expect(Self.isThere(file) || Self.isThere("Sources/\(file)"), "\(file)") }
    let list = try #require(text.components(separatedBy: "## The modules").last)
      .components(separatedBy: "`unsafe`")[0]
    for module in sources {
      #expect(list.firstMatch(of: try Regex("\\b\(module)\\b")) != nil, "\(module) is not listed")
    }
    // Names stand in front, apart from what is said of them.
    for line in list.split(separator: "\n") where line.hasPrefix("    ") {
      for name in String(line.dropFirst(4)).components(separatedBy: "   ")[0].split(separator: " ")
      {
        let module = name.filter { $0 != "," }
        if module.first?.isUppercase == true { #expect(sources.contains(module), "\(module)") }
      }
    }
  }
}
