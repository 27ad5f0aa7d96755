import ArgumentParser
import Configuration

/// Where a node's admin listener is: `http://HOST:PORT`, `https://HOST:PORT` or `unix:PATH`.
enum AdminPlace: Equatable, CustomStringConvertible {
  /// A name or an address, and a port.
  case network(host: String, port: UInt16, isSecure: Bool)
  /// A socket on this machine, and whether TLS is spoken there.
  case unix(path: String, isSecure: Bool)

  /// The port where none is given.
  static let usualPort: UInt16 = 9090

  /// Where a configuration has it. A listener on every address is reached on this machine's own.
  init(_ admin: AdminConfiguration) {
    let isSecure = admin.certificate != nil
    switch admin.address {
    case .unix(let path): self = .unix(path: path, isSecure: isSecure)
    case .network(let address):
      let isEvery = address.host.isEmpty || address.host == "0.0.0.0" || address.host == "::"
      self = .network(
        host: isEvery ? "127.0.0.1" : address.host, port: address.port, isSecure: isSecure)
    }
  }

  /// Whether TLS is spoken there.
  var isSecure: Bool {
    switch self {
    case .network(_, _, let isSecure), .unix(_, let isSecure): isSecure
    }
  }

  /// The name that a certificate must have, and a request's `Host`, without a port.
  var host: String {
    switch self {
    case .network(let host, _, _): host
    case .unix: "localhost"
    }
  }

  /// As it stands in messages.
  var description: String {
    switch self {
    case .network(let host, let port, let isSecure):
      (isSecure ? "https://" : "") + (host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)")
    case .unix(let path, _): "unix:\(path)"
    }
  }

  /// A request's `Host`.
  var authority: String {
    switch self {
    case .network(let host, let port, _):
      host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix: "localhost"
    }
  }
}

extension AdminPlace: ExpressibleByArgument {
  init?(argument: String) {
    if argument.hasPrefix("unix:") {
      let path = argument.dropFirst(5)
      guard !path.isEmpty else { return nil }
      self = .unix(path: String(path), isSecure: false)
      return
    }
    let schemes = [("https://", true), ("http://", false)]
    guard let (scheme, isSecure) = schemes.first(where: { argument.hasPrefix($0.0) }) else {
      return nil
    }
    var rest = argument.dropFirst(scheme.count)
    if rest.last == "/" { rest = rest.dropLast() }
    guard let (host, port) = Self.split(rest), !host.isEmpty,
      !host.contains(where: { "/?#@ ".contains($0) })
    else { return nil }
    self = .network(host: host, port: port, isSecure: isSecure)
  }

  /// The host, without brackets, and the port of `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
  private static func split(_ text: Substring) -> (host: String, port: UInt16)? {
    if text.first == "[" {
      guard let end = text.firstIndex(of: "]") else { return nil }
      let host = String(text[text.index(after: text.startIndex)..<end])
      let rest = text[text.index(after: end)...]
      if rest.isEmpty { return (host, usualPort) }
      guard rest.first == ":", let port = UInt16(rest.dropFirst()) else { return nil }
      return (host, port)
    }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    switch parts.count {
    case 1: return (String(parts[0]), usualPort)
    case 2: return UInt16(parts[1]).map { (String(parts[0]), $0) }
    default: return nil
    }
  }
}
