package import Configuration
package import EventLoop
import Synchronization

/// One server of a pool, shared by all workers; each worker keeps its own connections to it.
package final class OriginServer: Sendable {
  /// As configured.
  package let address: ServerAddress
  private let resolved: Mutex<[SocketAddress]>
  private let turn = Atomic<Int>(0)

  init(_ address: ServerAddress) {
    self.address = address
    let numeric = SocketAddress(host: address.host, port: address.port)
    resolved = Mutex(numeric.map { [$0] } ?? [])
  }

  /// Whether the host is a name, which has to be resolved again from time to time.
  var isNamed: Bool { SocketAddress(host: address.host, port: address.port) == nil }

  /// An address to connect to, each in turn; nil while the name has none.
  package func nextAddress() -> SocketAddress? {
    let start = turn.add(1, ordering: .relaxed).newValue
    return resolved.withLock { addresses in
      addresses.isEmpty ? nil : addresses[Int(start.magnitude % UInt(addresses.count))]
    }
  }

  /// Looks the name up again; what was known is kept if the lookup finds nothing.
  func resolve() {
    let found = Socket.resolve(host: address.host, port: address.port)
    guard !found.isEmpty else { return }
    resolved.withLock { $0 = found }
  }
}

/// The servers of an `origin` block, taken in turn.
package final class OriginPool: Sendable {
  /// As configured.
  package let configuration: OriginConfiguration
  /// At least one.
  package let servers: [OriginServer]
  private let turn = Atomic<Int>(0)

  /// A pool as configured; its names are not resolved yet.
  package init(_ configuration: OriginConfiguration) {
    self.configuration = configuration
    servers = configuration.servers.map { OriginServer($0) }
  }

  /// The index of the server that the next request goes to.
  package func nextServer() -> Int {
    guard servers.count > 1 else { return 0 }
    return Int(turn.add(1, ordering: .relaxed).newValue.magnitude % UInt(servers.count))
  }
}
