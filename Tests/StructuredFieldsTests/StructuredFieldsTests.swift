import Bytes
import StructuredFields
import Testing

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

private func item(_ text: String) -> Item? {
  bytes(text).withView { try? StructuredFieldParser.item($0) }
}

private func dictionary(_ text: String) -> [Keyed<Member>]? {
  bytes(text).withView { try? StructuredFieldParser.dictionary($0) }
}

@Suite struct `RFC 9651 section 3.3, items` {
  @Test(
    arguments: [
      ("1", .integer(1)), ("-0", .integer(0)), ("999999999999999", .integer(999_999_999_999_999)),
      ("-999999999999999", .integer(-999_999_999_999_999)), ("007", .integer(7)),
      ("1.5", .decimal(thousandths: 1500)), ("-0.001", .decimal(thousandths: -1)),
      ("1.0", .decimal(thousandths: 1000)),
      ("999999999999.999", .decimal(thousandths: 999_999_999_999_999)),
      ("\"a \\\"b\\\\\"", .string(bytes("a \"b\\"))), ("\"\"", .string([])),
      ("*a/b:c", .token(bytes("*a/b:c"))), ("A", .token(bytes("A"))),
      (":aGVsbG8=:", .binary(bytes("hello"))), ("::", .binary([])),
      ("?1", .boolean(true)), ("?0", .boolean(false)), ("@1659578233", .date(1_659_578_233)),
      ("@-1", .date(-1)), ("%\"f%c3%bc\"", .displayString(bytes("fü"))), ("  1  ", .integer(1)),
    ] as [(String, BareItem)]) func `are read`(text: String, expected: BareItem)
  {
    #expect(item(text) == Item(expected))
  }

  @Test(arguments: [
    "", " ", "1000000000000000", "-", "--1", "1.", ".5", "1.0000", "1234567890123.0", "1.5.5",
    "\"a", "\"\\a\"", "\"\u{7F}\"", "\"é\"", "a b", "a,b", ":a", ":a:", ":a b=:", ":aGV=sbG8:",
    "?2", "?", "?true", "@1.5", "@", "@a", "%\"%C3%BC\"", "%\"%ff\"", "%\"a", "%a", "%\"%4\"",
    "(a)", "=", ";", "1;", "1;A=1", "1;a=", "\t1", "1\t", "é", "1 2",
  ]) func `are refused`(text: String) {
    #expect(item(text) == nil)
  }

  @Test func `section 3.1.2: of a repeated parameter the last counts, where the first stood`() {
    #expect(
      item("1;a=1; b;a=2")?.parameters
        == [
          Keyed(key: bytes("a"), value: .integer(2)), Keyed(key: bytes("b"), value: .boolean(true)),
        ])
  }
}

@Suite struct `RFC 9651 sections 3.1 and 3.2, containers` {
  @Test(arguments: [
    ("", 0), ("a", 1), ("a=1, b", 2), ("a\t,\tb", 2), ("a, a=2", 1), ("a=(1 2);x, b=?0", 2),
    ("a=1 ", 1), (" a", 1),
  ]) func `dictionaries are read`(text: String, count: Int) {
    #expect(dictionary(text)?.count == count)
  }

  @Test(arguments: [
    "A", "a=", "a,", ",a", "a,,b", "a b", "a =1", "a= 1", "1=2", "-a=1", "a=(1", "a=(1,2)",
    "a=(1\t2)", "a;", "a=1;=2", "&",
  ]) func `what is no dictionary is refused`(text: String) {
    #expect(dictionary(text) == nil)
  }

  @Test func `there are limits`() {
    func list(_ count: Int) -> StructuredFieldError? {
      let text = (0..<count).map { "\($0)" }.joined(separator: ",")
      do throws(StructuredFieldError) {
        let array = bytes(text)
        let buffer = Buffer(array)
        _ = try StructuredFieldParser.list(buffer.bytes.view)
        return nil
      } catch {
        return error
      }
    }
    #expect(list(1024) == nil)
    #expect(list(1025) == .tooLong)
    #expect(item("1" + (0..<256).map { ";a\($0)" }.joined()) != nil)
    #expect(item("1" + (0..<257).map { ";a\($0)" }.joined()) == nil)
  }

  @Test(arguments: 0..<20) func `nothing traps on what looks like structured fields`(seed: UInt64) {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    let pieces = Array("a=1\",;()?:@%\\ \t*.-é9AF".utf8)
    for _ in 0..<500 {
      var text: [UInt8] = []
      for _ in 0..<Int(state % 24) {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        text.append(pieces[Int(state >> 33) % pieces.count])
      }
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      text.withView { view in
        _ = try? StructuredFieldParser.dictionary(view)
        _ = try? StructuredFieldParser.list(view)
        _ = try? StructuredFieldParser.item(view)
      }
    }
  }
}

/// Bytes that live as long as a test.
private final class Buffer {
  var bytes = ByteBuffer()
  init(_ array: [UInt8]) { array.withView { bytes.append($0) } }
}
