internal import CLinux
import Synchronization

/// Wakes a loop from another thread: an eventfd.
package final class Waker: Sendable {
  /// Watched by the loop, level-triggered.
  package let descriptor: Descriptor

  /// A waker.
  package init() throws(Errno) {
    let number = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
    guard number >= 0 else { throw .current }
    descriptor = Descriptor(owning: number)
  }

  /// Makes the loop's wait return.
  package func wake() {
    var one: UInt64 = 1
    // Full is as good as written: the loop is woken either way.
    _ = unsafe write(descriptor.number, &one, 8)
  }

  /// Takes the wake-up back, before looking at what it was for.
  package func clear() {
    var count: UInt64 = 0
    _ = unsafe read(descriptor.number, &count, 8)
  }

  /// Blocks the calling thread until woken, at most `milliseconds` (negative: for ever).
  package func wait(milliseconds: Int32) {
    var descriptors = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
    _ = unsafe poll(&descriptors, 1, milliseconds)
    clear()
  }
}

/// What other threads have to say to a loop, in order.
package final class Inbox<Message: Sendable>: Sendable {
  /// Wakes the loop that owns the inbox.
  package let waker: Waker
  private let waiting = Mutex<[Message]>([])

  /// An empty inbox.
  package init() throws(Errno) { waker = try Waker() }

  /// Leaves a message and wakes the loop if it may be asleep.
  package func post(_ message: Message) {
    let first = waiting.withLock { messages in
      messages.append(message)
      return messages.count == 1
    }
    if first { waker.wake() }
  }

  /// Takes all messages.
  package func take() -> [Message] {
    waiting.withLock { messages in
      let taken = messages
      messages = []
      return taken
    }
  }
}
