// Every `weir` command that a page shows is one that the command line takes, with its options and their
// values. (The commands of docs/admin.md are run besides: `AdminExamplesTests`.)

import ArgumentParser
import FoundationEssentials
import Testing

@testable import weir

/// A command as a page shows it.
struct DocumentedCommand: Sendable, CustomTestStringConvertible {
  let page: String
  let line: Int
  let words: [String]

  var testDescription: String { "\(page):\(line): weir \(words.joined(separator: " "))" }

  /// All of them: lines of code that begin with `weir`, where what stands behind is no message of it, and
  /// commands in the running text between backticks.
  static let all: [DocumentedCommand] = pages.flatMap { page in
    let text = (try? String(contentsOf: URL(filePath: root + page), encoding: .utf8)) ?? ""
    var found: [DocumentedCommand] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    {
      for command in commands(in: line) {
        found.append(
          DocumentedCommand(page: page, line: index + 1, words: words(of: command)))
      }
    }
    return found
  }

  private static let root: String =
    "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/"

  private static let pages: [String] = {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: root + "docs")) ?? []
    return ["README.md"] + names.filter { $0.hasSuffix(".md") }.sorted().map { "docs/\($0)" }
  }()

  private static func commands(in line: Substring) -> [Substring] {
    var commands: [Substring] = []
    let line = line.hasPrefix("    $ weir ") ? Substring("    " + line.dropFirst(6)) : line
    if line.hasPrefix("    weir ") || line.hasPrefix("weir ") {
      // A line may have two of them beside each other, and a remark.
      let code = line.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)[0]
      for part in code.split(separator: "weir ").filter({ !$0.allSatisfy(\.isWhitespace) }) {
        commands.append(part)
      }
    }
    let spans = line.split(separator: "`", omittingEmptySubsequences: false)
    for (index, span) in spans.enumerated() where index % 2 == 1 && span.hasPrefix("weir ") {
      commands.append(span.dropFirst(5))
    }
    // `weir: stopped` is what it says; `weir NAME` stands for any.
    return commands.filter { $0.first?.isLowercase == true || $0.first == "-" }
  }

  /// What tables leave to the reader, filled in: of `[…]` what is in it, of `a\|b` the first, of `T…` one; and
  /// something for what stands for it.
  private static func filledIn(_ words: [String]) -> [String] {
    let examples = [
      "S": "60", "NUMBER": "5", "TIME": "2026-01-01", "ID": "1", "DURATION": "1m",
      "URL": "http://example.com/", "FIELD": "accept: text/html", "rate=": "rate=5/s",
    ]
    var result: [String] = []
    var isOtherChoice = false
    for word in words where word != "…" {
      var text = word.filter { $0 != "[" && $0 != "]" && $0 != "…" }
      let parts = text.split(separator: "\\|", omittingEmptySubsequences: false)
      let wasOtherChoice = isOtherChoice
      // Behind `--site HOST\|--route` its value stands, and then the bracket ends.
      isOtherChoice = parts.dropFirst().contains { $0.hasPrefix("--") }
      if wasOtherChoice { continue }
      text = String(parts.first ?? "")
      result.append(examples[text] ?? text)
    }
    return result
  }

  /// The words of a command up to what a shell or a remark makes of the rest.
  private static func words(of command: Substring) -> [String] {
    var words: [String] = []
    var word = ""
    var quote: Character?
    for character in command {
      if let open = quote {
        if character == open { quote = nil } else { word.append(character) }
      } else if character == "'" || character == "\"" {
        quote = character
      } else if character == " " {
        if !word.isEmpty { words.append(word) }
        word = ""
      } else {
        word.append(character)
      }
    }
    if !word.isEmpty { words.append(word) }
    let end = words.firstIndex { ["#", ">", "|", "&&", "<", "(", "\\"].contains($0) }
    return filledIn(Array(words.prefix(end ?? words.count)))
  }
}

@Suite("Commands in the pages")
struct DocumentedCommandsTests {
  @Test func `there are commands, on several pages`() {
    #expect(DocumentedCommand.all.count >= 60)
    #expect(Set(DocumentedCommand.all.map(\.page)).count >= 8)
  }

  @Test(arguments: DocumentedCommand.all)
  func `each of them is one that the command line takes`(command: DocumentedCommand) {
    // In running text a command may stand without what it needs: that it exists is what is said then.
    #expect(throws: Never.self) {
      do {
        _ = try Weir.parseAsRoot(command.words)
      } catch {
        let text = Weir.message(for: error)
        let lacks =
          text.hasPrefix("Missing expected argument") || text.contains("Please provide")
          || text.contains("there is no recording") || text.hasPrefix("say in one way what")
        if !lacks && Weir.exitCode(for: error) != .success {
          throw Problem(text: text)
        }
      }
    }
  }

  private struct Problem: Error {
    let text: String
  }
}
