internal import Bytes
package import EventLoop
import Synchronization

/// One server of a pool, shared by all workers and kept over a reload; each worker keeps its own
/// connections to it.
package final class OriginServer: Sendable {
  /// Tells servers apart, for the life of the process: what connections are kept by.
  package let id: Int
  /// Where it listens.
  package let location: ServerLocation
  let cells: ServerCells
  /// A hash of its name, the same on every node.
  let identity: UInt64
  /// Only the checker's thread changes it.
  let health = Mutex(HealthState())
  private let book: Mutex<AddressBook>
  private let generation = Atomic<UInt64>(0)
  private static let lastID = Atomic<Int>(0)

  init(_ location: ServerLocation) {
    id = Self.lastID.add(1, ordering: .relaxed).newValue
    self.location = location
    cells = .allocate()
    identity = location.name.withView { Rendezvous.hash($0) }
    var known: [SocketAddress] = []
    if case .host(let host, let port) = location,
      let address = SocketAddress(host: host, port: port)
    {
      known = [address]
    }
    book = Mutex(AddressBook(AddressList(known)))
  }

  deinit { cells.words.deallocate() }

  /// `host:port` or `unix:path`.
  package var name: String { location.name }

  /// Whether the host is a name, which has to be resolved again from time to time.
  var isNamed: Bool {
    guard case .host(let host, let port) = location else { return false }
    return SocketAddress(host: host, port: port) == nil
  }

  /// How to connect next (monotonic time); without addresses it is exhausted at once.
  package func connectPlan(now: Int64) -> ConnectPlan {
    ConnectPlan(book.withLock { $0.next(now: now) })
  }

  /// An address could not be connected to: it comes last for a while.
  package func addressFailed(_ address: SocketAddress, now: Int64) {
    book.withLock { $0.failed(address, now: now) }
  }

  /// Changes whenever a lookup has found other addresses.
  package var addressGeneration: UInt64 { generation.load(ordering: .relaxed) }

  /// Whether an address is one of those that are known now.
  package func hasAddress(_ address: SocketAddress) -> Bool {
    book.withLock { $0.addresses.firstIndex(of: address) != nil }
  }

  /// The addresses that are known now.
  package var addresses: [SocketAddress] {
    book.withLock { book in (0..<book.addresses.count).map { book.addresses[$0] } }
  }

  /// Looks the name up again; what was known is kept if the lookup finds nothing. Blocks.
  func resolve(_ lookup: Resolver.Lookup) -> Bool {
    guard case .host(let host, let port) = location else { return true }
    let found = lookup(host, port)
    let hasChanged = book.withLock { book in
      let before = book.addresses
      book.replace(AddressList(found))
      let after = book.addresses
      return before.count != after.count
        || (0..<after.count).contains { before.firstIndex(of: after[$0]) == nil }
    }
    if hasChanged { generation.add(1, ordering: .relaxed) }
    return !found.isEmpty
  }
}
