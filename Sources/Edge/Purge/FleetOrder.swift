// An order as PoPs tell it each other: to purge, or to change a limit. To purge: in the operator's words,
// for hashes of tags are each store's own, and which keys a URL has, or which hosts a site, is each
// configuration's.
//
//     u8 version (1), then fields:   u8 name   u32 length   bytes
//     k kind of selection   v a tag, URL, …   s a host of a site that it keeps to   f soft
//     w who gave it   t the order as records show it
//
// To change a limit (k `limit`): v its name, the region, the change as LimitChange writes it, and `keep` or
// nothing.
//
// A field with a capital name must be understood. What is not understood purges everything: more, never less.

internal import Bytes
internal import EventLoop
internal import Fleet
package import ObjectStore

/// An order for other PoPs.
package struct FleetOrder: Sendable, Equatable {
  /// What is to go.
  package enum Selection: Sendable, Equatable {
    /// What carries one of the tags.
    case tags([[UInt8]])
    /// Every variant of the URLs.
    case urls([String])
    /// All of the hosts.
    case hosts([String])
    /// URLs that begin so.
    case prefix(String)
    /// URLs that fit a pattern.
    case wildcard(String)
    /// What a condition is true of.
    case condition(String)
    /// All.
    case everything
    /// Nothing: a limit of PoPs of a region is to be changed, and the change kept or not.
    case limit(String, region: String, LimitChange, isKept: Bool)
  }

  /// What is to go.
  package var selection: Selection
  /// Hosts of the sites that it keeps to; empty: all.
  package var sites: [String]
  /// Whether it makes stale.
  package var isSoft: Bool
  /// Who gave it.
  package var who: String
  /// As records show it.
  package var what: String

  /// An order.
  package init(
    _ selection: Selection, sites: [String], isSoft: Bool, who: String = "", what: String = ""
  ) {
    self.selection = selection
    self.sites = sites
    self.isSoft = isSoft
    self.who = who
    self.what = what
  }

  /// The order that an operator's selection is. A variant's name is its PoP's own: elsewhere all of its URL
  /// goes.
  package init(
    _ selection: PurgeSelection, sites: [String], isSoft: Bool, who: String, what: String
  ) {
    let own: Selection =
      switch selection {
      case .tags(let tags): .tags(tags.map { Array($0.utf8) })
      case .urls(let urls): .urls(urls)
      case .variant(let url, _): .urls([url])
      case .hosts(let hosts): .hosts(hosts)
      case .prefix(let prefix): .prefix(prefix)
      case .wildcard(let wildcard): .wildcard(wildcard)
      case .condition(let condition): .condition(condition)
      case .everything: .everything
      }
    self.init(own, sites: sites, isSoft: isSoft, who: who, what: what)
  }
}

// MARK: As bytes

extension FleetOrder {
  private static let version: UInt8 = 1

  /// The order as it goes into the log.
  package var text: [UInt8] {
    var buffer = ByteBuffer()
    buffer.append(Self.version)
    func add(_ name: UInt8, _ bytes: [UInt8], to buffer: inout ByteBuffer) {
      buffer.append(name)
      buffer.append(littleEndian: UInt32(clamping: bytes.count))
      bytes.withView { buffer.append($0) }
    }
    let (kind, values) = parts
    add(UInt8(ascii: "k"), Array(kind.utf8), to: &buffer)
    for value in values { add(UInt8(ascii: "v"), value, to: &buffer) }
    for site in sites { add(UInt8(ascii: "s"), Array(site.utf8), to: &buffer) }
    if isSoft { add(UInt8(ascii: "f"), [], to: &buffer) }
    add(UInt8(ascii: "w"), Array(who.utf8), to: &buffer)
    add(UInt8(ascii: "t"), Array(what.utf8), to: &buffer)
    return buffer.view.array
  }

  private var parts: (kind: String, values: [[UInt8]]) {
    func bytes(_ texts: [String]) -> [[UInt8]] { texts.map { Array($0.utf8) } }
    return switch selection {
    case .tags(let tags): ("tags", tags)
    case .urls(let urls): ("urls", bytes(urls))
    case .hosts(let hosts): ("hosts", bytes(hosts))
    case .prefix(let prefix): ("prefix", bytes([prefix]))
    case .wildcard(let wildcard): ("wildcard", bytes([wildcard]))
    case .condition(let condition): ("where", bytes([condition]))
    case .everything: ("everything", [])
    case .limit(let name, let region, let change, let isKept):
      ("limit", bytes([name, region, change.text, isKept ? "keep" : ""]))
    }
  }

  /// The order in bytes of the log; nil if it is none that this version understands.
  package init?(_ bytes: [UInt8]) {
    guard bytes.first == Self.version else { return nil }
    var kind = ""
    var values: [[UInt8]] = []
    var found = FleetOrder(.everything, sites: [], isSoft: false)
    var rest = bytes.dropFirst()
    while let name = rest.first {
      guard rest.count >= 5 else { return nil }
      let length = Array(rest.dropFirst().prefix(4)).withView { Int($0.uint32(at: 0)) }
      rest = rest.dropFirst(5)
      guard rest.count >= length else { return nil }
      let value = Array(rest.prefix(length))
      rest = rest.dropFirst(length)
      switch name {
      case UInt8(ascii: "k"): kind = String(decoding: value, as: UTF8.self)
      case UInt8(ascii: "v"): values.append(value)
      case UInt8(ascii: "s"): found.sites.append(String(decoding: value, as: UTF8.self))
      case UInt8(ascii: "f"): found.isSoft = true
      case UInt8(ascii: "w"): found.who = String(decoding: value, as: UTF8.self)
      case UInt8(ascii: "t"): found.what = String(decoding: value, as: UTF8.self)
      default: if (0x41...0x5A).contains(name) { return nil }
      }
    }
    guard let selection = Self.selection(kind, values) else { return nil }
    found.selection = selection
    self = found
  }

  private static func selection(_ kind: String, _ values: [[UInt8]]) -> Selection? {
    let texts = values.map { String(decoding: $0, as: UTF8.self) }
    switch kind {
    case "everything": return .everything
    case "tags" where !values.isEmpty: return .tags(values)
    case "urls" where !values.isEmpty: return .urls(texts)
    case "hosts" where !values.isEmpty: return .hosts(texts)
    case "prefix": return texts.first.map { .prefix($0) }
    case "wildcard": return texts.first.map { .wildcard($0) }
    case "where": return texts.first.map { .condition($0) }
    case "limit":
      guard texts.count == 4, let change = LimitChange(text: texts[2]) else { return nil }
      return .limit(texts[0], region: texts[1], change, isKept: texts[3] == "keep")
    default: return nil
    }
  }
}

// MARK: As a purge

extension PurgeOrder {
  /// What nothing carries: no field can have such a tag.
  package static func nothing(in store: ObjectStore) -> Target {
    .tags([Array("\u{0}weir".utf8).withView { store.tagHash($0) }])
  }
}

extension PurgeTargets {
  /// What an order in the fleet's words purges here. A site that this configuration does not know, or
  /// words that it does not, make it more.
  func order(_ words: [UInt8], in store: ObjectStore, time: Int64) -> PurgeOrder {
    guard let order = FleetOrder(words) else {
      return PurgeOrder(
        .everything, time: time, who: "fleet", what: "\"an order that is not understood\"")
    }
    let target =
      (try? target(of: order, within: order.sites, in: store))
      ?? (try? target(of: order, within: [], in: store))
    return PurgeOrder(
      target ?? .everything, isSoft: order.isSoft && target != nil, time: time, who: order.who,
      what: order.what)
  }

  private func target(
    of order: FleetOrder, within names: [String], in store: ObjectStore
  ) throws(PurgeDefect) -> PurgeOrder.Target {
    let selection: PurgeSelection
    switch order.selection {
    case .tags(let tags):
      if names.isEmpty { return .tags(tags.map { $0.withView { store.tagHash($0) } }) }
      return try Self.target(ofTags: tags, SiteScope(names, of: sites), store)
    case .urls(let urls): selection = .urls(urls)
    case .hosts(let hosts): selection = .hosts(hosts)
    case .prefix(let prefix): selection = .prefix(prefix)
    case .wildcard(let wildcard): selection = .wildcard(wildcard)
    case .condition(let condition): selection = .condition(condition)
    case .everything: selection = .everything
    case .limit: return PurgeOrder.nothing(in: store)
    }
    return try target(of: selection, within: names, in: store)
  }
}

/// What orders in the fleet's words purge, by the configuration in force.
package final class FleetOrders: @unchecked Sendable {
  // Sendable because one thread uses it, the fleet's.
  private let context: NodeContext
  private let note: (String) -> Void
  private var known: (generation: UInt64, targets: PurgeTargets)?

  /// Orders of a node. `note` takes lines for the log.
  package init(_ context: NodeContext, note: @escaping (String) -> Void = { _ in }) {
    self.context = context
    self.note = note
  }

  /// The purge that an order is here. On the fleet's thread only. Its time is this node's: soft purges make
  /// stale from now on, whatever the clock of the PoP says that gave the order.
  package func order(_ words: [UInt8]) -> PurgeOrder {
    let time = context.clock.now().wall
    guard let store = context.store else { return PurgeOrder(.everything, time: time) }
    if let order = FleetOrder(words),
      case .limit(let name, let region, let change, let isKept) = order.selection
    {
      let problem = self.change(of: name, in: region, change, isKept: isKept)
      note(
        problem.map { "limit \(name) is not changed as \(order.who) says: \($0)" }
          ?? "limit \(name) changed by \(order.who): \(change.text)\(isKept ? ", kept" : "")")
    }
    return targets.order(words, in: store, time: time)
  }

  /// Changes a limit, if it is of this PoP's region; why not, if it is and cannot be changed.
  private func change(
    of name: String, in region: String, _ change: LimitChange, isKept: Bool
  ) -> String? {
    guard region == context.fleet?.settings.region else { return "it is for the region \(region)" }
    let limits = context.current.limits
    guard let number = limits.number(of: name) else { return "there is no such limit" }
    do throws(LimitDefect) {
      let now = context.clock.now().monotonic
      context.tell(try limits.change(number, by: change, now: now))
    } catch {
      return error.text
    }
    return isKept ? limits.keep(change, of: number) : nil
  }

  private var targets: PurgeTargets {
    let current = context.current
    if let known, known.generation == current.number { return known.targets }
    let targets = PurgeTargets(current.configuration)
    known = (current.number, targets)
    return targets
  }
}
