// The rules language over what is stored: the conditions that purges go by. One is compiled once and
// shared; each thread that tests objects makes a program of its own of it.

package import Bytes
internal import HTTPMessage
package import ObjectStore
internal import Rules

/// A condition over stored objects in the rules language, such as
/// `content_type == "image/png" && age > 1h`.
package final class ObjectExpression: ObjectCondition {
  /// Why a text is no such condition.
  package struct Defect: Error, Sendable, Equatable {
    /// What is wrong, in a line or two.
    package let text: String
    /// Where, in bytes from the text's begin.
    package let offset: Int

    init(text: String, offset: Int) {
      self.text = text
      self.offset = offset
    }

    /// What the first of some findings says.
    init(_ findings: RuleFindings) {
      let first = findings.list.first { $0.isError }
      var message = first?.message ?? "it is no condition"
      if let suggestion = first?.suggestion { message += "; did you mean \(suggestion)?" }
      if let help = first?.help { message += " (\(help))" }
      self.init(text: message, offset: first?.range.lower ?? 0)
    }
  }

  /// Bytes that a condition may have.
  package static let limit = 4_096

  /// As it was written.
  package let text: [UInt8]
  private let code: RuleCode

  private init(text: [UInt8], code: RuleCode) {
    self.text = text
    self.code = code
  }

  /// The condition that a text is; says of another what is wrong with it.
  package static func compile(_ text: [UInt8]) throws(Defect) -> ObjectExpression {
    guard text.count <= limit else {
      throw Defect(text: "it is longer than \(limit) bytes", offset: limit)
    }
    var findings = RuleFindings()
    guard let code = RuleLanguage.compile(objectCondition: text, &findings) else {
      throw Defect(findings)
    }
    return ObjectExpression(text: text, code: code)
  }

  /// The names that conditions may use, for the documentation.
  package static var names: [(name: String, type: String, text: String)] {
    DataName.ofObjects.map { ($0.name, $0.type.rawValue, $0.text) }
  }

  package func makeTest(tagHash: (ByteView) -> UInt64) -> any ObjectTest {
    ObjectExpressionTest(
      RuleProgram(code), tags: code.tags.map { tag in tag.withView { tagHash($0) } })
  }
}

/// One thread's test. Allocates only where the language makes texts longer than its room.
private final class ObjectExpressionTest: ObjectTest {
  private let program: RuleProgram
  private let tags: [UInt64]
  private let scratch = RuleScratch(capacity: 16 << 10)
  private let object = RuleObject()
  private let head = RequestHead()
  private var contentType = ByteBuffer(capacity: 128)
  private var variant = ByteBuffer(capacity: 32)

  init(_ program: RuleProgram, tags: [UInt64]) {
    self.program = program
    self.tags = tags
  }

  func isTrue(of facts: borrowing ObjectFacts) -> Bool {
    let parts = URLParts(facts.url)
    var input = RuleInput(head: head, host: parts.host, path: parts.path)
    input.status = facts.status
    input.responseFields = facts.head
    object.url = facts.url
    object.query = parts.query
    object.size = Int64(clamping: facts.bodyLength)
    let (age, isTooLong) = facts.age.multipliedReportingOverflow(by: 1_000_000)
    object.age = isTooLong ? .max : age
    object.hasTag.removeAll(keepingCapacity: true)
    for tag in tags { object.hasTag.append(facts.hasTag(tag)) }
    MediaType.append(of: facts.head, to: &contentType)
    object.contentType = contentType.view
    variant.removeAll()
    VariantName.append(facts.keyHash, to: &variant)
    object.variant = variant.view
    input.object = object
    return program.isTrue(input, scratch)
  }
}

/// What tells a stored response from other variants of its URL: the hash that it is stored under, which
/// nobody can compute elsewhere, as 32 hexadecimal digits.
package enum VariantName {
  static func append(_ hash: Hash128, to buffer: inout ByteBuffer) {
    for word in [hash.high, hash.low] {
      for shift in stride(from: 60, through: 0, by: -4) {
        let digit = UInt8(truncatingIfNeeded: word &>> UInt64(shift)) & 15
        buffer.append(digit < 10 ? digit + 0x30 : digit + 0x57)
      }
    }
  }

  /// The name of a hash.
  package static func text(_ hash: Hash128) -> String {
    var buffer = ByteBuffer(capacity: 32)
    append(hash, to: &buffer)
    return buffer.view.string
  }

  /// Whether a text has a name's form.
  package static func isName(_ text: String) -> Bool {
    text.utf8.count == 32 && text.utf8.allSatisfy { 0x30...0x39 ~= $0 || 0x61...0x66 ~= $0 }
  }
}

/// A media type without its parameters, in lower case.
enum MediaType {
  /// Replaces the buffer's content by the media type that stored field lines have; by nothing if none.
  static func append(of lines: ByteView, to buffer: inout ByteBuffer) {
    buffer.removeAll()
    let name = ByteView("content-type:")
    var offset = 0
    while offset < lines.count {
      let end = lines.firstIndex(of: ASCII.lf, from: offset) ?? lines.count
      let line = lines[offset..<end]
      offset = end + 1
      guard line.count > name.count, line.prefix(name.count).equalsIgnoringCase(name) else {
        continue
      }
      let value = line.dropping(first: name.count)
      var length = 0
      while length < value.count, value[length] != ASCII.semicolon, value[length] != ASCII.cr {
        length += 1
      }
      buffer.appendLowercased(value.prefix(length).trimmingWhitespace)
      return
    }
  }
}

/// The parts of a URL as keys have it: `scheme://host[:port]/path?query`.
struct URLParts {
  var host = ByteView()
  var path = ByteView()
  var query: ByteView?

  init(_ url: ByteView) {
    var start = 0
    while start + 2 < url.count,
      !(url[start] == ASCII.colon && url[start + 1] == ASCII.slash && url[start + 2] == ASCII.slash)
    {
      start += 1
    }
    guard start + 2 < url.count else { return }
    let rest = url.dropping(first: start + 3)
    let slash = rest.firstIndex(of: ASCII.slash) ?? rest.count
    host = RequestTarget.split(rest.prefix(slash)).host
    let target = rest.dropping(first: slash)
    let mark = target.firstIndex(of: ASCII.question) ?? target.count
    path = target.prefix(mark)
    query = mark < target.count ? target.dropping(first: mark + 1) : nil
  }
}
