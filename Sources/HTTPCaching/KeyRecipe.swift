// What a route's cache key is made of. Two requests have one key only if every part is the same:
//
//     the usual recipe     http://host[:port]/path?query
//     any other            00 6b, then for each part: its kind (one byte), for a field, a cookie or a
//                          variable its name behind its length, and its value behind its length
//                          (32 bits, little-endian; ffffffff and no value if it is absent)
//
// A key tells its own recipe, so that no key of one recipe is a key of another (a route's may change
// with the configuration), and nothing that a client writes can look like the end of a part.
//
// Host names are in lower case, and a default port is left out; path and query are as they were sent.

package import Bytes
package import HTTPMessage

/// A part of a cache key.
package enum KeyPart: Sendable, Equatable {
  /// The scheme.
  case scheme
  /// The host, and its port unless it is the scheme's own.
  case host
  /// The path.
  case path
  /// The query, normalised by the recipe; a missing one is not an empty one.
  case query
  /// The lines of a field, its name in lower case, normalised as for Vary.
  case field([UInt8])
  /// The values of all cookies of that name.
  case cookie([UInt8])
  /// A variable that rules set, by its number.
  case variable(UInt32)
}

/// A compiled recipe. Writing a key allocates nothing but what the buffer needs.
package struct KeyRecipe: Sendable {
  /// One step; trivial, so that walking over the steps counts no references.
  private struct Step {
    let kind: UInt8
    /// A variable's number, or where the name is in `names`.
    let offset: UInt32
    let length: UInt32
  }

  private let steps: [Step]
  private let names: [UInt8]
  private let isUsual: Bool
  /// How the query is normalised.
  package let query: QueryNormalization

  /// A recipe of these parts, in order.
  package init(_ parts: [KeyPart], query: QueryNormalization = QueryNormalization()) {
    var steps: [Step] = []
    var names: [UInt8] = []
    for part in parts {
      switch part {
      case .scheme: steps.append(Step(kind: 0x73, offset: 0, length: 0))
      case .host: steps.append(Step(kind: 0x68, offset: 0, length: 0))
      case .path: steps.append(Step(kind: 0x70, offset: 0, length: 0))
      case .query: steps.append(Step(kind: 0x71, offset: 0, length: 0))
      case .field(let name), .cookie(let name):
        let isField = if case .field = part { true } else { false }
        steps.append(
          Step(
            kind: isField ? 0x66 : 0x63, offset: UInt32(truncatingIfNeeded: names.count),
            length: UInt32(truncatingIfNeeded: name.count)))
        names += name
      case .variable(let number): steps.append(Step(kind: 0x76, offset: number, length: 0))
      }
    }
    self.steps = steps
    self.names = names
    self.query = query
    isUsual = parts == [.scheme, .host, .path, .query]
  }

  /// Scheme, host, path and query.
  package static var usual: KeyRecipe { KeyRecipe([.scheme, .host, .path, .query]) }

  /// Appends a request's key.
  ///
  /// - Parameters:
  ///   - scheme: `http` or `https`.
  ///   - variable: a variable's value; nil if it is not set.
  package func append(
    _ request: RequestHead, scheme: StaticString, variable: (UInt32) -> ByteView? = { _ in nil },
    to buffer: inout ByteBuffer
  ) {
    if isUsual { return appendUsual(request, scheme: scheme, to: &buffer) }
    buffer.append(0 as UInt8)
    buffer.append(0x6B as UInt8)
    for index in steps.indices {
      let step = steps[index]
      buffer.append(step.kind)
      names.withView { names in
        let name = names.dropping(first: Int(step.offset)).prefix(Int(step.length))
        append(step, name, request, scheme, variable, to: &buffer)
      }
    }
  }

  /// `scheme://host[:port]` and path and query, as the purge of a URL names them too.
  private func appendUsual(
    _ request: RequestHead, scheme: StaticString, to buffer: inout ByteBuffer
  ) {
    buffer.append(scheme)
    buffer.append("://")
    Self.appendHost(request.bytes[request.authority], scheme: scheme, to: &buffer)
    let target = request.bytes[request.target]
    if target.isEmpty || target[0] == ASCII.question { buffer.append(ASCII.slash) }
    guard !query.isIdentity, let range = request.query else { return buffer.append(target) }
    let mark = target.firstIndex(of: ASCII.question) ?? target.count
    buffer.append(target[0..<mark])
    let start = buffer.count
    buffer.append(ASCII.question)
    query.append(request.bytes[range], to: &buffer)
    // A query of which nothing is left is none.
    if buffer.count == start + 1 { buffer.truncate(to: start) }
  }

  private func append(
    _ step: Step, _ name: ByteView, _ request: RequestHead, _ scheme: StaticString,
    _ variable: (UInt32) -> ByteView?, to buffer: inout ByteBuffer
  ) {
    switch step.kind {
    case 0x73: Self.appendValue(ByteView(scheme), to: &buffer)
    case 0x68:
      let start = Self.beginValue(&buffer)
      Self.appendHost(request.bytes[request.authority], scheme: scheme, to: &buffer)
      Self.endValue(start, &buffer)
    case 0x70: Self.appendValue(request.bytes[request.path], to: &buffer)
    case 0x71:
      guard let range = request.query else { return Self.appendAbsent(to: &buffer) }
      let start = Self.beginValue(&buffer)
      query.append(request.bytes[range], to: &buffer)
      // As in the usual key: a query of which normalising leaves nothing is none.
      if !query.isIdentity, buffer.count == start + 4 {
        buffer.overwrite(at: start, littleEndian: UInt32.max)
      } else {
        Self.endValue(start, &buffer)
      }
    case 0x66:
      Self.appendValue(name, to: &buffer)
      VaryRule.appendValues(rule: name, request: request, to: &buffer)
    case 0x63:
      Self.appendValue(name, to: &buffer)
      Self.appendCookies(name, request, to: &buffer)
    default:
      buffer.append(littleEndian: step.offset)
      guard let value = variable(step.offset) else { return Self.appendAbsent(to: &buffer) }
      Self.appendValue(value, to: &buffer)
    }
  }

  private static func appendHost(
    _ authority: ByteView, scheme: StaticString, to buffer: inout ByteBuffer
  ) {
    var index = authority.count
    while index > 0, ASCII.isDigit(authority[index - 1]) { index -= 1 }
    guard index > 0, authority[index - 1] == ASCII.colon else {
      return buffer.appendLowercased(authority)
    }
    buffer.appendLowercased(authority[0..<index - 1])
    let port = authority[index..<authority.count]
    let usual = ByteView(scheme) == ByteView("https") ? ByteView("443") : ByteView("80")
    if port.isEmpty || port == usual { return }
    buffer.append(ASCII.colon)
    buffer.append(port)
  }

  /// Appends each value of a cookie behind its length, all of that behind its length: of several
  /// cookies of one name an origin may believe any (RFC 6265 §4.2.2 leaves the order to the client).
  private static func appendCookies(
    _ name: ByteView, _ request: RequestHead, to buffer: inout ByteBuffer
  ) {
    let start = beginValue(&buffer)
    var next = request.fields.first(.cookie)
    while let index = next {
      appendCookies(name, in: request.fields[index].value(in: request.bytes), to: &buffer)
      next = request.fields.next(.cookie, after: index)
    }
    if buffer.count == start + 4 {
      buffer.overwrite(at: start, littleEndian: UInt32.max)
    } else {
      endValue(start, &buffer)
    }
  }

  private static func appendCookies(
    _ name: ByteView, in line: ByteView, to buffer: inout ByteBuffer
  ) {
    var start = 0
    while start < line.count {
      let end = line.firstIndex(of: ASCII.semicolon, from: start) ?? line.count
      let pair = line[start..<end].trimmingWhitespace
      start = end + 1
      guard let equals = pair.firstIndex(of: ASCII.equals),
        pair[0..<equals].trimmingWhitespace == name
      else { continue }
      appendValue(pair.dropping(first: equals + 1).trimmingWhitespace, to: &buffer)
    }
  }

  private static func appendValue(_ value: ByteView, to buffer: inout ByteBuffer) {
    buffer.append(littleEndian: UInt32(truncatingIfNeeded: value.count))
    buffer.append(value)
  }

  private static func appendAbsent(to buffer: inout ByteBuffer) {
    buffer.append(littleEndian: UInt32.max)
  }

  private static func beginValue(_ buffer: inout ByteBuffer) -> Int {
    buffer.append(littleEndian: 0 as UInt32)
    return buffer.count - 4
  }

  private static func endValue(_ start: Int, _ buffer: inout ByteBuffer) {
    let length = buffer.count - start - 4
    buffer.overwrite(at: start, littleEndian: UInt32(truncatingIfNeeded: length))
  }
}
