// The terminal as `weir top` has it: keys come one by one and are not shown, the screen is a second one, the
// cursor is hidden. All of it is undone by `leave`, which every way out of `weir top` passes: signals are
// waited for, not handled, so that they are a return like any other.

internal import CLinux
internal import CTerminal

/// See the top of the file. Used by one thread.
final class Terminal {
  private var saved = weir_terminal()
  private var isRaw = false

  /// The terminal of standard input and output; nil if these are none.
  init?() {
    guard isatty(0) == 1, isatty(1) == 1, unsafe weir_terminal_save(0, &saved) == 0 else {
      return nil
    }
  }

  deinit { leave() }

  /// Takes it over.
  func enter() {
    guard !isRaw, unsafe weir_terminal_raw(0, &saved) == 0 else { return }
    isRaw = true
    _ = Self.write("\u{1b}[?1049h\u{1b}[?25l")
  }

  /// Gives it back as it was.
  func leave() {
    guard isRaw else { return }
    isRaw = false
    _ = Self.write("\u{1b}[?25h\u{1b}[?1049l")
    _ = unsafe weir_terminal_restore(0, &saved)
  }

  /// Stops this process as Ctrl-Z does, until it is to go on.
  func suspend() {
    leave()
    raise(SIGSTOP)
    enter()
  }

  /// How large it is; 80 × 24 where it does not say.
  static var size: (columns: Int, rows: Int) {
    var (columns, rows): (Int32, Int32) = (0, 0)
    guard unsafe weir_terminal_size(1, &columns, &rows) == 0, columns > 0, rows > 0 else {
      return (80, 24)
    }
    return (Int(columns), Int(rows))
  }

  /// The keys that were pressed; nil when there is no terminal any more.
  func keys() -> [UInt8]? {
    var state = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
    guard unsafe poll(&state, 1, 0) > 0 else { return [] }
    guard state.revents & Int16(POLLIN) != 0 else { return nil }
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = unsafe CLinux.read(0, &bytes, bytes.count)
    if count < 0 { return weir_errno() == EINTR || weir_errno() == EAGAIN ? [] : nil }
    return count == 0 ? nil : Array(bytes.prefix(count))
  }

  /// Writes a text as it is; false if nobody takes it any more.
  static func write(_ text: String) -> Bool {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      // Safe: the pointer is the array's own and used within the call only.
      let count = unsafe rest.withUnsafeBytes { buffer in
        unsafe CLinux.write(1, buffer.baseAddress, buffer.count)
      }
      if count < 0 && weir_errno() == EINTR { continue }
      if count <= 0 { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }
}
