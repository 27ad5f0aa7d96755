import Bytes
import Rules
import Testing

private let good = Array(
  """
  set $lang negotiate(header.accept-language, ["en", "de", "ja"], "en");
  when path == "/" && !exists(cookie.lang) { redirect 302 "/${$lang}/" { vary "Accept-Language"; } }
  else when starts_with(path, "/api/") { limit api; when !jwt.valid { respond 401 "no\\u{e9}"; } }
  else { log bucket hash(client.ip, 4); tag "t-${split(path, "/")[1]}", "all"; }
  when client.ip in [10.0.0.0/8, ::1] || host matches "*.example.com" { origin eu; cache ttl 5m; }
  when path matches r"^/v([0-9]+)/" { rewrite path "/${capture(path, r"^/v([0-9]+)/(.*)", 2)}"; }
  cors { origins "https://a.example"; }
  security_headers { hsts 1d; }
  set header.x url_decode(replace(query.a, "b", lower(query.c))); unset header.y; add header.z base64url_decode(query.d);
  on response { when response.status >= 400 { cache bypass; } set header.x-l $lang; }

  """.utf8)

private let requests = [
  "GET /", "GET /?a=%62%00&c=%ff&d=YWJj", "POST /api/x\nContent-Length: 3", "GET /v1/a//b?%&=&a",
  "GET /x\nCookie: lang=de; ;=;a\nCookie: lang\nAccept-Language: de;q=0.1,*,;q=,-",
]

private func mutated(_ bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
  var result = bytes
  let pieces = [
    "{", "}", ";", "\"", "\\", "${", "(", ")", "[", "]", ",", "!", "&&", "||", "==", " in ", "\n",
    "é",
    "99999999999999999999", "1.2.3.4", "::1/64", "r\"(\"", "path", "$lang", "\u{0}", "when ",
    "else ",
    "not", "5m", "-1", "response.status", "split(path, \"/\")", "exists(", "#",
  ].map { Array($0.utf8) }
  for _ in 0..<Int.random(in: 1...5, using: &generator) where !result.isEmpty {
    let start = Int.random(in: 0..<result.count, using: &generator)
    let end = min(result.count, start + Int.random(in: 0...30, using: &generator))
    switch Int.random(in: 0..<5, using: &generator) {
    case 0: result[start] = UInt8.random(in: 0...255, using: &generator)
    case 1: result.removeSubrange(start..<end)
    case 2: result.insert(contentsOf: result[start..<end], at: start)
    case 3:
      let target = Int.random(in: 0..<result.count, using: &generator)
      result.insert(contentsOf: Array(result[start..<end]), at: target)
    default: result.insert(contentsOf: pieces.randomElement(using: &generator) ?? [], at: start)
    }
  }
  return result
}

/// Compiles rules and runs them on every request; whether all of it kept its promises.
private func isSound(_ bytes: [UInt8]) -> Bool {
  var findings = RuleFindings()
  let rules = RuleLanguage.parse(bytes, &findings)
  let context = RuleContext(files: RuleFiles { _ in .success(Array("10.0.0.1\n".utf8)) })
  let code = RuleLanguage.compile(rules, text: bytes, context, &findings)
  guard findings.list.allSatisfy({ $0.range.lower >= 0 && $0.range.upper <= bytes.count }) else {
    return false
  }
  guard let code else { return findings.errorCount > 0 }
  let program = RuleProgram(code)
  let scratch = RuleScratch(capacity: 4_096)
  for text in requests {
    let ask = Ask(text + "\n@status 200\n@response a: b")
    let first = program.run(ask.input, scratch)
    guard first == program.explain(ask.input, scratch, RuleRecorder()) else { return false }
    if first == .redirect {
      for index in 0..<scratch.location.count where !(0x21...0x7E ~= scratch.location[index]) {
        return false
      }
    }
    if first == .proceed { _ = program.runResponse(ask.input, scratch) }
    for index in 0..<scratch.requestFields.count {
      let value = scratch.requestFields[index].value
      for place in 0..<value.count where value[place] < 0x20 && value[place] != 9 { return false }
    }
  }
  return true
}

@Suite("Damaged rules")
struct DamagedRulesTests {
  @Test func `the undamaged rules are good`() {
    let text = RuleText(String(decoding: good, as: UTF8.self))
    #expect(text.complaints == [])
    #expect(isSound(good))
  }

  @Test func `every prefix of good rules is compiled or has an error`() {
    for length in 0...good.count { #expect(isSound(Array(good[..<length])), "\(length) bytes") }
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func `mutated rules are compiled or have an error, and run`(_ seed: UInt64) {
    var generator = SeededGenerator(state: seed)
    for round in 0..<100 {
      #expect(isSound(mutated(good, &generator)), "seed \(seed), round \(round)")
    }
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func `random words are compiled or have an error`(_ seed: UInt64) {
    var generator = SeededGenerator(state: seed)
    let words = String(decoding: good, as: UTF8.self).split(separator: " ").map { Array($0.utf8) }
    for round in 0..<200 {
      let count = Int.random(in: 1...30, using: &generator)
      var text: [UInt8] = []
      for _ in 0..<count { text += (words.randomElement(using: &generator) ?? []) + [0x20] }
      #expect(isSound(text), "seed \(seed), round \(round)")
    }
  }
}
