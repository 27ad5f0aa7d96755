import Bytes
import Rules
import Testing

private func parse(_ text: String) -> String {
  do throws(TextMapProblem) {
    return "\(try TextMap.parse(Array(text.utf8)).count) keys"
  } catch {
    return "line \(error.line): \(error.text)"
  }
}

private let file = """
  # former     present
  /old         /new
  \t/shop  https://shop.example.com/a b  \r
  #/none /x

  gold\t3
  """

@Suite("Files of keys and values")
struct MapTests {
  @Test(arguments: [
    ("map(\"m\", path)", "/old", "/new"),
    ("map(\"m\", path)", "/shop", "https://shop.example.com/a b"),
    ("map(\"m\", path)", "/old/", ""), ("map(\"m\", \"#/none\")", "/", ""),
    ("map(\"m\", \"\")", "/", ""),
    ("to_int(map(\"m\", lower(\"GOLD\")), 0)", "/", "3"),
  ])
  func `a value stands behind its key`(_ expression: String, _ path: String, _ value: String) {
    let answer = RuleText("log v \(expression);", files: ["m": file]).answer("GET \(path)")
    #expect(answer == "proceed, log v=\(value)")
  }

  @Test func `a key that is not there is no value`() {
    let rules = """
      when exists(map("m", path)) { redirect 301 map("m", path); }
      when !exists(map("m", header.plan)) { respond 402; }
      """
    let text = RuleText(rules, files: ["m": file])
    #expect(text.answer("GET /old") == "redirect 301 /new")
    #expect(text.answer("GET /other\nplan: gold") == "proceed")
    #expect(text.answer("GET /other") == "respond 402")
  }

  @Test(arguments: [
    ("a b\na c\n", "line 2: \"a\" stands there twice"),
    ("a b\nc\n", "line 2: the key has no value behind it"),
    ("a b\nc   \r\n", "line 2: the key has no value behind it"),
    ("a \u{1}b\n", "line 1: a control character (0x1) stands there"), ("", "0 keys"),
    ("# no\n\n  \n", "0 keys"), ("\u{FEFF}a b", "1 keys"),
  ])
  func `a line has a key and a value`(_ text: String, _ result: String) {
    #expect(parse(text) == result)
  }

  @Test func `what is wrong with a file is said where it is named`() {
    #expect(
      RuleText("log v map(\"m\", path);", files: ["m": "a\n"]).complaints == [
        "\"m\": the file \"m\" cannot be used: line 1: the key has no value behind it"
      ])
    #expect(
      RuleText("log v map(\"none\", path);").complaints
        == ["\"none\": the file \"none\" does not exist"])
    #expect(RuleText("log v map(path, path);").complaints == ["path: map takes the path of a file"])
  }

  @Test func `of a hundred thousand keys each is found, and no other`() throws {
    var text = ""
    for number in 0..<100_000 { text += "/old/\(number) /new/\(number * 7)\n" }
    let map = try TextMap.parse(Array(text.utf8))
    #expect(map.count == 100_000)
    var wrong = 0
    for number in 0..<100_000 {
      let key = Array("/old/\(number)".utf8)
      if key.withView({ map.find($0)?.string }) != "/new/\(number * 7)" { wrong += 1 }
      let other = Array("/old/\(number).".utf8)
      if other.withView({ map.find($0) != nil }) { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  @Test func `a program uses what was read last`() throws {
    let code = try #require(RuleText("log v map(\"m\", path);", files: ["m": "/ one"]).code)
    let map = try #require(code.maps.first)
    let program = RuleProgram(code)
    let scratch = RuleScratch()
    let ask = Ask("GET /")
    var values: [String] = []
    for text in ["", "/ two", "/x three"] {
      if !text.isEmpty { map.replace(with: try TextMap.parse(Array(text.utf8))) }
      #expect(program.run(ask.input, scratch) == .proceed)
      values.append(scratch.logFields[0].value.string)
    }
    #expect(values == ["one", "two", ""])
  }
}
