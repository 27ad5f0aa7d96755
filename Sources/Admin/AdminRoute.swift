/// A line of the table of routes: all that is told apart between them, and what docs/admin.md says.
struct AdminRoute: Sendable, Equatable {
  /// Who may ask.
  enum Access: String, Sendable {
    /// Anybody: it says nothing.
    case anyone
    /// Whoever reaches a loopback listener; elsewhere whoever has the token.
    case reading
    /// Whoever has the token, wherever.
    case changing
  }

  /// What is done.
  enum Action: Sendable { case health, metrics, status, purge, origins, server }

  /// `GET`, which HEAD comes with, or `POST`.
  let method: Method
  /// The path, exactly; `{name}` stands for one segment.
  let path: String
  /// Who may ask.
  let access: Access
  /// What is done.
  let action: Action
  /// What it is for, in Markdown.
  let text: String

  /// The methods that the routes have.
  enum Method: String, Sendable {
    case get = "GET"
    case post = "POST"
  }

  /// Whether its requests carry JSON.
  var takesContent: Bool { method == .post }

  /// What stands in a path for the route's names, percent-decoded; nil if it is another path.
  func parameters(of path: String) -> [String]? {
    let wanted = self.path.split(separator: "/", omittingEmptySubsequences: false)
    let given = path.split(separator: "/", omittingEmptySubsequences: false)
    guard wanted.count == given.count else { return nil }
    var parameters: [String] = []
    for (name, segment) in zip(wanted, given) {
      if name.hasPrefix("{") {
        guard let value = Self.decoded(segment), !value.isEmpty else { return nil }
        parameters.append(value)
      } else if name != segment {
        return nil
      }
    }
    return parameters
  }

  private static func decoded(_ segment: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = Array(segment.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
        rest.prefix(2).allSatisfy({ $0 != UInt8(ascii: "+") })
      else { return nil }
      bytes.append(value)
      rest = rest.dropFirst(2)
    }
    return String(validating: bytes, as: UTF8.self)
  }

  /// Every route, in the order of the documentation.
  static let all: [AdminRoute] = [
    AdminRoute(
      method: .get, path: "/healthz", access: .anyone, action: .health,
      text: "`ok`, as long as the admin server answers: for a supervisor or a load balancer."),
    AdminRoute(
      method: .get, path: "/metrics", access: .reading, action: .metrics,
      text: "All figures in Prometheus' text format 0.0.4."),
    AdminRoute(
      method: .get, path: "/v1/status", access: .reading, action: .status,
      text: "What the node is and does, as JSON: see below."),
    AdminRoute(
      method: .post, path: "/v1/purge", access: .changing, action: .purge,
      text: "Purges by tag: see below."),
    AdminRoute(
      method: .get, path: "/v1/origins", access: .reading, action: .origins,
      text: "Pools and their servers, as JSON: see below."),
    AdminRoute(
      method: .post, path: "/v1/origins/{origin}/servers/{server}", access: .changing,
      action: .server,
      text: "Drains, disables or enables a server, or sets its weight: see below."),
  ]
}

/// The tables of docs/admin.md.
package enum AdminReference {
  /// A document in which what stands between `<!-- routes -->`, or `<!-- problems -->`, and
  /// `<!-- end -->` is replaced by the table.
  package static func updated(document: String) -> String {
    var lines: [Substring] = []
    var isSkipping = false
    for line in document.split(separator: "\n", omittingEmptySubsequences: false) {
      if line == "<!-- end -->" { isSkipping = false }
      if !isSkipping { lines.append(line) }
      if let table = tables[String(line)] {
        lines += table.map { $0[...] }
        isSkipping = true
      }
    }
    return lines.joined(separator: "\n")
  }

  private static var tables: [String: [String]] {
    ["<!-- routes -->": routes, "<!-- problems -->": problems]
  }

  private static var routes: [String] {
    ["| route | token | what |", "|---|---|---|"]
      + AdminRoute.all.map { route in
        "| `\(route.method.rawValue) \(route.path)` | \(need(route.access)) | \(route.text) |"
      }
  }

  private static func need(_ access: AdminRoute.Access) -> String {
    switch access {
    case .anyone: "never"
    case .reading: "unless on loopback"
    case .changing: "always"
    }
  }

  private static var problems: [String] {
    ["| code | status | meaning |", "|---|---|---|"]
      + Problem.Code.allCases.map { "| `\($0.rawValue)` | \($0.status) | \($0.text) |" }
  }
}
