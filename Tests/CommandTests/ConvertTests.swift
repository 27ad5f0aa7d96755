import EdgeTesting
import Testing

/// From an nginx.conf to what becomes of requests, by the commands alone.
@Suite("What nginx and Varnish keep closed, converted") struct ConvertTests {
  @Test func `no way of writing a path leads around it`() async throws {
    let directory = try TemporaryDirectory()
    try directory.write(
      "nginx.conf",
      #"""
      upstream app { server 127.0.0.1:1; }
      server {
        listen 80; server_name a.example;
        if ($request_method = DELETE) { return 405; }
        location / { proxy_pass http://app; }
        location ~ /\. { deny all; }
        location ~* ^/wp-content/.*\.php$ { deny all; }
        location = /.ok { proxy_pass http://app; }
        location ^~ /static/ { proxy_pass http://app; }
      }
      """#)
    let convert = try await Program.run([
      WeirProcess.executable, "convert", directory.file("nginx.conf"), "-o",
      directory.file("edge.conf"),
    ])
    #expect(convert.status == 0, "\(convert.output)")
    for (request, outcome) in [
      ("GET /.git/config", "respond 403"), ("GET /%2egit/config", "respond 403"),
      ("GET /a%2f.env", "respond 403"), ("GET //.env", "respond 403"),
      ("GET /WP-content/x/Y.PHP", "respond 403"), ("GET /wp-content/a%2Fb.ph%70", "respond 403"),
      ("DELETE /x", "respond 405"), ("GET /x", "origin app"), ("GET /.ok", "origin app"),
      ("GET /static/.x", "origin app"),
    ] {
      let said = try await Program.run([
        WeirProcess.executable, "eval", directory.file("edge.conf"), "--request", request, "-H",
        "Host: a.example",
      ])
      #expect(said.status == 0 && said.output.contains(outcome), "\(request): \(said.output)")
    }
  }

  /// Converts a file, and asks what becomes of requests: by their lines and further arguments of `weir eval`.
  private func ask(
    _ name: String, _ text: String, status: Int32 = 0,
    _ requests: [(line: String, arguments: [String], outcome: String)]
  ) async throws {
    let directory = try TemporaryDirectory()
    try directory.write(name, text)
    let convert = try await Program.run([
      WeirProcess.executable, "convert", directory.file(name), "-o", directory.file("edge.conf"),
    ])
    #expect(convert.status == status, "\(convert.output)")
    for (line, arguments, outcome) in requests {
      let said = try await Program.run(
        [WeirProcess.executable, "eval", directory.file("edge.conf"), "--request", line] + arguments
      )
      #expect(said.status == 0 && said.output.contains(outcome), "\(line): \(said.output)")
    }
  }

  @Test func `a site is to be had at its own listener`() async throws {
    let server = "location / { proxy_pass http://127.0.0.1:1; }"
    try await ask(
      "nginx.conf",
      """
      http {
        server { listen 80; server_name www.example; \(server) }
        server { listen 127.0.0.1:8080; server_name admin.example; \(server) }
      }
      """,
      [
        ("GET /", ["-H", "Host: www.example"], "proceed"),
        ("GET /", ["-H", "Host: admin.example"], "respond 421"),
        ("GET /", ["-H", "Host: admin.example", "--port", "8080"], "proceed"),
        ("GET /", ["-H", "Host: www.example", "--port", "8080"], "respond 421"),
      ])
  }

  @Test func `what Varnish passes by its store is not shared`() async throws {
    try await ask(
      "default.vcl",
      #"""
      vcl 4.1;
      backend default { .host = "127.0.0.1"; }
      acl inside { "10.0.0.0"/8; }
      sub vcl_recv {
        if (req.url ~ "^/admin" && client.ip !~ inside) { return (synth(403)); }
        if (req.url ~ "^/account") { return (pass); }
      }
      """#,
      [
        ("GET /account", [], "cache bypass"), ("GET /", ["-H", "Cookie: a=b"], "cache bypass"),
        ("GET /", ["-H", "Authorization: Basic x"], "cache bypass"),
        ("GET /%61dmin", [], "respond 403"), ("GET /admin", ["--client", "10.1.1.1"], "proceed"),
        ("GET /", ["--status", "200", "--response", "Set-Cookie: a=b"], "cache bypass"),
      ])
  }
}
