import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private func tags(_ lines: String...) -> [String] {
  var tags: [String] = []
  Tags.forEach(in: response(200, lines)) { tags.append($0.string) }
  return tags
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
    #expect(!Tags.exceedLimits(response(200, "Cache-Tag: \(longest)")))
    #expect(Tags.exceedLimits(response(200, "Cache-Tag: \(longest)x")))
    let most = Array(repeating: "a", count: 1000).joined(separator: ",")
    #expect(!Tags.exceedLimits(response(200, "Cache-Tag: \(most)")))
    #expect(Tags.exceedLimits(response(200, "Cache-Tag: \(most)", "xkey: b")))
    #expect(tags("Cache-Tag: \(most)", "xkey: b").count == 1000)
    #expect(!Tags.exceedLimits(response(200, "X: 1")))
  }
}
