// What the rules of a request ask about: views of what the worker has anyway. Nothing here is computed
// for them; a name that no rule uses costs nothing.

package import Bytes
package import HTTPMessage

/// A request as rules see it. All views must be good for the turn.
package struct RuleInput {
  /// The head, as the codec read it.
  package var head: RequestHead
  /// The host in lower case, without a port.
  package var host: ByteView
  /// The path that the route was chosen by.
  package var path: ByteView
  /// Whether the client's connection is encrypted.
  package var isSecure = false
  /// The client's address, an IPv4 one mapped to IPv6 (RFC 4291 §2.5.5.2): its first eight bytes.
  package var clientHigh: UInt64 = 0
  /// Its last eight.
  package var clientLow: UInt64 = 0
  /// The client's port.
  package var clientPort: UInt16 = 0
  /// The port it connected to.
  package var listenerPort: UInt16 = 0
  /// Seconds since 1970.
  package var now: Int64 = 0
  /// What the handshake said; all empty without TLS.
  package var tls = RuleTLS()
  /// Whether the edge has checked who this is.
  package var isAuthenticated = false
  /// Who it is; empty if that is not known.
  package var subject = ByteView()
  /// The token's claims, as `RuleClaims` packs them.
  package var claims = ByteView()
  /// The response's status, for rules of the response.
  package var status: UInt16 = 0
  /// Whether the response comes from the store.
  package var isStored = false
  /// The response's field lines, each ended by CR LF; names may have any case.
  package var responseFields = ByteView()

  /// The object that a condition over stored objects is asked of; nil for rules.
  package var object: RuleObject?

  /// A request of which only the head is known.
  package init(head: RequestHead, host: ByteView, path: ByteView) {
    self.head = head
    self.host = host
    self.path = path
  }
}

/// What a TLS handshake said, as text.
package struct RuleTLS {
  /// `TLSv1.3` or `TLSv1.2`.
  package var version = ByteView()
  /// The name that the client asked for.
  package var serverName = ByteView()
  /// The cipher suite.
  package var cipher = ByteView()
  /// The protocol agreed on by ALPN.
  package var applicationProtocol = ByteView()
  /// The client's JA4 fingerprint; empty where nothing asks for it.
  package var fingerprint = ByteView()
  /// The subject of the client's verified certificate.
  package var clientSubject = ByteView()
  /// The certificate's SHA-256 in lower-case hexadecimal.
  package var clientFingerprint = ByteView()

  /// No TLS.
  package init() {}
}

/// The claims of a token as one run of bytes: for each the lengths of name and value (16 and 32 bits,
/// little-endian), the name, the value. Packed once when a token is verified, and kept with it.
package enum RuleClaims {
  /// Adds a claim. Values are texts: numbers in decimal, arrays of texts joined by spaces.
  package static func append(name: ByteView, value: ByteView, to buffer: inout ByteBuffer) {
    guard let length = UInt16(exactly: name.count), let size = UInt32(exactly: value.count) else {
      return
    }
    buffer.append(littleEndian: length)
    buffer.append(littleEndian: size)
    buffer.append(name)
    buffer.append(value)
  }

  /// The value of the first claim of that name.
  package static func value(of name: ByteView, in claims: ByteView) -> ByteView? {
    var offset = 0
    while claims.count - offset >= 6 {
      let length = Int(claims.uint16(at: offset))
      let size = Int(claims.uint32(at: offset + 2))
      offset += 6
      guard claims.count - offset >= length + size else { return nil }
      if claims[offset..<offset + length] == name {
        return claims[offset + length..<offset + length + size]
      }
      offset += length + size
    }
    return nil
  }
}
