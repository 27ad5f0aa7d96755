import Authentication
import Bytes
import Cryptography
import EdgeTesting
import EventLoop
import Metrics
import Testing

/// Routes that want a token.
@Suite struct TokenRouteTests {
  /// A node whose only route wants a token of an issuer, and its origin.
  static func node(
    _ issuer: Issuer, jwt settings: String = "", use: String = "", route: String = "",
    algorithms: String? = nil, reply fields: [String] = ["Cache-Control: max-age=60"]
  ) async throws -> (TestNode, ScriptedOrigin) {
    let origin = try await ScriptedOrigin.answering { request in
      let user = request.header("x-user") ?? "-"
      let token = request.header("authorization") == nil ? "no token" : "token"
      return Reply(200, fields, "\(request.target) \(user) \(token)")
    }
    let directory = try TemporaryDirectory()
    try directory.write("keys.json", Issuer.set(issuer))
    let names = algorithms ?? "\(issuer.algorithm.name)"
    let node = try TestNode.start(
      origin: origin.port, route: "auth jwt main \(use); \(route)",
      top: "jwt main { keys ./keys.json; algorithms \(names); realm \"shop\"; \(settings) }",
      directory: directory)
    return (node, origin)
  }

  @Test(arguments: [
    SignatureAlgorithm.es256, .rs256, .ps384, .hs256, .edDSA,
  ])
  func `a good token lets in, and rules know whose it is`(algorithm: SignatureAlgorithm)
    async throws
  {
    let issuer = try Issuer(algorithm)
    let (node, origin) = try await Self.node(
      issuer,
      route: """
        when jwt.claim.role != "customer" && !("admin" in split(jwt.claim.groups, " ")) {
          respond 403 "not for you";
        }
        set header.x-user jwt.sub;
        log user jwt.sub;
        """)
    let token = try issuer.token(#""role":"customer","n":5"#)
    for _ in 0..<2 {
      let response = try await node.get("/a", "Authorization: bearer \(token)")
      #expect(response.status == 200 && response.text == "/a anna token")
    }
    let admin = try issuer.token(#""groups":["staff","admin"]"#, subject: "root")
    #expect(try await node.get("/a", "Authorization: Bearer \(admin)").text == "/a root token")
    let other = try issuer.token(#""role":"guest""#)
    let refused = try await node.get("/a", "Authorization: Bearer \(other)")
    #expect(refused.status == 403 && refused.text == "not for you")
    #expect(origin.requests.count == 3, "nothing was stored: the response does not permit it")
    try await node.expectAtRest()
    let users = try node.log().map { $0["user"]?.string ?? "-" }
    #expect(users.sorted() == ["-", "anna", "anna", "root"])
  }

  @Test func `without a token there is a challenge without an error`() async throws {
    let issuer = try Issuer(.es256)
    let (node, origin) = try await Self.node(issuer)
    let client = try await node.connect()
    let response = try await client.get("/a")
    #expect(response.status == 401)
    #expect(response.headers("www-authenticate") == ["Bearer realm=\"shop\""])
    #expect(response.header("cache-control") == "no-store")
    // The connection goes on.
    let token = try issuer.token()
    #expect(try await client.get("/a", ["Authorization: Bearer \(token)"]).status == 200)
    #expect(origin.requests.count == 1)
  }

  @Test func `each attack of RFC 8725 is refused before the origin`() async throws {
    let issuer = try Issuer(.rs256)
    let attacker = try Issuer(.rs256)
    let (node, origin) = try await Self.node(
      issuer, jwt: "issuer https://issuer.example; audience shop; type at+jwt;",
      algorithms: "RS256 HS256 ES256")
    let header = #"{"alg":"RS256","kid":"key-1","typ":"at+jwt"}"#
    let claims = #""iss":"https://issuer.example","aud":"shop""#
    let good = try issuer.token(claims, header: header)
    let parts = good.split(separator: ".").map(String.init)
    let (now, soon) = (TestNode.start / 1000, TestNode.start / 1000 + 60)
    let none = Base64URL.encode(Array(#"{"alg":"none","typ":"at+jwt"}"#.utf8))
    let confused = try Issuer(.hs256).token(
      claims, header: #"{"alg":"HS256","kid":"key-1","typ":"at+jwt"}"#)
    let members = String(attacker.jwk.dropFirst().dropLast())
    let payload = #"{"exp":\#(soon),\#(claims)}"#
    let attacks: [(String, String)] = [
      ("none", "\(none).\(parts[1])."),
      ("none with a signature", "\(none).\(parts[1]).\(parts[2])"),
      ("a public key taken for a secret", confused),
      ("another's signature", try attacker.token(claims, header: header)),
      (
        "a key in the header",
        try attacker.token(
          claims, header: #"{"alg":"RS256","kid":"key-1","typ":"at+jwt","jwk":{\#(members)}}"#)
      ),
      (
        "an address of keys in the header",
        try attacker.token(
          claims, header: #"{"alg":"RS256","typ":"at+jwt","jku":"http://127.0.0.1:1/keys"}"#)
      ),
      (
        "a certificate in the header",
        try attacker.token(claims, header: #"{"alg":"RS256","typ":"at+jwt","x5c":["MIIB"]}"#)
      ),
      (
        "a critical extension",
        try issuer.token(
          claims, header: #"{"alg":"RS256","kid":"key-1","typ":"at+jwt","crit":["b64"],"b64":true}"#
        )
      ),
      ("another type", try issuer.token(claims, header: #"{"alg":"RS256","kid":"key-1"}"#)),
      ("expired", try issuer.token(claims, expires: now - 61, header: header)),
      (
        "not yet valid", try issuer.token("\(claims),\"nbf\":\(now + 120)", header: header)
      ),
      (
        "another issuer",
        try issuer.token(#""iss":"https://issuer.example/","aud":"shop""#, header: header)
      ),
      (
        "another audience",
        try issuer.token(#""iss":"https://issuer.example","aud":["bank"]"#, header: header)
      ),
      ("no audience", try issuer.token(#""iss":"https://issuer.example""#, header: header)),
      ("no expiry", try issuer.sign(header, "{\(claims)}")),
      ("a claim twice", try issuer.sign(header, payload.dropLast() + #","exp":9999999999}"#)),
      ("a header member twice", try issuer.sign(header.dropLast() + #","alg":"RS256"}"#, payload)),
      ("not JSON", try issuer.sign(header, "exp=\(soon)")),
      ("a number too large", try issuer.sign(header, #"{"exp":1e999,\#(claims)}"#)),
      ("bad base 64", parts[0] + "." + parts[1] + "." + parts[2] + "="),
      ("base 64 with a bit too many", parts[0] + "." + parts[1] + "." + parts[2] + "A"),
      ("two parts", parts[0] + "." + parts[1]),
      ("four parts", good + ".x"),
      ("a changed payload", parts[0] + "." + parts[1] + "A." + parts[2]),
      ("huge", parts[0] + "." + String(repeating: "A", count: 20_000) + "." + parts[2]),
      (
        "an unknown key",
        try issuer.token(claims, header: #"{"alg":"RS256","kid":"other","typ":"at+jwt"}"#)
      ),
    ]
    let client = try await node.connect()
    for (name, token) in attacks {
      let response = try await client.get("/a", ["Authorization: Bearer \(token)"])
      #expect(response.status == 401, "\(name)")
      let challenge = response.header("www-authenticate") ?? ""
      #expect(challenge.hasPrefix("Bearer realm=\"shop\", error=\"invalid_token\""), "\(name)")
    }
    let twice = try await client.get(
      "/a", ["Authorization: Bearer \(good)", "Authorization: Bearer \(good)"])
    #expect(twice.status == 400)
    #expect(origin.requests.isEmpty)
    #expect(try await client.get("/a", ["Authorization: Bearer \(good)"]).status == 200)
    client.close()
    try await node.expectAtRest()
  }

  @Test func `a token that expires while it is remembered is refused`() async throws {
    let issuer = try Issuer(.es256)
    let (node, origin) = try await Self.node(issuer, jwt: "skew 0s;")
    let token = try issuer.token(expires: TestNode.start / 1000 + 10)
    #expect(try await node.get("/a", "Authorization: Bearer \(token)").status == 200)
    node.advance(seconds: 9)
    #expect(try await node.get("/a", "Authorization: Bearer \(token)").status == 200)
    node.advance(seconds: 1)
    #expect(try await node.get("/a", "Authorization: Bearer \(token)").status == 401)
    #expect(origin.accepted > 0)
  }

  @Test func `tokens come from cookies and queries where the route says so`() async throws {
    let issuer = try Issuer(.es256)
    let (node, origin) = try await Self.node(issuer, jwt: "from cookie session; from query token;")
    let token = try issuer.token()
    #expect(try await node.get("/a", "Cookie: x=y; session=\(token)").status == 200)
    #expect(try await node.get("/a?token=\(token)").status == 200)
    #expect(try await node.get("/a", "Authorization: Bearer \(token)").status == 401)
    #expect(try await node.get("/a", "Cookie: session=x; session=\(token)").status == 400)
    #expect(origin.accepted > 0)
  }

  @Test func `an optional token that is wrong is wrong`() async throws {
    let issuer = try Issuer(.es256)
    let (node, origin) = try await Self.node(
      issuer, use: "optional", route: "when jwt.valid { set header.x-user jwt.sub; }")
    #expect(try await node.get("/a").text == "/a - no token")
    let token = try issuer.token()
    #expect(try await node.get("/b", "Authorization: Bearer \(token)").text == "/b anna token")
    #expect(try await node.get("/a", "Authorization: Bearer \(token)x").status == 401)
    #expect(origin.accepted > 0)
  }

  @Test func `a preflight needs no token, and gets nothing but its answer`() async throws {
    let issuer = try Issuer(.es256)
    let (node, origin) = try await Self.node(
      issuer,
      route: """
        when path == "/secret" { respond 200 "secret"; }
        cors { origins "https://www.example.com"; methods GET; }
        """)
    let preflight = ["Origin: https://www.example.com", "Access-Control-Request-Method: GET"]
    let client = try await node.connect()
    let allowed = try await client.request("OPTIONS", "/a", preflight)
    #expect(allowed.status == 204)
    #expect(allowed.header("access-control-allow-origin") == "https://www.example.com")
    for (target, fields) in [
      ("/secret", preflight), ("/a", []), ("/a", [preflight[0]]), ("/a", [preflight[1]]),
    ] {
      #expect(try await client.request("OPTIONS", target, fields).status == 401, "\(target)")
    }
    let refused = try await client.get("/a", [preflight[0]])
    #expect(refused.status == 401)
    #expect(refused.header("access-control-allow-origin") == "https://www.example.com")
    #expect(origin.requests.isEmpty)
  }

  // MARK: Caching

  @Test(arguments: [
    ("max-age=60", false), ("public, max-age=60", true), ("s-maxage=60", true),
    ("max-age=60, must-revalidate", true), ("private, max-age=60", false),
  ])
  func `responses are shared as RFC 9111 §3.5 permits`(directives: String, isShared: Bool)
    async throws
  {
    for place in ["header", "cookie session"] {
      let issuer = try Issuer(.es256)
      let (node, origin) = try await Self.node(
        issuer, jwt: "from \(place);", reply: ["Cache-Control: \(directives)"])
      for subject in ["anna", "bert"] {
        let token = try issuer.token(subject: subject)
        let field =
          place == "header" ? "Authorization: Bearer \(token)" : "Cookie: session=\(token)"
        #expect(try await node.get("/a", field).status == 200)
        try await node.settle()
      }
      #expect(origin.requests.count == (isShared ? 1 : 2), "\(place)")
      #expect(try await node.get("/a").status == 401, "nobody gets it without a token")
    }
  }

  @Test func `a route whose responses are shared tells the origin nothing of the token`()
    async throws
  {
    let issuer = try Issuer(.es256)
    let (node, origin) = try await Self.node(issuer, use: "shared")
    for subject in ["anna", "bert"] {
      let token = try issuer.token(subject: subject)
      let response = try await node.get("/a", "Authorization: Bearer \(token)")
      #expect(response.text == "/a - no token")
      try await node.settle()
    }
    #expect(origin.requests.count == 1)
    #expect(try await node.get("/a").status == 401)
    #expect(try await node.get("/a", "Authorization: Bearer x.y.z").status == 401)
    try await node.expectAtRest()
  }

  // MARK: Keys

  @Test func `keys are fetched, and an unknown one fetches at once but not twice`() async throws {
    let first = try Issuer(.es256, id: "first")
    let second = try Issuer(.es256, id: "second")
    let sets = Watched(Issuer.set(first))
    let keys = try await ScriptedOrigin.answering { _ in Reply(200, [], sets.value) }
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "in") }
    let node = try TestNode.start(
      origin: origin.port, route: "auth jwt main;",
      top: "jwt main { keys http://127.0.0.1:\(keys.port)/keys; algorithms ES256; cooldown 30s; }")
    try await keys.waitForRequests(1)
    let old = try first.token()
    try await eventually("the first keys") {
      try await node.get("/", "Authorization: Bearer \(old)").status == 200
    }
    sets.update { $0 = Issuer.set(first, second) }
    node.advance(seconds: 31)
    let new = try second.token()
    let all = try await atOnce(8) { _ in
      try await node.get("/", "Authorization: Bearer \(new)").status
    }
    #expect(all == Array(repeating: 200, count: 8), "all of them waited for the one fetch")
    #expect(keys.requests.count == 2)
    let unknown = try Issuer(.es256, id: "third").token()
    for _ in 0..<3 {
      #expect(try await node.get("/", "Authorization: Bearer \(unknown)").status == 401)
    }
    #expect(keys.requests.count == 2, "names cost an attacker nothing")
    node.stop()
  }

  @Test func `without keys nobody gets in, and the reason is the node's`() async throws {
    let issuer = try Issuer(.es256)
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "in") }
    let closed = try await ScriptedOrigin.answering { _ in Reply(500) }
    let node = try TestNode.start(
      origin: origin.port, route: "auth jwt main;",
      top: "jwt main { keys http://127.0.0.1:\(closed.port)/keys; algorithms ES256; }")
    let token = try issuer.token()
    let response = try await node.get("/", "Authorization: Bearer \(token)")
    #expect(response.status == 503 && response.header("retry-after") == "1")
    #expect(response.header("www-authenticate") == nil && origin.requests.isEmpty)
    node.stop()
  }

  @Test func `a fetch that does not come does not hold requests for ever`() async throws {
    let issuer = try Issuer(.es256)
    let release = Signal("the keys")
    let isFirst = Watched(true)
    let keys = try await ScriptedOrigin.answering { _ in
      let first = isFirst.update { flag in
        defer { flag = false }
        return flag
      }
      if !first { try await release.wait() }
      return Reply(200, [], Issuer.set(issuer))
    }
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "in") }
    let node = try TestNode.start(
      origin: origin.port, route: "auth jwt main;",
      top: "jwt main { keys http://127.0.0.1:\(keys.port)/keys; algorithms ES256; }")
    let good = try issuer.token()
    try await eventually("the first keys") {
      try await node.get("/", "Authorization: Bearer \(good)").status == 200
    }
    node.advance(seconds: 31)
    let unknown = try Issuer(.es256, id: "other").token()
    let waiting = try await node.ask("/", "Authorization: Bearer \(unknown)")
    try await keys.waitForRequests(2)
    #expect(try waiting.readAvailable().isEmpty)
    node.advance(seconds: 11)
    #expect(try await waiting.readResponse().status == 401)
    // Who is known is let in all the while.
    #expect(try await node.get("/", "Authorization: Bearer \(good)").status == 200)
    release.send()
    node.stop()
  }

  @Test func `many new tokens at once are all checked, some of them a turn later`() async throws {
    let issuer = try Issuer(.hs256)
    let (node, origin) = try await Self.node(issuer, route: "set header.x-user jwt.sub;")
    let client = try await node.connect()
    var requests = ""
    for index in 0..<200 {
      let token = try issuer.token(subject: "user-\(index)")
      requests += "GET /\(index) HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\r\n"
    }
    try await client.write(requests)
    for index in 0..<200 {
      let text = try await client.readResponse().text
      #expect(text == "/\(index) user-\(index) token")
    }
    client.close()
    try await node.expectAtRest()
    #expect(origin.accepted > 0)
  }
}

/// Routes that want something else.
@Suite struct CredentialTests {
  private func origin() async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      let fields = ["x-api-key", "authorization", "x-user"].map { request.header($0) ?? "-" }
      return Reply(
        200, ["Cache-Control: max-age=60"],
        "\(request.target) \(fields.joined(separator: " "))")
    }
  }

  @Test func `an API key lets in, with its name and attributes`() async throws {
    let made = try #require(try APIKeyLine.make(name: "shop", attributes: "plan=gold"))
    let directory = try TemporaryDirectory()
    try directory.write("keys", made.line + "\n")
    let origin = try await origin()
    let node = try TestNode.start(
      origin: origin.port,
      route: #"auth api_keys ./keys shared; set header.x-user "${jwt.sub} ${jwt.claim.plan}";"#,
      directory: directory)
    #expect(try await node.get("/a", "X-API-Key: \(made.key)").text == "/a - - shop gold")
    let without = try await node.get("/a")
    #expect(without.status == 401 && without.header("www-authenticate") != nil)
    #expect(try await node.get("/a", "X-API-Key: \(made.key)x").status == 401)
    #expect(
      try await node.get("/a", "X-API-Key: \(made.key)", "X-API-Key: \(made.key)").status == 401)
    #expect(origin.requests.count == 1)
    try await node.expectAtRest()
  }

  @Test func `a password is checked off the worker, and remembered`() async throws {
    // anna: "sesame", of the lowest cost that is accepted.
    let directory = try TemporaryDirectory()
    try directory.write("users", "anna:\(PasswordSample.hash)\n")
    let origin = try await origin()
    let node = try TestNode.start(
      origin: origin.port,
      route: #"auth basic ./users realm "back office"; set header.x-user jwt.sub;"#, workers: 1,
      directory: directory)
    let right = "Authorization: Basic " + base64("anna:sesame")
    let answers = try await atOnce(3) { _ in try await node.get("/a", right).text }
    #expect(answers.allSatisfy { $0.hasSuffix(" anna") })
    let without = try await node.get("/a")
    #expect(without.status == 401)
    #expect(
      without.header("www-authenticate") == "Basic realm=\"back office\", charset=\"UTF-8\"")
    for wrong in ["anna:open", "nobody:sesame"] {
      let refused = try await node.get("/a", "Authorization: Basic " + base64(wrong))
      #expect(refused.status == 401, "\(wrong)")
    }
    // Guessing runs dry; who is known is let in.
    var last = 0
    for guess in 0..<30 where last != 429 {
      last = try await node.get("/a", "Authorization: Basic " + base64("anna:\(guess)")).status
    }
    #expect(last == 429)
    #expect(try await node.get("/a", right).status == 200)
    try await node.expectAtRest()
  }

  @Test func `a signed URL is for whoever has it, and one stored response serves all`()
    async throws
  {
    let line = try #require(try URLKey.makeLine(id: "2026a"))
    let directory = try TemporaryDirectory()
    try directory.write("keys", line + "\n")
    let origin = try await origin()
    let node = try TestNode.start(
      origin: origin.port, route: "auth signed_url ./keys;", directory: directory)
    let signer = try URLSigner(try URLKey.load(directory.file("keys")))
    let now = TestNode.start / 1000
    let one = try signer.sign("/video?q=1", URLGrant(expires: now + 60))
    let two = try signer.sign("/video?q=1", URLGrant(expires: now + 90))
    #expect(try await node.get(one).text.hasPrefix("/video?q=1 "))
    try await node.settle()
    #expect(try await node.get(two).isHit)
    let bound = try signer.sign(
      "/video?q=1",
      URLGrant(expires: now + 60, address: SignedAddress(high: 0, low: 0xFFFF_7F00_0001)))
    #expect(try await node.get(bound).isHit)
    let other = try signer.sign(
      "/video?q=1",
      URLGrant(expires: now + 60, address: SignedAddress(high: 0, low: 0xFFFF_7F00_0002)))
    #expect(try await node.get(other).status == 403)
    for wrong in ["/video?q=1", one + "x", "/video?q=2" + one.dropFirst(10), one + "&q=2"] {
      let status = try await node.get(wrong).status
      #expect(status == 403 || status == 400, "\(wrong)")
    }
    node.advance(seconds: 60)
    #expect(try await node.get(one).status == 403)
    #expect(try await node.get(two).status == 200)
    #expect(origin.requests.map(\.target) == ["/video?q=1", "/video?q=1"])
    try await node.expectAtRest()
  }

  @Test func `addresses are allowed and denied before anything is shown`() async throws {
    let directory = try TemporaryDirectory()
    try directory.write("blocked", "127.0.0.9 # a test\n2001:db8::/32\n")
    let origin = try await origin()
    let node = try TestNode.start(
      origin: origin.port, route: "allow 127.0.0.0/28; deny ./blocked;", directory: directory)
    for (address, status) in [("127.0.0.1", 200), ("127.0.0.9", 403), ("127.0.0.77", 403)] {
      let client = try await RawClient.connect(to: node.port, from: address)
      #expect(try await client.get("/a").status == status, "\(address)")
      client.close()
    }
    try await node.expectAtRest()
  }
}

/// A password's hash as `htpasswd -B -C 5` writes it.
enum PasswordSample {
  static let hash = "$2b$05$vYo2ml36nUoKR2e5NfIBRurrb77IEC6MvhDP1nQAiVyPixnNeY6vO"
}

/// Base 64 with padding (RFC 4648 §4).
private func base64(_ text: String) -> String {
  let url = Base64URL.encode(Array(text.utf8))
  let plain = url.map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }
  return String(plain) + String(repeating: "=", count: (4 - url.count % 4) % 4)
}
