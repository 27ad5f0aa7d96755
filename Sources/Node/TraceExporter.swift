// The thread that sends traces to their collector. It waits for a first one, gathers for a moment what
// else comes, and posts it. While the collector is down what comes is kept as far as the queue goes, then
// dropped and counted; nobody waits for it.

internal import Authentication
internal import Bytes
internal import Configuration
internal import EventLoop
internal import Synchronization
package import Tracing

/// Exports traces.
package final class TraceExporter: Sendable {
  /// Where workers leave them.
  package let queue: TraceQueue
  private let waker: Waker
  private let post: DocumentPost
  private let encoder: OTLPEncoder
  private let collector: String
  private let note: @Sendable (String) -> Void
  private let isEnding = Atomic(false)
  private let thread = Mutex<LoopThread?>(nil)

  /// The most requests of one export.
  private static let batch = 512
  /// How long others are waited for, and how long it is after a failure, in milliseconds.
  private static let gathering: Int32 = 1_000
  private static let pause: Int64 = 5_000

  init(
    _ configuration: TraceConfiguration, node: String, version: String,
    note: @escaping @Sendable (String) -> Void
  ) throws {
    let waker = try Waker()
    self.waker = waker
    queue = TraceQueue { waker.wake() }
    do throws(KeyURL.Defect) {
      post = DocumentPost(
        url: try KeyURL(configuration.collector), contentType: OTLPEncoder.contentType,
        timeout: 5_000)
    } catch {
      throw NodeError("trace: \(configuration.collector) is not a URL")
    }
    encoder = OTLPEncoder(node: node, version: version)
    collector = configuration.collector
    self.note = note
  }

  func start() {
    thread.withLock { $0 = LoopThread(name: "weir-traces") { [self] in run() } }
  }

  /// Sends what there is, once, and ends.
  func stop() {
    queue.close()
    isEnding.store(true, ordering: .releasing)
    waker.wake()
    thread.withLock { $0.take() }?.join()
  }

  private func run() {
    var hasFailed = false
    while true {
      let isEnding = isEnding.load(ordering: .acquiring)
      let records = queue.take(most: Self.batch)
      if records.isEmpty {
        if isEnding { return }
        // Until somebody leaves a first record; then for more of them.
        waker.wait(milliseconds: -1)
        if !self.isEnding.load(ordering: .acquiring) { waker.wait(milliseconds: Self.gathering) }
        continue
      }
      let failure = send(records)
      if let failure {
        if !hasFailed { note("traces: \(collector) does not take them: \(failure)") }
        if isEnding { return }
        pause()
      } else if hasFailed {
        note("traces: \(collector) takes them again")
      }
      hasFailed = failure != nil
    }
  }

  /// Leaves the collector alone for a moment, whatever comes meanwhile.
  private func pause() {
    let clock = NodeClock()
    let end = clock.monotonic() + Self.pause * 1_000_000
    while !isEnding.load(ordering: .acquiring) {
      let left = (end - clock.monotonic()) / 1_000_000
      if left <= 0 { return }
      waker.wait(milliseconds: Int32(clamping: left))
    }
  }

  private func send(_ records: [TraceRecord]) -> FetchError? {
    let export = encoder.encode(records)
    do throws(FetchError) {
      try post.send(export.view)
      queue.note(sent: records.count)
      return nil
    } catch {
      queue.note(lost: records.count)
      return error
    }
  }
}
