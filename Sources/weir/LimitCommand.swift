import ArgumentParser

/// `weir limit`: limits of a running node.
struct LimitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "limit",
    abstract: "See and tune the limits of a running node.",
    discussion: """
      Asks the admin listener that the configuration names, with its token.

      Exit status: 0; 1 if the node refuses; 69 if it cannot be reached; 78 if the configuration has \
      errors.
      """,
    subcommands: [
      LimitList.self, LimitShow.self, LimitSet.self, LimitKeys.self, LimitForgive.self,
    ])
}

private struct LimitList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List all limits, and what they have decided.")

  @OptionGroup var node: AskedNode

  func run() throws {
    guard let list = try node.decoded(AllLimits.self, node.ask("GET", "/v1/limits")) else { return }
    var rows = [
      [
        "LIMIT", "RULE", "IN FORCE", "KEYS", "WAITING", "ALLOWED", "DELAYED", "REJECTED",
        "SHADOWED",
      ]
    ]
    for limit in list.limits {
      rows.append(
        [limit.name, limit.rule, limit.inForce]
          + [
            limit.keys, limit.waiting, limit.allowed, limit.delayed, limit.rejected, limit.shadowed,
          ].map { String($0) })
    }
    print(TextTable.text(rows), terminator: "")
  }
}

private struct LimitShow: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "show", abstract: "Show a limit.")

  @OptionGroup var node: AskedNode
  @Argument(help: "Its name.") var name: String

  func run() throws {
    let content = try node.ask("GET", "/v1/limits/\(AskedNode.segment(name))")
    guard let limit = try node.decoded(ShownLimit.self, content) else { return }
    print(TextTable.text(limit.rows), terminator: "")
  }
}

private struct LimitSet: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "set",
    abstract: "Change a limit, from the next request on.",
    discussion: """
      What was spent stays spent. For example: weir limit set login rate=10/m burst=20 --persist
      """)

  @OptionGroup var node: AskedNode
  @Argument(help: "Its name.") var name: String
  @Argument(
    help: ArgumentHelp(
      "rate=RATE, burst=NUMBER, queue=NUMBER, limit=NUMBER, shadow=on|off.", valueName: "setting"))
  var settings: [String]
  @Flag(help: "Keep the change over a restart, beside the store.") var persist = false
  @Flag(help: "Change it at all PoPs of the region, by the fleet's log, and wait for them.")
  var fleet = false
  @Option(help: "With --fleet: how long to wait for them, in milliseconds.") var timeout: Int?

  func validate() throws { _ = try members() }

  private func members() throws -> String {
    var members: [String] = []
    for setting in settings {
      let parts = setting.split(separator: "=", maxSplits: 1).map { String($0) }
      guard parts.count == 2 else { throw ValidationError("\(setting) is not NAME=VALUE") }
      members.append("\"\(parts[0])\": \(try value(of: parts[0], parts[1]))")
    }
    if persist { members.append("\"persist\": true") }
    if fleet { members.append("\"fleet\": true") }
    if let timeout {
      guard fleet else { throw ValidationError("--timeout is for --fleet") }
      members.append("\"timeout_ms\": \(timeout)")
    }
    return "{\(members.joined(separator: ", "))}"
  }

  private func value(of name: String, _ text: String) throws -> String {
    switch name {
    case "rate":
      guard text.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "/") }) else {
        throw ValidationError("\(text) is not a rate")
      }
      return "\"\(text)\""
    case "burst", "queue", "limit":
      guard let number = UInt64(text) else { throw ValidationError("\(text) is not a number") }
      return String(number)
    case "shadow":
      guard ["on", "off"].contains(text) else { throw ValidationError("shadow is on or off") }
      return text == "on" ? "true" : "false"
    default: throw ValidationError("there is no \(name): see weir limit set --help")
    }
  }

  func run() throws {
    let content = try node.ask(
      "PATCH", "/v1/limits/\(AskedNode.segment(name))", json: members())
    guard let limit = try node.decoded(ShownLimit.self, content) else { return }
    print("\(limit.name): \(limit.inForce)\(persist ? ", kept" : "")")
    if let reach = limit.fleet { try reach.show("LIMIT", done: "changed") }
  }
}

private struct LimitKeys: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "keys", abstract: "List the keys that have spent most lately, heaviest first.")

  @OptionGroup var node: AskedNode
  @Argument(help: "The limit's name.") var name: String
  @Option(help: "How many, from 1 to 256.") var top = 50

  func run() throws {
    let content = try node.ask("GET", "/v1/limits/\(AskedNode.segment(name))/keys?top=\(top)")
    guard let list = try node.decoded(HeavyKeys.self, content) else { return }
    let rows = list.keys.map { [$0.key, String($0.weight), String($0.rejected), $0.id] }
    print(TextTable.text([["KEY", "WEIGHT", "REJECTED", "ID"]] + rows), terminator: "")
  }
}

private struct LimitForgive: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "forgive", abstract: "Give a key all it may have, and end its penalty.")

  @OptionGroup var node: AskedNode
  @Argument(help: "The limit's name.") var name: String
  @Argument(help: "The key, or its id of the list of keys.") var key: String

  func run() throws {
    let path = "/v1/limits/\(AskedNode.segment(name))/keys/\(AskedNode.segment(key))"
    let content = try node.ask("DELETE", path)
    print(node.json ? String(decoding: content, as: UTF8.self) : "\(key) is forgiven")
  }
}

// MARK: What the node answers

private struct AllLimits: Decodable {
  let limits: [ShownLimit]
}

private struct ShownLimit: Decodable {
  let name: String
  let rule: String
  let rate: String?
  let burst: UInt64?
  let queue: UInt64?
  let limit: UInt64?
  let window_seconds: UInt64?
  let shadow: Bool
  let key: String
  let per: String
  let routes: [String]
  let kept: String
  let keys: UInt64
  let bytes: UInt64
  let waiting: UInt64
  let allowed: UInt64
  let delayed: UInt64
  let rejected: UInt64
  let shadowed: UInt64
  let fleet: FleetReached?

  /// What is in force, in a few words.
  var inForce: String {
    var words: [String] = []
    if let rate { words.append(rate) }
    if let burst { words.append("burst=\(burst)") }
    if let queue { words.append("queue=\(queue)") }
    if let limit { words.append("limit=\(limit)") }
    if let window_seconds { words.append("window=\(window_seconds)s") }
    if shadow { words.append("shadow") }
    return words.joined(separator: " ")
  }

  var rows: [[String]] {
    [
      ["name", name], ["rule", rule], ["in force", inForce], ["kept", kept],
      ["key", key], ["budgets", per == "route" ? "one for each route" : "shared by all routes"],
      ["routes", routes.joined(separator: " ")], ["keys", "\(keys) in \(bytes) bytes"],
      ["waiting", "\(waiting)"], ["allowed", "\(allowed)"], ["delayed", "\(delayed)"],
      ["rejected", "\(rejected)"], ["shadowed", "\(shadowed)"],
    ]
  }
}

private struct HeavyKeys: Decodable {
  struct Key: Decodable {
    let id: String
    let key: String
    let weight: UInt64
    let rejected: UInt64
  }
  let keys: [Key]
}
