// What nginx refuses or leads elsewhere, asked of what was converted: it is refused there, too.

import Conversion
import Testing

private func converted(_ servers: String) -> Converted {
  ConvertedProgram.nginx.convert("http {\n\(servers)\n}\n")
}

/// A server with these locations.
private func site(_ locations: String) -> Converted {
  converted("server { listen 80; server_name a.example;\n\(locations)\n}")
}

private let app = "proxy_pass http://127.0.0.1:9000;"

@Suite("What nginx keeps closed, asked") struct NginxClosedTests {
  @Test func `a server is to be had where it is listened for only`() {
    let result = converted(
      """
      server { listen 80; server_name www.example; location / { \(app) } }
      server { listen 127.0.0.1:8080; server_name admin.example; location / { \(app) } }
      server { listen 443 ssl; server_name shop.example; location / { \(app) } }
      server { listen 80; listen 443 ssl; listen [::]:8080; server_name all.example; location / { \(app) } }
      """)
    for (host, port, isOpen) in [
      ("www.example", 80, true), ("www.example", 8080, false), ("www.example", 443, false),
      ("admin.example", 80, false), ("admin.example", 8080, false), ("shop.example", 80, false),
      ("shop.example", 443, true), ("all.example", 80, true), ("all.example", 443, true),
      ("all.example", 8080, true),
    ] {
      let said = outcome("GET /", host: host, port: UInt16(port), of: result)
      #expect(said.hasPrefix("proceed") == isOpen, "\(host):\(port): \(said)")
    }
    #expect(result.names(3, "rules see the port only"))
    let alone = converted(
      """
      server { listen 80; server_name www.example; location / { \(app) } }
      server { listen 127.0.0.1:8080; server_name admin.example; location / { \(app) } }
      server { listen unix:/run/x; server_name socket.example; location / { \(app) } }
      """)
    #expect(outcome("GET /", host: "admin.example", port: 80, of: alone) == "respond 421")
    #expect(outcome("GET /", host: "admin.example", port: 8080, of: alone).hasPrefix("proceed"))
    #expect(outcome("GET /", host: "socket.example", port: 80, of: alone) == "respond 503")
  }

  @Test func `who is on all listeners says nothing of them`() {
    let result = converted(
      """
      server { listen 80; listen [::]:80; server_name a.example; return 301 https://$host$request_uri; }
      server { listen 443 ssl; listen [::]:443 ssl; server_name a.example; location / { \(app) } }
      server { listen 80 default_server; server_name _; return 444; }
      """)
    #expect(!result.text.contains("listener.port"), "\(result.text)")
    #expect(result.text.contains("redirect_to_https on;"))
  }

  @Test func `one server stands for all names, the one that nginx takes`() {
    let result = converted(
      """
      server { listen 80; server_name www.example; location / { \(app) } }
      server { listen 80; server_name _; location / { proxy_pass http://127.0.0.1:9001; } }
      server { listen 81 default_server; server_name b.example; location / { \(app) } }
      server { listen 81; location / { \(app) } }
      """)
    #expect(!result.text.contains("9001"), "\(result.text)")
    #expect(outcome("GET /", host: "x.example", port: 80, of: result) == "respond 421")
    #expect(outcome("GET /", host: "x.example", port: 81, of: result).hasPrefix("proceed"))
    #expect(result.names(3, "another server") && result.names(5, "another server"))
  }

  @Test func `a listener with TLS is one, whoever says it`() {
    let result = converted(
      """
      server { listen 8443; server_name a.example; location / { \(app) } }
      server { listen 8443 ssl; server_name b.example; location / { \(app) } }
      """)
    #expect(result.text.contains("listen :8443 tls;") && result.names(3, "both count"))
  }

  @Test func `no spelling of a path leads around its location`() {
    let result = site(
      #"""
      location / { \#(app) }
      location /@internal/ { deny all; }
      location = /x:y { deny all; } location /@open { \#(app) }
      location "/my docs/" { deny all; } location /back\slash { deny all; }
      location ^~/adm { deny all; }
      location =/eq { deny all; }
      location ~/\.svn { deny all; }
      location ~ "\\.git" { deny all; }
      location ~ ^/app/ { \#(app) location ~ \.bak$ { deny all; } location /app/in { deny all; } location /app/a { \#(app) } }
      """#)
    for path in [
      "/@internal/x", "/%40internal/x", "/x:y", "/x%3Ay", "/back%5Cslash", "/back/slash/",
      "/my%20docs/a", "/my%20docs/", "/adm",
      "/eq", "/%65q", "/.svn", "/a/.git/x", "/app/x.bak", "/app/in", "/app/%69n/x", "/app/a",
    ] { #expect(outcome("GET \(path)", of: result).hasPrefix("respond "), "\(path)") }
    for path in ["/", "/x", "/eqx", "/git", "/app/x"] {
      #expect(outcome("GET \(path)", of: result).hasPrefix("proceed"), "\(path)")
    }
    #expect(result.names(6, "path cannot be a route's"))
    #expect(!result.names(4, "path"), "\(result.remarks)")
    #expect(outcome("GET /@open", of: result).hasPrefix("proceed"))
    #expect(outcome("GET /%40open", of: result) == "respond 503" && result.names(5, "/@open"))
  }

  @Test func `what leads past expressions leads past those beside it only`() {
    let result = site(
      #"""
      location /a/ { \#(app) location ^~ /a/b/ { \#(app) } location ~ x$ { deny all; } }
      location ^~ /c/ { \#(app) location /c/d/ { \#(app) } }
      location ~ \.secret$ { deny all; }
      """#)
    #expect(outcome("GET /a/b/y.secret", of: result) == "respond 403")
    #expect(outcome("GET /a/b/x", of: result).hasPrefix("proceed"))
    #expect(outcome("GET /a/x", of: result) == "respond 403")
    #expect(outcome("GET /c/d/y.secret", of: result).hasPrefix("proceed"))
  }

  @Test(arguments: [
    "access_by_lua_block { ngx.exit(403) }", "access_by_lua_file /x.lua;", "auth_pam \"x\";",
    "modsecurity on;", "secure_link $arg_md5;", "valid_referers none;", "js_access f;",
    "include snippets/who.conf;", "if ($invalid_referer) { return 403; }",
    "if (-f $request_filename) { return 404; }", "if ($geo) { set $x 1; return 302 /; }",
  ])
  func `what keeps people out in a way that is not known keeps all out`(text: String) {
    let result = site("location / { \(app) \(text) }\nlocation /open { \(app) }")
    #expect(outcome("GET /", of: result).hasPrefix("respond "), "\(result.text)")
    #expect(outcome("GET /open", of: result).hasPrefix("proceed"))
    #expect(result.remarks.contains { $0.line == 3 })
    let whole = site("\(text)\nlocation / { \(app) }")
    #expect(outcome("GET /", of: whole).hasPrefix("respond "), "\(whole.text)")
    let methods = site("location / { \(app) limit_except GET { \(text) } }")
    guard !text.hasPrefix("if") else { return }
    #expect(outcome("PUT /", of: methods) == "respond 403", "\(methods.text)")
    #expect(outcome("GET /", of: methods).hasPrefix("proceed"))
  }

  @Test func `what says how TLS is spoken, or fields, closes nothing`() {
    let result = converted(
      """
      server { listen 80; server_name a.example; include /etc/letsencrypt/options-ssl-nginx.conf;
        auth_basic_user_file /x; root /srv;
        location / { include proxy_params; \(app) }
      }
      """)
    let said = outcome("GET /", "X-Real-IP: 10.0.0.1", of: result)
    #expect(said.hasPrefix("proceed") && said.contains("set x-real-ip: 192.0.2.1"), "\(said)")
    #expect(result.names(2, "options-ssl") && result.names(4, "proxy_params"))
  }

  @Test func `what is led elsewhere is not to be had where it was`() {
    let result = site(
      """
      location / { proxy_pass http://127.0.0.1:9000/public/; rewrite ^/old /login last; }
      location /app { proxy_pass http://127.0.0.1:9000/; }
      location = /one { proxy_pass http://127.0.0.1:9000/two; }
      location /same/ { proxy_pass http://127.0.0.1:9000/same/; }
      location /q { proxy_pass http://127.0.0.1:9000/x?y; }
      location ~ ^/re { proxy_pass http://127.0.0.1:9000/x; }
      """)
    for (path, target) in [
      ("/admin/x?y=1", "/public/admin/x?y=1"), ("/app/x", "//x"), ("/one", "/two"),
    ] {
      let said = outcome("GET \(path)", of: result)
      #expect(said.contains("target \(target)"), "\(path): \(said)")
    }
    #expect(!outcome("GET /same/x", of: result).contains("target"))
    for path in ["/q", "/rex", "/old-admin"] {
      #expect(outcome("GET \(path)", of: result) == "respond 503", "\(path)")
    }
    #expect(!result.remarks.contains { [4, 5, 6].contains($0.line) }, "\(result.remarks)")
  }

  @Test func `a rewrite leads where it led, or nowhere`() {
    let result = site(
      #"""
      location /api/ { rewrite ^/api/(v[0-9])/(.*)$ /$2/$1 break; \#(app) }
      location /b/ { rewrite ^/b/(.*) /$1 break; proxy_pass http://127.0.0.1:9000/c/; }
      location /d/ { rewrite ^/d/(.*) /$1$arg_x break; \#(app) }
      location /e/ { \#(app) proxy_method GET; }
      location / { \#(app) if ($http_x = y) { return 403; } }
      rewrite ^/old/ /e/ last; rewrite ^/in/(.*) /e/$1 break;
      """#)
    #expect(outcome("GET /api/v1/x/y?z", of: result).contains("target /x/y/v1?z"))
    #expect(!outcome("GET /api/x", of: result).contains("target"))
    for path in ["/b/x", "/d/x", "/e/x", "/old/x", "/in/x"] {
      #expect(outcome("GET \(path)", of: result) == "respond 503", "\(path)")
    }
    #expect(outcome("GET /x", "X: y", of: result) == "respond 403")
    #expect(result.remarks.map(\.line) == [5, 6, 8, 8], "\(result.remarks)")
  }

  @Test func `nothing that stands in a word becomes a setting`() {
    for text in ["http://a;x{}:80", "http://a b", "http://\u{1}"] {
      let result = site("location / { proxy_pass \"\(text)\"; }")
      #expect(outcome("GET /", of: result) == "respond 503", "\(result.text)")
    }
    let result = converted(
      """
      upstream u { server "a; } site b.example { files /;"; server 10.0.0.1; }
      server { listen 80; server_name a.example; location / { proxy_pass http://u; } }
      """)
    #expect(outcome("GET /", of: result).contains("origin u") && result.names(2, "server a;"))
  }

  @Test func `a rule that is said twice is one`() {
    let result = site(
      #"""
      if ($http_a = b) { return 403; } if ($http_a = b) { return 404; }
      location / { \#(app) if ($http_a = b) { return 403; } limit_except GET { deny all; } }
      location ~ \.a$ { deny all; } location ~ \.a$ { \#(app) }
      """#)
    #expect(outcome("GET /", "A: b", of: result) == "respond 403", "\(result.text)")
    #expect(outcome("GET /x.a", of: result) == "respond 403")
  }

  @Test func `fields that nginx would set are not taken from clients`() {
    let result = site(
      """
      location / { \(app) proxy_set_header X-Internal $is_internal; proxy_set_header X_Role $role;
        proxy_hide_header X-Backend; }
      """)
    let said = outcome(
      Asked(
        line: "GET /", fields: ["Host: a.example", "X-Internal: 1", "X-Role: admin"],
        response: ["X-Backend: 10.0.0.1"]), of: result)
    for text in ["unset x-internal", "unset x-role", "unset x-backend"] {
      #expect(said.contains(text), "\(text): \(said)")
    }
    #expect(result.names(3, "$is_internal") && result.names(3, "$role"))
  }

  @Test func `who a client is, is whom nginx takes it for`() {
    let locations = "location /in { allow 10.0.0.0/8; deny all; \(app) } location / { \(app) }"
    let known = site(
      "set_real_ip_from 10.9.0.0/16; real_ip_header X-Forwarded-For; real_ip_recursive on; \(locations)"
    )
    #expect(known.text.contains("trusted_proxies 10.9.0.0/16;"))
    #expect(outcome("GET /in", client: "10.1.1.1", of: known).hasPrefix("proceed"))
    let other = site("set_real_ip_from 10.9.0.0/16; real_ip_header CF-Connecting-IP; \(locations)")
    #expect(outcome("GET /in", client: "10.1.1.1", of: other) == "respond 403")
    #expect(outcome("GET /", of: other).hasPrefix("proceed"))
    #expect(other.names(3, "real_ip_header") && !other.text.contains("trusted_proxies"))
  }

  @Test func `nothing behind an ending is an answer`() {
    let result = site(#"location / { return 403; if ($http_x = y) { return 200 "s"; } }"#)
    #expect(outcome("GET /", "X: y", of: result) == "respond 403")
    let verified = converted(
      #"""
      server { listen 80; server_name a.example; ssl_verify_client on;
        if ($http_x = y) { return 200 "s"; } return 200 "secret"; }
      """#)
    #expect(outcome("GET /", "X: y", of: verified) == "respond 403")
    #expect(outcome("GET /", of: verified) == "respond 403")
  }

  @Test(arguments: [
    "location / { \(app)", "location / { \(app) } }\nlocation /x { deny all; }",
    "location / { proxy_pass \"http://127.0.0.1:9000; } location /x { deny all; }",
    "location / { \(app) } { deny all; }", "location / { \(app) } add_header X-Y \"it's;",
    "location / { \(app) deny 10.0.0.0/8 }",
  ])
  func `a file that nginx would not take opens nothing`(text: String) {
    let result = site(text)
    #expect(outcome("GET /", of: result) == "respond 503", "\(result.text)")
    #expect(result.remarks.contains { $0.text.contains("nginx refuses the file") })
  }

  @Test func `braces without end are no end of the program`() {
    for text in ["{", "}", "{}", "a{", "location{"] {
      let result = ConvertedProgram.nginx.convert(String(repeating: text, count: 60_000))
      #expect(!result.remarks.isEmpty && result.text.contains("respond 503;"))
      #expect(
        !ConvertedProgram.varnish.convert(String(repeating: text, count: 60_000)).text.isEmpty)
    }
  }

  @Test func `escapes in words are those of nginx`() {
    let result = site(
      #"""
      location / { \#(app) proxy_set_header X-A "a\\b\"c"; proxy_set_header X-B it\'s; proxy_set_header X-C a}b; }
      """#)
    for line in [
      #"set header.x-a "a\\b\"c";"#, #"set header.x-b "it's";"#, #"set header.x-c "a}b";"#,
    ] { #expect(result.text.contains(line), "\(line) in \(result.text)") }
  }

  @Test func `a condition refuses what it refused, however it is written`() {
    let result = site(
      #"""
      location / { \#(app)
        if ($request_uri ~ "^/zz") { return 403; }
        if ($request_uri ~ "token=x") { return 403; }
        if ($http_x_bad) { add_header X-A b; return 403; }
        if ($http_y = "a\"b") { return 403; }
      }
      """#)
    for (request, field) in [
      ("GET /zz", "A: b"), ("GET /z%7a", "A: b"), ("GET /?token=x", "A: b"),
      ("GET /", "X-Bad: 1"), ("GET /", "Y: a\"b"),
    ] { #expect(outcome(request, field, of: result) == "respond 403", "\(request) \(field)") }
    #expect(outcome("GET /x?z", of: result).hasPrefix("proceed"))
    #expect(result.remarks.isEmpty, "\(result.remarks)")
  }
}
