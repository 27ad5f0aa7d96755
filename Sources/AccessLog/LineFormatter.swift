internal import Bytes
internal import EventLoop

/// What indexes in records stand for.
package struct AccessLogLabels: Sendable {
  /// Names of routes.
  package var routes: [String]
  /// What the cache did.
  package var cache: [String]
  /// Reasons and errors.
  package var details: [String]
  /// All names of routes, asked for when a record has a number beyond those that are known.
  package var laterRoutes: @Sendable () -> [String]

  /// The labels, each list in the order of the numbers in records.
  package init(
    routes: [String], cache: [String], details: [String] = [],
    laterRoutes: @escaping @Sendable () -> [String] = { [] }
  ) {
    self.laterRoutes = laterRoutes
    self.routes = routes
    self.cache = cache
    self.details = details
  }
}

/// What a line looks like.
package enum AccessLogFormat: Sendable, Equatable {
  /// A JSON object with every field.
  case json
  /// NCSA's combined log format.
  case combined
  /// A JSON object with these fields in this order, and what rules log if `members`.
  case fields([LogTemplate.Field], members: Bool)
  /// As an operator writes it.
  case template(LogTemplate)
}

/// Turns records into lines; see docs/logs.md for the fields.
struct LineFormatter: ~Copyable {
  /// More than the longest line takes: every text as often as fields of choice can name it, each byte
  /// escaped, marks in place of short values, and what is around them.
  static var longestLine: Int { 12 * (AccessRecord.textLimit * 6 + 32) + 4096 }

  let labels: LogLabelTable
  private let format: AccessLogFormat
  private var second: Int64 = .min
  private var secondText = LineBuffer(capacity: 64)
  let redaction: LogRedaction
  private var mask: AddressMask
  // Where texts are written that lose something on the way.
  private var targetText = ByteBuffer()
  private var refererText = ByteBuffer()

  init(
    format: AccessLogFormat, labels: LogLabelTable, redaction: LogRedaction = .usual(),
    addresses: ClientAddressStyle = .full
  ) {
    self.format = format
    self.labels = labels
    self.redaction = redaction
    mask = AddressMask(addresses)
  }

  /// A client's address as lines have it.
  mutating func shown(_ record: StoredRecord) -> SocketAddress {
    mask.shown(record.client, at: record.wall)
  }

  /// Whether lines have the client's port.
  var showsPort: Bool { mask.style == .full }

  /// Appends the record's line. There must be room for `longestLine`.
  mutating func format(_ record: StoredRecord, into line: inout LineBuffer) {
    switch format {
    case .json: formatJSON(record, into: &line)
    case .combined: formatCombined(record, into: &line)
    case .fields(let fields, let members):
      formatFields(fields, members: members, record, into: &line)
    case .template(let template): formatTemplate(template, record, into: &line)
    }
  }

  /// A record's texts as they may be read; good until the next call, and as long as the record.
  mutating func texts(of record: StoredRecord) -> LineTexts {
    var texts = LineTexts()
    record.withTexts { method, host, target, referer, userAgent in
      texts.method = method
      texts.host = host
      texts.target = redaction.apply(target, &targetText)
      texts.referer = redaction.apply(referer, &refererText)
      texts.userAgent = userAgent
    }
    return texts
  }

  /// `ADDRESS - - [TIME] "METHOD TARGET PROTOCOL" STATUS BYTES "REFERER" "USER AGENT"`.
  private mutating func formatCombined(_ record: StoredRecord, into line: inout LineBuffer) {
    line.append(address: shown(record))
    appendLocalTime(record.wall, to: &line)
    record.withTexts { method, _, target, referer, userAgent in
      let target = redaction.apply(target, &targetText)
      let referer = redaction.apply(referer, &refererText)
      line.append(quoting: method)
      line.append(ASCII.space)
      line.append(quoting: target)
      switch record.version {
      case 11: line.append(" HTTP/1.1\" ")
      case 20: line.append(" HTTP/2.0\" ")
      case 10: line.append(" HTTP/1.0\" ")
      default: line.append("\" ")
      }
      line.append(decimal: UInt64(record.status))
      line.append(ASCII.space)
      line.append(decimal: record.bytesSent)
      line.append(" \"")
      if referer.isEmpty { line.append("-") } else { line.append(quoting: referer) }
      line.append("\" \"")
      if userAgent.isEmpty { line.append("-") } else { line.append(quoting: userAgent) }
    }
    line.append("\"\n")
  }

  private mutating func formatJSON(_ record: StoredRecord, into line: inout LineBuffer) {
    appendTime(record.wall, to: &line)
    line.append("\",\"client\":\"")
    line.append(address: shown(record))
    line.append(ASCII.quote)
    if showsPort {
      line.append(",\"client_port\":")
      line.append(decimal: UInt64(record.client.port))
    }
    record.withTexts { method, host, target, referer, userAgent in
      let target = redaction.apply(target, &targetText)
      let referer = redaction.apply(referer, &refererText)
      Self.append(method, as: ",\"method\":\"", to: &line)
      Self.append(host, as: ",\"host\":\"", to: &line)
      Self.append(target, as: ",\"target\":\"", to: &line)
      appendFigures(record, to: &line)
      CipherSuiteName.append(record.cipherSuite, to: &line)
      if !referer.isEmpty { Self.append(referer, as: ",\"referer\":\"", to: &line) }
      if !userAgent.isEmpty { Self.append(userAgent, as: ",\"user_agent\":\"", to: &line) }
    }
    appendMembers(record, to: &line)
    if record.isCut { line.append(",\"cut\":true") }
    line.append("}\n")
  }

  /// What rules log, each behind a comma.
  func appendMembers(_ record: StoredRecord, to line: inout LineBuffer) {
    LogMembers.forEach(record.members) { name, value in
      line.append(",\"")
      line.append(escaping: name)
      line.append("\":\"")
      if redaction.hidesMember(name, value) {
        line.append(LogRedaction.mark)
      } else {
        line.append(escaping: value)
      }
      line.append(ASCII.quote)
    }
  }

  private static func append(_ text: ByteView, as field: StaticString, to line: inout LineBuffer) {
    line.append(field)
    line.append(escaping: text)
    line.append(ASCII.quote)
  }

  private mutating func appendFigures(_ record: StoredRecord, to line: inout LineBuffer) {
    switch record.version {
    case 11: line.append(",\"protocol\":\"HTTP/1.1\",\"status\":")
    case 20: line.append(",\"protocol\":\"HTTP/2\",\"status\":")
    case 10: line.append(",\"protocol\":\"HTTP/1.0\",\"status\":")
    default: line.append(",\"status\":")
    }
    line.append(decimal: UInt64(record.status))
    line.append(",\"bytes_sent\":")
    line.append(decimal: record.bytesSent)
    line.append(",\"bytes_received\":")
    line.append(decimal: record.bytesReceived)
    line.append(",\"duration_us\":")
    line.append(decimal: UInt64(max(record.duration, 0)) / 1000)
    if record.originDuration >= 0 {
      line.append(",\"origin_us\":")
      line.append(decimal: UInt64(record.originDuration) / 1000)
    }
    labels.append(.cache, Int(record.cache), to: &line)
    labels.append(.detail, Int(record.detail), to: &line)
    labels.append(.route, Int(record.route), to: &line)
  }

  /// `{"time":"2026-07-01T12:34:56.789Z` (RFC 3339), all but the last digits kept for a second.
  private mutating func appendTime(_ wall: Int64, to line: inout LineBuffer) {
    let (second, rest) = wall.quotientAndRemainder(dividingBy: 1000)
    let millisecond = rest < 0 ? rest + 1000 : rest
    let whole = rest < 0 ? second - 1 : second
    if whole != self.second {
      self.second = whole
      let time = CivilTime(second: whole)
      secondText.removeAll()
      secondText.append("{\"time\":\"")
      secondText.append(time.year, digits: 4)
      secondText.append(0x2D as UInt8)
      secondText.append(time.month, digits: 2)
      secondText.append(0x2D as UInt8)
      secondText.append(time.day, digits: 2)
      secondText.append(0x54 as UInt8)
      secondText.append(time.second / 3600, digits: 2)
      secondText.append(ASCII.colon)
      secondText.append(time.second / 60 % 60, digits: 2)
      secondText.append(ASCII.colon)
      secondText.append(time.second % 60, digits: 2)
      secondText.append(0x2E as UInt8)
    }
    line.append(secondText.view)
    line.append(Int(millisecond), digits: 3)
    line.append(0x5A as UInt8)
  }

  static let months: [StaticString] = [
    "/Jan/", "/Feb/", "/Mar/", "/Apr/", "/May/", "/Jun/", "/Jul/", "/Aug/", "/Sep/", "/Oct/",
    "/Nov/", "/Dec/",
  ]

  /// ` - - [10/Jul/2026:12:34:56 +0000] "`, kept for a second.
  private mutating func appendLocalTime(_ wall: Int64, to line: inout LineBuffer) {
    let (second, rest) = wall.quotientAndRemainder(dividingBy: 1000)
    let whole = rest < 0 ? second - 1 : second
    if whole != self.second {
      self.second = whole
      let time = CivilTime(second: whole)
      secondText.removeAll()
      secondText.append(" - - [")
      secondText.append(time.day, digits: 2)
      secondText.append(Self.months[min(max(time.month - 1, 0), 11)])
      secondText.append(time.year, digits: 4)
      secondText.append(ASCII.colon)
      secondText.append(time.second / 3600, digits: 2)
      secondText.append(ASCII.colon)
      secondText.append(time.second / 60 % 60, digits: 2)
      secondText.append(ASCII.colon)
      secondText.append(time.second % 60, digits: 2)
      secondText.append(" +0000] \"")
    }
    line.append(secondText.view)
  }
}

/// A date and a time of day in UTC, in the Gregorian calendar, kept within the years 0 to 9999.
struct CivilTime: Equatable {
  let year: Int
  let month: Int
  let day: Int
  /// Of the day.
  let second: Int

  init(second: Int64) {
    let second = min(max(second, -62_167_219_200), 253_402_300_799)
    let sinceYear0 = Int(second) + 62_167_219_200
    self.second = sinceYear0 % 86_400
    // Days since 1 March of year −400: years that begin in March end with their leap day, and eras
    // of 400 years are all alike.
    let days = sinceYear0 / 86_400 + 146_097 - 60
    let (era, dayOfEra) = days.quotientAndRemainder(dividingBy: 146_097)
    let leapDays = dayOfEra / 1460 - dayOfEra / 36_524 + dayOfEra / 146_096
    let yearOfEra = (dayOfEra - leapDays) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    // Months from March have 31, 30, 31, 30, 31 days, and again: 153 for five of them.
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    year = yearOfEra + era * 400 - 400 + (month <= 2 ? 1 : 0)
  }
}

extension LineBuffer {
  /// An address without its port: dotted IPv4, or IPv6 as RFC 5952 §4 has it.
  mutating func append(address: SocketAddress) {
    if address.isIPv4 {
      for shift in [24, 16, 8, 0] as [UInt64] {
        append(decimal: address.low &>> shift & 0xFF)
        if shift > 0 { append(0x2E as UInt8) }
      }
      return
    }
    func group(_ index: Int) -> UInt16 {
      let word = index < 4 ? address.high : address.low
      return UInt16(truncatingIfNeeded: word &>> UInt64(48 - index % 4 * 16))
    }
    // The first of the longest runs of at least two zero groups is left out.
    var (gap, gapLength, run) = (8, 1, 0)
    for index in 0..<8 {
      run = group(index) == 0 ? run + 1 : 0
      if run > gapLength { (gap, gapLength) = (index + 1 - run, run) }
    }
    var index = 0
    while index < 8 {
      if index == gap {
        append("::")
        index += gapLength
        continue
      }
      if index > 0 && index != gap + gapLength { append(ASCII.colon) }
      append(hexadecimal: group(index))
      index += 1
    }
  }
}
