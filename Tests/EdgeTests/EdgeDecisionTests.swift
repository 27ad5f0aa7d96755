import Cryptography
import EdgeTesting
import EventLoop
import Testing

/// What an edge is asked for: to check who asks, to answer in the reader's language, to choose the origin,
/// to put fields right, and to refuse what is wrong, all before the origin hears of it.
@Suite struct EdgeDecisionTests {
  /// Whoever says where a client is: the tests' clients come from loopback.
  private static let places = [
    ("GB", "81.2.69.142"), ("SE", "89.160.20.112"), ("US", "216.160.83.56"), ("JP", "2001:218::1"),
    ("", "127.0.0.7"),
  ]

  private func database() -> String? {
    let file = sharedDataFile("mmdb/GeoIP2-City-Test.mmdb")
    if file == nil { print("skipped: no geo database in ../shared/data") }
    return file
  }

  @Test func `the origin is chosen by geography, and what is stored stays apart`() async throws {
    guard let database = database() else { return }
    let names = ["eu", "us", "world"]
    var origins: [ScriptedOrigin] = []
    for name in names {
      origins.append(
        try await ScriptedOrigin.answering { _ in
          Reply(200, ["Cache-Control: max-age=60"], name)
        })
    }
    let node = try TestNode.start(
      origin: origins[2].port,
      route: """
        when geo.continent == "EU" { origin eu; vary_by "eu"; log region "eu"; }
        else when geo.country == "US" { origin us; vary_by "us"; log region "us"; }
        """,
      top: """
        geo_database \(database); trusted_proxies 127.0.0.1;
        origin eu 127.0.0.1:\(origins[0].port); origin us 127.0.0.1:\(origins[1].port);
        """)
    for _ in 0..<2 {
      for ((country, address), expected) in zip(Self.places, ["eu", "eu", "us", "world", "world"]) {
        let response = try await node.get("/", "X-Forwarded-For: \(address)")
        #expect(response.text == expected, "\(country)")
        try await node.settle()
      }
    }
    #expect(origins.map(\.requests.count) == [1, 1, 1])
    try await node.expectAtRest()
    #expect(try node.log().compactMap { $0["region"]?.string }.count == 6)
  }

  @Test func `a currency and a kind of device keep what is stored apart, and not more than that`()
    async throws
  {
    guard let database = database() else { return }
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60"],
        "\(request.header("x-currency") ?? "?") \(request.header("x-device") ?? "?")")
    }
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        when geo.country in ["DE", "SE", "FR"] { set $currency "EUR"; }
        else when geo.country == "GB" { set $currency "GBP"; }
        else { set $currency "USD"; }
        when lower(header.user-agent) matches r"mobile|android|iphone" { set $device "phone"; }
        else { set $device "desk"; }
        set header.x-currency $currency;
        set header.x-device $device;
        unset header.user-agent;
        vary_by $currency, $device;
        on response { add header.vary "User-Agent"; }
        """, top: "geo_database \(database); trusted_proxies 127.0.0.1;")
    let agents = ["Mozilla/5.0 (iPhone)", "Mozilla/5.0 (X11)", "curl/8", "Android 99"]
    for (_, address) in Self.places {
      for agent in agents {
        let response = try await node.get(
          "/", "X-Forwarded-For: \(address)", "User-Agent: \(agent)")
        #expect(response.header("vary") == "User-Agent")
        try await node.settle()
      }
    }
    #expect(origin.requests.count == 6, "three currencies on two devices")
    let response = try await node.get(
      "/", "X-Forwarded-For: 81.2.69.142", "User-Agent: Opera Mobile")
    #expect(response.isHit && response.text == "GBP phone")
  }

  @Test func `one site has all of it`() async throws {
    guard let database = database() else { return }
    let issuer = try Issuer(.es256)
    let origin = try await ScriptedOrigin.answering { request in
      let seen = ["x-user", "accept-language", "x-debug", "x-country"].map {
        request.header($0) ?? "-"
      }
      return Reply(
        200, ["Cache-Control: public, max-age=60", "X-Powered-By: php", "Server: secret/1.0"],
        "\(request.method) \(request.target) \(seen.joined(separator: " "))")
    }
    let api = try await ScriptedOrigin.answering { request in
      Reply(200, [], "api \(request.target)")
    }
    let directory = try TemporaryDirectory()
    try directory.write("keys.json", Issuer.set(issuer))
    let node = try TestNode.start(
      configuration: """
        workers 2; listen 127.0.0.1:0; access_log ./access.log; store ./store;
        trusted_proxies 127.0.0.1; geo_database \(database);
        jwt main { keys ./keys.json; algorithms ES256; from header; from cookie session; }
        limit logins { token_bucket 2/m; counts errors; }
        origin app 127.0.0.1:\(origin.port);
        origin api 127.0.0.1:\(api.port);
        site * {
          origin app;
          # Validation.
          when !(request.method in ["GET", "HEAD", "POST", "OPTIONS"]) {
            respond 405 { allow "GET, HEAD, POST, OPTIONS"; }
          }
          when request.content_length > 1KiB { respond 413 "Too much."; }
          # Headers.
          unset header.x-debug;
          security_headers { frame DENY; }
          on response { unset header.x-powered-by; set header.server "weir"; }
          route / {
            # Localization.
            set $lang negotiate(header.accept-language, ["en", "de", "ja"], "en");
            when cookie.lang in ["en", "de", "ja"] { set $lang cookie.lang; }
            when path == "/" { redirect 302 "/${$lang}/" { vary "Accept-Language, Cookie"; } }
            set header.accept-language $lang;
            set header.x-country geo.country;
            vary_by $lang;
            on response { set header.content-language $lang; add header.vary "Accept-Language"; }
          }
          route /account/ {
            # Who asks.
            auth jwt main;
            when jwt.claim.role != "customer" { respond 403 "Not for you."; }
            set header.x-user jwt.sub;
            cache bypass;
          }
          route /api/ {
            # Routing.
            cors { origins "https://www.example.com"; methods GET POST; }
            when header.x-api-version == "2" { rewrite path "/v2${path}"; }
            when request.method == "POST" && header.content-type != "application/json" {
              respond 415;
            }
            when path == "/api/search" && !exists(query.q) { respond 400 "q is missing"; }
            limit logins;
            origin api;
            cache bypass;
          }
        }
        """, directory: directory)
    let client = try await node.connect()
    // Who asks.
    #expect(try await client.get("/account/1").status == 401)
    let guest = "Authorization: Bearer " + (try issuer.token(#""role":"guest""#))
    let anna = "Cookie: session=" + (try issuer.token(#""role":"customer""#))
    #expect(try await client.get("/account/1", [guest]).text == "Not for you.")
    let account = try await client.get("/account/1", [anna, "X-User: root"])
    #expect(account.text == "GET /account/1 anna - - -")
    // In the reader's language.
    let root = try await client.get("/", ["Accept-Language: ja"])
    #expect(root.status == 302 && root.header("location") == "/ja/")
    let from = "X-Forwarded-For: 81.2.69.142"
    let page = try await client.get("/menu", ["Accept-Language: de-CH", "X-Debug: 1", from])
    #expect(page.text == "GET /menu - de - GB")
    #expect(page.header("content-language") == "de")
    // Fields.
    #expect(page.header("x-powered-by") == nil && page.headers("server") == ["weir"])
    #expect(page.header("x-frame-options") == "DENY")
    #expect(page.header("x-content-type-options") == "nosniff")
    try await node.settle()
    let again = try await client.get("/menu", ["Accept-Language: de", from])
    #expect(again.isHit && again.headers("vary") == ["Accept-Language"])
    // Where it goes.
    #expect(try await client.get("/api/x", ["X-Api-Version: 2"]).text == "api /v2/api/x")
    let preflight = try await client.request(
      "OPTIONS", "/api/x",
      ["Origin: https://www.example.com", "Access-Control-Request-Method: POST"])
    #expect(preflight.status == 204)
    #expect(preflight.header("access-control-allow-methods") == "GET, POST")
    // What is wrong.
    // Their content was not read: the connection ends with the answer.
    #expect(try await node.connect().request("POST", "/api/x", body: "{}").status == 415)
    #expect(try await client.get("/api/search").status == 400)
    let deleted = try await client.request("DELETE", "/menu")
    #expect(deleted.status == 405 && deleted.header("x-frame-options") == "DENY")
    let large = try await node.connect().request(
      "POST", "/menu", body: String(repeating: "x", count: 2000))
    #expect(large.status == 413)
    client.close()
    try await node.expectAtRest()
    #expect(origin.requests.map(\.target) == ["/account/1", "/menu"])
    #expect(api.requests.map(\.target) == ["/v2/api/x"])
  }
}
