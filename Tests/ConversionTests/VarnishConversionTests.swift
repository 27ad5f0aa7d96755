import Configuration
import Conversion
import Testing

/// What is wrong with a text as a configuration; empty: nothing.
private func errors(_ text: String) -> String {
  let loaded = ConfigurationFile.parse(text, name: "edge.conf", directory: "/")
  return Diagnostic.text(loaded.diagnostics.filter { $0.severity == .error })
}

/// Carries a VCL with a backend over; the result must be a configuration.
private func converted(_ text: String, backend: String = "") -> Converted {
  let backend = backend.isEmpty ? "backend default { .host = \"10.0.0.1\"; }" : backend
  let result = ConvertedProgram.varnish.convert("vcl 4.1; \(backend)\n\(text)\n")
  #expect(errors(result.text) == "", "\(result.text)")
  return result
}

@Suite("VCL, what must not be misread")
struct VarnishConversionTests {
  @Test func `a probe with a name is that of each backend that has it`() {
    let result = converted(
      """
      probe alive { .url = "/alive"; .interval = 3s; .window = 5; }
      probe idle { .url = "/idle"; }
      backend other { .host = "10.0.0.2"; .probe = alive; }
      backend third { .host = "10.0.0.3"; .probe = missing; }
      """, backend: "backend default { .host = \"10.0.0.1\"; .probe = alive; }")
    let probes = result.text.split(separator: "\n").filter { $0.contains("health GET") }
    #expect(
      probes.map { $0.drop { $0 == " " } } == [
        "health GET /alive every=3s;", "health GET /alive every=3s;",
      ], "\(result.text)")
    #expect(result.remarks.map(\.line) == [2, 3, 5], "\(result.remarks)")
  }

  @Test func `long texts and C are no blocks`() {
    let result = converted(
      #"""
      sub vcl_synth {
        synthetic({"<style>p { color: red; } } } "x"</style>
          <p>}</p>"});
        set resp.http.X-Synth = "no";
      }
      C{ int f(void) { return '}'; } }C
      sub vcl_recv { set req.http.X-Recv = "yes"; set req.http.X-Long = {"a { b"}; }
      sub vcl_deliver { set resp.http.X-Site = "www.example.com"; set resp.http.X-T = """a } b"""; }
      """#)
    for line in [
      "set header.x-recv \"yes\";", "set header.x-long \"a { b\";",
      "on response { set header.x-site \"www.example.com\"; }",
      "on response { set header.x-t \"a } b\"; }",
    ] { #expect(result.text.contains(line), "\(line) in \(result.text)") }
    #expect(!result.text.contains("x-synth"))
    #expect(result.remarks.map(\.line) == [3, 5, 7], "\(result.remarks)")
    #expect(!result.remarks.contains { $0.text.contains("\n") })
  }

  @Test(arguments: [
    "return (synth(403, \"No.\"));",
    "if (req.url ~ \"^/public\") { return (hash); } return(synth(403));",
    "if (client.ip ~ friends) { return (pass); }\n return (fail);",
  ])
  func `what refuses all but some is not open to all`(statements: String) {
    let result = converted("sub vcl_recv { \(statements) }")
    #expect(result.text.contains("origin nowhere;") && result.text.contains("respond 503;"))
    #expect(result.remarks.contains { $0.text.contains("until rules say who may") })
  }

  @Test func `what only some requests pass is left out`() {
    let result = converted(
      """
      sub helper { unset req.http.X-Helper; }
      sub vcl_backend_error { set beresp.ttl = 1h; }
      sub vcl_recv {
        set req.http.X-Time = now;
        set req.http.X-First = "1";
        if (req.url ~ "^/admin") { return (pass); }
        unset req.http.Cookie;
      }
      sub vcl_recv { set req.http.X-Late = "1"; }
      sub vcl_backend_response {
        set beresp.ttl = 1h;
        set beresp.grace = 1h;
        if (beresp.http.X-Private) { set beresp.ttl = 0s; }
      }
      sub vcl_deliver { call helper; unset resp.http.Via; }
      """)
    #expect(result.text.contains("set header.x-first \"1\";"))
    #expect(result.text.contains("stale_while_revalidate 3600s"))
    for text in ["cookies drop", "x-helper", " set header.x-time", " set header.x-late"] {
      #expect(!result.text.contains(text), "\(text) in \(result.text)")
    }
    for text in ["unset header.x-time", "unset header.x-late", "ttl 2xx", "unset header.via"] {
      #expect(result.text.contains(text), "\(text) in \(result.text)")
    }
    #expect(result.remarks.map(\.line) == [2, 3, 5, 8, 10], "\(result.remarks)")
    #expect(result.remarks.contains { $0.line == 8 && $0.text.contains("line 7") })
  }

  @Test func `requests that are answered at once leave the rest for all others`() {
    let result = converted(
      """
      sub vcl_recv {
        if (req.method == "PURGE") { if (!client.ip ~ own) { return(synth(405, "no")); } return(purge); }
        unset req.http.COOKIE;
      }
      """)
    #expect(result.text.contains("cookies drop;"), "\(result.text)")
  }

  @Test func `a backend is the one that is meant, or none`() {
    let two = "backend a { .host = \"10.0.0.1\"; } backend default { .path = \"/run/x.sock\"; }"
    #expect(converted("", backend: two).text.contains("site * {\n    origin default;"))
    #expect(converted("", backend: two).text.contains("server unix:/run/x.sock;"))
    let chosen = converted("sub vcl_recv { set req.backend_hint = a; }", backend: two)
    #expect(chosen.text.contains("site * {\n    origin a;"), "\(chosen.text)")
    for text in [
      "sub vcl_recv { set req.backend_hint = ring.backend(); }",
      "sub vcl_recv { set req.backend_hint = ring.backend(req.url + \"x\"); }",
      "sub vcl_recv { call x; set req.backend_hint = a; }",
    ] {
      let result = converted(text, backend: two)
      #expect(result.text.contains("origin nowhere;") && result.text.contains("respond 503;"))
      #expect(result.remarks.contains { $0.line == 2 && $0.text.contains("backend_hint") })
    }
    let none = converted(
      "sub vcl_recv { set req.http.X = \"1\"; }", backend: "backend default none;")
    #expect(none.text.contains("respond 503;") && none.remarks.map(\.line) == [1])
  }
}
