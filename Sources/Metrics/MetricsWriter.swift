/// Gathers figures and writes them in Prometheus' text format 0.0.4.
///
/// Figures may come in any order and from several sources; those of one family with the same labels
/// are added up. Families are written in the table's order, those without figures not at all.
package struct MetricsWriter {
  private enum Value {
    case integer(UInt64)
    case real(Double)
  }
  private struct Family {
    var places: [[String]: Int] = [:]
    var samples: [(labels: [String], value: Value)] = []
    var histograms: [(labels: [String], counts: [UInt64], sum: Double)] = []
    var bounds: [Double] = []
  }
  private var families: [Family]

  /// No figures.
  package init() { families = Array(repeating: Family(), count: Metric.allCases.count) }

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

  /// Adds a histogram: `counts` by bucket, not cumulated, one more than there are upper bounds.
  package mutating func add(
    _ metric: Metric, histogram counts: [UInt64], bounds: [Double], sum: Double,
    _ labels: [String] = []
  ) {
    assert(counts.count == bounds.count + 1, "a bucket for each bound and one above all")
    families[metric.rawValue].bounds = bounds
    families[metric.rawValue].histograms.append((labels, counts, sum))
  }

  /// Everything gathered, as the answer to a scrape.
  package func text() -> [UInt8] {
    var text = ""
    for metric in Metric.allCases {
      let family = families[metric.rawValue]
      if family.samples.isEmpty && family.histograms.isEmpty { continue }
      let descriptor = metric.descriptor
      text += "# HELP \(descriptor.name) \(Self.escaped(descriptor.help, quotes: false))\n"
      text += "# TYPE \(descriptor.name) \(descriptor.kind.rawValue)\n"
      for sample in family.samples {
        text += descriptor.name + Self.labels(descriptor.labels, sample.labels)
        text += " \(Self.text(sample.value))\n"
      }
      for histogram in family.histograms {
        Self.write(histogram, bounds: family.bounds, descriptor, into: &text)
      }
    }
    return Array(text.utf8)
  }

  private static func write(
    _ histogram: (labels: [String], counts: [UInt64], sum: Double), bounds: [Double],
    _ descriptor: MetricDescriptor, into text: inout String
  ) {
    var total: UInt64 = 0
    for (index, count) in histogram.counts.enumerated() {
      total &+= count
      let bound = index < bounds.count ? self.text(.real(bounds[index])) : "+Inf"
      let labels = labels(descriptor.labels + ["le"], histogram.labels + [bound])
      text += "\(descriptor.name)_bucket\(labels) \(total)\n"
    }
    let labels = labels(descriptor.labels, histogram.labels)
    text += "\(descriptor.name)_sum\(labels) \(self.text(.real(histogram.sum)))\n"
    text += "\(descriptor.name)_count\(labels) \(total)\n"
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
