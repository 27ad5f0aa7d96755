// Formats of access logs, as a server's configuration writes them:
//
//     $remote_addr - $remote_user [$time_local] "$request" …      nginx
//     %h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"      Apache and varnishncsa
//
// A format is a row of values with literal text between them. A value ends where the text behind it begins
// for the first time, but for a quote that a backslash escapes; the last one ends with the line.

internal import Bytes

/// A format string, understood.
package struct LogFormat: Equatable, Sendable {
  /// Literal text and the value behind it.
  struct Part: Equatable, Sendable {
    var literal: [UInt8]
    var value: LogValue?
  }

  let parts: [Part]

  /// Why a string is no format.
  package struct Problem: Error, CustomStringConvertible {
    /// What is wrong, in words.
    package let description: String
  }

  /// NCSA's combined format, of which the common format is the beginning.
  package static let combined = LogFormat(parts: [
    Part(literal: [], value: .client), Part(literal: Array(" ".utf8), value: .ignored),
    Part(literal: Array(" ".utf8), value: .user), Part(literal: Array(" [".utf8), value: .time),
    Part(literal: Array("] \"".utf8), value: .request),
    Part(literal: Array("\" ".utf8), value: .status),
    Part(literal: Array(" ".utf8), value: .responseBytes),
    Part(literal: Array(" \"".utf8), value: .field("referer")),
    Part(literal: Array("\" \"".utf8), value: .field("user-agent")),
    Part(literal: Array("\"".utf8), value: nil),
  ])

  private init(parts: [Part]) { self.parts = parts }

  /// Reads a format string: nginx's if it has a `$`, Apache's otherwise.
  package init(_ text: String) throws(Problem) {
    let bytes = Array(text.utf8)
    let parts = bytes.contains(0x24) ? try Self.nginx(bytes) : try Self.apache(bytes)
    let values = parts.compactMap(\.value)
    let hasTarget = values.contains { [.request, .target, .path, .key].contains($0) }
    guard hasTarget else { throw Problem(description: "the format has no request in it") }
    for (index, part) in parts.enumerated().dropFirst() where part.literal.isEmpty {
      if parts[index - 1].value != nil && part.value != nil {
        throw Problem(description: "two values without a character between them")
      }
    }
    self.parts = parts
  }

  private static func nginx(_ bytes: [UInt8]) throws(Problem) -> [Part] {
    var parts: [Part] = []
    var literal: [UInt8] = []
    var at = 0
    while at < bytes.count {
      guard bytes[at] == 0x24 else {
        literal.append(bytes[at])
        at += 1
        continue
      }
      var end = at + 1
      let braced = end < bytes.count && bytes[end] == 0x7B
      if braced { end += 1 }
      let start = end
      while end < bytes.count, isNameByte(bytes[end]) { end += 1 }
      let name = String(decoding: bytes[start..<end], as: UTF8.self)
      if braced {
        guard end < bytes.count, bytes[end] == 0x7D else {
          throw Problem(description: "${\(name) has no end")
        }
        end += 1
      }
      guard !name.isEmpty else { throw Problem(description: "$ without a variable's name") }
      // In nginx, $uri has been changed and $request_length counts the head: neither is what was asked.
      parts.append(Part(literal: literal, value: LogValue(named: name)))
      literal = []
      at = end
    }
    if !literal.isEmpty { parts.append(Part(literal: literal, value: nil)) }
    return parts
  }

  private static func apache(_ bytes: [UInt8]) throws(Problem) -> [Part] {
    var parts: [Part] = []
    var literal: [UInt8] = []
    // A time is that of the request's beginning, unless it says that it is the end's: then the duration is
    // between the two.
    var isOfEnd = false
    var at = 0
    while at < bytes.count {
      guard bytes[at] == 0x25 else {
        // In httpd.conf the format stands in quotes, those in it behind backslashes; \t is a tab.
        if bytes[at] == ASCII.backslash, at + 1 < bytes.count {
          at += 1
          if bytes[at] == 0x25 { continue }
          literal.append(bytes[at] == 0x74 ? ASCII.tab : bytes[at])
        } else {
          literal.append(bytes[at])
        }
        at += 1
        continue
      }
      let (value, end) = try directive(bytes, at + 1)
      isOfEnd = isOfEnd || value == .time && bytes[at..<end].starts(with: Array("%{end:".utf8))
      if let value {
        parts.append(Part(literal: literal, value: value))
        literal = []
      } else {
        literal.append(0x25)
      }
      at = end
    }
    if !literal.isEmpty { parts.append(Part(literal: literal, value: nil)) }
    guard !isOfEnd else { return parts }
    let durations: [LogValue] = [.seconds, .milliseconds, .microseconds]
    return parts.map { part in
      guard let value = part.value, durations.contains(value) else { return part }
      return Part(literal: part.literal, value: .ignored)
    }
  }

  /// What stands behind a percent sign and where it ends; nil for `%%`.
  private static func directive(
    _ bytes: [UInt8], _ start: Int
  ) throws(Problem) -> (LogValue?, Int) {
    var at = start
    // `%!200,304{…}i`, `%<s` and `%>s` say when and of which request a value is logged.
    while at < bytes.count,
      ASCII.isDigit(bytes[at]) || [0x21, 0x2C, 0x3C, 0x3E].contains(bytes[at])
    {
      at += 1
    }
    var argument = ""
    if at < bytes.count, bytes[at] == 0x7B {
      guard let end = bytes[at...].firstIndex(of: 0x7D) else {
        throw Problem(description: "%{ without a }")
      }
      argument = String(decoding: bytes[(at + 1)..<end], as: UTF8.self)
      at = end + 1
    }
    guard at < bytes.count else { throw Problem(description: "% at the end") }
    let letter = bytes[at]
    if letter == 0x25 { return (nil, at + 1) }
    return (meaning(of: letter, argument), at + 1)
  }

  private static func meaning(of letter: UInt8, _ argument: String) -> LogValue {
    switch UnicodeScalar(letter) {
    case "h", "a": .client
    case "u": .user
    case "t":
      ["", "sec", "msec", "usec"].contains(Self.moment(argument)) ? .time : .ignored
    case "r": .request
    case "m": .method
    case "U": .path
    case "q": .query
    case "v", "V": .host
    case "s": .status
    case "b", "B", "O": .responseBytes
    case "D": .microseconds
    case "T":
      switch argument {
      case "us": .microseconds
      case "ms": .milliseconds
      default: .seconds
      }
    case "i": LogValue(field: argument)
    default: .ignored
    }
  }

  /// What Apache's `%{…}t` asks for, without `begin:` or `end:`, which say of what. Those of its fractions
  /// alone (`msec_frac`) and of strftime's formats are no whole times.
  private static func moment(_ argument: String) -> String {
    for prefix in ["begin:", "end:"] where argument.hasPrefix(prefix) {
      return String(argument.dropFirst(prefix.count))
    }
    return argument
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    ASCII.isDigit(byte) || 0x61...0x7A ~= (byte | 0x20) || byte == 0x5F
  }

  /// Reads a line.
  func parse(_ line: ByteView, into builder: inout RecordBuilder) throws(Defect) {
    var at = 0
    for (index, part) in parts.enumerated() {
      let isThere = part.literal.withView { line.dropping(first: at).starts(with: $0) }
      // The common format is the combined one's beginning, and other lines may be cut there, too.
      if !isThere, at == line.count, !builder.record.target.isEmpty { return }
      guard isThere else { throw .notInFormat }
      at += part.literal.count
      guard let value = part.value else { continue }
      let end = end(of: line, from: at, before: index + 1)
      try builder.set(value, unescaped(line[at..<end], &builder))
      at = end
    }
  }

  /// Where the text of the next part begins.
  private func end(of line: ByteView, from start: Int, before next: Int) -> Int {
    guard next < parts.count, let first = parts[next].literal.first else { return line.count }
    let literal = parts[next].literal
    var at = start
    while let found = line.firstIndex(of: first, from: at) {
      let matches = literal.withView { line.dropping(first: found).starts(with: $0) }
      let isEscaped = first == ASCII.quote && Self.isEscaped(line, found, from: start)
      if matches && !isEscaped { return found }
      at = found + 1
    }
    return line.count
  }

  private static func isEscaped(_ line: ByteView, _ place: Int, from start: Int) -> Bool {
    var at = place
    while at > start, line[at - 1] == ASCII.backslash { at -= 1 }
    return (place - at) & 1 == 1
  }

  /// Undoes what nginx (`\x22`) and Apache (`\"`, `\x..`) do to bytes that would break a line.
  private func unescaped(_ text: ByteView, _ builder: inout RecordBuilder) -> ByteView {
    guard text.firstIndex(of: ASCII.backslash) != nil else { return text }
    return builder.written { buffer in
      var at = 0
      while at < text.count {
        if text[at] == ASCII.backslash, at + 1 < text.count {
          if text[at + 1] | 0x20 == 0x78, at + 3 < text.count,
            let high = ASCII.hexValue(text[at + 2]), let low = ASCII.hexValue(text[at + 3])
          {
            buffer.append(high << 4 | low)
            at += 4
            continue
          }
          at += 1
        }
        buffer.append(text[at])
        at += 1
      }
    }
  }
}
