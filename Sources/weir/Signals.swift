// Signals are never handled, they are waited for: all that matter are blocked before there is a second
// thread, and one thread takes them one by one. The mask is inherited over exec, so that none that is
// sent to a node meets it before it listens.

internal import CLinux
import Supervision

enum Signals {
  /// What an operator sends.
  static let operators = [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2]

  /// Prepares this process to wait for signals. Call before there is a second thread.
  static func prepare() {
    // Writing to somebody who is gone is an error like others.
    weir_ignore_signal(SIGPIPE)
    // And so is a file that has reached a limit (RLIMIT_FSIZE).
    weir_ignore_signal(SIGXFSZ)
    // Ignored by whoever started this process, it would hide the end of a node.
    weir_default_signal(SIGCHLD)
    // Those and no others, whatever was blocked by who started it.
    var set = Self.set(operators + [SIGCHLD])
    unsafe pthread_sigmask(SIG_SETMASK, &set, nil)
  }

  /// Waits for one of those signals; nil when `nanoseconds` have passed, or there is something to be read
  /// from one of `descriptors`, or sooner.
  static func wait(
    for numbers: [Int32], or descriptors: [Int32], nanoseconds: Int64?
  ) -> Int32? {
    if descriptors.isEmpty { return wait(for: numbers, nanoseconds: nanoseconds) }
    var set = Self.set(numbers)
    let pending = unsafe signalfd(-1, &set, Int32(SFD_CLOEXEC))
    guard pending >= 0 else { return wait(for: numbers, nanoseconds: nanoseconds ?? 1_000_000_000) }
    defer { close(pending) }
    var watched = ([pending] + descriptors).map {
      pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
    }
    let limit = nanoseconds.map { Int32(clamping: max(0, $0) / 1_000_000 + 1) } ?? -1
    guard unsafe poll(&watched, nfds_t(watched.count), limit) > 0, watched[0].revents != 0 else {
      return nil
    }
    return wait(for: numbers, nanoseconds: 0)
  }

  /// Waits for one of those signals; nil when `nanoseconds` have passed, or sooner.
  static func wait(for numbers: [Int32], nanoseconds: Int64? = nil) -> Int32? {
    var set = Self.set(numbers)
    let number: Int32
    if let nanoseconds {
      let most = max(0, nanoseconds)
      var limit = timespec(
        tv_sec: Int(most / 1_000_000_000), tv_nsec: Int(most % 1_000_000_000))
      number = unsafe sigtimedwait(&set, nil, &limit)
    } else {
      number = unsafe sigwaitinfo(&set, nil)
    }
    return number > 0 ? number : nil
  }

  /// Has those signals wait until they are waited for.
  static func block(_ numbers: [Int32]) {
    weir_ignore_signal(SIGPIPE)
    var set = Self.set(numbers)
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
  }

  /// Lets signals act as the system has it: SIGTERM and SIGINT end the process.
  static func unblock(_ numbers: [Int32]) {
    var set = Self.set(numbers)
    unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
  }

  /// What an operator means by a signal.
  static func meaning(of number: Int32) -> OperatorSignal? {
    switch number {
    case SIGTERM, SIGINT: .stop
    case SIGUSR1: .reopenLogs
    case SIGHUP: .reload
    case SIGUSR2: .upgrade
    default: nil
    }
  }

  /// A signal's number.
  static func number(of signal: NodeSignal) -> Int32 {
    switch signal {
    case .stop: SIGTERM
    case .reopenLogs: SIGUSR1
    case .reload: SIGHUP
    case .kill: SIGKILL
    }
  }

  private static func set(_ numbers: [Int32]) -> sigset_t {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for number in numbers { unsafe sigaddset(&set, number) }
    return set
  }
}
