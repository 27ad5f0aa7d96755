// Vary (RFC 9111 §4.1): which fields of a request are part of a stored response's key, and how their
// values are compared.
//
// A rule is the names in lower case, sorted, each once, joined by commas: responses that vary by the
// same fields have the same rule. The values of a request for a rule are, for each name in order, the
// length of the normalised value as a 32-bit little-endian integer and the value; a field that is
// absent has the length ffffffff and no value. Two requests match if and only if these bytes are equal.
//
//     accept, accept-encoding, accept-language   whitespace removed, empty members too
//     accept-encoding, accept-language           and in lower case: codings and languages have no case
//     cookie                                     lines joined by "; " (RFC 9113 §8.2.3)
//     text that is no list (user-agent, dates)   as it is, lines joined by ", "
//     any other                                  whitespace around commas removed, empty members too
//
// A field that the client nominated in Connection is absent: the origin did not see it either
// (`FieldRules`), and else a client could store a response under values that the origin never had.

package import Bytes
package import HTTPMessage

/// What kind of rule a response's Vary is.
package enum VaryKind: Sendable, Equatable {
  /// It names no field: every request for the URI matches.
  case none
  /// It never matches: `*`, a malformed name, or more than `VaryRule.greatestCount` names.
  case star
  /// It names fields.
  case rule
}

/// The rule that a response's Vary lines make, and a request's values for it.
package enum VaryRule {
  /// The most names of a rule; a response with more counts as `Vary: *`.
  package static var greatestCount: Int { 64 }

  /// Appends the rule of all Vary lines of a response; nothing unless the result is `.rule`. An
  /// operator may have Vary ignored. Allocates: for fills only.
  package static func append(
    of response: ResponseHead, ignored: IgnoredDirectives = IgnoredDirectives(),
    to buffer: inout ByteBuffer
  ) -> VaryKind {
    guard response.fields.contains(.vary), !ignored.contains(.vary) else { return .none }
    var names: [ByteView] = []
    let kind = forEachName(of: response) { names.append($0) }
    guard kind == .rule else { return kind }
    names.sort(by: precedes)
    let start = buffer.count
    var previous: ByteView?
    for name in names where previous.map({ !name.equalsIgnoringCase($0) }) ?? true {
      if buffer.count > start { buffer.append(ASCII.comma) }
      buffer.appendLowercased(name)
      previous = name
    }
    return .rule
  }

  /// What kind of rule a response's Vary lines make.
  package static func kind(of response: ResponseHead) -> VaryKind {
    guard response.fields.count(of: .vary) > 0 else { return .none }
    return forEachName(of: response) { _ in }
  }

  /// Appends a request's values for a rule. Allocates nothing but what the buffer may need.
  package static func appendValues(
    rule: ByteView, request: RequestHead, to buffer: inout ByteBuffer
  ) {
    var connection: ConnectionOptions?
    var names = ListElements(ofTokens: rule)
    while let name = names.next() {
      let lengthOffset = buffer.count
      buffer.append(littleEndian: UInt32.max)
      let known = KnownField.identify(name)
      if known == .other {
        // Only such a field can be nominated: see `ConnectionOptions`.
        let options = connection ?? ConnectionOptions(request)
        connection = options
        if options.nominates(known, name: name) { continue }
      } else if FieldRules.isHopByHop(known) {
        continue
      }
      if appendValue(of: name, known: known, request: request, to: &buffer) {
        let length = buffer.count - lengthOffset - 4
        buffer.overwrite(at: lengthOffset, littleEndian: UInt32(truncatingIfNeeded: length))
      }
    }
  }

  /// Calls `body` with each name, as sent, repeated or not; the result is what kind they make.
  private static func forEachName(
    of response: ResponseHead, _ body: (ByteView) -> Void
  ) -> VaryKind {
    var count = 0
    var isStar = false
    response.fields.forEach(.vary, in: response.bytes) { line in
      var members = ListElements(ofTokens: line)
      while !isStar, let name = members.next() {
        count += 1
        isStar = !name.isToken || name == ByteView("*") || count > greatestCount
        if !isStar { body(name) }
      }
    }
    return isStar ? .star : count > 0 ? .rule : .none
  }

  private static func precedes(_ left: ByteView, _ right: ByteView) -> Bool {
    for index in 0..<min(left.count, right.count) {
      let (one, other) = (ASCII.lowercase(left[index]), ASCII.lowercase(right[index]))
      if one != other { return one < other }
    }
    return left.count < right.count
  }

  /// Appends the normalised value of all lines of a name; false if there is none.
  private static func appendValue(
    of name: ByteView, known: KnownField, request: RequestHead, to buffer: inout ByteBuffer
  ) -> Bool {
    let normalization = Normalization(known)
    let start = buffer.count
    var isPresent = false
    // 255 stands for that many or more.
    let count = known == .other ? 255 : request.fields.count(of: known)
    var left = count == 255 ? Int.max : count
    var index = known == .other ? 0 : request.fields.first(known) ?? 0
    while left > 0, index < request.fields.count {
      let line = request.fields[index]
      index += 1
      guard line.known == known,
        known != .other || line.name(in: request.bytes).equalsIgnoringCase(name)
      else { continue }
      left -= 1
      let value = line.value(in: request.bytes)
      switch normalization {
      case .text(let separator):
        if isPresent { buffer.append(separator) }
        buffer.append(value)
      case .list(let isLowercased, let isCompact):
        appendMembers(
          of: value, start: start, isLowercased: isLowercased, isCompact: isCompact, to: &buffer)
      }
      isPresent = true
    }
    return isPresent
  }

  /// Appends the members of a list; quoted strings are left as they are.
  private static func appendMembers(
    of value: ByteView, start: Int, isLowercased: Bool, isCompact: Bool,
    to buffer: inout ByteBuffer
  ) {
    var members = ListElements(value)
    while let member = members.next() {
      if buffer.count > start { buffer.append(ASCII.comma) }
      if isCompact {
        appendCompact(member, isLowercased: isLowercased, to: &buffer)
      } else {
        buffer.append(member)
      }
    }
  }

  /// Appends a member without the whitespace that stands outside of quotes; what is in quotes keeps
  /// its case.
  private static func appendCompact(
    _ member: ByteView, isLowercased: Bool, to buffer: inout ByteBuffer
  ) {
    var index = 0
    while index < member.count {
      let start = index
      if member[index] == ASCII.quote {
        index = quotedEnd(member, from: index)
        buffer.append(member[start..<index])
        continue
      }
      while index < member.count, !isBreak(member[index]) { index += 1 }
      let run = member[start..<index]
      if isLowercased { buffer.appendLowercased(run) } else { buffer.append(run) }
      while index < member.count, isWhitespace(member[index]) { index += 1 }
    }
  }

  /// Where the quoted string ends that begins at `from`, its closing quote included.
  private static func quotedEnd(_ member: ByteView, from: Int) -> Int {
    var index = from + 1
    while index < member.count, member[index] != ASCII.quote {
      index += member[index] == ASCII.backslash ? 2 : 1
    }
    return min(index + 1, member.count)
  }

  @inline(__always)
  private static func isWhitespace(_ byte: UInt8) -> Bool {
    byte == ASCII.space || byte == ASCII.tab
  }

  @inline(__always)
  private static func isBreak(_ byte: UInt8) -> Bool {
    isWhitespace(byte) || byte == ASCII.quote
  }

  /// How a field's values are brought into one form.
  private enum Normalization {
    /// As they are; several lines are joined by this.
    case text(separator: StaticString)
    /// As a list.
    case list(isLowercased: Bool, isCompact: Bool)

    init(_ known: KnownField) {
      switch known {
      case .acceptEncoding, .acceptLanguage: self = .list(isLowercased: true, isCompact: true)
      case .accept: self = .list(isLowercased: false, isCompact: true)
      case .cookie: self = .text(separator: "; ")
      case .userAgent, .referer, .authorization, .host, .origin, .ifModifiedSince,
        .ifUnmodifiedSince, .ifRange, .range, .xRequestId, .contentType, .contentLength, .date:
        self = .text(separator: ", ")
      default: self = .list(isLowercased: false, isCompact: false)
      }
    }
  }
}
