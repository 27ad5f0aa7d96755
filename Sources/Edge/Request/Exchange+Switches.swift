// What an operator has switched over, as a request meets it; and the paths by which load balancers ask.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTPMessage
internal import Metrics
internal import Rules

/// The paths of `health_paths`.
final class HealthPaths {
  private let live: ByteBuffer
  private let ready: ByteBuffer
  private let networks: AddressSet?

  init(_ configuration: HealthPathsConfiguration) {
    var live = ByteBuffer()
    live.append(text: configuration.live)
    var ready = ByteBuffer()
    ready.append(text: configuration.ready)
    self.live = live
    self.ready = ready
    networks = configuration.networks
  }

  /// What is asked.
  enum Question {
    case isAlive, isReady
  }

  /// What a path asks; nil for all others, and for clients that may not ask.
  func question(_ path: ByteView, from client: SocketAddress) -> Question? {
    let question: Question
    if path == live.view {
      question = .isAlive
    } else if path == ready.view {
      question = .isReady
    } else {
      return nil
    }
    guard let networks else { return question }
    return networks.contains(IPAddress(high: client.high, low: client.low)) ? question : nil
  }
}

extension Exchange {
  /// Answers who asks how the node is. False: it is a request as any other.
  @inline(never)
  func answersHealth(_ head: RequestHead, on connection: some ClientStream) -> Bool {
    guard let paths = generation.routes.health, head.method == .get || head.method == .head,
      let question = paths.question(head.bytes[head.path], from: client)
    else { return false }
    let worker = connection.worker
    isHealthCheck = true
    worker.lines.removeAll()
    let isReady = !worker.isEnding && !worker.context.switches.isDrained
    switch question {
    case .isAlive:
      answer(
        status: 200, content: ByteView("ok"), type: "text/plain; charset=utf-8", on: connection)
    case .isReady where isReady:
      answer(
        status: 200, content: ByteView("ready"), type: "text/plain; charset=utf-8", on: connection)
    case .isReady:
      let text = worker.isEnding ? ByteView("stopping") : ByteView("drained")
      answer(status: 503, content: text, type: "text/plain; charset=utf-8", on: connection)
    }
    return true
  }

  /// Looks what is switched on the request's route. False: it is answered.
  @inline(never)
  func passesSwitches(_ version: UInt64, on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    if worker.switches.version != version || worker.switches.generation != generation.number {
      worker.switches = SwitchTable(
        worker.context.switches, version: version, generation.shared.configuration,
        generation: generation.number)
    }
    guard route < worker.switches.storeOnly.count else { return true }
    isStoreOnly = worker.switches.storeOnly[route]
    guard let maintenance = worker.switches.maintenance[route] else { return true }
    worker.counters.add(.requestsInMaintenance)
    if head(worker).framing != .none {
      connection.endAfterResponse()
      wasRefused = true
    }
    worker.lines.removeAll()
    worker.lines.append("retry-after: ")
    worker.lines.append(decimal: UInt64(maintenance.retryAfter))
    worker.lines.append("\r\n")
    guard let page = maintenance.page else {
      answer(status: 503, text: "Down for maintenance.", on: connection)
      return false
    }
    let isHTML = page.first == UInt8(ascii: "<")
    page.withView { content in
      answer(
        status: 503, content: content,
        type: isHTML ? "text/html; charset=utf-8" : "text/plain; charset=utf-8", on: connection)
    }
    return false
  }

  /// It would have to go to an origin, and nothing does.
  func answerWithoutOrigin(on connection: some ClientStream) {
    let worker = connection.worker
    result = .none
    worker.counters.add(.requestsWithoutOrigin)
    worker.lines.removeAll()
    answer(status: 504, text: "Not in the store, and no origin is asked now.", on: connection)
  }
}
