import Testing

@testable import Admin

@Suite("JSON")
struct JSONTests {
  static func object(_ name: String, _ value: JSON) -> JSON {
    .object([JSON.Member(name: name, value: value)])
  }

  @Test(arguments: [
    ("null", JSON.null), (" true ", .bool(true)), ("false", .bool(false)), ("0", .number("0")),
    ("-12.5e+3", .number("-12.5e+3")), ("\"\"", .string("")), ("[]", .array([])),
    ("{ }", .object([])), ("[1 , 2]", .array([.number("1"), .number("2")])),
    ("{\"a\" : [{}]}", object("a", .array([.object([])]))),
    (#""\"\\\/\b\f\n\r\t""#, .string("\"\\/\u{8}\u{C}\n\r\t")),
    (#""\u00e9\uD83D\uDE00é""#, .string("\u{E9}\u{1F600}é")),
    ("\r\n\t [null]\n", .array([.null])),
  ])
  func `a text gives its value`(_ text: String, _ value: JSON) throws {
    #expect(try JSONReader.read(Array(text.utf8)) == value)
  }

  @Test(arguments: [
    ("", 1, 1), (" ", 1, 2), ("nul", 1, 1), ("True", 1, 1), ("01", 1, 2), ("-", 1, 2), ("1.", 1, 3),
    ("1e", 1, 3), (".5", 1, 1), ("+1", 1, 1), ("1 2", 1, 3), ("[1,]", 1, 4), ("[1", 1, 3),
    ("[1 2]", 1, 4), ("{\"a\":1,}", 1, 8), ("{a:1}", 1, 2), ("{\"a\" 1}", 1, 6), ("{\"a\"", 1, 5),
    ("{\"a\":1,\n\"a\":2}", 2, 1), ("\"é\u{1}\"", 1, 3), ("\"\\x\"", 1, 3), ("\"\\u12g4\"", 1, 6),
    ("\"abc", 1, 5), ("\"\\", 1, 3), ("\"\\ud800\"", 1, 4), ("\"\\udc00\\ud800\"", 1, 4),
    ("\"\\ud800\\u0041\"", 1, 4), ("\u{FEFF}1", 1, 1), ("1\u{0}", 1, 2), ("'a'", 1, 1),
    ("/**/1", 1, 1), ("NaN", 1, 1), ("[\n  1,\n  x]", 3, 3),
  ])
  func `what is not JSON is refused where it goes wrong`(
    _ text: String, _ line: Int, _ column: Int
  ) throws {
    let defect = #expect(throws: JSONDefect.self) { try JSONReader.read(Array(text.utf8)) }
    #expect(defect?.line == line)
    #expect(defect?.column == column)
  }

  @Test func `bytes that are not UTF-8 are refused`() {
    #expect(throws: JSONDefect.self) { try JSONReader.read([0x22, 0xFF, 0x22]) }
    #expect(throws: JSONDefect.self) { try JSONReader.read([0x22, 0xED, 0xA0, 0x80, 0x22]) }
  }

  @Test func `nesting has a limit`() throws {
    func nested(_ depth: Int) -> [UInt8] {
      Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8)
    }
    _ = try JSONReader.read(nested(32))
    #expect(throws: JSONDefect.self) { try JSONReader.read(nested(33)) }
    #expect(throws: JSONDefect.self) { try JSONReader.read(nested(100_000)) }
  }

  @Test func `no prefix of a text is a text, and none traps`() {
    let text = Array(#"{"a": [1.5e3, "\u00e9\n\ud83d\ude00", true, null, {"b": -0}]}"#.utf8)
    for length in 0..<text.count {
      #expect(throws: JSONDefect.self) { try JSONReader.read(Array(text[..<length])) }
    }
  }

  @Test func `what is written is read as the same`() throws {
    let all = String(String.UnicodeScalarView((0...0x2100).compactMap { Unicode.Scalar($0) }))
    let text = JSONText.object([(all, .string(all)), ("n", .thousandths(12_034))]).text
    #expect(
      try JSONReader.read(Array(text.utf8))
        == .object([
          JSON.Member(name: all, value: .string(all)),
          JSON.Member(name: "n", value: .number("12.034")),
        ]))
    #expect(text.utf8.allSatisfy { $0 >= 0x20 })
  }
}
