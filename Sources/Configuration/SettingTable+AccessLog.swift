// The access log: `access_log` at the top level and in sites, which take from the node's what they do not
// say themselves, and `server_timing`.

internal import AccessLog
internal import Bytes
internal import Rules

/// What a log was told; what it was not told stands in the node's, or is as usual.
struct AccessLogOptions: Sendable {
  var target: AccessLogTarget?
  var format: AccessLogFormat?
  var sample: UInt32?
  var clientAddresses: ClientAddressDisplay?
  var redaction: QueryRedaction?
  var rotateSize: UInt64??
  var rotateAge: Int64??
  var keep: Int?
  var keepFor: Int64??
  var compressesRotated: Bool?
  var syslogFacility: UInt8?
  var syslogTag: String?
  /// Where it stands.
  var range: SourceRange?

  /// A log that goes by this and, for the rest, by `other`.
  func configuration(after other: AccessLogConfiguration) -> AccessLogConfiguration {
    var log = other
    if let target { log.target = target }
    if let format { log.format = format }
    if let sample { log.sample = sample }
    if let clientAddresses { log.clientAddresses = clientAddresses }
    if let redaction { log.redaction = redaction }
    if let rotateSize { log.rotateSize = rotateSize }
    if let rotateAge { log.rotateAge = rotateAge }
    if let keep { log.keep = keep }
    if let keepFor { log.keepFor = keepFor }
    if let compressesRotated { log.compressesRotated = compressesRotated }
    if let syslogFacility { log.syslogFacility = syslogFacility }
    if let syslogTag { log.syslogTag = syslogTag }
    return log
  }
}

extension Setting {
  private static let logNames = ["accesslog", "customlog", "access_logs"]
  private static let logShape = "FILE|stdout|off|syslog:unix:PATH|syslog:udp:HOST:PORT [FORMAT]"

  static let accessLogTop = Setting(
    "access_log", in: .top, shape: logShape, body: .optional(.accessLog), default: "off",
    aliases: ["log"] + logNames,
    """
    Where a line goes for each request, as JSON unless FORMAT says otherwise (see `format`). A file is \
    opened anew on SIGUSR1. `syslog:` sends each line as a message of RFC 5424.
    """
  ) { arguments, reader in reader.readNodeLog(&arguments) }

  static let accessLogSite = Setting(
    "access_log", in: .site, shape: "[\(logShape)]", body: .optional(.accessLog),
    default: "the node's", aliases: logNames,
    """
    The access log of this site's requests: elsewhere, otherwise, or none (`off`). What it does not say \
    is as the `access_log` of the top level has it.
    """
  ) { arguments, reader in reader.readSiteLog(&arguments) }

  static let accessLogFormat = Setting(
    "access_log_format", in: .top,
    .choice([("json", AccessLogFormat.json), ("combined", .combined)]),
    default: "json", aliases: ["log_format"],
    """
    What a line of the access log looks like, where no `format` says so: `json` has every field, \
    `combined` is the format of Apache and nginx, a third as long.
    """
  ) { format, reader in
    if reader.draft.nodeLog.format == nil { reader.draft.nodeLog.format = format.value }
  }

  static let accessLog: [Setting] = [
    Setting(
      "format", in: .accessLog, .logFormat, default: "json", presence: .atMostOne(of: "format"),
      aliases: ["log_format", "logformat"],
      """
      What a line looks like: `json`, `combined`, or a text with fields such as \
      `"$remote_addr $status \\"$request\\""`; their names are in docs/logs.md.
      """
    ) { format, reader in reader.draft.log.format = format.value },
    Setting(
      "fields", in: .accessLog, shape: "NAME…", presence: .atMostOne(of: "format"),
      example: "fields time status host target;",
      "A line is a JSON object with these fields, in this order; `log` stands for what rules log."
    ) { arguments, reader in reader.readLogFields(&arguments) },
    Setting(
      "sample", in: .accessLog, .share, default: "100%", aliases: ["ratio"],
      """
      How many of the requests have a line, chosen at random; those answered with 5xx always have one. \
      Figures count all.
      """
    ) { share, reader in reader.draft.log.sample = share.value },
    Setting(
      "client_addresses", in: .accessLog,
      .choice([("full", ClientAddressDisplay.full), ("shortened", .shortened), ("hashed", .hashed)]
      ),
      default: "full", aliases: ["anonymize", "ip_mask", "mask"],
      """
      How clients' addresses are shown: as they are; `shortened` to the network (24 bits of IPv4, 48 of \
      IPv6); or `hashed`: another address of `fd00::/8` in its place, the same one until the day (UTC) \
      ends, which nobody can undo.
      """
    ) { style, reader in reader.draft.log.clientAddresses = style.value },
    Setting(
      "redact", in: .accessLog, shape: "[only] NAME…|off", default: "the usual names",
      aliases: ["redact_parameters", "hide"],
      """
      Query parameters whose values are logged as `***`, besides those that usually carry credentials \
      (docs/logs.md); with `only` these alone. Names count in any case and however they are encoded.
      """
    ) { arguments, reader in reader.readLogRedaction(&arguments) },
    Setting(
      "rotate_size", in: .accessLog,
      Syntax<UInt64>.size(64 << 10...1 << 50).optional(none: "off", word: "off"), default: "off",
      aliases: ["roll_size", "maxsize", "size"],
      "From how many bytes on the file is put aside, as FILE.1, and a new one begun."
    ) { size, reader in reader.draft.log.rotateSize = .some(size.value) },
    Setting(
      "rotate_age", in: .accessLog,
      Syntax<Int64>.duration(logAges).optional(none: "off", word: "off"), default: "off",
      aliases: ["roll_interval", "daily"],
      "From what age on the file is put aside."
    ) { age, reader in reader.draft.log.rotateAge = .some(age.value) },
    Setting(
      "keep", in: .accessLog, .count(1...10_000, of: "files"), default: "14",
      aliases: ["roll_keep", "rotate"],
      "How many files that were put aside are kept."
    ) { count, reader in reader.draft.log.keep = count.value },
    Setting(
      "keep_for", in: .accessLog,
      Syntax<Int64>.duration(logAges).optional(none: "off", word: "off"), default: "off",
      aliases: ["roll_keep_for", "maxage", "retention"],
      "How long after its last line a file that was put aside is kept."
    ) { time, reader in reader.draft.log.keepFor = .some(time.value) },
    Setting(
      "compress", in: .accessLog, .choice([("off", false), ("gzip", true)]), default: "off",
      aliases: ["delaycompress", "roll_compress", "gzip"],
      "Whether files that were put aside are compressed, to FILE.1.gz, on a thread of the lowest priority."
    ) { choice, reader in reader.draft.log.compressesRotated = choice.value },
    Setting(
      "syslog_facility", in: .accessLog, .facility, default: "local7", aliases: ["facility"],
      "The facility of messages to syslog; their severity is informational."
    ) { facility, reader in reader.draft.log.syslogFacility = facility.value },
    Setting(
      "syslog_tag", in: .accessLog, .syslogTag, default: "weir", aliases: ["tag", "ident"],
      "The name that messages to syslog come under (APP-NAME)."
    ) { tag, reader in reader.draft.log.syslogTag = tag.value },
  ]

  /// A minute to ten years.
  private static let logAges: ClosedRange<Int64> =
    60_000_000_000...(3_650 * 86_400 * 1_000_000_000)

  static func serverTiming(in block: Block) -> Setting {
    Setting(
      "server_timing", in: block, Syntax<Bool>.flag, default: block == .site ? "off" : "the site's",
      aliases: ["server-timing", "timing"],
      """
      Whether responses say what took how long, for the browser's tools (`Server-Timing`): what the cache \
      did, the origin's time to the head of its response, and the node's until then. Everybody sees it.
      """
    ) { flag, reader in
      if block == .site {
        reader.draft.siteServerTiming = flag.value
      } else {
        reader.draft.routeServerTiming = flag.value
      }
    }
  }
}

// MARK: - Reading it

extension Reader {
  /// `access_log TARGET [FORMAT] { … }` at the top level.
  mutating func readNodeLog(_ arguments: inout Arguments) {
    // What `access_log_format` has said counts where nothing else does.
    let format = draft.nodeLog.format
    draft.log = AccessLogOptions()
    readLog(&arguments, needsTarget: true)
    draft.nodeLog = draft.log
    if draft.nodeLog.format == nil { draft.nodeLog.format = format }
  }

  /// The same in a site.
  mutating func readSiteLog(_ arguments: inout Arguments) {
    draft.log = AccessLogOptions()
    readLog(&arguments, needsTarget: false)
    draft.siteLog = draft.log
  }

  private mutating func readLog(_ arguments: inout Arguments, needsTarget: Bool) {
    draft.log.range = arguments.directive.range
    if needsTarget || arguments.upcoming != nil {
      draft.log.target = arguments.next(.accessLog, &findings).map { absolute($0.value) }
    }
    if arguments.upcoming != nil {
      draft.log.format = arguments.next(.logFormat, &findings)?.value
    }
    let given = draft.log.format
    let seen = read(.accessLog, arguments.body, of: arguments.directive)
    if given != nil, let range = seen.settings["format"] ?? seen.settings["fields"] {
      findings.error(
        "the format is given twice", at: range, help: "once behind the target, or once in the block"
      )
    }
  }

  private func absolute(_ target: AccessLogTarget) -> AccessLogTarget {
    switch target {
    case .file(let path): .file(resolve(path))
    case .syslogSocket(let path): .syslogSocket(resolve(path))
    default: target
    }
  }

  mutating func readLogFields(_ arguments: inout Arguments) {
    var names: [String] = []
    repeat {
      guard let name = arguments.next(.logField, &findings) else { continue }
      if names.contains(name.value) {
        findings.error("fields: \(quoted(name.value)) is given twice", at: name.range)
      } else {
        names.append(name.value)
      }
    } while arguments.upcoming != nil
    draft.log.format = .fields(names)
  }

  /// `redact off;`, `redact NAME…;`, `redact only NAME…;`
  mutating func readLogRedaction(_ arguments: inout Arguments) {
    if let word = arguments.upcoming, !word.isQuoted {
      if word.text == "off" {
        arguments.skip()
        draft.log.redaction = .only([])
        return
      }
      if word.text == "only" { arguments.skip() }
    }
    let isAlone = arguments.directive.arguments.first?.text == "only"
    var names: [String] = []
    repeat {
      guard let name = arguments.next(.parameterName, &findings) else { continue }
      names.append(name.value)
    } while arguments.upcoming != nil
    draft.log.redaction = isAlone ? .only(names) : .usual(names)
  }

  /// Gives the node and its sites their logs, once all of them are known.
  mutating func decideAccessLogs() {
    draft.node.accessLog = draft.nodeLog.configuration(after: AccessLogConfiguration())
    for (site, options) in draft.siteLogs {
      draft.node.sites[site].accessLog = options.configuration(after: draft.node.accessLog)
    }
    checkLogFiles()
  }

  /// A file has one rule of rotation.
  private mutating func checkLogFiles() {
    var logs: [(log: AccessLogConfiguration, range: SourceRange?)] = []
    if case .file = draft.node.accessLog.target {
      logs.append((draft.node.accessLog, draft.nodeLog.range))
    }
    var channels: [AccessLogConfiguration] = [draft.node.accessLog]
    for (site, options) in draft.siteLogs {
      guard let log = draft.node.sites[site].accessLog else { continue }
      if !channels.contains(log) { channels.append(log) }
      guard case .file = log.target else { continue }
      if let first = logs.first(where: { $0.log.target == log.target }) {
        guard !first.log.rotatesAlike(log), let range = options.range else { continue }
        findings.error(
          "access_log: this file is rotated otherwise elsewhere", at: range,
          help: "give a file's rotation once",
          related: first.range.map { Finding.Note(message: "which is here", range: $0) })
      } else {
        logs.append((log, options.range))
      }
    }
    if channels.count > 250, let range = draft.siteLogs.last?.options.range {
      findings.error("there are more than 250 different access logs", at: range)
    }
  }
}

extension AccessLogConfiguration {
  fileprivate func rotatesAlike(_ other: AccessLogConfiguration) -> Bool {
    rotateSize == other.rotateSize && rotateAge == other.rotateAge && keep == other.keep
      && keepFor == other.keepFor && compressesRotated == other.compressesRotated
  }
}

// MARK: - What it is made of

extension Syntax where Value == AccessLogTarget {
  /// A file, standard output, a syslog server, or nothing.
  static var accessLog: Syntax {
    Syntax(
      "FILE|stdout|off|syslog:unix:PATH|syslog:udp:HOST:PORT",
      expected: "the path of a file, stdout, off, syslog:unix:/dev/log or syslog:udp:127.0.0.1:514",
      read: { text throws(Problem) in
        switch text {
        case "off": return .off
        case "stdout": return .standardOutput
        default: break
        }
        guard text.hasPrefix("syslog:") else {
          return .file(try Syntax<String>.path("FILE", of: "a file").read(text))
        }
        return try syslog(text.dropFirst(7))
      },
      write: { target in
        switch target {
        case .off: "off"
        case .standardOutput: "stdout"
        case .file(let path): path
        case .syslogSocket(let path): "syslog:unix:\(path)"
        case .syslogServer(let host, let port):
          "syslog:udp:\(host.contains(":") ? "[\(host)]" : host):\(port)"
        }
      })
  }

  private static func syslog(_ text: Substring) throws(Problem) -> AccessLogTarget {
    if text.hasPrefix("unix:") {
      let path = String(text.dropFirst(5))
      guard !path.isEmpty, path.utf8.count < 100 else {
        throw Problem("\(quoted(path)) cannot be a socket's path", help: "it has 1 to 99 bytes")
      }
      return .syslogSocket(path)
    }
    guard text.hasPrefix("udp:") else {
      throw Problem(
        "\(quoted(String(text))) is no syslog server",
        help: "expected syslog:unix:PATH or syslog:udp:HOST:PORT")
    }
    let address = try Addresses.listen(String(text.dropFirst(4)))
    guard address.port != 0, !address.host.isEmpty else {
      throw Problem(
        "a syslog server has an address and a port", help: "such as syslog:udp:192.0.2.1:514")
    }
    return .syslogServer(host: address.host, port: address.port)
  }
}

extension Syntax where Value == AccessLogFormat {
  /// `json`, `combined` or a text with fields.
  static var logFormat: Syntax {
    Syntax(
      "json|combined|TEXT",
      expected: "json, combined, or a text with fields such as \"$remote_addr $status\"",
      read: { text throws(Problem) in
        switch text {
        case "json": return .json
        case "combined": return .combined
        default: break
        }
        guard text.utf8.contains(UInt8(ascii: "$")) else {
          throw Problem(
            "\(quoted(text)) is no format",
            suggestion: Spelling.nearest(to: text, among: ["json", "combined"]))
        }
        do throws(LogTemplate.Defect) {
          _ = try LogTemplate(text)
          return .template(text)
        } catch {
          guard case .unknown(let name) = error else { throw Problem(error.description) }
          throw Problem(
            error.description, suggestion: Spelling.nearest(to: name, among: LogTemplate.names))
        }
      },
      write: { format in
        switch format {
        case .json: "json"
        case .combined: "combined"
        case .fields(let names): names.joined(separator: " ")
        case .template(let text): text
        }
      })
  }
}

extension Syntax where Value == String {
  /// A field of a line.
  fileprivate static var logField: Syntax {
    Syntax(
      "NAME", expected: "a field of the access log, such as status",
      read: { text throws(Problem) in
        if text == "log" { return text }
        guard let field = LogTemplate.field(text) else {
          throw Problem(
            "there is no field \(quoted(text))",
            suggestion: Spelling.nearest(to: text, among: LogTemplate.names + ["log"]))
        }
        return field.rawValue
      }, write: { $0 })
  }

  /// The name of a query parameter, without its percent-encoding.
  fileprivate static var parameterName: Syntax {
    Syntax(
      "NAME", expected: "the name of a query parameter",
      read: { text throws(Problem) in
        guard (1...256).contains(text.utf8.count), !text.contains(where: { "=&#;? ".contains($0) })
        else { throw Problem("\(quoted(text)) cannot be a parameter's name") }
        return text.lowercased()
      }, write: { $0 })
  }

  /// APP-NAME (RFC 5424 §6.2.5).
  fileprivate static var syslogTag: Syntax {
    Syntax(
      "NAME", expected: "1 to 48 printable characters without spaces",
      read: { text throws(Problem) in
        guard (1...48).contains(text.utf8.count),
          text.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { throw Problem("\(quoted(text)) cannot be a syslog tag") }
        return text
      }, write: { $0 })
  }
}

extension Syntax where Value == UInt8 {
  /// A facility by its name (RFC 5424 §6.2.1).
  fileprivate static var facility: Syntax {
    let names = [
      "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
      "ftp",
    ]
    let all =
      names.enumerated().map { (name: $0.element, code: UInt8($0.offset)) }
      + (0..<8).map { (name: "local\($0)", code: UInt8(16 + $0)) }
    return Syntax(
      "NAME", expected: "a facility such as local0, daemon or user",
      read: { text throws(Problem) in
        if let found = all.first(where: { $0.name == text }) { return found.code }
        throw Problem(
          "\(quoted(text)) is no facility",
          suggestion: Spelling.nearest(to: text, among: all.map(\.name)))
      }, write: { code in all.first { $0.code == code }?.name ?? "local7" })
  }
}
