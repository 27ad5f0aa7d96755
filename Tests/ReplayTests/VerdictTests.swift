import Bytes
import HTTP1
import HTTPMessage
import Testing

@testable import Replay

@Suite("What a cache says it did")
struct VerdictTests {
  @Test(arguments: [
    ("cache-status: weir; hit; ttl=30", CacheVerdict.hit),
    ("cache-status: weir; hit; ttl=-3; detail=\"a, b; fwd=miss\"", .stale),
    ("cache-status: weir; fwd=miss; detail=\"a; hit; b\"", .miss),
    ("cache-status: weir; detail=\"a\\\"; fwd=miss, b; fwd=miss\"; hit", .hit),
    ("cache-status: weir; hit=?1", .hit), ("cache-status: weir; hit=?0; fwd=miss", .miss),
    ("cache-status: weir; fwd=uri-miss; stored; fwd-status=200", .miss),
    ("cache-status: weir; fwd=vary-miss", .miss), ("cache-status: weir; fwd=partial", .miss),
    ("cache-status: weir; fwd=stale; fwd-status=304", .revalidated),
    ("cache-status: weir; fwd=stale; fwd-status=200; stored", .miss),
    ("cache-status: other; fwd=stale", .miss),
    ("cache-status: weir; fwd=uri-miss; fwd-status=200; collapsed", .collapsed),
    ("cache-status: weir; fwd=stale; collapsed=?1", .collapsed),
    ("cache-status: weir; fwd=bypass", .pass), ("cache-status: weir; fwd=method", .pass),
    ("cache-status: origin; hit, weir; fwd=uri-miss", .miss),
    ("cache-status: a; fwd=miss\r\ncache-status: b; hit", .hit), ("cache-status: weir", .unknown),
    ("x-cache: HIT", .hit), ("X-Cache: MISS from squid.example", .miss),
    ("x-cache: HIT, MISS", .miss),
    ("x-cache: TCP_REFRESH_HIT", .revalidated), ("x-cache: TCP_MEM_HIT from a", .hit),
    ("x-cache: TCP_REFRESH_UNMODIFIED from a", .revalidated),
    ("x-cache: TCP_REFRESH_MODIFIED from a", .miss), ("x-cache: TCP_REFRESH_MISS", .miss),
    ("x-cache-status: REVALIDATED", .revalidated), ("x-cache-status: EXPIRED", .miss),
    ("x-cache-status: UPDATING", .stale),
    ("x-cache-status: BYPASS", .pass), ("cf-cache-status: DYNAMIC", .pass),
    ("x-varnish: 32770 5", .hit), ("x-varnish: 32770", .miss), ("age: 12", .hit),
    ("age: 0", .unknown),
    ("server: x", .unknown), ("x-cache: ", .unknown), ("cache-status: ;;hit", .hit),
  ])
  func `fields of an answer`(fields: String, verdict: CacheVerdict) {
    #expect(Self.verdict(200, fields) == verdict)
  }

  @Test func `refusals and failures are no misses`() {
    #expect(Self.verdict(429, "cache-status: weir; fwd=request") == .limited)
    #expect(Self.verdict(429, "server: x") == .limited)
    // The origin has said it.
    #expect(Self.verdict(429, "cache-status: weir; fwd=uri-miss; fwd-status=429") == .failed)
    #expect(Self.verdict(502, "cache-status: weir; fwd=uri-miss") == .failed)
    #expect(Self.verdict(503, "server: x") == .failed)
    #expect(Self.verdict(500, "cache-status: weir; hit") == .hit)
  }

  private static func verdict(_ status: Int, _ fields: String) -> CacheVerdict? {
    let text = Array("HTTP/1.1 \(status) X\r\ncontent-length: 0\r\n\(fields)\r\n\r\n".utf8)
    let head = ResponseHead()
    return text.withView { view in
      let outcome = ResponseParser.parse(
        view, limits: HeadLimits(), requestMethod: .get, into: head)
      guard outcome == .complete else { return nil }
      return CacheVerdict.of(status: head.status, head.fields, head.bytes)
    }
  }
}
