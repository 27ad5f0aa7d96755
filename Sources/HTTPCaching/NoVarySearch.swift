// No-Vary-Search (draft-ietf-httpbis-no-vary-search): which parameters of the query a response does not
// depend on.
//
//     params                       on none
//     params=("a" "b")             on all but a and b
//     params, except=("c")         on c alone
//     key-order                    not on the order of parameters with different names
//
// What is not as the draft has it says nothing: the query counts as it is. Two URLs with the same path
// match if what `appendKey` writes for their queries is the same. The draft compares text in which
// invalid UTF-8 became U+FFFD; here it is bytes that are compared, which only makes fewer match.

package import Bytes
package import HTTPMessage
internal import StructuredFields

/// What a response says about its query.
package struct NoVarySearch: Sendable, Equatable {
  /// The most names that are kept; with more, the field says nothing.
  package static var greatestNameCount: Int { 64 }

  /// Which parameters count.
  enum Counting: Sendable, Equatable {
    /// All but these.
    case allBut([[UInt8]])
    /// None but these.
    case noneBut([[UInt8]])
  }

  private(set) var counting = Counting.allBut([])
  /// Whether the order of parameters counts.
  package private(set) var variesOnOrder = true

  /// Nothing: every byte of the query counts, unless something else makes parameters of it.
  package init() {}

  /// Whether it says nothing, so that queries are to be compared byte by byte.
  package var isDefault: Bool { self == NoVarySearch() }

  /// What a response's No-Vary-Search says. Allocates: for fills only.
  package init(_ response: ResponseHead) {
    var value = ByteBuffer()
    response.fields.forEach(named: ByteView("no-vary-search"), in: response.bytes) { line in
      if !value.isEmpty { value.append(", ") }
      value.append(line)
    }
    self.init(value.view)
  }

  /// What a value says, its lines joined by commas.
  package init(_ value: ByteView) {
    self.init()
    guard let members = try? StructuredFieldParser.dictionary(value),
      let parsed = NoVarySearch(members)
    else { return }
    self = parsed
  }

  private init?(_ members: [Keyed<Member>]) {
    var allParameters = false
    if let order = Self.member("key-order", of: members) {
      guard let flag = Self.boolean(order) else { return nil }
      variesOnOrder = !flag
    }
    if let parameters = Self.member("params", of: members) {
      if let flag = Self.boolean(parameters) {
        allParameters = flag
        if flag { counting = .noneBut([]) }
      } else {
        guard let names = Self.names(parameters) else { return nil }
        counting = .allBut(names)
      }
    }
    if let except = Self.member("except", of: members) {
      guard allParameters, let names = Self.names(except) else { return nil }
      counting = .noneBut(names)
    }
  }

  /// Appends what of a query counts: each parameter's name and value decoded, each behind its length
  /// (32 bits, little-endian). False, and nothing is appended, if the query is to be compared byte by
  /// byte: the field says nothing, or the query has more parameters than are read. Allocates nothing
  /// but what the buffer needs.
  package func appendKey(_ query: ByteView, to buffer: inout ByteBuffer) -> Bool {
    guard !isDefault, var parameters = QueryParameters(query) else { return false }
    parameters.keep { counts($0.name(query)) }
    if !variesOnOrder {
      parameters.sort { DecodedBytes.precedes($0.name(query), $1.name(query)) }
    }
    for index in 0..<parameters.count {
      Self.append(parameters[index].name(query), to: &buffer)
      Self.append(parameters[index].value(query), to: &buffer)
    }
    return true
  }

  /// Appends what tells this rule from every other, so that keys of two rules are never the same.
  package func appendIdentity(to buffer: inout ByteBuffer) {
    let (kind, names): (UInt8, [[UInt8]]) =
      switch counting {
      case .allBut(let names): (variesOnOrder ? 0 : 1, names)
      case .noneBut(let names): (variesOnOrder ? 2 : 3, names)
      }
    buffer.append(kind)
    buffer.append(littleEndian: UInt32(truncatingIfNeeded: names.count))
    for name in names {
      buffer.append(littleEndian: UInt32(truncatingIfNeeded: name.count))
      name.withView { buffer.append($0) }
    }
  }

  private func counts(_ name: ByteView) -> Bool {
    switch counting {
    case .allBut(let names): !Self.contains(names, name)
    case .noneBut(let names): Self.contains(names, name)
    }
  }

  private static func contains(_ names: [[UInt8]], _ name: ByteView) -> Bool {
    for index in names.indices {
      if names[index].withView({ DecodedBytes.matches(name, $0) }) { return true }
    }
    return false
  }

  private static func append(_ text: ByteView, to buffer: inout ByteBuffer) {
    let lengthOffset = buffer.count
    buffer.append(littleEndian: 0 as UInt32)
    var bytes = DecodedBytes(text)
    while let byte = bytes.next() { buffer.append(byte) }
    let length = buffer.count - lengthOffset - 4
    buffer.overwrite(at: lengthOffset, littleEndian: UInt32(truncatingIfNeeded: length))
  }

  private static func member(_ name: StaticString, of members: [Keyed<Member>]) -> Member? {
    members.first { $0.key.withView { $0 == ByteView(name) } }?.value
  }

  private static func boolean(_ member: Member) -> Bool? {
    guard case .item(let item) = member, case .boolean(let flag) = item.bare else { return nil }
    return flag
  }

  /// The names of an inner list of strings, each decoded as a name in a query is.
  private static func names(_ member: Member) -> [[UInt8]]? {
    guard case .innerList(let items, _) = member, items.count <= greatestNameCount else {
      return nil
    }
    var names: [[UInt8]] = []
    for item in items {
      guard case .string(let text) = item.bare else { return nil }
      names.append(
        text.withView { view in
          var (decoded, bytes) = ([UInt8](), DecodedBytes(view))
          while let byte = bytes.next() { decoded.append(byte) }
          return decoded
        })
    }
    return names
  }
}
