// Orders to warm of other PoPs. They come on the fleet's thread, which has no time for them: their URLs are
// read by one of the threads that ask for them.

internal import Configuration
internal import Edge
internal import EventLoop
package import Fleet
internal import Synchronization

extension Warming: FleetWarmer {
  package var takesOrders: Bool { state.withLock { $0.isOpen && !$0.isStopping } }

  package func knows(_ name: String) -> Bool { report(name) != nil }

  package func begin(_ order: FleetWarmOrder, _ urls: [UInt8]) {
    do throws(Errno) {
      try begin(order, unread: urls)
    } catch {
      let reason = "no thread can be had: \(error)"
      state.withLock { state in
        for place in state.jobs.indices where state.jobs[place].report.order?.name == order.name {
          Self.refuse(&state.jobs[place], reason)
        }
      }
    }
  }

  package var results: [(order: FleetWarmOrder, result: FleetWarmResult)] {
    state.withLock { state in
      state.jobs.compactMap { job in job.report.order.map { ($0, job.report.result) } }
    }
  }

  package func end(_ name: String) {
    if let id = report(name)?.id { _ = cancel(id) }
  }
}

extension Warming {
  /// Begins an order of another PoP's: its URLs are read by one of the threads.
  private func begin(_ order: FleetWarmOrder, unread urls: [UInt8]) throws(Errno) {
    var report = WarmReport(
      id: 0, who: order.who, time: 0, total: min(max(order.count, 1), Self.limit))
    report.order = order
    let begun = try begin(report, rate: order.rate) { report in
      Job(report: report, waiting: [], unread: urls, pause: 0)
    }
    guard begun == nil else { return }
    // Nobody else would say that nothing comes of it.
    Self.refuse(&report, Self.tooMuch)
    let refused = report
    state.withLock { state in
      if !state.isStopping { append(Job(report: refused, waiting: [], pause: 0), to: &state) }
    }
  }

  /// Reads the URLs of an order, by the configuration in force.
  func read(_ urls: [UInt8], of order: FleetWarmOrder, into id: UInt64) {
    // The configuration is this PoP's: it may know other sites.
    guard let configuration = configuration() else { return }
    var targets: [WarmTarget] = []
    var scope: SiteURLs?
    var problem = "there are no URLs"
    do throws(PurgeDefect) {
      let sites = try SiteURLs(configuration, within: order.sites)
      for line in urls.split(separator: UInt8(ascii: "\n")).prefix(Self.limit) {
        let url = String(decoding: line, as: UTF8.self)
        targets.append(try sites.warmTarget(url, isSitemap: order.isSitemap))
      }
      scope = sites
    } catch {
      targets = []
      problem = error.text
    }
    state.withLock { state in
      guard let place = state.jobs.firstIndex(where: { $0.report.id == id }),
        !state.jobs[place].report.isOver
      else { return }
      if Self.waiting(in: state) + targets.count > Self.limit {
        Self.refuse(&state.jobs[place], Self.tooMuch)
      } else if targets.isEmpty {
        Self.refuse(&state.jobs[place], problem)
      } else {
        state.jobs[place].scope = scope
        state.jobs[place].waiting = targets
        state.jobs[place].report.total = targets.count
      }
    }
  }

  private static let tooMuch = "\(limit) URLs wait already"

  private static func refuse(_ job: inout Job, _ reason: String) {
    job.unread = nil
    refuse(&job.report, reason)
  }

  private static func refuse(_ report: inout WarmReport, _ reason: String) {
    report.isRefused = true
    report.firstFailure = reason
  }
}
