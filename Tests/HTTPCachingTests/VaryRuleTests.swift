import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private func values(_ rule: String, _ lines: [String]) -> [UInt8] {
  var buffer = ByteBuffer()
  VaryRule.appendValues(rule: view(rule), request: request(.get, lines), to: &buffer)
  return buffer.view.array
}

@Suite struct `RFC 9111 section 4.1, the rule` {
  @Test(
    arguments: [
      ([], .none, ""), ([""], .none, ""), ([" , ,"], .none, ""),
      (["Accept-Encoding"], .rule, "accept-encoding"),
      (["b, A,c"], .rule, "a,b,c"), (["b", "a", "c"], .rule, "a,b,c"),
      (["A, a, a", "A"], .rule, "a"), (["foo, foobar, fo"], .rule, "fo,foo,foobar"),
      (["*"], .star, ""), (["*, *"], .star, ""), (["*", "*"], .star, ""), ([", *"], .star, ""),
      (["", "*"], .star, ""), (["*, Foo"], .star, ""), (["Foo, *"], .star, ""),
      (["a b"], .star, ""), (["a;b"], .star, ""), (["\"a\""], .star, ""),
    ] as [([String], VaryKind, String)]) func `is made of all lines`(
      lines: [String], kind: VaryKind, expected: String
    )
  {
    let response = response(200, lines.map { "Vary: \($0)" })
    var buffer = ByteBuffer()
    #expect(VaryRule.append(of: response, to: &buffer) == kind)
    #expect(VaryRule.kind(of: response) == kind)
    #expect(buffer.view.string == expected)
  }

  @Test func `is appended behind what is there`() {
    var buffer = ByteBuffer()
    buffer.append("key|")
    #expect(VaryRule.append(of: response(200, "Vary: B, A"), to: &buffer) == .rule)
    #expect(buffer.view.string == "key|a,b")
  }

  @Test func `has at most 64 names`() {
    let names = (0..<65).map { "n\($0)" }
    #expect(
      VaryRule.kind(of: response(200, "Vary: \(names.dropLast().joined(separator: ","))")) == .rule)
    #expect(VaryRule.kind(of: response(200, "Vary: \(names.joined(separator: ","))")) == .star)
  }
}

@Suite struct `RFC 9111 section 4.1, the values` {
  @Test(
    arguments: [
      ("foo", ["Foo: 1, 2"], ["foo:1,2"]),
      ("foo", ["Foo: 1, 2"], ["Foo: 1", "Foo: 2"]),
      ("foo", ["Foo: ,1 ,, 2,"], ["Foo: 1,2"]),
      ("foo", ["Foo: 1", "Bar: x"], ["Bar: y", "Foo: 1"]),
      ("foo", ["Foo: \"a , b\", c"], ["Foo: \"a , b\",c"]),
      ("a,b", ["A: 1", "B: 2"], ["B: 2", "A: 1"]),
      ("accept-encoding", ["Accept-Encoding: GZIP ;Q=0.5, br"], ["accept-encoding: gzip;q=0.5,BR"]),
      (
        "accept-language", ["Accept-Language: en-GB, de"],
        ["Accept-Language: EN-gb", "Accept-Language: de"]
      ),
      ("accept", ["Accept: text/html; q=1 , */*"], ["Accept: text/html;q=1,*/*"]),
      ("cookie", ["Cookie: a=b", "Cookie: c=d"], ["Cookie: a=b; c=d"]),
      ("foo", [], ["Bar: 1"]),
      ("foo", ["Foo: "], ["Foo: , ,"]),
    ] as [(String, [String], [String])]) func `are the same`(
      rule: String, one: [String], other: [String]
    )
  {
    #expect(values(rule, one) == values(rule, other))
  }

  @Test(
    arguments: [
      ("foo", ["Foo: 1"], ["Foo: 2"]),
      ("foo", ["Foo: a"], ["Foo: A"]),
      ("foo", ["Foo: 1, 2"], ["Foo: 2, 1"]),
      ("foo", ["Foo: "], []),
      ("foo", ["Foo: \"a,b\""], ["Foo: \"a\",\"b\""]),
      ("foo", ["Foo: a b"], ["Foo: ab"]),
      ("foo", ["Foo: \"a , b\""], ["Foo: \"a,b\""]),
      ("a,b", ["A: 1", "B: 2"], ["A: 1,2"]),
      ("a,b", ["A: 1"], ["B: 1"]),
      ("a,b", ["A: 1", "B: "], ["A: 1"]),
      ("a,b", ["A: x,B: y"], ["A: x", "B: y"]),
      ("accept", ["Accept: text/html;a=\"X y\""], ["Accept: text/html;a=\"Xy\""]),
      ("user-agent", ["User-Agent: a, b"], ["User-Agent: a,b"]),
      ("cookie", ["Cookie: a=b, c"], ["Cookie: a=b,c"]),
    ] as [(String, [String], [String])]) func `differ`(
      rule: String, one: [String], other: [String]
    )
  {
    #expect(values(rule, one) != values(rule, other))
  }

  @Test func `are length-prefixed, and absent ones have no length`() {
    #expect(
      values("a,b,c", ["C: ", "A: xy"])
        == [2, 0, 0, 0, 0x78, 0x79, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])
  }

  @Test func `what Connection takes from the origin is absent`() {
    #expect(values("x-lang", ["X-Lang: de", "Connection: x-lang"]) == values("x-lang", []))
    #expect(
      values("x-lang", ["X-Lang: de", "Connection: close"]) == values("x-lang", ["X-Lang: de"]))
    #expect(
      values("cookie", ["Cookie: a", "Connection: cookie"]) == values("cookie", ["Cookie: a"]))
  }
}
