import Bytes
import FoundationEssentials
import TrafficFormats

/// A record as text, so that it outlives its views.
struct Seen: Equatable, CustomStringConvertible {
  var time: Int64?
  var client = ""
  var user = ""
  var method = "GET"
  var scheme = ""
  var host = ""
  var target = ""
  var status: UInt16 = 0
  var responseBytes: Int64?
  var requestBytes: Int64?
  var duration: Int64?
  var lifetime: Int64?
  var fields: [String] = []

  init(_ target: String = "") { self.target = target }

  init(_ record: borrowing TrafficRecord) {
    time = record.time
    client = record.client.string
    user = record.user.string
    method = record.method.string
    scheme = record.scheme.string
    host = record.host.string
    target = record.target.string
    status = record.status
    responseBytes = record.responseBytes
    requestBytes = record.requestBytes
    duration = record.duration
    lifetime = record.lifetime
    fields = record.fields.map { "\($0.name.string): \($0.value.string)" }
  }

  var description: String {
    "\(time ?? -1) \(client) \(user) \(method) \(scheme)://\(host)\(target) \(status) \(responseBytes ?? -1)"
      + " \(requestBytes ?? -1) \(duration ?? -1) \(lifetime ?? -1) \(fields)"
  }
}

/// What a recording says, read in portions of `step` bytes.
struct Reading {
  var records: [Seen] = []
  let reader: TrafficReader

  init(_ bytes: [UInt8], format: TrafficFormat? = nil, step: Int = 1 << 16) {
    reader = TrafficReader(format: format)
    var records: [Seen] = []
    bytes.withView { view in
      for start in stride(from: 0, to: view.count, by: step) {
        reader.feed(view[start..<min(start + step, view.count)]) { records.append(Seen($0)) }
      }
      reader.finish { records.append(Seen($0)) }
    }
    self.records = records
  }

  init(_ text: String, format: TrafficFormat? = nil, step: Int = 1 << 16) {
    self.init(Array(text.utf8), format: format, step: step)
  }
}

/// Recordings that the repository does not hold.
enum SharedData {
  static let root: String =
    ProcessInfo.processInfo.environment["WEIR_SHARED_DATA"]
    ?? "/" + #filePath.split(separator: "/").dropLast(4).joined(separator: "/") + "/shared/data"

  static func bytes(_ path: String) -> [UInt8]? {
    FileManager.default.contents(atPath: "\(root)/\(path)").map { Array($0) }
  }

  static var isThere: Bool {
    FileManager.default.fileExists(atPath: "\(root)/traces/adaptsize-request.txt.gz")
  }
}
