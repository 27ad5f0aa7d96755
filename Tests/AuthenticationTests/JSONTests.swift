import Authentication
import Bytes
import Testing

private func read(_ text: String, _ limits: JSONLimits = JSONLimits()) throws -> String {
  var document = JSONDocument()
  try text.withView { try document.read($0, limits: limits) }
  return describe(document, 0)
}

/// What a document holds, in a form of our own.
private func describe(_ document: borrowing JSONDocument, _ node: Int) -> String {
  switch document.kind(of: node) {
  case .null: return "null"
  case .yes: return "true"
  case .no: return "false"
  case .number: return "#" + document.text(of: node).string
  case .string: return "'" + document.text(of: node).string + "'"
  case .array, .object:
    var parts: [String] = []
    var at = node + 1
    while at < document.end(of: node) {
      parts.append(describe(document, at))
      at = document.end(of: at)
    }
    let body = "\(document.count(of: node)):" + parts.joined(separator: " ")
    return document.kind(of: node) == .array ? "[\(body)]" : "{\(body)}"
  }
}

@Suite struct JSONTests {
  @Test(arguments: [
    ("null", "null"), (" true ", "true"), ("\t\r\nfalse", "false"), ("0", "#0"), ("-0", "#-0"),
    ("1.5e-3", "#1.5e-3"), ("-12.0E+7", "#-12.0E+7"), ("\"\"", "''"), ("[]", "[0:]"),
    ("{}", "{0:}"), ("[1, [2], \"a\"]", "[3:#1 [1:#2] 'a']"),
    (#"{"a": {"b": [null]}, "c": "d"}"#, "{2:'a' {1:'b' [1:null]} 'c' 'd'}"),
    (#""\"\\\/\b\f\n\r\t""#, "'\"\\/\u{8}\u{C}\n\r\t'"), (#""a\u00e9\u20AC""#, "'aé€'"),
    (#""\ud83d\ude00 \uD83D\uDE00""#, "'😀 😀'"), (#""\u0000""#, "'\0'"), ("\"é😀\"", "'é😀'"),
    (#"{"\u0061": 1, "b": "x\n"}"#, "{2:'a' #1 'b' 'x\n'}"),
  ])
  func `what RFC 8259 allows is read`(text: String, value: String) throws {
    #expect(try read(text) == value)
  }

  @Test(arguments: [
    "", " ", "nul", "True", "[1,]", "[,1]", "[1 2]", "[", "]", "{", "{\"a\"}", "{\"a\":}",
    "{\"a\":1,}", "{a:1}", "{1:2}", "01", "1.", ".5", "+1", "-", "1e", "1e+", "0x1", "NaN",
    "Infinity", "\"", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", "\"\n\"", "\"\u{0}\"",
    "1 2", "{} {}", "[] x", "'a'", "\u{FEFF}{}", "//x\n1", "[1}", "{\"a\":1]",
  ])
  func `what it does not allow is malformed`(text: String) {
    #expect(throws: JSONDefect.malformed) { _ = try read(text) }
  }

  @Test(arguments: [
    #""\ud800""#, #""\udc00""#, #""\ud800x""#, #""\ud800\u0041""#, #""\ud800\ud800""#,
  ])
  func `half of a surrogate pair is refused`(text: String) {
    #expect(throws: JSONDefect.notUTF8) { _ = try read(text) }
  }

  @Test(arguments: [
    #"{"a":1,"a":1}"#, #"{"a":1,"b":2,"a":3}"#, #"{"a":1,"\u0061":2}"#,
    #"{"x":{"":1,"":2}}"#, #"{"a":{"b":{"c":1}},"a":0}"#,
  ])
  func `a member that is there twice is refused`(text: String) {
    #expect(throws: JSONDefect.repeatedMember) { _ = try read(text) }
  }

  @Test func `names that look alike and differ in bytes are two names`() throws {
    #expect(try read(#"{"é":1,"e\u0301":2}"#).hasPrefix("{2:"))
  }

  @Test func `every limit holds exactly`() throws {
    let limits = JSONLimits(bytes: 64, depth: 3, nodes: 8, members: 2)
    #expect(try read("[[[]]]", limits) == "[1:[1:[0:]]]")
    #expect(throws: JSONDefect.tooLarge) { _ = try read("[[[[]]]]", limits) }
    #expect(try read("[1,2,3,4,5,6,7]", limits).hasPrefix("[7:"))
    #expect(throws: JSONDefect.tooLarge) { _ = try read("[1,2,3,4,5,6,7,8]", limits) }
    #expect(try read(#"{"a":1,"b":2}"#, limits).hasPrefix("{2:"))
    #expect(throws: JSONDefect.tooLarge) { _ = try read(#"{"a":1,"b":2,"c":3}"#, limits) }
    #expect(try read(String(repeating: " ", count: 62) + "10", limits) == "#10")
    #expect(throws: JSONDefect.tooLarge) {
      _ = try read(String(repeating: " ", count: 63) + "10", limits)
    }
  }

  @Test func `no text that is cut off is read`() throws {
    let text = #"{"a":[1.5e3,true,null,"x\u0041\n"],"b":{"c":false}}"#
    for length in 0..<text.utf8.count {
      #expect(throws: JSONDefect.self) { _ = try read(String(text.prefix(length))) }
    }
    #expect(try read(text).hasPrefix("{2:"))
  }

  @Test func `a document that failed is empty and can be used again`() throws {
    var document = JSONDocument()
    try #"{"a":1}"#.withView { try document.read($0, limits: JSONLimits()) }
    #expect(document.member(of: 0, named: ByteView("a")) == 1 + 1)
    #expect(throws: JSONDefect.malformed) {
      try #"{"a":"#.withView { try document.read($0, limits: JSONLimits()) }
    }
    #expect(document.kind(of: 0) == .null)
    #expect(document.member(of: 0, named: ByteView("a")) == nil)
    try #"["b\n"]"#.withView { try document.read($0, limits: JSONLimits()) }
    #expect(describe(document, 0) == "[1:'b\n']")
  }

  @Test(arguments: [
    ("0", 0), ("1700000000", 1_700_000_000_000), ("1700000000.5", 1_700_000_000_500),
    ("1700000000.9999", 1_700_000_000_999), ("1.7e9", 1_700_000_000_000),
    ("17E8", 1_700_000_000_000), ("17000000000000e-4", 1_700_000_000_000),
    ("0.001", 1), ("0.0001", 0), ("1e-400", 0), ("0e999999999999", 0),
    ("253402300800", 253_402_300_800_000),
    ("1700000000.00000000000000000000000000000000001", 1_700_000_000_000),
  ])
  func `a time is read to the millisecond`(text: String, milliseconds: Int64) {
    #expect(text.withView { JSONNumber.milliseconds($0) } == milliseconds)
  }

  @Test(arguments: [
    "-1", "-0", "253402300801", "1e12", "1e400", "1e999999999999999999999",
    "99999999999999999999999999999999", "9223372036854775807", "9223372036854775808", "",
  ])
  func `a time before the epoch or after the year 9999 is none`(text: String) {
    #expect(text.withView { JSONNumber.milliseconds($0) } == nil)
  }

  @Test(arguments: [
    ("0", 0 as Int64?), ("-1", -1), ("9223372036854775807", .max), ("-9223372036854775808", .min),
    ("9223372036854775808", nil), ("-9223372036854775809", nil), ("1.0", nil), ("1e3", nil),
    ("", nil), ("-", nil),
  ])
  func `a whole number is read if it fits`(text: String, value: Int64?) {
    #expect(text.withView { JSONNumber.integer($0) } == value)
  }
}
