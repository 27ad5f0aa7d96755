// Where a request carries its token: RFC 6750 §2.1, and what browsers do instead.

package import Bytes
package import HTTPMessage

/// A place for a token.
package enum TokenLocation: Sendable, Equatable {
  /// `Authorization: Bearer …`
  case authorization
  /// A cookie of that name, as bytes.
  case cookie([UInt8])
  /// A parameter of the query (RFC 6750 §2.3, which advises against it: it ends up in logs).
  case query([UInt8])

  /// A cookie.
  package static func cookie(named name: String) -> TokenLocation { .cookie(Array(name.utf8)) }
  /// A parameter of the query.
  package static func query(named name: String) -> TokenLocation { .query(Array(name.utf8)) }
}

/// What was found.
package enum TokenFinding {
  /// No token in any of the places.
  case none
  /// One token, not percent-decoded: no token has a byte that would need it.
  case token(ByteView)
  /// The first place that has any has more than one.
  case ambiguous
}

/// Looks for tokens.
package enum TokenFinder {
  /// The token in the first of the places that has one.
  package static func find(in head: RequestHead, places: [TokenLocation]) -> TokenFinding {
    for place in places {
      let finding =
        switch place {
        case .authorization: authorization(head)
        case .cookie(let name): cookie(head, name)
        case .query(let name): query(head, name)
        }
      if case .none = finding { continue }
      return finding
    }
    return .none
  }

  /// The credentials of a scheme in an `Authorization` field's value; nil for another scheme. The
  /// scheme's case does not matter (RFC 9110 §11.1).
  package static func credentials(_ value: ByteView, scheme: StaticString) -> ByteView? {
    let scheme = ByteView(scheme)
    guard value.prefix(scheme.count).equalsIgnoringCase(scheme) else { return nil }
    guard value.count > scheme.count, value[scheme.count] == ASCII.space else { return nil }
    var start = scheme.count
    while start < value.count, value[start] == ASCII.space { start += 1 }
    return value.dropping(first: start)
  }

  private static func authorization(_ head: RequestHead) -> TokenFinding {
    guard let value = head.value(.authorization) else { return .none }
    guard let token = credentials(value, scheme: "Bearer") else { return .none }
    return head.fields.isRepeated(.authorization) ? .ambiguous : .token(token)
  }

  private static func cookie(_ head: RequestHead, _ name: [UInt8]) -> TokenFinding {
    var found = TokenFinding.none
    name.withView { name in
      var next = head.fields.first(.cookie)
      while let index = next {
        search(
          head.fields[index].value(in: head.bytes), name, separator: ASCII.semicolon, &found)
        next = head.fields.next(.cookie, after: index)
      }
    }
    return found
  }

  private static func query(_ head: RequestHead, _ name: [UInt8]) -> TokenFinding {
    guard let query = head.query else { return .none }
    var found = TokenFinding.none
    name.withView { search(head.bytes[query], $0, separator: 0x26, &found) }
    return found
  }

  /// Looks for `name=value` among the parts of a text.
  private static func search(
    _ text: ByteView, _ name: ByteView, separator: UInt8, _ found: inout TokenFinding
  ) {
    var rest = text
    while !rest.isEmpty {
      let end = rest.firstIndex(of: separator) ?? rest.count
      var part = rest.prefix(end)
      rest = rest.dropping(first: end + 1)
      while !part.isEmpty, part[0] == ASCII.space { part = part.dropping(first: 1) }
      guard part.count > name.count, part.starts(with: name), part[name.count] == ASCII.equals
      else { continue }
      if case .none = found {
        found = .token(part.dropping(first: name.count + 1))
      } else {
        found = .ambiguous
      }
    }
  }
}
