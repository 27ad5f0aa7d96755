// `Host` and the authority of a target: host [ ":" port ] (RFC 9110 §4.2, RFC 3986 §3.2).
//
// Narrower than RFC 3986: a registered name has letters, digits, `-`, `.`, `_` and `~`, but neither
// percent-encoding nor sub-delimiters. No name in the DNS has those, and `a,b` or `a%2eb` is read as
// two things by two recipients. Userinfo is refused (RFC 9110 §4.2.4), and so is a colon without port.

internal import Bytes
internal import HTTPMessage

enum Authority {
  /// Whether the bytes in `range` are a host with or without a port.
  static func isValid(_ bytes: ByteView, _ range: Range<Int>) -> Bool {
    guard let end = hostEnd(bytes, range) else { return false }
    return end == range.upperBound || isPort(bytes, end..<range.upperBound)
  }

  /// Whether the bytes in `range` are a host with a port, as CONNECT needs it (RFC 9112 §3.2.3).
  static func isValidWithPort(_ bytes: ByteView, _ range: Range<Int>) -> Bool {
    guard let end = hostEnd(bytes, range) else { return false }
    return isPort(bytes, end..<range.upperBound)
  }

  /// Where the host at the front of `range` ends; nil if there is none.
  private static func hostEnd(_ bytes: ByteView, _ range: Range<Int>) -> Int? {
    guard !range.isEmpty else { return nil }
    if bytes[range.lowerBound] == 0x5B { return addressEnd(bytes, range) }
    var end = range.lowerBound
    while true {
      end = ByteScan.first(.unusualInHost, in: bytes, from: end, to: range.upperBound)
      guard end < range.upperBound, bytes[end] == 0x5F || bytes[end] == 0x7E else { break }
      end += 1
    }
    return end > range.lowerBound ? end : nil
  }

  /// Whether the bytes in `range` are a colon and a number from 0 to 65,535.
  private static func isPort(_ bytes: ByteView, _ range: Range<Int>) -> Bool {
    guard range.count >= 2, range.count <= 6, bytes[range.lowerBound] == ASCII.colon else {
      return false
    }
    guard let port = bytes[range.lowerBound + 1..<range.upperBound].decimal else { return false }
    return port <= 65_535
  }

  /// Where the IPv6 address in brackets ends that `range` begins with; nil if it is none.
  private static func addressEnd(_ bytes: ByteView, _ range: Range<Int>) -> Int? {
    guard let close = bytes.firstIndex(of: 0x5D, from: range.lowerBound),
      close < range.upperBound,
      isIPv6Address(bytes[range.lowerBound + 1..<close])
    else { return nil }
    return close + 1
  }

  /// Whether the view is an IPv6 address as text, without a zone (RFC 3986 §3.2.2).
  static func isIPv6Address(_ text: ByteView) -> Bool {
    guard text.count >= 2, text.count <= 45 else { return false }
    var groups = 0
    var compressed = false
    var at = 0
    if text[0] == ASCII.colon {
      guard text[1] == ASCII.colon else { return false }
      compressed = true
      at = 2
    }
    while at < text.count {
      let start = at
      while at < text.count, ASCII.hexValue(text[at]) != nil { at += 1 }
      if at < text.count, text[at] == 0x2E {
        // The last 32 bits may be an IPv4 address.
        groups += 2
        guard isIPv4Address(text[start..<text.count]) else { return false }
        break
      }
      guard at > start, at - start <= 4 else { return false }
      groups += 1
      guard at < text.count else { break }
      guard text[at] == ASCII.colon else { return false }
      at += 1
      guard at < text.count else { return false }  // A single colon at the end.
      if text[at] == ASCII.colon {
        guard !compressed else { return false }
        compressed = true
        at += 1
      }
    }
    return compressed ? groups <= 7 : groups == 8
  }

  /// Whether the view is four decimal numbers up to 255 with dots between.
  private static func isIPv4Address(_ text: ByteView) -> Bool {
    var at = 0
    for part in 0..<4 {
      let start = at
      while at < text.count, ASCII.isDigit(text[at]) { at += 1 }
      let number = text[start..<at]
      guard number.count <= 3, let value = number.decimal, value <= 255 else { return false }
      guard number.count == 1 || number[0] != 0x30 else { return false }
      if part == 3 { return at == text.count }
      guard at < text.count, text[at] == 0x2E else { return false }
      at += 1
    }
    return false
  }
}
