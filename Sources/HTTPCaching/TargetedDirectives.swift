// Which field's directives count (RFC 9213 §2.2): Surrogate-Control, else the first targeted field that
// is there, valid and not empty, else Cache-Control and Expires. Where another field than Cache-Control
// counts, Cache-Control and Expires count for nothing.
//
// A targeted field is a dictionary of structured fields and is read as strictly as that: keys are in
// lower case, no space stands around the equals sign, of a repeated key the last counts. What is no
// dictionary, is empty, or gives a lifetime that is no integer is ignored as a whole:
//
//     max-age=60                     60 seconds
//     max-age=60, &&&                ignored: no dictionary
//     Max-Age=60                     ignored: no key
//     max-age="60", max-age=6.5      ignored: no integer
//     max-age=-1                     0, must be validated
//     max-age=60;x=1, foo            60 seconds: parameters and unknown directives mean nothing
//     none                           no directive: as if Cache-Control were absent
//     no-store, no-store=1           not stored; no-store=?0 says nothing
//     private="a"                    private: the listed form is read as the plain one (RFC 9111
//                                    §5.2.2.7 has a note that allows it)
//
// Surrogate-Control (Edge Architecture, 2001) has Cache-Control's grammar and `max-age=600+30`: stale
// for 30 seconds more; what names a surrogate (`max-age=60;name`) is for that one alone, and Weir's name is
// `weir`. `content="…"` is for processors of ESI and means nothing here; a field with
// nothing else is as if absent.

package import Bytes
package import HTTPMessage
internal import StructuredFields

/// The field whose directives count.
package enum DirectiveSource: UInt8, Sendable, Equatable {
  /// Cache-Control, or none is there.
  case cacheControl
  /// A targeted field (RFC 9213).
  case targeted
  /// Surrogate-Control.
  case surrogateControl
}

extension ResponseDirectives {
  /// The longest value of a targeted field that is read, bytes.
  package static var greatestTargetedLength: Int { 4096 }

  /// The directives that count for a response under a policy.
  package init(_ response: ResponseHead, policy: CachePolicy) {
    self.init()
    if let found = Self.surrogate(response, policy) ?? Self.targeted(response, policy) {
      self = found
    } else if !policy.ignored.contains(.cacheControl) {
      self.init(response)
    }
    drop(policy.ignored)
  }

  /// The directives that count for a stored response that a 304 freshened: the 304's
  /// Surrogate-Control, which is not stored, else those of `merged`, the head as it is now.
  package static func freshened(
    merged: ResponseHead, notModified: ResponseHead, policy: CachePolicy
  ) -> ResponseDirectives {
    if let found = surrogate(notModified, policy) {
      var directives = found
      directives.drop(policy.ignored)
      return directives
    }
    return ResponseDirectives(merged, policy: policy)
  }

  private static func surrogate(
    _ response: ResponseHead, _ policy: CachePolicy
  ) -> ResponseDirectives? {
    guard policy.readsSurrogateControl, response.fields.contains(.surrogateControl)
    else { return nil }
    var directives = ResponseDirectives()
    response.fields.forEach(.surrogateControl, in: response.bytes) {
      directives.mergeSurrogate($0)
    }
    guard directives != ResponseDirectives() else { return nil }
    directives.source = .surrogateControl
    return directives
  }

  private static func targeted(
    _ response: ResponseHead, _ policy: CachePolicy
  ) -> ResponseDirectives? {
    guard !policy.ignored.contains(.targeted) else { return nil }
    for target in policy.targets {
      var value = ByteBuffer()
      var count = 0
      target.withView { name in
        response.fields.forEach(named: name, in: response.bytes) { line in
          count += 1
          if count > 1 { value.append(", ") }
          value.append(line)
        }
      }
      if count > 0, let directives = ResponseDirectives(targeted: value.view) {
        return directives
      }
    }
    return nil
  }

  /// The directives of a targeted field, its lines joined by commas; nil if it is to be ignored.
  package init?(targeted value: ByteView) {
    guard value.count <= Self.greatestTargetedLength,
      let members = try? StructuredFieldParser.dictionary(value), !members.isEmpty
    else { return nil }
    self.init()
    source = .targeted
    for member in members {
      guard apply(member) else { return nil }
    }
  }

  /// Applies one member; false if it makes the field invalid.
  private mutating func apply(_ member: Keyed<Member>) -> Bool {
    member.key.withView { name in
      switch Self.directive(name) {
      case .lifetime(let path):
        guard case .item(let item) = member.value, case .integer(let seconds) = item.bare else {
          return false
        }
        if seconds < 0 { hasInvalidLifetime = true }
        self[keyPath: path] = Self.milliseconds(seconds)
        if path == \.sMaxAge, seconds >= 0 { permitsAuthorization = true }
        return true
      case .restriction(let path):
        if !Self.isFalse(member.value) {
          self[keyPath: path] = true
          if path == \.mustRevalidate, Self.isTrue(member.value) { permitsAuthorization = true }
        }
        return true
      case .permission(let path):
        if Self.isTrue(member.value) {
          self[keyPath: path] = true
          if path == \.isPublic { permitsAuthorization = true }
        }
        return true
      case .unknown: return true
      }
    }
  }

  private enum Directive {
    /// Seconds.
    case lifetime(WritableKeyPath<ResponseDirectives, Int64?>)
    /// Restricts: honoured whatever its value is, unless that is false.
    case restriction(WritableKeyPath<ResponseDirectives, Bool>)
    /// Loosens: honoured only if it is true.
    case permission(WritableKeyPath<ResponseDirectives, Bool>)
    case unknown
  }

  private static func directive(_ name: ByteView) -> Directive {
    switch name.string {
    case "max-age": .lifetime(\.maxAge)
    case "s-maxage": .lifetime(\.sMaxAge)
    case "stale-while-revalidate": .lifetime(\.staleWhileRevalidate)
    case "stale-if-error": .lifetime(\.staleIfError)
    case "no-store": .restriction(\.noStore)
    case "no-cache": .restriction(\.noCache)
    case "private": .restriction(\.isPrivate)
    case "must-revalidate": .restriction(\.mustRevalidate)
    case "proxy-revalidate": .restriction(\.proxyRevalidate)
    case "no-transform": .restriction(\.noTransform)
    case "public": .permission(\.isPublic)
    case "immutable": .permission(\.immutable)
    case "must-understand": .permission(\.mustUnderstand)
    default: .unknown
    }
  }

  private static func isFalse(_ member: Member) -> Bool {
    guard case .item(let item) = member else { return false }
    return item.bare == .boolean(false)
  }

  private static func isTrue(_ member: Member) -> Bool {
    guard case .item(let item) = member else { return false }
    return item.bare == .boolean(true)
  }

  private static func milliseconds(_ seconds: Int64) -> Int64 {
    min(max(seconds, 0), DeltaSeconds.greatest) * 1000
  }

  private mutating func mergeSurrogate(_ line: ByteView) {
    var elements = ListElements(line)
    while let element = elements.next() {
      guard let directive = Self.addressed(element) else { continue }
      var directives = CacheDirectives(directive)
      while let directive = directives.next() { applySurrogate(directive) }
      if directives.isUnterminated { noStore = true }
    }
  }

  /// A directive without the surrogate that it is for (`max-age=60;name`); nil if it is for another.
  private static func addressed(_ element: ByteView) -> ByteView? {
    // Quotes stand only in `content="…"`, which means nothing here.
    guard element.firstIndex(of: ASCII.quote) == nil,
      let semicolon = element.firstIndex(of: ASCII.semicolon)
    else { return element }
    let name = element.dropping(first: semicolon + 1).trimmingWhitespace
    return name == ByteView("weir") ? element[0..<semicolon] : nil
  }

  private mutating func applySurrogate(_ directive: CacheDirective) {
    if directive.is("content") { return }
    if directive.is("no-store-remote") { noStore = true }
    if directive.is("max-age"), case .token(let text) = directive.argument,
      let plus = text.firstIndex(of: 0x2B)
    {
      applyExtended(text, plus: plus)
    } else {
      apply(directive)
    }
  }

  /// `600+30`: fresh for 600 seconds, and then stale for 30.
  private mutating func applyExtended(_ text: ByteView, plus: Int) {
    guard let fresh = DeltaSeconds.milliseconds(text[0..<plus]),
      let stale = DeltaSeconds.milliseconds(text.dropping(first: plus + 1)),
      maxAge == nil || maxAge == fresh
    else {
      hasInvalidLifetime = true
      maxAge = 0
      return
    }
    maxAge = fresh
    staleWhileRevalidate = min(stale, staleWhileRevalidate ?? .max)
    staleIfError = min(stale, staleIfError ?? .max)
  }

  /// Forgets what the operator does not listen to.
  private mutating func drop(_ ignored: IgnoredDirectives) {
    if ignored.isEmpty { return }
    if ignored.contains(.noStore) { noStore = false }
    if ignored.contains(.isPrivate) { (isPrivate, privateFields) = (false, false) }
    if ignored.contains(.noCache) { (noCache, noCacheFields) = (false, false) }
    if ignored.contains(.mustRevalidate) { (mustRevalidate, proxyRevalidate) = (false, false) }
    if ignored.contains(.stale) { (staleWhileRevalidate, staleIfError) = (nil, nil) }
    if ignored.contains(.maxAge) { (maxAge, sMaxAge, hasInvalidLifetime) = (nil, nil, false) }
  }
}
