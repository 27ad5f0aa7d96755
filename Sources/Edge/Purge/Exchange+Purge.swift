// PURGE requests, for the programs that send them: content management systems and their plugins, each
// with fields of its own.
//
//     PURGE /path                                       the URL, every variant
//     PURGE /  X-Purge-Method: regex, path /images/.*   what begins so
//     PURGE /  Surrogate-Key: a b   Cache-Tag: a, b   Cache-Tags, Purge-Cache-Tags, X-Cache-Tags
//              xkey, xkey-purge: a b, c                 what carries one of the tags
//     xkey-softpurge, xkey-soft-purge: a b              the same, soft
//     Fastly-Soft-Purge: 1, Soft-Purge: 1, X-Purge-Soft: 1      soft
//
// Whatever it names, a PURGE keeps to the hosts of its site. It is allowed by a token with the verb
// `purge`, for all sites or this one, or by the client's address.

internal import Bytes
internal import Configuration
package import EventLoop
internal import Fleet
internal import HTTPCaching
internal import HTTPMessage
package import ObjectStore
internal import Rules

/// A purge that a client's request asked for, as logs show it.
package struct SitePurgeEvent: Sendable {
  /// Who asked.
  package let caller: Caller
  /// From where.
  package let client: SocketAddress
  /// The URL of the request.
  package let url: String
  /// The tags that it named.
  package let tags: [String]
  /// Whether it makes stale.
  package let isSoft: Bool
  /// When, ms since the epoch.
  package let time: Int64
  /// What came of it.
  package let outcome: Result<PurgeReceipt, PurgeFailure>

  /// A line for the node's log.
  package var line: String {
    let what = tags.isEmpty ? "" : " (\(tags.count) tags)"
    let result =
      switch outcome {
      case .success(let receipt): "id \(receipt.record.id)"
      case .failure(let failure): "not done: \(failure)"
      }
    return "purge by \(caller.name) (\(client)): PURGE \(url.prefix(200))\(what): \(result)"
  }
}

extension Exchange {
  /// Whether its site purges at PURGE requests.
  func takesPurges(_ worker: Worker) -> Bool { generation.routes.purges[route].isOn }

  /// Answers a PURGE request of a site that takes them.
  func purge(_ head: RequestHead, on connection: some ClientStream) {
    let worker = connection.worker
    if case .none = head.framing {} else { connection.endAfterResponse() }
    guard let store = worker.context.store else {
      worker.lines.removeAll()
      answer(status: 503, text: "Nothing is stored here.", on: connection)
      return
    }
    guard let caller = purger(head, on: connection) else { return }
    if let fleet = worker.context.fleet, !fleet.takesOrders {
      worker.lines.removeAll()
      answer(status: 503, text: "Too many purges wait for the fleet.", on: connection)
      return
    }
    let wish = PurgeWish(head)
    let target: PurgeOrder.Target
    do throws(PurgeDefect) {
      target = try self.target(of: wish, head, worker, store)
    } catch {
      worker.lines.removeAll()
      let text = Array(error.text.utf8)
      text.withView {
        answer(status: 400, content: $0, type: "text/plain; charset=utf-8", on: connection)
      }
      return
    }
    own(worker)
    state = .purging
    purging = PurgeInProgress()
    send(target, wish, caller, store, on: connection)
  }

  private func send(
    _ target: PurgeOrder.Target, _ wish: PurgeWish, _ caller: Caller, _ store: ObjectStore,
    on connection: some ClientStream
  ) {
    let worker = connection.worker
    let head = head(worker)
    let url = head.bytes[head.authority].string + head.bytes[head.target].string
    let client = client
    let time = worker.now.wall
    let order = PurgeOrder(
      target, isSoft: wish.isSoft, time: time, who: caller.name,
      what: "PURGE \(url)" + (wish.tags.isEmpty ? "" : ", tags: ")
        + wish.tags.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " "),
      fleet: mark(of: wish, head, worker), isOfImplicitTags: wish.tags.isEmpty)
    let token = connection.token
    let index = worker.index
    let context = worker.context
    store.purge(order) { outcome in
      context.purgeNote(
        SitePurgeEvent(
          caller: caller, client: client, url: url,
          tags: wish.tags.map { String(decoding: $0, as: UTF8.self) }, isSoft: wish.isSoft,
          time: time, outcome: outcome))
      context.post(.purged(outcome, token: token), to: index)
    }
  }

  /// What the purge is to the fleet: nothing, in a node that works alone.
  private func mark(of wish: PurgeWish, _ head: RequestHead, _ worker: Worker) -> FleetMark? {
    guard worker.context.fleet != nil else { return nil }
    let configuration = generation.shared.configuration
    let site = configuration.sites[generation.routes.sites(ofRoute: route)]
    let url = "//" + head.bytes[head.authority].string + head.bytes[head.target].string
    let order: FleetOrder.Selection
    if !wish.tags.isEmpty {
      order = .tags(wish.tags)
    } else if wish.isPattern {
      order = .prefix(PurgeWish.withoutPattern(url))
    } else {
      order = .urls([url])
    }
    let words = FleetOrder(order, sites: site.hosts.prefix(1).map { $0 }, isSoft: wish.isSoft)
    return FleetMark(.own, pop: 0, order: words.text)
  }

  /// The answer to a purge that is done with.
  func answerPurged(
    _ outcome: Result<PurgeReceipt, PurgeFailure>, on connection: some ClientStream
  ) {
    let worker = connection.worker
    worker.lines.removeAll()
    switch outcome {
    case .success(let receipt):
      let objects = receipt.counts.isEmpty ? nil : receipt.record.objects
      let text = Array(
        ("{\"status\": \"ok\", \"id\": \(receipt.record.id)"
          + (objects.map { ", \"objects\": \($0)" } ?? "") + "}").utf8)
      text.withView { answer(status: 200, content: $0, type: "application/json", on: connection) }
    case .failure(.tooManyPatterns):
      worker.lines.append("retry-after: 30\r\n")
      answer(status: 429, text: "Too many purges are pending.", on: connection)
    case .failure(.notDurable):
      answer(status: 503, text: "The purge could not be written.", on: connection)
    case .failure:
      answer(status: 400, text: "The purge names too much.", on: connection)
    }
  }

  // MARK: Who may

  /// Who asks; nil, and answered, if they may not.
  private func purger(_ head: RequestHead, on connection: some ClientStream) -> Caller? {
    let worker = connection.worker
    let settings = generation.routes.purges[route]
    let address = IPAddress(high: client.high, low: client.low)
    if settings.networks.contains(where: { $0.contains(address) }) {
      return Caller(name: "address")
    }
    worker.lines.removeAll()
    var lines: [[UInt8]] = []
    head.fields.forEach(.authorization, in: head.bytes) { lines.append($0.array) }
    guard lines.count == 1, let token = TokenTable.bearer(lines[0]),
      let holder = worker.context.tokens.find(token)
    else {
      worker.lines.append("www-authenticate: Bearer realm=\"weir\"\r\n")
      answer(status: 401, text: "PURGE needs a token.", on: connection)
      return nil
    }
    let site = generation.shared.configuration.sites[generation.routes.sites(ofRoute: route)]
    let isItsSite =
      holder.caller.sites.isEmpty || holder.caller.sites.contains(where: site.hosts.contains)
    guard holder.verbs.contains(.purge), isItsSite else {
      answer(status: 403, text: "The token may not purge here.", on: connection)
      return nil
    }
    return holder.caller
  }

  // MARK: What

  private func target(
    of wish: PurgeWish, _ head: RequestHead, _ worker: Worker, _ store: ObjectStore
  ) throws(PurgeDefect) -> PurgeOrder.Target {
    if wish.isTooMuch {
      let (count, length) = (PurgeTargets.mostNames, PurgeTargets.longestTag)
      throw PurgeDefect("At most \(count) tags of \(length) bytes are purged at once.")
    }
    if !wish.tags.isEmpty {
      let configuration = generation.shared.configuration
      let site = configuration.sites[generation.routes.sites(ofRoute: route)]
      let scope = try SiteScope(site.hosts, of: configuration.sites.map(\.hosts))
      return try PurgeTargets.target(ofTags: wish.tags, scope, store)
    }
    let authority = head.bytes[head.authority]
    if wish.isPattern {
      var path = head.bytes[head.target]
      for suffix in ["(.*)", ".*", "*"] as [StaticString] {
        let end = ByteView(suffix)
        guard path.count > end.count, path.dropping(first: path.count - end.count) == end else {
          continue
        }
        path = path.prefix(path.count - end.count)
        break
      }
      return try PurgeTargets.target(ofPrefix: path, of: authority)
    }
    var tags: [UInt64] = []
    for scheme in ["http", "https"] as [StaticString] {
      for recipe in [KeyRecipe.usual, generation.routes.policies[route].queryRecipe] {
        var key = ByteBuffer(capacity: 256)
        recipe.append(head, scheme: scheme, to: &key)
        let tag = store.tagHash(ofKey: key.view)
        if !tags.contains(tag) { tags.append(tag) }
      }
    }
    return .tags(tags)
  }
}

/// A purge that a request waits for.
final class PurgeInProgress {
  /// What came of it; nil: it is not written yet.
  var outcome: Result<PurgeReceipt, PurgeFailure>?
}

extension Worker {
  /// The journal is done with a purge that a client asked for.
  func purged(_ outcome: Result<PurgeReceipt, PurgeFailure>, token: UInt64) {
    guard let client = peer(token), let waiting = client.exchange.purging else { return }
    waiting.outcome = outcome
    client.advance()
  }
}

/// What a PURGE request names.
struct PurgeWish {
  /// The tags, as bytes.
  private(set) var tags: [[UInt8]] = []
  /// Whether it names more or longer tags than may be purged at once.
  private(set) var isTooMuch = false
  /// Whether what it reaches becomes stale instead of going.
  private(set) var isSoft = false
  /// Whether its path is a pattern: all that begins so.
  private(set) var isPattern = false

  init(_ head: RequestHead) {
    for index in 0..<head.fields.count {
      let field = head.fields[index]
      let value = field.value(in: head.bytes)
      switch field.name(in: head.bytes).string.lowercased() {
      case "surrogate-key", "x-surrogate-key": add(value, .space)
      case "cache-tag", "edge-cache-tag": add(value, .comma)
      case "cache-tags", "x-cache-tags", "purge-cache-tags", "xkey", "xkey-purge", "x-xkey-purge":
        add(value, .any)
      case "xkey-softpurge", "xkey-soft-purge":
        add(value, .any)
        isSoft = true
      case "fastly-soft-purge", "soft-purge", "x-purge-soft", "x-soft-purge":
        isSoft = isSoft || value.string != "0"
      case "x-purge-method":
        let method = value.string.lowercased()
        isPattern = isPattern || method == "regex" || method == "wildcard" || method == "prefix"
        isSoft = isSoft || method == "soft"
      default: continue
      }
    }
  }

  /// A URL without what stands for anything at its end.
  static func withoutPattern(_ url: String) -> String {
    for suffix in ["(.*)", ".*", "*"] where url.hasSuffix(suffix) {
      return String(url.dropLast(suffix.count))
    }
    return url
  }

  private mutating func add(_ value: ByteView, _ separator: Tags.Separator) {
    Tags.split(value, by: separator) { tag in
      // A purge of some of them would be taken for one of all.
      guard tags.count < PurgeTargets.mostNames, tag.count <= PurgeTargets.longestTag else {
        isTooMuch = true
        return
      }
      tags.append(tag.array)
    }
  }
}
