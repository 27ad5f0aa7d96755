// Places for connections. There are only so many; whoever needs one while all are taken gets that of the
// connection that has been idle longest. Without that, where each client has connections of its own, or some
// requests need new ones, a request would wait for a place until it is given up, with nobody using any.

internal import EventLoop

/// Idle connections that can give up their places. They are looked for when there is no place, many at once, so
/// that a place costs little however many connections there are.
struct RestingConnections {
  /// Their names, the longest idle last. Some may be busy or gone again.
  private var names: [UInt64] = []
  /// Whether any has become idle since they were looked for.
  private var mayBeMore = true

  /// A connection has become idle.
  mutating func note() { mayBeMore = true }

  /// The one that has been idle longest; nil if all are busy. `idle` gives all that are idle now, and since
  /// when.
  mutating func longest<Element: AnyObject>(
    in slab: borrowing Slab<Element>, idle: (Element) -> (name: UInt64, since: Int64)?
  ) -> Element? {
    while true {
      while let name = names.popLast() {
        if let element = slab.element(name), idle(element) != nil { return element }
      }
      guard mayBeMore else { return nil }
      mayBeMore = false
      names = slab.all.compactMap(idle).sorted { $0.since > $1.since }.map(\.name)
    }
  }
}

extension Sender {
  /// Whether there is a place for another connection of HTTP/1.1; an idle one is closed for it.
  func hasPlace(_ now: Int64) -> Bool {
    while connections.count >= maxConnections {
      let found = resting.longest(in: connections) { connection in
        connection.isBusy || !connection.waiting.isEmpty
          ? nil : (connection.name, connection.idleSince)
      }
      guard let found else { return false }
      close(found, now)
    }
    return true
  }

  /// Whether there is a place for another connection of HTTP/2; an idle one is closed for it.
  func hasMultiplexedPlace(_ now: Int64) -> Bool {
    while multiplexed.count >= maxConnections {
      let found = resting.longest(in: multiplexed) { connection in
        connection.active > 0 || !connection.ended.isEmpty
          ? nil : (connection.name, connection.idleSince)
      }
      guard let found else { return false }
      found.fail(.closed)
      collect(found, now)
    }
    return true
  }
}
