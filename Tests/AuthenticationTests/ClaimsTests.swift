import Authentication
import Bytes
import Cryptography
import EventLoop
import Testing

/// Seconds since the epoch at which tests take place.
private let now = testTime / 1_000

private func refusal(
  _ claims: String, skew: Int64 = 0, maxAge: Int64? = nil, required: [String] = [],
  audiences: [String] = [], ignoresAudience: Bool = false
) throws -> TokenRefusal? {
  let issuer = try Issuer(.hs256)
  let rules = TokenRules(
    algorithms: [.hs256], audiences: audiences, ignoresAudience: ignoresAudience, skew: skew,
    maxAge: maxAge, requiredClaims: required)
  return try Gate([issuer.description], rules).refusal(issuer.token(claims))
}

@Suite struct ClaimsTests {
  @Test(arguments: [
    (#"{"exp":\#(now)}"#, 0 as Int64, TokenRefusal.expired as TokenRefusal?),
    (#"{"exp":\#(now + 1)}"#, 0, nil),
    (#"{"exp":\#(now).001}"#, 0, nil), (#"{"exp":\#(now - 60)}"#, 60_000, .expired),
    (#"{"exp":\#(now - 60).001}"#, 60_000, nil), (#"{"exp":1}"#, 60_000, .expired),
    (#"{"nbf":\#(now)}"#, 0, nil), (#"{"nbf":\#(now).001}"#, 0, .notYetValid),
    (#"{"nbf":\#(now + 60)}"#, 60_000, nil), (#"{"nbf":\#(now + 61)}"#, 60_000, .notYetValid),
    (#"{"iat":\#(now + 1)}"#, 0, .notYetValid), (#"{"iat":\#(now + 1)}"#, 1_000, nil),
    (#"{"exp":\#(now),"nbf":\#(now + 9)}"#, 0, .expired),
  ])
  func `times count with the skew, to the millisecond`(
    claims: String, skew: Int64, expected: TokenRefusal?
  ) throws {
    #expect(try refusal(claims, skew: skew) == expected)
  }

  @Test(arguments: [
    #"{"exp":"1700003600"}"#, #"{"exp":null}"#, #"{"exp":true}"#, #"{"exp":[]}"#,
    #"{"exp":-1}"#, #"{"exp":1e400}"#, #"{"exp":99999999999999999999}"#, #"{"nbf":"x"}"#,
    #"{"iat":{}}"#, #"{"iss":1}"#, #"{"iss":null}"#, #"{"sub":1}"#,
  ])
  func `a registered claim of the wrong type is malformed`(claims: String) throws {
    #expect(try refusal(claims) == .malformedClaims)
  }

  @Test func `a token must be young enough if that is asked for`() throws {
    #expect(try refusal(#"{"iat":\#(now - 10)}"#, maxAge: 10_001) == nil)
    #expect(try refusal(#"{"iat":\#(now - 10)}"#, maxAge: 10_000) == .tooOld)
    #expect(try refusal("{}", maxAge: 10_000) == .missingClaim("iat"))
    #expect(try refusal(#"{"iat":\#(now)}"#, maxAge: .max) == nil)
  }

  @Test func `claims that must be there are asked for by name`() throws {
    let required = ["exp", "role"]
    #expect(try refusal(#"{"exp":\#(now + 9),"role":""}"#, required: required) == nil)
    #expect(try refusal(#"{"exp":\#(now + 9)}"#, required: required) == .missingClaim("role"))
    #expect(try refusal(#"{"role":"x"}"#, required: required) == .missingClaim("exp"))
    #expect(
      try refusal(#"{"exp":\#(now + 9),"role":null}"#, required: required) == .missingClaim("role"))
  }

  @Test func `without more said a token must expire`() throws {
    let issuer = try Issuer(.hs256)
    #expect(try Gate(issuer).refusal(issuer.token("{}")) == .missingClaim("exp"))
  }

  @Test func `a token with an audience is for nobody who has not said who he is`() throws {
    #expect(try refusal(#"{"aud":"shop"}"#) == .wrongAudience)
    #expect(try refusal(#"{"aud":"shop"}"#, ignoresAudience: true) == nil)
    #expect(try refusal(#"{"aud":5}"#, ignoresAudience: true) == .malformedClaims)
    #expect(try refusal(#"{"aud":["x","shop"]}"#, audiences: ["a", "shop"]) == nil)
    #expect(try refusal("{}", audiences: ["shop"]) == .wrongAudience)
  }

  @Test func `the rules see claims by their types`() throws {
    let issuer = try Issuer(.hs256)
    let token = try #require(
      try Gate(issuer).accepted(
        issuer.token(
          claims(
            #""role":"adm\u0069n","level":7,"ratio":0.5,"vip":true,"no":false,"nil":null,"#
              + #""groups":["a","b",3],"realm_access":{"roles":["x"]},"a.b":"dotted","#
              + #""scope":"read write:all""#))))
    #expect(token.subject == ByteView("anna"))
    func text(_ value: ClaimValue) -> String {
      switch value {
      case .absent: "absent"
      case .null: "null"
      case .bool(let value): "\(value)"
      case .integer(let value): "\(value)"
      case .number(let value): "#" + value.string
      case .string(let value): "'" + value.string + "'"
      case .list(let list): "[" + list.map(text).joined(separator: " ") + "]"
      case .object: "object"
      }
    }
    let found = [
      "role", "level", "ratio", "vip", "no", "nil", "groups", "realm_access", "a.b", "other",
    ].map { name in text(name.withView { token.claim($0) }) }
    #expect(
      found == [
        "'admin'", "7", "#0.5", "true", "false", "null", "['a' 'b' 3]", "object", "'dotted'",
        "absent",
      ])
    #expect(text(token.claim(path: ByteView("realm_access.roles"))) == "['x']")
    #expect(text(token.claim(path: ByteView("a.b"))) == "'dotted'")
    for path in ["realm_access.other", "realm_access.roles.x", "role.x", ".", "", "x.y"] {
      #expect(text(path.withView { token.claim(path: $0) }) == "absent")
    }
    guard case .list(let groups) = token.claim(ByteView("groups")) else {
      Issue.record("no list")
      return
    }
    #expect(groups.count == 3)
    #expect(groups.contains(ByteView("b")))
    #expect(!groups.contains(ByteView("3")))
    #expect(token.hasScope(ByteView("read")))
    #expect(token.hasScope(ByteView("write:all")))
    #expect(!token.hasScope(ByteView("write")))
    #expect(!token.hasScope(ByteView("")))
  }

  @Test func `scopes may be a list, under either name`() throws {
    let issuer = try Issuer(.hs256)
    let token = try #require(
      try Gate(issuer).accepted(issuer.token(claims(#""scp":["read","write"]"#))))
    #expect(token.hasScope(ByteView("write")))
    #expect(!token.hasScope(ByteView("admin")))
  }

  @Test func `the answer says what is wrong as RFC 6750 §3 has it`() throws {
    let challenge = try #require(Challenge(realm: #"a "shop" \ more"#))
    func field(_ refusal: TokenRefusal, scope: String? = nil) -> String {
      var buffer = ByteBuffer()
      challenge.appendBearer(refusal, scope: scope, to: &buffer)
      return buffer.view.string
    }
    let realm = #"Bearer realm="a \"shop\" \\ more""#
    #expect(field(.missing) == realm)
    #expect(
      field(.expired)
        == realm + #", error="invalid_token", error_description="the token expired""#)
    #expect(
      field(.ambiguous)
        == realm + #", error="invalid_request", error_description="more than one token""#)
    #expect(
      field(.insufficientScope, scope: "read write")
        == realm
        + #", error="insufficient_scope", error_description="the token does not allow this""#
        + #", scope="read write""#)
    #expect(field(.keysUnavailable) == "")
    var buffer = ByteBuffer()
    challenge.appendBasic(to: &buffer)
    #expect(buffer.view.string == #"Basic realm="a \"shop\" \\ more", charset="UTF-8""#)
    #expect(Challenge(realm: "a\r\nb") == nil)
    #expect(Challenge(realm: "é") == nil)
  }

  @Test(arguments: [
    (TokenRefusal.missing, 401 as UInt16), (.ambiguous, 400), (.malformed, 401),
    (.badSignature, 401),
    (.unknownKey(fetching: true), 401), (.expired, 401), (.notYetValid, 401),
    (.wrongIssuer, 401), (.wrongAudience, 401), (.missingClaim("x"), 401),
    (.insufficientScope, 403), (.keysUnavailable, 503),
  ])
  func `every refusal has its status`(refusal: TokenRefusal, status: UInt16) {
    #expect(refusal.status == status)
  }
}
