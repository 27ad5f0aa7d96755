/// Reads server-sent events as they come (the WHATWG's HTML standard).
struct EventReader {
  /// What has come and is not read yet.
  private var bytes: [UInt8] = []
  private var name = "message"
  private var data: [UInt8] = []

  /// Adds what has come.
  mutating func add(_ more: [UInt8]) { bytes += more }

  /// The next event that is there whole.
  mutating func next() -> (name: String, data: ArraySlice<UInt8>)? {
    var start = 0
    defer { bytes.removeFirst(start) }
    while let end = bytes[start...].firstIndex(of: 10) {
      let line = bytes[start..<end]
      start = end + 1
      if line.isEmpty {
        guard !data.isEmpty else { continue }
        defer {
          data = []
          name = "message"
        }
        return (name, data[...])
      }
      if line.starts(with: Array("data: ".utf8)) {
        data += line.dropFirst(6)
      } else if line.starts(with: Array("event: ".utf8)) {
        name = String(decoding: line.dropFirst(7), as: UTF8.self)
      }
    }
    return nil
  }
}
