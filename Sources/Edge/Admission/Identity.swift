internal import Authentication
internal import Bytes
internal import Rules

/// Who asks, as far as the edge has checked.
enum Identity {
  /// Nobody that is known.
  case none
  /// The bearer of a token.
  case token(VerifiedToken)
  /// The holder of an API key.
  case key(APIKeyMatch)
  /// A user by name, as bytes.
  case user([UInt8])
  /// Whoever has a signed URL.
  case url

  /// Whether responses are for this one alone, unless the origin or the route says otherwise.
  var isPersonal: Bool {
    switch self {
    case .none, .url: false
    case .token, .key, .user: true
    }
  }

  /// Tells rules who asks. The views are good as long as this, and until the next request.
  func describe(to input: inout RuleInput, _ room: RuleRoom) {
    switch self {
    case .none: return
    case .token(let token):
      if token.annotations.isEmpty { Self.pack(token) }
      input.subject = token.subject ?? ByteView()
      input.claims = token.annotations.view
    case .key(let match):
      room.claims.removeAll()
      match.forEachAttribute { RuleClaims.append(name: $0, value: $1, to: &room.claims) }
      input.subject = match.name
      input.claims = room.claims.view
    case .user(let name):
      room.claims.removeAll()
      name.withView { room.claims.append($0) }
      input.subject = room.claims.view
    case .url: break
    }
    input.isAuthenticated = true
  }

  /// Keeps the claims with the token, in the form that rules read.
  private static func pack(_ token: VerifiedToken) {
    var text = ByteBuffer()
    var packed = ByteBuffer()
    token.forEachClaim { name, value in
      text.removeAll()
      guard append(value, to: &text) else { return }
      RuleClaims.append(name: name, value: text.view, to: &packed)
    }
    // Never empty, so that a token without claims is not packed again.
    if packed.isEmpty {
      RuleClaims.append(name: ByteView(), value: ByteView(), to: &packed)
    }
    token.annotations = packed
  }

  /// A claim as text; the elements of an array are joined by spaces. False for what has no text.
  private static func append(_ value: ClaimValue, to buffer: inout ByteBuffer) -> Bool {
    switch value {
    case .absent, .null, .object: return false
    case .bool(let isTrue): buffer.append(isTrue ? "true" : "false")
    case .integer(let number): buffer.append(decimal: Int(number))
    case .number(let text), .string(let text): buffer.append(text)
    case .list(let list):
      for element in list {
        let start = buffer.count
        if start > 0 { buffer.append(ASCII.space) }
        if case .list = element {
          buffer.truncate(to: start)
        } else if !append(element, to: &buffer) {
          buffer.truncate(to: start)
        }
      }
    }
    return true
  }
}
