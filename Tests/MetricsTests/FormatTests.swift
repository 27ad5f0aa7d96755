import Foundation
import Metrics
import Testing

@Suite("Formats")
struct FormatTests {
  @Test(arguments: [
    ("", MetricsFormat.text), ("*/*", .text), ("text/plain", .text),
    ("application/openmetrics-text", .openMetrics),
    ("Application/OpenMetrics-Text; Version=1.0.0", .openMetrics),
    ("application/openmetrics-text;version=2.0.0", .text),
    ("application/openmetrics-text;q=0", .text),
    ("application/openmetrics-text;q=0.0004", .text),
    ("text/plain;q=0.8, application/openmetrics-text;q=0.5", .text),
    // What Prometheus 2 and 3 send.
    (
      "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
        + "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", .openMetrics
    ),
    (
      "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        + "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", .openMetrics
    ),
  ])
  func `the format is what Accept asks for`(_ accept: String, _ format: MetricsFormat) {
    #expect(MetricsFormat(accept: accept) == format)
  }

  @Test func `OpenMetrics has an end, families without total, and exemplars`() {
    let registry = MetricsRegistry()
    let counters = CounterBlock()
    let requests = RequestCounters(routes: ["a/"])
    registry.register(counters: counters, requests: requests)
    counters.add(.bytesSent, 7)
    requests.record(route: 0, status: 200, result: .hit, bytes: 7, duration: 150_000)
    registry.noteTraced(
      traceHigh: 0xAB, traceLow: 0xCD, result: .hit, duration: 150_000, wall: 1_700_000_000_250)
    let text = String(decoding: registry.prometheus(.openMetrics), as: UTF8.self)
    #expect(text.hasSuffix("\n# EOF\n"))
    #expect(text.contains("# TYPE weir_sent_bytes counter\nweir_sent_bytes_total 7\n"))
    #expect(!text.contains("# TYPE weir_sent_bytes_total"))
    #expect(
      text.contains(
        """
        weir_request_duration_seconds_bucket{cache="hit",le="0.0001"} 0
        weir_request_duration_seconds_bucket{cache="hit",le="0.0002"} 1 \
        # {trace_id="00000000000000ab00000000000000cd"} 0.00015 1700000000.25

        """))
    let plain = String(decoding: registry.prometheus(), as: UTF8.self)
    #expect(!plain.contains("trace_id") && !plain.contains("# EOF"))
    #expect(plain.contains("# TYPE weir_sent_bytes_total counter"))
  }
}

/// Debian's `promtool`, where it is installed, and the files for Prometheus and Grafana.
@Suite("Prometheus and Grafana")
struct DocumentTests {
  static let promtool = "/usr/bin/promtool"
  static var hasPromtool: Bool { FileManager.default.isExecutableFile(atPath: promtool) }

  static let documents = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "docs")

  static func text(_ name: String) throws -> String {
    try String(contentsOf: documents.appending(path: name), encoding: .utf8)
  }

  /// What promtool says, and its exit status.
  static func promtool(_ arguments: [String], input: [UInt8] = []) throws -> (String, Int32) {
    let process = Process()
    process.executableURL = URL(filePath: promtool)
    process.arguments = arguments
    let (stdin, stdout) = (Pipe(), Pipe())
    process.standardInput = stdin
    process.standardOutput = stdout
    process.standardError = stdout
    try process.run()
    try stdin.fileHandleForWriting.write(contentsOf: Data(input))
    try stdin.fileHandleForWriting.close()
    let output = stdout.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (String(decoding: output, as: UTF8.self), process.terminationStatus)
  }

  @Test(.enabled(if: hasPromtool, "promtool is not installed"))
  func `promtool takes the alert rules`() throws {
    let path = Self.documents.appending(path: "alerts.yml").path(percentEncoded: false)
    let (output, status) = try Self.promtool(["check", "rules", path])
    #expect(status == 0, "\(output)")
  }

  /// Every figure that these name is one, with labels that it has.
  @Test(arguments: ["grafana-dashboard.json", "alerts.yml"])
  func `the figures that are named exist`(_ document: String) throws {
    var known: Set<String> = []
    for descriptor in Metric.allCases.map(\.descriptor) {
      if descriptor.kind == .histogram {
        for part in ["_bucket", "_sum", "_count"] { known.insert(descriptor.name + part) }
      } else {
        known.insert(descriptor.name)
      }
    }
    let named = try Self.text(document).matches(of: /\bweir_[a-z0-9_]+/).map { String($0.output) }
    #expect(named.count > 10)
    #expect(Set(named).subtracting(known) == [])
  }

  @Test func `labels by which the dashboard sums are those of the figures`() throws {
    let json = try JSONSerialization.jsonObject(
      with: Data(Self.text("grafana-dashboard.json").utf8))
    let panels = (json as? [String: Any])?["panels"] as? [[String: Any]] ?? []
    let expressions = panels.flatMap { $0["targets"] as? [[String: Any]] ?? [] }
      .compactMap { $0["expr"] as? String }
    #expect(expressions.count > 40)
    let general: Set<String> = ["job", "instance", "le"]
    for expression in expressions {
      let figures = Metric.allCases.map(\.descriptor).filter { expression.contains($0.name) }
      let labels = Set(figures.flatMap(\.labels)).union(general)
      for match in expression.matches(of: /\bby \(([a-z_, ]+)\)/) {
        let named = match.1.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        #expect(Set(named).subtracting(labels) == [], "\(expression)")
      }
      for match in expression.matches(of: /([a-z_]+)(=~|!~|!=|=)"/) {
        #expect(labels.contains(String(match.1)), "\(expression)")
      }
    }
  }
}
