import ArgumentParser
import Bytes
import Configuration
import EventLoop
import FoundationEssentials
import Supervision

/// `weir explain`.
struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Send a request to a running node, and show what it decided and why.",
    usage: "weir explain <url> [-H <field>] [<options>]",
    discussion: """
      A real request: what it fetches is stored, limits count it, the log has it. It goes to the listener \
      of the node's configuration, with the token of its admin block (or WEIR_TOKEN), which must be one \
      that may read. weir eval says what a configuration would do, and asks nobody.

      Examples:
        weir explain http://shop.example/p/17 -H 'Accept-Encoding: br'
        weir explain https://shop.example/ --connect 10.0.0.5:443 --json | jq .freshness

      Exit status: 0; 1 if what answers does not explain; 64 if the URL is none; 69 if nobody answers; 78 \
      if the configuration has errors.
      """)

  @Argument(help: ArgumentHelp("What to ask for.", valueName: "url"))
  var url: RequestURL

  @Option(
    name: [.customShort("H"), .customLong("header")],
    help: ArgumentHelp("A field of the request.", valueName: "name: value"))
  var fields: [String] = []

  @Option(
    name: [.customShort("X"), .customLong("method")], help: "The method; not HEAD.")
  var method = "GET"

  @Option(help: ArgumentHelp("The content of the request.", valueName: "text"))
  var data: String?

  @Option(
    help: ArgumentHelp(
      "Where the node listens, in the place of what the configuration or the URL says.",
      valueName: "host:port"))
  var connect: String?

  @Option(
    help: ArgumentHelp("The node's configuration file (edge.conf).", valueName: "edge.conf"),
    completion: .file())
  var config: String?

  @Option(
    help: ArgumentHelp("Whose certificates are believed (PEM).", valueName: "file"),
    completion: .file())
  var ca: String?

  @Flag(help: "Send the token without TLS to another machine, too.")
  var plainly = false

  @Flag(help: "Print what the node says, which is JSON.")
  var json = false

  func validate() throws {
    guard method != "HEAD" else {
      throw ValidationError("an answer to HEAD has no content to explain in: ask with GET")
    }
    let plain = (method + fields.joined()).unicodeScalars
    guard !method.isEmpty, !method.contains(" "), plain.allSatisfy({ $0.value >= 0x20 }),
      fields.allSatisfy({ $0.contains(":") })
    else { throw ValidationError("a field is NAME: VALUE, and stands on one line") }
  }

  func run() throws {
    let own = try configuration()
    let token = NodeArguments.environment("WEIR_TOKEN") ?? own?.admin?.token
    guard let token else {
      throw Start.refusal(
        "a token is needed that may read: set WEIR_TOKEN, or name a configuration whose admin block "
          + "has one (--config)")
    }
    let place = try self.place(own)
    guard url.isSecure || plainly || place.isHere else {
      throw Start.refusal(
        "the token would go to \(place.host) in the clear: ask by https, ask on that machine, or say "
          + "--plainly")
    }
    let answer: AdminClient.Answer
    do throws(AdminClient.Failure) {
      answer = try ask(place, token: token)
    } catch {
      throw Start.refusal(error.text)
    }
    let content = String(decoding: answer.content, as: UTF8.self)
    guard let shown = try? JSONDecoder().decode(Shown.self, from: Data(answer.content)) else {
      StandardError.say(
        "\(place) answers \(answer.status) and explains nothing: either it is no Weir, or the token is "
          + "not one of its admin block's that may read for this site (weir token makes one)")
      throw ExitCode(1)
    }
    print(json ? content : shown.rendered, terminator: "")
  }

  /// What the node's configuration says; nil if none is named and there is none.
  private func configuration() throws -> NodeConfiguration? {
    let path = config ?? "edge.conf"
    let loaded = ConfigurationFile.load(path: path)
    if let configuration = loaded.configuration { return configuration }
    guard config != nil else { return nil }
    StandardError.write(Diagnostic.text(loaded.diagnostics.filter { $0.severity == .error }))
    throw ExitCode(ExitStatus.configuration)
  }

  /// Where the node is asked: as said, at its own listener, or where the URL leads.
  private func place(_ own: NodeConfiguration?) throws -> RequestPlace {
    if let connect {
      guard let place = RequestPlace(connect) else {
        throw ValidationError("\(connect) is not HOST:PORT")
      }
      return place
    }
    if let own {
      for (number, listener) in own.listeners.enumerated()
      where own.tlsListeners.contains(number) == url.isSecure
        && !own.proxyListeners.contains(number) && listener.port != 0
      {
        let isEvery = ["", "0.0.0.0", "::"].contains(listener.host)
        return RequestPlace(host: isEvery ? "127.0.0.1" : listener.host, port: listener.port)
      }
    }
    return RequestPlace(host: url.host, port: url.port)
  }

  private func ask(
    _ place: RequestPlace, token: String
  ) throws(AdminClient.Failure) -> AdminClient.Answer {
    let connection = try NodeConnection(
      .network(host: place.host, port: place.port, isSecure: url.isSecure),
      name: url.host, trust: .authorities(ca), patience: 60_000)
    var text = "\(method) \(url.target) HTTP/1.1\r\nHost: \(url.authority)\r\n"
    text += "Connection: close\r\nWeir-Explain: json \(token)\r\n"
    for field in fields { text += field + "\r\n" }
    if let data { text += "Content-Length: \(data.utf8.count)\r\n" }
    try connection.send(Array((text + "\r\n" + (data ?? "")).utf8))
    var buffer = ByteBuffer()
    while try connection.read(onto: &buffer) {}
    guard let answer = AdminClient.answer(in: buffer.view.array) else {
      throw AdminClient.Failure(text: "what answers at \(place) does not speak HTTP/1.1")
    }
    return answer
  }
}

/// Where a request is sent.
struct RequestPlace: CustomStringConvertible {
  let host: String
  let port: UInt16

  init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  /// `HOST:PORT` or `[ADDRESS]:PORT`.
  init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]),
      colon != text.startIndex
    else { return nil }
    var host = text[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    self.init(host: String(host), port: port)
  }

  /// Whether that is this machine.
  var isHere: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") }

  var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// A URL of http or https.
struct RequestURL: ExpressibleByArgument {
  let isSecure: Bool
  let host: String
  let port: UInt16
  /// As it stands in `Host`.
  let authority: String
  /// Path and query.
  let target: String

  init?(argument: String) {
    let schemes = [("https://", true), ("http://", false)]
    guard let (scheme, isSecure) = schemes.first(where: { argument.hasPrefix($0.0) }),
      argument.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value < 0x7F })
    else { return nil }
    let rest = argument.dropFirst(scheme.count).prefix { $0 != "#" }
    let authority = rest.prefix { $0 != "/" && $0 != "?" }
    guard !authority.isEmpty, !authority.contains("@") else { return nil }
    var target = String(rest.dropFirst(authority.count))
    if !target.hasPrefix("/") { target = "/" + target }
    self.isSecure = isSecure
    self.authority = String(authority)
    self.target = target
    if authority.hasSuffix("]") || !authority.contains(":") {
      port = isSecure ? 443 : 80
      host = String(authority.hasPrefix("[") ? authority.dropFirst().dropLast() : authority)
    } else {
      guard let place = RequestPlace(String(authority)) else { return nil }
      (host, port) = (place.host, place.port)
    }
  }
}

// MARK: - What is shown

/// What a node says, as far as it is shown.
private struct Shown: Decodable {
  struct Event: Decodable {
    struct Operand: Decodable {
      let text: String
      let value: String
    }
    let line: Int
    let text: String
    let holds: Bool?
    let value: String?
    let operands: [Operand]?
  }
  struct Limit: Decodable {
    let limit: String
    let keyed_by: String
    let verdict: String
    let cost: UInt64
    let remaining: UInt64
    let reset_ms: Double?
  }
  struct Freshness: Decodable {
    let age_seconds: Double
    let lifetime_seconds: Double
    let ttl_seconds: Double
    let source: String
    let softly_purged: Bool
  }
  struct Origin: Decodable {
    struct Try: Decodable {
      let server: String
      let connection: String?
      let outcome: String?
    }
    let pool: String?
    let tries: [Try]
  }
  struct Response: Decodable {
    let status: Int
    let fields: [String]
  }
  struct Timing: Decodable {
    let phase: String
    let ms: Double
  }

  let node: String
  let site: String?
  let route: String?
  let rules: [Event]
  let limits: [Limit]
  let key: String?
  let vary: String?
  let cache: String
  let decision: String
  let reason: String?
  let freshness: Freshness?
  let tags: [String]
  let tag_count: Int
  let origin: Origin?
  let response_rules: [Event]
  let response: Response
  let timings: [Timing]

  /// As lines for a terminal.
  var rendered: String {
    var lines: [(String, String)] = [
      ("node", node), ("site", site ?? "none"), ("route", route ?? "none"),
    ]
    lines += rules.flatMap { Self.lines($0, "rule") }
    for limit in limits {
      let reset = limit.reset_ms.map { ", better in \(Self.short($0 / 1_000)) s" } ?? ""
      lines.append(
        (
          "limit",
          "\(limit.limit) by \(limit.keyed_by): \(limit.verdict), cost \(limit.cost), "
            + "\(limit.remaining) left\(reset)"
        ))
    }
    if let key { lines.append(("key", key)) }
    if let vary { lines.append(("vary", vary)) }
    lines.append(("cache", cache + (reason.map { " (\($0))" } ?? "") + ": " + decision))
    if let freshness {
      let left = freshness.ttl_seconds
      let state = left >= 0 ? "fresh for \(Self.short(left)) s" : "stale for \(Self.short(-left)) s"
      lines.append(
        (
          "fresh",
          "\(state): age \(Self.short(freshness.age_seconds)) s of "
            + "\(Self.short(freshness.lifetime_seconds)) s, by \(freshness.source)"
            + (freshness.softly_purged ? "; purged softly" : "")
        ))
    }
    if tag_count > 0 {
      let unknown = tag_count > tags.count ? "\(tag_count) (their texts are not kept)" : ""
      lines.append(("tags", tags.isEmpty ? unknown : tags.joined(separator: " ")))
    }
    if let origin {
      lines.append(("origin", origin.pool ?? "none"))
      for attempt in origin.tries {
        lines.append(
          (
            "",
            "\(attempt.server), \(attempt.connection.map { "\($0) connection" } ?? "no connection")"
              + (attempt.outcome.map { ": \($0)" } ?? "")
          ))
      }
    }
    lines += response_rules.flatMap { Self.lines($0, "after") }
    lines.append(("status", "\(response.status)"))
    for field in response.fields { lines.append(("", field)) }
    for timing in timings { lines.append(("time", "\(Self.short(timing.ms)) ms  \(timing.phase)")) }
    return lines.map { name, text in
      name + String(repeating: " ", count: max(1, 8 - name.count)) + text + "\n"
    }.joined()
  }

  private static func lines(_ event: Event, _ name: String) -> [(String, String)] {
    let what =
      event.holds.map { "when \(event.text): \($0 ? "yes" : "no")" }
      ?? event.text + (event.value.map { "  -> \($0)" } ?? "")
    return [(name, "\(event.line) | \(what)")]
      + (event.operands ?? []).map { ("", "    \($0.text) is \($0.value)") }
  }

  /// A number with three digits behind the point at most.
  private static func short(_ number: Double) -> String {
    let thousandths = (number * 1_000).rounded()
    guard abs(thousandths) < 1e15 else { return "\(number)" }
    let whole = Int64(thousandths)
    if whole % 1_000 == 0 { return "\(whole / 1_000)" }
    let digits = String(abs(whole % 1_000))
    let sign = whole < 0 ? "-" : ""
    return "\(sign)\(abs(whole) / 1_000)." + String(repeating: "0", count: 3 - digits.count)
      + digits
  }
}
