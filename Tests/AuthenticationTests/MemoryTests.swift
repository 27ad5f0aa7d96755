import Authentication
import Bytes
import Cryptography
import EventLoop
import Testing

@Suite struct RememberedTokenTests {
  @Test func `a token is remembered until it expires`() throws {
    let issuer = try Issuer(.es256)
    let gate = try Gate([issuer.description], TokenRules(algorithms: [.es256], skew: 0))
    let token = try issuer.token(claims())
    #expect(token.withView { gate.authenticator.known($0, now: at()) } == nil)
    let first = try #require(gate.accepted(token))
    let again = try #require(gate.accepted(token))
    #expect(first === again)
    #expect(gate.authenticator.rememberedCount == 1)
    #expect(gate.accepted(token, now: at(3_599_999)) === first)
    #expect(gate.refusal(token, now: at(3_600_000)) == .expired)
    // It was found, not verified again: the expired are repeated too.
    guard
      case .refused(.expired) = token.withView({
        gate.authenticator.known($0, now: at(3_600_000))
      })
    else {
      Issue.record("not remembered")
      return
    }
  }

  @Test func `what is refused is not remembered`() throws {
    let issuer = try Issuer(.hs256)
    let gate = try Gate(issuer)
    let token = try issuer.token(claims())
    for wrong in [token + "A", String(token.dropLast()), try issuer.token(#"{"exp":1}"#), ""] {
      #expect(gate.refusal(wrong) != nil)
    }
    #expect(gate.authenticator.rememberedCount == 0)
  }

  @Test func `a token with a known signature and another payload is not known`() throws {
    let issuer = try Issuer(.rs256)
    let gate = try Gate(issuer)
    let token = try issuer.token(claims())
    #expect(gate.accepted(token) != nil)
    let parts = token.split(separator: ".")
    let payload = Base64URL.encode(Array(claims().replacing("anna", with: "ella").utf8))
    let other = "\(parts[0]).\(payload).\(parts[2])"
    #expect(other.utf8.count == token.utf8.count)
    #expect(other.withView { gate.authenticator.known($0, now: at()) } == nil)
    #expect(gate.refusal(other) == .badSignature)
    #expect(gate.accepted(token) != nil)
  }

  @Test func `no more are remembered than may be, and those in use stay`() throws {
    let issuer = try Issuer(.hs256)
    let gate = try Gate(
      [issuer.description], TokenRules(algorithms: [.hs256], maxRemembered: 100))
    let used = try issuer.token(claims(#""jti":"used""#))
    let kept = try #require(gate.accepted(used))
    for number in 0..<1_000 {
      #expect(gate.accepted(try issuer.token(claims(#""jti":"\#(number)""#))) != nil)
      #expect(gate.accepted(used) === kept)
      #expect(gate.authenticator.rememberedCount <= 100)
    }
    #expect(gate.authenticator.rememberedCount == 100)
  }

  @Test func `they take no more memory than they may`() throws {
    let issuer = try Issuer(.hs256)
    let gate = try Gate(
      [issuer.description], TokenRules(algorithms: [.hs256], maxRememberedBytes: 20_000))
    for number in 0..<200 {
      let padding = String(repeating: "x", count: number * 7)
      #expect(gate.accepted(try issuer.token(claims(#""x":"\#(padding)""#))) != nil)
      #expect(gate.authenticator.rememberedBytes <= 20_000)
    }
    #expect(gate.authenticator.rememberedCount > 2)
    let none = try Gate([issuer.description], TokenRules(algorithms: [.hs256], maxRemembered: 0))
    #expect(none.accepted(try issuer.token(claims())) != nil)
    #expect(none.authenticator.rememberedCount == 0)
  }

  @Test func `tokens of a key that is gone are forgotten, those of one that stays are not`() throws
  {
    let old = try Issuer(.es256, id: "old")
    let new = try Issuer(.es256, id: "new")
    let gate = try Gate([old.description], TokenRules(algorithms: [.es256]))
    let first = try old.token(claims())
    let second = try new.token(claims())
    #expect(gate.accepted(first) != nil)
    #expect(gate.refusal(second) == .unknownKey(fetching: true))
    gate.source.keys.publish(KeySet(keys: [old.description, new.description]))
    #expect(first.withView { gate.authenticator.known($0, now: at()) } != nil)
    #expect(gate.accepted(second) != nil)
    gate.source.keys.publish(KeySet(keys: [new.description]))
    #expect(gate.refusal(first) != nil)
    #expect(second.withView { gate.authenticator.known($0, now: at()) } != nil)
    // Another key under the same name is another key.
    let impostor = try Issuer(.es256, id: "new")
    gate.source.keys.publish(KeySet(keys: [impostor.description]))
    #expect(gate.refusal(second) == .badSignature)
  }

  @Test func `without keys there is no answer about a token`() throws {
    let issuer = try Issuer(.hs256)
    let gate = try Gate(nil, TokenRules(algorithms: [.hs256]))
    let token = try issuer.token(claims())
    #expect(gate.refusal(token) == .keysUnavailable)
    gate.source.keys.publish(KeySet(keys: [issuer.description]))
    #expect(gate.accepted(token) != nil)
  }

  @Test func `a token without a name is tried with the keys that fit, at most four`() throws {
    let issuers = try (0..<5).map { try Issuer(.es256, id: "key-\($0)") }
    let gate = try Gate(issuers.map(\.description), TokenRules(algorithms: [.es256]))
    for (number, issuer) in issuers.enumerated() {
      let token = try issuer.token(claims(), header: #"{"alg":"ES256"}"#)
      #expect(gate.refusal(token) == (number < 4 ? nil : .badSignature))
      #expect(gate.accepted(try issuer.token(claims())) != nil)
    }
  }
}
