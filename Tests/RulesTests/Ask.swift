// The kit: rules and a request as text, and what comes of them in one line.
//
//     GET /path?query            the request's line without a version; then
//     Name: value                its fields, and lines about the connection:
//     @client 192.0.2.1  @port 443  @secure  @now 1700000000  @sub name  @claim name value
//     @tls version sni           and, for rules of the response, behind an empty field line:
//     @status 200  @stored  @response name: value

import Bytes
import GeoDatabase
import HTTP1
import HTTPMessage
import Rules

/// A request in text form.
final class Ask {
  var head = RequestHead()
  private var bytes = ByteBuffer()
  private var host = ByteBuffer()
  private var claims = ByteBuffer()
  private var response = ByteBuffer()
  var client = IPAddress(version4: 0xC000_0201)
  var isSecure = false
  var now: Int64 = 1_700_000_000
  var port: UInt16 = 80
  var subject = ByteBuffer()
  var isAuthenticated = false
  var status: UInt16 = 0
  var isStored = false
  var tls = RuleTLS()
  var outcome = RequestOutcome.incomplete

  init(_ text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: true).map(String.init)
    let first = lines.first ?? "GET /"
    bytes.append(text: first + " HTTP/1.1\r\n")
    var hasHost = false
    for line in lines.dropFirst() {
      if line.hasPrefix("@") {
        connection(line)
      } else {
        if line.lowercased().hasPrefix("host:") { hasHost = true }
        bytes.append(text: line + "\r\n")
      }
    }
    if !hasHost { bytes.append("host: example.com\r\n") }
    bytes.append("\r\n")
    outcome = RequestParser.parse(bytes.view, limits: Self.limits, into: head)
    let authority = head.bytes[head.authority]
    host.appendLowercased(
      authority.prefix(authority.firstIndex(of: ASCII.colon) ?? authority.count))
  }

  private static let limits = HeadLimits(maxRequestLine: 65_536, maxHead: 262_144, maxFields: 1_000)

  private func connection(_ line: String) {
    let words = line.dropFirst().split(separator: " ", maxSplits: 2).map(String.init)
    let value = words.count > 1 ? words[1] : ""
    let rest = words.count > 2 ? words[2] : ""
    switch words.first {
    case "client": client = value.withView { IPAddress.parse($0) } ?? .none
    case "secure": isSecure = true
    case "port": port = UInt16(value) ?? 0
    case "now": now = Int64(value) ?? 0
    case "sub":
      isAuthenticated = true
      subject.append(text: value)
    case "claim":
      isAuthenticated = true
      value.withView { name in
        rest.withView { RuleClaims.append(name: name, value: $0, to: &claims) }
      }
    case "status": status = UInt16(value) ?? 0
    case "stored": isStored = true
    case "response": response.append(text: line.dropFirst(10) + "\r\n")
    default: break
    }
  }

  var input: RuleInput {
    var input = RuleInput(head: head, host: host.view, path: head.bytes[head.path])
    input.isSecure = isSecure
    input.clientHigh = client.high
    input.clientLow = client.low
    input.clientPort = 50_000
    input.listenerPort = port
    input.now = now
    input.isAuthenticated = isAuthenticated
    input.subject = subject.view
    input.claims = claims.view
    input.status = status
    input.isStored = isStored
    input.responseFields = response.view
    input.tls = tls
    return input
  }
}

/// Rules in text form: what is wrong with them, or what they do with requests.
struct RuleText {
  var code: RuleCode?
  var findings = RuleFindings()
  let source: String

  init(_ source: String, files: [String: String] = [:], route: String = "example.com/") {
    self.source = source
    let bytes = Array(source.utf8)
    let rules = RuleLanguage.parse(bytes, &findings)
    let read = RuleFiles { name in
      guard let text = files[name] else {
        return .failure(RuleFileProblem(message: "does not exist"))
      }
      return .success(Array(text.utf8))
    }
    var context = RuleContext(files: read)
    context.routeName = route
    let ends = bytes.indices.filter { bytes[$0] == 0x0A }
    context.line = { offset in ends.count { $0 < offset } + 1 }
    code = RuleLanguage.compile(rules, text: bytes, context, &findings)
    if findings.errorCount > 0 { code = nil }
  }

  /// What is wrong: the text that is meant, and what is said about it.
  var complaints: [String] {
    findings.list.map { finding in
      let bytes = Array(source.utf8)
      let part = String(decoding: bytes[finding.range.lower..<finding.range.upper], as: UTF8.self)
      var text = "\(part): \(finding.message)"
      if let suggestion = finding.suggestion { text += " [\(suggestion)]" }
      return text
    }
  }

  /// What the rules make of a request, in one line; if it has a response, of that as well.
  func answer(_ request: String, geo: GeoDatabase? = nil, room: Int = 64 << 10) -> String {
    guard let code else { return "wrong: \(complaints.joined(separator: "; "))" }
    let ask = Ask(request)
    guard ask.outcome == .complete else { return "not a request" }
    let program = RuleProgram(code)
    let scratch = RuleScratch(capacity: room)
    scratch.geo = geo
    let outcome = program.run(ask.input, scratch)
    var parts = [describe(outcome, scratch)] + effects(code, scratch)
    if outcome == .proceed && ask.status != 0 {
      let outcome = program.runResponse(ask.input, scratch)
      if case .failed = outcome { parts.append("response \(describe(outcome, scratch))") }
      parts = parts.filter {
        !$0.hasPrefix("cache ") && !$0.hasPrefix("tag ") && !$0.hasPrefix("log ")
      }
      parts += responseEffects(scratch)
    }
    return parts.joined(separator: ", ")
  }

  func describe(_ outcome: RuleOutcome, _ scratch: RuleScratch) -> String {
    switch outcome {
    case .proceed: return "proceed"
    case .respond:
      let body = scratch.body.isEmpty ? "" : " \(quote(scratch.body))"
      return "respond \(scratch.status)\(body)" + answerFields(scratch)
    case .redirect:
      return "redirect \(scratch.status) \(scratch.location.string)" + answerFields(scratch)
    case .failed(let failure): return "failed \(failure.status)"
    }
  }

  private func answerFields(_ scratch: RuleScratch) -> String {
    var text = ""
    for index in 0..<scratch.responseFields.count {
      text += ", " + edit(scratch.responseFields[index])
    }
    return text
  }

  private func quote(_ view: ByteView) -> String { "\"\(view.string)\"" }

  private func edit(_ edit: RuleEdit) -> String {
    switch edit.kind {
    case .set: "set \(edit.name.string): \(edit.value.string)"
    case .unset: "unset \(edit.name.string)"
    case .add: "add \(edit.name.string): \(edit.value.string)"
    }
  }

  private func effects(_ code: RuleCode, _ scratch: RuleScratch) -> [String] {
    var parts: [String] = []
    if scratch.isRewritten {
      let query = scratch.query.map { "?\($0.string)" } ?? ""
      parts.append("target \(scratch.path.string)\(query)")
    }
    if scratch.origin >= 0 { parts.append("origin \(code.origins[scratch.origin].name)") }
    for index in 0..<scratch.limits.count {
      let limit = scratch.limits[index]
      let cost = limit.cost.map { " cost \($0)" } ?? ""
      parts.append("limit \(code.limits[limit.number].name)\(cost)")
    }
    if let key = scratch.cacheKey { parts.append("cache key \(key.string)") }
    for index in 0..<scratch.varyBy.count {
      parts.append("vary_by \(scratch.varyBy[index].string)")
    }
    for index in 0..<scratch.requestFields.count {
      parts.append(edit(scratch.requestFields[index]))
    }
    return parts + shared(scratch)
  }

  private func shared(_ scratch: RuleScratch) -> [String] {
    var parts: [String] = []
    if scratch.bypassesCache { parts.append("cache bypass") }
    if scratch.lifetime >= 0 { parts.append("cache ttl \(scratch.lifetime / 1_000_000_000)s") }
    for index in 0..<scratch.tags.count { parts.append("tag \(scratch.tags[index].string)") }
    for index in 0..<scratch.logFields.count {
      let field = scratch.logFields[index]
      parts.append("log \(field.name.string)=\(field.value.string)")
    }
    return parts
  }

  private func responseEffects(_ scratch: RuleScratch) -> [String] {
    var parts = shared(scratch)
    for index in 0..<scratch.responseFields.count {
      parts.append("response " + edit(scratch.responseFields[index]))
    }
    return parts
  }
}
