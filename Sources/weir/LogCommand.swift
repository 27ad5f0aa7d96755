import ArgumentParser
import CLinux
import EventLoop
import FoundationEssentials

/// `weir log`.
struct LogCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log",
    abstract: "Show requests of a running node as they are answered.",
    usage: "weir log -f [<filter>] [<options>]",
    discussion: """
      Shows a line for each request from now on, until SIGINT comes, whatever the access log keeps; with a \
      filter, a condition in the rules language, only those of which it is true. Credentials in queries and \
      clients' addresses are hidden as in the access log. docs/observability.md has the names.

      Examples:
        weir log -f 'status >= 500 && host == "shop.example"'
        weir log -f 'duration > 500ms && cache == "miss"' --json | jq .target

      Exit status: 0; 1 if the node refuses, such as a filter that is wrong; 69 if it cannot be reached or \
      goes; 78 if the configuration has errors.
      """)

  @Argument(help: ArgumentHelp("Which requests, such as 'status >= 500'.", valueName: "filter"))
  var filter: String?

  @Flag(
    name: [.customShort("f"), .long], help: "Go on until it is interrupted; there is no other way.")
  var follow = false

  @OptionGroup var node: NodeArguments

  @Option(help: ArgumentHelp("End after so many lines.", valueName: "number"))
  var lines: Int?

  @Flag(help: "Show lines as the JSON that they are.")
  var json = false

  func validate() throws {
    guard follow else {
      throw ValidationError("give -f: lines that are past stand in the access log's file")
    }
    guard lines.map({ $0 > 0 }) ?? true else { throw ValidationError("--lines must be above 0") }
  }

  func run() throws {
    let client = try node.client()
    Signals.prepare()
    var left = lines ?? .max
    let refusal: AdminClient.Answer?
    do throws(AdminClient.Failure) {
      refusal = try client.follow(
        "/v1/log" + query,
        while: { Signals.wait(for: [SIGINT, SIGTERM], nanoseconds: 0) == nil }
      ) { name, data in
        guard name != "lost" else {
          let lost = try? JSONDecoder().decode(Lost.self, from: Data(data))
          StandardError.say("\(lost?.lost ?? 0) lines were lost: there were too many")
          return true
        }
        guard show(data) else { return false }
        left -= 1
        return left > 0
      }
    } catch {
      throw Start.refusal(error.text)
    }
    guard let refusal else { return }
    throw AskedNode.refusal(refusal)
  }

  private var query: String { AskedNode.query([("filter", filter)]) }

  private struct Lost: Decodable {
    let lost: Int
  }

  /// Writes a line; false if nobody reads it any more.
  private func show(_ data: ArraySlice<UInt8>) -> Bool {
    var text = Array(data)
    if !json, let line = try? JSONDecoder().decode(LogLineText.self, from: Data(data)) {
      text = Array(line.text.utf8)
    }
    text.append(10)
    var rest = text[...]
    while !rest.isEmpty {
      // Safe: the pointer is the array's own and used within the call only.
      let count = unsafe rest.withUnsafeBytes { unsafe write(1, $0.baseAddress, $0.count) }
      if count < 0 && weir_errno() == EINTR { continue }
      if count <= 0 { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }
}

/// A line as people read it:
///
///     12:34:56.789 200 hit         0.4 ms    1.2 KiB GET a.example/path?query 198.51.100.7 "curl/8.0"
struct LogLineText: Decodable {
  var time: String
  var status: Int
  var cache: String?
  var detail: String?
  var duration_us: Int
  var bytes_sent: Int
  var method: String
  var host: String
  var target: String
  var client: String
  var user_agent: String?

  /// The line. What the client sent has no control characters in it: they are escaped.
  var text: String {
    let clock = time.split(separator: "T").last?.dropLast() ?? ""
    var result = (cache ?? "-")
    if let detail, result != "hit" { result += "(\(detail))" }
    let agent = user_agent.map { " \"\(Self.plain($0))\"" } ?? ""
    return "\(clock) \(status) \(Self.left(result, 20)) \(Self.right(duration, 9)) "
      + "\(Self.right(size, 9)) \(Self.plain(method)) \(Self.plain(host))\(Self.plain(target)) \(client)\(agent)"
  }

  private var duration: String {
    duration_us < 10_000
      ? "\(Self.tenths(duration_us, of: 1_000)) ms"
      : duration_us < 10_000_000
        ? "\(duration_us / 1_000) ms" : "\(Self.tenths(duration_us, of: 1_000_000)) s"
  }

  private var size: String {
    bytes_sent < 1_024
      ? "\(bytes_sent) B"
      : bytes_sent < 1 << 20
        ? "\(Self.tenths(bytes_sent, of: 1 << 10)) KiB"
        : "\(Self.tenths(bytes_sent, of: 1 << 20)) MiB"
  }

  private static func tenths(_ value: Int, of unit: Int) -> String {
    let tenths = value / (unit / 10 == 0 ? 1 : unit) * 10 + value % unit * 10 / unit
    return "\(tenths / 10).\(tenths % 10)"
  }

  private static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  /// Without what terminals obey.
  private static func plain(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar.value {
      case 0..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069:
        result += "\\u{\(String(scalar.value, radix: 16))}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
