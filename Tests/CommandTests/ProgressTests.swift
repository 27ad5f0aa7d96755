// The line that says how a replay goes on: on a terminal, and nowhere else.

internal import CLinux
import EdgeTesting
import EventLoop
import Testing

@Suite("Progress on a terminal") struct ProgressTests {
  private static func directory() throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    try directory.write("recording", "/a\n/b\n")
    return directory
  }

  /// A replay that goes on until it is stopped, or what `more` says.
  private static func arguments(_ origin: ScriptedOrigin, _ more: String...) -> [String] {
    [
      "replay", "recording", "--to", "http://127.0.0.1:\(origin.port)", "--pace", "200/s",
      "--loops", "0",
    ] + more
  }

  @Test(arguments: [100, 40, 12] as [Int32])
  func `a replay's is one line that fits, and is taken away in the end`(_ columns: Int32)
    async throws
  {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let terminal = try OnTerminal(
      Self.arguments(origin, "--duration", "600"), in: Self.directory(), columns: columns, rows: 24)
    func shown(_ count: Int) async throws -> [String] {
      try await eventually("\(count) seconds; \(terminal.output)") {
        terminal.replaced.count >= count
      }
      return terminal.replaced
    }
    let before = try await shown(2)
    let narrow = columns - 4
    terminal.resize(columns: narrow, rows: 24)
    // What comes from now on was written for the new size, but for one that is under way.
    let old = try await shown(2).count + 1
    let after = try await shown(old + 1).dropFirst(old)
    for text in before + after { #expect(text.hasPrefix("\r"), "\(text.debugDescription)") }
    #expect(before.allSatisfy { $0.unicodeScalars.count - 1 < columns }, "\(before)")
    #expect(after.allSatisfy { $0.unicodeScalars.count - 1 < narrow }, "\(after)")
    #expect(before.allSatisfy { $0.contains("/s") }, "\(before)")
    terminal.send(SIGINT)
    #expect(try await terminal.ends() == 0)
    // The report begins where the line was.
    #expect(terminal.replaced.last == "\r", "\(terminal.output.debugDescription)")
    #expect(terminal.output.contains("requests"))
    #expect(terminal.output.pieces(separatedBy: "\u{1b}").count == terminal.replaced.count + 1)
  }

  @Test func `there is none where standard error is no terminal, or --quiet wants none`()
    async throws
  {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    // Long enough to be shown, and it ends by itself.
    let plain = try WeirProcess(Self.arguments(origin, "--duration", "3"), in: Self.directory())
    let quiet = try OnTerminal(
      Self.arguments(origin, "--duration", "3", "--quiet"), in: Self.directory(), columns: 80,
      rows: 24)
    #expect(try await plain.exitStatus() == 0, "\(plain.said)")
    #expect(plain.said == "")
    #expect(!plain.printed.contains("\u{1b}") && !plain.printed.contains("\r"))
    #expect(try await quiet.ends() == 0)
    #expect(!quiet.output.contains("\u{1b}"), "\(quiet.output.debugDescription)")
  }
}
