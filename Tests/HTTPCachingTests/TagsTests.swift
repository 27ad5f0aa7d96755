import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private func tags(_ lines: String...) -> [String] {
  var tags: [String] = []
  Tags.forEach(in: response(200, lines), within: TagLimits()) { tags.append($0.string) }
  return tags
}

private func exceeds(_ response: ResponseHead, _ limits: TagLimits = TagLimits()) -> Bool {
  Tags.exceed(limits, in: response)
}

@Suite struct `Tags of a response` {
  @Test func `each field has its separator`() {
    #expect(tags("Surrogate-Key: a  b,c\td ") == ["a", "b,c", "d"])
    #expect(tags("Cache-Tag: a, b c ,,d,") == ["a", "b c", "d"])
    #expect(tags("xkey: a, b c,,d") == ["a", "b", "c", "d"])
    #expect(tags("X: a", "Surrogate-Key: ") == [])
  }

  @Test func `all lines of all fields count`() {
    #expect(
      tags("xkey: e", "Surrogate-Key: a", "Cache-Tag: c", "Surrogate-Key: b")
        == ["a", "b", "c", "e"])
  }

  @Test func `limits`() {
    let longest = String(repeating: "x", count: 1024)
    #expect(!exceeds(response(200, "Cache-Tag: \(longest)")))
    #expect(exceeds(response(200, "Cache-Tag: \(longest)x")))
    let most = Array(repeating: "a", count: 1000).joined(separator: ",")
    #expect(!exceeds(response(200, "Cache-Tag: \(most)")))
    #expect(exceeds(response(200, "Cache-Tag: \(most)", "xkey: b")))
    #expect(tags("Cache-Tag: \(most)", "xkey: b").count == 1000)
    #expect(!exceeds(response(200, "X: 1")))
    let few = TagLimits(count: 2, length: 3)
    #expect(!exceeds(response(200, "Cache-Tag: abc, def"), few))
    #expect(exceeds(response(200, "Cache-Tag: abc, defg"), few))
    #expect(exceeds(response(200, "Cache-Tag: a, b, c"), few))
  }
}
