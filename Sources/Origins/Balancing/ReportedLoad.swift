package import Bytes
internal import HTTPMessage

/// How busy a server says it is, in a response field.
package enum ReportedLoad {
  /// The load in permille, or nil if the value says nothing. Read are a share (`0.42`, `1`), a
  /// percentage (`42%`), one of these behind a name (`load=0.42`), and the text form of ORCA
  /// (`TEXT cpu_utilization=0.3, mem_utilization=0.8`: application, else cpu utilization). What is above
  /// one counts as one.
  package static func permille(_ value: ByteView) -> Int? {
    let value = value.trimmingWhitespace
    if value.starts(with: ByteView("TEXT ")) {
      let fields = value.dropping(first: 5)
      return element("application_utilization", of: fields)
        ?? element("cpu_utilization", of: fields)
    }
    return element("load", of: value) ?? number(value)
  }

  private static func element(_ name: StaticString, of fields: ByteView) -> Int? {
    let name = ByteView(name)
    for element in ListElements(fields) where element.starts(with: name) {
      let rest = element.dropping(first: name.count)
      if !rest.isEmpty, rest[0] == ASCII.equals { return number(rest.dropping(first: 1)) }
    }
    return nil
  }

  /// A decimal number, as a share or with a percent sign.
  private static func number(_ text: ByteView) -> Int? {
    let isPercent = !text.isEmpty && text[text.count - 1] == 0x25
    let digits = isPercent ? text.prefix(text.count - 1) : text
    guard !digits.isEmpty, digits.count <= 20 else { return nil }
    var value = 0
    var scale = isPercent ? 10 : 1000
    var seenPoint = false
    var seenDigit = false
    for index in 0..<digits.count {
      if digits[index] == 0x2E, !seenPoint {
        seenPoint = true
        continue
      }
      guard ASCII.isDigit(digits[index]) else { return nil }
      seenDigit = true
      let digit = Int(digits[index] &- 0x30)
      if seenPoint {
        scale /= 10
        value += digit * scale
      } else {
        value = min(value * 10 + digit * scale, 1_000_000)
      }
    }
    return seenDigit ? min(value, 1000) : nil
  }
}
