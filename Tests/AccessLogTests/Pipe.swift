import Glibc

/// A pipe whose reading end a test holds.
final class Pipe {
  /// The end that the log writes to.
  let writing: Int32
  private var reading: Int32
  private var pending: [UInt8] = []

  struct CannotOpen: Error {}

  init() throws {
    var ends: [Int32] = [0, 0]
    guard unsafe pipe(&ends) == 0 else { throw CannotOpen() }
    reading = ends[0]
    writing = ends[1]
  }

  deinit {
    closeReading()
    close(writing)
  }

  func closeReading() {
    if reading >= 0 { close(reading) }
    reading = -1
  }

  /// The next line without its end; blocks until it is there.
  func readLine() -> [UInt8] {
    while true {
      if let end = pending.firstIndex(of: 0x0A) {
        let line = Array(pending[..<end])
        pending.removeSubrange(...end)
        return line
      }
      var buffer = [UInt8](repeating: 0, count: 65_536)
      let count = unsafe read(reading, &buffer, buffer.count)
      if count <= 0 { return [] }
      pending += buffer[..<count]
    }
  }
}
