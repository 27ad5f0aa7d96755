internal import CLinux

/// A thread of its own, with a name that `top -H` shows.
package final class LoopThread: @unchecked Sendable {
  // Sendable because the handle is written once, before anybody else can see it.
  private var handle = pthread_t()

  private final class Start {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }

  /// The nice value of prompt threads, where the process may have one so low.
  private static var promptNice: Int32 { -10 }

  /// Starts a thread. The signals of the process are blocked in it: one place of the process takes them.
  ///
  /// - Parameters:
  ///   - cpu: the processor that it keeps to.
  ///   - isPrompt: whether somebody waits for the little that it does, while others keep all processors busy: a
  ///     thread that wakes up beside workers at work may otherwise wait for the next tick, 4 ms, each time.
  package init(
    name: String, cpu: Int? = nil, isPrompt: Bool = false, _ body: @escaping @Sendable () -> Void
  ) {
    let start = Start(
      name: name,
      body: {
        if let cpu { _ = weir_pin_to_cpu(Int32(clamping: cpu)) }
        if isPrompt { weir_make_prompt(Self.promptNice) }
        body()
      })
    let result = unsafe pthread_create(
      &handle, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        let start = unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        // Those that say something about this very thread (a trap, a fault) stay as they are, or a
        // crash would leave no trace.
        var others = sigset_t()
        unsafe sigemptyset(&others)
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE, SIGCHLD, SIGALRM] {
          unsafe sigaddset(&others, signal)
        }
        unsafe pthread_sigmask(SIG_BLOCK, &others, nil)
        _ = prctl_set_name(start.name)
        start.body()
        return nil
      }, Unmanaged.passRetained(start).toOpaque())
    precondition(result == 0, "cannot start a thread: \(Errno(result))")
  }

  /// Waits until the thread has ended. Call once.
  package func join() { _ = pthread_join(handle, nil) }
}

private func prctl_set_name(_ name: String) -> Int32 {
  unsafe name.withCString { unsafe weir_set_thread_name($0) }
}

/// The machine.
package enum Machine {
  /// How many processors this process may run on; at least 1.
  package static var processors: Int { Int(weir_cpu_count()) }

  /// Lets the calling thread's waits end when they are due: by default the kernel may add 50 µs.
  package static func waitExactly() { _ = weir_set_timer_slack(1) }

  /// Raises the number of descriptors the process may have to what it is allowed, and says how many.
  @discardableResult
  package static func raiseDescriptorLimit() -> Int { Int(weir_raise_descriptor_limit()) }
}
