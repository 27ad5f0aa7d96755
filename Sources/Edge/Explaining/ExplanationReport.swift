// An explanation as it is told: a JSON object, or field lines.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import Rules
internal import Tracing

/// See the top of the file. Views are good for the call that makes it only: it keeps texts.
struct ExplanationReport {
  private let explanation: LiveExplanation
  private var site: String?
  private var route: String?
  private let generation: UInt64
  private let node: String
  private let request: [(name: String, value: String)]
  private let status: UInt16
  private let length: UInt64?
  private let fields: [String]
  private let result: String
  private let reason: String?
  private let isCollapsed: Bool
  private let key: String?
  private let age: (age: Int64, lifetime: Int64, ttl: Int64)?
  private let durations: [(phase: TracePhase, length: Int64)]

  init(
    _ exchange: Exchange, _ trace: RequestTrace, _ explanation: LiveExplanation, status: UInt16,
    lines: ByteView, length: UInt64?, _ worker: Worker
  ) {
    self.explanation = explanation
    self.status = status
    self.length = length
    let routes = exchange.generation.routes
    if exchange.route < routes.unrouted {
      let sites = exchange.generation.shared.configuration.sites
      site = sites[routes.sites(ofRoute: exchange.route)].hosts.first
      route = routes.names[exchange.route]
    }
    generation = exchange.generation.number
    node = worker.nodeName.view.string
    let head = exchange.clientHead(worker)
    request = [
      ("method", Self.plain(head.bytes[head.methodRange])), ("scheme", "\(exchange.scheme)"),
      ("host", Self.plain(head.bytes[head.authority])),
      ("target", Self.plain(head.bytes[head.target])),
      ("version", exchange.isHTTP2 ? "HTTP/2" : "HTTP/1.\(head.minorVersion)"),
      ("client", exchange.client.host),
    ]
    var fields: [String] = []
    FieldLines.forEach(lines) { fields.append(Self.plain($0.name) + ": " + Self.plain($0.value)) }
    self.fields = fields
    result = "\(exchange.result.label)"
    reason = exchange.reason.map { "\($0.name)" }
    switch exchange.result {
    case .collapsed: isCollapsed = true
    default: isCollapsed = false
    }
    key = explanation.key.map { $0.withView { Self.plain($0) } }
    age = explanation.freshness.map {
      (
        $0.freshness.currentAge(now: worker.now.wall), $0.freshness.lifetime,
        $0.freshness.remainingLifetime(now: worker.now.wall)
      )
    }
    trace.end(.body, at: worker.clock.monotonic())
    durations = trace.durations()
  }

  /// Bytes as a text: what is no visible ASCII as `\xNN`.
  private static func plain(_ bytes: ByteView) -> String {
    var text = ""
    for byte in bytes.array {
      if byte >= 0x20 && byte < 0x7F {
        text.unicodeScalars.append(UnicodeScalar(byte))
      } else {
        text += (byte < 16 ? "\\x0" : "\\x") + String(byte, radix: 16)
      }
    }
    return text
  }

  /// What became of the request, in words.
  private var decision: String {
    switch result {
    case "hit": return "served from the store"
    case "stale": return "served from the store, though stale"
    case "revalidated": return "validated at the origin, and served from the store"
    case "miss":
      return explanation.isStored == true
        ? "fetched from the origin, and stored" : "fetched from the origin, and not stored"
    case "collapsed": return "served from another request's fetch"
    case "pass":
      return explanation.isStored == true
        ? "passed to the origin, and stored" : "passed to the origin, and not stored"
    case "error": return "no answer could be had from the origin"
    default: return "answered by the node"
    }
  }

  private static func seconds(_ milliseconds: Int64) -> String {
    let whole = milliseconds / 1_000
    let rest = abs(milliseconds % 1_000)
    let digits = String(rest)
    let sign = milliseconds < 0 && whole == 0 ? "-" : ""
    return "\(sign)\(whole)"
      + (rest == 0 ? "" : "." + String(repeating: "0", count: 3 - digits.utf8.count) + digits)
  }

  /// Milliseconds with three digits, of nanoseconds.
  private static func milliseconds(_ nanoseconds: Int64) -> String {
    seconds(max(nanoseconds, 0) / 1_000)
  }
}

// MARK: - As an object

extension ExplanationReport {
  private static func list(_ elements: [String]) -> String {
    "[" + elements.joined(separator: ", ") + "]"
  }

  private static func text(_ value: Bool) -> String { value ? "true" : "false" }

  /// As a JSON object.
  var json: String {
    JSONText.object([
      ("node", JSONText.string(node)), ("generation", "\(generation)"),
      (
        "request",
        JSONText.object(request.map { ($0.name, JSONText.string($0.value)) })
      ),
      ("site", site.map(JSONText.string)), ("route", route.map(JSONText.string)),
      ("rules", Self.list(explanation.rules.events.map(Self.json))),
      ("limits", Self.list(explanation.limits.map(Self.json))),
      ("key", key.map(JSONText.string)),
      ("vary", explanation.vary.isEmpty ? nil : JSONText.string(explanation.vary)),
      ("cache", JSONText.string(result)), ("decision", JSONText.string(decision)),
      ("reason", reason.map(JSONText.string)),
      ("found", key == nil ? nil : Self.text(explanation.isStoredFound)),
      ("stored", explanation.isStored.map(Self.text)),
      ("shared", explanation.isShared.map(Self.text)), ("freshness", freshness),
      ("tags", JSONString.quoted(explanation.tags)), ("tag_count", "\(explanation.tagCount)"),
      ("origin", origin),
      ("response_rules", Self.list(explanation.responseRules.events.map(Self.json))),
      (
        "response",
        JSONText.object([
          ("status", "\(status)"), ("length", length.map { "\($0)" }),
          ("fields", JSONString.quoted(fields)),
        ])
      ),
      (
        "timings",
        Self.list(
          durations.map {
            JSONText.object([
              ("phase", JSONText.string(Self.name(of: $0.phase))),
              ("ms", Self.milliseconds($0.length)),
            ])
          })
      ),
    ])
  }

  private var freshness: String? {
    guard let note = explanation.freshness, let age else { return nil }
    return JSONText.object([
      ("age_seconds", Self.seconds(age.age)), ("lifetime_seconds", Self.seconds(age.lifetime)),
      ("ttl_seconds", Self.seconds(age.ttl)),
      ("source", JSONText.string(note.source.text)),
      (
        "stale_while_revalidate_seconds", Self.seconds(note.freshness.staleWhileRevalidate)
      ),
      (
        "stale_if_error_seconds",
        note.freshness.staleIfError < 0 ? nil : Self.seconds(note.freshness.staleIfError)
      ),
      ("no_cache", Self.text(note.freshness.flags.contains(.noCache))),
      ("must_revalidate", Self.text(note.freshness.flags.contains(.mustRevalidate))),
      ("softly_purged", Self.text(note.isSoftlyPurged)),
    ])
  }

  private var origin: String? {
    guard explanation.pool != nil || !explanation.tries.isEmpty else { return nil }
    return JSONText.object([
      ("pool", explanation.pool.map(JSONText.string)),
      (
        "tries",
        Self.list(
          explanation.tries.map { attempt in
            JSONText.object([
              ("server", JSONText.string(attempt.server)),
              ("connection", attempt.link.map { JSONText.string($0.rawValue) }),
              ("outcome", attempt.outcome.map(JSONText.string)),
            ])
          })
      ),
    ])
  }

  private static func json(_ limit: LiveExplanation.LimitNote) -> String {
    JSONText.object([
      ("limit", JSONText.string(limit.name)), ("keyed_by", JSONText.string(limit.keyedBy)),
      ("stage", JSONText.string(limit.stage)), ("verdict", JSONText.string("\(limit.verdict)")),
      ("cost", "\(limit.cost)"), ("remaining", "\(limit.remaining)"),
      ("reset_ms", limit.reset == .max ? nil : milliseconds(limit.reset)),
    ])
  }

  private static func json(_ event: RuleRecorder.Event) -> String {
    var holds: String?
    if case .condition(let isTrue) = event.kind { holds = text(isTrue) }
    return JSONText.object([
      ("line", "\(event.line)"), ("text", JSONText.string(event.text)), ("holds", holds),
      ("value", event.value.map(JSONText.string)),
      (
        "operands",
        event.operands.isEmpty
          ? nil
          : list(
            event.operands.map {
              JSONText.object([
                ("text", JSONText.string($0.text)), ("value", JSONText.string($0.value)),
              ])
            })
      ),
    ])
  }

  private static func name(of phase: TracePhase) -> String {
    switch phase {
    case .body: "to the head"
    default: phase.name
    }
  }
}

// MARK: - As fields

extension ExplanationReport {
  /// The most bytes of a value, and of all lines together: more than that and clients refuse heads.
  private static let longestValue = 1_024
  private static let longest = 8_192

  /// Appends field lines, as many as have room; `weir-explain: cut` says that there are more.
  func appendFields(to lines: inout ByteBuffer) {
    var left = Self.longest
    var isCut = false
    for (name, value) in members {
      let shown = Self.field(value)
      let length = "weir-explain-: \r\n".utf8.count + name.utf8.count + shown.utf8.count
      guard length <= left else {
        isCut = true
        continue
      }
      left -= length
      lines.append(text: "weir-explain-\(name): \(shown)\r\n")
    }
    lines.append(isCut ? "weir-explain: cut\r\n" : "weir-explain: fields\r\n")
  }

  private var members: [(name: String, value: String)] {
    var all: [(String, String)] = []
    if let site { all.append(("site", site)) }
    if let route { all.append(("route", route)) }
    all.append(("cache", "\(result); \(decision)"))
    if let reason { all.append(("reason", reason)) }
    if let key { all.append(("key", key)) }
    if !explanation.vary.isEmpty { all.append(("vary", explanation.vary)) }
    if let note = explanation.freshness, let age {
      all.append(
        (
          "freshness",
          "age=\(Self.seconds(age.age)), lifetime=\(Self.seconds(age.lifetime)), "
            + "source=\"\(note.source.text)\"" + (note.isSoftlyPurged ? ", softly purged" : "")
        ))
    }
    if explanation.tagCount > 0 {
      let texts = explanation.tags.joined(separator: " ")
      all.append(("tags", "\(explanation.tagCount)" + (texts.isEmpty ? "" : "; \(texts)")))
    }
    if let pool = explanation.pool {
      let tries = explanation.tries.map { attempt in
        [attempt.server, attempt.link?.rawValue, attempt.outcome].compactMap { $0 }
          .joined(separator: " ")
      }
      all.append(("origin", ([pool] + tries).joined(separator: "; ")))
    }
    for limit in explanation.limits {
      all.append(
        (
          "limit",
          "\(limit.name); \(limit.verdict), remaining=\(limit.remaining), cost=\(limit.cost), "
            + "key=\"\(limit.keyedBy)\""
        ))
    }
    all.append(
      (
        "timings",
        durations.map { "\(Self.name(of: $0.phase))=\(Self.milliseconds($0.length))" }
          .joined(separator: ", ")
      ))
    for event in explanation.rules.events + explanation.responseRules.events {
      var text = "line \(event.line): \(event.text)"
      if case .condition(let isTrue) = event.kind { text += isTrue ? " (true)" : " (false)" }
      if let value = event.value { text += " -> \(value)" }
      all.append(("rule", text))
    }
    return all
  }

  /// A text as a field's value (RFC 9110 §5.5): on one line, in ASCII, of bounded length.
  private static func field(_ text: String) -> String {
    let bytes = Array(text.utf8)
    var value = bytes.withView { plain($0) }
    if value.utf8.count > longestValue { value = String(value.prefix(longestValue)) + "..." }
    return value
  }
}
