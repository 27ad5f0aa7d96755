internal import FoundationEssentials

extension ReplayReport {
  /// The report as JSON, with sorted members, ended by a line feed.
  package func json() -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(self) else { return "{}\n" }
    return String(decoding: data, as: UTF8.self) + "\n"
  }

  /// Reads a report that `json` has written; nil if it is none.
  package init?(json: [UInt8]) {
    guard let report = try? JSONDecoder().decode(Self.self, from: Data(json)) else { return nil }
    self = report
  }
}
