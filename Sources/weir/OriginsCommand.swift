import ArgumentParser

/// `weir origins`: pools and their servers.
struct OriginsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "origins",
    abstract: "See the origins of a running node, and take servers out and in.",
    subcommands: [
      OriginsList.self, OriginsDrain.self, OriginsEnable.self, OriginsDisable.self,
      OriginsWeight.self,
    ], defaultSubcommand: OriginsList.self)
}

private struct OriginsList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List all origins and their servers.")

  @OptionGroup var node: AskedNode

  func run() throws {
    guard let list = try node.decoded(Origins.self, node.ask("GET", "/v1/origins")) else { return }
    var rows = [["ORIGIN", "SERVER", "STATE", "WEIGHT", "IN FLIGHT", "REQUESTS", "FAILURES", "MS"]]
    for origin in list.origins {
      if origin.servers.isEmpty {
        rows.append([origin.name, origin.files ?? "", "", "", String(origin.in_flight), "", "", ""])
      }
      for server in origin.servers {
        rows.append(
          [origin.name, server.name, server.state]
            + [server.weight, server.in_flight, server.requests, server.failures].map { String($0) }
            + [String(server.mean_latency_ms)])
      }
    }
    print(TextTable.text(rows), terminator: "")
  }

  private struct Origins: Decodable {
    struct Origin: Decodable {
      struct Server: Decodable {
        let name: String
        let state: String
        let weight: UInt64
        let in_flight: UInt64
        let requests: UInt64
        let failures: UInt64
        let mean_latency_ms: Double
      }
      let name: String
      let files: String?
      let in_flight: UInt64
      let servers: [Server]
    }
    let origins: [Origin]
  }
}

/// A server of an origin.
private struct NamedServer: ParsableArguments {
  @OptionGroup var node: AskedNode
  @Argument(help: "The origin's name.") var origin: String
  @Argument(help: "The server, as the list names it.") var server: String

  func order(_ members: String) throws {
    let path =
      "/v1/origins/\(AskedNode.segment(origin))/servers/\(AskedNode.segment(server))"
    let content = try node.ask("POST", path, json: "{\(members)}")
    guard let answer = try node.decoded(Answer.self, content) else { return }
    print("\(answer.origin) \(answer.server): \(answer.state)")
  }

  private struct Answer: Decodable {
    let origin: String
    let server: String
    let state: String
  }
}

private struct OriginsDrain: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drain", abstract: "Send nothing new to a server; what is under way ends.")
  @OptionGroup var named: NamedServer
  func run() throws { try named.order("\"action\": \"drain\"") }
}

private struct OriginsDisable: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disable", abstract: "The same, and do not check it either.")
  @OptionGroup var named: NamedServer
  func run() throws { try named.order("\"action\": \"disable\"") }
}

private struct OriginsEnable: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "enable", abstract: "Use a server again, and end its ejection.")
  @OptionGroup var named: NamedServer
  func run() throws { try named.order("\"action\": \"enable\"") }
}

private struct OriginsWeight: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "weight", abstract: "Set a server's share.")
  @OptionGroup var named: NamedServer
  @Argument(help: "From 1 to 65535.") var weight: Int
  func run() throws { try named.order("\"action\": \"weight\", \"weight\": \(weight)") }
}

/// `weir status`: a node at a glance.
struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show what a running node is and does.")

  @OptionGroup var node: AskedNode

  func run() throws {
    guard let status = try node.decoded(Status.self, node.ask("GET", "/v1/status")) else { return }
    print(TextTable.text(status.rows), terminator: "")
  }

  private struct Status: Decodable {
    struct Connections: Decodable {
      let open: UInt64
      let accepted: UInt64
    }
    struct Requests: Decodable {
      let total: UInt64
      let by_result: [String: UInt64]
      let limited: UInt64
    }
    struct Store: Decodable {
      let objects: UInt64
      let bytes: UInt64
      let limit_bytes: UInt64
      let evicted: UInt64
      let purges: UInt64
      let purges_pending: UInt64
      let writing_ended: Bool
    }
    let version: String
    let node: String
    let uptime_seconds: Double
    let workers: UInt64
    let connections: Connections
    let requests: Requests
    let drained: Bool?
    let switches: [SwitchedOver]?
    let store: Store?

    var rows: [[String]] {
      let hits = requests.by_result["hit"] ?? 0
      let share = requests.total > 0 ? hits * 1_000 / requests.total : 0
      var rows = [
        ["node", "\(node), weir \(version), \(workers) workers"],
        ["up for", "\(Int(uptime_seconds)) s"],
        ["connections", "\(connections.open) open, \(connections.accepted) accepted"],
        [
          "requests",
          "\(requests.total), \(share / 10).\(share % 10) % hits, \(requests.limited) limited",
        ],
      ]
      for (result, count) in requests.by_result.sorted(by: { $0.value > $1.value })
      where count > 0 && result != "hit" {
        rows.append(["  \(result)", "\(count)"])
      }
      if drained == true { rows.append(["ready", "no: drained"]) }
      for entry in switches ?? [] where entry.switch != "drain" {
        rows.append(["switched", entry.text])
      }
      if let store {
        rows.append([
          "store",
          "\(store.objects) objects, \(store.bytes) of \(store.limit_bytes) bytes, "
            + "\(store.evicted) evicted" + (store.writing_ended ? ", WRITING HAS ENDED" : ""),
        ])
        rows.append(["purges", "\(store.purges), \(store.purges_pending) pending"])
      }
      return rows
    }
  }
}
