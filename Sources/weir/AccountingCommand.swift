import ArgumentParser

/// `weir accounting`: what was served, for billing and planning.
struct AccountingCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "accounting",
    abstract: "Show what each route of a node was asked and sent, by day or hour.",
    discussion: """
      Times are UTC: a day such as 2026-07-10, or an hour such as 2026-07-10T08; --to is shown, too. Without \
      them it is the last seven days or 24 hours. Hours are kept for 90 days, sums of days for two years.

      Example: weir accounting --from 2026-06-01 --to 2026-06-30 --per site --csv > june.csv
      """)

  @OptionGroup var node: AskedNode
  @Option(help: "How long the time of a row is.") var by: Step = .day
  @Option(help: "What a row is of.") var per: Subject = .route
  @Option(help: ArgumentHelp("The first day or hour.", valueName: "time")) var from: String?
  @Option(help: ArgumentHelp("The last day or hour.", valueName: "time")) var to: String?
  @Flag(help: "Print comma-separated values.") var csv = false

  enum Step: String, ExpressibleByArgument, CaseIterable { case hour, day }
  enum Subject: String, ExpressibleByArgument, CaseIterable { case route, site, node }

  func validate() throws {
    if csv && node.json { throw ValidationError("one of --csv and --json, or none") }
  }

  func run() throws {
    let query = AskedNode.query([
      ("by", by.rawValue), ("per", per.rawValue), ("from", from), ("to", to),
      ("format", csv ? "csv" : nil),
    ])
    let content = try node.ask("GET", "/v1/accounting\(query)")
    if csv {
      print(String(decoding: content, as: UTF8.self), terminator: "")
      return
    }
    guard let report = try node.decoded(Report.self, content) else { return }
    let subject = per == .node ? [] : [per == .site ? "SITE" : "ROUTE"]
    let head = ["START"] + subject + ["REQUESTS", "SENT", "FROM THE STORE", "RECEIVED"]
    print(TextTable.text([head] + report.rows.map { $0.cells(per) }), terminator: "")
  }

  private struct Report: Decodable {
    struct Row: Decodable {
      let start: String
      let site: String
      let route: String
      let requests: UInt64
      let bytes_sent: UInt64
      let bytes_received: UInt64
      let hit_ratio: Double

      func cells(_ subject: Subject) -> [String] {
        let name = subject == .node ? [] : [subject == .site ? site : route]
        let percent = "\((hit_ratio * 1_000).rounded() / 10) %"
        return [start] + name
          + ["\(requests)", Self.size(bytes_sent), percent, Self.size(bytes_received)]
      }

      /// Bytes as people read them.
      private static func size(_ bytes: UInt64) -> String {
        var value = Double(bytes)
        var unit = 0
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
        while value >= 1_024, unit < units.count - 1 {
          value /= 1_024
          unit += 1
        }
        return unit == 0 ? "\(bytes) B" : "\((value * 10).rounded() / 10) \(units[unit])"
      }
    }
    let rows: [Row]
  }
}
