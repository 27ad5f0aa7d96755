// The rules language over lines of the access log: the filters of who watches them. One is compiled once;
// the thread that tests lines makes a program of its own of it.

package import AccessLog
internal import Bytes
internal import EventLoop
internal import HTTPMessage
internal import Rules

/// A condition over lines in the rules language, such as `status >= 500 && host == "a.example"`.
package final class LineExpression: LineFilter {
  /// Bytes that a condition may have.
  package static let limit = 4_096

  private let code: RuleCode

  private init(code: RuleCode) { self.code = code }

  /// The condition that a text is; says of another what is wrong with it.
  package static func compile(_ text: [UInt8]) throws(ObjectExpression.Defect) -> LineExpression {
    guard text.count <= limit else {
      throw ObjectExpression.Defect(text: "it is longer than \(limit) bytes", offset: limit)
    }
    var findings = RuleFindings()
    guard let code = RuleLanguage.compile(lineCondition: text, &findings) else {
      throw ObjectExpression.Defect(findings)
    }
    return LineExpression(code: code)
  }

  /// The names that conditions may use, for the documentation.
  package static var names: [(name: String, type: String, text: String)] {
    DataName.ofLines.map { ($0.name, $0.type.rawValue, $0.text) }
  }

  package func makeTest() -> any LineTest { LineExpressionTest(RuleProgram(code)) }
}

/// One thread's test.
private final class LineExpressionTest: LineTest {
  private let program: RuleProgram
  private let scratch = RuleScratch(capacity: 16 << 10)
  private let object = RuleObject()
  private let head = RequestHead()
  private var hostText = ByteBuffer(capacity: 128)
  private var members = ByteBuffer()

  init(_ program: RuleProgram) { self.program = program }

  func isTrue(of line: LogLine) -> Bool {
    var result = false
    line.withTexts { method, host, target, referer, userAgent in
      hostText.removeAll()
      RequestTarget.appendHost(host, to: &hostText)
      let mark = target.firstIndex(of: ASCII.question) ?? target.count
      object.method = method
      object.referer = referer
      object.userAgent = userAgent
      object.query = mark < target.count ? target.dropping(first: mark + 1) : nil
      fill(line)
      var input = RuleInput(head: head, host: hostText.view, path: target.prefix(mark))
      input.status = line.status
      input.clientHigh = line.client.high
      input.clientLow = line.client.low
      input.claims = members.view
      input.object = object
      result = program.isTrue(input, scratch)
    }
    return result
  }

  private func fill(_ line: LogLine) {
    object.cacheResult = line.cache
    object.detail = line.detail
    object.route = line.route
    object.protocolName =
      switch line.version {
      case 20: ByteView("HTTP/2")
      case 10: ByteView("HTTP/1.0")
      default: ByteView("HTTP/1.1")
      }
    object.duration = line.duration
    object.originDuration = max(0, line.originDuration)
    object.size = Int64(clamping: line.bytesSent)
    object.received = Int64(clamping: line.bytesReceived)
    members.removeAll()
    line.forEachMember { name, value in
      RuleClaims.append(name: name, value: value, to: &members)
    }
  }
}
