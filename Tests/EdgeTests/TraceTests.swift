import Bytes
import EdgeTesting
import EventLoop
import Metrics
import Testing
import Tracing

/// A collector: what was posted to it.
final class Collector: Sendable {
  let origin: ScriptedOrigin
  let exports: Watched<[[UInt8]]>

  init(status: Int = 200) async throws {
    let exports = Watched<[[UInt8]]>([])
    self.exports = exports
    origin = try await ScriptedOrigin.answering { request in
      if request.target == "/v1/traces", request.method == "POST",
        request.header("content-type") == "application/x-protobuf"
      {
        let content = request.body
        exports.update { $0.append(content) }
      }
      return Reply(status)
    }
  }

  /// The spans' names and the bytes that identify them, once so many requests have come.
  func names(_ names: [String]) async throws -> Bool {
    try await exports.wait(for: "traces with \(names)") { exports in
      names.allSatisfy { name in exports.contains { Self.contains($0, Array(name.utf8)) } }
    }
    return true
  }

  static func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
    guard let first = part.first, bytes.count >= part.count else { return false }
    return (0...bytes.count - part.count).contains {
      bytes[$0] == first && bytes[$0...].starts(with: part)
    }
  }
}

@Suite("Traces")
struct TraceTests {
  static let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

  static func answers() async throws -> (ScriptedOrigin, Watched<[PeerRequest]>) {
    let seen = Watched<[PeerRequest]>([])
    let origin = try await ScriptedOrigin.answering { request in
      seen.update { $0.append(request) }
      return Reply(200, ["Cache-Control: max-age=60"], "hello")
    }
    return (origin, seen)
  }

  @Test func `the origin is told of the trace, and the collector of the request's phases`()
    async throws
  {
    let collector = try await Collector()
    let (origin, seen) = try await Self.answers()
    let node = try TestNode.start(
      origin: origin.port,
      top: "trace { collector http://127.0.0.1:\(collector.origin.port); sample 100%; }")
    defer { node.stop() }
    let fields = ["traceparent: \(Self.traceparent)", "tracestate: vendor=1"]
    let client = try await node.connect()
    _ = try await client.get("/a?secret=1", fields)
    let told = try #require(seen.value.first?.header("traceparent"))
    let context = try #require(told.withView { TraceContext($0) })
    #expect(context.traceHigh == 0x4bf9_2f35_77b3_4da6 && context.isSampled)
    #expect(context.parent != 0x00f0_67aa_0ba9_02b7)
    #expect(seen.value.first?.header("tracestate") == "vendor=1")
    // A hit is traced as well.
    try await node.settle()
    #expect(
      try await client.get("/a?secret=1", fields).header("cache-status")?.contains("hit") == true)
    client.close()
    #expect(
      try await collector.names([
        "GET */", "admission", "rules", "limits", "lookup", "origin connect", "origin first byte",
        "body", "vendor=1", "url.path", "/a", "weir.cache",
      ]))
    let bytes = collector.exports.value.flatMap { $0 }
    #expect(!Collector.contains(bytes, Array("secret".utf8)))
    // The span that the origin was told is among them.
    let span = (0..<8).map { UInt8(truncatingIfNeeded: context.parent >> (56 - 8 * $0)) }
    #expect(Collector.contains(bytes, span))
    let metrics = try await node.admin("GET", "/metrics").text
    #expect(metrics.contains("\nweir_traces_dropped_total 0\n"))
  }

  @Test func `a request that is not sampled goes on as it came`() async throws {
    let (origin, seen) = try await Self.answers()
    let node = try TestNode.start(
      origin: origin.port, top: "trace { collector http://127.0.0.1:9; sample 0%; }")
    defer { node.stop() }
    _ = try await node.get("/a", "traceparent: \(Self.traceparent)")
    _ = try await node.get("/b")
    #expect(seen.value.map { $0.header("traceparent") } == [Self.traceparent, nil])
  }

  @Test func `a client that is followed decides what is traced`() async throws {
    let collector = try await Collector()
    let (origin, seen) = try await Self.answers()
    let node = try TestNode.start(
      origin: origin.port,
      top: """
        trace {
          collector http://127.0.0.1:\(collector.origin.port)/v1/traces; sample 0%;
          follow_clients on;
        }
        """)
    defer { node.stop() }
    _ = try await node.get("/not", "traceparent: \(Self.traceparent.dropLast())0")
    _ = try await node.get("/traced", "traceparent: \(Self.traceparent)")
    #expect(try await collector.names(["/traced"]))
    #expect(!Collector.contains(collector.exports.value.flatMap { $0 }, Array("/not".utf8)))
    #expect(seen.value.count == 2)
  }

  @Test func `two traceparents, and damaged ones, begin a trace of our own`() async throws {
    let collector = try await Collector()
    let (origin, seen) = try await Self.answers()
    let node = try TestNode.start(
      origin: origin.port,
      top: "trace { collector http://127.0.0.1:\(collector.origin.port); sample 100%; }")
    defer { node.stop() }
    _ = try await node.get(
      "/a", "traceparent: \(Self.traceparent)", "traceparent: \(Self.traceparent)")
    _ = try await node.get("/b", "traceparent: \(Self.traceparent.uppercased())")
    for request in seen.value {
      let lines = request.fields.filter { $0.name.lowercased() == "traceparent" }
      #expect(lines.count == 1)
      #expect(lines.first?.value.contains("4bf92f35") == false)
    }
    #expect(seen.value.count == 2)
  }

  @Test func `a collector that is down costs the traces and nothing else`() async throws {
    let (origin, _) = try await Self.answers()
    let node = try TestNode.start(
      origin: origin.port, top: "trace { collector http://127.0.0.1:9; sample 100%; }")
    defer { node.stop() }
    #expect(try await node.get("/a").status == 200)
    try await eventually("the trace to be dropped") {
      try await node.admin("GET", "/metrics").text.contains("\nweir_traces_dropped_total 1\n")
    }
    #expect(node.notes.value.contains { $0.hasPrefix("traces: http://127.0.0.1:9") })
    #expect(try await node.get("/a").status == 200)
  }

  @Test func `a traced request is the exemplar of its bucket`() async throws {
    let collector = try await Collector()
    let (origin, _) = try await Self.answers()
    let node = try TestNode.start(
      origin: origin.port,
      top: "trace { collector http://127.0.0.1:\(collector.origin.port); sample 100%; }")
    defer { node.stop() }
    _ = try await node.get("/a", "traceparent: \(Self.traceparent)")
    let client = try await RawClient.connect(to: node.adminPort)
    let figures = try await client.get(
      "/metrics", host: "localhost", ["Accept: application/openmetrics-text; version=1.0.0"])
    #expect(
      figures.header("content-type") == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    )
    #expect(figures.text.contains("# {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} "))
    #expect(figures.text.hasSuffix("# EOF\n"))
  }
}
