package import Configuration
package import EventLoop

/// What a configuration that has come into force asks of whoever holds the node's listening sockets
/// beside it, so that they outlive the node.
package struct HoldingOrder: Sendable {
  /// The numbers of the addresses, in the configuration's order; what is not among them is to be let go.
  package let addresses: [Int]
  /// The sockets of those that are new, by their numbers, one for each worker.
  package let added: [(number: Int, sockets: [Listener])]
  /// What a node that takes this one's place is to read.
  package let text: ConfigurationText
  /// How long a node of this configuration drains, nanoseconds.
  package let drainTimeout: Int64
}

/// Whoever holds the sockets beside the node.
package protocol SocketHolder: AnyObject, Sendable {
  /// Holds those sockets and no others. Returns when it has let go of the others: from then on they are
  /// closed when the workers close them.
  func hold(_ order: HoldingOrder)
}
