/// Reads server-sent events as they come (the WHATWG's HTML standard): of an HTTP/1.1 answer that ends with
/// its connection, or of one with another status, of which there are none.
struct EventReader {
  /// What has come and is not read yet.
  private(set) var bytes: [UInt8] = []
  /// Whether the head of a 200 is read.
  private(set) var isStream = false
  private var name = "message"
  private var data: [UInt8] = []

  /// Adds what has come.
  mutating func add(_ more: [UInt8]) {
    bytes += more
    if isStream { return }
    let end = Array("\r\n\r\n".utf8)
    guard bytes.starts(with: Array("HTTP/1.1 200 ".utf8)),
      let start = bytes.indices.first(where: { bytes[$0...].starts(with: end) })
    else { return }
    bytes.removeFirst(start + end.count)
    isStream = true
  }

  /// The next event that is there whole.
  mutating func next() -> (name: String, data: ArraySlice<UInt8>)? {
    guard isStream else { return nil }
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
