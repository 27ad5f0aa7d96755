// The system's processes: starting one, learning that it has ended.

internal import CLinux
import EventLoop
import Supervision

enum Processes {
  /// Runs this executable again, with those arguments and with those descriptors open in it under the
  /// same numbers; all others are closed there, but for the standard ones.
  static func startSelf(_ arguments: [String], inheriting descriptors: [Int32]) throws(Errno)
    -> Int32
  {
    // Not by its name: the file there may be another version's by now.
    try start("/proc/self/exe", arguments, inheriting: descriptors)
  }

  /// Where this executable is, as long as no other is put there.
  static var executable: String {
    guard let path = unsafe realpath("/proc/self/exe", nil) else { return "/proc/self/exe" }
    defer { unsafe free(path) }
    return unsafe String(cString: path)
  }

  /// The same of another executable; `environment` has further variables, as `NAME=value`.
  static func start(
    _ executable: String, _ arguments: [String], inheriting descriptors: [Int32],
    environment: [String] = []
  ) throws(Errno) -> Int32 {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    for descriptor in descriptors {
      // Onto itself: that clears close-on-exec in the child.
      let code = unsafe posix_spawn_file_actions_adddup2(&actions, descriptor, descriptor)
      if code != 0 { throw Errno(code) }
    }
    let name = CommandLine.arguments.first ?? "weir"
    // Safe: the strings are this function's until the spawn has returned, by when they are copied.
    var vector = unsafe ([name] + arguments).map { unsafe strdup($0) }
    defer { unsafe vector.forEach { unsafe free($0) } }
    unsafe vector.append(nil)
    // Those of this process, which the C library keeps, behind the further ones, which count.
    var variables = unsafe environment.map { unsafe strdup($0) }
    defer { unsafe variables.prefix(environment.count).forEach { unsafe free($0) } }
    var own = unsafe weir_environment()
    while let variable = unsafe own?.pointee {
      unsafe variables.append(variable)
      unsafe own = unsafe own.map { unsafe $0 + 1 }
    }
    unsafe variables.append(nil)
    var process: pid_t = 0
    let code = unsafe posix_spawn(&process, executable, &actions, nil, vector, variables)
    if code != 0 { throw Errno(code) }
    return process
  }

  /// Has this process become another executable, with those descriptors open under the same numbers; all
  /// others are closed there, but for the standard ones. Returns why that cannot be: then nothing has changed.
  static func become(
    _ executable: String, _ arguments: [String], keeping descriptors: [Int32]
  ) -> Errno {
    for number in descriptors { _ = weir_fcntl_int(number, F_SETFD, 0) }
    let name = CommandLine.arguments.first ?? "weir"
    // Safe: the strings live until the kernel has copied them, or has refused.
    var vector = unsafe ([name] + arguments).map { unsafe strdup($0) }
    defer { unsafe vector.forEach { unsafe free($0) } }
    unsafe vector.append(nil)
    _ = unsafe execve(executable, vector, weir_environment())
    let error = Errno.current
    for number in descriptors { closeOnExec(number) }
    return error
  }

  /// Whether there is a descriptor of that number.
  static func isOpen(_ descriptor: Int32) -> Bool { weir_fcntl_int(descriptor, F_GETFD, 0) >= 0 }

  /// A child that has ended, if any has that was not told yet.
  static func takeEnded() -> (process: Int32, end: NodeEnd)? {
    while true {
      var status: Int32 = 0
      let process = unsafe waitpid(-1, &status, WNOHANG)
      if process > 0 { return (process, end(of: status)) }
      if process == 0 || weir_errno() != EINTR { return nil }
    }
  }

  /// Sends a signal; one that comes too late does nothing.
  static func send(_ signal: NodeSignal, to process: Int32) {
    _ = CLinux.kill(process, Signals.number(of: signal))
  }

  /// Has this process end like at SIGTERM as soon as its parent, which must be that process, has ended;
  /// false if it already has.
  static func follow(parent: Int32) -> Bool {
    _ = weir_die_with_parent(SIGTERM)
    return getppid() == parent
  }

  /// Gives this process, whose executable is named after a link, the name that `top` and `pgrep` show.
  static func setOwnName(_ name: String) { _ = unsafe weir_set_thread_name(name) }

  /// This process.
  static var own: Int32 { getpid() }

  /// Opens what is missing of the standard streams, so that no socket gets such a number.
  static func openStandardStreams() {
    while true {
      let number = unsafe weir_open("/dev/null", O_RDWR, 0)
      if number < 0 { return }
      if number > 2 {
        close(number)
        return
      }
    }
  }

  /// Whether a number is that of a socket that listens.
  static func isListening(_ descriptor: Int32) -> Bool {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    let code = unsafe getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &length)
    return code == 0 && value != 0
  }

  /// Keeps a descriptor that was inherited from being inherited further.
  static func closeOnExec(_ descriptor: Int32) {
    _ = weir_fcntl_int(descriptor, F_SETFD, FD_CLOEXEC)
  }

  private static func end(of status: Int32) -> NodeEnd {
    if weir_wifexited(status) != 0 { return .exited(weir_wexitstatus(status)) }
    let signal = weir_wtermsig(status)
    return .died(signal: signal, name: name(ofSignal: signal))
  }

  /// The system's words for a signal.
  static func name(ofSignal signal: Int32) -> String {
    unsafe strsignal(signal).map { unsafe String(cString: $0) } ?? "unknown"
  }
}
