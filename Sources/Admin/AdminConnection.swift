// One operator's connection: bytes in, one request at a time, bytes out.
//
//   (hello ──→ handshake) ──→
//   head ──request──→ (content) ──→ answering ──respond──→ head …
//     └── not a request ───────────────────────respond──→ closing ──→ lingering ──→ closed
//
// The answer may be the beginning of a stream: then it is `streaming` from there on, until one of both
// ends it.
//
// The next head is looked for only when the last answer has been sent, and one request is answered in a
// turn: a client that pipelines, or does not read, holds up nobody but itself.

internal import Bytes
internal import EventLoop
internal import HTTP1
internal import HTTPMessage
internal import TLS

final class AdminConnection {
  /// Whether `step` has come to something.
  private enum Progress {
    /// There may be more to do.
    case goesOn
    /// Nothing to do until the kernel, the clock, the service or another turn of the loop says so.
    case waits
  }

  private enum Phase: Equatable {
    /// Waiting for a whole ClientHello: until then nothing is made for a connection with TLS.
    case hello
    /// In the midst of the TLS handshake.
    case handshake
    /// Waiting for a request's head, or in the middle of one.
    case head
    /// Reading the content of `request`, which is for this route.
    case content(AdminRoute)
    /// The service is at work.
    case answering
    /// Messages are sent as they come (`push`). What the client sends is dropped.
    case streaming
    /// What is in `output` is the last.
    case closing
    /// Our side has ended; what the client still sends is dropped, so that it gets the answer instead
    /// of a reset (RFC 9112 §9.6).
    case lingering
    case closed
  }

  /// For a request's head from its first byte, for its content, and for the client to take in the
  /// next part of an answer.
  private static let patience: Int64 = 10_000_000_000
  /// Between requests.
  private static let idlePatience: Int64 = 30_000_000_000
  /// For the end of what a client sends that was refused.
  private static let lingerPatience: Int64 = 2_000_000_000
  private static let readSize = 16 << 10
  /// How much a stream's client may be behind, in bytes.
  private static let maxBehind = 512 << 10
  private static let headLimits = HeadLimits(maxRequestLine: 8_192, maxHead: 32_768, maxFields: 100)

  private unowned let loop: AdminLoop
  let link: AdminLink
  private let peer: AdminPeer
  /// What its TLS begins with; nil: it has none.
  private let certificates: ServerTLSContext?
  /// Its name in the loop.
  var token: UInt64 = 0
  /// When `timerRang` means something (monotonic).
  private(set) var deadline = Int64.max
  private var timerSet = Int64.max

  private var phase = Phase.head
  private var isReadable = true
  private var isWritable = true
  private var peerEnded = false
  /// Bytes read and not yet used.
  private var input = ByteBuffer()
  /// How much of an incomplete head was looked through for its end.
  private var scanned = 0
  /// Whether the time for the current head runs.
  private var headHasBegun = true
  /// Bytes to be sent; the first `sent` of them are.
  private var output = ByteBuffer()
  private var sent = 0

  private var request: AdminRequest?
  private var content = ContentReader(.none)
  /// Whether the current answer is the last.
  private var isLast = false

  init(
    loop: AdminLoop, socket: consuming Descriptor, peer: AdminPeer, certificates: ServerTLSContext?
  ) {
    self.loop = loop
    link = AdminLink(socket)
    self.peer = peer
    self.certificates = certificates
    if certificates != nil { phase = .hello }
  }

  /// Whether it is between requests, or has not come as far as one.
  var isIdle: Bool {
    phase == .hello || phase == .head && input.isEmpty && output.isEmpty
  }
  /// Whether the service owes it an answer.
  var isAnswering: Bool { phase == .answering }

  /// The first head is due from now on.
  func opened() {
    setDeadline(Self.patience)
    advance()
  }

  /// What the kernel says.
  func handle(_ readiness: Readiness) {
    if readiness.isOver {
      close()
      return
    }
    if readiness.mayRead {
      isReadable = true
      link.noteReadable()
    }
    if readiness.mayWrite { isWritable = true }
    advance()
  }

  /// Goes on as far as bytes and room allow.
  func advance() {
    while step() == .goesOn {}
  }

  private func step() -> Progress {
    switch phase {
    case .hello: return lookForHello()
    case .handshake: return shakeHands()
    case .head: return flush() ? readHead() : .waits
    case .content(let route): return readContent(for: route)
    case .answering, .closed: return .waits
    case .streaming:
      flush()
      return phase == .streaming ? dropInput() : .waits
    case .closing:
      guard flush() else { return .waits }
      endSending()
      return .goesOn
    case .lingering: return dropInput()
    }
  }

  // MARK: TLS

  private func lookForHello() -> Progress {
    guard isReadable, let certificates else { return .waits }
    switch HelloArrival.look(at: link.socket) {
    case .incomplete: isReadable = false
    case .end: close()
    case .notTLS:
      refuse(Problem(.malformedRequest, "This listener speaks TLS: ask it by https."))
    case .complete:
      if link.begin(certificates) {
        phase = .handshake
        return .goesOn
      }
      close()
    }
    return .waits
  }

  private func shakeHands() -> Progress {
    switch link.handshake() {
    case .done:
      // What came behind the hello was read with it.
      isReadable = true
      phase = .head
      return .goesOn
    case .wantsRead, .wantsWrite, .earlyData: break
    case .failed: close()
    }
    return .waits
  }

  // MARK: Requests

  private func readHead() -> Progress {
    if !input.isEmpty, mayHoldHead {
      let head = RequestHead()
      switch RequestParser.parse(input.view, limits: Self.headLimits, into: head) {
      case .complete: return begin(head)
      case .invalid(let defect):
        refuse(Problem(defect))
        return .waits
      case .incomplete: break
      }
    }
    scanned = input.count
    if readMore() { return .goesOn }
    if phase == .head { waitForHead() }
    return .waits
  }

  /// Whether parsing may come to something: at first, so that what is no HTTP at all is refused at
  /// once, then when the head's end may be there or can no longer be.
  private var mayHoldHead: Bool {
    scanned == 0 || input.count >= Self.headLimits.maxHead
      || HeadScan.mayHoldEnd(input.view, from: scanned)
  }

  private func waitForHead() {
    if peerEnded {
      close()
    } else if !input.isEmpty && !headHasBegun {
      headHasBegun = true
      setDeadline(Self.patience)
    }
  }

  private func begin(_ head: RequestHead) -> Progress {
    let request = AdminRequest(head, isSecure: link.isSecure)
    input.removeFirst(head.length)
    scanned = 0
    deadline = .max
    isLast = !request.keepsAlive || loop.isStopping
    self.request = request
    do throws(Problem) {
      let route = try loop.service.route(of: request)
      guard route.takesContent else {
        // Content that nobody asked for is not read.
        isLast = isLast || request.hasContent
        answer(route, content: [])
        return .waits
      }
      return beginContent(request, for: route)
    } catch {
      isLast = isLast || request.hasContent
      respond(error.response)
      return .waits
    }
  }

  private func beginContent(_ request: AdminRequest, for route: AdminRoute) -> Progress {
    content = ContentReader(request.framing)
    phase = .content(route)
    setDeadline(Self.patience)
    if request.expectsContinue && input.isEmpty {
      HTTP1Writer.statusLine(100, to: &output)
      output.append("\r\n")
      flush()
    }
    return phase == .closed ? .waits : .goesOn
  }

  private func readContent(for route: AdminRoute) -> Progress {
    var offset = 0
    let outcome = content.take(input.view, offset: &offset)
    input.removeFirst(offset)
    switch outcome {
    case .complete(let bytes):
      deadline = .max
      answer(route, content: bytes)
    case .refused(let problem): refuse(problem)
    case .incomplete:
      if readMore() { return .goesOn }
      if peerEnded { close() }
    }
    return .waits
  }

  private func answer(_ route: AdminRoute, content: [UInt8]) {
    phase = .answering
    let asked = AdminService.Asked(
      path: request?.path ?? "", content: content, peer: peer, connection: token, at: loop.now)
    if let response = loop.service.answer(route, asked) { respond(response) }
  }

  // MARK: Answers

  /// Answers what is not a request, or has no end, and ends the connection.
  private func refuse(_ problem: Problem) {
    isLast = true
    respond(problem.response)
  }

  /// Sends the answer to the current request. What comes next has to wait for the others' turn.
  func respond(_ response: AdminResponse) {
    guard phase != .closed else { return }
    isLast = isLast || loop.isStopping || response.isStream
    let connection =
      isLast ? "close" : request?.minorVersion == 0 ? "keep-alive" : nil
    response.write(
      to: &output, wall: loop.now.wall, connection: connection,
      hasContent: request?.method != .head)
    let stream = request?.method != .head && !loop.isStopping ? response.stream : nil
    request = nil
    content = ContentReader(.none)
    headHasBegun = false
    phase = stream != nil ? .streaming : isLast ? .closing : .head
    if let stream { loop.service.begin(stream, for: token) }
    setDeadline(Self.patience)
    flush()
    loop.runAgain(token)
  }

  /// How many bytes more of a stream the client may be behind.
  var streamRoom: Int {
    phase == .streaming ? max(0, Self.maxBehind - (output.count - sent)) : 0
  }

  /// Sends a message of the stream. A client that is too far behind is dropped.
  func push(_ message: [UInt8]) {
    guard phase == .streaming else { return }
    if output.count - sent + message.count > Self.maxBehind {
      link.socket.resetOnClose()
      close()
      return
    }
    if output.isEmpty { setDeadline(Self.patience) }
    message.withView { output.append($0) }
    flush()
  }

  /// Sends what waits. False while something is left, or if the connection is closed.
  @discardableResult
  private func flush() -> Bool {
    while !output.isEmpty || link.hasUnsent {
      guard isWritable else { return false }
      let result =
        output.isEmpty
        ? link.flush()
        : link.send(output.view.dropping(first: sent), now: loop.now.monotonic)
      guard let count = result.count else {
        if result.wouldBlock { isWritable = false } else { close() }
        return false
      }
      sent += count
      setDeadline(Self.patience)
      if sent == output.count {
        output.release()
        sent = 0
      }
      if output.isEmpty && !link.hasUnsent {
        if phase == .head { setDeadline(Self.idlePatience) }
        if phase == .streaming {
          deadline = .max
          loop.streamDrained()
        }
      }
    }
    return phase != .closed
  }

  // MARK: Bytes

  /// Reads once. False when there is nothing to read now.
  private func readMore() -> Bool {
    guard isReadable else { return false }
    let result = link.receive(onto: &input, limit: Self.readSize)
    if result.wouldBlock {
      isReadable = false
    } else if result.isEnd {
      isReadable = false
      peerEnded = true
    } else if result.error != nil {
      close()
    }
    return (result.count ?? 0) > 0
  }

  private func dropInput() -> Progress {
    input.release()
    if readMore() {
      loop.runAgain(token)
    } else if peerEnded {
      close()
    }
    return .waits
  }

  // MARK: Time

  private func setDeadline(_ patience: Int64) {
    deadline = loop.now.monotonic + patience
    if deadline < timerSet {
      timerSet = deadline
      loop.setTimer(deadline, for: token)
    }
  }

  /// A timer of this connection has rung; it may be one whose deadline was moved since.
  func timerRang() {
    // One that an earlier one was set beside: set again it would ring for ever.
    guard timerSet <= loop.now.monotonic else { return }
    timerSet = .max
    if deadline > loop.now.monotonic {
      if deadline != .max {
        timerSet = deadline
        loop.setTimer(deadline, for: token)
      }
      return
    }
    timedOut()
  }

  private func timedOut() {
    switch phase {
    case .head where output.isEmpty && !input.isEmpty:
      refuse(Problem(.requestTimeout, "The request's head did not come in time."))
    case .content:
      refuse(Problem(.requestTimeout, "The request's content did not come in time."))
    case .head, .answering, .closing, .streaming:
      // Part of an answer must not look like all of it.
      if !output.isEmpty || link.hasUnsent { link.socket.resetOnClose() }
      close()
    case .hello, .handshake, .lingering, .closed: close()
    }
  }

  // MARK: The end

  private func endSending() {
    link.endSending()
    phase = .lingering
    setDeadline(Self.lingerPatience)
  }

  /// Closes, whatever the state.
  func close() {
    guard phase != .closed else { return }
    phase = .closed
    loop.remove(self)
  }
}
