// What an operator switches over while the node runs, without touching the configuration:
//
//     drain         `/readyz` says no, so that load balancers and routers send clients elsewhere;
//                   whoever comes all the same is served as ever
//     maintenance   503 with Retry-After and a page, for the node, a site or a route
//     store_only    what is stored is served, fresh or stale, and no request goes to an origin
//
// A request looks at one number that is 0 as long as nothing is switched. Otherwise its worker has a table
// with a line for each route, made again when the number, or the configuration, is another.
//
// What is switched is written to a file beside the store and holds over restarts and upgrades; a node
// without a store forgets it, and says so.

internal import Bytes
internal import Configuration
package import EventLoop
import Synchronization

/// Something that is switched over.
package struct NodeSwitch: Sendable, Equatable {
  /// What.
  package enum Kind: String, Sendable, CaseIterable {
    /// Not ready for clients.
    case drain
    /// 503 for everything.
    case maintenance
    /// Nothing is asked of origins.
    case storeOnly = "store_only"
  }

  /// Where.
  package enum Scope: Sendable, Equatable {
    /// Everywhere.
    case node
    /// On the site that has this host.
    case site(String)
    /// On the route of this name.
    case route(String)
  }

  /// What is switched.
  package var kind: Kind
  /// Where.
  package var scope: Scope
  /// What `Retry-After` says, in seconds; only of maintenance.
  package var retryAfter: UInt32
  /// What clients are shown; nil: the route's page for 503, or a line of text. Only of maintenance.
  package var page: String?
  /// Since when: wall clock, ms.
  package var since: Int64
  /// Who has done it.
  package var by: String

  /// Something switched.
  package init(
    kind: Kind, scope: Scope, retryAfter: UInt32 = 300, page: String? = nil, since: Int64,
    by: String
  ) {
    self.kind = kind
    self.scope = scope
    self.retryAfter = retryAfter
    self.page = page
    self.since = since
    self.by = by
  }
}

/// What is switched over on a node. Any thread may ask and change it; changes write a file, and block for
/// that.
package final class Switches: Sendable {
  /// The most that may be switched at once.
  package static let most = 1_024

  private let state = Mutex<(list: [NodeSwitch], changes: UInt64)>(([], 0))
  private let number = Atomic<UInt64>(0)
  private let drained = Atomic<Bool>(false)
  private let path: String?

  /// Nothing is switched but what the file says; nil: nothing is kept.
  package init(path: String? = nil) {
    self.path = path
    guard let path, let bytes = StateFile.read(path) else { return }
    publish(SwitchFile.list(bytes))
  }

  /// 0 while nothing is switched that a request could meet; else another with each change.
  var version: UInt64 { number.load(ordering: .acquiring) }

  /// Whether the node is to be left alone by load balancers.
  package var isDrained: Bool { drained.load(ordering: .relaxed) }

  /// All that is switched, in the order in which it was.
  package var list: [NodeSwitch] { state.withLock { $0.list } }

  /// Whether it holds over a restart.
  package var isKept: Bool { path != nil }

  /// Switches over, in the place of what has the same kind and scope; false if there are too many.
  package func turnOn(_ new: NodeSwitch) throws(Errno) -> Bool {
    var list = list.filter { $0.kind != new.kind || $0.scope != new.scope }
    guard list.count < Self.most else { return false }
    list.append(new)
    try keep(list)
    return true
  }

  /// Switches back; whether it was switched.
  package func turnOff(_ kind: NodeSwitch.Kind, _ scope: NodeSwitch.Scope) throws(Errno) -> Bool {
    let before = list
    let list = before.filter { $0.kind != kind || $0.scope != scope }
    guard list.count < before.count else { return false }
    try keep(list)
    return true
  }

  /// In force first: who switches for an emergency is not to be held up by a full disk.
  private func keep(_ list: [NodeSwitch]) throws(Errno) {
    publish(list)
    if let path { try StateFile.write(SwitchFile.bytes(list), to: path) }
  }

  private func publish(_ list: [NodeSwitch]) {
    state.withLock { state in
      state.list = list
      state.changes += 1
      let concerns = list.contains { $0.kind != .drain }
      drained.store(list.contains { $0.kind == .drain }, ordering: .relaxed)
      number.store(concerns ? state.changes : 0, ordering: .releasing)
    }
  }
}

/// The file of what is switched: a line for each, its parts separated by tabs.
enum SwitchFile {
  static func bytes(_ list: [NodeSwitch]) -> [UInt8] {
    var text = "weir switches 1\n"
    for entry in list {
      let (scope, name) =
        switch entry.scope {
        case .node: ("node", "")
        case .site(let host): ("site", host)
        case .route(let name): ("route", name)
        }
      let parts = [
        entry.kind.rawValue, scope, name, String(entry.retryAfter), String(entry.since), entry.by,
        entry.page.map { "=" + $0 } ?? "",
      ]
      text += parts.map(escaped).joined(separator: "\t") + "\n"
    }
    return Array(text.utf8)
  }

  /// What the lines say that can be read; of another's file nothing.
  static func list(_ bytes: [UInt8]) -> [NodeSwitch] {
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    guard lines.first == "weir switches 1" else { return [] }
    return lines.dropFirst().prefix(Switches.most).compactMap { line in
      let parts = line.split(separator: "\t", omittingEmptySubsequences: false).map(unescaped)
      guard parts.count == 7, let kind = NodeSwitch.Kind(rawValue: parts[0]),
        let retryAfter = UInt32(parts[3]), let since = Int64(parts[4])
      else { return nil }
      let scope: NodeSwitch.Scope
      switch parts[1] {
      case "node": scope = .node
      case "site": scope = .site(parts[2])
      case "route": scope = .route(parts[2])
      default: return nil
      }
      return NodeSwitch(
        kind: kind, scope: scope, retryAfter: retryAfter,
        page: parts[6].hasPrefix("=") ? String(parts[6].dropFirst()) : nil, since: since,
        by: parts[5])
    }
  }

  private static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\t": result += "\\t"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private static func unescaped(_ text: Substring) -> String {
    var result = ""
    var isEscaped = false
    for scalar in text.unicodeScalars {
      if !isEscaped, scalar == "\\" {
        isEscaped = true
        continue
      }
      switch scalar {
      case "t" where isEscaped: result += "\t"
      case "n" where isEscaped: result += "\n"
      case "r" where isEscaped: result += "\r"
      default: result.unicodeScalars.append(scalar)
      }
      isEscaped = false
    }
    return result
  }
}

/// What is switched on each route of a configuration, as a worker looks it up.
struct SwitchTable {
  /// What a client meets in maintenance.
  struct Maintenance {
    var retryAfter: UInt32
    var page: [UInt8]?
  }

  /// Of the list, and of the configuration, that it was made of.
  private(set) var version: UInt64 = 0
  private(set) var generation: UInt64 = 0
  private(set) var maintenance: [Maintenance?] = []
  private(set) var storeOnly: [Bool] = []

  /// A table in which nothing is switched.
  init() {}

  init(
    _ switches: Switches, version: UInt64, _ configuration: NodeConfiguration, generation: UInt64
  ) {
    self.version = version
    self.generation = generation
    // The narrowest scope counts: a route's page before its site's, before the node's.
    let list = switches.list.sorted { Self.width($0.scope) < Self.width($1.scope) }
    for site in configuration.sites {
      for route in site.routes {
        let own = list.filter { Self.covers($0.scope, site, route) }
        storeOnly.append(own.contains { $0.kind == .storeOnly })
        maintenance.append(
          own.first { $0.kind == .maintenance }.map {
            Maintenance(retryAfter: $0.retryAfter, page: $0.page.map { Array($0.utf8) })
          })
      }
    }
  }

  private static func width(_ scope: NodeSwitch.Scope) -> Int {
    switch scope {
    case .route: 0
    case .site: 1
    case .node: 2
    }
  }

  private static func covers(
    _ scope: NodeSwitch.Scope, _ site: SiteConfiguration, _ route: RouteConfiguration
  ) -> Bool {
    switch scope {
    case .node: true
    case .site(let host): site.hosts.contains(host)
    case .route(let name): route.name == name
    }
  }
}
