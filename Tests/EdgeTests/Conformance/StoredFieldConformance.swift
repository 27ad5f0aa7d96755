// The suite's headers and update304: which fields are stored (RFC 9111 §3.1), and which a 304
// updates (§3.2, §4.3.4).

import Testing

@Suite(.serialized) struct StoredFieldConformance {
  /// A field of the suite's list.
  private struct Field {
    var name: String
    var old: String
    var new: String
    /// §3.1: must be left out.
    var isForOneHop = false
    /// §3.2: a 304 does not change it. For Content-Length that is required; the suite only looks at
    /// the others, which say how the stored bytes are to be read.
    var isFixed = false
    var route = ""

    init(
      _ name: String, _ old: String? = nil, _ new: String? = nil, isForOneHop: Bool = false,
      isFixed: Bool = false, route: String = ""
    ) {
      self.name = name
      self.old = old ?? "\(name)-value-A"
      self.new = new ?? "\(name)-value-B"
      self.isForOneHop = isForOneHop
      self.isFixed = isFixed
      self.route = route
    }
  }

  /// Unless a route says so, a response that sets a cookie is stored only if it is for everyone: RFC
  /// 9111 §7.3 leaves it to the origin to say that it is not, and few do.
  static let cookies = "cache { set_cookie store; }"

  private static let fields: [Field] = [
    Field("Test-Header"),
    Field("X-Test-Header"),
    Field("Content-Foo"),
    Field("X-Content-Foo"),
    Field("Cache-Control", "max-age=1", "max-age=3600"),
    Field("Connection", isForOneHop: true),
    Field("Content-Encoding", isFixed: true),
    Field("Content-Location", "/foo", "/bar"),
    Field("Content-MD5", "rL0Y20zC+Fzt72VPzMSk2A==", "N7UdGUp1E+RbVvZSTy1R8g=="),
    Field("Content-Range", isFixed: true),
    Field(
      "Content-Security-Policy", "default-src 'self'", "default-src 'self' cdn.example.com"),
    Field("Content-Type", "text/plain", "text/plain;charset=utf-8"),
    Field("Clear-Site-Data", "cache", "cookies"),
    Field("ETag", "\"abcdef\"", "\"ghijkl\""),
    Field("Expires", "Fri, 01 Jan 2038 01:01:01 GMT", "Mon, 11 Jan 2038 11:11:11 GMT"),
    Field("Keep-Alive", isForOneHop: true),
    Field("Proxy-Authenticate", isForOneHop: true),
    Field("Proxy-Authentication-Info", isForOneHop: true),
    Field("Proxy-Authorization", isForOneHop: true),
    Field("Proxy-Connection", isForOneHop: true),
    Field("Public-Key-Pins"),
    Field("Set-Cookie", "a=b", "a=c", route: cookies),
    Field("Set-Cookie2", "a=b", "a=c"),
    Field("TE", isForOneHop: true),
    Field("Upgrade", isForOneHop: true),
    Field("X-Frame-Options", "deny", "sameorigin"),
    Field("X-XSS-Protection", "1", "1; mode=block"),
  ]

  private static func stored(_ field: Field) -> ConformanceCase {
    var reply: [String] = [.date(0), "\(field.name): \(field.new)"]
    if field.name != "Cache-Control" { reply.append("Cache-Control: max-age=3600") }
    return .reused(
      "headers-store-\(field.name)", reply,
      has: field.isForOneHop ? [] : ["\(field.name): \(field.new)"],
      lacks: field.isForOneHop ? [field.name] : [], route: field.route)
  }

  static let storing: [ConformanceCase] =
    fields.map(stored) + [
      ConformanceCase(
        "headers-omit-headers-listed-in-Connection",
        CacheStep(
          .origin(.uriMiss), reply: .fresh + ["Connection: a, b", "a: 1", "b: 2", "c: 3"],
          has: ["c: 3"], lacks: ["Connection", "a", "b"]),
        CacheStep(.store, after: 3, has: ["c: 3"], lacks: ["Connection", "a", "b"])),
      ConformanceCase(
        "headers-store-Content-Length",
        CacheStep(
          .origin(.uriMiss), reply: ["Cache-Control: max-age=3600", .date(0)], body: "0123456789"),
        CacheStep(.store, after: 3, has: ["Content-Length: 10"])),
      // The suite sends a coding that does not exist, which is not HTTP; this one does.
      ConformanceCase(
        "headers-store-Transfer-Encoding",
        CacheStep(
          .origin(.uriMiss),
          raw:
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "5\r\nwhole\r\n0\r\n\r\n", text: "whole"),
        CacheStep(
          .store, after: 3, text: "whole", has: ["Content-Length: 5"],
          lacks: ["Transfer-Encoding"])),
    ]

  private static func updated(_ field: Field) -> ConformanceCase {
    let common: [String] =
      [.date(0), "ETag: \"1\""]
      + (field.name == "Cache-Control" ? [] : ["Cache-Control: max-age=2"])
    let result = "\(field.name): \(field.isFixed ? field.old : field.new)"
    return ConformanceCase(
      "304-etag-update-response-\(field.name)", route: field.route,
      CacheStep(.origin(.uriMiss), reply: common + ["\(field.name): \(field.old)"]),
      CacheStep(
        .validated, after: 3,
        reply: [.date(3)] + common.dropFirst() + ["\(field.name): \(field.new)"],
        has: [result], asks: ["If-None-Match: \"1\""]),
      CacheStep(.store, has: [result]))
  }

  static let updating: [ConformanceCase] =
    fields.filter { !$0.isForOneHop && $0.name != "ETag" }.map(updated) + [
      ConformanceCase(
        "304-lm-use-stored-Test-Header",
        CacheStep(
          .origin(.uriMiss),
          reply: ["Cache-Control: max-age=2", .lastModified(-1000), .date(0), "Test-Header: A"]),
        CacheStep(
          .validated, after: 3, reply: [.lastModified(-1000), .date(3)], has: ["Test-Header: A"],
          asks: ["If-Modified-Since: \(String.at(-1000))"])),
      ConformanceCase(
        "304-etag-update-response-Content-Length",
        CacheStep(
          .origin(.uriMiss), reply: ["Cache-Control: max-age=2", "ETag: \"1\"", .date(0)],
          body: "01234"),
        CacheStep(
          .validated, after: 3,
          reply: ["Cache-Control: max-age=2", "ETag: \"1\"", .date(3), "Content-Length: 10"],
          has: ["Content-Length: 5"], asks: ["If-None-Match: \"1\""]),
        CacheStep(.store, has: ["Content-Length: 5"])),
      // A look. A 304 with another strong tag is not about what is stored (§4.3.4): asked again,
      // without.
      ConformanceCase(
        "304-etag-update-response-ETag",
        CacheStep(
          .origin(.uriMiss), reply: ["Cache-Control: max-age=2", "ETag: \"abcdef\"", .date(0)]),
        CacheStep(
          .origin(.stale), after: 3,
          reply: ["Cache-Control: max-age=2", "ETag: \"ghijkl\"", .date(3)], says304: true,
          has: ["ETag: \"ghijkl\""], asks: ["If-None-Match: \"abcdef\""], times: 2),
        CacheStep(.store, text: CacheStep.body(1), has: ["ETag: \"ghijkl\""])),
    ]

  @Test(arguments: storing)
  func `fields are stored but those for one hop`(row: ConformanceCase) async throws {
    try await row.run()
  }

  @Test(arguments: updating)
  func `a 304 updates the fields that are stored`(row: ConformanceCase) async throws {
    try await row.run()
  }
}
