// From what an operator says is to be purged to what the store purges by.
//
// What is a URL to an operator is a tag to the store, and more than one: requests for it may have come
// by http or https, and where a route normalises queries its objects carry the normalised URL as well.
// Prefixes and wildcards become patterns without a scheme (`//host/path*`).
//
// A site is what its hosts are. If it names them all, a tag within it is a pair of hashes, which costs
// no more than a tag; if it has wildcards, a condition says which hosts are its own, at the time of the
// purge: then a change of the configuration changes nothing about it.

internal import Bytes
package import Configuration
internal import HTTP1
internal import HTTPCaching
internal import HTTPMessage
package import ObjectStore

/// What is to be purged, in an operator's words.
package enum PurgeSelection: Sendable, Equatable {
  /// What carries one of the tags.
  case tags([String])
  /// Every variant of the URLs.
  case urls([String])
  /// One variant of a URL, by its name (`VariantName`).
  case variant(url: String, name: String)
  /// All of the hosts.
  case hosts([String])
  /// URLs that begin so; with a host.
  case prefix(String)
  /// URLs that fit a pattern: `*` for anything, `?` for any one byte.
  case wildcard(String)
  /// What a condition in the rules language is true of.
  case condition(String)
  /// All that is stored.
  case everything
}

/// Why nothing can be purged by a selection.
package struct PurgeDefect: Error, Sendable, Equatable {
  /// Whether what it names belongs to another site than it may.
  package var isForeign = false
  /// What is wrong, in a sentence.
  package let text: String

  /// That something belongs to another site.
  package static func foreign(_ text: String) -> PurgeDefect {
    PurgeDefect(text, isForeign: true)
  }

  init(_ text: String, isForeign: Bool = false) {
    self.text = text
    self.isForeign = isForeign
  }
}

/// What a configuration says about URLs and sites, as far as purges ask. For one thread.
package final class PurgeTargets {
  /// The most tags, URLs or hosts of an order.
  package static let mostNames = 1_000
  /// The most bytes of a tag in an order: as many as `max_tag_length` permits in responses.
  package static let longestTag = 4_096

  private let routes: RouteTable
  let sites: [[String]]
  private let head = RequestHead()

  /// The targets of a configuration.
  package init(_ configuration: NodeConfiguration) {
    routes = RouteTable(configuration)
    sites = configuration.sites.map(\.hosts)
  }

  /// What the store purges by.
  ///
  /// - Parameter within: host names of the sites that it is to keep to, as the configuration writes them;
  ///   empty: there is no such limit.
  package func target(
    of selection: PurgeSelection, within: [String], in store: ObjectStore
  ) throws(PurgeDefect) -> PurgeOrder.Target {
    let scope = try within.isEmpty ? nil : SiteScope(within, of: sites)
    switch selection {
    case .tags(let tags):
      let bytes = tags.map { Array($0.utf8) }
      guard let scope else { return .tags(bytes.map { $0.withView { store.tagHash($0) } }) }
      return try Self.target(ofTags: bytes, scope, store)
    case .urls(let urls):
      var tags: [UInt64] = []
      for url in urls { tags += try self.tags(of: try parsed(url, scope), store) }
      return .tags(tags)
    case .variant(let url, let name):
      let url = try parsed(url, scope)
      let urls = ["http", "https"].map { Self.quoted(url.text(scheme: $0)) }
      return try Self.condition(
        "url in [\(urls.joined(separator: ", "))] && variant == \(Self.quoted(name))", nil)
    case .hosts(let hosts):
      return .tags(try hosts.map { host throws(PurgeDefect) in try hostTag(host, scope, store) })
    case .prefix(let prefix):
      let url = try parsed(prefix, scope)
      return try Self.target(ofPrefix: Array(url.text(scheme: nil).utf8))
    case .wildcard(let text): return .pattern(try wildcard(text, scope))
    case .condition(let text): return try Self.condition(text, scope)
    case .everything:
      guard let scope, !scope.isWhole else { return .everything }
      if let hosts = scope.hostTags(store) { return .tags(hosts) }
      return try Self.condition("true", scope)
    }
  }

  /// What purges tags within sites.
  static func target(
    ofTags tags: [[UInt8]], _ scope: SiteScope, _ store: ObjectStore
  ) throws(PurgeDefect) -> PurgeOrder.Target {
    if scope.isWhole { return .tags(tags.map { $0.withView { store.tagHash($0) } }) }
    if let hosts = scope.hostTags(store) {
      return .tagsWithin(hosts: hosts, tags.map { $0.withView { store.tagHash($0) } })
    }
    var texts: [String] = []
    for tag in tags {
      guard let text = String(validating: tag, as: UTF8.self) else {
        throw PurgeDefect("A tag is no text.")
      }
      texts.append("\(quoted(text)) in tags")
    }
    return try condition(texts.joined(separator: " || "), scope)
  }

  /// What purges the URLs of an authority, by either scheme, that begin so.
  static func target(
    ofPrefix path: ByteView, of authority: ByteView
  ) throws(PurgeDefect) -> PurgeOrder.Target {
    var prefix = ByteBuffer(capacity: authority.count + path.count + 2)
    prefix.append("//")
    let (host, port) = RequestTarget.split(authority)
    prefix.appendLowercased(host)
    if !port.isEmpty && port != ByteView("80") && port != ByteView("443") {
      prefix.append(ASCII.colon)
      prefix.append(port)
    }
    prefix.append(path)
    return try target(ofPrefix: prefix.view.array)
  }

  private static func target(ofPrefix prefix: [UInt8]) throws(PurgeDefect) -> PurgeOrder.Target {
    guard let pattern = prefix.withView({ KeyPattern(prefix: $0) }) else {
      throw PurgeDefect("A prefix has at most \(KeyPattern.limit - 1) bytes.")
    }
    return .pattern(pattern)
  }

  private func hostTag(
    _ host: String, _ scope: SiteScope?, _ store: ObjectStore
  ) throws(PurgeDefect) -> UInt64 {
    let url = try parsed("//\(host)/", scope)
    guard url.target == "/" else { throw PurgeDefect("\(host) is not a host.") }
    return Array(url.authority.utf8).withView { store.tagHash(ofHost: $0) }
  }

  // MARK: URLs

  private func parsed(_ text: String, _ scope: SiteScope?) throws(PurgeDefect) -> PurgeURL {
    let url = try PurgeURL(text)
    try scope?.check(url.host)
    return url
  }

  /// The tags of a URL: for each scheme as it stands and, if its route normalises queries, normalised.
  private func tags(
    of url: PurgeURL, _ store: ObjectStore
  ) throws(PurgeDefect) -> [UInt64] {
    var tags = ["http", "https"].map { scheme in
      Array(url.text(scheme: scheme).utf8).withView { store.tagHash(ofKey: $0) }
    }
    guard url.target.utf8.contains(ASCII.question) else { return tags }
    let request = Array("GET \(url.target) HTTP/1.1\r\nhost: \(url.authority)\r\n\r\n".utf8)
    let normalized: [UInt64]? = request.withView { bytes in
      guard
        case .complete = RequestParser.parse(bytes, limits: Self.headLimits, into: head)
      else { return nil }
      let host = Array(url.host.utf8)
      guard let route = host.withView({ routes.find(host: $0, path: head.bytes[head.path]) })
      else { return [] }
      let query = routes.policies[route].key.query
      guard !query.isIdentity else { return [] }
      let recipe = KeyRecipe([.scheme, .host, .path, .query], query: query)
      var keys: [UInt64] = []
      var key = ByteBuffer(capacity: 256)
      recipe.append(head, scheme: "http", to: &key)
      keys.append(store.tagHash(ofKey: key.view))
      key.removeAll()
      recipe.append(head, scheme: "https", to: &key)
      keys.append(store.tagHash(ofKey: key.view))
      return keys
    }
    guard let normalized else { throw PurgeDefect("\(url.target) is no request's target.") }
    for tag in normalized where !tags.contains(tag) { tags.append(tag) }
    return tags
  }

  private static var headLimits: HeadLimits {
    HeadLimits(maxRequestLine: 70_000, maxHead: 140_000, maxFields: 4)
  }

  // MARK: Patterns

  private func wildcard(
    _ text: String, _ scope: SiteScope?
  ) throws(PurgeDefect) -> KeyPattern {
    var rest = text[...]
    for scheme in ["http://", "https://", "//"] where text.lowercased().hasPrefix(scheme) {
      rest = text.dropFirst(scheme.count - 2)
      break
    }
    let isAnchored = rest.hasPrefix("//")
    let authority = isAnchored ? rest.dropFirst(2).prefix { $0 != "/" } : ""
    if let scope {
      guard isAnchored, !authority.contains(where: { "*?\\".contains($0) }) else {
        throw PurgeDefect(
          "Within a site a wildcard begins with a host, such as //example.com/*.", isForeign: true)
      }
      try scope.check(try PurgeURL("//\(authority)/").host)
    }
    if !isAnchored && !rest.hasPrefix("*") {
      throw PurgeDefect(
        "A wildcard begins with http://, https://, // and a host, or with *: //example.com/*.png")
    }
    let lowered =
      isAnchored
      ? "//" + authority.lowercased() + rest.dropFirst(2 + authority.count) : String(rest)
    guard let pattern = Array(lowered.utf8).withView({ KeyPattern($0) }) else {
      throw PurgeDefect(
        "A wildcard has 1 to \(KeyPattern.limit) bytes and does not end in a backslash.")
    }
    return pattern
  }

  // MARK: Conditions

  private static func condition(
    _ text: String, _ scope: SiteScope?
  ) throws(PurgeDefect) -> PurgeOrder.Target {
    do throws(ObjectExpression.Defect) {
      // By itself first, so that nothing in it can end the parentheses around it.
      let own = try ObjectExpression.compile(Array(text.utf8))
      guard let scope else { return .condition(own) }
      let scoped = "(\(scope.condition)) && (\(text)\n)"
      return .condition(try ObjectExpression.compile(Array(scoped.utf8)))
    } catch {
      throw PurgeDefect("The condition is wrong at byte \(error.offset + 1): \(error.text).")
    }
  }

  /// A text in quotes, as the language reads it.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "$": result += "\\$"
      case "\t": result += "\\t"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

/// A URL in an order to purge: absolute, or from `//host` on.
struct PurgeURL: Equatable {
  /// The host in lower case, and its port unless it is the scheme's own.
  let authority: String
  /// The host alone.
  let host: String
  /// Path and query.
  let target: String

  init(_ text: String) throws(PurgeDefect) {
    var rest = text[...]
    var usualPort: String?
    if text.lowercased().hasPrefix("http://") {
      rest = text.dropFirst(7)
      usualPort = "80"
    } else if text.lowercased().hasPrefix("https://") {
      rest = text.dropFirst(8)
      usualPort = "443"
    } else if text.hasPrefix("//") {
      rest = text.dropFirst(2)
    } else {
      throw PurgeDefect("A URL begins with http://, https:// or //: \(Self.shown(text))")
    }
    guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw PurgeDefect("A URL has ASCII only, all else as %C3%A9: \(Self.shown(text))")
    }
    guard !rest.contains("#") else {
      throw PurgeDefect("A fragment is never sent: \(Self.shown(text))")
    }
    guard rest.utf8.count <= 65_000 else { throw PurgeDefect("A URL is too long.") }
    var authority = rest.prefix { $0 != "/" && $0 != "?" }.lowercased()
    let target = rest.dropFirst(authority.count)
    guard !authority.isEmpty, !authority.contains("@") else {
      throw PurgeDefect("A URL has a host and no user: \(Self.shown(text))")
    }
    if let usualPort, authority.hasSuffix(":\(usualPort)") {
      authority.removeLast(usualPort.count + 1)
    } else if authority.hasSuffix(":") {
      authority.removeLast()
    }
    self.authority = authority
    host = Array(authority.utf8).withView { RequestTarget.split($0).host.string }
    self.target = target.hasPrefix("/") ? String(target) : "/" + target
  }

  /// The URL as it stands in keys; without a scheme from `//` on.
  func text(scheme: String?) -> String {
    let port = scheme == "http" ? ":80" : scheme == "https" ? ":443" : nil
    var authority = authority
    if let port, authority.hasSuffix(port) { authority.removeLast(port.count) }
    return (scheme.map { "\($0):" } ?? "") + "//" + authority + target
  }

  private static func shown(_ text: String) -> String {
    String(text.prefix(80).map { $0.isASCII && !$0.isWhitespace ? $0 : "·" })
  }
}

/// Some sites of a configuration, as hosts.
struct SiteScope {
  private let exact: [String]
  private let wildcards: [String]
  private let hasAny: Bool
  private let others: SiteHosts
  private let own: SiteHosts

  /// Hosts of sites, by kind.
  struct SiteHosts {
    var exact: Set<String> = []
    /// From the dot on.
    var suffixes: [String] = []
    var hasAny = false

    init(_ hosts: [String]) {
      for host in hosts {
        if host == "*" {
          hasAny = true
        } else if host.hasPrefix("*.") {
          suffixes.append(String(host.dropFirst()))
        } else {
          exact.insert(host)
        }
      }
    }

    /// How closely it names a host: 0: not at all.
    func closeness(_ host: String) -> Int {
      if exact.contains(host) { return .max }
      let suffix = suffixes.filter { host.hasSuffix($0) && host.count > $0.count }.map(\.count)
        .max()
      return suffix.map { $0 + 1 } ?? (hasAny ? 1 : 0)
    }
  }

  init(_ names: [String], of sites: [[String]]) throws(PurgeDefect) {
    var own: [String] = []
    var others: [String] = []
    for name in names where !sites.contains(where: { $0.contains(name.lowercased()) }) {
      throw PurgeDefect("There is no site \(name).")
    }
    for hosts in sites {
      if names.contains(where: { hosts.contains($0.lowercased()) }) {
        own += hosts
      } else {
        others += hosts
      }
    }
    self.own = SiteHosts(own)
    self.others = SiteHosts(others)
    exact = own.filter { !$0.hasPrefix("*") }
    wildcards = own.filter { $0.hasPrefix("*.") }
    hasAny = own.contains("*")
  }

  /// Whether every host belongs to the sites: then a purge within them is one of all, and needs no
  /// condition, of which only so many may be pending.
  var isWhole: Bool {
    hasAny && others.exact.isEmpty && others.suffixes.isEmpty && !others.hasAny
  }

  /// Throws unless a host belongs to the sites.
  func check(_ host: String) throws(PurgeDefect) {
    let closeness = own.closeness(host)
    guard closeness > 0, closeness > others.closeness(host) else {
      throw PurgeDefect("\(host) is not of this site.", isForeign: true)
    }
  }

  /// The tags of all hosts; nil if there are others than those that are named.
  func hostTags(_ store: ObjectStore) -> [UInt64]? {
    guard wildcards.isEmpty, !hasAny else { return nil }
    return exact.map { host in Array(host.utf8).withView { store.tagHash(ofHost: $0) } }
  }

  /// The same as a condition. As for requests, an exact name wins over wildcards, and of these the
  /// longest.
  var condition: String {
    var ways: [String] = []
    if !exact.isEmpty { ways.append(Self.isOne(of: exact)) }
    for suffix in own.suffixes {
      ways.append(without("ends_with(host, \"\(suffix)\")", longerThan: suffix.count))
    }
    if hasAny { ways.append(without("true", longerThan: 0)) }
    return ways.joined(separator: " || ")
  }

  private func without(_ condition: String, longerThan length: Int) -> String {
    var terms = [condition]
    if !others.exact.isEmpty { terms.append("!(\(Self.isOne(of: others.exact.sorted())))") }
    for suffix in others.suffixes where suffix.count > length {
      terms.append("!ends_with(host, \"\(suffix)\")")
    }
    return "(" + terms.joined(separator: " && ") + ")"
  }

  private static func isOne(of hosts: [String]) -> String {
    "host in [\(hosts.map { "\"\($0)\"" }.joined(separator: ", "))]"
  }
}
