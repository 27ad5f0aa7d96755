internal import FoundationEssentials

/// An access log, read back: one JSON object a line.
///
///     let line = try await AccessLogFile(directory.file("access.log")).lines(3)[2]
///     #expect(line["status"]?.int == 200)
package struct AccessLogFile: Sendable {
  /// Where it is.
  package let path: String

  /// The log at a path; it need not exist yet.
  package init(_ path: String) { self.path = path }

  /// The whole lines that it has now; a line that is no JSON is an error.
  package func lines() throws -> [JSONValue] {
    guard FileManager.default.fileExists(atPath: path) else { return [] }
    let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    let whole = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    return try whole.map { line in
      guard let value = try? JSONValue(parsing: String(line)) else {
        throw PeerFailure(.malformed, "not a JSON line in \(path): \(line)")
      }
      return value
    }
  }

  /// Waits until it has at least `count` whole lines, and returns all.
  package func lines(_ count: Int) async throws -> [JSONValue] {
    try await eventually("\(path) has \(count) lines") { try lines().count >= count }
    return try lines()
  }
}
