// Where keys come from, and the thread that gets them. Each source has its own: it blocks, in the
// system's resolver among others, and one issuer that does not answer must not delay another's keys.

internal import Bytes
package import EventLoop
internal import Synchronization

/// Where a set of keys is.
package enum KeyLocation: Sendable, Equatable {
  /// A file, which may hold secrets.
  case file(String)
  /// A document on a server. `trustFile` has the certificates that are trusted for it (PEM); nil: the
  /// system's.
  case url(KeyURL, trustFile: String?)
}

/// Why keys could not be had.
package enum KeySourceError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file cannot be read.
  case file(String, Errno)
  /// The document could not be fetched.
  case fetch(FetchError)
  /// What came is no set of keys.
  case content(KeySetDefect)

  /// What went wrong, in a few words.
  package var description: String {
    switch self {
    case .file(let path, let error): "\(path): \(error)"
    case .fetch(let error): "\(error)"
    case .content(let defect): "\(defect)"
    }
  }
}

/// How a source of keys fares, for the operator.
package struct KeySourceStatus: Sendable {
  /// When keys came last; milliseconds since the epoch.
  package var lastSuccess: Int64?
  /// When they did not, for the last time.
  package var lastFailure: Int64?
  /// What went wrong then.
  package var error: KeySourceError?
  /// Attempts that failed since keys came last.
  package var failures = 0
  /// Attempts in all.
  package var attempts: UInt64 = 0
}

/// Gets keys, keeps them, and gets them again.
package final class KeySource: Sendable {
  /// The keys; nil until the first have come.
  package let keys: Published<KeySet?>
  private let location: KeyLocation
  private let clock: NodeClock
  private let waker: Waker
  private let schedule: Mutex<RefreshSchedule>
  private let current = Mutex(KeySourceStatus())
  private let observers = Mutex<[@Sendable () -> Void]>([])
  private let stopping = Atomic<Bool>(false)
  private let thread = Mutex<LoopThread?>(nil)

  /// A source. Nothing is read before `load()` or `start()`.
  package init(_ location: KeyLocation, timing: RefreshTiming, clock: NodeClock) throws(Errno) {
    self.location = location
    self.clock = clock
    keys = Published(nil)
    waker = try Waker()
    schedule = Mutex(RefreshSchedule(timing, first: clock.monotonic()))
  }

  /// How the source fares.
  package var status: KeySourceStatus { current.withLock { $0 } }

  /// Gets the keys on the calling thread, which may block: for a file, when the configuration is
  /// checked.
  package func load() throws(KeySourceError) {
    try get()
    schedule.withLock { $0.succeeded(now: clock.monotonic()) }
  }

  /// Starts the thread that gets the keys and gets them again.
  package func start() {
    clock.follow(waker)
    thread.withLock { thread in
      guard thread == nil else { return }
      thread = LoopThread(name: "weir-keys") { [self] in run() }
    }
  }

  /// Ends the thread, after the fetch that it may be in.
  package func stop() {
    stopping.store(true, ordering: .releasing)
    waker.wake()
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
  }

  /// Gets the keys now, for an operator who has changed them.
  package func refresh() {
    schedule.withLock { $0.hurry(now: clock.monotonic()) }
    waker.wake()
  }

  /// Calls `body`, on the source's thread, after each attempt to get keys, whatever it brought.
  package func afterEachAttempt(_ body: @escaping @Sendable () -> Void) {
    observers.withLock { $0.append(body) }
  }

  /// A token named a key that is not there. Whether keys are being fetched for it; at most once in a
  /// cooldown. Any thread.
  package func wantsKeys(now: Instant) -> Bool {
    let (wanted, starts) = schedule.withLock {
      let wanted = $0.wantKey(now: now.monotonic)
      return (wanted, wanted && !$0.isFetching)
    }
    if starts { waker.wake() }
    return wanted
  }

  private func run() {
    while !stopping.load(ordering: .acquiring) {
      let now = clock.monotonic()
      let (due, wait) = schedule.withLock { ($0.start(now: now), $0.next &- now) }
      if due {
        attempt()
      } else {
        let milliseconds = Int32(clamping: wait / 1_000_000 + 1)
        waker.wait(milliseconds: clock.standsStill ? -1 : milliseconds)
      }
    }
  }

  private func attempt() {
    do throws(KeySourceError) {
      try get()
      schedule.withLock { $0.succeeded(now: clock.monotonic()) }
    } catch {
      schedule.withLock { $0.failed(now: clock.monotonic()) }
    }
    for body in observers.withLock({ $0 }) { body() }
  }

  /// Gets the keys, publishes them if they differ, and notes what came of it.
  private func get() throws(KeySourceError) {
    do throws(KeySourceError) {
      let set = try read()
      if keys.current.value != set { keys.publish(set) }
      note(nil)
    } catch {
      note(error)
      throw error
    }
  }

  private func note(_ error: KeySourceError?) {
    let now = clock.now().wall
    current.withLock {
      $0.attempts += 1
      $0.error = error
      if error == nil {
        $0.lastSuccess = now
        $0.failures = 0
      } else {
        $0.lastFailure = now
        $0.failures += 1
      }
    }
  }

  private func read() throws(KeySourceError) -> KeySet {
    switch location {
    case .file(let path):
      let content: [UInt8]
      do throws(Errno) {
        content = try SmallFile.read(path, maxBytes: JSONLimits.keySet.bytes)
      } catch {
        throw .file(path, error)
      }
      return try parse(content, allowsSecrets: true)
    case .url(let url, let trustFile):
      let content: [UInt8]
      do throws(FetchError) {
        content = try KeyFetch(url: url, trustFile: trustFile).run()
      } catch {
        throw .fetch(error)
      }
      return try parse(content, allowsSecrets: false)
    }
  }

  private func parse(
    _ content: [UInt8], allowsSecrets: Bool
  ) throws(KeySourceError) -> KeySet {
    var buffer = ByteBuffer(capacity: content.count)
    content.withView { buffer.append($0) }
    do throws(KeySetDefect) {
      return try KeySet.read(buffer.view, allowsSecrets: allowsSecrets)
    } catch {
      throw .content(error)
    }
  }
}
