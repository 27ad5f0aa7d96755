import Bytes
import HTTPCaching
import HTTPMessage
import Testing

/// A request for a target at an authority.
private func get(_ authority: String, _ target: String, _ lines: String...) -> RequestHead {
  let head = request(.get, ["a: \(authority)", "t: \(target)"] + lines)
  func range(_ line: FieldLine) -> Range<Int> {
    Int(line.valueOffset)..<Int(line.valueOffset + line.valueLength)
  }
  head.authority = range(head.fields[0])
  head.target = range(head.fields[1])
  let mark = head.bytes[head.target].firstIndex(of: ASCII.question)
  let pathEnd = mark.map { head.target.lowerBound + $0 } ?? head.target.upperBound
  head.path = head.target.lowerBound..<pathEnd
  head.query = mark == nil ? nil : pathEnd + 1..<head.target.upperBound
  return head
}

private func key(
  _ recipe: KeyRecipe, _ request: RequestHead, scheme: StaticString = "http",
  _ variables: [UInt32: String] = [:]
) -> [UInt8] {
  var buffer = ByteBuffer()
  recipe.append(request, scheme: scheme, variable: { variables[$0].map { view($0) } }, to: &buffer)
  return buffer.view.array
}

private func name(_ text: String) -> [UInt8] { Array(text.utf8) }

@Suite struct `Cache keys` {
  @Test(arguments: [
    ("Example.COM", "/A?b=C", "http://example.com/A?b=C"), ("a:80", "/", "http://a/"),
    ("a:8080", "/", "http://a:8080/"), ("a:", "/", "http://a/"), ("[::1]", "/", "http://[::1]/"),
    ("[::1]:80", "/", "http://[::1]/"), ("[::1]:81", "/", "http://[::1]:81/"),
    ("a", "?q", "http://a/?q"), ("a", "", "http://a/"), ("a", "//b", "http://a//b"),
    ("a", "/?", "http://a/?"), ("a:443", "/", "http://a:443/"),
  ]) func `are the target URI as a rule`(authority: String, target: String, expected: String) {
    #expect(String(decoding: key(.usual, get(authority, target)), as: UTF8.self) == expected)
  }

  @Test func `have their scheme's own port left out`() {
    #expect(key(.usual, get("a:443", "/"), scheme: "https") == name("https://a/"))
    #expect(key(.usual, get("a:80", "/"), scheme: "https") == name("https://a:80/"))
  }

  @Test(arguments: [
    ("/p?b=2&a=1&utm_x=1", "http://a/p?a=1&b=2"), ("/p?utm_x=1", "http://a/p"),
    ("/p", "http://a/p"),
    ("/p?", "http://a/p"), ("?utm_x", "http://a/"),
  ]) func `may have the query normalised`(target: String, expected: String) {
    let query = QueryNormalization(sorts: true, drop: [NamePattern(name("utm_*"))])
    let recipe = KeyRecipe([.scheme, .host, .path, .query], query: query)
    #expect(String(decoding: key(recipe, get("a", target)), as: UTF8.self) == expected)
  }

  @Test func `are made of the parts that are named, and of no others`() {
    let recipe = KeyRecipe([
      .host, .path, .field(name("x-lang")), .cookie(name("ab")), .variable(3),
    ])
    let base = key(recipe, get("a", "/p", "X-Lang: de", "Cookie: ab=1; c=2"), [3: "v"])
    #expect(base == key(recipe, get("A", "/p?q", "X-Lang: de", "Cookie: c=9;ab=1"), [3: "v"]))
    for other in [
      key(recipe, get("b", "/p", "X-Lang: de", "Cookie: ab=1"), [3: "v"]),
      key(recipe, get("a", "/P", "X-Lang: de", "Cookie: ab=1"), [3: "v"]),
      key(recipe, get("a", "/p", "X-Lang: en", "Cookie: ab=1"), [3: "v"]),
      key(recipe, get("a", "/p", "X-Lang: de", "Cookie: ab=2"), [3: "v"]),
      key(recipe, get("a", "/p", "X-Lang: de", "Cookie: AB=1"), [3: "v"]),
      key(recipe, get("a", "/p", "X-Lang: de", "Cookie: ab=1; ab=2"), [3: "v"]),
      key(recipe, get("a", "/p", "X-Lang: de", "Cookie: ab=1"), [3: "w"]),
      key(recipe, get("a", "/p", "X-Lang: de", "Cookie: ab=1"), [:]),
      key(recipe, get("a", "/p", "X-Lang: de"), [3: "v"]),
      key(recipe, get("a", "/p", "Cookie: ab=1"), [3: "v"]),
    ] {
      #expect(other != base)
    }
  }

  @Test func `tell an absent part from an empty one`() {
    let field = KeyRecipe([.field(name("x"))])
    #expect(key(field, get("a", "/", "X:")) != key(field, get("a", "/")))
    let query = KeyRecipe([.path, .query])
    #expect(key(query, get("a", "/?")) != key(query, get("a", "/")))
    let cookie = KeyRecipe([.cookie(name("x"))])
    #expect(key(cookie, get("a", "/", "Cookie: x=")) != key(cookie, get("a", "/")))
    let variable = KeyRecipe([.variable(1)])
    #expect(key(variable, get("a", "/"), [1: ""]) != key(variable, get("a", "/"), [:]))
  }

  @Test(arguments: 0..<20) func `are one only if all parts are`(seed: Int) {
    var random = Seeded(UInt64(seed))
    let words = ["", "a", "ab", "b", "\u{1}", "0", "a=b", ",", "ffff"]
    let recipes = [
      KeyRecipe.usual, KeyRecipe([.host, .path]), KeyRecipe([.path, .host]), KeyRecipe([.path]),
      KeyRecipe([.field(name("x")), .field(name("y"))]), KeyRecipe([.field(name("xy"))]),
      KeyRecipe([.cookie(name("x")), .variable(1)]), KeyRecipe([.variable(1), .variable(2)]),
      KeyRecipe([.variable(2), .variable(1)]), KeyRecipe([]),
    ]
    func pick() -> String { words[Int.random(in: 0..<words.count, using: &random)] }
    var seen: [[UInt8]: String] = [:]
    for _ in 0..<400 {
      let (x, y, one, two) = (pick(), pick(), pick(), pick())
      let (host, path) = (["a", "b", "ab"].randomElement(using: &random) ?? "a", "/" + pick())
      let index = Int.random(in: 0..<recipes.count, using: &random)
      // What the recipe may see of the request, as text that says it unambiguously.
      let parts: [String] =
        switch index {
        case 0: [host, path]
        case 1: [host, path]
        case 2: [path, host]
        case 3: [path]
        case 4: [x, y].map { $0 == "," ? "" : $0 }
        case 5: []
        case 6: [x, one]
        case 7: [one, two]
        case 8: [two, one]
        default: []
        }
      let head = get(host, path, "X: \(x)", "Y: \(y)", "Cookie: x=\(x)")
      let found = key(recipes[index], head, [1: one, 2: two])
      let meaning = "\(index) \(parts)"
      if let other = seen[found] { #expect(other == meaning) }
      seen[found] = meaning
    }
  }
}
