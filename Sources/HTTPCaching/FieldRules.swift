// Which fields go no further (RFC 9110 §7.6.1) and which are not stored (RFC 9111 §3.1).
//
// Connection names further fields that are meant for one hop. A response's are taken at their word. A
// request's are not, where they name a field that the node knows and that is meant for all: a client
// that could strip Cookie, Accept-Encoding or Authorization from what the origin sees, after the node
// has routed by it or made it part of a key, could store one user's answer under another's key.
// RFC 9110 §7.6.1 forbids clients to nominate such fields. Others are dropped, and are then no part
// of a Vary key either.

package import Bytes
package import HTTPMessage

/// The fields that a message's Connection lines nominate. Views of the head: for one turn only.
package struct ConnectionOptions: Sendable {
  /// The most options that are looked at; with more (or more lines than four) `isExcessive`.
  package static var greatestCount: Int { 64 }

  private var lines = InlineArray<4, ByteView>(repeating: ByteView())
  private var lineCount = 0
  private var optionCount = 0
  private let isRequest: Bool
  /// Whether there are more options than anyone has use for. A node answers such a request with 400
  /// and such a response with 502; who goes on drops every field that the node does not know.
  package private(set) var isExcessive = false

  /// The options of a request.
  package init(_ request: RequestHead) {
    isRequest = true
    guard request.fields.count(of: .connection) > 0 else { return }
    request.fields.forEach(.connection, in: request.bytes) { add($0) }
  }

  /// The options of a response.
  package init(_ response: ResponseHead) {
    isRequest = false
    guard response.fields.count(of: .connection) > 0 else { return }
    response.fields.forEach(.connection, in: response.bytes) { add($0) }
  }

  /// Whether any field may be nominated: options of no consequence (`close`, `keep-alive` and such) apart.
  package var nominatesAny: Bool { lineCount > 0 || isExcessive }

  /// Whether a field of that name was nominated.
  package func nominates(_ known: KnownField, name: ByteView) -> Bool {
    if lineCount == 0 { return false }
    if known != .other && isRequest { return false }
    if isExcessive && known == .other { return true }
    for index in 0..<lineCount {
      var options = ListElements(ofTokens: lines[index])
      while let option = options.next() {
        if option.equalsIgnoringCase(name) { return true }
      }
    }
    return false
  }

  /// Keeps a line unless all its options are of no consequence.
  private mutating func add(_ line: ByteView) {
    var nominatesMore = false
    var options = ListElements(ofTokens: line)
    while let option = options.next() {
      optionCount += 1
      if optionCount > Self.greatestCount {
        isExcessive = true
        break
      }
      let isUsual =
        option.equalsIgnoringCase(ByteView("close"))
        || FieldRules.isHopByHop(KnownField.identify(option))
      if !isUsual { nominatesMore = true }
    }
    guard nominatesMore || isExcessive else { return }
    if lineCount < 4 {
      lines[lineCount] = line
      lineCount += 1
    } else {
      isExcessive = true
    }
  }
}

/// Which fields are dropped, and which are not stored.
package enum FieldRules {
  /// Whether a known field is always for one hop only: those of RFC 9110 §7.6.1, of proxies
  /// (RFC 9111 §3.1), and Trailer, since the node frames what it sends itself.
  package static func isHopByHop(_ known: KnownField) -> Bool {
    switch known {
    case .connection, .keepAlive, .proxyConnection, .te, .trailer, .transferEncoding, .upgrade,
      .http2Settings, .proxyAuthenticate, .proxyAuthorization, .proxyAuthenticationInfo:
      true
    default: false
    }
  }

  /// Whether a field is for one hop only, always or because Connection says so.
  package static func isHopByHop(
    _ known: KnownField, name: ByteView, connectionOptions: ConnectionOptions
  ) -> Bool {
    isHopByHop(known) || connectionOptions.nominates(known, name: name)
  }

  /// Whether a field carries tags.
  package static func isTag(_ known: KnownField) -> Bool {
    known == .surrogateKey || known == .cacheTag || known == .xkey
  }

  /// Whether a response's cookies may be stored and given to everyone: only if the origin says that
  /// the response is for everyone, by `public`, `s-maxage`, or a lifetime in a field that is for
  /// shared caches.
  package static func mayStoreSetCookie(_ directives: ResponseDirectives) -> Bool {
    if directives.isPublic || directives.sMaxAge != nil { return true }
    switch directives.source {
    case .cacheControl: return false
    case .targeted, .surrogateControl: return directives.maxAge != nil
    }
  }

  /// Whether `no-cache="…"` or `private="…"` of a response lists a field, which then is not stored
  /// (RFC 9111 §5.2.2.4, §5.2.2.7) but is sent to the client whose request fetched it.
  package static func isListed(
    _ name: ByteView, by response: ResponseHead, directives: ResponseDirectives
  ) -> Bool {
    guard directives.noCacheFields || directives.privateFields else { return false }
    var found = false
    response.fields.forEach(.cacheControl, in: response.bytes) { line in
      var directives = CacheDirectives(line)
      while !found, let directive = directives.next() {
        guard directive.is("no-cache") || directive.is("private"),
          let names = directive.argument.fieldNames
        else { continue }
        var list = ListElements(ofTokens: names)
        while !found, let listed = list.next() { found = listed.equalsIgnoringCase(name) }
      }
    }
    return found
  }
}
