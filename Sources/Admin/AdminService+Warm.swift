// Fetching ahead of clients, as an operator orders it.

internal import Bytes
internal import Edge
internal import EventLoop
internal import Fleet

extension SiteURLs {
  /// What is to be asked for; nil if the URL is none, or of another site.
  func target(of url: String) -> WarmTarget? {
    do throws(PurgeDefect) {
      return try warmTarget(url, isSitemap: false)
    } catch {
      return nil
    }
  }

  /// What is to be asked for; throws why there is no such request, or it may not be asked for.
  func warmTarget(_ url: String, isSitemap: Bool) throws(PurgeDefect) -> WarmTarget {
    let parts = try parts(of: url)
    return WarmTarget(
      authority: parts.authority, target: parts.target, levels: isSitemap ? 2 : 0)
  }
}

/// What `POST /v1/warm` takes: `{"urls": ["…"]}` or `{"sitemap": "…"}`, and `"rate"` and `"site"`; in a fleet
/// `"fleet": "all"` or `"region"` (`true` is all), and `"timeout_ms"`.
struct WarmOrder {
  var urls: [String] = []
  var sitemap: String?
  var rate = 10
  var site: String?
  /// Which PoPs are to fetch.
  var scope = FleetScope.local
  /// How long the answer waits until they have taken it, ms.
  var timeout = PurgeWait().timeout

  /// The most URLs a second.
  static let rates = 1...1_000

  static func read(_ content: [UInt8]) throws(Problem) -> WarmOrder {
    guard case .object(let members) = try PurgeRequest.json(content) else {
      throw Problem(.invalidWarm, "The content must be an object, such as {\"urls\": [\"…\"]}.")
    }
    var order = WarmOrder()
    for member in members { try order.take(member) }
    guard order.urls.isEmpty != (order.sitemap == nil) else {
      throw Problem(.invalidWarm, "What is to be fetched is \"urls\", or a \"sitemap\".")
    }
    guard order.names.allSatisfy({ $0.utf8.count <= longestURL }) else {
      throw Problem(.invalidWarm, "A URL has at most \(longestURL) bytes.")
    }
    return order
  }

  private mutating func take(_ member: JSON.Member) throws(Problem) {
    switch (member.name, member.value) {
    case ("urls", .array(let elements)):
      guard (1...Warming.limit).contains(elements.count) else {
        throw Problem(.invalidWarm, "\"urls\" must have 1 to \(Warming.limit) elements.")
      }
      for (index, element) in elements.enumerated() {
        guard case .string(let url) = element else {
          throw Problem(.invalidWarm, "URL \(index + 1) is not a string.")
        }
        urls.append(url)
      }
    case ("sitemap", .string(let url)): sitemap = url
    case ("site", .string(let name)): site = name
    case ("rate", .number(let text)):
      guard let rate = Int(text), Self.rates.contains(rate) else {
        throw Problem(
          .invalidWarm,
          "\"rate\" is URLs a second, from \(Self.rates.lowerBound) to \(Self.rates.upperBound).")
      }
      self.rate = rate
    case ("fleet", .bool(let isForAll)): scope = isForAll ? .all : .local
    case ("fleet", .string("region")): scope = .region
    case ("fleet", .string("all")): scope = .all
    case ("timeout_ms", .number(let text)):
      guard let time = Int64(text), PurgeWait.timeouts.contains(time) else {
        throw Problem(.invalidWarm, "\"timeout_ms\" is a whole number from 1 to 60000.")
      }
      timeout = time
    default:
      throw Problem(
        .invalidWarm,
        "An order has \"urls\" (an array) or \"sitemap\" (a string), and may have \"rate\" (a number), "
          + "\"site\" (a string), \"fleet\" (true, \"all\" or \"region\") and \"timeout_ms\" (a number)."
      )
    }
  }

  /// What it names: URLs, or the sitemap's.
  var names: [String] { sitemap.map { [$0] } ?? urls }

  /// The most bytes of a URL, as in orders to purge.
  private static let longestURL = 65_000
}

extension AdminService {
  /// `POST /v1/warm`: nil if the answer comes later.
  func warm(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse? {
    let order = try WarmOrder.read(asked.content)
    guard let warming else {
      throw Problem(
        .noListener, "The node has no plain listener that it could ask itself by.")
    }
    if order.scope != .local && context.fleet == nil {
      throw Problem(.noFleet, "There is nobody to tell: the node's configuration has no fleet.")
    }
    var targets: [WarmTarget] = []
    let scope: SiteURLs
    let sites: [String]
    do throws(PurgeDefect) {
      sites = try self.sites(of: order, route.caller)
      scope = try SiteURLs(context.current.configuration, within: sites)
      for url in order.names {
        targets.append(try scope.warmTarget(url, isSitemap: order.sitemap != nil))
      }
    } catch {
      throw Problem(error.isForeign ? .foreignSite : .invalidWarm, error.text)
    }
    let told = fleetOrder(order, sites, route.caller)
    let begun: WarmReport?
    do throws(Errno) {
      begun = try warming.begin(
        targets, rate: order.rate, scope: scope, who: route.caller.name, order: told)
    } catch {
      throw Problem(.tooMuchToWarm, "No thread can be had: \(error)")
    }
    guard let begun else {
      throw Problem(.tooMuchToWarm, "\(Warming.limit) URLs wait already: try again later.")
    }
    if let told { try tell(told, order, begun, asked) }
    record(begun, order, route, asked)
    return told == nil ? Self.accepted(begun, nil) : nil
  }

  private func record(
    _ begun: WarmReport, _ order: WarmOrder, _ route: AdminRoute, _ asked: Asked
  ) {
    let shown = order.sitemap ?? "\(order.urls.count) URLs"
    let name = begun.order.map { " (\($0.name), \(order.scope.rawValue))" } ?? ""
    note("warming \(begun.id)\(name) by \(route.caller.name) (\(asked.peer)): \(shown)")
    write(
      "warm", route, asked,
      [
        ("id", .number(begun.id)), ("urls", .number(UInt64(clamping: order.urls.count))),
        ("sitemap", order.sitemap.map { .string($0) } ?? .null),
        ("rate", .number(UInt64(clamping: order.rate))),
        ("fleet", .string(order.scope.rawValue)),
        ("order", begun.order.map { .string($0.name) } ?? .null),
      ])
  }

  private static func accepted(_ report: WarmReport, _ reach: FleetWarmReach?) -> AdminResponse {
    var response = AdminResponse.json(report.text(reach))
    response.status = 202
    response.fields = [("location", "/v1/warm/\(report.order?.name ?? "\(report.id)")")]
    return response
  }

  /// The sites of an order; a wrong one is a defect of it.
  private func sites(of order: WarmOrder, _ caller: Caller) throws(PurgeDefect) -> [String] {
    do throws(Problem) {
      return try scope(order.site, caller)
    } catch {
      throw PurgeDefect.foreign(error.detail)
    }
  }

  // MARK: The fleet

  /// What the other PoPs are told; nil: nothing.
  private func fleetOrder(
    _ order: WarmOrder, _ sites: [String], _ caller: Caller
  ) -> FleetWarmOrder? {
    guard order.scope != .local, let fleet = context.fleet else { return nil }
    return FleetWarmOrder(
      number: max(Random.hash128().low, 1), who: "\(fleet.settings.pop)/\(caller.name)",
      region: order.scope == .region ? fleet.settings.region : "",
      isSitemap: order.sitemap != nil, count: order.names.count, rate: order.rate, sites: sites)
  }

  private func tell(
    _ told: FleetWarmOrder, _ order: WarmOrder, _ begun: WarmReport, _ asked: Asked
  ) throws(Problem) {
    guard let fleet = context.fleet else { return }
    let urls = Array(order.names.joined(separator: "\n").utf8)
    let (inbox, connection, timeout) = (inbox, asked.connection, order.timeout * 1_000_000)
    let isTold = fleet.warm(told, urls, timeout: timeout) { reach in
      inbox.post(.warmed(begun.id, reach, isNew: true, connection: connection))
    }
    guard isTold else {
      _ = warming?.cancel(begun.id)
      throw Problem(
        .tooMuchToWarm, "16 MiB of URLs stand in the fleet's engine already: try again later.")
    }
    warmingsUnderWay += 1
  }

  /// The answer to who waits for what the fleet's PoPs have made of an order.
  func finishWarming(_ id: UInt64, _ reach: FleetWarmReach, isNew: Bool) -> AdminResponse {
    if isNew { warmingsUnderWay -= 1 }
    guard let report = warming?.report("\(id)") else { return Self.unknownWarming.response }
    return isNew ? Self.accepted(report, reach) : .json(report.text(reach))
  }

  // MARK: Reports

  private static var unknownWarming: Problem {
    Problem(.unknownWarming, "No order to warm has this id, or it is too long ago.")
  }

  /// `GET /v1/warm`, `GET /v1/warm/{id}`, `DELETE /v1/warm/{id}`; nil if the answer comes later.
  func showWarming(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse? {
    // What was taken from the fleet again, after a start, has the PoP's name before the token's.
    let caller = route.caller
    let own = context.fleet.map { "\($0.settings.pop)/\(caller.name)" }
    let isVisible: (WarmReport) -> Bool = {
      caller.sites.isEmpty || $0.who == caller.name || $0.who == own
    }
    guard let argument = route.arguments.first else {
      let reports = (warming?.reports ?? []).filter(isVisible)
      return .json(.object([("orders", .array(reports.map { $0.text() }))]))
    }
    guard let report = warming?.report(argument), isVisible(report) else {
      throw Self.unknownWarming
    }
    if route.method == .delete { return end(report, route, asked) }
    guard let order = report.order, let fleet = context.fleet else { return .json(report.text()) }
    let (inbox, connection, id) = (inbox, asked.connection, report.id)
    let age = (context.clock.now().monotonic - report.began) / 1_000_000
    fleet.reach(of: order, age: age) { reach in
      inbox.post(.warmed(id, reach, isNew: false, connection: connection))
    }
    return nil
  }

  /// Ends an order: one of the fleet everywhere, whoever is asked.
  private func end(
    _ report: WarmReport, _ route: AdminRoute, _ asked: Asked
  ) -> AdminResponse {
    let ended = warming?.cancel(report.id) ?? report
    if let order = report.order { context.fleet?.endWarming(order.name) }
    note("warming \(report.id) was cancelled by \(route.caller.name) (\(asked.peer))")
    write(
      "warm", route, asked,
      [
        ("id", .number(report.id)), ("order", report.order.map { .string($0.name) } ?? .null),
        ("cancelled", .bool(true)),
      ])
    return .json(ended.text())
  }
}
