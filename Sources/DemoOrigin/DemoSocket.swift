internal import Bytes
internal import CLinux
internal import EventLoop

/// Why a connection's thread stops: the client went, or the origin is to stop, or a knob says so.
enum ConnectionEnd: Error { case gone, stopped, onPurpose, malformed(Int, String) }

/// A connection with blocking reads and writes that the stop sign interrupts. Of one thread.
final class DemoSocket {
  private let descriptor: Descriptor
  private let stop: StopSign
  private var unread: [UInt8] = []

  init(_ descriptor: consuming Descriptor, stop: StopSign) {
    self.descriptor = descriptor
    self.stop = stop
  }

  /// Writes everything.
  func write(_ bytes: [UInt8]) throws(ConnectionEnd) {
    var sent = 0
    while sent < bytes.count {
      let result = bytes.withView { descriptor.send($0.dropping(first: sent)) }
      if let count = result.count {
        sent += count
      } else if result.wouldBlock {
        guard stop.wait(for: descriptor.number, Int16(POLLOUT)) else { throw .stopped }
      } else {
        throw .gone
      }
    }
  }

  /// Writes a text.
  func write(_ text: String) throws(ConnectionEnd) { try write(Array(text.utf8)) }

  /// Reads what there is, at most `limit` bytes; empty at the client's end.
  func read(limit: Int = 65_536) throws(ConnectionEnd) -> [UInt8] {
    if !unread.isEmpty {
      let taken = Array(unread.prefix(limit))
      unread.removeFirst(taken.count)
      return taken
    }
    while true {
      var result: IOResult?
      let bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit) { free, count in
        let read = unsafe descriptor.read(into: UnsafeMutableRawBufferPointer(free))
        count = read.count ?? 0
        result = read
      }
      guard let result else { throw .gone }
      if result.count != nil { return bytes }
      guard result.wouldBlock else { throw .gone }
      guard stop.wait(for: descriptor.number, Int16(POLLIN)) else { throw .stopped }
    }
  }

  /// Reads a line without its end (LF, or CR LF); nil at the client's end.
  func readLine(limit: Int = 65_536) throws(ConnectionEnd) -> String? {
    var searched = 0
    while true {
      if let end = unread[searched...].firstIndex(of: ASCII.lf) {
        var line = Array(unread[..<end])
        unread.removeFirst(end + 1)
        if line.last == ASCII.cr { line.removeLast() }
        return String(decoding: line, as: UTF8.self)
      }
      guard unread.count < limit else { throw .malformed(431, "a line over \(limit) bytes") }
      searched = unread.count
      let held = unread
      unread = []
      let more = try read()
      unread = held + more
      if more.isEmpty { return nil }
    }
  }

  /// Lets time pass.
  func pause(milliseconds: Int) throws(ConnectionEnd) {
    guard milliseconds > 0 else { return }
    guard stop.wait(milliseconds: milliseconds) else { throw .stopped }
  }

  /// Ends the sending side and takes what the client still sends, so that it reads our last bytes
  /// before it can be reset (RFC 9112 §9.6).
  func endGently() {
    descriptor.shutdownSending()
    for _ in 0..<64 {
      guard stop.wait(for: descriptor.number, Int16(POLLIN)), let more = try? read(),
        !more.isEmpty
      else { return }
    }
  }

  /// Makes the close a reset.
  func reset() { descriptor.resetOnClose() }
}
