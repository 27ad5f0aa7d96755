import ArgumentParser
internal import Bytes

/// `weir purge`: purges on a running node.
struct PurgeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "purge",
    abstract: "Purge what a running node has stored.",
    discussion: """
      Says in one way what is to go; --tag, --url and --host may be repeated. For example:

        weir purge --tag article-17 --tag front
        weir purge --url https://shop.example/p/17 --soft
        weir purge --prefix //shop.example/images/ --dry-run
        weir purge --where 'content_type == "image/png" && age > 1h'

      The token is the configuration's, or that of the environment variable WEIR_TOKEN. Exit status: 0; 1 if \
      the node refuses, or a PoP that is waited for has not applied it in time; 69 if it cannot be reached; 78 if the configuration has errors.
      """)

  @OptionGroup var node: AskedNode

  @Option(help: "What carries this tag.") var tag: [String] = []
  @Option(help: "Every variant of this URL.") var url: [String] = []
  @Option(help: "With --url: only this variant, as weir object names it.") var variant: String?
  @Option(help: "All of this host.") var host: [String] = []
  @Option(help: "URLs that begin so: //HOST/PATH.") var prefix: String?
  @Option(help: "URLs that fit: //HOST/*.png.") var wildcard: String?
  @Option(name: .customLong("where"), help: "What this condition is true of.") var condition:
    String?
  @Flag(help: "Everything.") var all = false

  @Option(help: ArgumentHelp("Keep to the site of this host.", valueName: "host")) var site: String?
  @Flag(help: "Make it stale instead: it is served while it is validated.") var soft = false
  @Flag(help: "Only count.") var dryRun = false
  @Flag(help: "Wait for all PoPs of the fleet: --wait all.") var fleet = false
  @Option(help: "Wait for the PoPs of the region, or for all: local, region or all.")
  var wait: String?
  @Option(help: "How long to wait for them, ms.") var timeout: Int?

  func validate() throws {
    let ways = [
      !tag.isEmpty, !url.isEmpty, !host.isEmpty, prefix != nil, wildcard != nil, condition != nil,
      all,
    ].filter { $0 }
    guard ways.count == 1 else {
      throw ValidationError(
        "say in one way what is to go: --tag, --url, --host, --prefix, --wildcard, --where or --all"
      )
    }
    if fleet && wait != nil { throw ValidationError("--fleet and --wait say the same") }
    if variant != nil && url.count != 1 {
      throw ValidationError("--variant stands beside one --url")
    }
  }

  /// The order as the node takes it.
  var order: String {
    var members: [String] = []
    if !tag.isEmpty { members.append("\"tags\": \(JSONString.quoted(tag))") }
    if let variant, let url = url.first {
      members += [
        "\"url\": \(JSONString.quoted(url))", "\"variant\": \(JSONString.quoted(variant))",
      ]
    } else if !url.isEmpty {
      members.append("\"urls\": \(JSONString.quoted(url))")
    }
    if !host.isEmpty { members.append("\"hosts\": \(JSONString.quoted(host))") }
    if let prefix { members.append("\"prefix\": \(JSONString.quoted(prefix))") }
    if let wildcard { members.append("\"wildcard\": \(JSONString.quoted(wildcard))") }
    if let condition { members.append("\"where\": \(JSONString.quoted(condition))") }
    if all { members.append("\"everything\": true") }
    if let site { members.append("\"site\": \(JSONString.quoted(site))") }
    if soft { members.append("\"soft\": true") }
    if dryRun { members.append("\"dry_run\": true") }
    if let scope = fleet ? "all" : wait {
      members.append("\"wait\": \(JSONString.quoted(scope))")
    }
    if let timeout { members.append("\"timeout_ms\": \(timeout)") }
    return "{\(members.joined(separator: ", "))}"
  }

  func run() throws {
    let content = try node.ask("POST", "/v1/purge", json: order)
    guard let answer = try node.decoded(Answer.self, content) else { return }
    var rows = (answer.tags ?? [:]).sorted { $0.key < $1.key }.map { [$0.key, String($0.value)] }
    if rows.count > 1 { rows.insert(["TAG", "OBJECTS"], at: 0) } else { rows = [] }
    print(TextTable.text(rows), terminator: "")
    let objects = answer.objects.map { "\($0) objects" } ?? "objects are counted as they are found"
    if let id = answer.id {
      print("purge \(id): \(objects), \(answer.duration_ms ?? 0) ms")
    } else {
      print("would reach \(objects)\(answer.bytes.map { ", \($0) bytes" } ?? "")")
    }
    if let fleet = answer.fleet { try fleet.show("PURGE", done: "applied") }
  }

  private struct Answer: Decodable {
    let id: UInt64?
    let objects: UInt64?
    let bytes: UInt64?
    let tags: [String: UInt64]?
    let duration_ms: Double?
    let fleet: FleetReached?
  }
}

/// `weir purges`: the last purges.
struct PurgesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "purges", abstract: "List the last purges of a running node.")

  @OptionGroup var node: AskedNode
  @Option(help: "How many, from 1 to 1000.") var limit = 20
  @Argument(help: "One purge, by its number.") var id: UInt64?

  func run() throws {
    if let id {
      let content = try node.ask("GET", "/v1/purges/\(id)")
      print(String(decoding: content, as: UTF8.self))
      return
    }
    let content = try node.ask("GET", "/v1/purges?limit=\(limit)")
    guard let list = try node.decoded(List.self, content) else { return }
    let rows = list.purges.map { purge in
      [
        String(purge.id), purge.time, purge.who, purge.soft ? "soft" : "hard",
        purge.objects.map { String($0) } ?? "?",
      ]
    }
    print(TextTable.text([["ID", "TIME", "WHO", "KIND", "OBJECTS"]] + rows), terminator: "")
  }

  private struct List: Decodable {
    struct Purge: Decodable {
      let id: UInt64
      let time: String
      let who: String
      let soft: Bool
      let objects: UInt64?
    }
    let purges: [Purge]
  }
}
