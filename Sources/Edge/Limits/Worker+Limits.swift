// A worker's part in limits: boxes for checks, who is told that it is first in its line, new connections,
// and the guard against overload.

internal import Bytes
internal import ClientAddress
internal import EventLoop
internal import Metrics
internal import RateLimiting

extension Worker {
  /// Boxes that are kept for reuse.
  private static let mostSpareChecks = 1024

  /// A box for the checks of a request.
  func takeChecks() -> HeldChecks { spareChecks.popLast() ?? HeldChecks() }

  /// Takes a box back. What was taken by its checks must have been given back.
  func giveChecks(_ box: HeldChecks) {
    box.checks.removeAll()
    if spareChecks.count < Self.mostSpareChecks { spareChecks.append(box) }
  }

  /// Sees to it that who is first in a line hears of it.
  func tell(_ due: DueDeparture?) {
    guard let due else { return }
    if Int(due.worker) == index {
      isDue(due)
    } else {
      context.post(.departure(due), to: Int(due.worker))
    }
  }

  /// A request of this worker's is first in its line.
  func isDue(_ due: DueDeparture) {
    guard let client = peer(due.request) else { return }
    client.exchange.isDue(at: due.time, on: client)
  }

  /// Whether a new connection is within the limits on connections.
  func admits(_ address: SocketAddress) -> Bool {
    let limitTable = generation.limitTable
    let limits = generation.limits
    guard !limitTable.connectionLimits.isEmpty else { return true }
    let client = IPAddress(high: address.high, low: address.low)
    // A proxy's connections are not a client's.
    if limitTable.trusted.contains(client) { return true }
    let box = passingChecks
    box.checks.removeAll()
    for number in limitTable.connectionLimits
    where !limitTable.details[number].exempt.contains(client) {
      let traits = limitTable.traits[number]
      let prefix = client.prefix(ipv4: traits.ipv4Prefix, ipv6: traits.ipv6Prefix)
      limits.add(number, key: Exchange.key(of: prefix, limitHash), to: &box.checks)
    }
    let outcome = limits.decide(
      &box.checks, now: now.monotonic, time: now.wall / 1000,
      worker: UInt32(truncatingIfNeeded: index), request: 0)
    noteConnection(box.checks, address: client)
    guard case .refused = outcome else { return true }
    counters.add(.connectionsLimited)
    return false
  }

  private func noteConnection(_ checks: borrowing LimitChecks, address: IPAddress) {
    limitSample &+= 1
    guard limitSample % Limit.sampling == 0 else { return }
    for index in 0..<checks.count {
      let number = Int(checks[index].limit)
      let traits = generation.limitTable.traits[number]
      nameBuffer.removeAll()
      address.prefix(ipv4: traits.ipv4Prefix, ipv6: traits.ipv6Prefix).append(to: &nameBuffer)
      let isRefused = if case .allowed = checks[index].verdict { false } else { true }
      generation.limits.limits[number].note(
        key: checks[index].key, name: nameBuffer.view, cost: 1, isRefused: isRefused,
        now: now.monotonic)
    }
  }

  // MARK: Overload

  /// Notes how long this turn took: so long waited whoever came at its begin.
  func watchLoad(_ length: Int64, since began: Int64) {
    overload.observe(lag: length, now: began)
    isOverloaded = overload.level > 0
  }

  /// Whether a request of a class is to be refused now.
  func sheds(_ priority: PriorityClass) -> Bool { overload.sheds(priority) }

  /// The same for one that the store answers, which counts as a step more important.
  func shedsHit(_ priority: PriorityClass) -> Bool {
    switch priority {
    case .critical, .high: false
    case .normal: overload.sheds(.high)
    case .low: overload.sheds(.normal)
    }
  }
}
