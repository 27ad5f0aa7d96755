// What rules cost a request: the least of many rounds, in nanoseconds, with what the program decides.
//
//     swift run -c release RulesBench

import Bytes
import CLinux
import HTTP1
import HTTPMessage
import Rules

let request = """
  GET /shop/item.html?page=2&sort=price&utm_source=mail HTTP/1.1\r
  Host: www.example.com\r
  User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0\r
  Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r
  Accept-Language: de-CH,de;q=0.9,en;q=0.8\r
  Accept-Encoding: gzip, deflate, br, zstd\r
  Cookie: session=7b1f2d3c4e5f60718293a4b5c6d7e8f9; theme=dark; lang=de; consent=all\r
  X-Api-Version: 3\r
  \r

  """

let cases: [(name: String, rules: String)] = [
  ("nothing that applies: one condition", "when path == \"/other\" { respond 404; }"),
  (
    "five conditions: path, method, field, cookie, address in 100,000",
    """
    when starts_with(path, "/admin/") { respond 403; }
    when request.method in ["PUT", "POST", "DELETE"] { cache bypass; }
    when header.x-api-version == "2" { redirect 301 "/v3"; }
    when cookie.lang == "ja" { vary_by "ja"; }
    when client.ip in file("blocked") { respond 403; }
    """
  ),
  (
    "five conditions that hold, with what they do",
    """
    when starts_with(path, "/shop/") { origin shop; }
    when request.method in ["GET", "HEAD"] { tag "shop"; }
    when header.x-api-version == "3" { set header.x-version "v${header.x-api-version}"; }
    when cookie.lang in ["de", "fr", "ja"] { vary_by cookie.lang; }
    when !(client.ip in file("blocked")) { log source "open"; }
    """
  ),
  ("a parameter, decoded", "when query.utm_source == \"mail\" { log campaign query.utm_source; }"),
  ("negotiate", "vary_by negotiate(header.accept-language, [\"en\", \"de\", \"ja\"], \"en\");"),
  ("a regular expression", "when path matches r\"^/shop/[a-z]+\\.html$\" { tag \"item\"; }"),
  ("a glob", "when path matches \"/shop/*.html\" { tag \"item\"; }"),
  ("percent of a cookie", "when percent(cookie.session, 10) { origin canary; }"),
]

func networks() -> [UInt8] {
  var text = ""
  for number in 0..<100_000 {
    let address = UInt32(truncatingIfNeeded: number) &* 2_654_435_761
    text += "\(address >> 24).\(address >> 16 & 255).\(address >> 8 & 255).0/\(24 + number % 9)\n"
  }
  return Array(text.utf8)
}

func nanoseconds() -> Int64 {
  var time = timespec()
  _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

@main
struct BenchRules {
  static func main() {
    let list = networks()
    let files = RuleFiles { _ in .success(list) }
    var bytes = ByteBuffer()
    bytes.append(text: request)
    let head = RequestHead()
    let limits = HeadLimits(maxRequestLine: 8_192, maxHead: 32_768, maxFields: 100)
    guard RequestParser.parse(bytes.view, limits: limits, into: head) == .complete else { return }
    var input = RuleInput(
      head: head, host: ByteView("www.example.com"), path: bytes.view[head.path])
    input.clientLow = IPAddress(version4: 0xC000_0201).low
    for one in cases {
      var findings = RuleFindings()
      let text = Array(one.rules.utf8)
      let rules = RuleLanguage.parse(text, &findings)
      guard let code = RuleLanguage.compile(rules, text: text, RuleContext(files: files), &findings)
      else {
        print("\(one.name): \(findings.list)")
        continue
      }
      print("\(least(RuleProgram(code), input)) ns  \(one.name) (\(code.summary))")
    }
  }

  /// The least mean of 30 rounds.
  static func least(_ program: RuleProgram, _ input: RuleInput) -> Int {
    let scratch = RuleScratch()
    let count = 20_000
    var least = Int64.max
    for _ in 0..<30 {
      let start = nanoseconds()
      for _ in 0..<count {
        guard program.run(input, scratch) == .proceed else { return -1 }
      }
      least = min(least, nanoseconds() - start)
    }
    return Int(least) / count
  }
}
