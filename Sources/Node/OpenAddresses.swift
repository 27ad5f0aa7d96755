internal import Configuration
internal import EventLoop

/// The addresses that a node listens on, by the numbers that its workers know their sockets by. The
/// sockets are the workers' alone: what holds another reference would keep them open.
struct OpenAddresses: Sendable {
  struct Entry: Sendable {
    let number: Int
    /// As configured.
    let configured: ListenAddress
    /// With the port that the system picked.
    let bound: SocketAddress?
  }

  /// In the configuration's order.
  private(set) var entries: [Entry] = []
  private var nextNumber = 0

  /// Those that were opened for a configuration.
  init(_ addresses: [ListenAddress], _ sockets: [[Listener]]) {
    for (address, sockets) in zip(addresses, sockets) { add(address, sockets) }
  }

  private mutating func add(_ address: ListenAddress, _ sockets: [Listener]) {
    let bound = sockets.first.flatMap { Socket.localAddress(of: $0.socket) }
    entries.append(Entry(number: nextNumber, configured: address, bound: bound))
    nextNumber += 1
  }

  /// What comes of a configuration's addresses: those that are open stay as they are.
  struct Change {
    var addresses: OpenAddresses
    /// What is new, for each worker, and the same by its number.
    var added: [[NumberedSocket]]
    var opened: [(number: Int, sockets: [Listener])]
    /// What is to be closed.
    var removed: [Int]
  }

  /// A socket for one worker, by the number of its address.
  typealias NumberedSocket = (number: Int, listener: Listener)

  /// Opens what is missing; throws, and opens nothing, if an address cannot be had.
  func changed(to wanted: [ListenAddress], workers: Int) throws(NodeError) -> Change {
    var left = entries
    var next = self
    next.entries = []
    var added = [[NumberedSocket]](repeating: [], count: workers)
    var opened: [(number: Int, sockets: [Listener])] = []
    for address in wanted {
      if let place = left.firstIndex(where: { $0.configured == address }) {
        next.entries.append(left.remove(at: place))
        continue
      }
      let sockets = try NodeListeners.open(address, workers: workers)
      for (worker, socket) in sockets.enumerated() {
        added[worker].append((next.nextNumber, socket))
      }
      opened.append((next.nextNumber, sockets))
      next.add(address, sockets)
    }
    return Change(
      addresses: next, added: added, opened: opened, removed: left.map(\.number))
  }
}
