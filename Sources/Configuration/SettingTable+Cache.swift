// The settings of `cache { … }`.

internal import Rules

extension Setting {
  private static let second: Int64 = 1_000_000_000
  private static let year: Int64 = 365 * 24 * 3_600 * second

  static let cache: [Setting] = [
    Setting(
      "ttl", in: .cache, shape: "STATUS… DURATION", repeatable: true,
      """
      The freshness lifetime of responses with these statuses (`404`, `5xx`, `any`), whatever the \
      origin says, from when they come. The most specific counts; 0: validated each time.
      """
    ) { arguments, reader in reader.addCacheLifetime(&arguments, overrides: true) },
    Setting(
      "default_ttl", in: .cache, shape: "STATUS… DURATION", repeatable: true,
      aliases: ["proxy_cache_valid"],
      "The same where the origin gives no lifetime: instead of the heuristic of RFC 9111 §4.2.2."
    ) { arguments, reader in reader.addCacheLifetime(&arguments, overrides: false) },
    Setting(
      "ignore", in: .cache, shape: "NAME…", repeatable: true,
      aliases: ["proxy_ignore_headers"],
      """
      What of the origin's word is ignored: `cache-control` as a whole, or of it `no-store`, \
      `no-cache`, `private`, `max-age`, `must-revalidate`, `stale`; `expires`; `vary`.
      """
    ) { arguments, reader in reader.addIgnored(&arguments) },
    Setting(
      "stale_while_revalidate", in: .cache, .duration(0...year), none: "0",
      to: \.route.caching.staleWhileRevalidate, aliases: ["grace"],
      """
      How long a stale response is served while it is validated behind, if it does not say so itself \
      (RFC 5861 §3).
      """),
    Setting(
      "stale_if_error", in: .cache, .duration(0...year), none: "0",
      to: \.route.caching.staleIfError, aliases: ["keep", "proxy_cache_use_stale"],
      """
      How long a stale response is served when its origin fails, if it does not say so itself \
      (RFC 5861 §4).
      """),
    Setting(
      "failure_backoff", in: .cache, .duration(0...(60 * second)),
      to: \.route.caching.failureBackoff,
      """
      How long an origin that failed is left alone for a response which can be served stale; twice as \
      long with each failure, up to a minute.
      """),
    Setting(
      "client_directives", in: .cache, .choice([("honour", true), ("ignore", false)]),
      to: \.route.caching.honoursClients,
      "Whether `Cache-Control` and `Pragma` of requests are obeyed (RFC 9111 §5.2.1)."),
    Setting(
      "min_uses", in: .cache, .count(1...1_000, of: "requests"), to: \.route.caching.minUses,
      aliases: ["proxy_cache_min_uses"],
      "How often something must be asked for before it is stored."),
    Setting(
      "max_object", in: .cache, .size(1...(1_024 << 40)), none: "the store's",
      to: \.route.caching.maxObject, "The largest content that is stored."),
    Setting(
      "max_tags", in: .cache, .count(1...3_000, of: "tags"), to: \.route.caching.maxTags,
      """
      The most tags (`Surrogate-Key`, `Cache-Tag`, `xkey`) of a response. One that has more is not \
      stored: a purge by one that is left out would not reach it.
      """),
    Setting(
      "max_tag_length", in: .cache, .count(1...4_096, of: "bytes"),
      to: \.route.caching.maxTagLength,
      "The most bytes of each tag. A response with a longer one is not stored."),
    Setting(
      "set_cookie", in: .cache,
      .choice([("refuse", .refuse), ("store", .store), ("strip", .strip)]),
      to: \.route.caching.setCookie,
      """
      Responses with `Set-Cookie`: `refuse` keeps them out of the store unless they say `public` or \
      `s-maxage`, `store` stores them as they are, `strip` removes the field for everybody.
      """),
    Setting(
      "targets", in: .cache, shape: "FIELD…", default: "surrogate-control cdn-cache-control",
      aliases: ["surrogate_control"],
      "The fields that count instead of `Cache-Control`, most specific first (RFC 9213)."
    ) { arguments, reader in reader.setTargets(&arguments) },
    Setting(
      "key", in: .cache, shape: "PART…", default: "scheme host path query",
      aliases: ["proxy_cache_key", "cache_key"],
      """
      What responses are told apart by: `scheme`, `host`, `path`, `query`, `header.NAME`, `cookie.NAME`.
      """
    ) { arguments, reader in reader.setCacheKey(&arguments) },
    Setting(
      "query_sort", in: .cache, .flag, to: \.route.caching.query.sorts,
      "Whether the order of parameters makes no difference to the key."),
    Setting(
      "query_drop", in: .cache, shape: "NAME…", repeatable: true,
      "Parameters that make no difference to the key, such as `utm_*`."
    ) { arguments, reader in
      reader.addQueryNames(&arguments, to: \.drops)
    },
    Setting(
      "query_keep", in: .cache, shape: "NAME…", repeatable: true,
      "The only parameters that make a difference to the key."
    ) { arguments, reader in
      reader.addQueryNames(&arguments, to: \.keeps)
    },
    Setting(
      "check_content_type", in: .cache, .flag, to: \.route.caching.checksContentType,
      """
      Whether a response is stored only if its content type fits the path's extension: a page behind \
      `/account/x.css` is then not taken for a style sheet.
      """),
    Setting(
      "collapse_timeout", in: .cache, .duration(1_000_000...(3_600 * second)),
      to: \.route.caching.collapseTimeout, aliases: ["proxy_cache_lock_timeout"],
      """
      How long a request waits for the head of an answer that another has asked for. Then one of those \
      that wait asks again.
      """),
    Setting(
      "max_waiters", in: .cache, .count(0...1_000_000, of: "requests"),
      to: \.route.caching.maxWaiters,
      "How many requests may wait for one answer; more get a 503."),
    Setting(
      "slice", in: .cache, .size((256 << 10)...(64 << 20)), none: "off", isWord: true,
      to: \.route.caching.slice, aliases: ["proxy_slice"],
      "Fetches large objects in slices of this size when only ranges of them are asked for."),
  ]
}

extension Reader {
  /// `cache on|off;` or `cache { … }`
  mutating func readCache(_ arguments: inout Arguments) {
    if arguments.upcoming != nil {
      if let isOn = arguments.next(.flag, &findings) { draft.route.caching.isOn = isOn.value }
    } else if arguments.directive.block == nil && arguments.directive.isWhole {
      findings.error(
        "\"cache\" needs on, off or a block", at: arguments.directive.name.range,
        help: "write cache off; or cache { … }")
    }
    _ = read(.cache, arguments.body, of: arguments.directive)
  }

  /// `ttl STATUS… DURATION;`
  mutating func addCacheLifetime(_ arguments: inout Arguments, overrides: Bool) {
    var statuses: [ClosedRange<UInt16>] = []
    while let word = arguments.upcoming {
      if statuses.isEmpty || CacheStatuses.read(word.text) != nil {
        guard let range = arguments.next(.statuses, &findings) else { return }
        statuses.append(range.value)
        continue
      }
      guard let lifetime = arguments.next(.duration(0...Self.longestLifetime), &findings) else {
        return
      }
      for range in statuses {
        draft.route.caching.lifetimes.append(
          CacheLifetime(statuses: range, lifetime: lifetime.value, overrides: overrides))
      }
      return
    }
    if arguments.directive.isWhole {
      let name = arguments.directive.name
      findings.error(
        "\"\(name.text)\" needs statuses and a duration", at: name.range,
        help: "such as \(name.text) 404 410 1m;")
    }
  }

  private static var longestLifetime: Int64 { 10 * 365 * 24 * 3_600 * 1_000_000_000 }

  /// `ignore NAME…;`
  mutating func addIgnored(_ arguments: inout Arguments) {
    repeat {
      let choices = IgnoredDirective.allCases.map { (word: $0.rawValue, value: $0) }
      guard let name = arguments.next(.choice(choices), &findings) else { continue }
      draft.route.caching.ignored.insert(name.value)
    } while arguments.upcoming != nil
  }

  /// `targets FIELD…;`
  mutating func setTargets(_ arguments: inout Arguments) {
    var names: [String] = []
    repeat {
      guard let name = arguments.next(.fieldName, &findings) else { continue }
      names.append(name.value)
    } while arguments.upcoming != nil
    draft.route.caching.targets = names
  }

  /// `key PART…;`
  mutating func setCacheKey(_ arguments: inout Arguments) {
    var parts: [CacheKeyPart] = []
    repeat {
      guard let part = arguments.next(.keyPart, &findings) else { continue }
      if parts.contains(part.value) {
        findings.error("\"key\" has the same part twice", at: part.range)
      }
      parts.append(part.value)
    } while arguments.upcoming != nil
    if !parts.isEmpty && !parts.contains(.host) {
      findings.warning(
        "the key has no host: sites whose routes are alike share what is stored",
        at: arguments.directive.name.range, help: "add host, unless that is meant")
    }
    draft.route.caching.key = parts
  }

  /// `query_drop NAME…;`, `query_keep NAME…;`
  mutating func addQueryNames(
    _ arguments: inout Arguments, to path: WritableKeyPath<QueryNormalization, [String]>
  ) {
    repeat {
      guard let name = arguments.next(.queryName, &findings) else { continue }
      draft.route.caching.query[keyPath: path].append(name.value)
    } while arguments.upcoming != nil
  }
}

/// Statuses as they are written.
private enum CacheStatuses {
  /// `any`, `4xx`, `404`; nil for anything else.
  static func read(_ text: String) -> ClosedRange<UInt16>? {
    if text == "any" { return 200...599 }
    let bytes = Array(text.utf8)
    guard bytes.count == 3, let first = bytes.first, (0x32...0x35).contains(first) else {
      return nil
    }
    let hundreds = UInt16(first - 0x30) * 100
    if bytes[1...] == [0x78, 0x78] { return hundreds...(hundreds + 99) }
    return UInt16(text).map { $0...$0 }
  }
}

extension Syntax where Value == ClosedRange<UInt16> {
  /// A status, a class of statuses, or all.
  fileprivate static var statuses: Syntax {
    Syntax(
      "STATUS", expected: "a status such as 404, a class such as 5xx, or any",
      read: { text throws(Problem) in
        guard let statuses = CacheStatuses.read(text) else {
          throw Problem("\(quoted(text)) is not a status")
        }
        return statuses
      },
      write: { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound / 100)xx" })
  }
}

extension Syntax where Value == CacheKeyPart {
  /// A part of the cache key.
  static var keyPart: Syntax {
    Syntax(
      "PART",
      expected: "scheme, host, path, query, header.NAME or cookie.NAME",
      read: { text throws(Problem) in
        switch text {
        case "scheme": return .scheme
        case "host": return .host
        case "path": return .path
        case "query": return .query
        default: break
        }
        if text.hasPrefix("header."), let name = fieldToken(text.dropFirst(7)) {
          return .field(name)
        }
        if text.hasPrefix("cookie."), fieldToken(text.dropFirst(7)) != nil {
          return .cookie(String(text.dropFirst(7)))
        }
        throw Problem(
          "\(quoted(text)) cannot be part of a key",
          suggestion: Spelling.nearest(to: text, among: ["scheme", "host", "path", "query"]))
      },
      write: { part in
        switch part {
        case .scheme: "scheme"
        case .host: "host"
        case .path: "path"
        case .query: "query"
        case .field(let name): "header.\(name)"
        case .cookie(let name): "cookie.\(name)"
        }
      })
  }
}

extension Syntax where Value == String {
  /// The name of a field, in lower case (RFC 9110 §5.1).
  static var fieldName: Syntax {
    Syntax(
      "FIELD", expected: "the name of a field",
      read: { text throws(Problem) in
        guard let name = fieldToken(text[...]) else {
          throw Problem("\(quoted(text)) is not the name of a field")
        }
        return name
      }, write: { $0 })
  }

  /// The name of a query parameter, with `*` for any characters.
  fileprivate static var queryName: Syntax {
    Syntax(
      "NAME", expected: "a parameter's name, with * for any characters",
      read: { text throws(Problem) in
        guard !text.isEmpty, text.utf8.count <= 256,
          text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { throw Problem("\(quoted(text)) is not the name of a parameter") }
        return text
      }, write: { $0 })
  }
}

/// A token in lower case (RFC 9110 §5.6.2); nil if it is none.
private func fieldToken(_ text: Substring) -> String? {
  guard (1...128).contains(text.utf8.count) else { return nil }
  for byte in text.utf8 {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      continue
    default:
      guard "!#$%&'*+-.^_`|~".utf8.contains(byte) else { return nil }
    }
  }
  return text.lowercased()
}
