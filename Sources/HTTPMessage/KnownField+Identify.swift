// Which known name a field line has. Among the known names of one length there is one letter in which
// they all differ: length and that letter leave one candidate, and one comparison decides. Known names
// are most of what clients send, so this is a fifth of the cost of reading a head.

package import Bytes

extension KnownField {
  /// Which known name `bytes` is, in any case (RFC 9110 §5.1: names are case-insensitive).
  package static func identify(_ bytes: ByteView) -> KnownField {
    let candidate = candidate(for: bytes)
    guard candidate != .other else { return .other }
    return bytes.matches(lowercaseName: ByteView(candidate.name)) ? candidate : .other
  }

  /// The only known name that `bytes` can be, by its length and one letter.
  @inline(__always)
  private static func candidate(for bytes: ByteView) -> KnownField {
    switch bytes.count {
    case 2: return .te
    case 3:
      switch bytes.letter(0) {
      case "a": return .age
      case "v": return .via
      default: return .other
      }
    case 4:
      switch bytes.letter(0) {
      case "d": return .date
      case "e": return .etag
      case "h": return .host
      case "v": return .vary
      case "x": return .xkey
      default: return .other
      }
    case 5:
      switch bytes.letter(0) {
      case "r": return .range
      default: return .other
      }
    case 6:
      switch bytes.letter(0) {
      case "a": return .accept
      case "c": return .cookie
      case "e": return .expect
      case "o": return .origin
      case "p": return .pragma
      case "s": return .server
      default: return .other
      }
    case 7:
      switch bytes.letter(0) {
      case "e": return .expires
      case "r": return .referer
      case "t": return .trailer
      case "u": return .upgrade
      case "w": return .warning
      default: return .other
      }
    case 8:
      switch bytes.letter(3) {
      case "m": return .ifMatch
      case "r": return .ifRange
      case "a": return .location
      default: return .other
      }
    case 9:
      switch bytes.letter(0) {
      case "c": return .cacheTag
      case "f": return .forwarded
      default: return .other
      }
    case 10:
      switch bytes.letter(0) {
      case "c": return .connection
      case "k": return .keepAlive
      case "s": return .setCookie
      case "u": return .userAgent
      default: return .other
      }
    case 11:
      switch bytes.letter(0) {
      case "c": return .contentMd5
      case "r": return .retryAfter
      default: return .other
      }
    case 12:
      switch bytes.letter(2) {
      case "c": return .cacheStatus
      case "n": return .contentType
      case "x": return .maxForwards
      case "o": return .proxyStatus
      case "r": return .xRequestId
      case "i": return .weirExplain
      default: return .other
      }
    case 13:
      switch bytes.letter(6) {
      case "-": return .acceptRanges
      case "i": return .authorization
      case "c": return .cacheControl
      case "t": return .contentRange
      case "e": return .ifNoneMatch
      case "o": return .lastModified
      case "a": return .surrogateKey
      default: return .other
      }
    case 14:
      switch bytes.letter(0) {
      case "c": return .contentLength
      case "h": return .http2Settings
      default: return .other
      }
    case 15:
      switch bytes.letter(7) {
      case "e": return .acceptEncoding
      case "l": return .acceptLanguage
      case "r": return .xForwardedFor
      default: return .other
      }
    case 16:
      switch bytes.letter(11) {
      case "o": return .contentEncoding
      case "g": return .contentLanguage
      case "a": return .contentLocation
      case "c": return .proxyConnection
      case "-": return .xForwardedHost
      default: return .other
      }
    case 17:
      switch bytes.letter(0) {
      case "c": return .cdnCacheControl
      case "i": return .ifModifiedSince
      case "s": return .surrogateControl
      case "t": return .transferEncoding
      case "x": return .xForwardedProto
      default: return .other
      }
    case 18: return .proxyAuthenticate
    case 19:
      switch bytes.letter(0) {
      case "i": return .ifUnmodifiedSince
      case "p": return .proxyAuthorization
      default: return .other
      }
    case 25: return .proxyAuthenticationInfo
    default: return .other
    }
  }
}

extension ByteView {
  /// The byte at an index, an upper-case letter in lower case (other bytes may come out as others).
  @inline(__always)
  fileprivate func letter(_ index: Int) -> Unicode.Scalar { Unicode.Scalar(self[index] | 0x20) }

  /// Whether this is a known name of the same length, at least 2, that has letters in lower case,
  /// digits and hyphens; letters here may have either case.
  @inline(__always)
  fileprivate func matches(lowercaseName name: ByteView) -> Bool {
    precondition(count == name.count, "the candidate has another length")
    if count >= 8 {
      var offset = 0
      while offset < count - 8 {
        if differ(uint64(at: offset), name.uint64(at: offset)) { return false }
        offset += 8
      }
      return !differ(uint64(at: count - 8), name.uint64(at: count - 8))
    }
    // Shorter ones: two halves that may overlap.
    if count >= 4 {
      return !differ(uint32(at: 0), name.uint32(at: 0))
        && !differ(uint32(at: count - 4), name.uint32(at: count - 4))
    }
    return !differ(uint16(at: 0), name.uint16(at: 0))
      && !differ(uint16(at: count - 2), name.uint16(at: count - 2))
  }

  /// Whether the bytes of two words differ in more than the case of a letter.
  @inline(__always)
  private func differ<Word: FixedWidthInteger>(_ word: Word, _ lowercase: Word) -> Bool {
    // Of the bytes in a known name only letters have the bit 0x40; a letter's case is the bit 0x20.
    let letters = lowercase & (Word.max / 255 &* 0x40)
    return (word ^ lowercase) & ~(letters &>> 1) != 0
  }
}
