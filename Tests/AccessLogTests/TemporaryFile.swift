import FoundationEssentials
import Testing

/// A directory of its own for a test, gone with it.
final class TemporaryDirectory {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/weir-log-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }

  /// The bytes of a file, line by line.
  func lines(_ name: String) throws -> [[UInt8]] {
    let data = try Data(contentsOf: URL(filePath: file(name)))
    #expect(data.isEmpty || data.last == 0x0A)
    return data.split(separator: 0x0A).map { Array($0) }
  }
}

/// A line as an operator's tools would read it.
struct Line: Decodable, Equatable {
  var time: String
  var client: String
  var client_port: Int
  var method: String
  var host: String
  var target: String
  var `protocol`: String?
  var status: Int
  var bytes_sent: UInt64
  var bytes_received: UInt64
  var duration_us: Int64
  var origin_us: Int64?
  var cache: String?
  var detail: String?
  var route: String?
  var referer: String?
  var user_agent: String?
  var cut: Bool?

  init(_ bytes: [UInt8]) throws { self = try JSONDecoder().decode(Line.self, from: Data(bytes)) }
}
