// Lines that an operator has put together: a format of text and fields, or JSON with fields of choice.

internal import Bytes
internal import EventLoop

extension LineFormatter {
  /// A line as the operator's format has it. A field that would make it longer than the longest line is
  /// left out: a format may name the same long text again and again.
  mutating func formatTemplate(
    _ template: LogTemplate, _ record: StoredRecord, into line: inout LineBuffer
  ) {
    // What the format's own text takes, 4 KiB at most, is not for fields.
    let end = line.count + Self.longestLine - 4_200
    let texts = texts(of: record)
    for part in template.parts {
      switch part {
      case .text(let text): text.withView { line.append($0) }
      case .member(let name): append(member: name, of: record, before: end, to: &line)
      case .field(let field):
        if let text = texts.text(of: field) {
          line.append(text, before: end)
        } else if line.count + 1_024 + (texts.method.count + texts.target.count) * 4 < end {
          append(field, of: record, texts, to: &line)
        }
      }
    }
    line.append(ASCII.lf)
  }

  private func append(
    member name: [UInt8], of record: StoredRecord, before end: Int, to line: inout LineBuffer
  ) {
    LogMembers.forEach(record.members) { other, value in
      guard name.withView({ $0 == other }) else { return }
      if redaction.hidesMember(other, value) {
        line.append(LogRedaction.mark)
      } else {
        line.append(value, before: end)
      }
    }
  }

  /// Fields that are short whatever the client sends, but for the request line.
  private mutating func append(
    _ field: LogTemplate.Field, of record: StoredRecord, _ texts: LineTexts,
    to line: inout LineBuffer
  ) {
    switch field {
    case .cache: appendLabel(.cache, Int(record.cache), to: &line)
    case .detail: appendLabel(.detail, Int(record.detail), to: &line)
    case .route: appendLabel(.route, Int(record.route), to: &line)
    case .client: line.append(address: shown(record))
    case .clientPort:
      if showsPort { line.append(decimal: UInt64(record.client.port)) } else { line.append("-") }
    case .request:
      line.append(quoting: texts.method)
      line.append(ASCII.space)
      line.append(quoting: texts.target)
      if record.version != 0 {
        line.append(ASCII.space)
        line.append(Self.version(record))
      }
    default: Self.append(field, of: record, to: &line)
    }
  }

  private static func append(
    _ field: LogTemplate.Field, of record: StoredRecord, to line: inout LineBuffer
  ) {
    switch field {
    case .time: append(time: record.wall, to: &line)
    case .timeLocal: append(localTime: record.wall, to: &line)
    case .seconds: append(seconds: record.wall &* 1000, to: &line)
    case .status: line.append(decimal: UInt64(record.status))
    case .bytesSent: line.append(decimal: record.bytesSent)
    case .bytesReceived: line.append(decimal: record.bytesReceived)
    case .durationUs: line.append(decimal: UInt64(max(record.duration, 0)) / 1000)
    case .duration: append(seconds: record.duration / 1000, to: &line)
    case .originUs where record.originDuration >= 0:
      line.append(decimal: UInt64(record.originDuration) / 1000)
    case .origin where record.originDuration >= 0:
      append(seconds: record.originDuration / 1000, to: &line)
    case .protocol where record.version != 0: line.append(version(record))
    default: line.append("-")
    }
  }

  private static func version(_ record: StoredRecord) -> StaticString {
    switch record.version {
    case 10: "HTTP/1.0"
    case 20: "HTTP/2.0"
    default: "HTTP/1.1"
    }
  }

  /// The value of a label, `-` for none.
  private func appendLabel(
    _ kind: LogLabelTable.Kind, _ index: Int, to line: inout LineBuffer
  ) {
    labels.withValue(kind, index) { value in
      if value.isEmpty { line.append("-") } else { line.append(value) }
    }
  }

  // MARK: Fields of choice

  /// A JSON object with these fields, as far as the request has them. Each stands once, so no line is
  /// longer than one with all of them.
  mutating func formatFields(
    _ fields: [LogTemplate.Field], members: Bool, _ record: StoredRecord,
    into line: inout LineBuffer
  ) {
    let texts = texts(of: record)
    line.append("{")
    let start = line.count
    for field in fields {
      switch field {
      case .cache: labels.append(.cache, Int(record.cache), to: &line)
      case .detail: labels.append(.detail, Int(record.detail), to: &line)
      case .route: labels.append(.route, Int(record.route), to: &line)
      default: append(json: field, of: record, texts, to: &line)
      }
    }
    if members { appendMembers(record, to: &line) }
    if record.isCut { line.append(",\"cut\":true") }
    // The comma in front of the first.
    if line.count > start { line.remove(at: start) }
    line.append("}\n")
  }

  private mutating func append(
    json field: LogTemplate.Field, of record: StoredRecord, _ texts: LineTexts,
    to line: inout LineBuffer
  ) {
    let text = texts.text(of: field)
    if let text, text.isEmpty { return }
    switch field {
    case .originUs, .origin: if record.originDuration < 0 { return }
    case .protocol: if record.version == 0 { return }
    case .clientPort: if !showsPort { return }
    default: break
    }
    line.append(",\"")
    Array(field.rawValue.utf8).withView { line.append($0) }
    line.append("\":")
    if field.isNumber {
      append(field, of: record, texts, to: &line)
      return
    }
    line.append(ASCII.quote)
    if let text {
      line.append(escaping: text)
    } else if field == .request {
      line.append(escaping: texts.method)
      line.append(ASCII.space)
      line.append(escaping: texts.target)
    } else if field == .protocol {
      line.append(
        record.version == 20 ? "HTTP/2" : record.version == 10 ? "HTTP/1.0" : "HTTP/1.1")
    } else {
      append(field, of: record, texts, to: &line)
    }
    line.append(ASCII.quote)
  }

  // MARK: Times

  /// Seconds with six decimals.
  private static func append(seconds microseconds: Int64, to line: inout LineBuffer) {
    let value = max(microseconds, 0)
    line.append(decimal: UInt64(value / 1_000_000))
    line.append(0x2E as UInt8)
    line.append(Int(value % 1_000_000), digits: 6)
  }

  /// `2026-07-01T12:34:56.789Z` of a Unix time in milliseconds.
  static func append(time wall: Int64, to line: inout LineBuffer) {
    let time = CivilTime(second: wall / 1000)
    line.append(time.year, digits: 4)
    line.append(0x2D as UInt8)
    line.append(time.month, digits: 2)
    line.append(0x2D as UInt8)
    line.append(time.day, digits: 2)
    line.append(0x54 as UInt8)
    append(timeOfDay: time, to: &line)
    line.append(0x2E as UInt8)
    line.append(Int(max(0, wall) % 1000), digits: 3)
    line.append(0x5A as UInt8)
  }

  /// `10/Jul/2026:12:34:56 +0000`
  private static func append(localTime wall: Int64, to line: inout LineBuffer) {
    let time = CivilTime(second: wall / 1000)
    line.append(time.day, digits: 2)
    line.append(months[min(max(time.month - 1, 0), 11)])
    line.append(time.year, digits: 4)
    line.append(ASCII.colon)
    append(timeOfDay: time, to: &line)
    line.append(" +0000")
  }

  private static func append(timeOfDay time: CivilTime, to line: inout LineBuffer) {
    line.append(time.second / 3600, digits: 2)
    line.append(ASCII.colon)
    line.append(time.second / 60 % 60, digits: 2)
    line.append(ASCII.colon)
    line.append(time.second % 60, digits: 2)
  }
}

/// The texts of a record as they may be read.
struct LineTexts {
  var method = ByteView()
  var host = ByteView()
  var target = ByteView()
  var referer = ByteView()
  var userAgent = ByteView()

  /// The text of a field that is one; nil of others.
  func text(of field: LogTemplate.Field) -> ByteView? {
    switch field {
    case .method: method
    case .host: host
    case .target: target
    case .path: target.prefix(mark)
    case .query: mark < target.count ? target.dropping(first: mark + 1) : ByteView()
    case .referer: referer
    case .userAgent: userAgent
    default: nil
    }
  }

  /// Where the query begins; the end if there is none.
  private var mark: Int { target.firstIndex(of: ASCII.question) ?? target.count }
}

extension LogTemplate.Field {
  /// Whether JSON has it as a number.
  fileprivate var isNumber: Bool {
    switch self {
    case .seconds, .clientPort, .status, .bytesSent, .bytesReceived, .durationUs, .duration,
      .originUs, .origin:
      true
    default: false
    }
  }
}

extension LineBuffer {
  /// A text of the client's, `-` for an empty one; left out if the buffer could then be longer than `end`.
  fileprivate mutating func append(_ text: ByteView, before end: Int) {
    if text.isEmpty {
      if count + 1 < end { append("-") }
    } else if count + text.count * 4 + 64 < end {
      append(quoting: text)
    }
  }
}
