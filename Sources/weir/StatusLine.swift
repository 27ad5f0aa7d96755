import CLinux

/// A line on a terminal that says how something goes on, is replaced in its place and taken away in the end;
/// nothing where standard error is no terminal.
final class StatusLine {
  private let isOn: Bool
  private var isShown = false

  init(isOn: Bool = true) { self.isOn = isOn && isatty(2) != 0 }

  deinit { clear() }

  /// Shows a text instead of the one before. It is asked for the most characters that fit: the last column
  /// stays free, since some terminals begin a new line there.
  func show(_ text: (_ width: Int) -> String) {
    guard isOn else { return }
    isShown = true
    let width = Self.columns - 1
    StandardError.write("\r" + text(width).prefix(width) + "\u{1b}[K")
  }

  /// Takes the line away.
  func clear() {
    if isShown { StandardError.write("\r\u{1b}[K") }
    isShown = false
  }

  /// How wide the terminal is now; 80 if it does not say.
  private static var columns: Int {
    var size = winsize()
    // Safe: the kernel fills the structure that the request is for.
    let result = unsafe withUnsafeMutablePointer(to: &size) { pointer in
      unsafe pointer.withMemoryRebound(to: Int32.self, capacity: 2) {
        unsafe weir_ioctl_int(2, UInt(TIOCGWINSZ), $0)
      }
    }
    return result == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
  }
}
