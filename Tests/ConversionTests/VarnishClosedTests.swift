// What Varnish refuses, passes by its store, or leads elsewhere, asked of what was converted.

import Conversion
import Testing

private func converted(_ text: String) -> Converted {
  ConvertedProgram.varnish.convert(
    """
    vcl 4.1;
    backend default { .host = "10.0.0.1"; }
    backend api { .host = "10.0.0.2"; }
    acl inside { "10.0.0.0"/8; "localhost"; }
    acl named { "office.example"; }
    \(text)
    """)
}

private let fresh = ["Cache-Control: max-age=60"]

@Suite("What Varnish keeps closed, asked") struct VarnishClosedTests {
  @Test func `cookies and credentials are not shared`() {
    let result = converted("")
    for field in ["Cookie: a=b", "Authorization: Basic x"] {
      #expect(outcome("GET /", field, of: result).contains("cache bypass"), "\(field)")
    }
    #expect(isKept(fresh, of: result))
    for fields in [
      ["Set-Cookie: a=b", "Cache-Control: public, s-maxage=9"], ["Cache-Control: private"],
      ["Cache-Control: no-cache"],
    ] { #expect(!isKept(fields, of: result), "\(fields)") }
    let plain = converted("sub vcl_recv { unset req.http.Cookie; }")
    #expect(plain.text.contains("when exists(header.authorization) { cache bypass; }"))
    #expect(plain.remarks.map(\.line) == [4, 5], "\(plain.remarks)")
    let hash = converted("sub vcl_recv { return (hash); }")
    #expect(outcome("GET /", "Cookie: a=b", of: hash).contains("cache bypass"))
    #expect(hash.names(6, "return (hash)"))
  }

  @Test func `cookies that are taken away for some are so for these`() {
    let result = converted(
      #"""
      sub vcl_recv {
        if (req.url ~ "\.(png|css)$") { unset req.http.Cookie; }
        if (req.http.Cookie ~ "admin") { return (synth(403, "No admins")); }
        unset req.http.Cookie;
      }
      """#)
    #expect(!outcome("GET /x.css", "Cookie: a=b", of: result).contains("cache bypass"))
    #expect(outcome("GET /x.css?me", "Cookie: admin=b", of: result) == "respond 403: No admins")
    #expect(outcome("GET /x", "Cookie: admin=b", of: result) == "respond 403: No admins")
    #expect(outcome("GET /x", "Cookie: a=b", of: result).contains("unset cookie"))
  }

  @Test(arguments: [
    "sub vcl_recv { return (pass); }", "sub vcl_recv { if (req.http.X ~ now) { return (pass); } }",
    "sub vcl_backend_response { set beresp.ttl = 0s; }",
    "sub vcl_backend_response { set beresp.uncacheable = true; return (deliver); }",
    "sub vcl_backend_response { if (bereq.retries > 0) { set beresp.uncacheable = true; } }",
    "sub vcl_backend_response { if (beresp.ttl < 1s) { return (pass(10s)); } }",
    "sub vcl_hash { hash_data(req.http.X + \"a\"); }", "sub vcl_hit { return (pass); }",
    "sub vcl_recv { set req.http.X = now; } sub vcl_hash { hash_data(req.http.X); }",
    "sub who { return (pass); } sub vcl_recv { call who; }",
  ])
  func `what decides about sharing in a way that is not known ends it`(text: String) {
    let result = converted(text)
    #expect(result.text.contains("cache off;"), "\(result.text)")
    #expect(result.names(6, "nothing is stored"), "\(result.remarks)")
    #expect(outcome("GET /", of: result).hasPrefix("proceed"), "\(result.text)")
  }

  @Test(arguments: [
    "include \"more.vcl\";", "sub vcl_recv { call elsewhere; }",
    "sub vcl_recv { if (req.http.X ~ now) { return (synth(403)); } }",
    "sub vcl_recv { if (client.ip !~ named) { return (fail); } }",
    "sub vcl_recv { set req.url = std.querysort(req.url); if (req.url ~ \"a$\") { error 403; } }",
    "sub vcl_recv { if (req.url ~ \"%41\") { return (synth(403)); } }",
    "sub vcl_recv { set req.url = regsub(req.url, \"^/\", \"/public/\"); }",
    "sub vcl_recv { set req.http.X = now; if (req.http.X ~ \"a\") { return (synth(403)); } }",
    "sub vcl_recv { if (std.port(server.ip) == 80) { set req.backend_hint = api; } }",
    "sub vcl_recv { if (req.url ~ \"%2e\") { set req.backend_hint = api; } }",
    "sub vcl_deliver { if (req.http.X) { return (synth(403)); } }",
    "sub vcl_recv { if (client.ip ~ inside) { return (hash); } return (synth(403)); }",
    "sub vcl_recv { C{ x(); }C }", "sub vcl_recv { if (req.url ~ \"^/a\") { return (synth(403)); }",
    "sub vcl_recv { } }", "sub a { call a; } sub vcl_recv { call a; }",
    "sub vcl_recv { \(String(repeating: "set req.http.X = \"a\"; ", count: 10_001)) }",
    "sub vcl_recv { set req.http.X = \"unterminated;\n }",
  ])
  func `what refuses or leads elsewhere in a way that is not known closes all`(text: String) {
    let result = converted(text)
    #expect(outcome("GET /", of: result) == "respond 503", "\(result.text)")
    #expect(
      result.remarks.contains { $0.line >= 6 && $0.text.contains("503") }, "\(result.remarks)")
  }

  @Test func `conditions that are understood are rules`() {
    let result = converted(
      #"""
      sub vcl_recv {
        if (req.url ~ "^/admin" && client.ip !~ inside) { return (synth(403, "No.")); }
        if (req.method != "GET" && req.method != "HEAD" && !(client.ip ~ inside)) { return (synth(405)); }
        if (req.http.host == "API.example") { set req.backend_hint = api; }
        elsif (req.url ~ "^/api") { set req.backend_hint = api; } else { set req.http.X-Way = "app"; }
        if (req.url ~ "[?&]secret=") { error 404 "none"; }
        if (req.url ~ "\.php$") { set req.backend_hint = api; }
        if (req.url !~ "^/[a-zA-Z/0-9.]*(\?.*)?$") { error 400; }
        if (req.url ~ "^/account" || req.http.X-Fresh) { return (pass); }
      }
      sub vcl_backend_response {
        if (beresp.status >= 500 || bereq.url ~ "^/live" || beresp.http.X-Private == "1") { set beresp.uncacheable = true; }
        set beresp.ttl = 1h;
      }
      """#)
    for (request, client, said) in [
      ("GET /admin/x", "192.0.2.1", "respond 403: No."),
      ("GET //%61dmin", "192.0.2.1", "respond 403"),
      ("GET /admin/x", "10.1.1.1", "proceed"), ("PUT /", "192.0.2.1", "respond 405"),
      ("PUT /", "127.0.0.1", "proceed"), ("GET /account/1", "10.0.0.1", "cache bypass"),
      ("GET /x?secret=1", "10.0.0.1", "respond 404: none"),
      ("GET /api/x", "10.0.0.1", "origin api"),
      ("GET /x", "10.0.0.1", "set x-way: app"), ("GET /x.php", "10.0.0.1", "origin api"),
      ("GET /x.php?a", "10.0.0.1", "origin default"), ("GET /x?a.php", "10.0.0.1", "origin api"),
      ("GET /~x", "10.0.0.1", "respond 400"),
    ] {
      let text = outcome(request, client: client, of: result)
      #expect(text.contains(said), "\(request) from \(client): \(text)")
    }
    #expect(outcome("GET /", host: "api.example", of: result).contains("origin api"))
    #expect(outcome("GET /", "X-Fresh: 1", of: result).contains("cache bypass"))
    #expect(isKept(fresh, of: result) && !isKept(fresh, status: 500, of: result))
    #expect(!isKept(fresh, to: "GET /live", of: result) && !isKept(["X-Private: 1"], of: result))
    #expect(result.text.contains("ttl 2xx 3600s"))
    #expect(result.remarks.map(\.line) == [5], "\(result.remarks)")
  }

  @Test func `what stands behind a pass is not for what it passes`() {
    let pass = #"if (req.url ~ "^/account") { return (pass); }"#
    let refused = converted(
      #"sub vcl_recv { \#(pass) if (req.url ~ "a") { return (synth(403)); } }"#)
    #expect(outcome("GET /a", of: refused) == "respond 403")
    #expect(refused.names(6, "also for what ends in line 6"))
    let routed = converted(
      #"sub vcl_recv { \#(pass) if (req.http.host == "b.example") { set req.backend_hint = api; } }"#
    )
    #expect(outcome("GET /account", of: routed) == "respond 503")
    #expect(routed.names(6, "all is answered with 503"))
  }

  @Test func `an answer for one target is for that alone`() {
    let result = converted(
      #"""
      sub vcl_recv {
        if (req.url == "/ping") { return (synth(200, "pong")); }
        if (req.url == "/a?b=c") { return (synth(403)); }
        if (req.http.host == "old.example") { return (synth(750, "https://new.example/")); }
      }
      """#)
    #expect(outcome("GET /ping", of: result) == "respond 200: pong", "\(result.text)")
    #expect(outcome("GET /a?b=c", of: result) == "respond 403")
    #expect(outcome("GET /a", of: result).hasPrefix("proceed"))
    #expect(outcome("GET /", host: "old.example", of: result) == "respond 503")
    #expect(result.remarks.map(\.line) == [4, 5, 9], "\(result.remarks)")
  }

  @Test func `purges stay with those who may`() {
    let result = converted(
      #"""
      sub vcl_recv {
        if (req.method == "PURGE") {
          if (!client.ip ~ inside) { return (synth(405, "no")); }
          return (purge);
        }
      }
      """#)
    #expect(outcome("PURGE /", of: result) == "respond 405: no")
    #expect(outcome("PURGE /", client: "10.0.0.1", of: result) == "respond 405")
    #expect(result.names(9, "purge_from") && outcome("GET /", of: result).hasPrefix("proceed"))
  }

  @Test func `nobody sends what the VCL says, or sees what it hides`() {
    let result = converted(
      """
      sub vcl_recv {
        if (req.http.X-A ~ now) { set req.http.X-Role = "admin"; } else { unset req.http.X-Role; }
        unset req.http.X-Role;
        set req.http.X-User = req.http.X-Verified-User;
      }
      sub vcl_deliver { if (req.http.X-A ~ now) { unset resp.http.X-Secret; } unset resp.http.X-Own; }
      """)
    let said = outcome(
      Asked(
        line: "GET /", fields: ["Host: a.example", "X-Role: admin", "X-User: x"],
        response: ["X-Secret: a", "X-Own: b"]), of: result)
    for text in ["unset x-role", "unset x-user", "unset x-secret", "unset x-own"] {
      #expect(said.contains(text), "\(text): \(said)")
    }
  }

  @Test func `what answers are told apart by is so here`() {
    let result = converted(
      "sub vcl_hash { hash_data(req.url); hash_data(req.http.X-Tenant); return (lookup); }")
    #expect(outcome("GET /", "X-Tenant: b", of: result).contains("vary_by b"), "\(result.text)")
  }

  @Test func `a query that is made shorter leads nowhere else`() {
    let result = converted(
      #"""
      sub vcl_recv {
        set req.url = std.querysort(req.url);
        set req.url = regsuball(req.url, "(\?|&)(utm_[a-z]+)=[^&]*", "");
        if (req.url ~ "^/admin") { return (synth(403)); }
        if (req.url ~ "/in/") { return (pass); }
      }
      """#)
    #expect(outcome("GET /", of: result).hasPrefix("proceed"))
    #expect(outcome("GET /admin?utm_a=b", of: result) == "respond 403")
    #expect(outcome("GET /x/in/y", of: result).contains("cache bypass"))
    #expect(result.remarks.map(\.line) == [4, 5, 7, 8])
  }
}
