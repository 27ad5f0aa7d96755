import Bytes
import Testing
import Tracing

/// Protocol Buffers' wire format, read without knowing the messages.
struct WireMessage {
  enum Value: Equatable {
    case number(UInt64)
    case fixed(UInt64)
    case bytes([UInt8])
  }
  struct Malformed: Error {}

  private(set) var fields: [(number: Int, value: Value)] = []

  init(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let tag = try Self.varint(&rest)
      let number = Int(tag >> 3)
      switch tag & 7 {
      case 0: fields.append((number, .number(try Self.varint(&rest))))
      case 1:
        guard rest.count >= 8 else { throw Malformed() }
        let value = rest.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        rest = rest.dropFirst(8)
        fields.append((number, .fixed(value)))
      case 2:
        let length = try Self.varint(&rest)
        guard length <= UInt64(rest.count) else { throw Malformed() }
        fields.append((number, .bytes(Array(rest.prefix(Int(length))))))
        rest = rest.dropFirst(Int(length))
      default: throw Malformed()
      }
    }
  }

  private static func varint(_ rest: inout ArraySlice<UInt8>) throws -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard let byte = rest.popFirst() else { throw Malformed() }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    throw Malformed()
  }

  func messages(_ number: Int) throws -> [WireMessage] {
    try bytes(number).map { try WireMessage($0) }
  }
  func bytes(_ number: Int) -> [[UInt8]] {
    fields.compactMap { field in
      if field.number == number, case .bytes(let value) = field.value { value } else { nil }
    }
  }
  func text(_ number: Int) -> String? {
    bytes(number).first.map { String(decoding: $0, as: UTF8.self) }
  }
  func number(_ number: Int) -> UInt64? {
    for field in fields where field.number == number {
      switch field.value {
      case .number(let value), .fixed(let value): return value
      case .bytes: return nil
      }
    }
    return nil
  }
  /// The attributes in a field of KeyValues.
  func attributes(_ number: Int) throws -> [String: String] {
    var found: [String: String] = [:]
    for pair in try messages(number) {
      guard let name = pair.text(1), let value = try pair.messages(2).first else {
        throw Malformed()
      }
      found[name] = value.text(1) ?? value.number(3).map { "\($0)" }
    }
    return found
  }
}

@Suite("OTLP")
struct ExportTests {
  static func record() -> TraceRecord {
    var record = TraceRecord(
      context: TraceContext(
        traceHigh: 0x0102_0304_0506_0708, traceLow: 9, parent: 7, isSampled: true),
      span: 0x1122_3344_5566_7788, start: 1_700_000_000_000_000_000,
      end: 1_700_000_000_250_000_000)
    record.originSpan = 0x99
    record.state = "vendor=1"
    record.method = "GET"
    record.host = "shop.example"
    record.path = "/a"
    record.route = "shop/"
    record.status = 502
    record.cache = "error"
    record.bytes = 300
    record.phases = [
      TraceSpan(.lookup, start: record.start, end: record.start + 1000),
      TraceSpan(.firstByte, start: record.start + 1000, end: record.end),
    ]
    return record
  }

  static func encoded(_ records: [TraceRecord]) throws -> WireMessage {
    let encoder = OTLPEncoder(node: "edge-1", version: "1.2")
    return try WireMessage(encoder.encode(records).view.array)
  }

  @Test func `a request is exported with its phases beneath it`() throws {
    let export = try Self.encoded([Self.record()])
    let resourceSpans = try #require(try export.messages(1).first)
    let resource = try #require(try resourceSpans.messages(1).first)
    #expect(
      try resource.attributes(1) == [
        "service.name": "weir", "service.instance.id": "edge-1", "service.version": "1.2",
      ])
    let spans = try #require(try resourceSpans.messages(2).first).messages(2)
    #expect(spans.map { $0.text(5) } == ["GET shop/", "lookup", "origin first byte"])
    #expect(spans.map { $0.number(6) } == [2, 1, 3])
    let trace: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9]
    #expect(spans.allSatisfy { $0.bytes(1) == [trace] && $0.text(3) == "vendor=1" })
    #expect(spans[0].bytes(2) == [[0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]])
    #expect(spans[0].bytes(4) == [[0, 0, 0, 0, 0, 0, 0, 7]])
    #expect(spans[1].bytes(4) == spans[0].bytes(2) && spans[2].bytes(4) == spans[0].bytes(2))
    #expect(spans[2].bytes(2) == [[0, 0, 0, 0, 0, 0, 0, 0x99]])
    #expect(Set(spans.map { $0.bytes(2) }).count == 3)
    #expect(spans[0].number(7) == 1_700_000_000_000_000_000)
    #expect(spans[0].number(8) == 1_700_000_000_250_000_000)
    #expect(
      try spans[0].attributes(9) == [
        "http.request.method": "GET", "server.address": "shop.example", "url.path": "/a",
        "http.route": "shop/", "weir.cache": "error", "http.response.status_code": "502",
        "http.response.body.size": "300",
      ])
    // An error of the server's.
    #expect(try spans[0].messages(15).first?.number(3) == 2)
  }

  @Test func `a request that nobody asked for has no parent, and a good one no status`() throws {
    var record = Self.record()
    record.context.parent = 0
    record.state = ""
    record.status = 200
    let spans = try #require(
      try Self.encoded([record]).messages(1).first?.messages(2).first
    ).messages(2)
    #expect(spans[0].bytes(4).isEmpty && spans[0].bytes(3).isEmpty && spans[0].bytes(15).isEmpty)
  }

  @Test func `whatever is in a record comes out again`() throws {
    var numbers = TraceNumbers(seed: 7)
    for _ in 0..<200 {
      let records = (0..<numbers.next() % 5).map { _ in
        var record = Self.record()
        record.span = numbers.identifier()
        record.status = UInt16(truncatingIfNeeded: numbers.next())
        record.bytes = numbers.next() >> (numbers.next() % 64)
        record.path = String(repeating: "é", count: Int(numbers.next() % 300))
        return record
      }
      let spans =
        try Self.encoded(records).messages(1).first?.messages(2).first?.messages(2) ?? []
      #expect(spans.count == records.count * 3)
      for (index, record) in records.enumerated() {
        let attributes = try spans[index * 3].attributes(9)
        #expect(attributes["http.response.status_code"] == "\(record.status)")
        #expect(attributes["http.response.body.size"] == "\(record.bytes)")
        #expect(attributes["url.path"] ?? "" == record.path)
      }
    }
  }
}
