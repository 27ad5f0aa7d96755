import Configuration
import Conversion
import Testing

/// What is wrong with a text as a configuration; empty: nothing.
private func errors(_ text: String) -> String {
  let loaded = ConfigurationFile.parse(text, name: "edge.conf", directory: "/")
  return Diagnostic.text(loaded.diagnostics.filter { $0.severity == .error })
}

/// Carries over what stands in `http`, with a server behind "app"; the result must be a configuration.
private func converted(_ text: String) -> Converted {
  let result = ConvertedProgram.nginx.convert("http {\n\(text)\n}\n")
  #expect(errors(result.text) == "", "\(result.text)")
  return result
}

/// The lines between a head and its closing brace, without their indent.
private func block(_ head: String, of converted: Converted) -> [String] {
  let lines = converted.text.split(separator: "\n").map { $0.drop { $0 == " " } }
  guard let start = lines.firstIndex(where: { $0 == "\(head) {" }) else { return ["no \(head)"] }
  return lines[(start + 1)...].prefix { $0 != "}" }.map(String.init)
}

@Suite("nginx.conf, what must not be misread")
struct NginxConversionTests {
  @Test func `what nobody may see stays closed`() {
    let result = converted(
      """
      upstream app { server 10.0.0.1:80; }
      server {
        listen 80;
        server_name a.example;
        deny 10.9.0.0/16;
        location / { proxy_pass http://app; }
        location = /xmlrpc.php { deny all; proxy_pass http://app; }
        location /office { allow 10.0.0.0/8; deny all; proxy_pass http://app; }
        location /open { allow all; proxy_pass http://app; }
        location /hidden { internal; proxy_pass http://app; }
        location /staff {
          auth_basic "Staff"; proxy_pass http://app;
          location /staff/in { proxy_pass http://app; }
          location /staff/out { auth_basic off; proxy_pass http://app; }
        }
      }
      """)
    #expect(block("route = /xmlrpc.php", of: result) == ["origin nowhere;", "respond 403;"])
    #expect(block("route /hidden", of: result) == ["origin nowhere;", "respond 404;"])
    #expect(block("route /staff", of: result) == ["origin nowhere;", "respond 403;"])
    #expect(block("route /staff/in", of: result) == ["origin nowhere;", "respond 403;"])
    #expect(
      block("route /staff/out", of: result) == ["origin app;", "deny 10.9.0.0/16;", "cache off;"])
    #expect(
      block("route /office", of: result) == ["origin app;", "allow 10.0.0.0/8;", "cache off;"])
    #expect(block("route /open", of: result) == ["origin app;", "cache off;"])
    #expect(block("route /", of: result) == ["origin app;", "deny 10.9.0.0/16;", "cache off;"])
    #expect(result.names(11, "internal"))
    #expect(result.names(13, "auth_basic"))
  }

  @Test func `a whole server that is closed is so in each of its locations`() {
    let result = converted(
      """
      upstream app { server 10.0.0.1:80; }
      deny all;
      server { server_name a.example; location / { proxy_pass http://app; } }
      server { server_name b.example; allow 10.0.0.1; deny all; location / { proxy_pass http://app; } }
      """)
    #expect(block("route /", of: result) == ["origin nowhere;", "respond 403;"])
    #expect(result.text.contains("allow 10.0.0.1;"))
  }

  @Test func `a location without a way here goes nowhere`() {
    let result = converted(
      """
      upstream php-handler { server 127.0.0.1:9000; }
      server {
        server_name a.example;
        root /srv/www;
        location / { }
        location /app { fastcgi_pass php-handler; }
        location /pictures { alias /srv/pictures; }
        location /any { proxy_pass http://$arg_host; }
        location /try { try_files $uri @app; }
      }
      server { server_name b.example; location /x { add_header X-A b; } }
      """)
    #expect(block("route /", of: result) == ["files /srv/www;"])
    for (head, line) in [("/app", 7), ("/pictures", 8), ("/any", 9), ("/try", 10), ("/x", 12)] {
      #expect(block("route \(head)", of: result) == ["origin nowhere;", "respond 503;"])
      #expect(result.remarks.contains { $0.line == line && $0.text.contains("503") }, "\(head)")
    }
    #expect(!result.text.contains("9000"), "\(result.text)")
  }

  @Test(arguments: [
    "", "server { }", "server { return 404; }", "server { location / { return 204; } }",
    "server { listen unix:/run/x; server_name ~^x$ www.*; }",
    "server { return 301 https://$host$request_uri; }",
    "server { listen 80; listen [::]:80; listen 80 default_server; server_name a A .a; }",
    "upstream u { } server { location / { proxy_pass http://u; } }",
    "server { location /a { return 200 x; } location /a { return 201; } location \"/a b\" { } }",
    "server { location / { return 200 a; return 201 b; proxy_set_header A b; proxy_pass http://x; } }",
    "server { location / { proxy_pass http://x; proxy_set_header TE a; add_header Age 1; } location /z { } }",
  ])
  func `what has no upstream is a configuration too`(text: String) {
    #expect(converted(text).text.contains("origin nowhere"), "\(text)")
  }

  @Test func `servers that are down are not asked, and sockets are`() {
    let result = converted(
      """
      upstream app { server 10.0.0.1:80 down; server unix:/run/app.sock max_conns=0; }
      upstream off { server 10.0.0.2:80 down; }
      server {
        server_name a.example;
        location / { proxy_pass http://app; }
        location /off { proxy_pass http://off; }
        location /socket { proxy_pass http://unix:/run/other.sock:/base/; }
        location /tls { proxy_pass https://10.0.0.3; }
      }
      """)
    #expect(!result.text.contains("10.0.0.1") && !result.text.contains("10.0.0.2"))
    #expect(block("origin app", of: result) == ["server unix:/run/app.sock;"])
    #expect(result.text.contains("server unix:/run/other.sock;"), "\(result.text)")
    #expect(result.text.contains("server https://10.0.0.3:443;"))
    #expect(
      block("route /socket", of: result)[1]
        == #"rewrite path "/base/${strip_prefix(path, "/socket")}";"#)
    #expect(block("route /off", of: result) == ["origin nowhere;", "respond 503;"])
    #expect(result.names(2, "10.0.0.1:80 down") && result.names(3, "upstream off"))
    #expect(result.names(7, "503"))
  }

  @Test func `an upstream that is asked over TLS is not asked without`() {
    let result = converted(
      """
      upstream app { server 10.0.0.1:8443; }
      server { location / { proxy_pass https://app; } location /plain { proxy_pass http://app; } }
      """)
    #expect(block("origin app-tls", of: result) == ["server https://10.0.0.1:8443;"])
    #expect(block("origin app", of: result) == ["server 10.0.0.1:8443;"])
    #expect(block("route /", of: result).first == "origin app-tls;")
  }

  @Test func `listeners are those that are meant`() {
    let result = converted(
      """
      server { listen 8443 quic reuseport; listen localhost:8080; listen [::1]:8081; listen www.example:80;
        server_name a.example; location / { return 204; } }
      """)
    let listeners = result.text.split(separator: "\n").filter { $0.hasPrefix("listen ") }
    #expect(listeners == ["listen 127.0.0.1:8080;", "listen [::1]:8081;"])
    #expect(result.names(2, "quic") && result.names(2, "www.example:80"))
  }

  @Test func `redirects go where they went`() {
    let result = converted(
      """
      server { server_name a.example; return 301 https://$host:8443$request_uri; }
      server { server_name b.example; return 301 https://other.example$request_uri; location /x { } }
      server { server_name c.example; return 302 https://$host/login; }
      server { server_name d.example e.example; location / { return 301 https://$host$request_uri; } }
      server { server_name d.example; location / { return 204; } }
      server { server_name e.example; location / { return 205; } }
      """)
    #expect(block("site a.example", of: result).first == "redirect_to_https on port=8443;")
    #expect(!block("site b.example", of: result).joined().contains("redirect_to_https"))
    #expect(
      result.text.contains("redirect 301 \"https://other.example${path}?${query}\";"),
      "\(result.text)")
    #expect(result.names(3, "location /x"))
    #expect(result.text.contains("redirect 302 \"https://${host}/login\";"))
    for (host, status) in [("d", 204), ("e", 205)] {
      let site = block("site \(host).example", of: result)
      #expect(site.first == "redirect_to_https on;" && site.contains("respond \(status);"))
    }
  }

  @Test func `fields say what they said`() {
    let result = converted(
      """
      upstream app { server 10.0.0.1:80; }
      server {
        proxy_set_header X-All yes;
        location / { proxy_pass http://app; proxy_set_header Host x.internal; }
        location /a { proxy_pass http://app; proxy_set_header Accept-Encoding ""; }
        location /b { proxy_pass http://app; }
        location /c { proxy_pass http://app; proxy_set_header Host $arg_x; }
      }
      """)
    #expect(block("route /", of: result) == ["origin app-as-x.internal;", "cache off;"])
    #expect(block("origin app-as-x.internal", of: result).last == "host x.internal;")
    #expect(
      block("route /a", of: result) == [
        "origin app;", "unset header.accept-encoding;", "cache off;",
      ])
    #expect(
      block("route /b", of: result) == ["origin app;", "set header.x-all \"yes\";", "cache off;"])
    #expect(result.names(8, "proxy_set_header Host $arg_x"))
  }

  @Test func `what expressions deny is denied, and what they answer is answered`() {
    let result = converted(
      #"""
      upstream app { server 10.0.0.1:80; }
      upstream api { server 10.0.0.2:80; }
      server {
        server_name a.example;
        location / { proxy_pass http://app; }
        location ~ /\. { deny all; }
        location ~* \.(bak|sql)$ { return 404; }
        location ~ ^/in/ { internal; proxy_pass http://app; }
        location ~ "^/o{2}" { allow 10.0.0.0/8; deny all; proxy_pass http://app; }
        location ~ \.php$ { fastcgi_pass unix:/run/php.sock; }
        location ~ ^/v[0-9]/ { proxy_pass http://api; client_max_body_size 1m; }
        location ~ ^/staff { auth_basic "Staff"; proxy_pass http://app; }
        location ~ ^/one/(.+)$ { return 301 /two/$1; }
        location = /exact.sql { proxy_pass http://app; }
        location ^~ /static/ { proxy_pass http://app; location ~ \.map$ { return 403; } }
        location /more { proxy_pass http://app; location ~ "\"x" { return 410; } }
        location @named { proxy_pass http://app; }
      }
      """#)
    let chain = [
      #"when url_decode(path) matches r"/\." { respond 403; }"#,
      #"else when url_decode(path) matches r"(?i)\.(bak|sql)$" { respond 404; }"#,
      #"else when url_decode(path) matches r"^/in/" { respond 404; }"#,
      #"else when url_decode(path) matches r"^/o{2}" { when !(client.ip in [10.0.0.0/8]) { respond 403; } origin app; cache bypass; }"#,
      #"else when url_decode(path) matches r"\.php$" { respond 503; }"#,
      #"else when url_decode(path) matches r"^/v[0-9]/" { origin api; cache bypass; }"#,
      #"else when url_decode(path) matches r"^/staff" { respond 403; }"#,
      #"else when url_decode(path) matches r"^/one/(.+)$" { respond 503; }"#,
    ]
    #expect(block("route /", of: result) == ["origin app;"] + chain + ["cache off;"])
    #expect(block("route = /exact.sql", of: result) == ["origin app;", "cache off;"])
    #expect(
      block("route ^~ /static/", of: result) == ["no route ^~ /static/"]
        && block("route /static/", of: result) == [
          "origin app;", #"when url_decode(path) matches r"\.map$" { respond 403; }"#, "cache off;",
        ])
    let more = block("route /more", of: result)
    #expect(more[1] == #"when url_decode(path) matches r"\x22x" { respond 410; }"#, "\(more)")
    #expect(more[2] == "else " + chain[0])
    #expect(result.names(12, "max_body 1MiB") && result.names(13, "auth_basic"))
    #expect(result.names(11, "fastcgi_pass") && result.names(14, "return 301"))
    #expect(result.names(18, "location @named"))
  }

  @Test func `expressions count where no path is said`() {
    let result = converted(
      #"""
      server { server_name a.example; root /srv; location ~ /\.ht { deny all; } location /x { return 204; } }
      server { server_name b.example; location ~ ^/a { return 200 a; } location = /x { return 204; } }
      """#)
    let denial = #"when url_decode(path) matches r"/\.ht" { respond 403; }"#
    #expect(block("route /", of: result) == ["files /srv;", denial])
    #expect(block("route /x", of: result) == ["origin nowhere;", denial, "respond 204;"])
    #expect(
      result.text.contains(#"when url_decode(path) matches r"^/a" { respond 200 "a"; }"#),
      "\(result.text)")
  }

  @Test func `who an expression sends on does not meet the route's own rules`() {
    let result = converted(
      #"""
      upstream app { server 10.0.0.1:80; }
      upstream api { server 10.0.0.2:80; }
      server {
        server_name a.example; root /srv;
        location / { return 301 /new; }
        location ~ ^/api/ { proxy_pass http://api; add_header X-A b; proxy_cache one; }
        location /set { proxy_pass http://app; proxy_set_header X-B c; proxy_cache one; }
        location /files { }
      }
      """#)
    let chain = #"when url_decode(path) matches r"^/api/" { origin api; }"#
    #expect(
      block("route /", of: result) == [
        "origin nowhere;", chain, #"else { redirect 301 "/new"; }"#,
      ])
    #expect(
      block("route /set", of: result) == [
        "origin app;", chain, #"else { set header.x-b "c"; }"#, "use as-nginx();",
        #"on response { when !(response.header.cache-control matches r"(?i)max-?age=") { cache bypass; } }"#,
        "cache on;",
      ])
    #expect(block("route /files", of: result) == ["files /srv;", chain])
    #expect(result.names(7, "add_header") || result.names(7, "on response"))
    #expect(result.names(7, "cache on"))
  }

  @Test func `what a condition refuses is refused`() {
    let result = converted(
      #"""
      upstream app { server 10.0.0.1:80; }
      server {
        server_name a.example;
        if ($http_user_agent ~* "(bad bot|\.evil)") { return 403; }
        if ($request_method !~ ^(GET|HEAD|POST)$) { return 405; }
        if ($scheme = http) { return 301 https://www.example$request_uri; }
        if ($http_x_key != "") { return 444; }
        if ($host = b.example) { set $x 1; return 403; }
        if ($http_x_set) { set $x 1; }
        location / { proxy_pass http://app; if ($cookie_beta = "yes") { return 204; } if ($uri ~ /old$) { return 410; } }
      }
      """#)
    let site = result.text
    for rule in [
      #"    when header.user-agent matches r"(?i)(bad bot|\.evil)" { respond 403; }"#,
      #"    when !(request.method matches r"^(GET|HEAD|POST)$") { respond 405; }"#,
      #"    when scheme == "http" { when query == "" { redirect 301 "https://www.example${path}"; } redirect"#,
      #"    when header.x-key != "" { respond 503; }"#,
      #"        when cookie.beta == "yes" { respond 204; }"#,
      #"        when url_decode(path) matches r"/old$" { respond 410; }"#,
    ] { #expect(site.contains("\n" + rule), "\(rule) in \(site)") }
    #expect(site.contains(#"when host == "b.example" { respond 403; }"#))
    #expect(result.remarks.map(\.line) == [8, 10], "\(result.remarks)")
  }

  @Test func `who may only read may only read`() {
    let result = converted(
      """
      upstream app { server 10.0.0.1:80; }
      server {
        server_name a.example;
        location / { proxy_pass http://app; limit_except GET { deny all; } }
        location /in { proxy_pass http://app; limit_except GET POST { deny 10.0.0.9; allow 10.0.0.0/8; deny all; } }
        location /known { proxy_pass http://app; limit_except GET { auth_basic "x"; } }
        location /any { proxy_pass http://app; limit_except GET { allow all; } }
        location /odd { proxy_pass http://app; limit_except "G ET" { deny all; } }
        location ~ /x$ { proxy_pass http://app; limit_except GET { deny all; } }
      }
      """)
    let readers = #"when !(request.method in ["GET", "HEAD"])"#
    let posters = #"when !(request.method in ["GET", "POST", "HEAD"])"#
    #expect(result.text.contains("else { \(readers) { respond 403; } }"), "\(result.text)")
    #expect(result.text.contains("{ origin app; \(readers) { respond 403; } cache bypass; }"))
    #expect(
      result.text.contains(
        "\(posters) && client.ip in [10.0.0.9] { respond 403; } "
          + "\(posters) && !(client.ip in [10.0.0.0/8]) { respond 403; }"), "\(result.text)")
    #expect(block("route /any", of: result).count == 3)
    #expect(result.names(7, "auth_basic") && result.names(9, "limit_except"))
  }

  @Test func `what certbot writes sends to TLS`() {
    let result = converted(
      """
      server {
        server_name a.example www.a.example; listen 80;
        location / { return 204; }
      }
      server {
        if ($host = www.a.example) { return 301 https://$host$request_uri; } # managed by Certbot
        if ($host = a.example) { return 301 https://$host$request_uri; }
        listen 80; server_name a.example www.a.example;
        return 404; # managed by Certbot
      }
      server {
        if ($host = b.example) { return 301 https://$host$request_uri; }
        if ($host = z.example) { return 301 https://$host$request_uri; }
        if ($arg_x) { return 403; }  # whatever it says
        listen 80; server_name b.example c.example;
        return 404;
      }
      """)
    #expect(
      block("site a.example www.a.example", of: result).first == "redirect_to_https on;",
      "\(result.text)")
    #expect(result.text.contains("respond 204;"))
    #expect(block("site b.example", of: result).first == "redirect_to_https on;")
    let rest = block("site c.example", of: result)
    #expect(rest.contains("respond 503;") && !rest.contains { $0.contains("redirect_to_https") })
    #expect(result.remarks.map(\.line) == [14, 15], "\(result.remarks)")
  }

  @Test func `no setting goes unsaid`() {
    let result = converted(
      """
      proxy_cache_path /one keys_zone=a:1m;
      proxy_cache_path /two keys_zone=b:1m;
      client_max_body_size 0;
      default_type text/html; charset utf-8; etag off; open_file_cache max=10;
      upstream app { server 10.0.0.1:80; keepalive_timeout 30s; }
      upstream own { server 10.0.0.1:80; keepalive_timeout x; }
      server {
        server_name a.example; index index.php;
        ssl_certificate /a.pem;
        location / { proxy_pass http://app; client_max_body_size 0; index index.html; }
        location /own { proxy_pass http://own; default_type text/css; etag on; }
      }
      server { server_name b.example; ssl_certificate_key /b.key; location / { return 204; } }
      """)
    #expect(block("origin app", of: result).last == "keepalive_timeout 30s;")
    #expect(result.text.contains("client { max_body 1024TiB; }"))
    #expect(block("route /", of: result).contains("max_body 1024TiB;"))
    for (line, text) in [
      (3, "/two"), (5, "default_type"), (5, "charset"), (5, "etag off"), (5, "open_file_cache"),
      (7, "keepalive_timeout x"), (9, "index index.php"), (10, "ssl_certificate /a.pem"),
      (12, "default_type"), (14, "ssl_certificate_key"),
    ] { #expect(result.names(line, text), "\(line) \(text): \(result.remarks)") }
    #expect(result.remarks.count == 10, "\(result.remarks)")
  }

  @Test func `a key may stand before its certificate`() {
    let result = ConvertedProgram.nginx.convert(
      """
      server {
        listen 443 ssl; ssl_certificate_key /a.key; ssl_certificate /a.pem;
        ssl_certificate /b.pem; ssl_certificate_key /b.key; location / { return 204; }
      }
      """)
    #expect(result.text.contains("certificate /a.pem key /a.key;"))
    #expect(result.text.contains("certificate /b.pem key /b.key;"))
    #expect(result.remarks.isEmpty, "\(result.remarks)")
  }
}
