/// Gathers figures and writes them in Prometheus' text format 0.0.4, or as OpenMetrics.
///
/// Figures may come in any order and from several sources; those of one family with the same labels
/// are added up. Families are written in the table's order, those without figures not at all.
package struct MetricsWriter {
  private enum Value {
    case integer(UInt64)
    case real(Double)
  }
  private struct Histogram {
    var labels: [String]
    var counts: [UInt64]
    var sum: Double
    var exemplars: [Exemplar?]
  }
  private struct Family {
    var places: [[String]: Int] = [:]
    var samples: [(labels: [String], value: Value)] = []
    var histograms: [Histogram] = []
    var bounds: [Double] = []
  }
  private var families: [Family]
  private let format: MetricsFormat

  /// No figures.
  package init(_ format: MetricsFormat = .text) {
    self.format = format
    families = Array(repeating: Family(), count: Metric.allCases.count)
  }

  /// Adds a whole number. `labels` are the values of the family's labels, in the table's order.
  package mutating func add(_ metric: Metric, _ value: UInt64, _ labels: [String] = []) {
    add(metric, value: .integer(value), labels)
  }

  /// Adds a number of seconds.
  package mutating func add(_ metric: Metric, seconds: Double, _ labels: [String] = []) {
    add(metric, value: .real(seconds), labels)
  }

  private mutating func add(_ metric: Metric, value: Value, _ labels: [String]) {
    assert(labels.count == metric.descriptor.labels.count, "labels are not those of the table")
    let family = metric.rawValue
    guard let place = families[family].places[labels] else {
      families[family].places[labels] = families[family].samples.count
      families[family].samples.append((labels, value))
      return
    }
    let sum: Value =
      switch (families[family].samples[place].value, value) {
      case (.integer(let first), .integer(let second)): .integer(first &+ second)
      case (.integer(let first), .real(let second)): .real(Double(first) + second)
      case (.real(let first), .integer(let second)): .real(first + Double(second))
      case (.real(let first), .real(let second)): .real(first + second)
      }
    families[family].samples[place].value = sum
  }

  /// Adds a histogram: `counts` by bucket, not cumulated, one more than there are upper bounds, and a
  /// request that shows each, if there is one.
  package mutating func add(
    _ metric: Metric, histogram counts: [UInt64], bounds: [Double], sum: Double,
    _ labels: [String] = [], exemplars: [Exemplar?] = []
  ) {
    assert(counts.count == bounds.count + 1, "a bucket for each bound and one above all")
    families[metric.rawValue].bounds = bounds
    families[metric.rawValue].histograms.append(
      Histogram(labels: labels, counts: counts, sum: sum, exemplars: exemplars))
  }

  /// Everything gathered, as the answer to a scrape.
  package func text() -> [UInt8] {
    var text = ""
    for metric in Metric.allCases {
      let family = families[metric.rawValue]
      if family.samples.isEmpty && family.histograms.isEmpty { continue }
      let descriptor = metric.descriptor
      let name = familyName(descriptor)
      let isOpen = format == .openMetrics
      text += "# HELP \(name) \(Self.escaped(descriptor.help, quotes: isOpen))\n"
      text += "# TYPE \(name) \(descriptor.kind.rawValue)\n"
      for sample in family.samples {
        text += descriptor.name + Self.labels(descriptor.labels, sample.labels)
        text += " \(Self.text(sample.value))\n"
      }
      for histogram in family.histograms {
        write(histogram, bounds: family.bounds, descriptor, into: &text)
      }
    }
    if format == .openMetrics { text += "# EOF\n" }
    return Array(text.utf8)
  }

  /// In OpenMetrics `_total` belongs to a counter's sample and not to its family.
  private func familyName(_ descriptor: MetricDescriptor) -> String {
    switch (format, descriptor.kind) {
    case (.openMetrics, .counter) where descriptor.name.hasSuffix("_total"):
      String(descriptor.name.dropLast(6))
    default: descriptor.name
    }
  }

  private func write(
    _ histogram: Histogram, bounds: [Double], _ descriptor: MetricDescriptor,
    into text: inout String
  ) {
    var total: UInt64 = 0
    for (index, count) in histogram.counts.enumerated() {
      total &+= count
      let bound = index < bounds.count ? Self.text(.real(bounds[index])) : "+Inf"
      let labels = Self.labels(descriptor.labels + ["le"], histogram.labels + [bound])
      text += "\(descriptor.name)_bucket\(labels) \(total)"
      if format == .openMetrics, index < histogram.exemplars.count,
        let exemplar = histogram.exemplars[index]
      {
        text += Self.text(exemplar)
      }
      text += "\n"
    }
    let labels = Self.labels(descriptor.labels, histogram.labels)
    text += "\(descriptor.name)_sum\(labels) \(Self.text(.real(histogram.sum)))\n"
    text += "\(descriptor.name)_count\(labels) \(total)\n"
  }

  private static func text(_ exemplar: Exemplar) -> String {
    let time = Double(exemplar.wall) / 1000
    return " # {trace_id=\"\(exemplar.trace)\"} \(text(.real(exemplar.value))) \(text(.real(time)))"
  }

  private static func labels(_ names: [String], _ values: [String]) -> String {
    if names.isEmpty { return "" }
    let pairs = zip(names, values).map { "\($0)=\"\(escaped($1, quotes: true))\"" }
    return "{" + pairs.joined(separator: ",") + "}"
  }

  private static func text(_ value: Value) -> String {
    switch value {
    case .integer(let number): return String(number)
    case .real(let number):
      if number.isNaN { return "NaN" }
      if number.isInfinite { return number > 0 ? "+Inf" : "-Inf" }
      return number.description
    }
  }

  private static func escaped(_ text: String, quotes: Bool) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\"" where quotes: result += "\\\""
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
