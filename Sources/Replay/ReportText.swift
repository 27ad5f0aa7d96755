// A report for people who read it in a terminal: within 80 columns.

extension ReplayReport {
  /// The report as text.
  package func text() -> String {
    var lines = ["\(plan)", ""]
    lines += Self.table([
      [
        "requests",
        "\(answers) answered, \(failed) failed, \(sent) sent in \(Figure.seconds(seconds))",
      ],
      [
        "rate",
        "\(Figure.count(rate))/s, \(Figure.bytes(Double(receivedBytes) / max(seconds, 1e-9)))/s",
      ],
      ["sent late", lateText],
      ["connections", "\(connectionsOpened) opened, \(connectionsReused) times used again"],
    ])
    if resent > 0 {
      lines.append("  \(resent) requests were sent again: their connection was closed")
    }
    if starvedSeconds > 0.1 {
      lines.append("  the recording was not read fast enough for \(Figure.seconds(starvedSeconds))")
    }
    lines += ["", "statuses"] + Self.table(Self.sorted(statuses).map { ["  \($0.0)", "\($0.1)"] })
    if failed > 0 {
      lines += ["", "failures"] + Self.table(Self.sorted(errors).map { ["  \($0.0)", "\($0.1)"] })
    }
    lines += ["", "latency"] + latencyTable
    lines += cacheLines
    if limits.limited > 0 {
      lines += [
        "",
        "limited: \(limits.limited), of which \(limits.withRetryAfter) with Retry-After, "
          + "\(limits.withFields) with RateLimit fields",
      ]
    }
    if !steps.isEmpty { lines += ["", "steps"] + stepTable }
    lines += ["", inputText]
    return lines.joined(separator: "\n") + "\n"
  }

  private var lateText: String {
    guard late > 0 else { return "none" }
    return "\(late) (\(Figure.share(Double(late) / Double(max(sent, 1))))), "
      + "at worst by \(Figure.time(worstLateness))"
  }

  private var inputText: String {
    var text = "read: \(input.records) records"
    if input.skipped > 0 { text += ", \(input.skipped) left out" }
    if input.badLines > 0 { text += ", \(input.badLines) bad lines" }
    return text
  }

  private var latencyTable: [String] {
    let names = ["50", "90", "99", "99.9", "99.99"]
    var rows = [["", "mean"] + names.map { "p\($0)" } + ["max"]]
    func row(_ name: String, _ latency: LatencyReport) -> [String] {
      ["  \(name)", Figure.time(latency.mean)]
        + names.map { Figure.time(latency.percentile($0) ?? 0) } + [Figure.time(latency.max)]
    }
    rows.append(row("all", latency))
    if serviceTime != latency { rows.append(row("from sending", serviceTime)) }
    if classes.count > 1 || classes.first.map({ $0.name != "unknown" }) ?? false {
      for one in classes { rows.append(row(one.name, one.latency)) }
    }
    return Self.table(rows)
  }

  private var cacheLines: [String] {
    guard let hitRatio else { return [] }
    var rows = [["hit ratio", Figure.share(hitRatio)]]
    if let byteHitRatio { rows[0][1] += ", of bytes \(Figure.share(byteHitRatio))" }
    if let offload {
      rows.append(["offload", "\(Figure.share(offload)) never reached the origin"])
    }
    rows.append(["classes", classes.map { "\($0.name) \($0.answers)" }.joined(separator: ", ")])
    return ["", "cache"] + Self.table(rows.map { ["  \($0[0])", $0[1]] })
  }

  private var stepTable: [String] {
    var rows = [["  rate", "sent", "answered", "failed", "late", "p50", "p99", ""]]
    for step in steps {
      rows.append([
        "  \(Figure.count(step.rate))/s", "\(step.sent)", "\(step.answers)", "\(step.failures)",
        "\(step.late)", Figure.time(step.p50), Figure.time(step.p99), step.holds ? "" : "gives way",
      ])
    }
    let knee = knee.map { "  the knee is above \(Figure.count($0))/s" } ?? "  no step held"
    return Self.table(rows) + [knee]
  }

  private static func sorted(_ counts: [String: UInt64]) -> [(String, UInt64)] {
    counts.sorted { $0.value != $1.value ? $0.value > $1.value : $0.key < $1.key }
  }

  /// Rows with their columns under one another.
  static func table(_ rows: [[String]]) -> [String] {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in
      rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    return rows.map { row in
      var line = ""
      for (column, cell) in row.enumerated() {
        let space = String(repeating: " ", count: widths[column] - cell.count)
        // Figures to the right if there are more than two columns; the last one as it is.
        if columns > 2 && column > 0 && column < columns - 1
          || columns > 2 && column == columns - 1 && !cell.contains(" ")
        {
          line += space + cell
        } else {
          line += cell + space
        }
        line += "  "
      }
      while line.last == " " { line.removeLast() }
      return line
    }
  }
}

/// Figures as people read them.
enum Figure {
  /// Microseconds with three digits and a unit.
  static func time(_ microseconds: Double) -> String {
    switch microseconds {
    case ..<1_000: "\(digits(microseconds))µs"
    case ..<1_000_000: "\(digits(microseconds / 1_000))ms"
    default: "\(digits(microseconds / 1_000_000))s"
    }
  }

  /// Seconds.
  static func seconds(_ value: Double) -> String { "\(fixed(value, value < 100 ? 2 : 0))s" }

  /// Bytes in units of 1,024.
  static func bytes(_ value: Double) -> String {
    var value = value
    for unit in ["B", "KiB", "MiB", "GiB"] {
      if value < 1_000 { return "\(digits(value)) \(unit)" }
      value /= 1_024
    }
    return "\(digits(value)) TiB"
  }

  /// A number of things.
  static func count(_ value: Double) -> String {
    value < 100 && value != value.rounded() ? fixed(value, 1) : fixed(value, 0)
  }

  /// A share in percent.
  static func share(_ value: Double) -> String { "\(fixed(value * 100, 2)) %" }

  private static func digits(_ value: Double) -> String {
    fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0)
  }

  /// A number with so many digits behind the point.
  static func fixed(_ value: Double, _ places: Int) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "-" }
    var factor = 1.0
    for _ in 0..<places { factor *= 10 }
    let scaled = Int64((abs(value) * factor).rounded())
    let whole = scaled / Int64(factor)
    let sign = value < 0 && scaled > 0 ? "-" : ""
    if places == 0 { return "\(sign)\(whole)" }
    let part = "\(scaled % Int64(factor))"
    return "\(sign)\(whole)." + String(repeating: "0", count: places - part.count) + part
  }
}
