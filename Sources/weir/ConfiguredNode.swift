import ArgumentParser
import Configuration
import FoundationEssentials
import Supervision

/// Which running node a command asks, and how it shows the answer. Its configuration must be right (for
/// `AskedNode` it may be wrong, which is what one wants to hear then).
struct ConfiguredNode: ParsableArguments {
  @Option(
    help: ArgumentHelp("The node's configuration file.", valueName: "edge.conf"),
    completion: .file())
  var config = "edge.conf"

  @Flag(help: "Print what the node answers, which is JSON.")
  var json = false

  /// The content of the node's answer; says why there is none.
  func ask(_ method: String, _ path: String, json: String? = nil) throws -> [UInt8] {
    let configuration = try Start.configuration(
      ConfigurationSource(path: config), path: config, sayingWarnings: false)
    let answer: AdminClient.Answer
    do throws(AdminClient.Failure) {
      answer = try AdminClient(configuration).ask(method, path, json: json)
    } catch {
      throw Start.refusal(error.text)
    }
    guard (200..<300).contains(answer.status) else {
      let problem = try? JSONDecoder().decode(NodeProblem.self, from: Data(answer.content))
      StandardError.say(problem?.detail ?? "the node answers with status \(answer.status)")
      throw ExitCode(1)
    }
    return answer.content
  }

  /// Decodes an answer, or prints it as it is and returns nil.
  func decoded<Value: Decodable>(_ type: Value.Type, _ content: [UInt8]) throws -> Value? {
    if json {
      print(String(decoding: content, as: UTF8.self))
      return nil
    }
    return try JSONDecoder().decode(type, from: Data(content))
  }

  /// A segment of a path, or a value of a query.
  static func segment(_ text: String) -> String {
    text.utf8.map { byte in
      let isPlain =
        UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte
        || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
        || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || "-._~".utf8.contains(byte)
      if isPlain { return String(UnicodeScalar(byte)) }
      return (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
    }.joined()
  }

  /// A query of these parameters, those that are nil left out; with its question mark.
  static func query(_ parameters: [(name: String, value: String?)]) -> String {
    let pairs = parameters.compactMap { name, value in value.map { "\(name)=\(segment($0))" } }
    return pairs.isEmpty ? "" : "?" + pairs.joined(separator: "&")
  }

  /// A text as JSON.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\\(scalar)"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// Texts as a JSON array.
  static func quoted(_ texts: [String]) -> String {
    "[" + texts.map { quoted($0) }.joined(separator: ", ") + "]"
  }
}

private struct NodeProblem: Decodable {
  let detail: String
}
