// Purges: from an order to the store, and back from the journal.

internal import Bytes
internal import Edge
internal import EventLoop
internal import Fleet
internal import ObjectStore

extension AdminService {
  /// The store; throws if there is none.
  func requireStore() throws(Problem) -> ObjectStore {
    guard let store = context.store else {
      throw Problem(.noStore, "The node runs without a store, so there is nothing in it.")
    }
    return store
  }

  /// The sites that a caller is kept to: those that it names, or its token does; empty: all.
  func scope(_ site: String?, _ caller: Caller) throws(Problem) -> [String] {
    guard let site else { return caller.sites }
    let name = site.lowercased()
    guard caller.sites.isEmpty || caller.sites.contains(name) else {
      throw Problem(
        .foreignSite, "The token \(caller.name) is for \(caller.sites.joined(separator: ", ")).")
    }
    return [name]
  }

  /// What the store purges by.
  func target(
    of selection: PurgeSelection, within sites: [String], in store: ObjectStore
  ) throws(Problem) -> PurgeOrder.Target {
    do throws(PurgeDefect) {
      return try targets.target(of: selection, within: sites, in: store)
    } catch {
      throw Problem(error.isForeign ? .foreignSite : .invalidPurge, error.text)
    }
  }

  /// `POST /v1/purge`: the answer to a dry run of tags; nil if it comes later.
  func purge(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse? {
    let request = try PurgeRequest.read(asked.content)
    let store = try requireStore()
    let sites = try scope(request.site, route.caller)
    let target = try target(of: request.selection, within: sites, in: store)
    if request.isDryRun { return try dryRun(request, target, store, asked) }
    let mark = try mark(request, sites: sites, route.caller)
    try purge(request, target, store, route, asked, mark)
    return nil
  }

  private func purge(
    _ request: PurgeRequest, _ target: PurgeOrder.Target, _ store: ObjectStore,
    _ route: AdminRoute, _ asked: Asked, _ mark: FleetMark?
  ) throws(Problem) {
    var isOfTags = false
    if case .tags = target { isOfTags = true }
    var tags: [String] = []
    if case .tags(let given) = request.selection, isOfTags { tags = given }
    let purge = Purge(
      kind: request.kind, tags: tags, order: request.text, isSoft: request.isSoft,
      caller: route.caller, peer: asked.peer, connection: asked.connection, began: asked.at,
      wait: request.wait)
    let order = PurgeOrder(
      target, isSoft: request.isSoft, time: asked.at.wall, who: route.caller.name,
      what: Self.kept(request.text.text, route.caller.sites),
      idempotencyKey: try Self.idempotencyKey(route), fleet: mark,
      isOfImplicitTags: isOfTags && tags.isEmpty)
    purgesUnderWay += 1
    let inbox = inbox
    let fleet = context.fleet
    store.purge(order) { Self.finished(purge, $0, fleet, inbox) }
  }

  /// The order as the record keeps it. A long one is cut, and told apart from others by a hash; so are
  /// those of tokens that are kept to sites without the order saying so.
  private static func kept(_ text: String, _ sites: [String]) -> String {
    if text.utf8.count <= 2_000 && sites.isEmpty { return text }
    let hash = SipHash(key: Hash128(low: 0x7765_6972, high: 0x7075_7267))
    let whole = (text + sites.joined(separator: ",")).withView { hash.hash($0) }
    let scope = sites.isEmpty ? "" : " within \(sites.joined(separator: ", ").prefix(200))"
    return "\(text.prefix(400))\(text.count > 400 ? "…" : "")\(scope) \(VariantName.text(whole))"
  }

  /// The key under which an order is carried out once, apart from those of other tokens.
  private static func idempotencyKey(_ route: AdminRoute) throws(Problem) -> String {
    guard let given = route.idempotencyKeys.first else { return "" }
    guard route.idempotencyKeys.count == 1, (1...128).contains(given.utf8.count) else {
      throw Problem(.invalidKey, "An Idempotency-Key has 1 to 128 bytes, and there is one of them.")
    }
    return "\(route.caller.name)\n\(given)"
  }

  /// The answer to a purge that the store is done with; writes it down.
  func finish(
    _ purge: Purge, _ outcome: PurgeOutcome, _ reach: FleetReach? = nil, at now: Instant
  ) -> AdminResponse {
    purgesUnderWay -= 1
    note(purge.line(outcome, at: now))
    audit?.write(purge.entry(outcome, at: now).line(at: now.wall))
    switch outcome {
    case .success(let receipt): return .json(purge.answer(receipt, reach, at: now))
    case .failure(let failure): return Self.problem(failure).response
    }
  }

  private static func problem(_ failure: PurgeFailure) -> Problem {
    switch failure {
    case .tooManyPatterns:
      var problem = Problem(
        .tooManyPatterns,
        "256 purges by prefix, wildcard or condition wait until every object was looked at.")
      problem.fields = [("retry-after", "30")]
      return problem
    case .keyReused:
      return Problem(.keyReused, "Another order was given with this Idempotency-Key.")
    case .outOfRange:
      return Problem(
        .invalidPurge, "The order names too much: at most 65,536 pairs of host and tag.")
    case .notDurable(let error):
      return Problem(.purgeFailed, "The purge could not be written to disk: \(error.reason)")
    }
  }

  // MARK: Dry runs

  /// Tags are counted as they come and go; all else by a pass over everything, a piece in each turn.
  private func dryRun(
    _ request: PurgeRequest, _ target: PurgeOrder.Target, _ store: ObjectStore, _ asked: Asked
  ) throws(Problem) -> AdminResponse? {
    if case .tags(let hashes) = target, case .tags(let tags) = request.selection {
      let counts = store.counts(ofTags: hashes)
      return .json(
        .object([
          ("dry_run", .bool(true)), ("target", .string(request.kind)),
          ("tags", .object(zip(tags, counts).map { ($0, .number($1)) })),
          ("objects", .number(counts.reduce(0, &+))),
        ]))
    }
    let reader = try requireReader()
    var total = ListCount()
    var cursor = ListCursor.start
    let kind = request.kind
    begin(asked.connection) {
      let part = reader.count(.reached(target, time: asked.at.wall), from: cursor, budget: 4_000)
      total.objects &+= part.objects
      total.bytes &+= part.bytes
      if let next = part.next {
        cursor = next
        return nil
      }
      return .json(
        .object([
          ("dry_run", .bool(true)), ("target", .string(kind)), ("objects", .number(total.objects)),
          ("bytes", .number(total.bytes)),
        ]))
    }
    return nil
  }

  // MARK: Records

  /// `GET /v1/purges?limit=100&before=ID`
  func showPurges(_ route: AdminRoute) throws(Problem) -> AdminResponse {
    let store = try requireStore()
    let query = try AdminQuery(route.query, ["limit", "before"])
    let limit = try query.number("limit", 1...1_000) ?? 100
    let before = try query.number("before", 0...UInt64.max) ?? .max
    var records = store.purgeRecords(before: before, limit: 1_024)
    if !route.caller.sites.isEmpty { records = records.filter { $0.who == route.caller.name } }
    let shown = records.prefix(Int(clamping: limit))
    return .json(
      .object([
        ("purges", .array(shown.map { PurgeReport.text($0) })),
        ("next", records.count > shown.count ? shown.last.map { .number($0.id) } ?? .null : .null),
      ]))
  }

  /// `GET /v1/purges/{id}`
  func showPurge(_ route: AdminRoute) throws(Problem) -> AdminResponse {
    let store = try requireStore()
    guard let id = route.arguments.first.flatMap({ UInt64($0) }),
      let record = store.purgeRecord(id),
      route.caller.sites.isEmpty || record.who == route.caller.name
    else {
      throw Problem(.unknownPurge, "No purge of the last 1,024 has this id.")
    }
    return .json(PurgeReport.text(record))
  }
}
