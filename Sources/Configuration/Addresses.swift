// Addresses, names and ports as text, checked without asking anybody.

/// Reads addresses and names.
enum Addresses {
  /// An address to listen on: `:8080`, `127.0.0.1:8080`, `[::1]:8080`.
  static func listen(_ text: String) throws(Problem) -> ListenAddress {
    if !text.isEmpty && text.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) {
      throw Problem("\(quoted(text)) is not an address", suggestion: ":\(text)")
    }
    let (host, portText) = try split(text)
    let port = try port(portText, of: text, lowest: 0)
    if host.isEmpty || host == "*" { return ListenAddress(host: "", port: port) }
    if let address = canonical(host) { return ListenAddress(host: address, port: port) }
    throw Problem(
      "\(quoted(text)) has no numeric address",
      help: "expected an address such as 127.0.0.1:\(port) or [::1]:\(port), or :\(port) for all",
      suggestion: host == "localhost" ? "127.0.0.1:\(port)" : nil)
  }

  /// Where the operator connects: an address to listen on, or `unix:` and a path.
  static func admin(_ text: String) throws(Problem) -> AdminAddress {
    text.hasPrefix("unix:")
      ? .unix(try unixPath(text, such: "/run/weir/admin.sock")) : .network(try listen(text))
  }

  /// What stands behind `unix:`.
  private static func unixPath(_ text: String, such example: String) throws(Problem) -> String {
    let path = String(text.dropFirst(5))
    guard !path.isEmpty, !path.utf8.contains(0) else {
      throw Problem("\(quoted(text)) has no path", suggestion: "unix:\(example)")
    }
    return path
  }

  /// A server: a name or address, and a port; or a unix socket. With `https://` the port may be missing.
  static func server(_ text: String) throws(Problem) -> ServerTarget {
    guard let scheme = text.range(ofScheme: ["https://"]) else {
      return ServerTarget(address: try plainServer(text), isSecure: false)
    }
    let rest = text[scheme.upperBound...]
    let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    guard authority.count == rest.count else {
      throw Problem(
        "\(quoted(text)) has a path", help: "a server is a name or address, and a port",
        suggestion: "https://\(authority)")
    }
    if let name = hostName(authority) ?? canonical(authority) {
      guard !authority.contains(":") else {
        throw Problem("\(quoted(text)) is ambiguous", suggestion: "https://[\(authority)]:443")
      }
      return ServerTarget(address: ServerAddress(host: name, port: 443), isSecure: true)
    }
    if authority.first == "[", authority.last == "]",
      let name = canonical(authority.dropFirst().dropLast())
    {
      return ServerTarget(address: ServerAddress(host: name, port: 443), isSecure: true)
    }
    return ServerTarget(address: try plainServer(String(authority)), isSecure: true)
  }

  private static func plainServer(_ text: String) throws(Problem) -> ServerAddress {
    if text.hasPrefix("unix:") { return .unix(try unixPath(text, such: "/run/app.sock")) }
    if let scheme = text.range(ofScheme: ["http://"]) {
      let rest = text[scheme.upperBound...].prefix { $0 != "/" }
      throw Problem(
        "\(quoted(text)) is a URL", help: "expected a name or address and a port, such as app:9000",
        suggestion: rest.contains(":") ? String(rest) : "\(rest):80")
    }
    if hostName(text) != nil || canonical(text) != nil {
      let host = text.contains(":") ? "[\(text)]" : text
      throw Problem("\(quoted(text)) has no port", suggestion: "\(host):80")
    }
    let (host, portText) = try split(text)
    let port = try port(portText, of: text, lowest: 1)
    if let name = canonical(host) ?? hostName(host) {
      return ServerAddress(host: name, port: port)
    }
    throw Problem("\(quoted(text)) has no valid name or address")
  }

  /// A site's host: a name, an address, `*.example.com`, or `*`.
  static func site(_ text: String) throws(Problem) -> String {
    if text == "*" { return text }
    if text == "_" { throw Problem("\"_\" is not a host", suggestion: "*") }
    if let scheme = text.range(ofScheme: ["http://", "https://"]) {
      let host = text[scheme.upperBound...].prefix { $0 != "/" && $0 != ":" }
      throw Problem("\(quoted(text)) is a URL", suggestion: String(host))
    }
    if text.first == "[", text.last == "]", let address = canonical(text.dropFirst().dropLast()) {
      return "[\(address)]"
    }
    if text.last == ".", hostName(text.dropLast()) != nil {
      throw Problem("\(quoted(text)) ends with a dot", suggestion: String(text.dropLast()))
    }
    if let colon = text.lastIndex(of: ":"), hostName(text[..<colon]) != nil {
      throw Problem(
        "\(quoted(text)) has a port", help: "a site is found by its name on every listener",
        suggestion: String(text[..<colon]))
    }
    if !text.utf8.allSatisfy({ $0 < 0x80 }) {
      throw Problem(
        "\(quoted(text)) is not a host", help: "write international names in ASCII, as xn--…")
    }
    let name = text.hasPrefix("*.") ? text.dropFirst(2) : text[...]
    guard let host = hostName(name) else { throw Problem("\(quoted(text)) is not a host") }
    return text.hasPrefix("*.") ? "*." + host : host
  }

  /// What a `Host` field may say: a name or address, and perhaps a port.
  static func hostField(_ text: String) throws(Problem) -> String {
    if hostName(text) != nil { return text }
    if text.first == "[", text.last == "]", canonical(text.dropFirst().dropLast()) != nil {
      return text
    }
    let (host, portText) = try split(text)
    _ = try port(portText, of: text, lowest: 1)
    guard hostName(host) != nil || (text.first == "[" && canonical(host) != nil) else {
      throw Problem("\(quoted(text)) is not a host")
    }
    return text
  }

  /// Host and port, apart; brackets are taken off.
  private static func split(_ text: String) throws(Problem) -> (Substring, Substring) {
    guard let colon = text.lastIndex(of: ":") else {
      throw Problem("\(quoted(text)) has no port")
    }
    let host = text[..<colon]
    let port = text[text.index(after: colon)...]
    if host.first == "[" && host.last == "]" && host.contains(":") {
      return (host.dropFirst().dropLast(), port)
    }
    if text.first == "[" && text.last == "]" { throw Problem("\(quoted(text)) has no port") }
    if host.contains(":") {
      let isWhole = canonical(text[...]) != nil
      throw Problem(
        "\(quoted(text)) is ambiguous", help: "put an IPv6 address in brackets, such as [::1]:8080",
        suggestion: !isWhole && canonical(host) != nil ? "[\(host)]:\(port)" : nil)
    }
    return (host, port)
  }

  private static func port(
    _ digits: Substring, of text: String, lowest: UInt16
  ) throws(Problem) -> UInt16 {
    var rest = digits
    guard let number = Units.digits(&rest), rest.isEmpty, digits.count <= 5,
      let port = UInt16(exactly: number), port >= lowest
    else {
      throw Problem(
        digits.isEmpty ? "\(quoted(text)) has no port" : "\(quoted(digits)) is not a port",
        help: "expected a port from \(lowest) to 65535")
    }
    return port
  }
}

// Names and numbers.
extension Addresses {
  /// A host name in lower case (RFC 1123 §2.1, and `_`); nil if it is none.
  static func hostName(_ text: some StringProtocol) -> String? {
    guard (1...253).contains(text.utf8.count) else { return nil }
    let labels = text.split(separator: ".", omittingEmptySubsequences: false)
    for label in labels where !isLabel(label) { return nil }
    // What ends in a number is an address (WHATWG URL §3.5) and has to be a valid one.
    if labels.last?.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) == true {
      return version4(text).map { _ in String(text) }
    }
    return text.lowercased()
  }

  private static func isLabel(_ label: some StringProtocol) -> Bool {
    guard (1...63).contains(label.utf8.count), label.first != "-", label.last != "-" else {
      return false
    }
    return label.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
        true
      default: false
      }
    }
  }

  /// A numeric address in its one usual form (RFC 5952 for IPv6); nil if it is none.
  static func canonical(_ text: some StringProtocol) -> String? {
    if version4(text) != nil { return String(text) }
    return version6(text).map(Self.text(version6:))
  }

  /// The four numbers of an IPv4 address.
  static func version4(_ text: some StringProtocol) -> [UInt8]? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4, text.utf8.count <= 15 else { return nil }
    var numbers: [UInt8] = []
    for part in parts {
      guard part.utf8.count <= 3, part.utf8.count == 1 || part.first != "0",
        part.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }),
        let number = UInt8(part)
      else { return nil }
      numbers.append(number)
    }
    return numbers
  }

  /// The eight groups of an IPv6 address (RFC 4291 §2.2), without a zone.
  static func version6(_ text: some StringProtocol) -> [UInt16]? {
    guard text.utf8.count <= 45, text.contains(":") else { return nil }
    var parts = text.split(separator: ":", omittingEmptySubsequences: false).map { String($0) }
    if parts.first == "" && parts.count > 2 && parts[1] == "" { parts.removeFirst() }
    if parts.last == "" && parts.count > 2 && parts[parts.count - 2] == "" { parts.removeLast() }
    var groups: [UInt16] = []
    var gap: Int?
    for (index, part) in parts.enumerated() {
      if part.isEmpty {
        guard gap == nil else { return nil }
        gap = groups.count
      } else if index == parts.count - 1, let tail = version4(part) {
        groups.append(UInt16(tail[0]) << 8 | UInt16(tail[1]))
        groups.append(UInt16(tail[2]) << 8 | UInt16(tail[3]))
      } else {
        guard part.utf8.count <= 4, part.utf8.allSatisfy({ hexDigit($0) != nil }),
          let group = UInt16(part, radix: 16)
        else { return nil }
        groups.append(group)
      }
    }
    guard let gap else { return groups.count == 8 ? groups : nil }
    guard groups.count < 8 else { return nil }
    groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
    return groups
  }

  /// Groups as text: lower case, the first longest run of zeros left out (RFC 5952 §4).
  private static func text(version6 groups: [UInt16]) -> String {
    var best = 0..<0
    var start = 0
    for index in 0...groups.count where index == groups.count || groups[index] != 0 {
      if index - start > max(best.count, 1) { best = start..<index }
      start = index + 1
    }
    let words = groups.map { String($0, radix: 16) }
    if best.isEmpty { return words.joined(separator: ":") }
    return words[..<best.lowerBound].joined(separator: ":") + "::"
      + words[best.upperBound...].joined(separator: ":")
  }

  /// Whether only this machine reaches an address (127.0.0.0/8, ::1).
  static func isLoopback(_ host: String) -> Bool {
    if let numbers = version4(host) { return numbers[0] == 127 }
    guard let groups = version6(host) else { return false }
    if groups == [0, 0, 0, 0, 0, 0, 0, 1] { return true }
    return groups[..<5].allSatisfy { $0 == 0 } && groups[5] == 0xFFFF && groups[6] >> 8 == 127
  }
}

extension ListenAddress {
  /// As it is written in the file.
  var text: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

extension AdminAddress {
  /// As it is written in the file.
  package var text: String {
    switch self {
    case .network(let address): address.text
    case .unix(let path): "unix:\(path)"
    }
  }
}

/// A server as a setting names it.
struct ServerTarget: Sendable, Equatable {
  /// Where it is.
  var address: ServerAddress
  /// Whether TLS is spoken to it.
  var isSecure: Bool

  /// As it is written in the file.
  var text: String { (isSecure ? "https://" : "") + address.text }
}

extension ServerAddress {
  /// As it is written in the file.
  var text: String {
    switch self {
    case .host(let host, let port): ListenAddress(host: host, port: port).text
    case .unix(let path): "unix:\(path)"
    }
  }
}

extension String {
  /// Where the text's scheme stands, if it begins with one of those.
  fileprivate func range(ofScheme schemes: [String]) -> Range<Index>? {
    let start = lowercased()
    for scheme in schemes where start.hasPrefix(scheme) {
      return startIndex..<index(startIndex, offsetBy: scheme.count)
    }
    return nil
  }
}
