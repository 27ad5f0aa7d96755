// What a cache says it did, from the fields of its answer. Weir and others that follow RFC 9211 say it in
// `Cache-Status`; for the rest there are the fields that each invented.

internal import Bytes
internal import HTTPMessage

/// What a cache did with a request, in classes whose latencies are worth comparing.
package enum CacheVerdict: Int, CaseIterable, Sendable {
  /// Answered from what was stored, fresh.
  case hit
  /// Answered from what was stored, stale.
  case stale
  /// Answered from what was stored after asking the origin whether it still holds.
  case revalidated
  /// Not stored: fetched from the origin.
  case miss
  /// Not stored, and not asked for either: it is part of what was fetched for another client at that moment.
  case collapsed
  /// Passed on without looking, or because it must not be stored.
  case pass
  /// Refused by a limit (429).
  case limited
  /// The server's or the origin's failure (5xx), or the origin's own 429.
  case failed
  /// Nothing was said about it.
  case unknown

  /// The name in reports.
  package var name: String {
    switch self {
    case .hit: "hit"
    case .stale: "stale"
    case .revalidated: "revalidated"
    case .miss: "miss"
    case .collapsed: "collapsed"
    case .pass: "pass"
    case .limited: "limited"
    case .failed: "failed"
    case .unknown: "unknown"
    }
  }

  /// Whether the origin had to be asked for it; nil if that is not known.
  var askedOrigin: Bool? {
    switch self {
    case .hit, .stale, .collapsed, .limited: false
    case .revalidated, .miss, .pass: true
    case .failed, .unknown: nil
    }
  }

  /// The verdict on an answer.
  static func of(status: UInt16, _ fields: borrowing FieldTable, _ bytes: ByteView) -> CacheVerdict
  {
    if let value = last(.cacheStatus, fields, bytes) {
      let (said, isForwarded) = cacheStatus(value)
      // Refused by the cache; if the origin has said it, it was asked.
      if status == 429 { return isForwarded ? .failed : .limited }
      // Refusals and failures come with a reason of their own, and are no misses.
      return status >= 500 && said != .hit && said != .stale ? .failed : said
    }
    if status == 429 { return .limited }
    if status >= 500 { return .failed }
    for index in 0..<fields.count where fields[index].known == .other {
      let name = fields[index].name(in: bytes)
      let value = fields[index].value(in: bytes)
      if let said = vendor(name, value) { return said }
    }
    // A shared cache says with Age that the answer was stored (RFC 9111 §5.1); 0 may be any.
    if let age = fields.value(.age, in: bytes), age != ByteView("0") { return .hit }
    return .unknown
  }

  private static func last(
    _ field: KnownField, _ fields: borrowing FieldTable, _ bytes: ByteView
  ) -> ByteView? {
    guard var index = fields.first(field) else { return nil }
    while let next = fields.next(field, after: index) { index = next }
    return fields[index].value(in: bytes)
  }

  /// RFC 9211 §2: the last member of the list is the cache next to the client. And whether it says what the origin has
  /// answered.
  static func cacheStatus(_ value: ByteView) -> (CacheVerdict, isForwarded: Bool) {
    var rest = value
    while let comma = first(ASCII.comma, in: rest) { rest = rest.dropping(first: comma + 1) }
    var isHit = false
    var isNegative = false
    var isConfirmed = false
    var isForwarded = false
    var isCollapsed = false
    var forward = ByteView()
    while let semicolon = first(ASCII.semicolon, in: rest) {
      rest = rest.dropping(first: semicolon + 1)
      let parameter = trimmed(rest.prefix(first(ASCII.semicolon, in: rest) ?? rest.count))
      // A parameter that is true may say so (RFC 9651 §4.1.1.2).
      if parameter == ByteView("hit") || parameter == ByteView("hit=?1") { isHit = true }
      if parameter.starts(with: ByteView("fwd=")) { forward = parameter.dropping(first: 4) }
      if parameter.starts(with: ByteView("fwd-status=")) {
        isForwarded = true
        isConfirmed = parameter == ByteView("fwd-status=304")
      }
      if parameter == ByteView("collapsed") || parameter == ByteView("collapsed=?1") {
        isCollapsed = true
      }
      // Fresh no longer by so many seconds.
      if parameter.starts(with: ByteView("ttl=-")) { isNegative = true }
    }
    if isHit { return (isNegative ? .stale : .hit, isForwarded) }
    switch forward {
    case ByteView("uri-miss"), ByteView("vary-miss"), ByteView("miss"), ByteView("partial"):
      return (isCollapsed ? .collapsed : .miss, isForwarded)
    // Without its status it is that of the answer (RFC 9211 §2.3), which is whole.
    case ByteView("stale"):
      if isCollapsed { return (.collapsed, isForwarded) }
      return (isConfirmed ? .revalidated : .miss, isForwarded)
    case ByteView("bypass"), ByteView("method"), ByteView("request"): return (.pass, isForwarded)
    default: return (.unknown, isForwarded)
    }
  }

  /// Where a byte is first, outside of quoted strings, in which a backslash makes the next byte an ordinary one.
  private static func first(_ byte: UInt8, in text: ByteView) -> Int? {
    var isQuoted = false
    var index = 0
    while index < text.count {
      let here = text[index]
      if here == byte, !isQuoted { return index }
      if here == ASCII.quote { isQuoted.toggle() }
      if isQuoted, here == 0x5C { index += 1 }
      index += 1
    }
    return nil
  }

  /// `X-Cache: HIT, MISS`, `X-Cache-Status: EXPIRED`, `X-Varnish: 5 3` and their like. Of a list the last is
  /// the cache next to the client.
  static func vendor(_ name: ByteView, _ value: ByteView) -> CacheVerdict? {
    switch name.count {
    case 7 where name.equalsIgnoringCase(ByteView("x-cache")): break
    case 9 where name.equalsIgnoringCase(ByteView("x-varnish")):
      // Two numbers: this request's, and that of the one which stored the answer.
      return trimmed(value).firstIndex(of: ASCII.space) == nil ? .miss : .hit
    case 14
    where name.equalsIgnoringCase(ByteView("x-cache-status"))
      || name.equalsIgnoringCase(ByteView("x-cache-lookup")):
      break
    case 13 where name.equalsIgnoringCase(ByteView("x-proxy-cache")): break
    case 15 where name.equalsIgnoringCase(ByteView("cf-cache-status")): break
    case 14 where name.equalsIgnoringCase(ByteView("x-cache-result")): break
    default: return nil
    }
    var word = value
    var start = 0
    while let comma = value.firstIndex(of: ASCII.comma, from: start) { start = comma + 1 }
    word = trimmed(value.dropping(first: start))
    var end = 0
    while end < word.count, word[end] != ASCII.space, word[end] != ASCII.semicolon { end += 1 }
    return vendor(word: word.prefix(end))
  }

  private static func vendor(word: ByteView) -> CacheVerdict? {
    let word = word.string.lowercased()
    // nginx and Cloudflare: what had expired came whole from the origin.
    if word == "expired" { return .miss }
    // Squid and Traffic Server: TCP_REFRESH_HIT, TCP_REFRESH_UNMODIFIED, TCP_MEM_HIT …
    if word.contains("refresh") || word == "revalidated" {
      let isFetched =
        word.contains("miss") || word.contains("modified") && !word.contains("unmodified")
      return isFetched ? .miss : .revalidated
    }
    if word.contains("stale") || word == "updating" { return .stale }
    if word.contains("hit") { return .hit }
    if word.contains("miss") { return .miss }
    if word.contains("pass") || word.contains("bypass") || word == "dynamic" { return .pass }
    return nil
  }

  private static func trimmed(_ text: ByteView) -> ByteView {
    var start = 0
    var end = text.count
    while start < end, text[start] == ASCII.space { start += 1 }
    while end > start, text[end - 1] == ASCII.space { end -= 1 }
    return text[start..<end]
  }
}
