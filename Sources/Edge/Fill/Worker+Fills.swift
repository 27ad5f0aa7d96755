// The clients of fills, as their worker knows them.

internal import EventLoop

extension Worker {
  /// Adds a client of this worker to a fill.
  func join(_ fill: Fill, connection: UInt64, limit: Int) -> Bool {
    guard fill.join(FillReader(worker: index, connection: connection), limit: limit) else {
      return false
    }
    if fill.key == nil {
      fill.soleReader = connection
    } else {
      readers[ObjectIdentifier(fill), default: []].append(connection)
    }
    return true
  }

  /// Takes a client out of a fill.
  func leave(_ fill: Fill, connection: UInt64) {
    fill.leave(FillReader(worker: index, connection: connection))
    if fill.key == nil {
      fill.soleReader = nil
      wakeLeader(of: fill)
      return
    }
    let key = ObjectIdentifier(fill)
    if let place = readers[key]?.firstIndex(of: connection) { readers[key]?.swapRemove(at: place) }
    if readers[key]?.isEmpty ?? false { readers[key] = nil }
    wakeLeader(of: fill)
  }

  /// Tells the one who reads a fill that it may go on, or that nobody is left to read for.
  func wakeLeader(of fill: Fill) {
    if fill.leader == index {
      leading[ObjectIdentifier(fill)]?.goOn()
    } else {
      context.post(.fillMayReadOn(fill), to: fill.leader)
    }
  }
}
