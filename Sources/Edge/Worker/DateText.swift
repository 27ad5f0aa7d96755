internal import Bytes
internal import HTTPMessage

/// The text of the current second for `Date`, made once a second.
final class DateText {
  private var second = Int64.min
  private var text = ByteBuffer(capacity: 32)

  /// The date of a wall-clock time in milliseconds, as an IMF-fixdate.
  func view(_ wall: Int64) -> ByteView {
    let current = wall >= 0 ? wall / 1000 : 0
    if current != second {
      second = current
      text.removeAll()
      HTTPDate.append(current, to: &text)
    }
    return text.view
  }
}
