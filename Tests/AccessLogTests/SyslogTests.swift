import AccessLog
import Bytes
import EventLoop
import Glibc
import Testing

private let labels = AccessLogLabels(routes: [], cache: [])

/// A datagram socket that a test reads.
private final class Receiver {
  let number: Int32
  private(set) var port: UInt16 = 0

  struct CannotOpen: Error {}

  /// In the file system.
  init(path: String) throws {
    number = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) {
      unsafe $0.copyBytes(from: Array(path.utf8))
    }
    let result = unsafe withUnsafeBytes(of: &address) {
      unsafe bind(
        number, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t($0.count))
    }
    guard number >= 0, result == 0 else { throw CannotOpen() }
  }

  /// On loopback, by UDP.
  init() throws {
    number = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = unsafe withUnsafeMutableBytes(of: &address) { bytes in
      let start = unsafe bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
      guard unsafe bind(number, start, length) == 0 else { return Int32(-1) }
      return unsafe getsockname(number, start, &length)
    }
    guard number >= 0, result == 0 else { throw CannotOpen() }
    port = UInt16(bigEndian: address.sin_port)
  }

  deinit { close(number) }

  /// The next message; blocks until it is there.
  func next() -> String {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    let count = unsafe recv(number, &buffer, buffer.count, 0)
    return String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self)
  }
}

extension AccessLogRing {
  fileprivate func append(target: String) {
    target.withView {
      var record = AccessRecord()
      record.target = $0
      append(record)
    }
  }
}

@Suite struct SyslogTests {
  private static func parts(
    _ message: String
  ) throws -> Regex<(Substring, Substring, Substring, Substring, Substring, Substring)>.Match {
    let form =
      #/<(\d+)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\S+) (\S+) (\d+) access - (.*)/#
    return try #require(try form.wholeMatch(in: message))
  }

  @Test func `lines come as messages of RFC 5424 on a unix socket`() throws {
    let directory = try TemporaryDirectory()
    let receiver = try Receiver(path: directory.file("socket"))
    let target = SyslogTarget(.unix(directory.file("socket")), facility: 16, tag: "edge")
    let log = try AccessLogWriter(
      channels: [
        AccessLogChannel(.syslog(target), format: .template(try LogTemplate("$target")))
      ], labels: labels)
    let ring = log.makeRing()
    ring.append(target: "/a")
    ring.append(target: "/b c")
    let first = try Self.parts(receiver.next())
    // local0, informational.
    #expect(first.1 == "134" && first.3 == "edge" && first.5 == "/a")
    #expect(first.4 == "\(getpid())")
    let second = try Self.parts(receiver.next())
    #expect(second.5 == "/b c")
    log.flush()
    #expect(log.lines == 2 && log.dropped == 0)
  }

  @Test func `lines come by UDP`() throws {
    let receiver = try Receiver()
    let target = SyslogTarget(.udp(host: "127.0.0.1", port: receiver.port))
    let log = try AccessLogWriter(
      channels: [AccessLogChannel(.syslog(target))], labels: labels)
    log.makeRing().append(target: "/a")
    let message = try Self.parts(receiver.next())
    #expect(message.1 == "190" && message.3 == "weir")
    #expect(try Line(Array(String(message.5).utf8)).target == "/a")
  }

  @Test func `a server that is not there costs lines, and gets those after it has come`() throws {
    let directory = try TemporaryDirectory()
    let target = SyslogTarget(.unix(directory.file("socket")))
    let log = try AccessLogWriter(
      channels: [AccessLogChannel(.syslog(target))], labels: labels)
    #expect(log.writeErrors == 1 && log.lastError == Errno(ENOENT))
    let ring = log.makeRing()
    ring.append(target: "/lost")
    log.flush()
    #expect(log.lines == 0 && log.unwritten == 1)
    var receiver = try Receiver(path: directory.file("socket"))
    ring.append(target: "/first")
    #expect(receiver.next().contains("/first"))
    // Started anew, on a socket of the same name.
    _ = unsafe unlink(directory.file("socket"))
    receiver = try Receiver(path: directory.file("socket"))
    ring.append(target: "/second")
    #expect(receiver.next().contains("/second"))
  }

  @Test func `a server that does not read costs lines, and the log goes on`() throws {
    let directory = try TemporaryDirectory()
    let receiver = try Receiver(path: directory.file("socket"))
    let target = SyslogTarget(.unix(directory.file("socket")))
    let log = try AccessLogWriter(
      channels: [AccessLogChannel(.syslog(target))], labels: labels)
    let ring = log.makeRing()
    for _ in 0..<300 { ring.append(target: "/" + String(repeating: "a", count: 400)) }
    log.flush()
    #expect(log.unwritten > 0 && log.lines > 0 && log.lines + log.unwritten == 300)
    for _ in 0..<log.lines { _ = receiver.next() }
    ring.append(target: "/after")
    #expect(receiver.next().contains("/after"))
  }

  @Test func `a line that is too long is cut off between two characters`() throws {
    let directory = try TemporaryDirectory()
    let receiver = try Receiver(path: directory.file("socket"))
    let channel = AccessLogChannel(
      .syslog(SyslogTarget(.unix(directory.file("socket")))))
    let log = try AccessLogWriter(channels: [channel], labels: labels)
    let text = String(repeating: "é", count: 1_024)
    text.withView { text in
      var record = AccessRecord()
      record.target = text
      record.referer = text
      record.userAgent = text
      record.host = text
      log.makeRing().append(record)
    }
    let message = receiver.next()
    #expect(message.utf8.count > 7_000 && message.utf8.count < 8_192)
    #expect(!message.contains("\u{FFFD}"))
  }
}
