// Fetching ahead of clients: URLs are asked for as a client on this machine would, through the node's own
// listener, so that what comes of it is what a client would cause: routes, rules, keys and the store are
// those of the data path, and nothing here knows about them.
//
// A few threads, started with the first order, take URLs at the rates of the orders. All in blocking
// calls with a patience: nobody waits for them but who asked for their progress.

internal import Bytes
internal import CLinux
internal import Edge
internal import EventLoop
import Synchronization

/// An order to warm, and how far it is.
struct WarmReport: Sendable {
  var id: UInt64
  var who: String
  /// When it was given, ms since the epoch.
  var time: Int64
  var total: Int
  var done = 0
  /// Answered from the store.
  var hits = 0
  /// Answered by the origin.
  var fetched = 0
  /// Refused, cut off, or answered with 400 or more.
  var failed = 0
  var bytes: UInt64 = 0
  var isCancelled = false
  /// The first thing that went wrong.
  var firstFailure = ""

  /// The report as JSON.
  var text: JSONText {
    .object([
      ("id", .number(id)), ("who", .string(who)), ("time", .string(Timestamp.text(time))),
      (
        "state",
        .string(isCancelled ? "cancelled" : done >= total ? "done" : "running")
      ),
      ("urls", number(total)), ("done", number(done)), ("hits", number(hits)),
      ("fetched", number(fetched)), ("failed", number(failed)), ("bytes", .number(bytes)),
      ("failure", firstFailure.isEmpty ? .null : .string(firstFailure)),
    ])
  }

  private func number(_ value: Int) -> JSONText { .number(UInt64(clamping: value)) }
}

/// A URL to be asked for.
struct WarmTarget: Sendable {
  /// What `Host` says.
  let authority: String
  /// Path and query.
  let target: String
  /// How many levels of URLs its content names that are to be asked for: 1 for a sitemap, 2 where it may
  /// be a list of sitemaps; 0: none.
  var levels = 0
}

/// The threads and the orders.
final class Warming: Sendable {
  /// The most URLs of an order, and of all that wait.
  static let limit = 50_000
  /// Orders that are remembered.
  private static let kept = 64
  private static let threadCount = 4
  private static let patience: Int32 = 30_000
  private static let sitemapLimit = 52_428_800

  private struct Job {
    var report: WarmReport
    var waiting: [WarmTarget]
    var next = 0
    /// Which URLs of sitemaps may be asked for.
    let scope: SiteURLs
    /// Nanoseconds between two URLs.
    var pause: Int64
    /// When the next may go (monotonic).
    var due: Int64 = 0
  }

  private struct State {
    var jobs: [Job] = []
    var lastID: UInt64 = 0
    var isStopping = false
    var threads: [LoopThread] = []
    var wakers: [Waker] = []
  }

  private let address: SocketAddress
  private let clock: NodeClock
  private let state = Mutex(State())

  /// - Parameter address: a listener of the node's, without TLS or a PROXY header.
  init(_ address: SocketAddress, clock: NodeClock) {
    self.address = address
    self.clock = clock
  }

  /// Takes an order; nil if too much waits already.
  func begin(
    _ targets: [WarmTarget], rate: Int, scope: SiteURLs, who: String, time: Int64
  ) throws(Errno) -> WarmReport? {
    let (report, wakers) = state.withLock { state -> (WarmReport?, [Waker]) in
      let waiting = state.jobs.reduce(0) { $0 + $1.waiting.count - $1.next }
      guard !state.isStopping, waiting + targets.count <= Self.limit else { return (nil, []) }
      state.lastID += 1
      let report = WarmReport(id: state.lastID, who: who, time: time, total: targets.count)
      state.jobs.append(
        Job(
          report: report, waiting: targets, scope: scope,
          pause: 1_000_000_000 / Int64(max(rate, 1))))
      while state.jobs.count > Self.kept,
        let old = state.jobs.firstIndex(where: { $0.report.done >= $0.report.total })
      {
        state.jobs.remove(at: old)
      }
      return (report, state.wakers)
    }
    if report != nil && wakers.isEmpty { try startThreads() }
    for waker in wakers { waker.wake() }
    return report
  }

  /// How far an order is.
  func report(_ id: UInt64) -> WarmReport? {
    state.withLock { $0.jobs.first { $0.report.id == id }?.report }
  }

  /// All orders that are remembered, newest first.
  var reports: [WarmReport] { state.withLock { $0.jobs.reversed().map(\.report) } }

  /// Ends an order; what is under way ends by itself.
  func cancel(_ id: UInt64) -> WarmReport? {
    state.withLock { state in
      guard let place = state.jobs.firstIndex(where: { $0.report.id == id }) else { return nil }
      if state.jobs[place].report.done < state.jobs[place].report.total {
        state.jobs[place].report.isCancelled = true
        state.jobs[place].next = state.jobs[place].waiting.count
      }
      return state.jobs[place].report
    }
  }

  /// Ends the threads; a URL that is under way is given up within a second.
  func stop() {
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
    case ask(UInt64, WarmTarget)
    case wait(Int32)
    case end
  }

  /// Asks for a URL if one is due; how long to wait then, ms; nil at the end.
  private func step() -> Int32? {
    let now = clock.now().monotonic
    let step = state.withLock { state -> Step in
      if state.isStopping { return .end }
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
          state.jobs[place].report.id, state.jobs[place].waiting[state.jobs[place].next - 1])
      }
      return .wait(pause == .max ? -1 : Int32(clamping: pause / 1_000_000 + 1))
    }
    switch step {
    case .end: return nil
    case .wait(let pause): return clock.standsStill && pause > 0 ? 1 : pause
    case .ask(let id, let target):
      var content: [UInt8] = []
      let outcome = fetch(
        target, keeping: target.levels > 0 ? Self.sitemapLimit : 0, in: &content)
      let found = target.levels > 0 ? content.withView { Sitemap.locations($0) } : []
      state.withLock { state in
        guard let place = state.jobs.firstIndex(where: { $0.report.id == id }) else { return }
        Self.note(outcome, of: target, in: &state.jobs[place].report)
        Self.add(found, levels: target.levels - 1, to: &state.jobs[place])
      }
      return 0
    }
  }

  /// Adds what a sitemap names, as far as it is of the order's sites and there is room.
  private static func add(
    _ found: [(url: String, isSitemap: Bool)], levels: Int, to job: inout Job
  ) {
    guard !job.report.isCancelled else { return }
    for (url, isSitemap) in found {
      guard job.waiting.count < limit, !isSitemap || levels > 0,
        var target = job.scope.target(of: url)
      else { continue }
      target.levels = isSitemap ? levels : 0
      job.waiting.append(target)
      job.report.total += 1
    }
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

  private var isStopping: Bool { state.withLock { $0.isStopping } }

  // MARK: One URL

  /// Asks the node for a URL and reads all of the answer; up to `limit` bytes of the content are kept.
  private func fetch(
    _ target: WarmTarget, keeping limit: Int, in kept: inout [UInt8]
  ) -> WarmOutcome {
    do throws(Errno) {
      let socket = try Socket.connect(to: address)
      let request = Array(
        // By HTTP/1.0 an answer without a length ends with the connection, and is in no chunks.
        ("GET \(target.target) HTTP/1.0\r\nHost: \(target.authority)\r\n"
          + "User-Agent: weir-warm\r\nAccept-Encoding: identity\r\n\r\n").utf8)
      guard wait(for: Int16(POLLOUT), on: socket) else { return .failed("no connection") }
      guard request.withView({ socket.send($0) }).count == request.count else {
        return .failed("the request could not be sent")
      }
      return read(from: socket, keeping: limit, in: &kept)
    } catch {
      return .failed("\(error)")
    }
  }

  private func read(
    from socket: borrowing Descriptor, keeping limit: Int, in kept: inout [UInt8]
  ) -> WarmOutcome {
    var reader = AnswerReader(keeping: limit)
    var buffer = ByteBuffer()
    while true {
      guard wait(for: Int16(POLLIN), on: socket) else { return .failed("no answer in time") }
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
  private func wait(for events: Int16, on socket: borrowing Descriptor) -> Bool {
    for _ in 0..<Self.patience / 1_000 {
      var descriptors = pollfd(fd: socket.number, events: events, revents: 0)
      if unsafe poll(&descriptors, 1, 1_000) != 0 { return true }
      if isStopping { return false }
    }
    return false
  }
}

/// What came of a URL.
enum WarmOutcome: Equatable {
  /// An answer, whole.
  case answered(status: Int, isHit: Bool, bytes: UInt64)
  /// None.
  case failed(String)
}

/// Reads an answer on a connection that ends with it: the head is kept, the content counted.
private struct AnswerReader: ~Copyable {
  private var head = ByteBuffer()
  private var isInHead = true
  private var bytes: UInt64 = 0
  private let limit: Int
  private(set) var kept: [UInt8] = []

  init(keeping limit: Int) { self.limit = limit }

  mutating func take(_ view: ByteView) {
    guard isInHead else { return content(view) }
    // Heads are at most 64 KiB here; what is longer is none.
    let before = head.count
    head.append(view)
    let end = ByteView("\r\n\r\n")
    var place = max(0, before - 3)
    while place + 4 <= head.count {
      if head.view[place..<place + 4] == end {
        isInHead = false
        let rest = head.view.dropping(first: place + 4).array
        head.truncate(to: place + 2)
        return rest.withView { content($0) }
      }
      place += 1
    }
  }

  private mutating func content(_ view: ByteView) {
    bytes &+= UInt64(view.count)
    if kept.count < limit { kept.append(contentsOf: view.prefix(limit - kept.count).array) }
  }

  /// The answer, once the connection has ended.
  var outcome: WarmOutcome {
    let words = head.view.prefix(16).string.split(separator: " ")
    guard !isInHead, words.count > 1, let status = Int(words[1]) else {
      return .failed("no answer")
    }
    let text = head.view.string.lowercased()
    if let length = value(of: "content-length", in: text).flatMap({ UInt64($0) }), length != bytes {
      return .failed("the answer was cut off")
    }
    let isHit = value(of: "cache-status", in: text)?.contains("; hit") ?? false
    return .answered(status: status, isHit: isHit, bytes: bytes)
  }

  private func value(of name: String, in text: String) -> String? {
    for line in text.split(separator: "\r\n") where line.hasPrefix("\(name):") {
      return line.dropFirst(name.count + 1).trimmingPrefix(" ").description
    }
    return nil
  }
}
