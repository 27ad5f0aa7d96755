/// A strict reader of the text format 0.0.4: what Prometheus itself would refuse, and what `promtool
/// check metrics` would frown at, is an error.
struct Exposition {
  struct Sample: Equatable {
    var name: String
    var labels: [String: String]
    var value: Double
  }
  struct Malformed: Error, CustomStringConvertible {
    var description: String
  }

  private(set) var types: [String: String] = [:]
  private(set) var helps: [String: String] = [:]
  private(set) var samples: [Sample] = []
  private var current = ""
  private var finished: Set<String> = []

  init(_ bytes: [UInt8]) throws {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Malformed(description: "not UTF-8")
    }
    guard text.isEmpty || text.hasSuffix("\n") else {
      throw Malformed(description: "the last line does not end")
    }
    for line in text.split(separator: "\n", omittingEmptySubsequences: true) {
      do {
        if line.hasPrefix("#") { try readComment(line) } else { try readSample(line) }
      } catch let error as Malformed {
        throw Malformed(description: "\(error.description): \(line)")
      }
    }
    try checkHistograms()
  }

  func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
    samples.first { $0.name == name && $0.labels == labels }?.value
  }

  private mutating func readComment(_ line: Substring) throws {
    let words = line.split(separator: " ", maxSplits: 3)
    guard words.count == 4, words[0] == "#" else { throw Malformed(description: "bad comment") }
    let name = String(words[2])
    if name != current {
      guard !finished.contains(name) else { throw Malformed(description: "a family comes twice") }
      finished.insert(current)
      current = name
    }
    switch words[1] {
    case "HELP":
      guard helps.updateValue(String(words[3]), forKey: name) == nil else {
        throw Malformed(description: "second HELP")
      }
    case "TYPE":
      guard types.updateValue(String(words[3]), forKey: name) == nil else {
        throw Malformed(description: "second TYPE")
      }
      guard helps[name] != nil else { throw Malformed(description: "no HELP before TYPE") }
      guard (words[3] == "counter") == name.hasSuffix("_total") else {
        throw Malformed(description: "only counters, and all of them, end in _total")
      }
    default: throw Malformed(description: "neither HELP nor TYPE")
    }
  }

  private mutating func readSample(_ line: Substring) throws {
    var rest = line
    let name = String(rest.prefix { $0 != "{" && $0 != " " })
    guard name.wholeMatch(of: /[a-zA-Z_:][a-zA-Z0-9_:]*/) != nil else {
      throw Malformed(description: "bad name")
    }
    rest = rest.dropFirst(name.count)
    var labels: [String: String] = [:]
    if rest.first == "{" { labels = try Self.readLabels(&rest) }
    guard rest.first == " ", let value = Self.number(rest.dropFirst()) else {
      throw Malformed(description: "bad value")
    }
    var family = name
    if types[current] == "histogram" {
      for suffix in ["_bucket", "_sum", "_count"] where name == current + suffix {
        family = current
      }
      guard (labels["le"] != nil) == name.hasSuffix("_bucket") else {
        throw Malformed(description: "le belongs to buckets")
      }
    }
    guard family == current, types[current] != nil else {
      throw Malformed(description: "a sample outside of its family")
    }
    guard !samples.contains(where: { $0.name == name && $0.labels == labels }) else {
      throw Malformed(description: "the same labels twice")
    }
    samples.append(Sample(name: name, labels: labels, value: value))
  }

  private static func readLabels(_ rest: inout Substring) throws -> [String: String] {
    var labels: [String: String] = [:]
    rest.removeFirst()
    while true {
      let name = String(rest.prefix { $0 != "=" })
      guard name.wholeMatch(of: /[a-zA-Z_][a-zA-Z0-9_]*/) != nil,
        rest.dropFirst(name.count).hasPrefix("=\"")
      else { throw Malformed(description: "bad label") }
      rest = rest.dropFirst(name.count + 2)
      var value = ""
      while let next = rest.popFirst(), next != "\"" {
        guard next == "\\" else {
          value.append(next)
          continue
        }
        switch rest.popFirst() {
        case "\\": value.append("\\")
        case "\"": value.append("\"")
        case "n": value.append("\n")
        default: throw Malformed(description: "bad escape")
        }
      }
      guard labels.updateValue(value, forKey: name) == nil else {
        throw Malformed(description: "a label twice")
      }
      switch rest.popFirst() {
      case ",": continue
      case "}": return labels
      default: throw Malformed(description: "labels do not end")
      }
    }
  }

  private static func number(_ text: Substring) -> Double? {
    switch text {
    case "+Inf": .infinity
    case "-Inf": -.infinity
    case "NaN": .nan
    default: Double(text)
    }
  }

  /// Buckets grow with their bounds, end at +Inf, and that one is the count.
  private func checkHistograms() throws {
    for (name, type) in types where type == "histogram" {
      var last: [[String: String]: (bound: Double, count: Double)] = [:]
      for sample in samples where sample.name == name + "_bucket" {
        var labels = sample.labels
        let bound = Self.number(Substring(labels.removeValue(forKey: "le") ?? "")) ?? .nan
        if let before = last[labels], !(before.bound < bound && before.count <= sample.value) {
          throw Malformed(description: "\(name): buckets are not in order")
        }
        last[labels] = (bound, sample.value)
      }
      for (labels, end) in last {
        guard end.bound == .infinity, value(name + "_count", labels) == end.count,
          value(name + "_sum", labels) != nil
        else { throw Malformed(description: "\(name): no +Inf, count or sum") }
      }
    }
  }
}
