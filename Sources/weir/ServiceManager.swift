// What systemd is told (sd_notify(3)): a datagram to the socket that it names. Only the supervisor tells it,
// so `NotifyAccess=main` is right. Where nobody named a socket nothing is done.

internal import CLinux
import EventLoop

/// The service manager, if there is one.
struct ServiceManager {
  private let path: String?
  /// How often it wants to be told that the node is well, in nanoseconds; nil: not at all.
  let watchdogInterval: Int64?

  /// As the environment says.
  init() {
    path = Self.variable("NOTIFY_SOCKET")
    let isForThis = Self.variable("WATCHDOG_PID").map { Int32($0) == getpid() } ?? true
    let period = Self.variable("WATCHDOG_USEC").flatMap { Int64($0) } ?? 0
    // Twice in its time, as sd_watchdog_enabled(3) advises.
    watchdogInterval =
      isForThis && period > 0
      ? max(period.multipliedReportingOverflow(by: 500).partialValue, 1) : nil
  }

  /// The node answers; or has gone over to another configuration, or stayed with the one it has.
  func ready(_ status: String) { tell("READY=1\nSTATUS=\(status)") }

  /// The configuration is being read again.
  func reloading(now: Int64) { tell("RELOADING=1\nMONOTONIC_USEC=\(now / 1000)") }

  /// The node drains.
  func stopping() { tell("STOPPING=1") }

  /// The node is well.
  func alive() { tell("WATCHDOG=1") }

  private func tell(_ text: String) {
    guard let path, !path.isEmpty else { return }
    let number = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard number >= 0 else { return }
    let own = Descriptor(owning: number)
    var name = Array(path.utf8)
    // An abstract name begins with NUL, which `@` stands for.
    if name[0] == UInt8(ascii: "@") { name[0] = 0 }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    guard name.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
    let start = MemoryLayout<sockaddr_un>.size - MemoryLayout.size(ofValue: address.sun_path)
    let length = socklen_t(start + name.count)
    let bytes = Array(text.utf8)
    // Safe: the kernel reads what the lengths say. Whoever does not listen is not told.
    unsafe withUnsafeBytes(of: &address) { place in
      _ = unsafe sendto(
        own.number, bytes, bytes.count, Int32(MSG_NOSIGNAL),
        unsafe place.assumingMemoryBound(to: sockaddr.self).baseAddress, length)
    }
  }

  /// The listening sockets that it has opened (sd_listen_fds(3)); they are this process's from now on.
  static func takeSockets() -> [Listener] {
    guard variable("LISTEN_PID").flatMap({ Int32($0) }) == getpid(),
      let count = variable("LISTEN_FDS").flatMap({ Int32($0) }), (1...4096).contains(count)
    else { return [] }
    // Not for the nodes: they get theirs by number.
    for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { _ = unsafe unsetenv(name) }
    return (3..<3 + count).map { Listener(Descriptor(owning: $0)) }
  }

  private static func variable(_ name: String) -> String? {
    unsafe getenv(name).map { unsafe String(cString: $0) }
  }
}
