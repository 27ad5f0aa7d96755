internal import CLinux
internal import EventLoop
import Synchronization

/// What an origin's threads share.
final class OriginState: Sendable {
  let stop: StopSign
  let files: StaticFiles?
  private let counts = Mutex<[String: Int]>([:])
  private let revisions = Mutex<[String: Int]>([:])

  init(stop: StopSign, files: StaticFiles?) {
    self.stop = stop
    self.files = files
  }

  /// Counts a request and says how many there have been for its path.
  func count(path: String) -> Int {
    counts.withLock { counts in
      counts[path, default: 0] += 1
      return counts[path, default: 0]
    }
  }

  func requests(path: String) -> Int { counts.withLock { $0[path] ?? 0 } }

  var allRequests: [String: Int] { counts.withLock { $0 } }

  /// How often an unsafe method has changed a path.
  func revision(path: String) -> Int { revisions.withLock { $0[path] ?? 0 } }

  func change(path: String) { revisions.withLock { $0[path, default: 0] += 1 } }
}

/// Says stop to every thread, once and for good.
final class StopSign: Sendable {
  private let waker: Waker

  init() throws(Errno) { waker = try Waker() }

  /// Nobody takes it down, so each thread that looks sees it.
  func raise() { waker.wake() }

  /// Waits until the descriptor is ready; false when the stop sign is up.
  func wait(for descriptor: Int32, _ events: Int16) -> Bool {
    var polled = [
      pollfd(fd: waker.descriptor.number, events: Int16(POLLIN), revents: 0),
      pollfd(fd: descriptor, events: events, revents: 0),
    ]
    while unsafe poll(&polled, 2, -1) < 0 {}
    return polled[0].revents == 0
  }

  /// Lets time pass; false when the stop sign is up.
  func wait(milliseconds: Int) -> Bool {
    var polled = pollfd(fd: waker.descriptor.number, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&polled, 1, Int32(clamping: milliseconds)) <= 0
  }
}

/// The threads that have ended and can be joined.
final class FinishedThreads: Sendable {
  private let ids = Mutex<[Int]>([])
  func add(_ id: Int) { ids.withLock { $0.append(id) } }
  func take() -> [Int] {
    ids.withLock { ids in
      let taken = ids
      ids = []
      return taken
    }
  }
}
