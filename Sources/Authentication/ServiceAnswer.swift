// What an authentication service's answer to a question means, and what is kept of it.
//
//   2xx             the request passes; fields of the answer go into it, or to its client
//   3xx, 401, 403   the client gets the answer: a way to log in, a challenge, a refusal
//   anything else   the service is not well; nobody is let in by that
//
// An answer is kept only where the configuration says by what (a cookie, a field): then the next request
// with the same is let in without asking. Refusals are never kept. What an answer says itself of being
// kept (`no-store`, `max-age`) shortens that, and never lengthens it.

package import Bytes
package import HTTPMessage

/// What of a service's answers is used, as the configuration says. Names are in lower case.
package struct ServiceRules: Sendable {
  /// Fields that go into the request, in place of what the client sent under these names.
  package var requestFields: [[UInt8]] = []
  /// Fields that go to the client with the response.
  package var responseFields: [[UInt8]] = []
  /// The field that says who asks; nil: nobody is told.
  package var subjectField: [UInt8]?
  /// How long an answer is kept at most, nanoseconds; 0: not at all.
  package var lifetime: Int64 = 0

  /// Nothing is used.
  package init() {}
}

/// What an answer's status means.
package enum ServiceVerdict: Equatable, Sendable {
  /// The request may pass.
  case passes
  /// The client gets the answer.
  case refuses
  /// The answer is none.
  case isUnusable

  /// What a status means.
  package init(status: UInt16) {
    switch status {
    case 200...299: self = .passes
    case 300...303, 307, 308, 401, 403: self = .refuses
    default: self = .isUnusable
    }
  }
}

/// What a service has said of a request that it lets pass. Belongs to one worker; views are good as long
/// as it is.
package final class ServiceAnswer {
  private struct Field {
    let name: Range<Int>
    let value: Range<Int>
  }

  private let text: ByteBuffer
  private let fields: [Field]
  private let subjectRange: Range<Int>
  /// Lines for the request, `name: value\r\n`.
  package let requestLines: [UInt8]
  /// Lines for the client's response.
  package let responseLines: [UInt8]
  /// Until when it may be kept (monotonic, nanoseconds).
  package let keptUntil: Int64
  /// What whoever asks wants to keep with it; empty at first.
  package var annotations = ByteBuffer()

  /// Reads an answer that came at `now`.
  package init(_ head: ResponseHead, rules: ServiceRules, now: Int64) {
    var text = ByteBuffer(capacity: 256)
    var fields: [Field] = []
    for name in rules.requestFields {
      Self.forEach(name, head) { value in
        let start = text.count
        name.withView { text.append($0) }
        let middle = text.count
        text.append(value)
        fields.append(Field(name: start..<middle, value: middle..<text.count))
      }
    }
    let start = text.count
    if let name = rules.subjectField {
      // Of several, none: nobody is to be taken for another.
      var count = 0
      Self.forEach(name, head) { value in
        count += 1
        if count == 1 { text.append(value) }
      }
      if count > 1 { text.truncate(to: start) }
    }
    subjectRange = start..<text.count
    requestLines = Self.lines(rules.requestFields, head)
    responseLines = Self.lines(rules.responseFields, head)
    keptUntil = now &+ min(rules.lifetime, Self.lifetime(head))
    self.text = text
    self.fields = fields
  }

  /// Who asks; empty if the service does not say.
  package var subject: ByteView { text.view[subjectRange] }

  /// Goes through the fields for the request.
  package func forEachField(_ body: (_ name: ByteView, _ value: ByteView) -> Void) {
    for field in fields { body(text.view[field.name], text.view[field.value]) }
  }

  /// The first field for the request of that name, in lower case.
  package func field(_ name: ByteView) -> ByteView? {
    for field in fields where text.view[field.name] == name { return text.view[field.value] }
    return nil
  }

  /// Bytes of memory, about.
  var memory: Int { 2 * text.capacity + requestLines.count + responseLines.count + 300 }

  private static func forEach(
    _ name: [UInt8], _ head: ResponseHead, _ body: (ByteView) -> Void
  ) {
    name.withView { head.fields.forEach(named: $0, in: head.bytes, body) }
  }

  private static func lines(_ names: [[UInt8]], _ head: ResponseHead) -> [UInt8] {
    var lines = ByteBuffer()
    for name in names {
      forEach(name, head) { value in
        name.withView { lines.append($0) }
        lines.append(": ")
        lines.append(value)
        lines.append("\r\n")
      }
    }
    return lines.view.array
  }

  /// How long the answer itself allows to keep it, nanoseconds.
  private static func lifetime(_ head: ResponseHead) -> Int64 {
    var longest = Int64.max
    head.fields.forEach(.cacheControl, in: head.bytes) { line in
      for directive in ListElements(line) {
        let name = directive.prefix(directive.firstIndex(of: ASCII.equals) ?? directive.count)
        if name.equalsIgnoringCase(ByteView("no-store"))
          || name.equalsIgnoringCase(ByteView("no-cache"))
        {
          longest = 0
        } else if name.equalsIgnoringCase(ByteView("max-age")) {
          // One that cannot be read has passed (RFC 9111 §4.2.1).
          let seconds = seconds(directive.dropping(first: name.count + 1)) ?? 0
          longest = min(longest, seconds * 1_000_000_000)
        }
      }
    }
    return longest
  }

  /// A number of seconds, with quotes or without; 68 years are the most.
  private static func seconds(_ text: ByteView) -> Int64? {
    var digits = text
    if digits.count >= 2, digits[0] == ASCII.quote, digits[digits.count - 1] == ASCII.quote {
      digits = digits[1..<digits.count - 1]
    }
    guard !digits.isEmpty else { return nil }
    var seconds: Int64 = 0
    for index in 0..<digits.count {
      guard digits[index] &- 0x30 < 10 else { return nil }
      seconds = min(seconds * 10 + Int64(digits[index] &- 0x30), 1 << 31)
    }
    return seconds
  }
}

/// The answers that a worker keeps, by what the configuration says: a key, compared whole.
package final class ServiceMemory {
  private struct Kept {
    let key: [UInt8]
    let answer: ServiceAnswer
  }

  private let hash: SipHash
  private var answers: RecentTable<Kept>

  /// A memory of so many answers and bytes at most. `secret` keys its hash.
  package init(maxCount: Int, maxBytes: Int, secret: Hash128) {
    hash = SipHash(key: secret)
    answers = RecentTable(maxCount: maxCount, maxCost: maxBytes)
  }

  /// How many answers are kept.
  package var count: Int { answers.count }

  /// The answer for a key, if it is kept and its time is not over.
  package func find(_ key: ByteView, now: Int64) -> ServiceAnswer? {
    guard let kept = answers.find(hash.hash(key)), kept.key.withView({ $0 == key }),
      now < kept.answer.keptUntil
    else { return nil }
    return kept.answer
  }

  /// Keeps an answer for as long as it may be.
  package func keep(_ answer: ServiceAnswer, for key: ByteView, now: Int64) {
    guard now < answer.keptUntil else { return }
    answers.insert(
      hash.hash(key), Kept(key: key.array, answer: answer), cost: answer.memory + key.count)
  }

  /// A hash of a key, under the memory's secret.
  package func hash(of key: ByteView) -> Hash128 { hash.hash(key) }
}
