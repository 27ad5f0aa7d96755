import Rules
import Testing

@Suite("What is wrong with rules")
struct CheckerTests {
  @Test(arguments: [
    ("log a pth;", "pth: there is no \"pth\" [path]"),
    ("log a method;", "method: there is no \"method\" [request.method]"),
    ("log a heder.accept;", "heder.accept: there is no \"heder.accept\" [header.accept]"),
    ("log a lowr(path);", "lowr: there is no function \"lowr\" [lower]"),
    ("log a strlen(path);", "strlen: there is no function \"strlen\" [length]"),
    ("log a $x;", "$x: there is no variable $x"),
    ("set $name path; log a $nane;", "$nane: there is no variable $nane [$name]"),
    (
      "when path { log a \"\"; }",
      "path: a condition is true or false, and this is a text [exists(path)]"
    ),
    ("when path == 3 { log a \"\"; }", "path == 3: a text is compared with a number"),
    (
      "when path < \"a\" { log a \"\"; }",
      "path < \"a\": only numbers and durations have an order, and this is a text"
    ),
    (
      "when client.ip == 10.0.0.0/8 { log a \"\"; }",
      "client.ip == 10.0.0.0/8: an address is compared with a network"
    ),
    ("when host in 10.0.0.0/8 { log a \"\"; }", "host: a text cannot be in a network"),
    ("when \"a\" in path { log a \"\"; }", "path: a text cannot be in a text"),
    (
      "when path in [\"a\", 3] { log a \"\"; }",
      "3: a number stands in a list with which a text is compared"
    ),
    (
      "when path in [\"a\", host] { log a \"\"; }",
      "host: a text stands in a list with which a text is compared"
    ),
    (
      "when jwt.valid == \"a\" { log a \"\"; }",
      "jwt.valid == \"a\": true or false is compared with a text"
    ),
    ("log a lower();", "lower(): lower takes 1 argument, and here are 0"),
    ("log a lower(path, path);", "lower(path, path): lower takes 1 argument, and here are 2"),
    ("log a lower(3);", "3: this is a number, and a text is needed"),
    ("log a hash(path, 0);", "0: this is a number from 1 to 1000000 that is written in place"),
    (
      "log a percent(path, listener.port);",
      "listener.port: this is a number from 0 to 100 that is written in place"
    ),
    ("log a 5m;", "5m: a duration cannot be a text"),
    ("log a split(path, \"/\");", "split(path, \"/\"): the parts of a text cannot be a text"),
    ("log a path[0];", "path[0]: a text has no parts"),
    ("cache ttl 5;", "5: cache ttl takes a duration, and this is a number"),
    ("limit a cost path;", "path: cost takes a number, and this is a text"),
    ("limit a cost;", ";: \";\" stands where a value was expected"),
    ("locale { default en; }", "locale: locale needs to know the languages"),
    ("locale { languages en de; default dee; }", "dee: \"dee\" is not one of the languages [de]"),
    ("locale { languages e_n; }", "e_n: \"e_n\" is not a language tag"),
    ("locale { languages en; path yes; }", "yes: path is on or off"),
    ("locale { langages en; }", "langages: there is no setting \"langages\" here [languages]"),
    (
      "when path matches r\"(\" { log a \"\"; }",
      "\": this is not a regular expression: missing closing parenthesis"
    ),
    ("when path matches host { log a \"\"; }", "host: a pattern is written in place"),
    ("log a response.status;", "response.status: \"response.status\" is not known yet"),
    (
      "on response { respond 200; }",
      "respond 200;: \"respond\" cannot stand in \"on response\""
    ),
    ("on response { origin x; }", "origin x;: \"origin\" cannot stand in \"on response\""),
    ("set $a 1; set $a \"x\";", "\"x\": $a is a number, and this is a text"),
    ("set $a [\"x\"];", "[\"x\"]: a variable cannot hold a list"),
    (
      "set header.content-length \"1\";",
      "header.content-length: \"content-length\" is the node's own, and rules cannot change it"
    ),
    ("unset header.host;", "header.host: \"host\" is the node's own, and rules cannot change it"),
    ("set path \"/\";", "path: \"path\" is nothing that a rule can change"),
    ("set lang \"de\";", "lang: \"lang\" is nothing that a rule can change [$lang]"),
    ("respond 99;", "99: 99 is not a status for this"),
    ("redirect 200 \"/\";", "200: 200 is not a status for this"),
    ("respond 204 \"x\";", "\"x\": a response with status 204 has no content"),
    ("rewrite path \"x\";", "\"x\": a path begins with \"/\""),
    (
      "cors { origins *; credentials on; }",
      "cors: any origin with credentials would give every site the user's rights"
    ),
    ("cors { orgins *; }", "orgins: there is no setting \"orgins\" here [origins]"),
    ("cors { origins example.com; }", "example.com: \"example.com\" is not an origin"),
    ("when client.ip in file(\"no\") { log a \"\"; }", "\"no\": the file \"no\" does not exist"),
    (
      "when client.ip in file(\"bad\") { log a \"\"; }",
      "\"bad\": bad:3: \"10.0.0.0/33\" is neither an address nor a network"
    ),
    ("log a capture(path, r\"(a)\", 2);", "2: the expression has no group 2"),
    ("log a file(\"x\");", "file: a file stands behind in"),
    (
      "when geo.county == \"DE\" { log a \"\"; }",
      "geo.county: there is no \"geo.county\" [geo.country]"
    ),
  ])
  func `what has no meaning is said with its place`(_ rules: String, _ complaint: String) {
    let text = RuleText(rules, files: ["bad": "10.0.0.0/8\n# ok\n10.0.0.0/33 # no\n"])
    #expect(text.complaints == [complaint])
    #expect(text.code == nil)
  }

  @Test(arguments: [
    ("when path = \"/\" { log a \"\"; }", "=: \"=\" means nothing here [==]"),
    (
      "when path == \"/\" and jwt.valid { log a \"\"; }",
      "and: \"and\" stands where \"{\" was expected [&&]"
    ),
    ("when path == '/' { log a \"\"; }", "': \"'\" means nothing here"),
    ("if jwt.valid { log a \"\"; }", "if: there is no rule \"if\" [when]"),
    ("else { log a \"\"; }", "else: \"else\" without \"when\""),
    ("log a \"${path\";", "${: \"${\" is not closed"),
    ("log a \"x;", "\"x: this text does not end on its line"),
    ("log a \"\\q\";", "\\q: there is no such escape"),
    ("log a path", ": \";\" is missing at the end of the rule"),
    ("when jwt.valid { log a \"\";", "{: this block is not closed"),
    ("respnd 200;", "respnd: there is no rule \"respnd\" [respond]"),
    ("log a 10x;", "10x: \"10x\" is not a number"),
    ("log a 1.2.3;", "1.2.3: \"1.2.3\" is neither a number nor an address"),
    ("log a 99999999999999999999;", "99999999999999999999: \"99999999999999999999\" is too large"),
    ("cache off;", "off: \"off\" cannot stand in a rule [bypass]"),
    ("log a-b path;", "a-b: \"a-b\" cannot be the name of a log field"),
    (
      "when jwt.valid { when jwt.valid == false { on response { log a \"\"; } } }",
      "on response { log a \"\"; }: \"on response\" cannot stand in another block"
    ),
  ])
  func `what cannot be read is said once`(_ rules: String, _ complaint: String) {
    #expect(RuleText(rules).complaints == [complaint])
  }

  @Test func `all that is wrong is said at once`() {
    let text = RuleText(
      """
      when pth == "/" { respond 999; log a $x; }
      log b 5m
      set header.host "x";
      else { log c nope; }
      """)
    #expect(
      text.complaints.map { String($0.prefix { $0 != ":" }) } == [
        "999", "", "else", "pth", "$x", "header.host",
      ])
  }

  @Test(arguments: [
    ("respond 200; log a \"\";", "log a \"\";: this never runs"),
    (
      "when jwt.valid { respond 200; } else { respond 403; } log a \"\";",
      "log a \"\";: this never runs"
    ),
    ("when true { log a \"\"; }", "true: this is always true"),
    ("when \"a\" == \"b\" { log a \"\"; }", "\"a\" == \"b\": this is never true"),
    ("when path == path { log a \"\"; }", "path == path: this is always true"),
    (
      "when path == \"/a\" && path == \"/b\" { log a \"\"; }",
      "path == \"/a\" && path == \"/b\": this is never true"
    ),
    (
      "when path == \"/a\" && starts_with(path, \"/b\") { log a \"\"; }",
      "path == \"/a\" && starts_with(path, \"/b\"): this is never true"
    ),
    ("when jwt.valid && !jwt.valid { log a \"\"; }", "jwt.valid && !jwt.valid: this is never true"),
    ("when percent(client.ip, 0) { log a \"\"; }", "percent(client.ip, 0): this is never true"),
  ])
  func `rules that never run are errors`(_ rules: String, _ complaint: String) {
    #expect(RuleText(rules).complaints == [complaint])
  }

  @Test(arguments: [
    ("path == \"/a\"", "path == \"/a\""), ("starts_with(path, \"/a\")", "path == \"/ab\""),
    ("starts_with(path, \"/a\")", "starts_with(path, \"/a/b\")"),
    ("starts_with(path, \"/a\")", "path in [\"/a\", \"/ab\"]"),
    ("path in [\"/a\", \"/b\"]", "path == \"/b\""), ("path == \"/a\" || jwt.valid", "jwt.valid"),
    ("path == \"/a\"", "path == \"/a\" && jwt.valid"),
    ("client.ip in 10.0.0.0/8", "client.ip in 10.1.0.0/16"),
    ("client.ip in 10.0.0.0/8", "client.ip == 10.2.3.4"),
    ("request.method != \"GET\"", "request.method == \"PUT\""),
    ("ends_with(path, \".js\")", "ends_with(path, \".min.js\")"),
    ("header.X-A == \"1\"", "header(\"x-a\") == \"1\""),
  ])
  func `a condition that an earlier one covers never holds`(_ first: String, _ second: String) {
    let chain = RuleText("when \(first) { log a \"\"; } else when \(second) { log b \"\"; }")
    #expect(
      chain.complaints == ["\(second): this is never true, so what is in the block never runs"])
    let rest = RuleText("when \(first) { respond 200; } when \(second) { log b \"\"; }")
    #expect(
      rest.complaints == ["\(second): this is never true, so what is in the block never runs"])
    #expect(
      RuleText("when \(first) { log a \"\"; } when \(second) { log b \"\"; }").complaints == [])
  }

  @Test(arguments: [
    "when path == \"/a\" { respond 200; } when path == \"/b\" { log a \"\"; }",
    "when path == \"/a\" { respond 200; } rewrite path \"/a\"; when path == \"/a\" { log a \"\"; }",
    "when header.x == \"1\" { respond 200; } set header.X \"1\"; when header.x == \"1\" { log a \"\"; }",
    "when query.a == \"1\" { respond 200; } rewrite query \"a=1\"; when query.a == \"1\" { log a \"\"; }",
    "set $a \"1\"; when $a == \"1\" { respond 200; } set $a \"2\"; when $a == \"1\" { log a \"\"; }",
    "when jwt.valid { log a \"\"; } else when path == \"/\" { respond 200; } when path == \"/\" { log b \"\"; }",
    "when path == \"/a\" { when jwt.valid { respond 200; } } when path == \"/a\" { log a \"\"; }",
    "when path == \"/a\" { respond 200; } when path == \"/a\" || jwt.valid { log a \"\"; }",
    "when path in [\"/a\", \"/b\"] { respond 200; } when path in [\"/b\", \"/c\"] { log a \"\"; }",
    "when starts_with(path, \"/a/\") { respond 200; } when starts_with(path, \"/a\") { log a \"\"; }",
  ])
  func `rules that can run are left alone`(_ rules: String) {
    #expect(RuleText(rules).complaints == [])
  }

  @Test(arguments: [
    "when path == \"/a\" { redirect 302 \"/a\"; }",
    "when path == \"/a\" { redirect 302 \"/a?x=1\"; }",
    "when path in [\"/a\", \"/b\"] { redirect 302 \"/b\"; }",
    "when starts_with(path, \"/ja/\") { redirect 302 \"/ja/new\"; }",
    "when !starts_with(path, \"/de/\") { redirect 302 \"/ja/\"; }",
    "when starts_with(path, \"/a/\") { respond 200; } else { redirect 302 \"/b/\"; }",
    "when path matches \"/old/*\" { redirect 301 \"/old/index\"; }",
    "redirect 301 path;", "redirect 301 \"${path}\";", "redirect 301 \"${path}?${query}\";",
    "redirect 301 \"https://${host}${path}\";",
  ])
  func `a redirect to itself is an error`(_ rules: String) {
    let complaints = RuleText(rules).complaints
    #expect(
      complaints.count == 1 && complaints[0].contains("this redirect leads to itself"),
      "\(complaints)")
  }

  @Test(arguments: [
    "when path == \"/a\" { redirect 302 \"/b\"; }",
    "when !starts_with(path, \"/ja/\") { redirect 302 \"/ja/\"; }",
    "when path == \"/\" { redirect 302 \"/ja${path}\"; }",
    "when scheme == \"http\" { redirect 301 \"https://${host}${path}\"; }",
    "when header.x-forwarded-proto == \"http\" { redirect 301 \"https://${host}${path}?${query}\"; }",
    "when path == \"/a\" && exists(query.old) { redirect 302 \"/a?new=1\"; }",
    "when path == \"/a\" { redirect 302 \"/a\" { set-cookie \"seen=1\"; } }",
    "when path matches r\"^/a\" { redirect 302 \"/ab\"; }",
    "when path == \"/\" { respond 200; } when path in [\"/\", \"/x\"] { redirect 302 \"/\"; }",
    "redirect 301 \"https://other.example${path}\";",
  ])
  func `a redirect elsewhere is left alone`(_ rules: String) {
    #expect(RuleText(rules).complaints == [])
  }

  @Test(arguments: [" ", " else "])
  func `a thousand redirects are checked, and none of them wrongly`(_ between: String) {
    let rules = (0..<1_000).map { "when path == \"/a\($0)\" { redirect 301 \"/b\($0)\"; }" }
    let last = "when path in [\"/a0\", \"/x\"] { redirect 301 \"/a0\"; }"
    let text = RuleText((rules + [last]).joined(separator: between))
    #expect(text.complaints == [])
    #expect(text.answer("GET /a999") == "redirect 301 /b999")
    #expect(text.answer("GET /x") == "redirect 301 /a0")
  }

  @Test func `what nests too deep, or is too much, is an error`() {
    let deep = String(repeating: "!", count: 10_000) + "jwt.valid"
    #expect(RuleText("when \(deep) { log a \"\"; }").complaints.count == 1)
    let groups = String(repeating: "(", count: 10_000)
    #expect(RuleText("when \(groups) { log a \"\"; }").complaints.count == 1)
    let blocks = String(repeating: "when jwt.valid {", count: 10_000)
    #expect(!RuleText(blocks).complaints.isEmpty)
    let terms = Array(repeating: "exists(query.a)", count: 20_000).joined(separator: " && ")
    #expect(!RuleText("when \(terms) { log a \"\"; }").complaints.isEmpty)
    let texts = "\"" + String(repeating: "${path}", count: 200) + "\""
    #expect(RuleText("log a \(texts);").complaints.contains { $0.contains("too complex") })
  }
}
