// The two signals of the extensible priorities (RFC 9218 §4), as a `Priority` field or a PRIORITY_UPDATE says
// them. nghttp2 reads a client's by itself; they are read here too, because an origin's override them one by
// one (§8), and nghttp2 does not say what it has read.

internal import Bytes
internal import HTTPMessage

/// What a priority says; nil: nothing about it, so that whoever spoke before holds.
struct Priority: Equatable {
  /// 0 to 7, the most urgent first; 3 if nobody says anything.
  var urgency: UInt8?
  /// Whether parts are of use by themselves; false if nobody says anything.
  var isIncremental: Bool?

  init() {}

  /// Reads a dictionary (RFC 9651 §3.2). Of a name that comes twice the last holds; a value of another
  /// kind or range is left out, and so is what stands behind a breach of the syntax.
  init(_ value: ByteView) {
    var at = 0
    while at < value.count {
      let end = Priority.endOfMember(value, from: at)
      take(value[at..<end].trimmingWhitespace)
      at = end + 1
    }
  }

  /// Where the comma behind a member stands; one within a quoted string is none.
  private static func endOfMember(_ value: ByteView, from start: Int) -> Int {
    var isQuoted = false
    var at = start
    while at < value.count {
      switch value[at] {
      case ASCII.quote: isQuoted.toggle()
      case 0x5C where isQuoted: at += 1
      case ASCII.comma where !isQuoted: return at
      default: break
      }
      at += 1
    }
    return value.count
  }

  private mutating func take(_ member: ByteView) {
    // Without parameters, of which none is defined.
    let item = member.prefix(member.firstIndex(of: 0x3B) ?? member.count).trimmingWhitespace
    if item == ByteView("i") || item == ByteView("i=?1") {
      isIncremental = true
    } else if item == ByteView("i=?0") {
      isIncremental = false
    } else if item.count == 3, item.starts(with: ByteView("u=")), item[2] &- 0x30 < 8 {
      urgency = item[2] - 0x30
    }
  }

  /// This where it says something, else another.
  func merged(over other: Priority) -> Priority {
    var merged = other
    if let urgency { merged.urgency = urgency }
    if let isIncremental { merged.isIncremental = isIncremental }
    return merged
  }
}
