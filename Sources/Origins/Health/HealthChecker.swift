// Active checks: one thread for the process, whatever the number of workers, with a loop of its own. What
// it finds is written into the servers' words, which every choice reads; so a dead server leaves all
// workers' rotation at the same moment.
//
// A server is checked at its pace in or out of rotation (a check that is still under way when the next is
// due is let end). Only changes are told (`onChange`): a server that stays down is checked silently.

package import Bytes
package import EventLoop
import Synchronization

/// A server has left or joined the rotation.
package struct HealthChange: Sendable {
  /// The pool's name.
  package let pool: String
  /// The server's.
  package let server: String
  /// Whether it is up now.
  package let isUp: Bool
  /// The last check's result.
  package let result: CheckResult
}

/// Signs the requests of a pool's checks. Belongs to the checker's thread.
package protocol CheckSigner: AnyObject {
  /// Signs a request's head in its place.
  ///
  /// - Parameters:
  ///   - head: the whole head, its empty line included. It has no content.
  ///   - now: milliseconds since the epoch.
  func sign(_ head: inout ByteBuffer, now: Int64)
}

/// A pool, and what its checks need beside it.
package struct CheckedPool: Sendable {
  let pool: OriginPool
  let makeSigner: (@Sendable () -> (any CheckSigner)?)?

  /// - Parameter makeSigner: called on the checker's thread; nil where checks are not signed.
  package init(
    _ pool: OriginPool, makeSigner: (@Sendable () -> (any CheckSigner)?)? = nil
  ) {
    self.pool = pool
    self.makeSigner = makeSigner
  }
}

/// See the top of this file.
package final class HealthChecker: Sendable {
  private enum Command: Sendable {
    case replace([CheckedPool])
    case stop
  }

  private let inbox: Inbox<Command>
  private let clock: NodeClock
  private let onChange: @Sendable (HealthChange) -> Void
  private let first: [CheckedPool]
  private let seed: UInt64
  private let thread = Mutex<LoopThread?>(nil)

  /// A checker of those pools that have checks. `onChange` is called on the checker's thread.
  package init(
    pools: [CheckedPool], clock: NodeClock, seed: UInt64,
    onChange: @escaping @Sendable (HealthChange) -> Void
  ) throws(Errno) {
    inbox = try Inbox()
    self.clock = clock
    self.seed = seed
    self.onChange = onChange
    first = pools
    clock.follow(inbox.waker)
  }

  /// Starts to check.
  package func start() throws(Errno) {
    // Not Sendable: made here, used by the thread alone from then on.
    let poller = try Poller.open(capacity: 64)
    try poller.addReader(inbox.waker.descriptor, token: CheckLoop.wakeToken)
    let handOver = Mutex<Poller?>(poller)
    thread.withLock { thread in
      thread = LoopThread(name: "weir-health") { [self] in
        guard let poller = handOver.withLock({ $0.take() }) else { return }
        let loop = CheckLoop(poller: poller, clock: clock, seed: seed, onChange: onChange)
        loop.replace(first)
        loop.run { [inbox] in
          var goesOn = true
          inbox.waker.clear()
          for command in inbox.take() {
            switch command {
            case .replace(let pools): loop.replace(pools)
            case .stop: goesOn = false
            }
          }
          return goesOn
        }
      }
    }
  }

  /// Goes on with other pools, after a reload: what is known of servers that stay is kept by them.
  package func replace(_ pools: [CheckedPool]) { inbox.post(.replace(pools)) }

  /// Ends the thread.
  package func stop() {
    inbox.post(.stop)
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
  }
}

/// What the thread runs.
final class CheckLoop {
  static let wakeToken = UInt64.max
  /// Timers' tokens: a target's name, or a probe's with this bit.
  private static let probeTimer: UInt64 = 1 << 62
  /// Of a connection that is being made, with this one: whether it is time for the next address.
  private static let addressTimer: UInt64 = 1 << 61

  private final class Target {
    let pool: OriginPool
    let index: Int
    let settings: HealthCheckSettings
    let signer: (any CheckSigner)?
    var schedule: CheckSchedule
    var probe: UInt64?

    init(
      _ pool: OriginPool, _ index: Int, _ settings: HealthCheckSettings,
      signer: (any CheckSigner)?, schedule: CheckSchedule
    ) {
      self.pool = pool
      self.index = index
      self.settings = settings
      self.signer = signer
      self.schedule = schedule
    }
  }

  private let poller: Poller
  private let clock: NodeClock
  private let onChange: @Sendable (HealthChange) -> Void
  private var random: SeededRandom
  private var timers = TimerQueue()
  private var targets = Slab<Target>()
  private var probes = Slab<Probe>()
  private var now: Int64 = 0

  init(
    poller: consuming Poller, clock: NodeClock, seed: UInt64,
    onChange: @escaping @Sendable (HealthChange) -> Void
  ) {
    self.poller = poller
    self.clock = clock
    self.onChange = onChange
    random = SeededRandom(seed: seed)
  }

  func replace(_ pools: [CheckedPool]) {
    now = clock.now().monotonic
    for token in targetTokens { targets.remove(token) }
    targetTokens = []
    for checked in pools {
      let pool = checked.pool
      guard let settings = pool.settings.health else { continue }
      let signer = checked.makeSigner?()
      for index in pool.servers.indices {
        let target = Target(
          pool, index, settings, signer: signer,
          schedule: CheckSchedule(interval: settings.interval, now: now, random: &random))
        let token = targets.insert(target)
        targetTokens.append(token)
        timers.set(deadline: target.schedule.next, token: token)
      }
    }
  }
  private var targetTokens: [UInt64] = []

  /// Runs until `commands`, which is called whenever the loop was woken, says no.
  func run(_ commands: () -> Bool) {
    while true {
      let count = poller.wait(timeout: pause())
      now = clock.now().monotonic
      var goesOn = true
      for number in 0..<count {
        let token = poller.token(number)
        if token == Self.wakeToken {
          goesOn = commands() && goesOn
        } else if let probe = probes.element(token) {
          advance(probe, token, probe.handle(poller.readiness(number)))
        }
      }
      guard goesOn else { return }
      while let token = timers.takeDue(now: now) { timerRang(token) }
    }
  }

  private func pause() -> Int64 {
    guard let next = timers.next else { return -1 }
    if clock.standsStill { return next <= clock.now().monotonic ? 0 : -1 }
    return max(0, next &- clock.now().monotonic)
  }

  private func timerRang(_ token: UInt64) {
    if token & Self.probeTimer != 0 {
      let token = token & ~Self.probeTimer
      guard let probe = probes.element(token) else { return }
      if probe.isConnecting { addressFailed(probe) }
      end(probe, token, .timedOut)
      return
    }
    if token & Self.addressTimer != 0 {
      let token = token & ~Self.addressTimer
      if let probe = probes.element(token) { tryNextAddress(probe, token) }
      return
    }
    guard let target = targets.element(token) else { return }
    target.schedule.began(now: now, random: &random)
    timers.set(deadline: target.schedule.next, token: token)
    if target.pool.cells[target.index].administrative == .disabled { return }
    if let probe = target.probe, probes.element(probe) != nil { return }
    let probe = Probe(
      pool: target.pool, index: target.index, settings: target.settings, signer: target.signer,
      now: now)
    let name = probes.insert(probe)
    target.probe = name
    timers.set(
      deadline: now &+ max(target.settings.timeout, 1_000_000), token: name | Self.probeTimer)
    connect(probe, name)
  }

  /// The connection takes long, and there is another address: that one then (RFC 8305 §5).
  private func tryNextAddress(_ probe: Probe, _ token: UInt64) {
    guard probe.isConnecting, probe.plan.hasMore, now >= probe.connectStarted &+ ConnectPlan.delay
    else { return }
    advance(probe, token, .nextAddress)
  }

  private func addressFailed(_ probe: Probe) {
    guard let address = probe.plan.address(of: probe.attempt - 1) else { return }
    probe.pool.servers[probe.index].addressFailed(address, now: now)
  }

  private func connect(_ probe: Probe, _ token: UInt64) {
    let server = probe.pool.servers[probe.index]
    if case .unix(let path) = server.location {
      // One path, one try.
      guard probe.attempt == 0 else { return end(probe, token, .connectFailed) }
      do throws(Errno) {
        let socket = try UnixSocket.connect(to: path)
        probe.attempt = 1
        watch(probe, token, Listener(socket))
      } catch {
        if error.isExhaustion { abandon(probe, token) } else { end(probe, token, .connectFailed) }
      }
      return
    }
    while case .connect(let address, let number) = probe.plan.next(now: now) {
      probe.attempt += 1
      do throws(Errno) {
        let socket = try Socket.connect(to: address)
        watch(probe, token, Listener(socket))
        return
      } catch {
        if error.isExhaustion { return abandon(probe, token) }
      }
      probe.plan.failed(number, now: now)
      server.addressFailed(address, now: now)
    }
    end(probe, token, probe.attempt == 0 ? .unresolved : .connectFailed)
  }

  private func watch(_ probe: Probe, _ token: UInt64, _ connection: Listener) {
    probe.begin(connection, now: now, wall: clock.now().wall)
    if probe.plan.hasMore {
      timers.set(deadline: now &+ ConnectPlan.delay, token: token | Self.addressTimer)
    }
    guard (try? poller.add(connection.socket, token: token)) != nil else {
      return end(probe, token, .connectFailed)
    }
  }

  private func advance(_ probe: Probe, _ token: UInt64, _ progress: Probe.Progress) {
    switch progress {
    case .waiting: break
    case .ended(let result): end(probe, token, result)
    case .nextAddress:
      drop(probe)
      addressFailed(probe)
      probe.plan.failed(probe.attempt - 1, now: now)
      connect(probe, token)
    }
  }

  /// The node has nothing left to connect with: the check says nothing of the server.
  private func abandon(_ probe: Probe, _ token: UInt64) {
    drop(probe)
    probes.remove(token)
  }

  private func drop(_ probe: Probe) {
    if let connection = probe.connection { poller.remove(connection.socket) }
    probe.drop()
  }

  private func end(_ probe: Probe, _ token: UInt64, _ result: CheckResult) {
    drop(probe)
    probes.remove(token)
    if let load = probe.load { probe.pool.loadReported(probe.index, permille: load, now: now) }
    let hasChanged = probe.pool.checked(
      probe.index, result, latency: now &- probe.started, now: now)
    guard hasChanged else { return }
    onChange(
      HealthChange(
        pool: probe.pool.settings.name, server: probe.pool.servers[probe.index].name,
        isUp: result.isPass, result: result))
  }
}
