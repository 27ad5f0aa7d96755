import Authentication
import Bytes
import Cryptography
import EventLoop
import Testing

/// What RFC 8725 warns of, each as an attacker would try it.
@Suite struct AttackTests {
  @Test(arguments: ["none", "None", "NONE", "nOnE", "", "HS256 ", "hs256", "RS256\\u0000"])
  func `an algorithm that is none is refused, however it is written (§2.1)`(name: String) throws {
    let issuer = try Issuer(.rs256)
    let gate = try Gate(issuer)
    let header = #"{"alg":"\#(name)","kid":"key-1"}"#
    let signed = try issuer.token(claims(), header: header)
    #expect(gate.refusal(signed) == .algorithmNotAllowed)
    let unsigned = signed.split(separator: ".").dropLast().joined(separator: ".") + "."
    #expect(gate.refusal(unsigned) == .malformed)
  }

  @Test func `a public key is never taken for a secret (§2.1)`() throws {
    let issuer = try Issuer(.rs256)
    guard case .rsa(let modulus, _) = issuer.material else { throw CancellationError() }
    let text =
      Base64URL.encode(Array(#"{"alg":"HS256","kid":"key-1"}"#.utf8)) + "."
      + Base64URL.encode(Array(claims().utf8))
    // Even where both are allowed, and the attacker signs with bytes that he knows.
    let gate = try Gate([issuer.description], TokenRules(algorithms: [.rs256, .hs256]))
    for secret in [modulus, Array(modulus.prefix(64)), Array("n".utf8)] {
      let code = try text.withView { try KeyedHMAC.make(.sha256, key: secret).code($0) }
      #expect(gate.refusal(text + "." + Base64URL.encode(code)) == .algorithmNotAllowed)
    }
  }

  @Test func `an algorithm that the key fits but nobody allowed is refused (§3.1)`() throws {
    let issuer = try Issuer(.rs512)
    let gate = try Gate([issuer.description], TokenRules(algorithms: [.rs256, .ps256]))
    #expect(gate.refusal(try issuer.token(claims())) == .algorithmNotAllowed)
    let pinned = KeyDescription(
      id: Array("key-1".utf8), material: issuer.material, algorithm: .ps512)
    let other = try Gate([pinned], TokenRules(algorithms: [.rs512, .ps512]))
    #expect(other.refusal(try issuer.token(claims())) == .algorithmNotAllowed)
  }

  @Test func `a key or a certificate in the header is not looked at (§3.10)`() throws {
    let issuer = try Issuer(.es256)
    let attacker = try Issuer(.es256)
    guard case .elliptic(_, let x, let y) = attacker.material else { throw CancellationError() }
    let jwk =
      #"{"kty":"EC","crv":"P-256","x":"\#(Base64URL.encode(x))","y":"\#(Base64URL.encode(y))"}"#
    let gate = try Gate(issuer)
    for member in [
      #""jwk":\#(jwk)"#, #""jku":"https://attacker.example/keys""#,
      #""x5u":"https://attacker.example/cert""#, #""x5c":["MIIB"]"#, #""x5t":"AAAA""#,
    ] {
      let header = #"{"alg":"ES256","kid":"key-1",\#(member)}"#
      #expect(gate.refusal(try attacker.token(claims(), header: header)) == .badSignature)
      // And does no harm to a token that is good without it.
      #expect(gate.accepted(try issuer.token(claims(), header: header)) != nil)
    }
  }

  @Test(arguments: [
    #""crit":["b64"],"b64":false"#, #""crit":["exp"],"exp":1"#, #""crit":[]"#, #""crit":null"#,
    #""crit":"b64""#,
  ])
  func `a critical extension is not understood (RFC 7515 §4.1.11)`(members: String) throws {
    let issuer = try Issuer(.hs256)
    let header = #"{"alg":"HS256","kid":"key-1",\#(members)}"#
    #expect(
      try Gate(issuer).refusal(issuer.token(claims(), header: header)) == .criticalNotUnderstood)
  }

  @Test(arguments: [
    #"{"alg":"HS256","alg":"none"}"#, #"{"alg":"none","alg":"HS256"}"#,
    #"{"alg":"HS256","\u0061lg":"none"}"#, #"{"alg":"HS256","kid":"key-1","kid":"key-1"}"#,
    #"{"alg":["HS256"]}"#, #"{"alg":null}"#, #"{"alg":1}"#, #"{}"#, #"[]"#, #""HS256""#, "",
    #"{"alg":"HS256"} "x""#, #"{"alg":"HS256",}"#, #"{"alg":"HS256","kid":1}"#,
    #"{'alg':'HS256'}"#, "{\"alg\":\"HS256\",\"x\":\"\u{1}\"}",
  ])
  func `a header that two readers could read differently is refused (§2.4)`(header: String) throws {
    let issuer = try Issuer(.hs256, id: nil)
    #expect(try Gate(issuer).refusal(issuer.token(claims(), header: header)) == .malformed)
  }

  @Test func `a header that is not UTF-8 is refused (§3.7)`() throws {
    let issuer = try Issuer(.hs256, id: nil)
    for bytes: [UInt8] in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80]] {
      let header = Array(#"{"alg":"HS256","x":""#.utf8) + bytes + Array("\"}".utf8)
      let text = Base64URL.encode(header) + "." + Base64URL.encode(Array(claims().utf8))
      let token = text + "." + Base64URL.encode(try issuer.signature(text))
      #expect(try Gate(issuer).refusal(token) == .malformed)
    }
  }

  @Test(arguments: [
    #"{"exp":1700003600,"sub":"a","sub":"b"}"#, #"{"exp":1700003600,"\u0073ub":"a","sub":"b"}"#,
    #"{"exp":1700003600,"a":{"b":1,"b":2}}"#, #"{"exp":1700003600"#, "", "[]", "1",
    #"{"exp":1700003600} {}"#, #"{"exp":1700003600,"a":"\ud800"}"#,
  ])
  func `claims that two readers could read differently are refused (§2.4)`(claims: String) throws {
    let issuer = try Issuer(.hs256)
    #expect(try Gate(issuer).refusal(issuer.token(claims)) == .malformed)
  }

  @Test(arguments: [SignatureAlgorithm.hs256, .es256, .edDSA])
  func `no letter of a token can be changed, added or left out`(
    algorithm: SignatureAlgorithm
  ) throws {
    let issuer = try Issuer(algorithm)
    let gate = try Gate([issuer.description], TokenRules(algorithms: [algorithm]))
    let token = try issuer.token(claims())
    let letters = Array(token.utf8)
    #expect(gate.accepted(token) != nil)
    for index in letters.indices {
      var changed = letters
      changed[index] = changed[index] == 0x41 ? 0x42 : 0x41
      var longer = letters
      longer.insert(0x41, at: index)
      var padded = letters
      padded.insert(0x3D, at: index)
      var shorter = letters
      shorter.remove(at: index)
      for other in [changed, longer, padded, shorter] where other != letters {
        #expect(gate.refusal(String(decoding: other, as: UTF8.self)) != nil)
      }
    }
    for end in ["=", ".", " ", "\n", "A", "AA", ".A"] {
      #expect(gate.refusal(token + end) != nil)
      #expect(gate.refusal(end + token) != nil)
    }
    // The other spelling of the last letter's unused bits (RFC 4648 §3.5).
    let last = try #require(letters.last)
    let spelling = String(decoding: letters.dropLast() + [last + 1], as: UTF8.self)
    #expect(gate.refusal(spelling) == .malformed)
  }

  @Test func `a token in another serialization is refused`() throws {
    let issuer = try Issuer(.hs256)
    let parts = try issuer.token(claims()).split(separator: ".")
    let json =
      #"{"protected":"\#(parts[0])","payload":"\#(parts[1])","signature":"\#(parts[2])"}"#
    #expect(try Gate(issuer).refusal(json) == .malformed)
    // Five parts are an encrypted token (RFC 7516).
    #expect(try Gate(issuer).refusal(parts.joined(separator: ".") + "..") == .malformed)
  }

  @Test func `a huge token is refused before it is read`() throws {
    let issuer = try Issuer(.hs256)
    let gate = try Gate(issuer)
    let long = try issuer.token(claims(#""x":"\#(String(repeating: "x", count: 9_000))""#))
    #expect(gate.refusal(long) == .tooLong)
    #expect(gate.refusal(String(repeating: ".", count: 9_000)) == .tooLong)
    #expect(gate.refusal(String(repeating: ".", count: 8_000)) == .malformed)
    #expect(gate.refusal(String(repeating: "A", count: 8_000)) == .malformed)
  }

  @Test func `deep, wide and many-membered texts are refused`() throws {
    let issuer = try Issuer(.hs256)
    let rules = TokenRules(algorithms: [.hs256], maxLength: 65_536)
    let gate = try Gate([issuer.description], rules)
    let deep = String(repeating: "[", count: 500) + String(repeating: "]", count: 500)
    #expect(gate.refusal(try issuer.token(claims(#""x":\#(deep)"#))) == .malformed)
    let many = (0..<200).map { "\"m\($0)\":1" }.joined(separator: ",")
    #expect(gate.refusal(try issuer.token(claims(many))) == .malformed)
    #expect(
      gate.refusal(try issuer.token(claims(), header: #"{"alg":"HS256",\#(many)}"#)) == .malformed)
    let wide = "[" + [String](repeating: "0", count: 4_000).joined(separator: ",") + "]"
    #expect(gate.refusal(try issuer.token(claims(#""x":\#(wide)"#))) == .malformed)
  }

  @Test func `a token for somebody else is refused (§3.8, §3.9)`() throws {
    let issuer = try Issuer(.hs256)
    let rules = TokenRules(
      algorithms: [.hs256], issuers: ["https://a.example"], audiences: ["shop"])
    let gate = try Gate([issuer.description], rules)
    let good = #""iss":"https://a.example","aud":"shop""#
    #expect(gate.accepted(try issuer.token(claims(good))) != nil)
    #expect(gate.refusal(try issuer.token(claims(#""aud":"shop""#))) == .wrongIssuer)
    for other in ["https://a.example/", "https://A.example", "https://a.exampl", ""] {
      let token = try issuer.token(claims(#""iss":"\#(other)","aud":"shop""#))
      #expect(gate.refusal(token) == .wrongIssuer)
    }
    let rest = #""iss":"https://a.example""#
    for audience in [#""Shop""#, "[]", #"["shops","sho"]"#, #""""#] {
      let token = try issuer.token(claims("\(rest),\"aud\":\(audience)"))
      #expect(gate.refusal(token) == .wrongAudience)
    }
    #expect(gate.refusal(try issuer.token(claims(rest))) == .wrongAudience)
    for audience in ["1", "null", "{}", #"["shop",1]"#, #"[["shop"]]"#] {
      let token = try issuer.token(claims("\(rest),\"aud\":\(audience)"))
      #expect(gate.refusal(token) == .malformedClaims)
    }
  }

  @Test func `a token of another type is refused where one is wanted (§3.11)`() throws {
    let issuer = try Issuer(.hs256)
    let gate = try Gate(
      [issuer.description], TokenRules(algorithms: [.hs256], type: "at+jwt"))
    func refusal(_ type: String) throws -> TokenRefusal? {
      gate.refusal(try issuer.token(claims(), header: #"{"alg":"HS256","kid":"key-1"\#(type)}"#))
    }
    #expect(try refusal(#","typ":"at+jwt""#) == nil)
    #expect(try refusal(#","typ":"AT+JWT""#) == nil)
    #expect(try refusal(#","typ":"application/at+jwt""#) == nil)
    #expect(try refusal(#","typ":"JWT""#) == .wrongType)
    #expect(try refusal(#","typ":["at+jwt"]"#) == .wrongType)
    #expect(try refusal("") == .wrongType)
  }
}
