internal import Authentication
internal import Bytes
internal import RateLimiting
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
  /// Whoever a service knows.
  case service(ServiceAnswer)

  /// Whether responses are for this one alone, unless the origin or the route says otherwise.
  var isPersonal: Bool {
    switch self {
    case .none, .url: false
    case .token, .key, .user, .service: true
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
    case .service(let answer):
      if answer.annotations.isEmpty { Self.pack(answer) }
      input.subject = answer.subject
      input.claims = answer.annotations.view
    }
    input.isAuthenticated = true
  }

  /// Appends the name of who asks; false if there is none.
  func appendName(to buffer: inout ByteBuffer) -> Bool {
    let start = buffer.count
    switch self {
    case .none, .url: return false
    case .token(let token): if let subject = token.subject { buffer.append(subject) }
    case .key(let match): buffer.append(match.name)
    case .user(let name): name.withView { buffer.append($0) }
    case .service(let answer): buffer.append(answer.subject)
    }
    return buffer.count > start
  }

  /// Appends a claim of who asks, or an attribute; false if there is none that is a text.
  func appendClaim(_ name: ByteView, to buffer: inout ByteBuffer) -> Bool {
    let start = buffer.count
    switch self {
    case .none, .url, .user: return false
    case .token(let token): guard Self.append(token.claim(name), to: &buffer) else { return false }
    case .key(let match): if let value = match.attribute(name) { buffer.append(value) }
    case .service(let answer): if let value = answer.field(name) { buffer.append(value) }
    }
    return buffer.count > start
  }

  /// Makes a name part of a limit's key, so that names of different kinds never meet. Subjects are the
  /// issuer's own (RFC 7519 §4.1.2): of another issuer's token it is another name.
  func add(name: ByteView, to key: inout LimitKey) {
    switch self {
    case .none, .url: return
    case .token(let token):
      var issuer = ByteView()
      if case .string(let text) = token.claim(ByteView("iss")) { issuer = text }
      key.add(.issuer, issuer)
      key.add(.claim, name)
    case .key: key.add(.apiKey, name)
    case .user, .service: key.add(.user, name)
    }
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

  /// Keeps the fields with the answer, in the form that rules read.
  private static func pack(_ answer: ServiceAnswer) {
    var packed = ByteBuffer()
    answer.forEachField { RuleClaims.append(name: $0, value: $1, to: &packed) }
    if packed.isEmpty {
      RuleClaims.append(name: ByteView(), value: ByteView(), to: &packed)
    }
    answer.annotations = packed
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
