// Fetching ahead of clients, as an operator orders it.

internal import Bytes
internal import Edge
internal import EventLoop

extension SiteURLs {
  /// What is to be asked for; nil if the URL is none, or of another site.
  func target(of url: String) -> WarmTarget? {
    do throws(PurgeDefect) {
      let parts = try parts(of: url)
      return WarmTarget(authority: parts.authority, target: parts.target)
    } catch {
      return nil
    }
  }
}

/// What `POST /v1/warm` takes: `{"urls": ["…"]}` or `{"sitemap": "…"}`, and `"rate"` and `"site"`.
struct WarmOrder {
  var urls: [String] = []
  var sitemap: String?
  var rate = 10
  var site: String?

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
    default:
      throw Problem(
        .invalidWarm,
        "An order has \"urls\" (an array) or \"sitemap\" (a string), and may have \"rate\" (a number) "
          + "and \"site\" (a string).")
    }
  }
}

extension AdminService {
  /// `POST /v1/warm`
  func warm(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse {
    let order = try WarmOrder.read(asked.content)
    guard let warming else {
      throw Problem(
        .noListener, "The node has no plain listener that it could ask itself by.")
    }
    var targets: [WarmTarget] = []
    let scope: SiteURLs
    do throws(PurgeDefect) {
      scope = try SiteURLs(
        context.current.configuration, within: try sites(of: order, route.caller))
      for url in order.urls + (order.sitemap.map { [$0] } ?? []) {
        let parts = try scope.parts(of: url)
        targets.append(
          WarmTarget(
            authority: parts.authority, target: parts.target,
            levels: order.sitemap == nil ? 0 : 2))
      }
    } catch {
      throw Problem(error.isForeign ? .foreignSite : .invalidWarm, error.text)
    }
    let begun: WarmReport?
    do throws(Errno) {
      begun = try warming.begin(
        targets, rate: order.rate, scope: scope, who: route.caller.name, time: asked.at.wall)
    } catch {
      throw Problem(.tooMuchToWarm, "No thread can be had: \(error)")
    }
    guard let begun else {
      throw Problem(.tooMuchToWarm, "\(Warming.limit) URLs wait already: try again later.")
    }
    let shown = order.sitemap ?? "\(order.urls.count) URLs"
    note("warming \(begun.id) by \(route.caller.name) (\(asked.peer)): \(shown)")
    write(
      "warm", route, asked,
      [
        ("id", .number(begun.id)), ("urls", .number(UInt64(clamping: order.urls.count))),
        ("sitemap", order.sitemap.map { .string($0) } ?? .null),
        ("rate", .number(UInt64(clamping: order.rate))),
      ])
    var response = AdminResponse.json(begun.text)
    response.status = 202
    response.fields = [("location", "/v1/warm/\(begun.id)")]
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

  /// `GET /v1/warm`, `GET /v1/warm/{id}`, `DELETE /v1/warm/{id}`
  func showWarming(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse {
    let isVisible: (WarmReport) -> Bool = {
      route.caller.sites.isEmpty || $0.who == route.caller.name
    }
    guard let argument = route.arguments.first else {
      let reports = (warming?.reports ?? []).filter(isVisible)
      return .json(.object([("orders", .array(reports.map(\.text)))]))
    }
    guard let id = UInt64(argument), let report = warming?.report(id), isVisible(report) else {
      throw Problem(.unknownWarming, "No order to warm has this id, or it is too long ago.")
    }
    guard route.method == .delete else { return .json(report.text) }
    let ended = warming?.cancel(id) ?? report
    note("warming \(id) was cancelled by \(route.caller.name) (\(asked.peer))")
    write("warm", route, asked, [("id", .number(id)), ("cancelled", .bool(true))])
    return .json(ended.text)
  }
}
