// What nginx keeps, asked of what was converted: nothing else is kept there.

import Conversion
import Testing

private func converted(_ http: String) -> Converted {
  ConvertedProgram.nginx.convert("http {\nproxy_cache_path /c keys_zone=z:1m;\n\(http)\n}\n")
}

private let app = "proxy_pass http://127.0.0.1:9000;"

/// A location with these settings.
private func location(_ settings: String) -> Converted {
  converted("server { listen 80; server_name a.example; location / { \(app) \(settings) } }")
}

private let fresh = ["Cache-Control: max-age=60"]

@Suite("What nginx stores, asked") struct NginxCachingTests {
  @Test func `nothing is kept unless proxy_cache says so`() {
    for text in [
      "", "proxy_cache off; proxy_cache_valid 200 10m;", "proxy_cache_valid 200 10m;",
      "proxy_cache $zone;", "proxy_cache_key $cookie_user$request_uri;",
    ] { #expect(!isKept(fresh, of: location(text)), "\(text)") }
    #expect(isKept(fresh, of: location("proxy_cache z;")))
    #expect(location("proxy_cache $zone;").names(3, "depends on the request"))
  }

  @Test func `what servers and locations inherit counts`() {
    let result = converted(
      """
      proxy_cache z; proxy_cache_valid 200 1m;
      server { listen 80; server_name a.example; location / { \(app) } location /no { \(app) proxy_cache off; }
        location /own/ { \(app) proxy_cache_valid 404 5m; } }
      server { listen 80; server_name b.example; proxy_cache_key $cookie_a$request_uri; location / { \(app) } }
      server { listen 80; server_name c.example; proxy_no_cache $loggedin; location / { \(app) } }
      """)
    #expect(isKept(fresh, of: result) && isKept([], of: result))
    #expect(!isKept(fresh, to: "GET /no", of: result))
    #expect(!isKept([], to: "GET /own/", of: result))
    #expect(isKept([], status: 404, to: "GET /own/", of: result))
    #expect(!isKept(fresh, host: "b.example", of: result))
    #expect(!isKept(fresh, host: "c.example", of: result))
    #expect(result.names(6, "proxy_cache_key") && result.names(7, "proxy_no_cache"))
  }

  @Test func `what decides about sharing is carried over, or nothing is shared`() {
    let result = location(
      "proxy_cache z; proxy_no_cache $cookie_session $arg_nocache; proxy_cache_bypass $http_x_fresh;"
    )
    for (line, field) in [
      ("GET /", "Cookie: SESSION=1"), ("GET /?nocache=1", "A: b"), ("GET /", "X-Fresh: 1"),
    ] { #expect(outcome(line, field, of: result).contains("cache bypass"), "\(line) \(field)") }
    #expect(!outcome("GET /", of: result).contains("cache bypass"))
    #expect(result.remarks.isEmpty, "\(result.remarks)")
    for key in [
      "$scheme$proxy_host$request_uri", "$host$uri$is_args$args", "${scheme}://$host$request_uri",
    ] {
      #expect(isKept(fresh, of: location("proxy_cache z; proxy_cache_key \"\(key)\";")), "\(key)")
    }
  }

  @Test func `what nginx never stores is not stored`() {
    let result = location("proxy_cache z; proxy_cache_valid 200 302 10m; proxy_cache_valid 404 0;")
    for fields in [
      ["Set-Cookie: a=b", "Cache-Control: public, s-maxage=60"], ["X-Accel-Expires: 0"],
      ["X-Accel-Expires: @0"], ["Cache-Control: private, max-age=9"], ["Cache-Control: no-cache"],
      ["Cache-Control: max-age=0"], ["Expires: Thu, 01 Jan 1970 00:00:00 GMT"],
    ] { #expect(!isKept(fields, of: result), "\(fields)") }
    #expect(isKept([], of: result) && isKept(fresh, status: 301, of: result))
    #expect(isKept(["Cache-Control: max-age=0, s-maxage=60"], of: result))
    for status: UInt16 in [301, 404] {
      #expect(!isKept(["Last-Modified: x"], status: status, of: result))
    }
    let unsaid = location("proxy_cache z;")
    #expect(!isKept(["Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT"], of: unsaid))
  }

  @Test func `an expression stores no more than its location`() {
    let result = converted(
      #"""
      server { listen 80; server_name a.example;
        location / { \#(app) proxy_cache z; proxy_cache_valid 200 10m; }
        location ~ \.css$ { \#(app) proxy_cache z; proxy_cache_valid 200 1d; }
        location ~ \.js$ { \#(app) proxy_cache z; proxy_cache_valid 200 10m; }
        location ~ \.png$ { \#(app) }
      }
      """#)
    #expect(isKept([], to: "GET /x", of: result) && isKept([], to: "GET /x.js", of: result))
    #expect(!isKept([], to: "GET /x.css", of: result) && !isKept([], to: "GET /x.png", of: result))
  }

  @Test func `a plain cache stays short`() {
    let result = location("proxy_cache z; proxy_cache_valid 200 302 10m;")
    #expect(
      result.text.contains(
        """
            route / {
                origin o-127.0.0.1-9000;
        """), "\(result.text)")
    #expect(result.remarks.isEmpty && result.text.split(separator: "\n").count < 30)
  }
}
