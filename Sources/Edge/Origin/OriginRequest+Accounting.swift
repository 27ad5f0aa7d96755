internal import Metrics

extension OriginRequest {
  /// Counts bytes that an origin has sent, for the node and for the route that asked.
  func noteReceived(_ count: Int) {
    worker.counters.add(.originBytesReceived, UInt64(count))
    worker.requestCounters.addOriginBytes(
      route: generation.routes.number(of: route), UInt64(count))
  }
}
