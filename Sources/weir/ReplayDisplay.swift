import CLinux
import Replay

/// The line on a terminal that says how a replay goes on; nothing where standard error is none.
final class ReplayDisplay {
  private let isOn: Bool
  private var shown = -1

  init(isOn: Bool) { self.isOn = isOn && isatty(2) != 0 }

  /// Shows the latest second, if it is another than before.
  func show(_ progress: Progress) {
    guard isOn, let second = progress.latest, second.index != shown else { return }
    shown = second.index
    StandardError.write("\r" + second.text(width: Self.width - 1) + "\u{1b}[K")
  }

  /// Takes the line away.
  func clear() {
    if isOn && shown >= 0 { StandardError.write("\r\u{1b}[K") }
  }

  private static var width: Int {
    var size = winsize()
    // Safe: the kernel fills the structure that the request is for.
    let result = unsafe withUnsafeMutablePointer(to: &size) { pointer in
      unsafe pointer.withMemoryRebound(to: Int32.self, capacity: 2) {
        unsafe weir_ioctl_int(2, UInt(TIOCGWINSZ), $0)
      }
    }
    return result == 0 && size.ws_col > 20 ? Int(size.ws_col) : 80
  }
}
