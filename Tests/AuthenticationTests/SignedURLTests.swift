import Authentication
import Bytes
import Cryptography
import Testing

private let client = SignedAddress(high: 0, low: 0xFFFF_C000_0201)
private let other = SignedAddress(high: 0, low: 0xFFFF_C000_0202)
private let time: Int64 = 1_700_000_000

private func key(_ id: String, _ byte: UInt8) throws -> URLKey {
  try #require(URLKey(id: id, secret: [UInt8](repeating: byte, count: 32)))
}

private func signer(_ ids: String...) throws -> URLSigner {
  try URLSigner(ids.map { try key($0, UInt8($0.utf8.count)) })
}

extension URLSigner {
  fileprivate func check(
    _ target: String, client: SignedAddress = client, now: Int64 = time
  ) -> URLOutcome {
    target.withView { verify($0, client: client, now: now) }
  }
}

@Suite struct SignedURLTests {
  @Test(arguments: [
    "/", "/a/b.mp4", "/a?q=1", "/a?", "/a?x=%20&y", "/?expires=5", "/a?q=1&expires=",
  ])
  func `a signed target is good until it expires`(target: String) throws {
    let signer = try signer("k")
    let signed = try signer.sign(target, URLGrant(expires: time + 10))
    let good = URLOutcome.verified(length: target.utf8.count, expires: time + 10)
    #expect(signer.check(signed) == good)
    #expect(signer.check(signed, client: other) == good)
    #expect(signer.check(signed, now: time + 9) == good)
    #expect(signer.check(signed, now: time + 10) == .expired)
    #expect(signer.check(target) == .missing)
  }

  @Test func `the form is as it is documented`() throws {
    let signer = try URLSigner([key("2026a", 1)])
    let signed = try signer.sign(
      "/video/a.mp4?q=1", URLGrant(expires: 1_767_225_600, prefix: 7, address: client))
    let begin = "/video/a.mp4?q=1&expires=1767225600&prefix=7&ip=1&keyid=2026a&signature="
    #expect(signed.hasPrefix(begin))
    let text =
      "weir-signed-url-1\n2026a\n1767225600\nprefix\n00000000000000000000ffffc0000201\n/video/"
    let code = try text.withView {
      try KeyedHMAC.make(.sha256, key: [UInt8](repeating: 1, count: 32)).code($0)
    }
    #expect(signed == begin + Base64URL.encode(code))
    let plain = try signer.sign("/a?b", URLGrant(expires: 5))
    let exact = "weir-signed-url-1\n2026a\n5\nexact\n-\n/a?b"
    let exactCode = try exact.withView {
      try KeyedHMAC.make(.sha256, key: [UInt8](repeating: 1, count: 32)).code($0)
    }
    #expect(plain == "/a?b&expires=5&keyid=2026a&signature=" + Base64URL.encode(exactCode))
  }

  @Test func `no byte of a signed target can be changed, added or left out`() throws {
    let signer = try signer("k", "kk")
    let signed = Array(
      try signer.sign("/a/b?q=1", URLGrant(expires: time + 10, address: client)).utf8)
    func isGood(_ bytes: [UInt8]) -> Bool {
      if case .verified = signer.check(String(decoding: bytes, as: UTF8.self)) { return true }
      return false
    }
    #expect(isGood(signed))
    for index in signed.indices {
      for byte in Array("0A&=/?%k".utf8) where signed[index] != byte {
        var changed = signed
        changed[index] = byte
        #expect(!isGood(changed))
        #expect(!isGood(Array(signed[..<index]) + [byte] + signed[index...]))
      }
      #expect(!isGood(Array(signed[..<index]) + signed[(index + 1)...]) || signed[index] == 0)
    }
    for end in ["&", "&a=b", "=", "A", "#", " "] { #expect(!isGood(signed + Array(end.utf8))) }
  }

  @Test func `a prefix lets in all below it, with any query`() throws {
    let signer = try signer("k")
    let signed = try signer.sign("/video/1/a.ts", URLGrant(expires: time + 10, prefix: 9))
    let tail = try #require(signed.split(separator: "?", maxSplits: 1).last)
    for path in ["/video/1/", "/video/1/b.ts", "/video/1/x/y"] {
      #expect(
        signer.check("\(path)?\(tail)")
          == .verified(length: path.utf8.count, expires: time + 10))
      #expect(
        signer.check("\(path)?q=2&\(tail)")
          == .verified(length: path.utf8.count + 4, expires: time + 10))
    }
    #expect(signer.check("/video/2/a.ts?\(tail)") == .badSignature)
    #expect(signer.check("/video/?\(tail)") == .malformed)
    #expect(signer.check("/video/10/?\(tail)") == .malformed)
    // The same prefix, signed as a whole target, is another thing.
    let exact = try signer.sign("/video/1/", URLGrant(expires: time + 10))
    #expect(
      signer.check(exact.replacing("&keyid", with: "&prefix=9&keyid")) == .badSignature)
    #expect(signer.check(signed.replacing("&prefix=9", with: "")) == .badSignature)
  }

  @Test func `an address that is signed lets in nobody else`() throws {
    let signer = try signer("k")
    let signed = try signer.sign("/a", URLGrant(expires: time + 10, address: client))
    #expect(signer.check(signed) == .verified(length: 2, expires: time + 10))
    #expect(signer.check(signed, client: other) == .badSignature)
    #expect(signer.check(signed.replacing("&ip=1", with: "")) == .badSignature)
    #expect(signer.check(signed.replacing("&ip=1", with: "&ip=0")) == .malformed)
    let free = try signer.sign("/a", URLGrant(expires: time + 10))
    #expect(signer.check(free.replacing("&keyid", with: "&ip=1&keyid")) == .badSignature)
  }

  @Test func `keys rotate by their names`() throws {
    let old = try signer("old")
    let both = try signer("newer", "old")
    let new = try signer("newer")
    let fromOld = try old.sign("/a", URLGrant(expires: time + 10))
    let fromBoth = try both.sign("/a", URLGrant(expires: time + 10))
    #expect(fromBoth.contains("keyid=newer&"))
    #expect(both.check(fromOld) == .verified(length: 2, expires: time + 10))
    #expect(new.check(fromBoth) == .verified(length: 2, expires: time + 10))
    #expect(new.check(fromOld) == .unknownKey)
    #expect(old.check(fromBoth) == .unknownKey)
    #expect(new.check(fromOld.replacing("keyid=old", with: "keyid=newer")) == .badSignature)
  }

  @Test(arguments: [
    "/a?signature=x", "/a?keyid=k&signature=x", "/a?expires=x&keyid=k&signature=SIG",
    "/a?expires=-5&keyid=k&signature=SIG", "/a?expires=05&keyid=k&signature=SIG",
    "/a?expires=&keyid=k&signature=SIG", "/a?expires=99999999999999999999&keyid=k&signature=SIG",
    "/a?expires=253402300800&keyid=k&signature=SIG", "/a?expires=5&keyid=&signature=SIG",
    "/a?expires=5&signature=SIG", "/a?expires=5&signature=SIG&keyid=k",
    "/a?keyid=k&expires=5&signature=SIG", "/a?expires=5&keyid=k&signature=SIG&x=1",
    "/a?expires=5&x=1&keyid=k&signature=SIG", "/a?expires=5&ip=1&prefix=1&keyid=k&signature=SIG",
    "/a?expires=5&prefix=0&keyid=k&signature=SIG", "/a?expires=5&prefix=2&keyid=k&signature=SIG",
    "/a?expires=5&prefix=3&keyid=k&signature=SIG", "/a?expires=5&keyid=k&signature=SIGA",
    "/a?expires=5&keyid=k&signature=S!G", "/a?expires=5&prefix=-1&keyid=k&signature=SIG",
  ])
  func `parameters in another form or order are malformed`(target: String) throws {
    let code = String(repeating: "A", count: 43)
    let target = target.replacing("SIG", with: code).replacing("S!G", with: "!" + code.dropFirst())
    #expect(try signer("k").check(target) == .malformed)
  }

  @Test func `what cannot be signed is not`() throws {
    let signer = try signer("k")
    let grant = URLGrant(expires: time)
    for target in ["", "a", "http://a/", "/a b", "/a#b", "/\r\n", "/é", "/\u{7F}"] {
      #expect(throws: URLSigningError.badTarget) { _ = try signer.sign(target, grant) }
    }
    #expect(throws: URLSigningError.signedAlready) {
      _ = try signer.sign(try signer.sign("/a", grant), grant)
    }
    for expires in [-1, 253_402_300_800, Int64.max] {
      #expect(throws: URLSigningError.badExpiry) {
        _ = try signer.sign("/a", URLGrant(expires: expires))
      }
    }
    for prefix in [0, -1, 2, 4, 100] {
      #expect(throws: URLSigningError.badPrefix) {
        _ = try signer.sign("/a/?b/", URLGrant(expires: time, prefix: prefix))
      }
    }
    #expect(throws: URLSigningError.badTarget) { _ = try URLSigner([]).sign("/a", grant) }
  }

  @Test func `a file of keys is read, and one that is wrong is refused with its line`() throws {
    let line = try #require(try URLKey.makeLine(id: "2026a"))
    let keys = try "# keys\n\(line)\n".withView { try URLKey.read($0, file: "f") }
    #expect(keys.map(\.id) == ["2026a"])
    #expect(keys.first?.secret.count == 32)
    #expect(try URLKey.makeLine(id: "a&b") == nil)
    let secret = String(repeating: "A", count: 43)
    for (text, begin) in [
      ("", "f: no key"), ("a", "f:1: expected id:secret"), ("a:x y", "f:1: expected id:secret"),
      ("a:AAAA", "f:1: the id must have"), ("a b:\(secret)", "f:1: the id must have"),
      ("a:\(secret)\na:\(secret)", "f:2: the id is there twice"),
    ] {
      let defect = #expect(throws: CredentialDefect.self) {
        _ = try text.withView { try URLKey.read($0, file: "f") }
      }
      #expect(
        defect?.description.hasPrefix(begin) == true, "\(text): \(String(describing: defect))")
    }
  }
}
