// The kernel's side of a loop: epoll, edge-triggered. Each descriptor is added once, for reading and
// writing; whoever owns it remembers what the kernel told it and works until the kernel says EAGAIN.
// So no request costs an epoll_ctl.

internal import CLinux

/// What happened to a descriptor: the kernel's bits. Not an OptionSet, whose operations on literals are
/// generic and cost a hit more than parsing its request.
@usableFromInline
package struct Readiness: Sendable {
  @usableFromInline let bits: UInt32

  @inlinable
  init(bits: UInt32) { self.bits = bits }

  /// A read will not block: there are bytes, a connection to accept, the end, or an error.
  @inlinable package var mayRead: Bool { bits & (0x001 | 0x008 | 0x010 | 0x2000) != 0 }
  /// A write will not block: there is room, or an error.
  @inlinable package var mayWrite: Bool { bits & (0x004 | 0x008 | 0x010) != 0 }
  /// The peer has ended its sending side.
  @inlinable package var peerEnded: Bool { bits & (0x010 | 0x2000) != 0 }
  /// The connection is over in both directions, or has met an error.
  @inlinable package var isOver: Bool { bits & (0x008 | 0x010) != 0 }
}

/// An epoll instance and room for the events of one turn. Used by one thread.
@safe
package struct Poller: ~Copyable {
  private let epoll: Descriptor
  private let events: UnsafeMutablePointer<epoll_event>
  private let capacity: Int

  /// A poller that takes up to `capacity` events a turn.
  package static func open(capacity: Int = 512) throws(Errno) -> Poller {
    let number = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard number >= 0 else { throw .current }
    return Poller(epoll: Descriptor(owning: number), capacity: capacity)
  }

  private init(epoll: consuming Descriptor, capacity: Int) {
    self.epoll = epoll
    self.capacity = capacity
    unsafe events = .allocate(capacity: capacity)
    unsafe events.initialize(repeating: weir_epoll_event(0, 0), count: capacity)
  }

  deinit { unsafe events.deallocate() }

  /// Watches a descriptor in both directions, edge-triggered; its events carry `token`.
  package borrowing func add(_ descriptor: borrowing Descriptor, token: UInt64) throws(Errno) {
    let interest: UInt32 = 0x001 | 0x004 | 0x2000 | 1 << 31
    try control(EPOLL_CTL_ADD, descriptor, interest, token)
  }

  /// Has the events of a descriptor that `add` watches carry another token; what is there to be told of
  /// it is told anew.
  package borrowing func rename(_ descriptor: borrowing Descriptor, token: UInt64) throws(Errno) {
    let interest: UInt32 = 0x001 | 0x004 | 0x2000 | 1 << 31
    try control(EPOLL_CTL_MOD, descriptor, interest, token)
  }

  /// Watches a descriptor for reading, level-triggered.
  package borrowing func addReader(_ descriptor: borrowing Descriptor, token: UInt64) throws(Errno)
  {
    try control(EPOLL_CTL_ADD, descriptor, 0x001, token)
  }

  /// Stops watching. Closing a descriptor does so too, if nothing else refers to its file.
  package borrowing func remove(_ descriptor: borrowing Descriptor) {
    var event = unsafe weir_epoll_event(0, 0)
    _ = unsafe epoll_ctl(epoll.number, EPOLL_CTL_DEL, descriptor.number, &event)
  }

  private borrowing func control(
    _ operation: Int32, _ descriptor: borrowing Descriptor, _ interest: UInt32, _ token: UInt64
  ) throws(Errno) {
    var event = unsafe weir_epoll_event(interest, token)
    guard unsafe epoll_ctl(epoll.number, operation, descriptor.number, &event) == 0 else {
      throw .current
    }
  }

  /// Waits for events, at most until `timeout` nanoseconds have passed (negative: for ever), and
  /// returns how many there are. Never wakes before its time, and where the kernel can (5.11) only some
  /// ten microseconds behind it: what a leaky bucket lets go is to be evenly spaced.
  package borrowing func wait(timeout: Int64) -> Int {
    let count = unsafe weir_epoll_wait(epoll.number, events, Int32(capacity), timeout)
    // Interrupted by a signal: nothing happened, and the caller looks at its clock again.
    return count > 0 ? Int(count) : 0
  }

  /// As `wait(timeout:)`, but to the nanosecond: for what has to leave at its time, and not after it.
  package borrowing func waitPrecisely(timeout: Int64) -> Int {
    guard timeout >= 0 else { return wait(timeout: timeout) }
    var limit = timespec(
      tv_sec: Int(timeout / 1_000_000_000), tv_nsec: Int(timeout % 1_000_000_000))
    let count = unsafe weir_epoll_pwait2(epoll.number, events, Int32(capacity), &limit)
    if count >= 0 { return Int(count) }
    // Linux before 5.11 does not have it.
    return weir_errno() == ENOSYS ? wait(timeout: timeout) : 0
  }

  /// The token of an event of the last wait.
  package borrowing func token(_ index: Int) -> UInt64 {
    precondition(index >= 0 && index < capacity, "no such event")
    return unsafe weir_epoll_token(events + index)
  }

  /// What an event of the last wait says.
  package borrowing func readiness(_ index: Int) -> Readiness {
    precondition(index >= 0 && index < capacity, "no such event")
    return unsafe Readiness(bits: events[index].events)
  }
}
