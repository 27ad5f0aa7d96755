import Rules
import Testing

/// What an expression is for a request: it is logged.
private func value(of expression: String, _ request: String = "GET /") -> String {
  let answer = RuleText("log v \(expression);").answer(request)
  return answer.hasPrefix("proceed, log v=") ? String(answer.dropFirst(15)) : answer
}

/// Whether a condition holds.
private func holds(_ condition: String, _ request: String = "GET /") -> Bool? {
  switch RuleText("when \(condition) { log v \"\"; }").answer(request) {
  case "proceed": false
  case "proceed, log v=": true
  default: nil
  }
}

private let request = """
  GET /shop/a%20b/item.html?page=2&q=caf%C3%A9+au+lait&empty=&flag&%70age=9
  Host: Shop.Example.com:8080
  Accept-Language: de-CH, en;q=0.8
  Cookie: lang=ja; session=abc=def; theme=
  X-Tag: one
  X-Tag: two
  @client 2001:db8::7
  @secure
  @port 443
  @sub alice
  @claim role admin editor
  """

@Suite("Expressions")
struct ExpressionTests {
  @Test(arguments: [
    ("request.method", "GET"), ("path", "/shop/a%20b/item.html"), ("host", "shop.example.com"),
    ("scheme", "https"), ("query.page", "2"), ("query.q", "café au lait"), ("query.empty", ""),
    ("query.flag", ""), ("query.nothing", ""),
    ("query", "page=2&q=caf%C3%A9+au+lait&empty=&flag&%70age=9"),
    ("header.accept-language", "de-CH, en;q=0.8"), ("header.X-TAG", "one, two"),
    ("header(\"x-tag\")", "one, two"), ("cookie.lang", "ja"), ("cookie.session", "abc=def"),
    ("cookie.theme", ""), ("cookie.ession", ""), ("client.ip", "2001:db8::7"),
    ("client.port", "50000"), ("listener.port", "443"), ("now", "1700000000"),
    ("jwt.sub", "alice"), ("jwt.claim.role", "admin editor"), ("jwt.valid", "true"),
    ("route.name", "example.com/"), ("geo.country", ""), ("geo.asn", "0"),
    ("request.content_length", "0"), ("tls.version", ""),
  ])
  func `the request's data has clear names`(_ name: String, _ expected: String) {
    #expect(value(of: name, request) == expected)
  }

  @Test(arguments: [
    ("\"a${path}b\"", "a/shop/a%20b/item.htmlb"), ("\"\"", ""),
    ("\"\\u{e9}\\t\\\"\\\\\\$\"", "é\t\"\\$"),
    ("\"${listener.port}/${client.ip}/${jwt.valid}\"", "443/2001:db8::7/true"),
    ("\"${lower(\"A${upper(\"b\")}\")}\"", "ab"), ("\"$ and { and }\"", "$ and { and }"),
    ("\"${query(\"page\")}\"", "2"), ("lower(\"ÄB\")", "Äb"),
    ("upper(path)", "/SHOP/A%20B/ITEM.HTML"),
    ("trim(\"  a b\\t\")", "a b"), ("length(\"abc\")", "3"), ("split(path, \"/\")[1]", "shop"),
    ("split(path, \"/\")[0]", ""), ("split(path, \"/\")[-1]", "item.html"),
    ("split(path, \"/\")[9]", ""), ("split(path, \"/\")[-9]", ""),
    ("first(split(\"a,b\", \",\"))", "a"), ("last(split(\"a,b\", \",\"))", "b"),
    ("length(split(\"a,,b\", \",\"))", "3"), ("replace(\"a-b-c\", \"-\", \"+\")", "a+b+c"),
    ("replace(\"aaa\", \"aa\", \"b\")", "ba"),
    ("replace_prefix(path, \"/shop\", \"/store\")", "/store/a%20b/item.html"),
    ("replace_prefix(path, \"/nothing\", \"x\")", "/shop/a%20b/item.html"),
    ("strip_prefix(path, \"/shop\")", "/a%20b/item.html"),
    ("url_decode(path)", "/shop/a b/item.html"),
    ("url_decode(\"%4%zz%41+\")", "%4%zzA+"), ("url_encode(\"a b/é~\")", "a%20b%2F%C3%A9~"),
    ("base64url_decode(\"aMOpLQ\")", "hé-"), ("base64url_decode(\"aMOpLQ==\")", "hé-"),
    ("base64url_decode(\"a\")", ""), ("base64url_decode(\"a!aa\")", ""),
    ("capture(path, r\"/([a-z]+)\\.html$\", 1)", "item"), ("capture(path, r\"nothing(.)\", 1)", ""),
    ("to_int(query.page)", "2"), ("to_int(\"x\")", "0"), ("to_int(\"x\", 7)", "7"),
    ("to_int(\"-12\")", "-12"), ("to_int(\"9223372036854775808\", 1)", "1"),
    ("cidr(client.ip, 24)", "2001:db8::"), ("cidr(to_ip(\"192.0.2.77\"), 24)", "192.0.2.0"),
    ("cidr(client.ip, 24, 128)", "2001:db8::7"), ("to_ip(\"nonsense\")", "::"),
    ("to_ip(\"::ffff:1.2.3.4\")", "1.2.3.4"),
    ("negotiate(header.accept-language, [\"en\", \"de\"], \"en\")", "de"),
    ("negotiate(\"fr\", [\"en\", \"de\"], \"x\")", "x"),
  ])
  func `texts and functions`(_ expression: String, _ expected: String) {
    #expect(value(of: expression, request) == expected)
  }

  @Test(arguments: [
    ("path == \"/shop/a%20b/item.html\"", true), ("path != \"/\"", true),
    ("host == \"example.com\"", false),
    ("listener.port == 443", true), ("listener.port > 443", false), ("listener.port >= 443", true),
    ("listener.port < 444 && listener.port <= 443", true), ("client.ip == 2001:db8::7", true),
    ("client.ip in 2001:db8::/32", true), ("client.ip in 192.0.2.0/24", false),
    ("client.ip in [192.0.2.0/24, 2001:db8::7]", true), ("client.ip in [192.0.2.1]", false),
    ("request.method in [\"GET\", \"HEAD\"]", true),
    ("request.method in [\"PUT\", \"POST\", \"DELETE\"]", false),
    ("listener.port in [80, 443]", true), ("\"admin\" in split(jwt.claim.role, \" \")", true),
    ("\"edit\" in split(jwt.claim.role, \" \")", false), ("path matches \"/shop/*.html\"", true),
    ("path matches \"/shop/*.htm\"", false), ("path matches \"*\"", true),
    ("path matches \"/sho?/*\"", true),
    ("path matches r\"^/shop/\"", true), ("path matches r\"(?i)ITEM\"", true),
    ("path matches r\"^item\"", false),
    ("exists(header.x-tag)", true), ("exists(header.x-other)", false),
    ("exists(cookie.theme)", true),
    ("exists(query.flag) && !exists(query.nope)", true), ("starts_with(path, \"/shop\")", true),
    ("ends_with(path, \".html\")", true), ("contains(header.x-tag, \"two\")", true),
    ("contains(path, \"\")", true), ("path == \"a\" || jwt.valid", true),
    ("!(jwt.valid && path == \"a\")", true),
    ("path == \"a\" || path == \"b\" && jwt.valid", false), ("seconds(60) == 1m", true),
    ("seconds(listener.port) < 8m", true), ("query.page == \"2\"", true),
    ("cookie.nothing == \"\"", true),
  ])
  func `conditions`(_ condition: String, _ expected: Bool) {
    #expect(holds(condition, request) == expected)
  }

  @Test func `hashes are the same for the same value and spread evenly`() {
    var counts = [Int](repeating: 0, count: 4)
    var inTenth = 0
    for number in 0..<2_000 {
      let cookie = "GET /\nCookie: id=user\(number)"
      let bucket = Int(value(of: "hash(cookie.id, 4)", cookie)) ?? 0
      counts[bucket] += 1
      if holds("percent(cookie.id, 10)", cookie) == true { inTenth += 1 }
    }
    #expect(counts.allSatisfy { (400...600).contains($0) }, "\(counts)")
    #expect((140...260).contains(inTenth))
    #expect(value(of: "hash(\"a\", 1000)") == value(of: "hash(\"a\", 1000)"))
    #expect(value(of: "hash(\"a\", 1000)") != value(of: "hash(\"a\", 1000, \"other\")"))
    #expect(value(of: "hash(client.ip, 1)") == "0")
  }

  @Test func `what a condition does not need is not asked`() {
    // Without a token the right side is not looked at; the value is that of the left.
    #expect(holds("jwt.valid && to_int(jwt.claim.level) > 3") == false)
    #expect(holds("jwt.valid || path == \"/\"") == true)
  }

  @Test(arguments: [
    ("en", "en"), ("EN-us", "en"), ("en-US-x-twain", "en"), ("de-DE, ja;q=0.9", "de"),
    ("ja;q=0.9, de", "de"), ("fr, ja;q=0.1", "ja"), ("zh-Hant-TW", "zh-Hant"), ("zh", "none"),
    ("*", "none"), ("fr, *;q=0.5", "none"), ("de;q=0, ja", "ja"), ("de;q=0", "none"), ("", "none"),
    ("de;q=2", "none"), ("de ; q=0.5 , ja;q=0.6", "ja"), (",,;q=1,de", "de"), ("d", "none"),
    ("pt-BR;q=0.001", "pt-BR"), ("pt-PT", "none"), ("-", "none"), ("de-", "de"),
  ])
  func `languages are negotiated by lookup`(_ accepted: String, _ expected: String) {
    let tags = "[\"en\", \"de\", \"ja\", \"zh-Hant\", \"pt-BR\"]"
    let answer = value(
      of: "negotiate(header.accept-language, \(tags), \"none\")",
      "GET /\nAccept-Language: \(accepted)")
    #expect(answer == expected)
  }
}
