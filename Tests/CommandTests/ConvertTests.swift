import EdgeTesting
import Testing

/// From an nginx.conf to what becomes of requests, by the commands alone.
@Suite("What nginx keeps closed, converted") struct ConvertTests {
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
}
