import Bytes
import Testing

@testable import HTTPMessage

@Suite struct KnownFieldTests {
  @Test(arguments: KnownField.allCases.filter { $0 != .other })
  func `a known name is found in any case and only when it is whole`(field: KnownField) {
    let name = ByteView(field.name).string
    let identify = { (text: String) in text.withView { KnownField.identify($0) } }
    #expect(identify(name) == field)
    #expect(identify(name.uppercased()) == field)
    #expect(identify(name.prefix(1).uppercased() + name.dropFirst()) == field)
    #expect(identify(name + "x") == .other)
    #expect(identify(String(name.dropLast())) != field)
  }

  @Test(arguments: KnownField.allCases.filter { $0 != .other })
  func `a name with any one byte changed is not known`(field: KnownField) {
    let name = ByteView(field.name).array
    for index in name.indices {
      for byte in UInt8.min...UInt8.max where ASCII.lowercase(byte) != name[index] {
        var changed = name
        changed[index] = byte
        #expect(changed.withView { KnownField.identify($0) } != field)
      }
    }
  }

  @Test func `the names fit into their tables`() {
    #expect(KnownField.allCases.count <= KnownField.tableSize)
    #expect([UInt8]().withView { KnownField.identify($0) } == .other)
  }
}

@Suite struct FieldTableTests {
  /// A table of lines that refer to nothing.
  func fill(_ table: inout FieldTable, _ fields: [KnownField]) {
    for (index, field) in fields.enumerated() {
      table.append(
        FieldLine(
          nameOffset: UInt32(index), nameLength: 1, valueOffset: UInt32(index), valueLength: 1,
          known: field))
    }
  }

  @Test func `lines keep their order while the table grows`() {
    var table = FieldTable()
    fill(&table, Array(repeating: .other, count: 1_000))
    #expect(table.count == 1_000)
    for index in 0..<1_000 { #expect(table[index].nameOffset == UInt32(index)) }
    #expect(table.first(.host) == nil)
  }

  @Test func `known names are found, counted and followed`() {
    var table = FieldTable()
    fill(&table, [.other, .via, .host, .via, .other, .via])
    #expect(table.first(.via) == 1)
    #expect(table.next(.via, after: 1) == 3)
    #expect(table.next(.via, after: 5) == nil)
    #expect(table.next(.host, after: 2) == nil)
    #expect(table.count(of: .via) == 3)
    #expect(table.count(of: .host) == 1)
    #expect(table.count(of: .age) == 0)
    #expect(table.isRepeated(.via) && !table.isRepeated(.host) && !table.isRepeated(.age))
    #expect(table.contains(.host) && !table.contains(.age))
    var values: [String] = []
    "abcdef".withView { bytes in table.forEach(.via, in: bytes) { values.append($0.string) } }
    #expect(values == ["b", "d", "f"])
    values = []
    "abcdef".withView { bytes in
      "c".withView { name in table.forEach(named: name, in: bytes) { values.append($0.string) } }
    }
    #expect(values == ["c"])
  }

  @Test func `an emptied table remembers nothing`() {
    var table = FieldTable()
    fill(&table, [.via, .host, .via])
    table.removeAll()
    #expect(table.count == 0 && table.first(.host) == nil && table.count(of: .via) == 0)
    fill(&table, [.age])
    #expect(table.first(.age) == 0 && table.first(.via) == nil)
  }

  @Test func `sets of names are asked together`() {
    let conditions = KnownFieldSet(.ifMatch) | KnownFieldSet(.ifRange)
    var table = FieldTable()
    fill(&table, [.host, .xRequestId])
    #expect(!table.known.intersects(conditions))
    fill(&table, [.ifRange])
    #expect(table.known.intersects(conditions))
  }
}

@Suite struct MethodTests {
  @Test(arguments: Method.allCases.filter { $0 != .other })
  func `a method is known by its exact name`(method: Method) {
    let name = ByteView(method.name).string
    #expect(name.withView { Method.identify($0) } == method)
    #expect(name.lowercased().withView { Method.identify($0) } == .other)
    #expect((name + "X").withView { Method.identify($0) } == .other)
  }
}

@Suite("RFC 9110 5.6.1: lists") struct ListElementsTests {
  @Test(
    arguments: [
      ("", []), (",", []), (" \t, ,,", []), ("a", ["a"]), ("a,b", ["a", "b"]),
      (" a , b\t,, c ", ["a", "b", "c"]), ("a b", ["a b"]),
      (#""a,b", c"#, [#""a,b""#, "c"]), (#"W/"x,\",y", z"#, [#"W/"x,\",y""#, "z"]),
      (#"a="1, 2"#, [#"a="1, 2"#]), (#""\"#, [#""\"#]), (#"a\,b"#, [#"a\"#, "b"]),
    ] as [(String, [String])])
  func `elements are what stands between commas outside of quotes`(value: String, want: [String]) {
    value.withView { #expect(ListElements($0).map { $0.string } == want) }
  }
}

@Suite struct MessageHeadTests {
  @Test func `a head that owns its bytes outlives the buffer, and may own them twice`() {
    let head = RequestHead()
    "GET / HTTP/1.1\r\n\r\n and more".withView { bytes in
      head.bytes = bytes
      head.length = 18
      head.target = 4..<5
      head.own()
    }
    head.own()
    #expect(head.bytes.string == "GET / HTTP/1.1\r\n\r\n")
    let copy = RequestHead()
    copy.copy(head)
    #expect(copy.bytes[copy.target].string == "/")
  }

  @Test(arguments: UInt16(0)...UInt16(999))
  func `reason phrases are text`(status: UInt16) {
    let reason = ByteView(StatusCode.reason(status))
    for index in 0..<reason.count { #expect(reason[index] >= 0x20 && reason[index] < 0x7F) }
    if status < 100 || status > 599 { #expect(reason.isEmpty) }
  }
}
