import ArgumentParser
internal import Bytes
import CLinux

/// `weir warm`: fetches ahead of clients.
struct WarmCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "warm",
    abstract: "Have a running node fetch URLs before clients ask for them.",
    discussion: """
      The node asks itself for each, as a client would. Prints the order's number, or with --wait how far it \
      is until it is done.
      """)

  @OptionGroup var node: AskedNode
  @Argument(help: "URLs: http://HOST/PATH, or //HOST/PATH.") var urls: [String] = []
  @Option(help: ArgumentHelp("A sitemap, whose URLs are fetched.", valueName: "url"))
  var sitemap: String?
  @Option(help: "URLs a second, from 1 to 1000.") var rate = 10
  @Option(help: ArgumentHelp("Show how far an order is.", valueName: "id")) var progress: UInt64?
  @Option(help: ArgumentHelp("End an order.", valueName: "id")) var cancel: UInt64?
  @Flag(help: "Wait until it is done.") var wait = false

  func validate() throws {
    let ways = [!urls.isEmpty, sitemap != nil, progress != nil, cancel != nil].filter { $0 }
    guard ways.count == 1 else {
      throw ValidationError("one of URLs, --sitemap, --progress and --cancel is needed")
    }
  }

  func run() throws {
    if let cancel { return try show(node.ask("DELETE", "/v1/warm/\(cancel)")) }
    if let progress { return try follow(progress) }
    let what =
      sitemap.map { "\"sitemap\": \(JSONString.quoted($0))" }
      ?? "\"urls\": \(JSONString.quoted(urls))"
    let content = try node.ask("POST", "/v1/warm", json: "{\(what), \"rate\": \(rate)}")
    guard let report = try node.decoded(Report.self, content) else { return }
    print("order \(report.id): \(report.urls) URLs")
    if wait { try follow(report.id) }
  }

  private func follow(_ id: UInt64) throws {
    while true {
      let content = try node.ask("GET", "/v1/warm/\(id)")
      guard let report = try node.decoded(Report.self, content) else { return }
      print(report.line)
      if !wait || report.state != "running" { return }
      _ = sleep(1)
    }
  }

  private func show(_ content: [UInt8]) throws {
    if let report = try node.decoded(Report.self, content) { print(report.line) }
  }

  private struct Report: Decodable {
    let id: UInt64
    let state: String
    let urls: UInt64
    let done: UInt64
    let hits: UInt64
    let fetched: UInt64
    let failed: UInt64
    let bytes: UInt64
    let failure: String?

    var line: String {
      "order \(id) is \(state): \(done) of \(urls) URLs, \(fetched) fetched, \(hits) there already, "
        + "\(failed) failed, \(bytes) bytes" + (failure.map { " (\($0))" } ?? "")
    }
  }
}
