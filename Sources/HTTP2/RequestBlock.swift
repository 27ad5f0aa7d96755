// A request's field section, checked (RFC 9113 §8) and written down as the HTTP/1.1 head that says the same:
//
//   GET /path?query HTTP/1.1 CR LF  host: authority CR LF  name: value CR LF …  CR LF
//
// That text is read by the HTTP/1 codec's parser. So there is one opinion in the node of what a valid target,
// authority, field or length is; nothing can come in by HTTP/2 that would be refused by HTTP/1, and the text
// is what an origin that speaks HTTP/1.1 will be told (no smuggling by downgrade). All bytes that could end
// a line or a part of one are refused before they are written.
//
// CONNECT with :protocol (RFC 8441) becomes the GET with `Upgrade` that it stands for.

internal import Bytes
internal import HTTPMessage

/// What a field section came to.
enum BlockOutcome: Equatable {
  /// A head to be read.
  case whole
  /// Against the rules: a stream error (RFC 9113 §8.1.1).
  case malformed
  /// Too large: to be answered with this status.
  case tooLarge(UInt16)
}

/// A field section on its way in. There is one at a time on a connection (RFC 9113 §4.3).
struct RequestBlock: ~Copyable {
  private enum Pseudo: UInt8 {
    case method = 1
    case scheme = 2
    case authority = 4
    case path = 8
    case `protocol` = 16
  }

  /// Whose it is; 0 if there is none.
  private(set) var stream: Int32 = 0
  private(set) var isTrailer = false
  private(set) var outcome = BlockOutcome.whole
  /// Bytes of names and values and 32 for each field, as RFC 9113 §6.5.2 counts them.
  private(set) var size = 0
  private var fields = 0
  private var seen: UInt8 = 0
  private var sawField = false
  private var hasHost = false
  /// The pseudo-fields' values, one after the other, and where they are.
  private var pseudo = ByteBuffer()
  private var ranges = InlineArray<5, Range<Int>>(repeating: 0..<0)
  private var lines = ByteBuffer()
  private var cookies = ByteBuffer()

  /// Begins a section.
  mutating func begin(stream: Int32, isTrailer: Bool) {
    self.stream = stream
    self.isTrailer = isTrailer
    outcome = .whole
    size = 0
    fields = 0
    seen = 0
    sawField = false
    hasHost = false
    pseudo.removeAll()
    lines.removeAll()
    cookies.removeAll()
  }

  /// Gives the memory back.
  mutating func release() {
    pseudo.release()
    lines.release()
    cookies.release()
  }

  /// Gives up the section.
  mutating func spoil() { outcome = .malformed }

  /// Takes one field.
  mutating func add(_ name: ByteView, _ value: ByteView, _ options: HTTP2Options) {
    size += name.count + value.count + 32
    fields += 1
    guard outcome == .whole else { return }
    if size > options.maxFieldSection || fields > options.maxFields {
      outcome = .tooLarge(431)
      return
    }
    guard !name.isEmpty, isCleanValue(value) else { return spoil() }
    if name[0] == ASCII.colon { return addPseudo(name, value, options) }
    sawField = true
    addField(name, value)
  }

  private mutating func addPseudo(_ name: ByteView, _ value: ByteView, _ options: HTTP2Options) {
    guard !isTrailer, !sawField, let kind = RequestBlock.identify(name), seen & kind.rawValue == 0,
      !value.isEmpty
    else { return spoil() }
    seen |= kind.rawValue
    if kind == .path, value.count > options.maxTarget {
      outcome = .tooLarge(414)
      return
    }
    // Neither of them has a space: it would end a part of the request line.
    for index in 0..<value.count where value[index] <= ASCII.space { return spoil() }
    let start = pseudo.count
    pseudo.append(value)
    ranges[kind.rawValue.trailingZeroBitCount] = start..<pseudo.count
  }

  private static func identify(_ name: ByteView) -> Pseudo? {
    switch name.count {
    case 7 where name == ByteView(":method"): .method
    case 7 where name == ByteView(":scheme"): .scheme
    case 10 where name == ByteView(":authority"): .authority
    case 5 where name == ByteView(":path"): .path
    case 9 where name == ByteView(":protocol"): .protocol
    default: nil
    }
  }

  private mutating func addField(_ name: ByteView, _ value: ByteView) {
    for index in 0..<name.count {
      // Upper case is malformed (RFC 9113 §8.2.1); the rest is a token's.
      guard ASCII.isTokenByte(name[index]), name[index] &- 0x41 >= 26 else { return spoil() }
    }
    switch KnownField.identify(name) {
    case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade: return spoil()
    case .te where !value.equalsIgnoringCase(ByteView("trailers")): return spoil()
    case .host:
      guard !hasHost, !isTrailer else { return spoil() }
      hasHost = true
      // The line is written with the authority, which must be the same.
      let start = pseudo.count
      pseudo.append(value)
      hostRange = start..<pseudo.count
      return
    case .cookie:
      // Crumbs become one line again (RFC 9113 §8.2.3).
      if !cookies.isEmpty { cookies.append("; ") }
      cookies.append(value)
      return
    default: break
    }
    lines.append(name)
    lines.append(": ")
    lines.append(value)
    lines.append("\r\n")
  }

  private var hostRange = 0..<0

  /// No byte that ends a line or a string, no whitespace at the ends (RFC 9113 §8.2.1).
  private func isCleanValue(_ value: ByteView) -> Bool {
    guard !value.isEmpty else { return true }
    if ASCII.isWhitespace(value[0]) || ASCII.isWhitespace(value[value.count - 1]) { return false }
    for index in 0..<value.count {
      let byte = value[index]
      if byte < 0x20 && byte != ASCII.tab || byte == 0x7F { return false }
    }
    return true
  }

  private func value(_ kind: Pseudo) -> ByteView? {
    guard seen & kind.rawValue != 0 else { return nil }
    return pseudo.view[ranges[kind.rawValue.trailingZeroBitCount]]
  }

  /// Whether it is a CONNECT with a protocol.
  var isExtendedConnect: Bool { seen & Pseudo.protocol.rawValue != 0 }

  /// Whether the scheme is `https`.
  var isSecure: Bool { value(.scheme)?.equalsIgnoringCase(ByteView("https")) ?? false }

  /// Appends the head in HTTP/1.1's words; false if it is malformed.
  borrowing func writeHead(
    to text: inout ByteBuffer, allowsExtendedConnect: Bool
  ) -> Bool {
    guard outcome == .whole, !isTrailer, let method = value(.method) else { return false }
    let host = hasHost ? pseudo.view[hostRange] : nil
    if let authority = value(.authority), let host, !host.equalsIgnoringCase(authority) {
      return false
    }
    guard let authority = value(.authority) ?? host else { return false }
    if method == ByteView("CONNECT"), !isExtendedConnect {
      // RFC 9113 §8.5: neither scheme nor path.
      guard value(.scheme) == nil, value(.path) == nil, value(.authority) != nil else {
        return false
      }
      text.append("CONNECT ")
      text.append(authority)
    } else {
      guard let scheme = value(.scheme), let path = value(.path) else { return false }
      // Anything else is a request to a proxy for some other protocol.
      guard
        scheme.equalsIgnoringCase(ByteView("https")) || scheme.equalsIgnoringCase(ByteView("http"))
      else { return false }
      guard path[0] == ASCII.slash || path == ByteView("*") && method == ByteView("OPTIONS") else {
        return false
      }
      if isExtendedConnect {
        guard allowsExtendedConnect, method == ByteView("CONNECT") else { return false }
        text.append("GET ")
      } else {
        text.append(method)
        text.append(ASCII.space)
      }
      text.append(path)
    }
    text.append(" HTTP/1.1\r\nhost: ")
    text.append(authority)
    text.append("\r\n")
    writeFields(to: &text)
    return true
  }

  private borrowing func writeFields(to text: inout ByteBuffer) {
    if let name = value(.protocol) {
      text.append("connection: upgrade\r\nupgrade: ")
      text.append(name)
      text.append("\r\n")
    }
    text.append(lines.view)
    if !cookies.isEmpty {
      text.append("cookie: ")
      text.append(cookies.view)
      text.append("\r\n")
    }
    text.append("\r\n")
  }

  /// Appends trailer lines as they follow the last chunk in HTTP/1.1.
  borrowing func writeTrailers(to text: inout ByteBuffer) {
    text.append("0\r\n")
    text.append(lines.view)
    text.append("\r\n")
  }
}
