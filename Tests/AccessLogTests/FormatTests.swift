import Bytes
import EventLoop
import FoundationEssentials
import Testing

@testable import AccessLog

private let labels = AccessLogLabels(routes: ["example.com/"], cache: ["hit"], details: ["expired"])

/// The lines that records make.
private func lines(
  format: AccessLogFormat, redaction: LogRedaction = .usual(),
  addresses: ClientAddressStyle = .full, target: String = "/a", referer: String = "",
  client: String = "198.51.100.7", members: [(String, String)] = []
) throws -> [String] {
  let directory = try TemporaryDirectory()
  let log = try AccessLogWriter(
    channels: [
      AccessLogChannel(
        .file(directory.file("log")), format: format, redaction: redaction, addresses: addresses)
    ], labels: labels)
  let ring = log.makeRing()
  var packed = ByteBuffer()
  for (name, value) in members {
    name.withView { name in
      value.withView { LogMembers.append(name: name, value: $0, to: &packed) }
    }
  }
  target.withView { target in
    referer.withView { referer in
      var record = AccessRecord()
      record.wall = 1_783_686_896_007
      record.duration = 1_234_567_000
      record.status = 200
      record.route = 0
      record.cache = 0
      record.detail = 0
      if let address = SocketAddress(host: client, port: 40_001) { record.client = address }
      record.bytesSent = 12
      record.method = ByteView("GET")
      record.host = ByteView("example.com")
      record.target = target
      record.referer = referer
      record.members = packed.view
      ring.append(record)
    }
  }
  log.close()
  return try directory.lines("log").map { String(decoding: $0, as: UTF8.self) }
}

private func template(_ text: String) throws -> AccessLogFormat { .template(try LogTemplate(text)) }

@Suite("Formats of one's own") struct TemplateTests {
  @Test(arguments: [
    ("$remote_addr $status $body_bytes_sent", "198.51.100.7 200 12"),
    ("${client}:${client_port}", "198.51.100.7:40001"),
    (
      "[$time_local] $time $msec",
      "[10/Jul/2026:12:34:56 +0000] 2026-07-10T12:34:56.007Z 1783686896.007000"
    ),
    (#""$request" $request_time $duration_us"#, #""GET /a?b=c HTTP/1.1" 1.234567 1234567"#),
    ("$path|$query|$uri|$args", "/a|b=c|/a|b=c"),
    ("$cache $detail $route $host", "hit expired example.com/ example.com"),
    ("$referer $origin_us $upstream_response_time", "- - -"),
    ("$$1 is ${status}0", "$1 is 2000"),
    ("${log.user}/${log.none}", "ann/"),
  ])
  func `a line is as the format says`(_ format: String, _ line: String) throws {
    #expect(
      try lines(format: try template(format), target: "/a?b=c", members: [("user", "ann")]) == [
        line
      ])
  }

  @Test(arguments: ["", "$", "${status", "$nothing", "${}", "a\nb", "$ x", "${log.}"])
  func `what is no format is refused`(_ text: String) {
    #expect(throws: LogTemplate.Defect.self) { try LogTemplate(text) }
  }

  @Test func `every name is a field, and no value can end a line or a quotation`() throws {
    for name in LogTemplate.names {
      let line = try lines(
        format: try template("\"${\(name)}\""), target: "/\"\n\\\u{1B}é?\"", referer: "\"\r\n")
      #expect(line.count == 1, "\(name)")
      #expect(line.first?.dropFirst().dropLast().contains("\"") == false, "\(name)")
    }
  }

  @Test func `a long text that is named often does not make a line too long`() throws {
    let format = String(repeating: "$target", count: 500)
    let line = try lines(
      format: try template(format), target: "/" + String(repeating: "é", count: 1000))
    #expect(line.count == 1)
    #expect((line.first?.utf8.count ?? 0) < LineFormatter.longestLine)
    #expect((line.first?.utf8.count ?? 0) > LineFormatter.longestLine / 2)
  }
}

@Suite("Fields of choice") struct FieldsTests {
  @Test func `a line has what was chosen, in that order, as JSON`() throws {
    let line = try lines(
      format: .fields(
        [.status, .client, .path, .query, .durationUs, .duration, .referer, .originUs, .cache],
        members: true), target: "/a?token=b", members: [("plan", "gold"), ("cookie", "x")])
    #expect(
      line == [
        #"{"status":200,"client":"198.51.100.7","path":"/a","query":"token=***","#
          + #""duration_us":1234567,"duration":1.234567,"cache":"hit","plan":"gold","cookie":"***"}"#
      ])
  }

  @Test func `every field is valid JSON, whatever the client sends`() throws {
    let text = "/\"\n\\\u{1B}é?token=1&\""
    let all = try lines(
      format: .fields(LogTemplate.Field.allCases, members: true), target: text, referer: text,
      members: [("a\"", "b\n")])
    let one = try #require(all.first)
    let object = try JSONDecoder().decode([String: Loose].self, from: Data(one.utf8))
    #expect(object.count == LogTemplate.Field.allCases.count - 2 + 1 - 1)
    #expect(try lines(format: .fields([.referer], members: false)) == ["{}"])
  }

  /// Any scalar.
  private enum Loose: Decodable {
    case text(String)
    case number(Double)

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let text = try? container.decode(String.self) {
        self = .text(text)
      } else {
        self = .number(try container.decode(Double.self))
      }
    }
  }
}

@Suite("Clients' addresses") struct AddressTests {
  @Test(arguments: [
    ("198.51.100.7", "198.51.100.0"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"), ("::1", "::"),
  ])
  func `a shortened address says the network`(_ client: String, _ shown: String) throws {
    #expect(
      try lines(format: try template("$client $client_port"), addresses: .shortened, client: client)
        == ["\(shown) -"])
    let json = try lines(format: .json, addresses: .shortened, client: client)
    #expect(json.first?.contains(#""client":"\#(shown)","method""#) == true)
  }

  @Test func `a hashed address is always the same on one day, and another on the next`() throws {
    var mask = AddressMask(.hashed)
    var other = AddressMask(.hashed)
    let address = SocketAddress(high: 0, low: 0xFFFF_C633_6407, port: 9)
    let day: Int64 = 86_400_000
    let shown = mask.shown(address, at: 100 * day)
    #expect(shown == other.shown(address, at: 101 * day - 1) && shown.port == 0)
    #expect(shown.high >> 56 == 0xFD && shown.low != address.low)
    #expect(mask.shown(address, at: 101 * day) != shown)
    let next = SocketAddress(high: 0, low: 0xFFFF_C633_6408, port: 9)
    #expect(mask.shown(next, at: 101 * day) != mask.shown(address, at: 101 * day))
    let combined = try lines(format: .combined, addresses: .hashed)
    #expect(combined.first?.hasPrefix("fd") == true)
    #expect(combined.first?.contains("198.51") == false)
  }
}

@Suite("Redaction") struct RedactionTests {
  @Test(arguments: [
    ("/a?token=abc", "/a?token=***"), ("/a?x=1&TOKEN=abc&y=2", "/a?x=1&TOKEN=***&y=2"),
    ("/a?%74oken=abc", "/a?%74oken=***"), ("/a?t%6Fke%6e=abc;x=1", "/a?t%6Fke%6e=***;x=1"),
    ("/a?X-Amz-Signature=0f&X-Amz-Date=1", "/a?X-Amz-Signature=***&X-Amz-Date=1"),
    ("/a?sig=a=b&x", "/a?sig=***&x"), ("/a?tokens=1&tok=2&token", "/a?tokens=1&tok=2&token"),
    ("/a?token=", "/a?token="), ("/token=abc", "/token=abc"),
    ("/a?=&&=x&%=1&%4=2", "/a?=&&=x&%=1&%4=2"),
    ("/a?token=1&token=2", "/a?token=***&token=***"), ("/a?mine=1", "/a?mine=***"),
  ])
  func `values that let others in are left out`(_ target: String, _ shown: String) throws {
    let redaction = LogRedaction.usual(and: ["Mine"])
    #expect(
      try lines(
        format: try template("$target $referer"), redaction: redaction, target: target,
        referer: "https://a.example\(target)") == ["\(shown) https://a.example\(shown)"])
    let json = try lines(format: .json, redaction: redaction, target: target)
    #expect(json.first?.contains("\"target\":\"\(shown)\"") == true)
    let combined = try lines(format: .combined, redaction: redaction, target: target)
    #expect(combined.first?.contains("\"GET \(shown) HTTP/1.1\"") == true)
    #expect(
      try lines(format: try template("$target"), redaction: .none, target: target) == [target])
  }

  @Test func `credentials that rules log are left out`() throws {
    let members = [
      ("authorization", "x"), ("my_cookie", "y"), ("who", "Bearer abc"), ("how", "BASIC abc"),
      ("plan", "gold"),
    ]
    let line = try lines(format: .json, members: members).first ?? ""
    #expect(
      line.contains(
        #""authorization":"***","my_cookie":"***","who":"***","how":"***","plan":"gold""#))
    #expect(
      try lines(format: try template("${log.who} ${log.plan}"), members: members) == ["*** gold"])
  }
}

@Suite("Rotation") struct RotationTests {
  @Test func `a file that is full is put aside, and the oldest goes`() throws {
    let directory = try TemporaryDirectory()
    let log = try AccessLogWriter(
      target: .file(directory.file("log")), format: try template("$target"), labels: labels,
      rotation: LogRotation(size: 10, keep: 2))
    let ring = log.makeRing()
    for number in 0..<5 {
      "/long-line-\(number)".withView { target in
        var record = AccessRecord()
        record.target = target
        ring.append(record)
      }
      // What was appended is written as one batch.
      log.flush()
    }
    log.close()
    #expect(log.writeErrors == 0 && log.lines == 5)
    let names = ["log", "log.1", "log.2"]
    #expect(
      try names.map { try directory.lines($0).map { String(decoding: $0, as: UTF8.self) } }
        == [["/long-line-4"], ["/long-line-3"], ["/long-line-2"]])
    #expect(throws: (any Error).self) { try directory.lines("log.3") }
  }

  @Test func `files beyond the number that is kept, and those that are too old, go`() throws {
    let directory = try TemporaryDirectory()
    for number in 1...5 {
      let file = directory.file("log.\(number)")
      try Data("x\n".utf8).write(to: URL(filePath: file))
      let age = number >= 3 ? 10_000.0 : 0
      try FileManager.default.setAttributes(
        [.modificationDate: Date().addingTimeInterval(-age)], ofItemAtPath: file)
    }
    func names() throws -> [String] {
      try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    }
    func open(_ rotation: LogRotation) throws {
      try AccessLogWriter(
        target: .file(directory.file("log")), labels: labels, rotation: rotation
      ).close()
    }
    try open(LogRotation(keep: 4))
    #expect(try names() == ["log", "log.1", "log.2", "log.3", "log.4"])
    try open(LogRotation(keep: 4, keepFor: 5_000))
    #expect(try names() == ["log", "log.1", "log.2"])
  }

  @Test func `a file that somebody else has put aside is not put aside again`() throws {
    let directory = try TemporaryDirectory()
    let file = try LogFile(path: directory.file("log"), rotation: LogRotation(size: 1, keep: 3))
    #expect("one\n".withView { file.write($0) }.error == nil)
    try FileManager.default.moveItem(
      atPath: directory.file("log"), toPath: directory.file("log.1"))
    #expect(file.tend() == nil)
    #expect("two\n".withView { file.write($0) }.error == nil)
    #expect(try directory.lines("log.1") == [Array("one".utf8)])
    #expect(try directory.lines("log") == [Array("two".utf8)])
  }

  @Test func `size and age decide, each where it is given`() {
    let both = LogRotation(size: 100, age: 60)
    #expect(!both.isDue(size: 99, age: 59))
    #expect(both.isDue(size: 100, age: 0) && both.isDue(size: 1, age: 60))
    #expect(!LogRotation(age: 60).isDue(size: .max, age: 59))
    #expect(!LogRotation(size: 9).isDue(size: 8, age: .max))
    #expect(LogRotation(keep: -3).keep == 1)
  }

  @Test func `a directory that takes no file leaves the log where it is`() throws {
    let directory = try TemporaryDirectory()
    let log = try AccessLogWriter(
      target: .file(directory.file("log")), format: try template("$target"), labels: labels,
      rotation: LogRotation(size: 1, keep: 1))
    let ring = log.makeRing()
    func append() {
      var record = AccessRecord()
      record.target = ByteView("/a")
      ring.append(record)
      log.flush()
    }
    append()
    // A directory in the place where the old file should go.
    try FileManager.default.createDirectory(
      atPath: directory.file("log.1/inside"), withIntermediateDirectories: true)
    append()
    log.close()
    #expect(log.writeErrors == 1 && log.lines == 2)
    #expect(try directory.lines("log").count == 2)
  }
}
