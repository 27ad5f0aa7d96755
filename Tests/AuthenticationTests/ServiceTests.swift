import Authentication
import Bytes
import HTTP1
import HTTPMessage
import Testing

/// What an authentication service's answer means.
@Suite struct ServiceTests {
  /// An answer with these fields that came at `now`.
  private static func answer(
    _ fields: [String], _ rules: ServiceRules = rules(), now: Int64 = 0
  ) -> ServiceAnswer {
    var bytes = ByteBuffer()
    bytes.append(text: "HTTP/1.1 200 OK\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n")
    let head = ResponseHead()
    let outcome = ResponseParser.parse(
      bytes.view, limits: HeadLimits(maxHead: 16_384), requestMethod: .get, into: head)
    #expect(outcome == .complete)
    return ServiceAnswer(head, rules: rules, now: now)
  }

  private static func rules() -> ServiceRules {
    var rules = ServiceRules()
    rules.requestFields = ["x-user", "x-groups"].map { Array($0.utf8) }
    rules.responseFields = [Array("set-cookie".utf8)]
    rules.subjectField = Array("x-user".utf8)
    rules.lifetime = 60_000_000_000
    return rules
  }

  @Test(
    arguments: [
      (200, ServiceVerdict.passes), (204, .passes), (299, .passes), (302, .refuses),
      (303, .refuses),
      (307, .refuses), (308, .refuses), (401, .refuses), (403, .refuses), (304, .isUnusable),
      (305, .isUnusable), (400, .isUnusable), (404, .isUnusable), (429, .isUnusable),
      (500, .isUnusable), (503, .isUnusable), (199, .isUnusable), (101, .isUnusable),
    ] as [(UInt16, ServiceVerdict)])
  func `only a success lets in, and only what is meant for the client goes to it`(
    status: UInt16, verdict: ServiceVerdict
  ) {
    #expect(ServiceVerdict(status: status) == verdict)
  }

  @Test func `fields are taken as the configuration names them`() {
    let answer = Self.answer([
      "X-User: anna", "X-Groups: a", "x-groups: b", "Set-Cookie: s=1", "X-Other: c",
    ])
    #expect(
      String(decoding: answer.requestLines, as: UTF8.self)
        == "x-user: anna\r\nx-groups: a\r\nx-groups: b\r\n")
    #expect(String(decoding: answer.responseLines, as: UTF8.self) == "set-cookie: s=1\r\n")
    #expect(answer.subject.string == "anna")
    #expect(answer.field(ByteView("x-groups"))?.string == "a")
    #expect(answer.field(ByteView("x-other")) == nil)
    var names: [String] = []
    answer.forEachField { names.append("\($0.string)=\($1.string)") }
    #expect(names == ["x-user=anna", "x-groups=a", "x-groups=b"])
  }

  @Test func `two subjects are none`() {
    let answer = Self.answer(["X-User: anna", "X-User: bert"])
    #expect(answer.subject.isEmpty)
  }

  @Test(
    arguments: [
      ([], 60), (["Cache-Control: max-age=10"], 10), (["Cache-Control: max-age=\"10\""], 10),
      (["Cache-Control: max-age=3600"], 60), (["Cache-Control: no-store"], 0),
      (["Cache-Control: private, no-cache"], 0), (["Cache-Control: max-age=x"], 0),
      (["Cache-Control: max-age="], 0), (["Cache-Control: max-age=-1"], 0),
      (["Cache-Control: max-age=99999999999999999999"], 60),
      (["Cache-Control: max-age=20", "Cache-Control: max-age=5"], 5),
      (["Cache-Control: s-maxage=1, private"], 60),
    ] as [([String], Int64)])
  func `an answer is kept as long as both allow`(fields: [String], seconds: Int64) {
    let answer = Self.answer(fields, now: 1_000)
    #expect(answer.keptUntil == 1_000 + seconds * 1_000_000_000)
  }

  @Test func `what is kept is found by its whole key, until its time is over`() {
    let memory = ServiceMemory(
      maxCount: 2, maxBytes: 100_000, secret: Hash128(low: 1, high: 2))
    let answer = Self.answer(["X-User: anna"])
    let second: Int64 = 1_000_000_000
    memory.keep(answer, for: ByteView("one"), now: 0)
    #expect(memory.find(ByteView("one"), now: 60 * second - 1) === answer)
    #expect(memory.find(ByteView("one"), now: 60 * second) == nil)
    #expect(memory.find(ByteView("two"), now: 0) == nil)
    for key in ["a", "b", "c", "d"] {
      key.withView { memory.keep(answer, for: $0, now: 0) }
      #expect(memory.count <= 2)
    }
    var rules = Self.rules()
    rules.lifetime = 0
    let fleeting = Self.answer([], rules, now: 5)
    memory.keep(fleeting, for: ByteView("fleeting"), now: 5)
    #expect(memory.find(ByteView("fleeting"), now: 5) == nil)
  }
}
