// Ports for servers that must be told theirs, such as other people's programs.
//
// Not of those that the kernel gives to connections (ip_local_port_range). One of these that is free now may be
// a connection's own when the server comes to bind it; and who connects to one on which nobody listens may get
// it as his own, and be connected to himself.

internal import CLinux
internal import EventLoop
internal import FoundationEssentials
import Synchronization

/// See the top of this file.
package enum FreePort {
  private static let count: UInt32 = 10_000
  private static let turn = Atomic<UInt32>(UInt32(bitPattern: getpid()) &* 61)

  /// The first of them: as many as there are below those of connections.
  private static let first: UInt32 = {
    let file = URL(filePath: "/proc/sys/net/ipv4/ip_local_port_range")
    let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
    let lowest = text.split(whereSeparator: \.isWhitespace).first.flatMap { UInt32($0) } ?? 32_768
    // Where they are all the kernel's, those that are so by default.
    return (lowest > 2 * count ? min(lowest, 60_000) : 32_768) - count
  }()

  /// A port of 127.0.0.1 that nobody has, another one each time.
  package static func take() throws(PeerFailure) -> UInt16 {
    for _ in 0..<count {
      let number = turn.add(1, ordering: .relaxed).oldValue
      let port = UInt16(truncatingIfNeeded: first + number % count)
      let loopback = SocketAddress(high: 0, low: 0xFFFF_7F00_0001, port: port)
      if (try? Socket.listen(on: loopback, shared: false)) != nil { return port }
    }
    throw PeerFailure(.system, "no port is free")
  }
}
