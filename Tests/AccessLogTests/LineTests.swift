import AccessLog
import Bytes
import EventLoop
import Testing

private let labels = AccessLogLabels(
  routes: ["example.com/", "with \"quotes\"\n"], cache: ["hit", "miss"], details: ["expired"])

/// A repeatable source of chance (SplitMix64).
struct Seeded: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}

/// Writes records to a file and returns its lines.
private func written(
  format: AccessLogFormat = .json, _ append: (AccessLogRing) -> Void
) throws -> [[UInt8]] {
  let directory = try TemporaryDirectory()
  let log = try AccessLogWriter(
    target: .file(directory.file("log")), format: format, labels: labels)
  append(log.makeRing())
  log.flush()
  log.close()
  #expect(log.dropped == 0 && log.writeErrors == 0)
  return try directory.lines("log")
}

@Suite struct LineTests {
  @Test func `a combined line is as other servers write it`() throws {
    let lines = try written(format: .combined) { ring in
      var record = AccessRecord()
      record.wall = 1_783_686_896_007
      record.status = 304
      record.version = 11
      record.client = SocketAddress(high: 0, low: 0xFFFF_C633_6407, port: 40_001)
      record.bytesSent = 12
      record.method = ByteView("GET")
      record.host = ByteView("example.com")
      record.target = ByteView("/a?b=\"c\"&long=enough")
      record.userAgent = ByteView("curl/8.0 \u{1B}[1m é\\")
      ring.append(record)
      record.version = 0
      record.userAgent = ByteView()
      record.referer = ByteView("https://example.org/")
      ring.append(record)
    }
    #expect(
      lines.map { String(decoding: $0, as: UTF8.self) } == [
        #"198.51.100.7 - - [10/Jul/2026:12:34:56 +0000] "GET /a?b=\x22c\x22&long=enough HTTP/1.1" "#
          + #"304 12 "-" "curl/8.0 \x1B[1m \xC3\xA9\x5C""#,
        #"198.51.100.7 - - [10/Jul/2026:12:34:56 +0000] "GET /a?b=\x22c\x22&long=enough" "#
          + #"304 12 "https://example.org/" "-""#,
      ])
  }

  @Test func `a line says everything about a request`() throws {
    let lines = try written { ring in
      var record = AccessRecord()
      record.wall = 1_783_686_896_007
      record.duration = 1_234_567
      record.originDuration = 999_999
      record.status = 206
      record.cache = 1
      record.detail = 0
      record.route = 0
      record.version = 20
      record.client = SocketAddress(high: 0, low: 0xFFFF_C633_6407, port: 40_001)
      record.bytesSent = .max
      record.bytesReceived = 10
      record.method = ByteView("GET")
      record.host = ByteView("example.com")
      record.target = ByteView("/a?b=c")
      record.referer = ByteView("https://example.org/")
      record.userAgent = ByteView("curl/8.0")
      ring.append(record)
    }
    let expected =
      #"{"time":"2026-07-10T12:34:56.007Z","client":"198.51.100.7","client_port":40001,"#
      + #""method":"GET","host":"example.com","target":"/a?b=c","protocol":"HTTP/2","#
      + #""status":206,"bytes_sent":18446744073709551615,"bytes_received":10,"#
      + #""duration_us":1234,"origin_us":999,"cache":"miss","detail":"expired","#
      + #""route":"example.com/","referer":"https://example.org/","user_agent":"curl/8.0"}"#
    #expect(lines.map { String(decoding: $0, as: UTF8.self) } == [expected])
  }

  @Test func `what is not known is left out, and names are escaped`() throws {
    let lines = try written { ring in
      ring.append(AccessRecord())
      var record = AccessRecord()
      record.route = 1
      record.duration = .min
      record.cache = 200
      ring.append(record)
    }.map { try Line($0) }
    try #require(lines.count == 2)
    #expect(lines[0].route == nil && lines[0].origin_us == nil && lines[0].referer == nil)
    #expect(lines[0].detail == nil && lines[0].cut == nil && lines[0].client == "::")
    #expect(lines[1].route == "with \"quotes\"\n" && lines[1].cache == nil)
    #expect(lines[1].duration_us == 0)
  }

  @Test(
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
      (951_782_399_999, "2000-02-28T23:59:59.999Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
      (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
      (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
      (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
      (1_709_208_000_123, "2024-02-29T12:00:00.123Z"),
      (253_402_300_799_999, "9999-12-31T23:59:59.999Z"), (.max, "9999-12-31T23:59:59.807Z"),
      (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"), (.min, "0000-01-01T00:00:00.192Z"),
    ] as [(Int64, String)])
  func `times are written as RFC 3339 has them`(wall: Int64, expected: String) throws {
    let lines = try written { ring in
      var record = AccessRecord()
      record.wall = wall
      ring.append(record)
    }
    #expect(try lines.map { try Line($0).time } == [expected])
  }

  @Test(arguments: [
    "0.0.0.0", "255.255.255.255", "10.0.0.1", "::1", "2001:db8::1", "2001:db8:0:1:1:1:1:1",
    "2001:0:0:1::1", "fe80::", "::ffff:0:0:0", "1:2:3:4:5:6:7:8", "1:0:0:2::3", "a::b:0:0:c",
    "64:ff9b::c000:221",
  ])
  func `addresses are written as RFC 5952 has them`(host: String) throws {
    let address = try #require(SocketAddress(host: host, port: 1))
    let lines = try written { ring in
      var record = AccessRecord()
      record.client = address
      ring.append(record)
    }
    #expect(try lines.map { try Line($0).client } == [address.host])
  }

  @Test(
    arguments: [
      ([0x22, 0x5C, 0x2F], #"\"\\/"#), ([0x00, 0x1F, 0x7F], #"\u0000\u001f\u007f"#),
      ([0x0A, 0x0D, 0x09], #"\n\r\t"#), ([0xFF, 0x61], #"\ufffda"#),
      ([0xC3, 0xA4], "ä"), ([0xC3], #"\ufffd"#), ([0xC0, 0x80], #"\ufffd\ufffd"#),
      ([0xED, 0xA0, 0x80], #"\ufffd\ufffd\ufffd"#), ([0xF0, 0x9F, 0x90, 0x9F], "🐟"),
      ([0xF4, 0x90, 0x80, 0x80], #"\ufffd\ufffd\ufffd\ufffd"#), ([0xC2, 0x9B], #"\u009b"#),
      ([0xE2, 0x82, 0x41], #"\ufffd\ufffdA"#),
    ] as [([UInt8], String)])
  func `special bytes are escaped at every place of a word`(bytes: [UInt8], expected: String) throws
  {
    let lines = try written { ring in
      for shift in 0..<12 {
        let text = Array(repeating: UInt8(0x78), count: shift) + bytes + Array("12345678".utf8)
        text.withView {
          var record = AccessRecord()
          record.target = $0
          ring.append(record)
        }
      }
    }
    #expect(lines.count == 12)
    for (shift, line) in lines.enumerated() {
      let text = String(decoding: line, as: UTF8.self)
      let target = String(repeating: "x", count: shift) + expected + "12345678"
      #expect(text.contains("\"target\":\"\(target)\","))
      _ = try Line(line)
    }
  }

  @Test func `whatever a client sends, each line is valid JSON and says it`() throws {
    var random = Seeded(state: 20_260_101)
    var texts: [[UInt8]] = []
    for _ in 0..<1500 {
      // Few kinds of bytes, so that sequences that are nearly UTF-8 come often.
      let kinds: [ClosedRange<UInt8>] = [
        0x20...0x7E, 0x00...0x1F, 0x22...0x22, 0x5C...0x5C, 0x80...0xBF, 0xC0...0xDF, 0xE0...0xEF,
        0xF0...0xFF, 0x00...0xFF,
      ]
      let length = Int.random(in: 0...40, using: &random)
      texts.append(
        (0..<length).map { _ in
          UInt8.random(in: kinds.randomElement(using: &random) ?? 0...255, using: &random)
        })
    }
    let lines = try written { ring in
      for text in texts {
        text.withView {
          var record = AccessRecord()
          record.method = $0
          record.host = $0
          record.target = $0
          record.referer = $0
          record.userAgent = $0
          ring.append(record)
        }
      }
    }
    try #require(lines.count == texts.count)
    for (bytes, text) in zip(lines, texts) {
      let line = try Line(bytes)
      #expect(!bytes.contains { $0 < 0x20 || $0 == 0x7F })
      #expect(line.method == line.target && line.host == line.target)
      #expect((line.user_agent ?? "") == line.target && (line.referer ?? "") == line.target)
      if let valid = String(validating: text, as: UTF8.self) { #expect(line.target == valid) }
    }
  }

  @Test func `long texts are cut, and the worst of them fit`() throws {
    let lines = try written { ring in
      for byte in [0x61, 0x00, 0xFF] as [UInt8] {
        Array(repeating: byte, count: 5000).withView {
          var record = AccessRecord()
          record.method = $0
          record.host = $0
          record.target = $0
          record.referer = $0
          record.userAgent = $0
          for _ in 0..<3 { ring.append(record) }
        }
      }
    }
    #expect(lines.count == 9)
    for line in lines {
      let line = try Line(line)
      #expect(line.cut == true && line.target.unicodeScalars.count == AccessRecord.textLimit)
      #expect(line.user_agent?.unicodeScalars.count == AccessRecord.textLimit)
    }
  }
}
