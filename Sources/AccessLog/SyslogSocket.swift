// Lines to a syslog server: one datagram for each (RFC 5424 over a unix socket or, RFC 5426, UDP).
//
// Nothing is ever waited for but room in the queue of a server on the same machine, and that for a second
// at most in each batch: the kernel keeps ten datagrams there by default. A server that is not there, or
// goes, costs lines and is looked for again with each batch.

internal import Bytes
internal import CLinux
internal import EventLoop

/// Where a syslog server is, and what messages say of themselves.
package struct SyslogTarget: Sendable, Equatable, CustomStringConvertible {
  /// How it is reached.
  package enum Address: Sendable, Equatable {
    /// A datagram socket in the file system, such as `/dev/log`.
    case unix(String)
    /// A numeric address and a port, by UDP.
    case udp(host: String, port: UInt16)
  }
  /// How it is reached.
  package var address: Address
  /// The facility, 0 to 23 (RFC 5424 §6.2.1).
  package var facility: UInt8
  /// APP-NAME: at most 48 printable ASCII characters.
  package var tag: String

  /// A server; lines come as `local7`, severity informational.
  package init(_ address: Address, facility: UInt8 = 23, tag: String = "weir") {
    self.address = address
    self.facility = min(facility, 23)
    self.tag = tag
  }

  /// `syslog:unix:/dev/log`
  package var description: String {
    switch address {
    case .unix(let path): "syslog:unix:\(path)"
    case .udp(let host, let port): "syslog:udp:\(host):\(port)"
    }
  }
}

/// An open way to a syslog server. Used by the log's thread only.
final class SyslogSocket {
  private let target: SyslogTarget
  private var number: Int32 = -1
  private let host: [UInt8]
  private var message = LineBuffer(capacity: headerRoom + longestText)
  /// How long this batch may still wait for room, in milliseconds.
  private var patience: Int32 = 0
  /// Whether there was no room at the end of the last batch: then it is not waited for again.
  private var isStuck = false

  private static let headerRoom = 1_024
  /// Receivers should take 2,048 bytes (RFC 5424 §6.1), the common ones take 8 KiB; what is beyond is cut off.
  private static let longestText = 7 << 10

  init(_ target: SyslogTarget) {
    self.target = target
    var name = [CChar](repeating: 0, count: 256)
    let isKnown = unsafe gethostname(&name, 255) == 0
    let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    let isName = isKnown && !bytes.isEmpty && bytes.allSatisfy { (0x21...0x7E).contains($0) }
    host = isName ? bytes : [0x2D]
  }

  deinit { close() }

  private func close() {
    if number >= 0 { _ = CLinux.close(number) }
    number = -1
  }

  /// Connects, if it is not connected. Nil: it is.
  func connect() -> Errno? {
    if number >= 0 { return nil }
    do throws(Errno) {
      switch target.address {
      case .unix(let path): number = try Self.open(path)
      case .udp(let host, let port):
        guard let address = SocketAddress(host: host, port: port) else { return Errno(EINVAL) }
        number = try Socket.datagrams(to: address).release()
      }
      return nil
    } catch {
      return error
    }
  }

  private static func open(_ path: String) throws(Errno) -> Int32 {
    let kind = Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let number = socket(AF_UNIX, kind, 0)
    guard number >= 0 else { throw .current }
    let socket = Descriptor(owning: number)
    guard connect(number, path) == 0 else { throw .current }
    return socket.release()
  }

  private static func connect(_ number: Int32, _ path: String) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      weir_set_errno(ENAMETOOLONG)
      return -1
    }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    return unsafe withUnsafeBytes(of: &address) {
      unsafe CLinux.connect(
        number, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t($0.count))
    }
  }

  /// Sends whole lines. Returns how many were not taken, and why the last of them was not.
  func write(_ lines: ByteView, at wall: Int64) -> (lost: UInt64, error: Errno?) {
    patience = isStuck ? 0 : 1_000
    var lost: UInt64 = 0
    var failure: Errno?
    var start = 0
    while start < lines.count, let end = lines.firstIndex(of: ASCII.lf, from: start) {
      compose(lines[start..<end], at: wall)
      if let error = send() {
        lost += 1
        failure = error
      }
      start = end + 1
    }
    isStuck = failure == .wouldBlock
    return (lost, failure)
  }

  /// `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID - MSG`
  private func compose(_ line: ByteView, at wall: Int64) {
    message.removeAll()
    message.append("<")
    message.append(decimal: UInt64(target.facility) * 8 + 6)
    message.append(">1 ")
    LineFormatter.append(time: wall, to: &message)
    message.append(ASCII.space)
    host.withView { message.append($0) }
    message.append(ASCII.space)
    Array(target.tag.utf8.prefix(48)).withView { message.append($0) }
    message.append(ASCII.space)
    message.append(decimal: UInt64(max(getpid(), 0)))
    message.append(" access - ")
    var end = min(line.count, Self.longestText)
    // Not within a character.
    while end < line.count, end > 0, line[end] & 0xC0 == 0x80 { end -= 1 }
    message.append(line.prefix(end))
  }

  private func send() -> Errno? {
    // A server that was started anew has another socket: once more, to that.
    for isSecond in [false, true] {
      if let error = connect() { return error }
      let bytes = message.view
      while true {
        // Safe: the kernel reads what the view covers.
        let count = unsafe weir_send(number, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        if count >= 0 { return nil }
        let error = Errno.current
        if error.code == EINTR { continue }
        if error == .wouldBlock || error.code == ENOBUFS {
          if waitForRoom() { continue }
          return error
        }
        // Too long for the way: no other socket would take it either.
        if error.code == EMSGSIZE || isSecond { return error }
        close()
        break
      }
    }
    return nil
  }

  /// Whether there is room, within what is left of the batch's patience.
  private func waitForRoom() -> Bool {
    if patience <= 0 { return false }
    patience -= 50
    var descriptor = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
    return unsafe poll(&descriptor, 1, 50) > 0
  }
}
