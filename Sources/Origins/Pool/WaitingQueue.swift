// Requests that wait for a connection, first come, first served: a list in an array, so that one can leave
// from the middle in constant time. Bounded, and its memory is made when the first one waits.

/// Who waits: a worker, and what that worker calls the request.
package struct Waiter: Sendable, Equatable {
  /// The worker's number.
  package var worker: Int
  /// The worker's own name for the request.
  package var id: UInt64
  /// Servers that have failed for it.
  var tried = ServerSet()
  /// The hash that its server is chosen by, where the pool goes by one.
  var key: UInt64?

  /// A request of a worker.
  package init(worker: Int, id: UInt64) {
    self.worker = worker
    self.id = id
  }
}

/// A place in the queue, to leave it by.
package struct WaitTicket: Sendable, Equatable {
  var place: Int32
  var generation: UInt32
}

/// See the top of this file.
struct WaitingQueue: Sendable {
  private struct Place {
    var waiter = Waiter(worker: 0, id: 0)
    var generation: UInt32 = 0
    var isWaiting = false
    var before: Int32 = -1
    var after: Int32 = -1
  }

  private var places: [Place] = []
  private var free: [Int32] = []
  private var first: Int32 = -1
  private var last: Int32 = -1
  private(set) var count = 0

  /// Takes a place at the end; nil if `limit` wait already.
  mutating func append(_ waiter: Waiter, limit: Int) -> WaitTicket? {
    guard count < min(limit, Int(Int32.max)) else { return nil }
    let place: Int32
    if let used = free.popLast() {
      place = used
    } else {
      place = Int32(places.count)
      places.append(Place())
    }
    let index = Int(place)
    places[index].waiter = waiter
    places[index].isWaiting = true
    places[index].before = last
    places[index].after = -1
    if last >= 0 { places[Int(last)].after = place } else { first = place }
    last = place
    count += 1
    return WaitTicket(place: place, generation: places[index].generation)
  }

  /// Who waits longest.
  var peekFirst: Waiter? { first >= 0 ? places[Int(first)].waiter : nil }

  /// Takes out who waits longest.
  mutating func popFirst() -> Waiter? {
    guard first >= 0 else { return nil }
    let waiter = places[Int(first)].waiter
    unlink(first)
    return waiter
  }

  /// Leaves the queue; false if that has happened already.
  mutating func remove(_ ticket: WaitTicket) -> Bool {
    let index = Int(ticket.place)
    guard index >= 0, index < places.count, places[index].isWaiting,
      places[index].generation == ticket.generation
    else { return false }
    unlink(ticket.place)
    return true
  }

  private mutating func unlink(_ place: Int32) {
    let index = Int(place)
    let (before, after) = (places[index].before, places[index].after)
    if before >= 0 { places[Int(before)].after = after } else { first = after }
    if after >= 0 { places[Int(after)].before = before } else { last = before }
    places[index].isWaiting = false
    places[index].generation &+= 1
    free.append(place)
    count -= 1
  }
}
