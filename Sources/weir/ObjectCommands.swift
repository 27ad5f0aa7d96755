import ArgumentParser

/// `weir object`: what is stored for a URL.
struct ObjectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "object",
    abstract: "Show what a running node has stored for a URL.",
    discussion: "Every variant, how old it is, and what a request would get of it.")

  @OptionGroup var node: AskedNode
  @Argument(help: "The URL: http://HOST/PATH, or //HOST/PATH.") var url: String

  func run() throws {
    let content = try node.ask("GET", "/v1/objects" + AskedNode.query([("url", url)]))
    guard let list = try node.decoded(StoredObjects.self, content) else { return }
    if list.objects.isEmpty { print("nothing is stored for \(url)") }
    for object in list.objects { print(TextTable.text(object.rows)) }
  }
}

/// `weir objects`: what is stored, by tag, by host, or the heaviest.
struct ObjectsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "objects", abstract: "List what a running node has stored.")

  @OptionGroup var node: AskedNode
  @Option(help: "What carries this tag.") var tag: String?
  @Option(help: "What is of this host.") var host: String?
  @Option(help: "The heaviest by bytes, by hits of late, or by uses that eviction knows of.")
  var by: Weight?
  @Option(name: [.customLong("top"), .customLong("limit")], help: "How many, from 1 to 1000.")
  var limit = 50

  enum Weight: String, ExpressibleByArgument, CaseIterable { case bytes, hits, uses }

  func validate() throws {
    let ways = [tag != nil, host != nil, by != nil].filter { $0 }
    guard ways.count == 1 else { throw ValidationError("one of --tag, --host and --by is needed") }
  }

  func run() throws {
    let query = AskedNode.query([
      ("tag", tag), ("host", host), ("by", by?.rawValue), ("limit", String(limit)),
    ])
    let content = try node.ask("GET", "/v1/objects" + query)
    guard let list = try node.decoded(StoredObjects.self, content) else { return }
    let rows = list.objects.map { object in
      [
        String(object.size), String(object.status), object.use, String(Int(object.ttl_seconds)),
        object.hits.map { String($0) } ?? "-", String(object.uses), object.url,
      ]
    }
    print(
      TextTable.text([["SIZE", "STATUS", "USE", "TTL", "HITS", "USES", "URL"]] + rows),
      terminator: "")
    if list.next != nil { print("… and more") }
  }
}

private struct StoredObjects: Decodable {
  struct Object: Decodable {
    let url: String
    let variant: String
    let vary: String?
    let status: Int
    let size: UInt64
    let stored_bytes: UInt64
    let missing_bytes: UInt64
    let etag: String?
    let last_modified: String?
    let received: String
    let age_seconds: Double
    let lifetime_seconds: Double
    let ttl_seconds: Double
    let use: String
    let reason: String
    let tags: UInt64
    let uses: UInt64
    let hits: UInt64?

    var rows: [[String]] {
      [
        ["url", url], ["variant", variant + (vary.map { " by \($0)" } ?? "")],
        ["status", "\(status)"],
        [
          "size",
          "\(size) bytes, \(stored_bytes) in the store"
            + (missing_bytes > 0 ? ", \(missing_bytes) missing" : ""),
        ],
        ["validators", [etag, last_modified].compactMap { $0 }.joined(separator: " ")],
        ["received", received],
        ["age", "\(age_seconds) s of \(lifetime_seconds) s, \(ttl_seconds) s left"],
        ["use", "\(use): \(reason)"], ["tags", "\(tags)"],
        ["uses", "\(uses) of 3 that eviction counts"],
        ["hits", hits.map { "about \($0) of late" } ?? "few of late"],
      ]
    }
  }
  let objects: [Object]
  let next: UInt64?
}

/// `weir hits`: what is hit most.
struct HitsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hits",
    abstract: "List the URLs, or the tags, that a running node is hit for most.",
    discussion: """
      By one hit of 128, halved every five minutes. A tag that no origin has said since the node's \
      start is a dash.
      """)

  @OptionGroup var node: AskedNode
  @Option(help: "What is counted.") var of: Subject = .urls
  @Option(help: "How many, from 1 to 512.") var top = 30

  enum Subject: String, ExpressibleByArgument, CaseIterable { case urls, tags }

  func run() throws {
    let query = AskedNode.query([("of", of.rawValue), ("top", String(top))])
    let content = try node.ask("GET", "/v1/hits" + query)
    guard let list = try node.decoded(Hits.self, content) else { return }
    let rows = list.hits.map { [String($0.hits), String($0.bytes), $0.url ?? $0.tag ?? "-"] }
    let name = of.rawValue.uppercased().dropLast()
    print(TextTable.text([["HITS", "BYTES", String(name)]] + rows), terminator: "")
  }

  private struct Hits: Decodable {
    struct Hit: Decodable {
      let url: String?
      let tag: String?
      let hits: UInt64
      let bytes: UInt64
    }
    let hits: [Hit]
  }
}

/// `weir misses`: what origins are asked for.
struct MissesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "misses",
    abstract: "List what a running node asks its origins for most, and why.",
    discussion: """
      Weights are halved every five minutes. Tags are of one answer of 8.
      """)

  @OptionGroup var node: AskedNode
  @Option(help: "What is counted.") var of: Subject = .urls
  @Option(help: "What the list is ordered by.") var by: Weight = .misses
  @Option(help: "How many, from 1 to 512.") var top = 30

  enum Subject: String, ExpressibleByArgument, CaseIterable {
    case urls, hosts, parameters, tags
  }
  enum Weight: String, ExpressibleByArgument, CaseIterable { case misses, bytes }

  func run() throws {
    let query = AskedNode.query([
      ("of", of.rawValue), ("by", by.rawValue), ("top", String(top)),
    ])
    let content = try node.ask("GET", "/v1/misses" + query)
    guard let list = try node.decoded(Misses.self, content) else { return }
    let rows = list.misses.map { miss in
      let reasons = miss.reasons.sorted { $0.value > $1.value }.map { "\($0.key) \($0.value)" }
      return [
        String(miss.misses), String(miss.bytes), reasons.joined(separator: ", "), miss.name ?? "-",
      ]
    }
    let name = of.rawValue.uppercased().dropLast()
    print(TextTable.text([["MISSES", "BYTES", "WHY", String(name)]] + rows), terminator: "")
  }

  private struct Misses: Decodable {
    struct Miss: Decodable {
      let name: String?
      let misses: UInt64
      let bytes: UInt64
      let reasons: [String: UInt64]
    }
    let misses: [Miss]
  }
}
