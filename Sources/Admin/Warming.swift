// Fetching ahead of clients: URLs are asked for as a client on this machine would, through the node's own
// listener, so that what comes of it is what a client would cause: routes, rules, keys and the store are
// those of the data path, and nothing here knows about them.
//
// A few threads, started with the first order, take URLs at the rates of the orders. All in blocking
// calls with a patience: nobody waits for them but who asked for their progress. Orders of other PoPs come by
// the fleet (Warming+Fleet.swift).

internal import Bytes
internal import CLinux
package import Configuration
internal import Edge
package import EventLoop
internal import Fleet
import Synchronization

/// The threads and the orders.
package final class Warming: Sendable {
  /// The most URLs of an order, and of all that wait.
  static let limit = 50_000
  /// Orders that are remembered.
  private static let kept = 64
  private static let threadCount = 4
  /// How long an answer may say nothing, ms, and how long it may take, ns.
  private static let patience: Int32 = 30_000
  private static let longest: Int64 = 600_000_000_000
  private static let sitemapLimit = 52_428_800

  struct Job {
    var report: WarmReport
    var waiting: [WarmTarget]
    var next = 0
    /// Which URLs may be asked for; nil: not known yet.
    var scope: SiteURLs?
    /// URLs of the fleet that are not read yet, a line each.
    var unread: [UInt8]?
    /// Nanoseconds between two URLs.
    var pause: Int64
    /// When the next may go (monotonic).
    var due: Int64 = 0
  }

  struct State {
    var jobs: [Job] = []
    var lastID: UInt64 = 0
    var isOpen = false
    var isStopping = false
    var threads: [LoopThread] = []
    var wakers: [Waker] = []
  }

  private let address: SocketAddress
  private let clock: NodeClock
  let configuration: @Sendable () -> NodeConfiguration?
  let state = Mutex(State())

  /// - Parameters:
  ///   - address: a listener of the node's, without TLS or a PROXY header.
  ///   - configuration: what is in force, for the sites of orders of the fleet; nil: the node ends.
  package init(
    _ address: SocketAddress, clock: NodeClock,
    configuration: @escaping @Sendable () -> NodeConfiguration?
  ) {
    self.address = address
    self.clock = clock
    self.configuration = configuration
  }

  /// Takes orders of the fleet from now on: the node answers on its listener.
  package func open() { state.withLock { $0.isOpen = true } }

  /// Takes an order; nil if too much waits already.
  func begin(
    _ targets: [WarmTarget], rate: Int, scope: SiteURLs, who: String, order: FleetWarmOrder? = nil
  ) throws(Errno) -> WarmReport? {
    var report = WarmReport(id: 0, who: who, time: 0, total: targets.count)
    report.order = order
    return try begin(report, rate: rate) { report in
      Job(report: report, waiting: targets, scope: scope, pause: 0)
    }
  }

  /// Notes an order, and has a thread take it.
  func begin(
    _ report: WarmReport, rate: Int, _ job: (WarmReport) -> Job
  ) throws(Errno) -> WarmReport? {
    let (begun, wakers) = state.withLock { state -> (WarmReport?, [Waker]) in
      var job = job(report)
      guard !state.isStopping, Self.waiting(in: state) + job.waiting.count <= Self.limit else {
        return (nil, [])
      }
      job.pause = 1_000_000_000 / Int64(min(max(rate, 1), WarmOrder.rates.upperBound))
      return (append(job, to: &state), state.wakers)
    }
    if begun != nil && wakers.isEmpty { try startThreads() }
    for waker in wakers { waker.wake() }
    return begun
  }

  /// Gives an order its number and time, and remembers it for as long as it is among the last.
  @discardableResult
  func append(_ job: Job, to state: inout State) -> WarmReport {
    var job = job
    let now = clock.now()
    job.report.time = now.wall
    job.report.began = now.monotonic
    state.lastID += 1
    job.report.id = state.lastID
    state.jobs.append(job)
    while state.jobs.count > Self.kept,
      let old = state.jobs.firstIndex(where: { $0.report.isOver })
    {
      state.jobs.remove(at: old)
    }
    return job.report
  }

  /// URLs that are to be asked for.
  static func waiting(in state: borrowing State) -> Int {
    state.jobs.reduce(0) { $0 + $1.waiting.count - $1.next }
  }

  /// How far an order is: by its number, or by its name in the fleet.
  func report(_ name: String) -> WarmReport? {
    let id = UInt64(name)
    return state.withLock { state in
      state.jobs.first { $0.report.id == id || $0.report.order?.name == name }?.report
    }
  }

  /// All orders that are remembered, newest first.
  var reports: [WarmReport] { state.withLock { $0.jobs.reversed().map(\.report) } }

  /// Ends an order; what is under way is given up within a second.
  func cancel(_ id: UInt64) -> WarmReport? {
    state.withLock { state in
      guard let place = state.jobs.firstIndex(where: { $0.report.id == id }) else { return nil }
      if !state.jobs[place].report.isOver {
        state.jobs[place].report.isCancelled = true
        state.jobs[place].next = state.jobs[place].waiting.count
        state.jobs[place].unread = nil
      }
      return state.jobs[place].report
    }
  }

  /// Ends the threads; a URL that is under way is given up within a second.
  package func stop() {
    let (threads, wakers) = state.withLock { state in
      state.isStopping = true
      defer { state.threads = [] }
      return (state.threads, state.wakers)
    }
    for waker in wakers { waker.wake() }
    for thread in threads { thread.join() }
  }

  // MARK: The threads

  private func startThreads() throws(Errno) {
    var wakers: [Waker] = []
    for _ in 0..<Self.threadCount { wakers.append(try Waker()) }
    let made = wakers
    state.withLock { state in
      guard state.wakers.isEmpty, !state.isStopping else { return }
      state.wakers = made
      state.threads = made.map { waker in
        LoopThread(name: "weir-warm") { [weak self] in
          while let pause = self?.step() { waker.wait(milliseconds: pause) }
        }
      }
    }
  }

  private enum Step {
    case ask(UInt64, WarmTarget, SiteURLs?)
    case read(UInt64, FleetWarmOrder, [UInt8])
    case wait(Int32)
    case end
  }

  /// Asks for a URL if one is due; how long to wait then, ms; nil at the end.
  private func step() -> Int32? {
    let now = clock.now().monotonic
    let step = state.withLock { state -> Step in
      if state.isStopping { return .end }
      if let place = state.jobs.firstIndex(where: { $0.unread != nil }) {
        defer { state.jobs[place].unread = nil }
        if let order = state.jobs[place].report.order, let urls = state.jobs[place].unread {
          return .read(state.jobs[place].report.id, order, urls)
        }
      }
      var pause = Int64.max
      for place in state.jobs.indices where state.jobs[place].next < state.jobs[place].waiting.count
      {
        let due = state.jobs[place].due
        if due > now {
          pause = min(pause, due - now)
          continue
        }
        // Never faster than the rate, also after a pause.
        state.jobs[place].due = max(due, now - state.jobs[place].pause) + state.jobs[place].pause
        state.jobs[place].next += 1
        return .ask(
          state.jobs[place].report.id, state.jobs[place].waiting[state.jobs[place].next - 1],
          state.jobs[place].scope)
      }
      return .wait(pause == .max ? -1 : Int32(clamping: pause / 1_000_000 + 1))
    }
    switch step {
    case .end: return nil
    case .wait(let pause): return clock.standsStill && pause > 0 ? 1 : pause
    case .read(let id, let order, let urls):
      read(urls, of: order, into: id)
      return 0
    case .ask(let id, let target, let scope):
      ask(target, of: id, within: scope)
      return 0
    }
  }

  private func ask(_ target: WarmTarget, of id: UInt64, within scope: SiteURLs?) {
    var content: [UInt8] = []
    let outcome = fetch(
      target, of: id, keeping: target.levels > 0 ? Self.sitemapLimit : 0, in: &content)
    // Tens of thousands of URLs: not within the lock, for which the fleet's thread may wait.
    let found = target.levels > 0 ? Self.targets(in: content, below: target, within: scope) : []
    state.withLock { state in
      guard let place = state.jobs.firstIndex(where: { $0.report.id == id }) else { return }
      Self.note(outcome, of: target, in: &state.jobs[place].report)
      guard !state.jobs[place].report.isCancelled else { return }
      let room = max(0, Self.limit - state.jobs[place].waiting.count)
      state.jobs[place].waiting += found.prefix(room)
      state.jobs[place].report.total += min(found.count, room)
    }
  }

  /// What a sitemap names, as far as it is of the order's sites.
  private static func targets(
    in content: [UInt8], below sitemap: WarmTarget, within scope: SiteURLs?
  ) -> [WarmTarget] {
    var targets: [WarmTarget] = []
    for (url, isSitemap) in content.withView({ Sitemap.locations($0) }) {
      guard targets.count < limit, !isSitemap || sitemap.levels > 1,
        var target = scope?.target(of: url)
      else { continue }
      target.levels = isSitemap ? sitemap.levels - 1 : 0
      targets.append(target)
    }
    return targets
  }

  private static func note(
    _ outcome: WarmOutcome, of target: WarmTarget, in report: inout WarmReport
  ) {
    report.done += 1
    switch outcome {
    case .answered(let status, let isHit, let bytes):
      report.bytes &+= bytes
      if status >= 400 {
        report.failed += 1
        if report.firstFailure.isEmpty {
          report.firstFailure = "//\(target.authority)\(target.target): status \(status)"
        }
      } else if isHit {
        report.hits += 1
      } else {
        report.fetched += 1
      }
    case .failed(let reason):
      report.failed += 1
      if report.firstFailure.isEmpty {
        report.firstFailure = "//\(target.authority)\(target.target): \(reason)"
      }
    }
  }

  /// Whether nobody wants the rest of an answer.
  private func isOver(_ id: UInt64) -> Bool {
    state.withLock { state in
      state.isStopping
        || !state.jobs.contains { $0.report.id == id && !$0.report.isCancelled }
    }
  }

  // MARK: One URL

  /// Asks the node for a URL and reads all of the answer; up to `limit` bytes of the content are kept.
  private func fetch(
    _ target: WarmTarget, of id: UInt64, keeping limit: Int, in kept: inout [UInt8]
  ) -> WarmOutcome {
    do throws(Errno) {
      let socket = try Socket.connect(to: address)
      let request = Array(
        // By HTTP/1.0 an answer without a length ends with the connection, and is in no chunks.
        ("GET \(target.target) HTTP/1.0\r\nHost: \(target.authority)\r\n"
          + "User-Agent: weir-warm\r\nAccept-Encoding: identity\r\n\r\n").utf8)
      guard wait(for: Int16(POLLOUT), of: id, on: socket) else { return .failed("no connection") }
      guard request.withView({ socket.send($0) }).count == request.count else {
        return .failed("the request could not be sent")
      }
      return read(from: socket, of: id, keeping: limit, in: &kept)
    } catch {
      return .failed("\(error)")
    }
  }

  private func read(
    from socket: borrowing Descriptor, of id: UInt64, keeping limit: Int, in kept: inout [UInt8]
  ) -> WarmOutcome {
    var reader = AnswerReader(keeping: limit)
    var buffer = ByteBuffer()
    let end = clock.now().monotonic + Self.longest
    while true {
      guard wait(for: Int16(POLLIN), of: id, on: socket) else {
        return .failed("no answer in time")
      }
      // However steadily it comes: a stream of events has no end.
      guard clock.now().monotonic < end, !isOver(id) else {
        return .failed("given up before its end")
      }
      buffer.removeAll()
      let result = socket.receive(onto: &buffer, limit: 64 << 10)
      guard let count = result.count else {
        if result.wouldBlock { continue }
        return .failed("the answer was cut off")
      }
      if count == 0 { break }
      reader.take(buffer.view)
    }
    kept = reader.kept
    return reader.outcome
  }

  /// Whether something has come of a descriptor in time; looks each second whether the node stops.
  private func wait(
    for events: Int16, of id: UInt64, on socket: borrowing Descriptor
  ) -> Bool {
    for _ in 0..<Self.patience / 1_000 {
      var descriptors = pollfd(fd: socket.number, events: events, revents: 0)
      if unsafe poll(&descriptors, 1, 1_000) != 0 { return true }
      if isOver(id) { return false }
    }
    return false
  }
}
