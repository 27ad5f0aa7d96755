import ArgumentParser
internal import Bytes
import FoundationEssentials

/// `weir drain`: not ready, but serving.
struct DrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drain",
    abstract: "Have load balancers send clients elsewhere; whoever comes is served.",
    discussion: """
      The ready path of health_paths answers 503 from now on, also after a restart of the node. `weir undrain` \
      takes clients again.
      """)

  @OptionGroup var node: AskedNode

  func run() throws { try Readiness.order("POST", node) }
}

/// `weir undrain`: ready again.
struct UndrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "undrain", abstract: "Have load balancers send clients again.")

  @OptionGroup var node: AskedNode

  func run() throws { try Readiness.order("DELETE", node) }
}

private struct Readiness: Decodable {
  let drained: Bool
  let kept_over_restarts: Bool

  static func order(_ method: String, _ node: AskedNode) throws {
    guard let answer = try node.decoded(Readiness.self, node.ask(method, "/v1/drain")) else {
      return
    }
    print(answer.drained ? "drained: not ready, but serving" : "ready")
    if answer.drained && !answer.kept_over_restarts {
      print("the node has no store to keep this in: it is forgotten with a restart")
    }
  }
}

/// `weir maintenance`: 503 for the node, a site or a route.
struct MaintenanceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "maintenance",
    abstract: "Answer 503 for everything, or for a site or a route.",
    discussion: "Clients are told when to come again, and see a page. It holds over restarts.")

  @OptionGroup var node: AskedNode
  @OptionGroup var place: SwitchPlace
  @Option(help: ArgumentHelp("When clients are to come again.", valueName: "seconds"))
  var retryAfter: UInt32?
  @Option(
    help: ArgumentHelp("What they are shown; else the page for 503.", valueName: "file"),
    completion: .file())
  var page: String?

  func run() throws {
    var members = ""
    if let retryAfter { members += ", \"retry_after\": \(retryAfter)" }
    if let page {
      let text = try String(decoding: Data(contentsOf: URL(filePath: page)), as: UTF8.self)
      members += ", \"page\": \(JSONString.quoted(text))"
    }
    try place.order("maintenance", members, node)
  }
}

/// `weir store-only`: no origin is asked.
struct StoreOnlyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "store-only",
    abstract: "Serve only what is stored, fresh or stale, and ask no origin.",
    discussion: "What is not stored is answered with 504. It holds over restarts.")

  @OptionGroup var node: AskedNode
  @OptionGroup var place: SwitchPlace

  func run() throws { try place.order("store_only", "", node) }
}

/// Whether, and where.
struct SwitchPlace: ParsableArguments {
  /// The two ways.
  enum Position: String, ExpressibleByArgument, CaseIterable { case on, off }

  @Argument(help: "on or off.") var position: Position
  @Option(help: ArgumentHelp("Only on the site that has this host.", valueName: "host"))
  var site: String?
  @Option(help: ArgumentHelp("Only on this route, by its name in logs.", valueName: "name"))
  var route: String?

  func validate() throws {
    if site != nil && route != nil { throw ValidationError("give --site or --route, not both") }
  }

  /// Has a node do it, and shows what is switched then.
  func order(_ kind: String, _ members: String, _ node: AskedNode) throws {
    var content = "{\"switch\": \"\(kind)\", \"on\": \(position == .on)"
    if let site { content += ", \"site\": \(JSONString.quoted(site))" }
    if let route { content += ", \"route\": \(JSONString.quoted(route))" }
    content += (position == .on ? members : "") + "}"
    let answer = try node.ask("POST", "/v1/switches", json: content)
    guard let list = try node.decoded(Answer.self, answer) else { return }
    if list.switches.isEmpty { print("nothing is switched over") }
    for entry in list.switches { print(entry.text) }
  }

  private struct Answer: Decodable {
    let switches: [SwitchedOver]
  }
}

/// Something that is switched over on a node.
struct SwitchedOver: Decodable {
  let `switch`: String
  let site: String?
  let route: String?
  let by: String

  /// A line for a terminal.
  var text: String {
    let place = site.map { "site \($0)" } ?? route.map { "route \($0)" } ?? "the node"
    return "\(`switch`): \(place), by \(by)"
  }
}
