// URLs that let in whoever has them, until they expire.
//
//     /video/a.mp4?q=1&expires=1767225600&keyid=2026a&signature=…
//     /video/a.mp4?expires=1767225600&prefix=7&ip=1&keyid=2026a&signature=…
//
// What is signed comes last in the query, in this order and no other: `expires` (seconds since the epoch,
// in decimal), perhaps `prefix` (how many bytes at the front of the path are signed instead of all of it;
// the last of them is a slash), perhaps `ip=1` (the client's address is signed too), `keyid`, `signature`
// (base64url, 43 letters). The signature is HMAC-SHA256 with the key of that name over
//
//     weir-signed-url-1 LF keyid LF expires LF "exact" or "prefix" LF address or "-" LF what is signed
//
// where the address is 32 hexadecimal digits (IPv4 as ::ffff:a.b.c.d), and what is signed is the target as
// it is sent: with a prefix, the prefix; else all before `expires` and the separator in front of it. So the
// whole query is covered but with a prefix, where the rest of it is the client's to choose. Nothing is
// decoded: a URL has one form, and a path with dot segments never gets this far. No two texts to be signed
// are the same for different URLs: only the last part, whose length nothing else depends on, is free.
//
// Keys are rotated by their names: the first key of the file signs, every key verifies.

package import Bytes
package import Cryptography

/// A client's address in 128 bits, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
package struct SignedAddress: Sendable, Equatable {
  let high: UInt64
  let low: UInt64

  /// An address of two words, the first bytes in the first word's most significant ones.
  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }
}

/// What a URL allows.
package struct URLGrant: Sendable, Equatable {
  /// Until when, in seconds since the epoch; exclusive.
  package var expires: Int64
  /// How many bytes at the front of the path are signed; nil: all of the target.
  package var prefix: Int?
  /// The only client that may use it; nil: whoever has it.
  package var address: SignedAddress?

  /// A grant.
  package init(expires: Int64, prefix: Int? = nil, address: SignedAddress? = nil) {
    self.expires = expires
    self.prefix = prefix
    self.address = address
  }
}

/// Why a URL was not signed.
package enum URLSigningError: Error, Equatable, Sendable {
  /// Not a path with or without a query, or with a byte that no URL has.
  case badTarget
  /// The target has one of the parameters already.
  case signedAlready
  /// The prefix does not end with a slash of the path.
  case badPrefix
  /// Before the epoch, or after the year 9999.
  case badExpiry
  /// OpenSSL failed.
  case openSSL(OpenSSLError)
}

/// What came of a signed URL.
package enum URLOutcome: Equatable, Sendable {
  /// It is good. The first `length` bytes of the target are what was asked for, without the
  /// signature and its parameters.
  case verified(length: Int, expires: Int64)
  /// There is no signature.
  case missing
  /// The parameters are not as they must be.
  case malformed
  /// No key has the name.
  case unknownKey
  /// The signature is wrong, or another's address is signed.
  case badSignature
  /// It was good once.
  case expired

  /// The status code of the answer; 200 if it is good. There is nothing to challenge for: a URL that
  /// does not let in is forbidden (RFC 9110 §15.5.4), a malformed one a bad request.
  package var status: UInt16 {
    switch self {
    case .verified: 200
    case .malformed: 400
    case .missing, .unknownKey, .badSignature, .expired: 403
    }
  }
}

/// Signs and verifies URLs with a set of keys. Belongs to one thread.
package final class URLSigner {
  private struct Tail {
    var start = 0
    var expires: Int64 = 0
    var expiresText: Range<Int> = 0..<0
    var prefix: Int?
    var bindsAddress = false
    var keyID: Range<Int> = 0..<0
    var signature: Range<Int> = 0..<0
  }

  private final class Key {
    let id: ByteBuffer
    let hmac: KeyedHMAC
    init(_ key: URLKey) throws(OpenSSLError) {
      var id = ByteBuffer()
      id.append(text: key.id)
      self.id = id
      hmac = try KeyedHMAC.make(.sha256, key: key.secret)
    }
  }

  private let keys: [Key]
  private var code = ByteBuffer()
  private static let latest: Int64 = 253_402_300_799

  /// A signer with keys, of which the first one signs.
  package init(_ keys: [URLKey]) throws(OpenSSLError) {
    var made: [Key] = []
    for key in keys { made.append(try Key(key)) }
    self.keys = made
  }

  /// Signs a target, a path with or without a query, and returns it with the signature.
  package func sign(_ target: String, _ grant: URLGrant) throws(URLSigningError) -> String {
    var text = ByteBuffer()
    text.append(text: target)
    guard Self.isTarget(text.view), let key = keys.first else { throw .badTarget }
    if case .missing = verify(text.view, client: SignedAddress(high: 0, low: 0), now: 0) {
    } else {
      throw .signedAlready
    }
    guard grant.expires >= 0, grant.expires <= Self.latest else { throw .badExpiry }
    let path = text.view.firstIndex(of: ASCII.question) ?? text.count
    if let prefix = grant.prefix {
      guard prefix > 0, prefix <= path, text.view[prefix - 1] == ASCII.slash else {
        throw .badPrefix
      }
    }
    var expires = ByteBuffer()
    expires.append(decimal: UInt64(grant.expires))
    let code: Digest256
    do throws(OpenSSLError) {
      code = try Self.code(
        key, expires: expires.view, grant: grant,
        signed: grant.prefix.map { text.view.prefix($0) } ?? text.view)
    } catch {
      throw .openSSL(error)
    }
    return target + (path < text.count ? "&" : "?") + "expires=\(grant.expires)"
      + (grant.prefix.map { "&prefix=\($0)" } ?? "") + (grant.address == nil ? "" : "&ip=1")
      + "&keyid=\(key.id.view.string)&signature=\(Base64URL.encode(code.array))"
  }

  /// What comes of a target, a path with its query as sent. `now` is in seconds since the epoch.
  /// About 1 µs.
  package func verify(
    _ target: ByteView, client: SignedAddress, now: Int64
  ) -> URLOutcome {
    let tail: Tail
    switch Self.tail(of: target) {
    case .none: return .missing
    case .malformed: return .malformed
    case .found(let found): tail = found
    }
    let id = target[tail.keyID]
    guard let key = keys.first(where: { $0.id.view == id }) else { return .unknownKey }
    let grant = URLGrant(
      expires: tail.expires, prefix: tail.prefix, address: tail.bindsAddress ? client : nil)
    let signed = target.prefix(tail.prefix ?? tail.start)
    code.removeAll()
    guard Base64URL.decode(target[tail.signature], onto: &code), let sent = Digest256(code.view)
    else { return .malformed }
    let right = try? Self.code(
      key, expires: target[tail.expiresText], grant: grant, signed: signed)
    guard let right, right == sent else { return .badSignature }
    guard now < tail.expires else { return .expired }
    return .verified(length: tail.start, expires: tail.expires)
  }

  private static func code(
    _ key: Key, expires: ByteView, grant: URLGrant, signed: ByteView
  ) throws(OpenSSLError) -> Digest256 {
    try key.hmac.begin()
    try key.hmac.add(ByteView("weir-signed-url-1\n"))
    try key.hmac.add(key.id.view)
    try key.hmac.add(ByteView("\n"))
    try key.hmac.add(expires)
    try key.hmac.add(grant.prefix == nil ? ByteView("\nexact\n") : ByteView("\nprefix\n"))
    if let address = grant.address {
      var text = InlineArray<32, UInt8>(repeating: 0)
      for index in 0..<32 {
        let word = index < 16 ? address.high : address.low
        let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (index & 15))) & 15
        text[index] = digit < 10 ? 0x30 &+ digit : 0x57 &+ digit
      }
      try unsafe withUnsafeBytes(of: &text) { (bytes) throws(OpenSSLError) in
        try key.hmac.add(unsafe ByteView(unsafe: bytes))
      }
    } else {
      try key.hmac.add(ByteView("-"))
    }
    try key.hmac.add(ByteView("\n"))
    try key.hmac.add(signed)
    return try key.hmac.finish256()
  }

  // MARK: Reading

  private enum Finding {
    case none
    case malformed
    case found(Tail)
  }

  /// Reads the parameters, of which `signature` must be the last thing in the target.
  private static func tail(of target: ByteView) -> Finding {
    guard let question = target.firstIndex(of: ASCII.question),
      let start = start(target, question + 1)
    else { return .none }
    var at = start + 1
    var tail = Tail(start: start)
    guard let expires = take("expires=", target, &at), let time = decimal(target[expires]),
      time <= latest
    else { return .malformed }
    tail.expires = time
    tail.expiresText = expires
    if let prefix = take("prefix=", target, &at) {
      guard let length = decimal(target[prefix]), length > 0, length <= Int64(question),
        target[Int(length) - 1] == ASCII.slash
      else { return .malformed }
      tail.prefix = Int(length)
    }
    if let flag = take("ip=", target, &at) {
      guard target[flag] == ByteView("1") else { return .malformed }
      tail.bindsAddress = true
    }
    guard let id = take("keyid=", target, &at), !id.isEmpty,
      let signature = take("signature=", target, &at), signature.count == 43, at > target.count
    else { return .malformed }
    tail.keyID = id
    tail.signature = signature
    return .found(tail)
  }

  /// Where the separator before the first parameter `expires` is that a `signature` follows; the
  /// target has no signature if there is none.
  private static func start(_ target: ByteView, _ query: Int) -> Int? {
    var expires: Int?
    var isSigned = false
    var at = query
    while at <= target.count {
      let end = target.firstIndex(of: 0x26, from: at) ?? target.count
      let part = target[at..<end]
      if part.starts(with: ByteView("expires=")) { expires = at - 1 }
      if part.starts(with: ByteView("signature=")) { isSigned = true }
      at = end + 1
    }
    // A signature without `expires` is malformed at once.
    return isSigned ? expires ?? query - 1 : nil
  }

  /// The value of a parameter if it comes next; `at` is then behind the separator after it.
  private static func take(
    _ name: StaticString, _ target: ByteView, _ at: inout Int
  ) -> Range<Int>? {
    let name = ByteView(name)
    guard at <= target.count, target.dropping(first: at).starts(with: name) else { return nil }
    let start = at + name.count
    let end = target.firstIndex(of: 0x26, from: start) ?? target.count
    at = end + 1
    return start..<end
  }

  /// A decimal number without leading zeros.
  private static func decimal(_ text: ByteView) -> Int64? {
    guard text.count > 0, text.count == 1 || text[0] != 0x30, text[0] != 0x2D else { return nil }
    return JSONNumber.integer(text)
  }

  private static func isTarget(_ target: ByteView) -> Bool {
    guard target.count > 0, target[0] == ASCII.slash else { return false }
    for index in 0..<target.count {
      let byte = target[index]
      if byte <= 0x20 || byte >= 0x7F || byte == 0x23 { return false }
    }
    return true
  }
}
