// Two runs side by side.

/// Two reports, the first of which is what the second is compared with.
package struct ReportComparison: Sendable {
  /// The one.
  package let first: ReplayReport
  /// The other.
  package let second: ReplayReport

  /// A comparison.
  package init(_ first: ReplayReport, _ second: ReplayReport) {
    self.first = first
    self.second = second
  }

  /// One figure of both.
  struct Row {
    var name: String
    var first: String
    var second: String
    /// How many times as large the second is; nil where that says nothing.
    var ratio: Double?
  }

  var rows: [Row] {
    var rows = [
      row("answered") {
        Double($0.answers)
      } show: {
        Figure.count($0)
      },
      row("failed") {
        Double($0.failed)
      } show: {
        Figure.count($0)
      },
      row("rate, 1/s") {
        $0.rate
      } show: {
        Figure.count($0)
      },
      row("sent late") {
        Double($0.late)
      } show: {
        Figure.count($0)
      },
    ]
    for name in ["50", "90", "99", "99.9", "99.99"] {
      rows.append(
        row("p\(name)") {
          $0.latency.percentile(name)
        } show: {
          Figure.time($0)
        })
    }
    rows.append(
      row("longest") {
        $0.latency.max
      } show: {
        Figure.time($0)
      })
    for name in ["hit", "miss", "limited"] {
      let has = { (report: ReplayReport) in report.classes.first { $0.name == name } }
      if has(first) == nil && has(second) == nil { continue }
      rows.append(
        row("\(name) p50") {
          has($0)?.latency.percentile("50")
        } show: {
          Figure.time($0)
        })
      rows.append(
        row("\(name) p99") {
          has($0)?.latency.percentile("99")
        } show: {
          Figure.time($0)
        })
    }
    rows.append(
      row("hit ratio") {
        $0.hitRatio
      } show: {
        Figure.share($0)
      })
    rows.append(
      row("byte hit ratio") {
        $0.byteHitRatio
      } show: {
        Figure.share($0)
      })
    rows.append(
      row("offload") {
        $0.offload
      } show: {
        Figure.share($0)
      })
    rows.append(
      row("limited") {
        Double($0.limits.limited)
      } show: {
        Figure.count($0)
      })
    rows.append(
      row("knee, 1/s") {
        $0.knee
      } show: {
        Figure.count($0)
      })
    return rows.filter { $0.first != "-" || $0.second != "-" }
  }

  private func row(
    _ name: String, _ value: (ReplayReport) -> Double?, show: (Double) -> String
  ) -> Row {
    let (one, other) = (value(first), value(second))
    let ratio = one.flatMap { one in other.flatMap { one > 0 ? $0 / one : nil } }
    return Row(
      name: name, first: one.map(show) ?? "-", second: other.map(show) ?? "-", ratio: ratio)
  }

  /// The comparison as text.
  package func text() -> String {
    let head = [["", first.name, second.name, "ratio"]]
    let body = rows.map { row in
      [row.name, row.first, row.second, row.ratio.map { "×\(Figure.fixed($0, 2))" } ?? ""]
    }
    return ReplayReport.table(head + body).joined(separator: "\n") + "\n"
  }
}
