import Configuration
import Conversion
import Testing

private let nginx = """
  user www-data;
  worker_processes auto;
  events { worker_connections 1024; }
  http {
      include /etc/nginx/mime.types;
      proxy_cache_path /var/cache/nginx levels=1:2 keys_zone=main:10m max_size=10g inactive=60m;
      limit_req_zone $binary_remote_addr zone=one:10m rate=10r/s;
      upstream backend {
          least_conn;
          server 10.0.0.1:8080 weight=3;
          server 10.0.0.2:8080 max_fails=3;   # a comment; with { braces
          server 10.0.0.3:8080 backup;
          keepalive 32;
      }
      server { listen 80; server_name example.com www.example.com; return 301 https://$host$request_uri; }
      server {
          listen 443 ssl http2;
          server_name example.com www.example.com;
          location / {
              proxy_pass http://backend;
              proxy_set_header Host $host;
              proxy_set_header X-Env "prod";
              proxy_cache main;
              proxy_cache_valid 200 302 10m;
              proxy_cache_valid 404 1m;
              add_header X-Cache $upstream_cache_status;
              limit_req zone=one burst=20 nodelay;
          }
          location = /healthz { return 200 'ok "yes"'; }
          location /ws { proxy_pass http://127.0.0.1:9000; proxy_set_header Upgrade $http_upgrade; }
          location ~ \\.php$ { fastcgi_pass unix:/run/php.sock; }
          location /old { return 302 /new; client_max_body_size 10m; }
          content_by_lua_block { if x then return { 1 } end }
      }
      server { listen 8081 default_server; location / { proxy_pass https://app.internal/base/; } }
  }
  """

private let vcl = """
  vcl 4.1;
  import std;
  /* The one
     behind. */
  backend default {
      .host = "127.0.0.1"; .port = "8080";
      .first_byte_timeout = 60s; .connect_timeout = 0.5s;
      .probe = { .url = "/health"; .interval = 5s; .timeout = 1s; .window = 5; }
  }
  acl purgers { "localhost"; "10.0.0.0"/8; }
  sub vcl_recv {
      if (req.method == "PURGE") { return (purge); }
      unset req.http.Cookie;
      set req.http.X-Edge = "varnish";
  }
  sub vcl_backend_response {
      set beresp.ttl = 1h; // always
      set beresp.grace = 2d;
      unset beresp.http.Set-Cookie;
  }
  sub vcl_deliver { unset resp.http.Via; set resp.http.X-Hits = obj.hits; }
  """

/// What is wrong with a text as a configuration; empty: nothing.
private func errors(_ text: String) -> String {
  let loaded = ConfigurationFile.parse(text, name: "edge.conf", directory: "/")
  return Diagnostic.text(loaded.diagnostics.filter { $0.severity == .error })
}

@Suite("Other programs' configurations")
struct ConversionTests {
  @Test func `an nginx.conf becomes a configuration that can be used`() {
    let converted = ConvertedProgram.nginx.convert(nginx)
    // Its certificate is not here.
    let plain = converted.text.split(separator: "\n").filter { !$0.contains("redirect_to_https") }
      .map { $0.hasSuffix(" tls;") ? $0.dropLast(5) + ";" : $0 }.joined(separator: "\n")
    #expect(errors(plain) == "", "\(converted.text)")
    for line in [
      "listen :80;", "listen :443 tls;", "store /var/cache/nginx { size 10GiB; }",
      "limit one { token_bucket 10/s burst=20; key client.ip; }", "balance least_connections;",
      "server 10.0.0.1:8080 weight=3;", "server 10.0.0.3:8080 backup;", "keepalive 32;",
      "site example.com www.example.com {", "redirect_to_https on;", "origin backend;",
      "cache { default_ttl 200 302 10m; default_ttl 404 1m; }", "set header.x-env \"prod\";",
      "respond 200 \"ok \\\"yes\\\"\";", "upgrade on;", "redirect 302 \"/new\";", "max_body 10MiB;",
      "server https://app.internal:443;", "site * {", "when listener.port != 8081 { respond 421; }",
      "when !(listener.port in [80, 443]) { respond 421; }",
      #"rewrite path "/base/${strip_prefix(path, "/")}";"#,
    ] { #expect(converted.text.contains(line), "\(line) in \(converted.text)") }
  }

  @Test func `what it leaves out is named with its line`() {
    let remarks = ConvertedProgram.nginx.convert(nginx).remarks
    func has(_ line: Int, _ text: String) -> Bool {
      remarks.contains { $0.line == line && $0.text.contains(text) }
    }
    #expect(has(1, "user www-data"))
    #expect(has(11, "max_fails=3"))
    #expect(has(26, "add_header X-Cache"))
    #expect(has(31, "fastcgi_pass"))
    #expect(has(33, "content_by_lua_block"))
    #expect(remarks.map(\.line) == remarks.map(\.line).sorted())
    #expect(!remarks.contains { $0.text.contains("worker_processes") })
  }

  @Test func `a VCL becomes one too, as far as it is settings`() {
    #expect(ConvertedProgram.of(vcl) == .varnish && ConvertedProgram.of(nginx) == .nginx)
    let converted = ConvertedProgram.varnish.convert(vcl)
    #expect(errors(converted.text) == "", "\(converted.text)")
    for line in [
      "server 127.0.0.1:8080;", "first_byte_timeout 60s;", "connect_timeout 500ms;",
      "health GET /health every=5s timeout=1s;", "cookies drop;", "set header.x-edge \"varnish\";",
      "on response { unset header.via; }",
      "cache { ttl 2xx 3600s; stale_while_revalidate 172800s; set_cookie strip; }",
    ] { #expect(converted.text.contains(line), "\(line) in \(converted.text)") }
    let lines = converted.remarks.map(\.line)
    #expect(lines == [8, 10, 12, 21], "\(converted.remarks)")
  }

  @Test func `no damage traps`() {
    var seed: UInt64 = 3
    for text in [nginx, vcl] {
      for _ in 0..<300 {
        var bytes = Array(text.utf8)
        for _ in 0..<4 {
          seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
          let place = Int(seed >> 33) % bytes.count
          let pieces = Array("{};\"'$#\n =/:".utf8)
          bytes[place] = pieces[Int(seed >> 20) % pieces.count]
        }
        let damaged = String(decoding: bytes, as: UTF8.self)
        for program in ConvertedProgram.allCases {
          #expect(!program.convert(damaged).text.isEmpty)
        }
      }
    }
  }
}
