// A report as one page that needs nothing else: style, figures and charts are in it, no script, and nothing is
// fetched. Two reports are drawn into the same charts, the first dashed.

extension ReplayReport {
  /// The report as a page.
  package func html() -> String {
    var body = "<p class=plan>\(HTML.escaped(plan))<br>\(HTML.escaped(began))</p>\n"
    body += tiles
    body += Self.charts([self])
    body += "<div class=cols>\n" + classTable
    body += Self.countTable("Statuses", statuses) + Self.countTable("Failures", errors)
    body += "</div>\n" + stepTable
    return HTMLPage.page(title: name, body: body)
  }

  private var tiles: String {
    var tiles = [
      ("requests/s", Figure.count(rate)), ("answered", "\(answers)"), ("failed", "\(failed)"),
      ("p50", Figure.time(latency.percentile("50") ?? 0)),
      ("p99", Figure.time(latency.percentile("99") ?? 0)),
      ("p99.99", Figure.time(latency.percentile("99.99") ?? 0)),
      ("sent late", "\(late)"),
    ]
    if let hitRatio { tiles.append(("hit ratio", Figure.share(hitRatio))) }
    if let byteHitRatio { tiles.append(("byte hit ratio", Figure.share(byteHitRatio))) }
    if let offload { tiles.append(("offload", Figure.share(offload))) }
    if limits.limited > 0 { tiles.append(("limited", "\(limits.limited)")) }
    if let knee { tiles.append(("knee", "\(Figure.count(knee))/s")) }
    let items = tiles.map { "<div><b>\(HTML.escaped($0.1))</b>\(HTML.escaped($0.0))</div>" }
    return "<div class=tiles>\(items.joined())</div>\n"
  }

  private var classTable: String {
    var rows = ["<tr><th>class<th>answers<th>p50<th>p99<th>p99.9<th>max"]
    for one in classes + [all] {
      rows.append(
        "<tr><td>\(HTML.escaped(one.name))<td>\(one.answers)"
          + ["50", "99", "99.9"].map { "<td>\(Figure.time(one.latency.percentile($0) ?? 0))" }
          .joined() + "<td>\(Figure.time(one.latency.max))")
    }
    return "<table><caption>Latency by what the cache did</caption>\(rows.joined())</table>\n"
  }

  private var all: ClassReport {
    ClassReport(name: "all", answers: answers, contentBytes: contentBytes, latency: latency)
  }

  private var stepTable: String {
    guard !steps.isEmpty else { return "" }
    let rows = steps.map { step in
      "<tr><td>\(Figure.count(step.rate))/s<td>\(step.sent)<td>\(step.answers)<td>\(step.failures)"
        + "<td>\(step.late)<td>\(Figure.time(step.p50))<td>\(Figure.time(step.p99))"
        + "<td>\(step.holds ? "holds" : "gives way")"
    }
    return "<table><caption>Steps</caption><tr><th>rate<th>sent<th>answered<th>failed<th>late"
      + "<th>p50<th>p99<th>\(rows.joined())</table>\n"
  }

  private static func countTable(_ title: String, _ counts: [String: UInt64]) -> String {
    guard !counts.isEmpty else { return "" }
    let rows = counts.sorted { $0.value != $1.value ? $0.value > $1.value : $0.key < $1.key }
      .map { "<tr><td>\(HTML.escaped($0.key))<td>\($0.value)" }
    return "<table><caption>\(title)</caption>\(rows.joined())</table>\n"
  }

  /// The charts of one report, or of two in the same axes.
  static func charts(_ reports: [ReplayReport]) -> String {
    func lines(
      _ series: [(name: String, points: (ReplayReport) -> [(x: Double, y: Double)])]
    ) -> [ChartLine] {
      reports.enumerated().flatMap { place, report in
        series.enumerated().map { index, one in
          ChartLine(
            name: reports.count == 1 ? one.name : "\(report.name): \(one.name)",
            colour: 1 + index * reports.count + place, dashed: reports.count > 1 && place == 0,
            points: one.points(report))
        }
      }
    }
    func overTime(_ value: @escaping (SecondReport) -> Double?)
      -> (ReplayReport) -> [(x: Double, y: Double)]
    {
      { report in
        report.timeline.enumerated().compactMap { index, second in
          value(second).map { (Double(index), $0) }
        }
      }
    }
    let seconds: (Double) -> String = { "\(Figure.fixed($0, 0))s" }
    var charts = [
      Chart(
        title: "Requests a second",
        lines: lines([
          ("sent", overTime { Double($0.sent) }), ("answered", overTime { Double($0.answers) }),
        ]), labelX: seconds, labelY: { Figure.count($0) }),
      Chart(
        title: "Latency over time",
        lines: lines([
          ("p50", overTime { $0.answers > 0 ? $0.p50 : nil }),
          ("p99", overTime { $0.answers > 0 ? $0.p99 : nil }),
        ]), labelX: seconds, labelY: { Figure.time($0) }, isLogarithmic: true),
      distribution(lines),
    ]
    if reports.contains(where: { $0.hitRatio != nil }) {
      charts.append(
        Chart(
          title: "Hit ratio", lines: lines([("hits", overTime { $0.hitRatio.map { $0 * 100 } })]),
          labelX: seconds, labelY: { "\(Figure.fixed($0, 0)) %" }))
    }
    if reports.contains(where: { $0.failed > 0 || $0.late > 0 }) {
      charts.append(
        Chart(
          title: "Failed, and sent late",
          lines: lines([
            ("failed", overTime { Double($0.failures) }), ("late", overTime { Double($0.late) }),
          ]), labelX: seconds, labelY: { Figure.count($0) }))
    }
    return "<div class=charts>\n" + charts.map { $0.html() }.joined() + "</div>\n"
  }

  /// Percentiles, so drawn that each further nine takes the same room.
  private static func distribution(
    _ lines: ([(name: String, points: (ReplayReport) -> [(x: Double, y: Double)])]) -> [ChartLine]
  ) -> Chart {
    let places: [(name: String, x: Double)] = [
      ("50", 0.301), ("75", 0.602), ("90", 1), ("95", 1.301), ("99", 2), ("99.5", 2.301),
      ("99.9", 3), ("99.95", 3.301), ("99.99", 4),
    ]
    func points(_ latency: @escaping (ReplayReport) -> LatencyReport?)
      -> (ReplayReport) -> [(x: Double, y: Double)]
    {
      { report in
        guard let latency = latency(report) else { return [] }
        return places.compactMap { place in
          latency.percentile(place.name).map { (place.x, $0) }
        }
      }
    }
    let named = { (name: String) in
      { (report: ReplayReport) in report.classes.first { $0.name == name }?.latency }
    }
    return Chart(
      title: "Latency by percentile",
      lines: lines([
        ("all", points { $0.latency }), ("hits", points(named("hit"))),
        ("misses", points(named("miss"))),
      ]).filter { !$0.points.isEmpty },
      labelX: { x in "p" + (places.first { abs($0.x - x) < 0.01 }?.name ?? "") },
      labelY: { Figure.time($0) }, isLogarithmic: true,
      marksX: places.filter { ["50", "90", "99", "99.9", "99.99"].contains($0.name) }.map(\.x))
  }
}

extension ReportComparison {
  /// The comparison as a page.
  package func html() -> String {
    let rows = rows.map { row in
      "<tr><td>\(HTML.escaped(row.name))<td>\(HTML.escaped(row.first))<td>\(HTML.escaped(row.second))"
        + "<td>\(row.ratio.map { "×\(Figure.fixed($0, 2))" } ?? "")"
    }
    let body =
      "<p class=plan>\(HTML.escaped(first.name)): \(HTML.escaped(first.plan)), "
      + "\(HTML.escaped(first.began))<br>\(HTML.escaped(second.name)): "
      + "\(HTML.escaped(second.plan)), \(HTML.escaped(second.began))</p>\n"
      + "<table><caption>Side by side</caption><tr><th><th>\(HTML.escaped(first.name))"
      + "<th>\(HTML.escaped(second.name))<th>ratio\(rows.joined())</table>\n"
      + ReplayReport.charts([first, second])
    return HTMLPage.page(title: "\(first.name) and \(second.name)", body: body)
  }
}

/// What is around a report.
enum HTMLPage {
  static func page(title: String, body: String) -> String {
    """
    <!doctype html>
    <html lang=en><meta charset=utf-8>
    <meta name=viewport content="width=device-width, initial-scale=1">
    <meta name=color-scheme content="light dark">
    <title>\(HTML.escaped(title))</title>
    <style>
    :root { --back: #fff; --text: #1b1f24; --soft: #667; --rule: #dde1e6;
      --c1: #1666c0; --c2: #d1500e; --c3: #13855b; --c4: #8a3ab9; --c5: #b08800; --c6: #c02058 }
    @media (prefers-color-scheme: dark) {
      :root { --back: #14171b; --text: #e4e8ee; --soft: #99a2ad; --rule: #2c333b;
        --c1: #5aa9f8; --c2: #ff9257; --c3: #4fcf9b; --c4: #c58af0; --c5: #e3bf3c; --c6: #ff7aa5 } }
    body { font: 15px/1.45 system-ui, sans-serif; color: var(--text); background: var(--back);
      margin: 2rem auto; max-width: 1360px; padding: 0 1rem }
    h1 { font-size: 1.5rem; margin: 0 } .plan { color: var(--soft); margin: .3rem 0 1.2rem }
    .tiles { display: flex; flex-wrap: wrap; gap: .6rem 1.8rem; margin-bottom: 1.2rem }
    .tiles div { color: var(--soft) } .tiles b { display: block; font-size: 1.35rem; color: var(--text) }
    .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 1rem }
    figure { margin: 0 } figcaption { font-weight: 600 } svg { width: 100%; height: auto }
    .k { font-weight: 400; margin-left: .8rem } .none { color: var(--soft) }
    .l { fill: none; stroke-width: 2; stroke-linejoin: round } .d { stroke-dasharray: 5 4 }
    .g { stroke: var(--rule) } text { fill: var(--soft); font-size: 11px }
    .e { text-anchor: end } .m { text-anchor: middle }
    .c1 { stroke: var(--c1) } .c2 { stroke: var(--c2) } .c3 { stroke: var(--c3) }
    .c4 { stroke: var(--c4) } .c5 { stroke: var(--c5) } .c6 { stroke: var(--c6) }
    .s1 { color: var(--c1) } .s2 { color: var(--c2) } .s3 { color: var(--c3) }
    .s4 { color: var(--c4) } .s5 { color: var(--c5) } .s6 { color: var(--c6) }
    .cols { display: flex; flex-wrap: wrap; gap: 0 3rem }
    table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
    caption { text-align: left; font-weight: 600 } th { color: var(--soft); font-weight: 400 }
    td, th { text-align: right; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--rule) }
    td:first-child, th:first-child { text-align: left }
    </style>
    <h1>\(HTML.escaped(title))</h1>
    \(body)</html>

    """
  }
}
