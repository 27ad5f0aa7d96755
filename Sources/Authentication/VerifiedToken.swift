package import Bytes

/// A claim as the rules see it.
package enum ClaimValue {
  /// The token has no such claim.
  case absent
  /// `null`
  case null
  /// `true` or `false`
  case bool(Bool)
  /// A whole number of 64 bits.
  case integer(Int64)
  /// Any other number, as it was written.
  case number(ByteView)
  /// A string, without escapes. It may hold any character, line ends too: check it before it goes
  /// into a field.
  case string(ByteView)
  /// An array.
  case list(ClaimList)
  /// An object, whose members `VerifiedToken.claim(path:)` finds.
  case object
}

/// The elements of a claim that is an array. Good as long as its token.
package struct ClaimList: Sequence {
  fileprivate let token: VerifiedToken
  fileprivate let node: Int

  /// How many there are.
  package var count: Int { token.claims.count(of: node) }

  /// Goes through the elements.
  package func makeIterator() -> Iterator {
    Iterator(token: token, at: node + 1, end: token.claims.end(of: node))
  }

  /// Whether a string is one of the elements.
  package func contains(_ text: ByteView) -> Bool {
    for element in self {
      if case .string(let found) = element, found == text { return true }
    }
    return false
  }

  /// Goes through the elements.
  package struct Iterator: IteratorProtocol {
    fileprivate let token: VerifiedToken
    fileprivate var at: Int
    fileprivate let end: Int

    /// The next element.
    package mutating func next() -> ClaimValue? {
      guard at < end else { return nil }
      let value = token.value(of: at)
      at = token.claims.end(of: at)
      return value
    }
  }
}

/// A token that was verified, with its claims in place. Belongs to one worker; views into it are good
/// as long as it is.
package final class VerifiedToken {
  let claims: JSONDocument
  /// The token as it came, to compare with.
  private let token: ByteBuffer
  /// The identity of the key that signed it (`WorkerKeys`).
  let key: UInt32
  /// Milliseconds since the epoch; nil if there is no `exp`.
  package let expires: Int64?
  /// From when on it is valid, milliseconds since the epoch.
  let notBefore: Int64
  /// When it is too old to be accepted, whatever `exp` says; milliseconds since the epoch.
  let tooOldAt: Int64
  private let subjectNode: Int?

  init(
    _ token: ByteView, claims: consuming JSONDocument, key: UInt32, times: TokenTimes
  ) {
    subjectNode = claims.member(of: 0, named: ByteView("sub"))
    self.claims = claims
    var copy = ByteBuffer(capacity: token.count)
    copy.append(token)
    self.token = copy
    self.key = key
    expires = times.expires
    notBefore = times.notBefore
    tooOldAt = times.tooOldAt
  }

  /// Bytes of memory, about.
  var memory: Int { token.capacity + claims.memory + 160 }

  /// Whether it is the token with these bytes.
  @inline(__always)
  func matches(_ bytes: ByteView) -> Bool { token.view == bytes }

  /// The subject, `sub`; nil if there is none.
  package var subject: ByteView? { subjectNode.map { claims.text(of: $0) } }

  /// A claim by its name.
  package func claim(_ name: ByteView) -> ClaimValue {
    claims.member(of: 0, named: name).map(value) ?? .absent
  }

  /// A claim within claims: `realm_access.roles` is the member `roles` of the claim `realm_access`.
  /// A claim whose own name has dots is found first.
  package func claim(path: ByteView) -> ClaimValue {
    if let node = claims.member(of: 0, named: path) { return value(of: node) }
    var node = 0
    var rest = path
    while let dot = rest.firstIndex(of: 0x2E) {
      guard let member = claims.member(of: node, named: rest.prefix(dot)) else { return .absent }
      node = member
      rest = rest.dropping(first: dot + 1)
    }
    return claims.member(of: node, named: rest).map(value) ?? .absent
  }

  /// Whether the claim `scope` (RFC 8693 §4.2) has a scope token, or `scp`, as some issuers call it.
  package func hasScope(_ scope: ByteView) -> Bool {
    for name in [ByteView("scope"), ByteView("scp")] {
      switch claim(name) {
      case .string(let text): if VerifiedToken.words(of: text, contain: scope) { return true }
      case .list(let list): if list.contains(scope) { return true }
      default: break
      }
    }
    return false
  }

  private static func words(of text: ByteView, contain word: ByteView) -> Bool {
    var rest = text
    while let space = rest.firstIndex(of: ASCII.space) {
      if rest.prefix(space) == word { return true }
      rest = rest.dropping(first: space + 1)
    }
    return rest == word
  }

  fileprivate func value(of node: Int) -> ClaimValue {
    switch claims.kind(of: node) {
    case .null: return .null
    case .yes: return .bool(true)
    case .no: return .bool(false)
    case .string: return .string(claims.text(of: node))
    case .array: return .list(ClaimList(token: self, node: node))
    case .object: return .object
    case .number:
      let text = claims.text(of: node)
      return JSONNumber.integer(text).map(ClaimValue.integer) ?? .number(text)
    }
  }
}
