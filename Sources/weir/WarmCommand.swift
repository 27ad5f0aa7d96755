import ArgumentParser
internal import Bytes
import CLinux
import FoundationEssentials

/// `weir warm`: fetches ahead of clients.
struct WarmCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "warm",
    abstract: "Have a running node fetch URLs before clients ask for them.",
    discussion: """
      The node asks itself for each, as a client would. Prints the order's number, or with --wait how far it \
      is until it is done. With --fleet every PoP of the fleet fetches them for itself, each at --rate, and what \
      each has done is shown. An order may be taken for ten minutes; it is called by a name then, which each \
      of them knows. PoPs that are out, and an engine that is silent, are waited for for ten seconds.

      Exit status: 0; 1 if the node refuses, or with --fleet if a PoP has not taken the order (with --wait: has \
      not carried it out); 69 if the node cannot be reached; 78 if the configuration has errors.
      """)

  @OptionGroup var node: AskedNode
  @Argument(help: "URLs: http://HOST/PATH, or //HOST/PATH.") var urls: [String] = []
  @Option(help: ArgumentHelp("A sitemap, whose URLs are fetched.", valueName: "url"))
  var sitemap: String?
  @Option(help: "URLs a second, from 1 to 1000.") var rate = 10
  @Option(help: ArgumentHelp("Show how far an order is.", valueName: "id")) var progress: String?
  @Option(help: ArgumentHelp("End an order; one of the fleet at all PoPs.", valueName: "id"))
  var cancel: String?
  @Flag(help: "Wait until it is done.") var wait = false
  @Flag(help: "Have all PoPs of the fleet fetch them.") var fleet = false
  @Flag(help: "With --fleet: only the PoPs of the node's region.") var region = false
  @Option(
    help: ArgumentHelp("With --fleet: how long to wait until they have taken it.", valueName: "ms"))
  var timeout: Int?

  func validate() throws {
    let ways = [!urls.isEmpty, sitemap != nil, progress != nil, cancel != nil].filter { $0 }
    guard ways.count == 1 else {
      throw ValidationError("one of URLs, --sitemap, --progress and --cancel is needed")
    }
    if (region || timeout != nil) && !fleet {
      throw ValidationError("--region and --timeout are for --fleet")
    }
    if fleet && (progress != nil || cancel != nil) {
      throw ValidationError("--fleet is for URLs and --sitemap: an order knows whose it is")
    }
  }

  /// The order as the node takes it.
  private var order: String {
    var members = [
      sitemap.map { "\"sitemap\": \(JSONString.quoted($0))" }
        ?? "\"urls\": \(JSONString.quoted(urls))", "\"rate\": \(rate)",
    ]
    if fleet { members.append("\"fleet\": \"\(region ? "region" : "all")\"") }
    if let timeout { members.append("\"timeout_ms\": \(timeout)") }
    return "{\(members.joined(separator: ", "))}"
  }

  func run() throws {
    if let cancel {
      return try show(
        try node.ask("DELETE", "/v1/warm/\(AskedNode.segment(cancel))"), isLast: false)
    }
    if let progress { return try follow(progress) }
    let content = try node.ask("POST", "/v1/warm", json: order)
    let report = try Self.report(content)
    if !node.json {
      print("order \(report.order ?? "\(report.id)"): \(report.urls) URLs")
    }
    if wait { return try follow(report.order ?? "\(report.id)") }
    if node.json {
      print(String(decoding: content, as: UTF8.self))
    } else {
      report.fleet?.show()
    }
    if let fleet = report.fleet, !fleet.isTaken { throw ExitCode(1) }
  }

  /// So often in a row the engine may be silent, or PoPs be out, before nobody waits for them any more: one
  /// that is started again is back by then.
  private static let mostMissing = 10

  /// Shows how far an order is; with `--wait` until it is over.
  private func follow(_ id: String) throws {
    var missing = 0
    while true {
      let content = try node.ask("GET", "/v1/warm/\(AskedNode.segment(id))")
      let report = try Self.report(content)
      missing = report.fleet?.isMissingSome ?? false ? missing + 1 : 0
      let isOver = report.isOver && (missing == 0 || missing > Self.mostMissing)
      if !wait || isOver { return try show(content, isLast: wait) }
      if !node.json { print(report.line) }
      _ = sleep(1)
    }
  }

  /// Shows a report. Of one that is the last all PoPs must have carried the order out.
  private func show(_ content: [UInt8], isLast: Bool) throws {
    let report = try Self.report(content)
    if node.json {
      print(String(decoding: content, as: UTF8.self))
    } else {
      print(report.line)
      report.fleet?.show()
    }
    if isLast, let fleet = report.fleet, !fleet.complete { throw ExitCode(1) }
  }

  private static func report(_ content: [UInt8]) throws -> WarmingReport {
    try JSONDecoder().decode(WarmingReport.self, from: Data(content))
  }
}

/// An order to warm, as the admin API shows it.
private struct WarmingReport: Decodable {
  let id: UInt64
  let state: String
  let urls: UInt64
  let done: UInt64
  let hits: UInt64
  let fetched: UInt64
  let failed: UInt64
  let bytes: UInt64
  let failure: String?
  let order: String?
  let fleet: WarmedFleet?

  /// Whether nothing more comes of it, here or at another PoP.
  var isOver: Bool { state != "running" && fleet?.isOver ?? true }

  var line: String {
    "order \(order ?? "\(id)") is \(state)\(fleet == nil ? "" : " here"): \(done) of \(urls) URLs, "
      + "\(fetched) fetched, \(hits) there already, \(failed) failed, \(bytes) bytes"
      + (failure.map { " (\($0))" } ?? "") + (fleet.map { "; \($0.line)" } ?? "")
  }
}

/// What the PoPs have made of it.
private struct WarmedFleet: Decodable {
  struct PoP: Decodable {
    let name: String
    let region: String
    let state: String
    let urls: UInt64
    let done: UInt64
    let hits: UInt64
    let fetched: UInt64
    let failed: UInt64
    let failure: String?
  }
  let complete: Bool
  let told: Bool
  let heard: Bool
  let pops: [PoP]

  var isTaken: Bool {
    told && heard && pops.allSatisfy { ["running", "done"].contains($0.state) }
  }

  /// Whether nothing more comes of it, as far as is known.
  var isOver: Bool { pops.allSatisfy { !["waiting", "running"].contains($0.state) } }

  /// Whether more may be known a little later.
  var isMissingSome: Bool { !heard || pops.contains { $0.state == "out" } }

  var line: String { "\(pops.count { $0.state == "done" }) of \(pops.count) PoPs are done" }

  func show() {
    let rows = pops.map { pop in
      [
        pop.name, pop.region, pop.state, String(pop.urls), String(pop.done), String(pop.hits),
        String(pop.fetched), String(pop.failed),
      ]
    }
    let head = ["POP", "REGION", "STATE", "URLS", "DONE", "THERE", "FETCHED", "FAILED"]
    print(TextTable.text([head] + rows), terminator: "")
    for pop in pops {
      if let failure = pop.failure { print("\(pop.name): \(TextTable.shown(failure))") }
    }
    if !heard { print("the engine does not say who else there is") }
    if !told {
      print("the others are not told: they are once the engine can be reached, within ten minutes")
    }
  }
}
