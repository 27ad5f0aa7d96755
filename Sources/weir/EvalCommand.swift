import ArgumentParser
import Configuration
import Edge
import Supervision

/// `weir eval`.
struct EvalCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract: "Explain what becomes of a request: its route, its rules, and why.",
    usage: "weir eval [<edge.conf>] --request <line> [-H <field>] [<options>]",
    discussion: """
      Nothing is asked or stored. Credentials are not checked: --sub says whose they are.

      Example: weir eval edge.conf --request 'GET /ja/' -H 'Cookie: lang=ja'

      Exit status: 0 if there is an answer, 64 if the request is none, 78 if the configuration has \
      errors.
      """)

  @OptionGroup var source: ConfigurationArgument

  @Option(help: ArgumentHelp("The request's line without a version.", valueName: "line"))
  var request = "GET /"

  @Option(
    name: [.customShort("H"), .customLong("header")],
    help: ArgumentHelp("A field of the request.", valueName: "name: value"))
  var fields: [String] = []

  @Option(help: "The client's address.")
  var client = "127.0.0.1"

  @Option(help: "The port that the client connected to; else the first listener's.")
  var port: UInt16?

  @Option(help: ArgumentHelp("Who asks, as the edge would have checked.", valueName: "name"))
  var sub: String?

  @Option(help: ArgumentHelp("A claim of the token.", valueName: "name=value"))
  var claim: [String] = []

  @Option(help: "The status of the response, to explain its rules too.")
  var status: UInt16?

  @Flag(help: "The response comes from the store.")
  var stored = false

  @Option(
    name: .customLong("response"),
    help: ArgumentHelp("A field of the response.", valueName: "name: value"))
  var responseFields: [String] = []

  @Option(help: ArgumentHelp("The time, in seconds since 1970.", valueName: "seconds"))
  var now: Int64?

  @Flag(help: "Print a JSON object.")
  var json = false

  func run() throws {
    let loaded = ConfigurationFile.load(path: source.file)
    guard let configuration = loaded.configuration else {
      StandardError.write(Diagnostic.text(loaded.diagnostics))
      throw ExitCode(ExitStatus.configuration)
    }
    var asked = ExplainedRequest(line: request)
    asked.fields = fields
    asked.client = client
    asked.port = port
    asked.subject = sub
    asked.claims = claim
    asked.status = status
    asked.isStored = stored
    asked.responseFields = responseFields
    asked.now = now ?? Time.seconds
    do throws(ExplanationProblem) {
      let explanation = try Explanation.of(asked, configuration: configuration)
      print(json ? explanation.json + "\n" : explanation.rendered, terminator: "")
    } catch {
      throw ValidationError(error.description)
    }
  }
}

extension Explanation {
  /// As lines for a terminal.
  fileprivate var rendered: String {
    var text = "route     \(route ?? "none")\n"
    if let authentication { text += "auth      \(authentication)\n" }
    text += Self.rendered(steps)
    text += "result    \(result)\n"
    for effect in effects { text += "          \(effect)\n" }
    guard !responseSteps.isEmpty || !responseEffects.isEmpty else { return text }
    text += "response\n" + Self.rendered(responseSteps)
    for effect in responseEffects { text += "          \(effect)\n" }
    return text
  }

  private static func rendered(_ steps: [Step]) -> String {
    var text = ""
    for step in steps {
      let number = String(step.line)
      let margin = String(repeating: " ", count: max(0, 7 - number.utf8.count))
      text += "\(margin)\(number) | "
      if let isTrue = step.isTrue {
        text += "when \(step.text): \(isTrue ? "yes" : "no")\n"
      } else {
        text += step.text + (step.value.map { "  -> \($0)" } ?? "") + "\n"
      }
      for operand in step.operands { text += "        |   \(operand.text) is \(operand.value)\n" }
    }
    return text
  }

  /// As a JSON object.
  fileprivate var json: String {
    JSONText.object([
      ("route", route.map(JSONText.string)),
      ("auth", authentication.map(JSONText.string)),
      ("result", JSONText.string(result)),
      ("effects", Self.list(effects.map(JSONText.string))),
      ("steps", Self.list(steps.map(Self.json))),
      ("response_effects", Self.list(responseEffects.map(JSONText.string))),
      ("response_steps", Self.list(responseSteps.map(Self.json))),
    ])
  }

  private static func list(_ elements: [String]) -> String {
    "[" + elements.joined(separator: ", ") + "]"
  }

  private static func json(_ step: Step) -> String {
    let operands = step.operands.map { operand in
      JSONText.object([
        ("text", JSONText.string(operand.text)), ("value", JSONText.string(operand.value)),
      ])
    }
    return JSONText.object([
      ("line", "\(step.line)"), ("text", JSONText.string(step.text)),
      ("holds", step.isTrue.map { $0 ? "true" : "false" }),
      ("value", step.value.map(JSONText.string)), ("operands", list(operands)),
    ])
  }
}
