// The formats whose records are lines.

internal import Bytes

/// Lines of JSON: one flat object each, whose members have the names of Weir's access log, or those of
/// nginx's variables; `fields`, an object of its own, has fields of the request.
enum JSONLine {
  static func parse(_ line: ByteView, into builder: inout RecordBuilder) throws(Defect) {
    var reader = JSONReader(line)
    var defect: Defect?
    let isObject = reader.members { reader, name in
      do throws(Defect) {
        return try member(name, &reader, &builder)
      } catch {
        defect = error
        return false
      }
    }
    if let defect { throw defect }
    guard isObject, reader.isAtEnd() else { throw .notJSON }
  }

  private static func member(
    _ name: ByteView, _ reader: inout JSONReader, _ builder: inout RecordBuilder
  ) throws(Defect) -> Bool {
    if name == ByteView("fields") {
      return reader.members { reader, name in
        guard let value = reader.scalar(&builder) else { return false }
        builder.setField(name, value)
        return true
      }
    }
    guard let value = meaning(of: name) else { return reader.skip() }
    guard let text = reader.scalar(&builder) else { return false }
    try builder.set(value, text)
    return true
  }

  /// The members of Weir's lines without making a string of each.
  private static func meaning(of name: ByteView) -> LogValue? {
    switch name.count {
    case 4 where name == ByteView("time"): return .time
    case 4 where name == ByteView("host"): return .host
    case 5 where name == ByteView("cache") || name == ByteView("route"): return nil
    case 6 where name == ByteView("client"): return .client
    case 6 where name == ByteView("method"): return .method
    case 6 where name == ByteView("target"): return .target
    case 6 where name == ByteView("status"): return .status
    case 6 where name == ByteView("detail"): return nil
    case 8 where name == ByteView("protocol"): return nil
    case 9 where name == ByteView("origin_us"): return nil
    case 10 where name == ByteView("bytes_sent"): return .responseBytes
    case 11 where name == ByteView("client_port"): return nil
    case 11 where name == ByteView("duration_us"): return .microseconds
    case 14 where name == ByteView("bytes_received"): return .requestBytes
    default:
      let value = LogValue(named: name.string.lowercased())
      return value == .ignored ? nil : value
    }
  }
}

/// W3C's extended log file format: a line `#Fields: …` names the values of those behind it.
struct W3CLog {
  private var values: [LogValue] = []
  private var hasTabs = false
  /// IIS has milliseconds where all others have seconds, and a plus sign for each space.
  private var isMicrosofts = false

  /// Whether it was a request; a directive is none.
  mutating func parse(_ line: ByteView, into builder: inout RecordBuilder) throws(Defect) -> Bool {
    if line[0] == 0x23 {
      let (fields, software) = (ByteView("#Fields:"), ByteView("#Software: Microsoft"))
      if line.starts(with: software) { isMicrosofts = true }
      if line.starts(with: fields) { setFields(line.dropping(first: fields.count).string) }
      return false
    }
    guard !values.isEmpty else { throw .noColumnNames }
    var columns = Columns(line, separator: hasTabs ? ASCII.tab : ASCII.space)
    // CloudFront separates by tabs, IIS by spaces; the first line of values tells.
    if !hasTabs, line.firstIndex(of: ASCII.tab) != nil {
      hasTabs = true
      columns = Columns(line, separator: ASCII.tab)
    }
    for value in values {
      guard let text = columns.next(&builder) else { throw .fewColumns }
      try builder.set(value, decoded(value, text, &builder))
    }
    return true
  }

  private mutating func setFields(_ text: String) {
    hasTabs = false
    let names = text.split(whereSeparator: \.isWhitespace).map(String.init)
    let hasHostHeader = names.contains("x-host-header")
    values = names.map { name in
      switch name {
      // The time of day: the date has a column of its own.
      case "time": .timeOfDay
      case "time-taken" where isMicrosofts: .milliseconds
      // CloudFront: the distribution's own name here, what the client asked for in x-host-header.
      case "cs(Host)" where hasHostHeader: .ignored
      default: LogValue(named: name)
      }
    }
  }

  /// CloudFront percent-encodes what it logs of fields, and spaces twice.
  private func decoded(
    _ value: LogValue, _ text: ByteView, _ builder: inout RecordBuilder
  ) -> ByteView {
    guard case .field = value else { return text }
    if isMicrosofts {
      guard text.firstIndex(of: 0x2B) != nil else { return text }
      return builder.written { buffer in
        for at in 0..<text.count { buffer.append(text[at] == 0x2B ? ASCII.space : text[at]) }
      }
    }
    guard text.firstIndex(of: 0x25) != nil else { return text }
    return builder.written { buffer in
      var at = 0
      while at < text.count {
        var byte = text[at]
        at += 1
        if byte == 0x25, text.dropping(first: at).starts(with: ByteView("25")) { at += 2 }
        if byte == 0x25, at + 1 < text.count, let high = ASCII.hexValue(text[at]),
          let low = ASCII.hexValue(text[at + 1])
        {
          byte = high << 4 | low
          at += 2
        }
        buffer.append(byte)
      }
    }
  }
}

/// Lines of values, as cache research writes its traces.
struct ColumnTrace {
  private var values: [LogValue]?
  private var separator: UInt8?

  init(_ values: [LogValue]?) { self.values = values }

  /// Whether it was a request; a line of names is none, and neither is a comment.
  mutating func parse(_ line: ByteView, into builder: inout RecordBuilder) throws(Defect) -> Bool {
    if line[0] == 0x23 { return false }
    let separator = separator ?? Self.separator(in: line)
    self.separator = separator
    guard let values else { return try begin(line, separator, &builder) }
    var columns = Columns(line, separator: separator)
    for value in values {
      guard let text = columns.next(&builder) else { throw .fewColumns }
      try builder.set(value, text)
    }
    if !values.contains(.method) { return true }
    try mapOperation(&builder)
    return true
  }

  /// The first line: names, or values of time, key and size.
  private mutating func begin(
    _ line: ByteView, _ separator: UInt8, _ builder: inout RecordBuilder
  ) throws(Defect) -> Bool {
    var columns = Columns(line, separator: separator)
    var names: [LogValue] = []
    while let text = columns.next(&builder) {
      names.append(LogValue(named: text.string.lowercased().filter { $0 != " " }))
    }
    let isHeader = names.contains { [.key, .target, .path].contains($0) }
    values = isHeader ? names : Self.usual(count: names.count)
    if isHeader { return false }
    // The line is read a second time: what the first has written must not take the second's room.
    builder.begin(bytes: line.count)
    return try parse(line, into: &builder)
  }

  private static func usual(count: Int) -> [LogValue] {
    switch count {
    case 1: [.key]
    case 2: [.time, .key]
    default: [.time, .key, .responseBytes]
    }
  }

  /// Key-value traces have operations; what reads is a GET.
  private func mapOperation(_ builder: inout RecordBuilder) throws(Defect) {
    let method = builder.record.method
    for name in ["get", "gets", "read", "r"] as [StaticString]
    where method.equalsIgnoringCase(ByteView(name)) { return try builder.set(.method, "GET") }
    let writing: [StaticString] = [
      "set", "put", "add", "replace", "cas", "append", "prepend", "incr", "decr", "write", "w",
    ]
    for name in writing
    where method.equalsIgnoringCase(ByteView(name)) { return try builder.set(.method, "PUT") }
    for name in ["delete", "del"] as [StaticString] where method.equalsIgnoringCase(ByteView(name))
    {
      return try builder.set(.method, "DELETE")
    }
  }

  private static func separator(in line: ByteView) -> UInt8 {
    for byte in [ASCII.tab, ASCII.comma, ASCII.semicolon] where line.firstIndex(of: byte) != nil {
      return byte
    }
    return ASCII.space
  }
}

extension RecordBuilder {
  fileprivate mutating func set(_ value: LogValue, _ literal: StaticString) throws(Defect) {
    try set(value, ByteView(literal))
  }
}

/// The columns of a line, one after the other.
struct Columns {
  private let line: ByteView
  private let separator: UInt8
  private var at = 0
  private var isDone = false

  init(_ line: ByteView, separator: UInt8) {
    self.line = line
    self.separator = separator
  }

  /// The next one, quotes undone; nil behind the last. Runs of spaces separate once.
  mutating func next(_ builder: inout RecordBuilder) -> ByteView? {
    if separator == ASCII.space {
      while at < line.count, line[at] == ASCII.space { at += 1 }
      if at == line.count { return nil }
    }
    if isDone { return nil }
    if at < line.count, line[at] == ASCII.quote, separator != ASCII.space {
      return quoted(&builder)
    }
    let end = line.firstIndex(of: separator, from: at) ?? line.count
    let text = line[at..<end]
    isDone = end == line.count
    at = min(end + 1, line.count)
    return trimmed(text)
  }

  /// A value in quotes, in which a quote is written twice (RFC 4180 §2).
  private mutating func quoted(_ builder: inout RecordBuilder) -> ByteView {
    let start = at + 1
    var end = start
    var hasQuotes = false
    while let quote = line.firstIndex(of: ASCII.quote, from: end) {
      end = quote
      guard quote + 1 < line.count, line[quote + 1] == ASCII.quote else { break }
      hasQuotes = true
      end = quote + 2
    }
    let close = end < line.count && line[end] == ASCII.quote ? end : line.count
    let raw = line[start..<close]
    let next = line.firstIndex(of: separator, from: close) ?? line.count
    isDone = next == line.count
    at = min(next + 1, line.count)
    guard hasQuotes else { return raw }
    return builder.written { buffer in
      var index = 0
      while index < raw.count {
        buffer.append(raw[index])
        index += raw[index] == ASCII.quote ? 2 : 1
      }
    }
  }

  private func trimmed(_ text: ByteView) -> ByteView {
    var start = 0
    var end = text.count
    while start < end, text[start] == ASCII.space { start += 1 }
    while end > start, text[end - 1] == ASCII.space { end -= 1 }
    return text[start..<end]
  }
}
