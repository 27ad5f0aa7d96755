import ArgumentParser
internal import Bytes
import Conversion
import FoundationEssentials

/// `weir convert`.
struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Carry an nginx.conf or a default.vcl over to an edge.conf.",
    discussion: """
      Writes the edge.conf to standard output, or to a file, and to standard error everything that was left \
      out, with its line in the original. It is a begin: nothing is guessed, so there is something to do. Then \
      weir check.

      Exit status: 0 if nothing was left out, 1 if something was, 66 if the file cannot be read.
      """)

  @Argument(help: "The file.", completion: .file()) var file: String
  @Option(help: "What it is; else that is seen by its first words.") var from: ConvertedProgram?
  @Option(
    name: [.short, .long],
    help: ArgumentHelp("Where the edge.conf goes.", valueName: "file"), completion: .file())
  var output: String?
  @Flag(help: "Print one JSON object with both, `text` and `remarks`.") var json = false

  func run() throws {
    guard let data = FileManager.default.contents(atPath: file),
      let text = String(data: data, encoding: .utf8)
    else {
      StandardError.say("\(file) cannot be read as text")
      throw ExitCode(66)
    }
    let converted = (from ?? ConvertedProgram.of(text)).convert(text)
    if json {
      let remarks = converted.remarks.map {
        "{\"line\": \($0.line), \"text\": \(JSONString.quoted($0.text))}"
      }
      print(
        "{\"text\": \(JSONString.quoted(converted.text)), "
          + "\"remarks\": [\(remarks.joined(separator: ", "))]}")
    } else if let output {
      try Data(converted.text.utf8).write(to: URL(filePath: output))
    } else {
      print(converted.text, terminator: "")
    }
    if !json {
      for remark in converted.remarks {
        StandardError.write("\(file):\(remark.line): not carried over: \(remark.text)\n")
      }
    }
    if !converted.remarks.isEmpty { throw ExitCode(1) }
  }
}

extension ConvertedProgram: ExpressibleByArgument {}
