import Testing

@testable import Bytes

@Suite("Strings as JSON") struct JSONStringTests {
  @Test(arguments: [
    ("", "\"\""), ("a\"b\\c", #""a\"b\\c""#), ("\n\r\t", #""\n\r\t""#),
    ("\u{0}\u{1B}[2J\u{7F}", #""\u0000\u001b[2J\u007f""#), ("\u{85}\u{9B}", #""\u0085\u009b""#),
    ("\u{202E}\u{2028}\u{FEFF}", #""\u202e\u2028\ufeff""#), ("\u{E0001}", #""\udb40\udc01""#),
    ("é漢🙂", "\"é漢🙂\""), ("e\u{301}", "\"e\u{301}\""), ("/", "\"/\""),
  ])
  func `what must be escaped is, and what a terminal would act on`(_ text: String, _ json: String) {
    #expect(JSONString.quoted(text).unicodeScalars.elementsEqual(json.unicodeScalars))
  }

  @Test func `texts are an array`() {
    #expect(JSONString.quoted([]) == "[]")
    #expect(JSONString.quoted(["a", "\""]) == #"["a", "\""]"#)
  }
}
