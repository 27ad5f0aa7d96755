// What the operator reads on standard error. A line is one write, so that those of the supervisor and
// of its node never mix. If nobody reads it any more, the node goes on.

internal import CLinux

enum StandardError {
  /// Writes a text as it is.
  static func write(_ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      // Safe: the pointer is the array's own and used within the call only.
      let count = unsafe rest.withUnsafeBytes { buffer in
        unsafe CLinux.write(2, buffer.baseAddress, buffer.count)
      }
      if count < 0 && weir_errno() == EINTR { continue }
      if count <= 0 { return }
      rest = rest.dropFirst(count)
    }
  }

  /// Writes an event of this process's life: `weir: node 12 started`.
  static func say(_ text: String) { write("weir: \(text)\n") }

  /// Writes what a running node notes, with the time: `2026-01-31T10:11:12Z weir: …`.
  static func note(_ text: String) { write("\(timestamp(time(nil))) weir: \(text)\n") }

  /// A time as text (RFC 3339 §5.6), in UTC.
  private static func timestamp(_ seconds: time_t) -> String {
    var seconds = seconds
    var parts = unsafe tm()
    unsafe gmtime_r(&seconds, &parts)
    let date = unsafe [parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday].map(twoDigits)
    let time = unsafe [parts.tm_hour, parts.tm_min, parts.tm_sec].map(twoDigits)
    return "\(date.joined(separator: "-"))T\(time.joined(separator: ":"))Z"
  }

  private static func twoDigits(_ number: Int32) -> String {
    number < 10 ? "0\(number)" : "\(number)"
  }
}
