/// Deadlines of a loop, earliest first: a binary heap of (time, token).
///
/// Nothing is ever taken out early. Whoever set a timer keeps the deadline it really wants; when the
/// timer rings too soon for it, it sets the next one. So moving a deadline back, which every request
/// does, costs one store and no work here.
package struct TimerQueue: ~Copyable {
  private struct Entry {
    var deadline: Int64
    var token: UInt64
  }
  private var heap: [Entry] = []

  /// No timers.
  package init() {}

  /// How many are set.
  package var count: Int { heap.count }

  /// The earliest deadline, or nil.
  package var next: Int64? { heap.first?.deadline }

  /// Sets a timer.
  package mutating func set(deadline: Int64, token: UInt64) {
    heap.append(Entry(deadline: deadline, token: token))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if heap[parent].deadline <= heap[child].deadline { break }
      heap.swapAt(parent, child)
      child = parent
    }
  }

  /// Takes the earliest timer if its time has come.
  package mutating func takeDue(now: Int64) -> UInt64? {
    guard let first = heap.first, first.deadline <= now else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      sink()
    }
    return first.token
  }

  private mutating func sink() {
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child >= heap.count { return }
      if child + 1 < heap.count && heap[child + 1].deadline < heap[child].deadline { child += 1 }
      if heap[parent].deadline <= heap[child].deadline { return }
      heap.swapAt(parent, child)
      parent = child
    }
  }
}
