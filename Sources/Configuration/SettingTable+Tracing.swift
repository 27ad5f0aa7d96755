// The settings of `trace { … }`.

internal import Authentication

extension Setting {
  static let traceBlock = Setting(
    "trace", in: .top, shape: "", body: .block(.trace),
    aliases: ["tracing", "otel", "opentelemetry", "otel_exporter"],
    "Sends traces of some requests to a collector, by OTLP over HTTP (docs/observability.md)."
  ) { arguments, reader in reader.readTrace(&arguments) }

  static let trace: [Setting] = [
    Setting(
      "collector", in: .trace, .url,
      presence: .required, example: "collector http://127.0.0.1:4318;",
      aliases: ["endpoint", "otel_exporter"],
      """
      Where traces are posted, as Protocol Buffers. Without a path it is `/v1/traces`. What the \
      collector does not take is dropped and counted.
      """
    ) { url, reader in reader.draft.trace.collector = url.value },
    Setting(
      "sample", in: .trace, .share, to: \.trace.sample, aliases: ["otel_trace", "ratio"],
      "How many of the requests are traced, chosen at random. The others cost nothing."),
    Setting(
      "follow_clients", in: .trace, .flag, to: \.trace.followsClients,
      aliases: ["otel_trace_context", "trust_clients"],
      """
      Whether a request whose `traceparent` says that it is traced is traced here too, whatever `sample` \
      says. Only for clients that are trusted: others could have everything traced.
      """),
  ]
}

extension Syntax where Value == String {
  /// An absolute URL of http or https.
  fileprivate static var url: Syntax {
    Syntax(
      "URL", expected: "a URL such as http://127.0.0.1:4318",
      read: { text throws(Problem) in
        do throws(KeyURL.Defect) {
          let url = try KeyURL(text)
          let text = url.description
          return url.target == "/" ? String(text.dropLast()) + "/v1/traces" : text
        } catch {
          throw Problem("\(quoted(text)) is not a URL of http or https")
        }
      }, write: { $0 })
  }
}

extension Syntax where Value == UInt32 {
  /// A percentage with up to four decimals, as parts of a million.
  static var share: Syntax {
    Syntax(
      "PERCENT", expected: "a percentage such as 1% or 0.05%", range: "0% to 100%",
      read: { text throws(Problem) in
        guard text.hasSuffix("%"), let value = parts(of: text.dropLast()), value <= 1_000_000 else {
          throw Problem("\(quoted(text)) is not a percentage from 0% to 100%")
        }
        return value
      },
      write: { value in
        let rest = value % 10_000
        if rest == 0 { return "\(value / 10_000)%" }
        var digits = "\(rest + 10_000)".dropFirst()
        while digits.hasSuffix("0") { digits.removeLast() }
        return "\(value / 10_000).\(digits)%"
      })
  }

  /// The number before a percent sign, times 10,000.
  private static func parts(of text: Substring) -> UInt32? {
    let halves = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let decimals = halves.count > 1 ? halves[1] : "0"
    guard let whole = halves.first, (1...3).contains(whole.utf8.count),
      (1...4).contains(decimals.utf8.count),
      whole.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
      decimals.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let units = UInt32(whole),
      let rest = UInt32(String(decimals) + String(repeating: "0", count: 4 - decimals.utf8.count))
    else { return nil }
    return units * 10_000 + rest
  }
}

extension Reader {
  /// `trace { … }`
  mutating func readTrace(_ arguments: inout Arguments) {
    draft.trace = TraceConfiguration(collector: "")
    _ = read(.trace, arguments.body, of: arguments.directive)
    if !draft.trace.collector.isEmpty { draft.node.trace = draft.trace }
  }
}
