// The values of limits: quotas, rates, what a budget is counted by, networks.

extension LimitRuleConfiguration {
  enum Kind { case bandwidth, responseBandwidth, other }

  var kind: Kind {
    switch self {
    case .bandwidth: .bandwidth
    case .responseBandwidth: .responseBandwidth
    case .tokenBucket, .leakyBucket, .concurrency, .quota, .connections: .other
    }
  }
}

/// So many in a window.
struct Quota: Sendable, Equatable {
  var count: UInt64
  var window: LimitWindow
}

extension Units {
  /// A rate of bytes such as `1MiB/s`.
  static func byteRate(_ text: String) throws(Problem) -> LimitRate {
    guard let slash = text.lastIndex(of: "/") else {
      throw Problem("\(quoted(text)) has no period", suggestion: "\(text)/s")
    }
    let name = text[text.index(after: slash)...]
    guard let unit = time.first(where: { $0.name == name }), unit.size >= 1_000_000_000 else {
      throw Problem("\(quoted(text)) is not a rate", help: "expected a rate such as 1MiB/s")
    }
    let count = try size(String(text[..<slash]))
    guard count > 0 else { throw Problem("\(quoted(text)) lets nothing pass") }
    guard count <= 1_000_000_000_000 * UInt64(unit.size / 1_000_000_000) else {
      throw Problem("\(quoted(text)) is out of range", help: "expected at most 1000000000000B/s")
    }
    return LimitRate(count: count, period: unit.size)
  }
}

extension Syntax where Value == LimitRate {
  /// So many bytes a second, minute, hour or day.
  static var byteRate: Syntax {
    Syntax(
      "SIZE/s", expected: "a rate such as 512KiB/s or 10MiB/s",
      read: { text throws(Problem) in try Units.byteRate(text) }, write: { $0.byteText })
  }
}

extension Syntax where Value == Quota {
  private static var windows: [(name: String, window: LimitWindow)] {
    [("hour", .hour), ("day", .day), ("month", .month)]
  }

  /// So many an hour, day or month.
  static var quota: Syntax {
    Syntax(
      "NUMBER/day", expected: "a quota such as 10000/day, 500/hour or 1000000/month",
      read: { text throws(Problem) in
        guard let slash = text.lastIndex(of: "/") else {
          throw Problem("\(quoted(text)) has no window", suggestion: "\(text)/day")
        }
        let name = text[text.index(after: slash)...]
        guard let window = windows.first(where: { $0.name == name })?.window else {
          let meant = ["h": "hour", "d": "day", "M": "month"][String(name)]
          throw Problem(
            "\(quoted(text)) is not a quota", help: "the windows are hour, day and month",
            suggestion: meant.map { "\(text[..<slash])/\($0)" })
        }
        let count = try Units.integer(String(text[..<slash]))
        guard (1...1_000_000_000_000).contains(count) else {
          throw Problem("\(quoted(text)) is out of range", help: "expected 1 to 1000000000000")
        }
        return Quota(count: count, window: window)
      },
      write: { quota in
        let name = windows.first { $0.window == quota.window }?.name ?? "day"
        return "\(quota.count)/\(name)"
      })
  }
}

extension Syntax where Value == LimitKeyPart {
  /// A part of a limit's key.
  static var limitKeyPart: Syntax {
    let known = [
      "client.ip", "header.NAME", "cookie.NAME", "route", "host", "tls.client.subject", "tls.ja4",
      "jwt.sub", "jwt.claim.NAME", "api_key",
    ]
    return Syntax(
      "PART", expected: known.dropLast().joined(separator: ", ") + " or api_key",
      read: { text throws(Problem) in
        switch text {
        case "client.ip": return .clientAddress
        case "route": return .route
        case "host": return .host
        case "jwt.sub": return .subject
        case "api_key": return .apiKey
        case "tls.client.subject": return .clientCertificate
        case "tls.ja4": return .fingerprint
        default: break
        }
        if text.hasPrefix("header."), let name = fieldName(text.dropFirst(7)) {
          return .field(name.lowercased())
        }
        if text.hasPrefix("cookie."), let name = fieldName(text.dropFirst(7)) {
          return .cookie(name)
        }
        if text.hasPrefix("jwt.claim."), let name = claimName(text.dropFirst(10)) {
          return .claim(name)
        }
        throw Problem(
          "\(quoted(text)) is not a part of a request",
          help: "there are \(known.joined(separator: ", "))",
          suggestion: [
            "ip": "client.ip", "client_ip": "client.ip", "remote_addr": "client.ip",
            "sub": "jwt.sub", "jwt": "jwt.sub", "user": "jwt.sub", "jwt.subject": "jwt.sub",
            "apikey": "api_key", "api_key.name": "api_key",
          ][text])
      }, write: { $0.text })
  }

  /// A claim's name, which may be a URL (RFC 7519 §4.2).
  private static func claimName(_ text: Substring) -> String? {
    guard (1...128).contains(text.utf8.count),
      text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
    else { return nil }
    return String(text)
  }

  /// A token (RFC 9110 §5.6.2), which names of fields and cookies are.
  private static func fieldName(_ text: Substring) -> String? {
    guard (1...128).contains(text.utf8.count) else { return nil }
    let others = Set("!#$%&'*+-.^_`|~".utf8)
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        continue
      default: guard others.contains(byte) else { return nil }
      }
    }
    return String(text)
  }
}

extension Syntax where Value == String {
  /// A network: an address and how many of its bits count, or an address alone.
  static var network: Syntax {
    Syntax(
      "NETWORK", expected: "a network such as 10.0.0.0/8 or 2001:db8::/32, or an address",
      read: { text throws(Problem) in try Addresses.network(text) }, write: { $0 })
  }
}

extension Addresses {
  /// A network in its usual form: the shortest address, a slash and the length.
  static func network(_ text: String) throws(Problem) -> String {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count <= 2, let address = parts.first.flatMap({ canonical($0) }) else {
      throw Problem("\(quoted(text)) is not a network")
    }
    let bits: [Bool]
    if let numbers = version4(address) {
      bits = numbers.flatMap { byte in (0..<8).map { byte >> (7 - $0) & 1 == 1 } }
    } else {
      bits = (version6(address) ?? []).flatMap { group in
        (0..<16).map { group >> (15 - $0) & 1 == 1 }
      }
    }
    guard parts.count == 2 else { return address }
    var digits = parts[1]
    let text0 = digits
    guard text0 == "0" || text0.first != "0", let length = Units.digits(&digits), digits.isEmpty,
      length <= UInt64(bits.count)
    else {
      throw Problem(
        "\(quoted(text)) is not a network", help: "the length is a number from 0 to \(bits.count)")
    }
    guard !bits.dropFirst(Int(length)).contains(true) else {
      throw Problem(
        "\(quoted(text)) has bits behind its prefix",
        help: "write the network's first address, or the address alone")
    }
    return "\(address)/\(length)"
  }
}
