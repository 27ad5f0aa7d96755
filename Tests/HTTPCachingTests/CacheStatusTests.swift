import Bytes
import HTTPCaching
import HTTPMessage
import Testing

@Suite struct `RFC 9211, Cache-Status` {
  @Test(
    arguments: [
      (30, "weir; hit; ttl=30"), (0, "weir; hit; ttl=0"), (-12, "weir; hit; ttl=-12"),
      (.max, "weir; hit; ttl=999999999999999"), (.min, "weir; hit; ttl=-999999999999999"),
    ] as [(Int64, String)]) func `a hit`(ttl: Int64, expected: String)
  {
    #expect(
      written { CacheStatus.appendHit(node: view("weir"), ttlSeconds: ttl, to: &$0) } == expected)
  }

  @Test func `a hit with a detail`() {
    #expect(
      written {
        CacheStatus.appendHit(
          node: view("weir"), ttlSeconds: -3, detail: "stale while revalidate", to: &$0)
      } == "weir; hit; ttl=-3; detail=\"stale while revalidate\"")
  }

  @Test func `section 2.2: what went forward, and why`() {
    let names = ForwardReason.allCases.map { reason in
      written { CacheStatus.appendForward(node: view("weir"), reason: reason, to: &$0) }
    }
    #expect(
      names == [
        "weir; fwd=bypass", "weir; fwd=method", "weir; fwd=uri-miss", "weir; fwd=vary-miss",
        "weir; fwd=miss", "weir; fwd=request", "weir; fwd=stale", "weir; fwd=partial",
      ])
  }

  @Test func `all parameters`() {
    #expect(
      written {
        CacheStatus.appendForward(
          node: view("weir"), reason: .stale, forwardedStatus: 304, stored: true, collapsed: true,
          ttl: 60, detail: StorageRefusal.varyStar.name, to: &$0)
      } == "weir; fwd=stale; fwd-status=304; stored; collapsed; ttl=60; detail=vary-star")
  }

  @Test(arguments: [
    ("pop-3.example:8080/a", "pop-3.example:8080/a"), ("*", "*"), ("3com", "\"3com\""),
    ("two words", "\"two words\""), ("a\"b\\c", "\"a\\\"b\\\\c\""), ("é", "\"??\""),
    ("a\tb", "\"a?b\""), ("", "\"\""),
  ]) func `the node is a token or a string`(name: String, expected: String) {
    #expect(
      written { CacheStatus.appendHit(node: view(name), ttlSeconds: 1, to: &$0) }
        == "\(expected); hit; ttl=1")
  }
}
