// What blocks of an nginx.conf inherit.

/// What a block says for the blocks in it, where they say nothing of the kind themselves.
struct NginxScope {
  /// By kind what counts here, in its order.
  private var said: [String: [NginxDirective]] = [:]
  /// The kinds of which this very block has said something: what it inherited counts no more.
  private var own: Set<String> = []
  /// What asks who it is, by the name of the directive.
  private(set) var guards: [String: NginxDirective] = [:]

  /// The directives that blocks inherit, with what a block's own replace.
  private static let kinds: [String: String] = [
    "allow": "access", "deny": "access", "proxy_set_header": "fields", "root": "root",
    "proxy_cache": "cache", "proxy_cache_valid": "valid", "proxy_cache_key": "key",
    "proxy_no_cache": "no", "proxy_cache_bypass": "bypass", "proxy_hide_header": "hidden",
  ]

  /// Directives that keep people out, or may, without saying here whom.
  private static let known: Set<String> = [
    "ssl_verify_client", "modsecurity", "secure_link", "valid_referers", "SecRulesEnabled",
  ]

  /// What only says how others of its kind do their work.
  private static let details = [
    "auth_basic_user_file", "auth_request_set", "auth_delay", "auth_http", "auth_jwt_",
    "access_by_lua_no_postpone", "rewrite_by_lua_no_postpone",
    "auth_ldap_",
    "auth_pam_service_name", "auth_digest_",
  ]

  /// Whether a directive keeps people out in a way that has no counterpart.
  static func isGuard(_ name: String) -> Bool {
    if details.contains(where: name.hasPrefix) { return false }
    return known.contains(name) || name.hasSuffix("_access")
      || ["auth_", "access_by_", "rewrite_by_"].contains(where: name.hasPrefix)
  }

  /// Whether blocks inherit a directive.
  static func inherits(_ name: String) -> Bool { kinds[name] != nil || isGuard(name) }

  /// The scope of a block in this one.
  var inner: NginxScope {
    var inner = self
    inner.own = []
    return inner
  }

  /// Takes a directive of the block; whether it was one that blocks inherit.
  mutating func take(_ directive: NginxDirective) -> Bool {
    if let kind = Self.kinds[directive.name] {
      if own.insert(kind).inserted { said[kind] = [] }
      said[kind, default: []].append(directive)
      return true
    }
    guard Self.isGuard(directive.name) else { return false }
    guards[directive.name] = directive
    return true
  }

  /// `allow` and `deny`, in their order.
  var access: [NginxDirective] { said["access"] ?? [] }
  /// `proxy_set_header`.
  var fields: [NginxDirective] { said["fields"] ?? [] }
  /// `proxy_hide_header`.
  var hidden: [NginxDirective] { said["hidden"] ?? [] }
  /// The directory of files.
  var root: NginxDirective? { said["root"]?.last }
  /// The store that answers are kept in.
  var cache: NginxDirective? { said["cache"]?.last }
  /// What they are told apart by.
  var key: NginxDirective? { said["key"]?.last }
  /// How long they count where they do not say so.
  var valid: [NginxDirective] { said["valid"] ?? [] }
  /// When nothing is kept, or nothing that was kept is taken.
  var uncached: [NginxDirective] { (said["no"] ?? []) + (said["bypass"] ?? []) }

  /// The first directive that lets only known clients in.
  var guardian: NginxDirective? {
    guards.values.filter { $0.arguments.first != "off" }.min { $0.line < $1.line }
  }

  /// What asks for clients' certificates before anything else is looked at.
  var verification: NginxDirective? {
    guards["ssl_verify_client"].flatMap { $0.arguments.first == "off" ? nil : $0 }
  }
}
