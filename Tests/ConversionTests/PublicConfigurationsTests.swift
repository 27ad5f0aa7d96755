// Configurations as the documentation of well-known applications gives them, shortened where they repeat
// themselves: what comes out can be used, and what they keep closed is closed.

import Configuration
import Conversion
import Testing

private let nextcloud = #"""
  upstream php-handler { server 127.0.0.1:9000; }
  map $arg_v $asset_immutable { "" ""; default ", immutable"; }
  server {
      listen 80; listen [::]:80; server_name cloud.example.com;
      server_tokens off;
      return 301 https://$server_name$request_uri;
  }
  server {
      listen 443 ssl; listen [::]:443 ssl; http2 on; server_name cloud.example.com;
      root /var/www/nextcloud;
      ssl_certificate /etc/ssl/nginx/cloud.example.com.crt;
      ssl_certificate_key /etc/ssl/nginx/cloud.example.com.key;
      server_tokens off;
      client_max_body_size 512M; client_body_timeout 300s; fastcgi_buffers 64 4K;
      gzip on; gzip_vary on;
      add_header Referrer-Policy "no-referrer" always;
      index index.php index.html /index.php$request_uri;
      location = / { if ( $http_user_agent ~ ^DavClnt ) { return 302 /remote.php/webdav/$is_args$args; } }
      location = /robots.txt { allow all; log_not_found off; access_log off; }
      location ^~ /.well-known {
          location = /.well-known/carddav { return 301 /remote.php/dav/; }
          location = /.well-known/caldav  { return 301 /remote.php/dav/; }
          location /.well-known/acme-challenge { try_files $uri $uri/ =404; }
          return 301 /index.php$request_uri;
      }
      location ~ ^/(?:build|tests|config|lib|3rdparty|templates|data)(?:$|/)  { return 404; }
      location ~ ^/(?:\.|autotest|occ|issue|indie|db_|console)                { return 404; }
      location ~ \.php(?:$|/) {
          rewrite ^/(?!index|remote|public|cron|core\/ajax\/update) /index.php$request_uri;
          fastcgi_split_path_info ^(.+?\.php)(/.*)$;
          try_files $fastcgi_script_name =404;
          fastcgi_pass php-handler;
      }
      location ~ \.(?:css|js|mjs|svg|gif|ico|jpg|png|webp|wasm|tflite|map|ogg|flac)$ {
          try_files $uri /index.php$request_uri;
          add_header Cache-Control "public, max-age=15778463$asset_immutable";
          access_log off;
          location ~ \.wasm$ { default_type application/wasm; }
      }
      location ~ \.(otf|woff2?)$ { try_files $uri /index.php$request_uri; expires 7d; access_log off; }
      location /remote { return 301 /remote.php$request_uri; }
      location / { try_files $uri $uri/ /index.php$request_uri; }
  }
  """#

private let wordpress = #"""
  upstream php { server unix:/tmp/php-cgi.socket; server 127.0.0.1:9000; }
  server {
    server_name domain.tld; root /var/www/wordpress; index index.php;
    location = /favicon.ico { log_not_found off; access_log off; }
    location = /robots.txt { allow all; log_not_found off; access_log off; }
    location / { try_files $uri $uri/ /index.php?$args; }
    location ~ \.php$ { include fastcgi_params; fastcgi_intercept_errors on; fastcgi_pass php; }
    location ~* \.(js|css|png|jpg|jpeg|gif|ico)$ { expires max; log_not_found off; }
    location ~ /\. { deny all; }
    location ~* /(?:uploads|files)/.*\.php$ { deny all; }
  }
  """#

private let rails = #"""
  upstream app { server unix:/srv/app/shared/puma.sock fail_timeout=0; }
  server {
    listen 80 default_server deferred; client_max_body_size 4G; server_name _; keepalive_timeout 5;
    root /path/to/app/current/public;
    try_files $uri/index.html $uri @app;
    location @app {
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Host $http_host;
      proxy_redirect off;
      proxy_pass http://app;
    }
    location ~ ^/(assets|packs)/ { gzip_static on; expires max; add_header Cache-Control public; }
    error_page 500 502 503 504 /500.html;
    location = /500.html { root /path/to/app/current/public; }
  }
  """#

private let wordpressVCL = #"""
  vcl 4.1;
  import std;
  import directors;
  probe health { .request = "HEAD / HTTP/1.1" "Host: localhost" "Connection: close" "User-Agent: Varnish Health Probe"; .interval = 10s; .timeout = 5s; .window = 5; .threshold = 3; }
  backend server1 {
    .host = "127.0.0.1"; .port = "8080"; .max_connections = 300;
    .probe = health;
    .first_byte_timeout = 300s; .connect_timeout = 5s; .between_bytes_timeout = 2s;
  }
  backend server2 { .host = "10.0.0.2"; .probe = { .url = "/health"; .initial = 1; } }
  acl purge { "localhost"; "127.0.0.1"; "::1"; }
  sub vcl_init { new vdir = directors.round_robin(); vdir.add_backend(server1); vdir.add_backend(server2); }
  sub vcl_recv {
    set req.backend_hint = vdir.backend();
    set req.http.Host = regsub(req.http.Host, ":[0-9]+", "");
    unset req.http.proxy;
    set req.url = std.querysort(req.url);
    if (req.method == "PURGE") { if (!client.ip ~ purge) { return (synth(405, "Not allowed.")); } return (purge); }
    if (req.url ~ "wp-(login|admin)") { return (pass); }
    if (req.http.Cookie ~ "wordpress_logged_in") { return (pass); }
    unset req.http.Cookie;
    return (hash);
  }
  sub vcl_backend_response { set beresp.grace = 6h; if (beresp.http.Set-Cookie) { set beresp.uncacheable = true; } }
  sub vcl_deliver { unset resp.http.X-Powered-By; return (deliver); }
  """#

@Suite("Configurations of well-known applications")
struct PublicConfigurationsTests {
  /// Carries one over; the result must be a configuration, but for certificates that are not here.
  private func converted(_ text: String) -> Converted {
    let result = ConvertedProgram.of(text).convert(text)
    let loaded = ConfigurationFile.parse(result.text, name: "edge.conf", directory: "/")
    let errors = loaded.diagnostics.filter {
      $0.severity == .error && !$0.message.contains("No such file")
    }
    #expect(errors.isEmpty, "\(Diagnostic.text(errors))\n\(result.text)")
    // Each line of the original is named once at most for the same reason.
    #expect(result.remarks.allSatisfy { $0.line > 0 })
    return result
  }

  @Test func `of Nextcloud's nothing of its data is to be had`() {
    let result = converted(nextcloud)
    for rule in [
      #"when url_decode(path) matches r"^/(?:build|tests|config|lib|3rdparty|templates|data)(?:$|/)" { respond 404; }"#,
      #"matches r"^/(?:\.|autotest|occ|issue|indie|db_|console)" { respond 404; }"#,
      #"matches r"\.php(?:$|/)" { respond 503; }"#, "redirect_to_https on;",
      #"redirect 301 "/remote.php/dav/";"#,
    ] { #expect(result.text.contains(rule), "\(rule) in \(result.text)") }
    #expect(!result.text.contains("9000"))
  }

  @Test func `of WordPress's no program is shown instead of run`() {
    let result = converted(wordpress)
    for rule in [
      #"matches r"\.php$" { respond 503; }"#, #"matches r"/\." { respond 403; }"#,
      #"matches r"(?i)/(?:uploads|files)/.*\.php$" { respond 403; }"#,
    ] { #expect(result.text.contains(rule), "\(rule) in \(result.text)") }
    #expect(!result.text.contains("route / {\n        files"))
  }

  @Test func `of one in front of Rails the public files are left`() {
    let result = converted(rails)
    #expect(result.text.contains("files /path/to/app/current/public;"))
    #expect(!result.text.contains("puma.sock"))
    #expect(result.remarks.contains { $0.text.contains("location @app") })
  }

  @Test func `of a VCL that chooses its backends nobody guesses one`() {
    let result = converted(wordpressVCL)
    #expect(result.text.contains("origin nowhere;") && result.text.contains("respond 503;"))
    #expect(result.text.contains("health GET /health;"))
    #expect(!result.text.contains("cookies drop;"))
    #expect(result.remarks.contains { $0.text.contains("vdir.backend()") })
  }

  @Test func `of one as certbot leaves it, the result is as short as it was`() {
    let result = converted(
      """
      server {
        listen 80; listen [::]:80; server_name example.com www.example.com;
        location /.well-known/acme-challenge/ { root /var/www/certbot; }
        location / { return 301 https://$host$request_uri; }
      }
      server {
        listen 443 ssl; listen [::]:443 ssl; server_name example.com www.example.com;
        ssl_certificate /etc/letsencrypt/live/example.com/fullchain.pem;
        ssl_certificate_key /etc/letsencrypt/live/example.com/privkey.pem;
        include /etc/letsencrypt/options-ssl-nginx.conf;
        location / { proxy_pass http://127.0.0.1:3000; proxy_set_header Host $host; }
      }
      """)
    #expect(
      result.text == """
        # Carried over from an nginx.conf; weir check says whether it can be used.
        listen :80;
        listen :443 tls;
        admin 127.0.0.1:9090;

        origin o-127.0.0.1-3000 {
            server 127.0.0.1:3000;
        }

        site example.com www.example.com {
            certificate /etc/letsencrypt/live/example.com/fullchain.pem key \
        /etc/letsencrypt/live/example.com/privkey.pem;
            redirect_to_https on;
            route / {
                origin o-127.0.0.1-3000;
                cache off;
            }
        }

        """)
    #expect(result.remarks.map(\.line) == [3, 10], "\(result.remarks)")
  }

  @Test func `of a VCL as it comes with Varnish, there is what Varnish does by itself`() {
    let result = converted(
      """
      # This is an example VCL file for Varnish.
      vcl 4.1;

      # Default backend definition. Set this to point to your content server.
      backend default {
          .host = "127.0.0.1";
          .port = "8080";
      }

      sub vcl_recv {
          # Happens before we check if we have this in cache already.
      }

      sub vcl_backend_response {
          # Happens after we have read the response headers from the backend.
      }

      sub vcl_deliver {
      }
      """)
    #expect(
      result.text == """
        # Carried over from a VCL; weir check says whether it can be used.
        listen :6081;
        admin 127.0.0.1:9090;
        store store { size 1GiB; }

        origin default {
            server 127.0.0.1:8080;
        }

        site * {
            origin default;
            route / {
                when exists(header.cookie) || exists(header.authorization) { cache bypass; }
                on response { when exists(response.header.set-cookie) || \
        response.header.cache-control matches r"(?i)private|no-cache|no-store" { cache bypass; } }
            }
        }

        """)
    #expect(result.remarks.isEmpty, "\(result.remarks)")
  }
}
