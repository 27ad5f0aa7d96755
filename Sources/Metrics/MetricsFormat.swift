/// How figures are written down.
package enum MetricsFormat: Sendable, CaseIterable {
  /// Prometheus' text format 0.0.4, which everything reads.
  case text
  /// OpenMetrics 1.0: names of counters' families without `_total`, exemplars, and an end that is said.
  case openMetrics

  /// Its `Content-Type`.
  package var contentType: String {
    switch self {
    case .text: "text/plain; version=0.0.4; charset=utf-8"
    case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
    }
  }

  /// The format that an `Accept` field asks for (RFC 9110 §12.5.1): OpenMetrics if it is named, is wanted
  /// at least as much as plain text, and its version is one that we write.
  package init(accept: String) {
    var openMetrics = 0
    var plain = 0
    for element in accept.lowercased().split(separator: ",") {
      let parts = element.split(separator: ";").map { Self.trimmed($0) }
      let version = parts.dropFirst().first { $0.hasPrefix("version=") }?.dropFirst(8)
      let weight = Self.thousandths(parts.dropFirst().first { $0.hasPrefix("q=") }?.dropFirst(2))
      switch parts.first ?? "" {
      case "application/openmetrics-text" where version == nil || version == "1.0.0":
        openMetrics = max(openMetrics, weight)
      case "text/plain": plain = max(plain, weight)
      default: break
      }
    }
    self = openMetrics > 0 && openMetrics >= plain ? .openMetrics : .text
  }

  private static func trimmed(_ text: Substring) -> Substring {
    let start = text.drop { $0 == " " || $0 == "\t" }
    return start.prefix { $0 != " " && $0 != "\t" }
  }

  /// A weight (RFC 9110 §12.4.2) in thousandths: 1000 if there is none, 0 if it is damaged.
  private static func thousandths(_ weight: Substring?) -> Int {
    guard let weight else { return 1000 }
    let parts = weight.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let whole = parts.first, whole == "0" || whole == "1" else { return 0 }
    let digits = parts.count > 1 ? parts[1] : ""
    guard digits.utf8.count <= 3, digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
      return 0
    }
    let padded = digits + String(repeating: "0", count: 3 - digits.utf8.count)
    return whole == "1" ? 1000 : Int(padded) ?? 0
  }
}
