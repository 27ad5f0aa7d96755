import ArgumentParser
import CLinux
import EventLoop
import FoundationEssentials
import Supervision

/// `weir record`.
struct RecordCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "record",
    abstract: "Write what a running node serves to a file that can be replayed.",
    usage: "weir record --out <file> [<options>]",
    discussion: """
      Asks the admin listener that the configuration names, with its token, until --duration is over or \
      SIGINT comes. Clients' addresses and the values in queries are replaced by others, always the \
      same for the same one; what rules log is left out. One recorder at a time.

      Example: weir record --out today.log --duration 600 --sample 0.1

      Exit status: 0; 1 if the node refuses; 69 if it cannot be reached, or the file not be written; 78 if \
      the configuration has errors.
      """)

  @OptionGroup var node: NodeArguments

  @Option(help: ArgumentHelp("Where to; it must not be there yet.", valueName: "file"))
  var out: String

  @Option(help: ArgumentHelp("How long.", valueName: "seconds"))
  var duration: Double?

  @Option(help: ArgumentHelp("The share of clients that is recorded.", valueName: "share"))
  var sample = 1.0

  @Flag(help: "Record clients' addresses as they are.")
  var keepClients = false

  @Flag(help: "Record the values in queries as they are.")
  var keepQueries = false

  func validate() throws {
    guard sample > 0, sample <= 1 else { throw ValidationError("--sample must be in 0 to 1") }
    guard duration.map({ $0 > 0 && $0 < 1e8 }) ?? true else {
      throw ValidationError("--duration must be above 0 and below 100000000")
    }
  }

  func run() throws {
    let client = try node.client()
    Signals.prepare()
    let line = StatusLine()
    // The first answer only says that somebody records now.
    _ = try lines(client, line)
    let number = unsafe weir_open(out, O_WRONLY | O_CREAT | O_EXCL, 0o600)
    guard number >= 0 else { throw Start.refusal("\(out): \(Errno.current)") }
    try record(client, into: Descriptor(owning: number), line)
  }

  private func record(
    _ client: AdminClient, into file: borrowing Descriptor, _ line: StatusLine
  ) throws {
    let clock = NodeClock()
    let end = duration.map { clock.monotonic() + Int64($0 * 1e9) } ?? .max
    var total = 0
    var lost = 0
    var isStopped = false
    while !isStopped {
      let left = min(max(end - clock.monotonic(), 1), 500_000_000)
      isStopped = Signals.wait(for: [SIGINT, SIGTERM], nanoseconds: left) != nil
      isStopped = isStopped || clock.monotonic() >= end
      let (lines, missing) = try lines(client, line)
      lost += missing
      total += lines.count { $0 == 10 }
      try write(lines, to: file, line)
      line.show { _ in "\(total) requests" }
    }
    line.clear()
    StandardError.say("recorded \(total) requests" + (lost > 0 ? ", lost \(lost)" : ""))
  }

  /// What was served since the last call, and how many lines were lost. What fails says so in the place of
  /// the status line.
  private func lines(
    _ client: AdminClient, _ line: StatusLine
  ) throws -> (lines: ArraySlice<UInt8>, lost: Int) {
    var query = "sample=\(sample)"
    if keepClients { query += "&clients=keep" }
    if keepQueries { query += "&queries=keep" }
    let answer: AdminClient.Answer
    do throws(AdminClient.Failure) {
      answer = try client.ask("GET", "/v1/record?\(query)")
    } catch {
      line.clear()
      throw Start.refusal(error.text)
    }
    guard answer.status == 200, answer.content.last == 10 else {
      line.clear()
      throw AskedNode.refusal(answer)
    }
    let start = answer.content.dropLast().lastIndex(of: 10).map { $0 + 1 } ?? 0
    let last = try? JSONDecoder().decode(Lost.self, from: Data(answer.content[start...]))
    return (answer.content[..<start], last?.lost ?? 0)
  }

  private struct Lost: Decodable {
    let lost: Int
  }

  private func write(
    _ bytes: ArraySlice<UInt8>, to file: borrowing Descriptor, _ line: StatusLine
  ) throws {
    var rest = bytes
    while !rest.isEmpty {
      // Safe: the pointer is the array's own and used within the call only.
      let count = unsafe rest.withUnsafeBytes { buffer in
        unsafe CLinux.write(file.number, buffer.baseAddress, buffer.count)
      }
      if count < 0 && weir_errno() == EINTR { continue }
      if count <= 0 {
        let problem = Errno.current
        line.clear()
        throw Start.refusal("\(out): \(problem)")
      }
      rest = rest.dropFirst(count)
    }
  }
}
