import Bytes
import Rules
import Testing

@Suite("Actions")
struct ActionTests {
  @Test(arguments: [
    ("respond 403;", "GET /", "respond 403"),
    (
      "respond 401 \"who?\" { www-authenticate \"Bearer realm=\\\"${host}\\\"\"; }", "GET /",
      "respond 401 \"who?\", add www-authenticate: Bearer realm=\"example.com\""
    ),
    ("redirect 302 \"/ja${path}\";", "GET /a%20b", "redirect 302 /ja/a%20b"),
    ("redirect 301 \"https://${host}/\";", "GET /", "redirect 301 https://example.com/"),
    (
      "redirect 302 query.next;", "GET /?next=%0d%0aSet-Cookie:x%22",
      "redirect 302 %0D%0ASet-Cookie:x%22"
    ),
    (
      "rewrite path \"/v2${path}\"; rewrite query \"${query}&x=é #\";", "GET /a?b",
      "proceed, target /v2/a?b&x=%C3%A9%20%23"
    ),
    ("rewrite query \"\";", "GET /a?b", "proceed, target /a"),
    ("rewrite path query.p;", "GET /?p=/a?b%23", "proceed, target /a%3Fb%23?p=/a?b%23"),
    ("rewrite path query.p;", "GET /?p=a", "failed 400"),
    ("rewrite path query.p;", "GET /?p=/a/../b", "failed 400"),
    ("rewrite path query.p;", "GET /?p=/a/%252e%252E", "failed 400"),
    ("set header.x query.v;", "GET /?v=a%0d%0ab", "failed 400"),
    ("set header.x query.v;", "GET /?v=%20a%20", "proceed, set x: a"),
    (
      "set header.X-A \"1\"; add header.x-a \"2\"; unset header.cookie;", "GET /",
      "proceed, set x-a: 1, add x-a: 2, unset cookie"
    ),
    (
      "limit a cost 5; limit b cost to_int(query.n, 2); limit a; limit c; limit c cost to_int(query.m);",
      "GET /?n=x&m=-3", "proceed, limit a cost 5, limit b cost 2, limit c cost 0"
    ),
    (
      "limit a cost 1; when exists(query.n) { limit a cost to_int(query.n); }",
      "GET /?n=9223372036854775807", "proceed, limit a cost 1000000000"
    ),
    (
      "origin eu; limit strict; cache bypass; cache ttl 5m;", "GET /",
      "proceed, origin eu, limit strict, cache bypass, cache ttl 300s"
    ),
    (
      "cache key \"${path}|${cookie.lang}\"; vary_by \"a\", host; tag \"t-${query.id}\", \"\"; log who client.ip;",
      "GET /?id=3\nCookie: lang=de",
      "proceed, cache key /|de, vary_by a, vary_by example.com, tag t-3, log who=192.0.2.1"
    ),
    ("cache ttl seconds(to_int(query.t));", "GET /?t=-5", "proceed, cache ttl 0s"),
    (
      "cache ttl seconds(to_int(query.t));", "GET /?t=99999999999999999",
      "proceed, cache ttl 9223372036s"
    ),
    (
      "when path == \"/a\" { respond 200 \"a\"; } else when path == \"/b\" { respond 200 \"b\"; } else { respond 404; }",
      "GET /b", "respond 200 \"b\""
    ),
    (
      "when path == \"/a\" { respond 200; } else { log x \"1\"; } log y \"2\";", "GET /z",
      "proceed, log x=1, log y=2"
    ),
  ])
  func `a rule does what it says`(_ rules: String, _ request: String, _ expected: String) {
    #expect(RuleText(rules).answer(request) == expected)
  }

  @Test func `variables keep values, and those that nothing has set are nothing`() {
    let rules = RuleText(
      """
      when exists(query.a) { set $name query.a; set $count 3; }
      log name $name; log count $count; log missing "${exists($name)}";
      """)
    #expect(rules.answer("GET /?a=b") == "proceed, log name=b, log count=3, log missing=true")
    #expect(rules.answer("GET /") == "proceed, log name=, log count=0, log missing=false")
  }

  @Test func `rules see what rules before them have changed`() {
    let rules = RuleText(
      """
      log before header.x-a;
      set header.x-a "1"; log set header.x-a;
      add header.x-a "2"; log added header.x-a;
      unset header.x-a; log gone "${exists(header.x-a)}";
      add header.x-b "z"; log both header.x-b;
      rewrite path "/new"; rewrite query "p=9"; log target "${path}?${query.p}";
      """)
    #expect(
      rules.answer("GET /?p=1\nX-A: 0\nX-B: y").contains(
        "log before=0, log set=1, log added=1, 2, log gone=false, log both=y, z, log target=/new?9")
    )
  }

  @Test func `rules of the response see both and change the response`() {
    let rules = RuleText(
      """
      set $lang negotiate(header.accept-language, ["en", "de"], "en");
      set header.x-asked "yes";
      on response {
        when response.status == 200 && response.header.content-type matches "text/*" {
          set header.content-language $lang;
          add header.vary "Accept-Language";
          cache ttl 1h;
          tag "text";
        }
        unset header.server;
        log asked header.x-asked;
        log cookies response.header.set-cookie;
      }
      """)
    let answer = rules.answer(
      """
      GET /
      Accept-Language: de
      @status 200
      @response Content-Type: text/html
      @response set-cookie: a
      @response Set-Cookie:  b\t
      """)
    #expect(
      answer
        == "proceed, set x-asked: yes, cache ttl 3600s, tag text, log asked=, log cookies=a, b, "
        + "response set content-language: de, response add vary: Accept-Language, response unset server"
    )
    #expect(rules.code?.hasResponseRules == true)
    #expect(RuleText("log a \"\";").code?.hasResponseRules == false)
  }

  @Test func `variables are carried to a response that comes later`() throws {
    let rules = RuleText(
      """
      when exists(query.a) { set $text query.a; }
      set $number to_int(query.n); set $from client.ip; set $unused "x";
      on response { log a "${$text}|${exists($text)}|${$number}|${$from}"; }
      """)
    let code = try #require(rules.code)
    for (target, expected) in [("/?a=b&n=7", "b|true|7|192.0.2.1"), ("/", "|false|0|192.0.2.1")] {
      let ask = Ask("GET \(target)\n@status 200")
      let program = RuleProgram(code)
      let scratch = RuleScratch()
      #expect(program.run(ask.input, scratch) == .proceed)
      var saved = ByteBuffer()
      program.carry(scratch, to: &saved)
      let later = RuleScratch()
      #expect(program.runResponse(ask.input, later, carried: saved.view) == .proceed)
      #expect(later.logFields.count == 1 && later.logFields[0].value.string == expected)
      // A saved state that was cut leaves the rest unset, and nothing worse.
      for length in 0..<saved.count {
        let cut = saved.view.prefix(length)
        #expect(program.runResponse(ask.input, later, carried: cut) == .proceed)
      }
    }
  }

  @Test func `a scratch serves one request after another`() throws {
    let code = try #require(
      RuleText(
        "when exists(query.a) { set $v query.a; set header.x $v; origin o; cache bypass; rewrite path \"/n\"; }"
          + " log x header.x; log v $v; log p path;"
      ).code)
    let program = RuleProgram(code)
    let scratch = RuleScratch()
    let (first, second) = (Ask("GET /?a=1"), Ask("GET /m"))
    for _ in 0..<3 {
      #expect(program.run(first.input, scratch) == .proceed)
      #expect(
        scratch.logFields[0].value.string == "1" && scratch.origin == 0 && scratch.isRewritten)
      #expect(program.run(second.input, scratch) == .proceed)
      #expect(scratch.logFields[0].value.isEmpty && scratch.logFields[1].value.isEmpty)
      #expect(scratch.logFields[2].value.string == "/m")
      #expect(scratch.origin == -1 && !scratch.bypassesCache && !scratch.isRewritten)
      #expect(scratch.requestFields.count == 0)
    }
  }

  @Test func `texts that have no room are a failure and not a crash`() {
    let rules = RuleText("log a \"${path}${path}\"; log b replace(path, \"a\", \"bbbbbbbb\");")
    let request = "GET /" + String(repeating: "a", count: 100)
    #expect(rules.answer(request, room: 2_000).hasPrefix("proceed"))
    for room in 1...900 {
      let answer = rules.answer(request, room: room)
      #expect(answer.hasPrefix("failed 431"), "\(room) bytes")
    }
  }

  @Test func `more decisions than there is room for are a failure`() {
    let tags = (0..<65).map { "tag \"t\($0)\";" }.joined()
    #expect(RuleText(tags).answer("GET /").hasPrefix("failed 431"))
  }

  @Test func `presets stand for rules`() {
    let cors = RuleText(
      "cors { origins \"https://a.example\" \"https://*.b.example\"; methods GET PUT; headers X-A, X-B; credentials on; max_age 1h; }"
    )
    #expect(
      cors.answer("OPTIONS /\nOrigin: https://a.example\nAccess-Control-Request-Method: PUT")
        == "respond 204, add access-control-allow-origin: https://a.example, "
        + "add access-control-allow-credentials: true, add access-control-allow-methods: GET, PUT, "
        + "add access-control-max-age: 3600, add access-control-allow-headers: X-A, X-B, add vary: Origin"
    )
    #expect(
      cors.answer("OPTIONS /\nOrigin: https://c.example\nAccess-Control-Request-Method: PUT")
        == "respond 403, add vary: Origin")
    #expect(cors.answer("OPTIONS /\nOrigin: https://a.example") == "proceed")
    #expect(
      cors.answer("GET /\nOrigin: https://x.b.example\n@status 200")
        == "proceed, response add vary: Origin, response set access-control-allow-origin: https://x.b.example, "
        + "response set access-control-allow-credentials: true")
    #expect(cors.answer("GET /\n@status 200") == "proceed, response add vary: Origin")
    let secure = RuleText("security_headers { hsts 30d includeSubDomains; frame DENY; }")
    #expect(
      secure.answer("GET /\n@secure\n@status 200\n@response referrer-policy: no-referrer")
        == "proceed, response set strict-transport-security: max-age=2592000; includeSubDomains, "
        + "response set x-content-type-options: nosniff, response set x-frame-options: DENY")
    #expect(!secure.answer("GET /\n@status 200").contains("strict-transport-security"))
  }
}
