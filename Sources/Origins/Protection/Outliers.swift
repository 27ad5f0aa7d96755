// Passive health: who is taken out for what clients' requests met. The rules are pure; the pool keeps the
// counts (`ServerCells`) and asks them, at a failure for the consecutive ones, at a window's end for the
// shares and latencies.
//
// Ejections end by themselves. Each is twice as long as the one before, up to a limit; a window with
// at most a tenth of failures takes one doubling back. However bad things look, only a share of the servers
// may be out at a time: if all seem to fail, the reason is rarely all of them.

/// One server's window.
struct ServerWindow: Sendable {
  var requests: UInt64 = 0
  var failures: UInt64 = 0
  /// Sum of the answers' latencies in microseconds.
  var latency: UInt64 = 0

  var meanLatency: UInt64? { requests > failures ? latency / (requests - failures) : nil }
}

/// The rules of ejection; see the top of this file.
enum Outliers {
  /// Whether so many failures one after the other eject.
  static func isOutlier(consecutiveFailures: Int, _ settings: OutlierSettings) -> Bool {
    settings.consecutiveFailures > 0 && consecutiveFailures >= settings.consecutiveFailures
  }

  /// Why a server is an outlier in its window; nil if it is none. `median` is of all servers' mean
  /// latencies, nil if too few of them have one.
  static func judge(
    _ window: ServerWindow, median: UInt64?, _ settings: OutlierSettings
  ) -> EjectionReason? {
    guard window.requests >= UInt64(max(settings.minimumRequests, 1)) else { return nil }
    let percent = UInt64(min(max(settings.failurePercent, 0), 100))
    if percent > 0, window.failures * 100 >= window.requests * percent { return .failureRate }
    let factor = UInt64(max(settings.latencyFactor, 0))
    // Below a millisecond differences are noise.
    if factor > 0, let median, let mean = window.meanLatency, mean >= 1000,
      mean / factor >= max(median, 1)
    {
      return .latency
    }
    return nil
  }

  /// The median of the mean latencies of those with enough requests; nil with fewer than three.
  static func medianLatency(_ windows: [ServerWindow], _ settings: OutlierSettings) -> UInt64? {
    let means = windows.filter { $0.requests >= UInt64(max(settings.minimumRequests, 1)) }
      .compactMap(\.meanLatency).sorted()
    return means.count >= 3 ? means[(means.count - 1) / 2] : nil
  }

  /// How long the next ejection lasts after `count` that still count.
  static func length(after count: Int, _ settings: OutlierSettings) -> Int64 {
    Backoff.bound(
      retry: count + 1, first: max(settings.ejection, 1),
      longest: max(settings.longestEjection, settings.ejection, 1))
  }

  /// Whether another server may be ejected while `ejected` of `servers` are, and so many others are well: the
  /// last one that is left never is, whatever took the others out.
  static func mayEject(
    ejected: Int, well: Int, of servers: Int, _ settings: OutlierSettings
  ) -> Bool {
    let most = servers * min(max(settings.maxEjectedPercent, 0), 100) / 100
    // One of two or more may go even where the percentage rounds to none, unless it is zero.
    let least = settings.maxEjectedPercent > 0 && servers > 1 ? 1 : 0
    return well > 0 && ejected < max(most, least)
  }
}
