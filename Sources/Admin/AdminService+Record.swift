internal import AccessLog
internal import Bytes
internal import Edge
internal import EventLoop

extension AdminService {
  /// `GET /v1/record?sample=0.1&clients=keep&queries=keep`: lines of JSON, the last of which says how many
  /// were lost because nobody came for them in time.
  func showRecords(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse {
    guard let log = context.current.log else {
      throw Problem(.noLog, "The node runs without an access log, so nothing can be recorded.")
    }
    let taken = log.tap.take(try Self.order(route.query), now: asked.at.monotonic)
    let last = "{\"lost\":\(taken.lost)}\n"
    return AdminResponse(
      contentType: "application/x-ndjson", content: taken.lines + Array(last.utf8))
  }

  private static func order(_ query: String?) throws(Problem) -> TapOrder {
    var order = TapOrder()
    for part in (query ?? "").split(separator: "&") {
      let pair = part.split(separator: "=", maxSplits: 1)
      switch (pair.first, pair.count == 2 ? pair[1] : "") {
      case ("sample", let text):
        guard let share = Double(text), share > 0, share <= 1 else {
          throw Problem(.invalidQuery, "sample must be above 0 and at most 1.")
        }
        order.sample = share
      case ("clients", "keep"): order.keepsClients = true
      case ("queries", "keep"): order.keepsQueries = true
      default:
        throw Problem(
          .invalidQuery, "The query may have sample=SHARE, clients=keep and queries=keep.")
      }
    }
    return order
  }
}
