// A request on a connection that it shares with others (`OriginConnection+HTTP2.swift`): what a connection of
// its own tells it, it is told of its stream here.

internal import Bytes
internal import EventLoop
internal import HTTP1
internal import HTTP2
internal import HTTPMessage
internal import Metrics
internal import Origins

extension OriginRequest {
  /// Begins on a shared connection; false if that takes no more.
  func begin(on connection: OriginConnection) -> Bool {
    guard let sharing = connection.sharing else { return false }
    requestTime = worker.now.wall
    compose()
    let text = worker.wire.view
    guard
      let id = sharing.session.request(
        head: text, isSecure: connection.tls != nil, hasContent: !sentAll)
    else { return false }
    trace?.askOrigin(at: worker.clock.monotonic())
    stream = OriginStream(connection, id: id, now: worker.now.monotonic)
    sharing.add(self, id, now: worker.now.monotonic)
    if !sharing.isDoubted { connection.clearDeadline() }
    stage = .head
    receivedAny = false
    connection.wantsFlush()
    waitForHead()
    armHedge()
    // The client may go on with its content now.
    if !sentAll { worker.noteMoved(fill) }
    return true
  }

  /// A head has come, as the text of an HTTP/1.1 head.
  func received(head text: ByteView) {
    guard stage == .head, let stream else { return }
    receivedAny = true
    stream.connection.isReused = true
    dropHedge()
    let limits = HeadLimits(
      maxRequestLine: settings.maxHeader, maxHead: settings.maxHeader + 64, maxFields: 1000)
    guard
      case .complete = ResponseParser.parse(
        text, limits: limits, requestMethod: head.method, into: response),
      response.status != 101
    else {
      failTry(.malformed)
      return
    }
    if response.status < 200 {
      guard noteInterim() else { return failTry(.malformed) }
      passInterim()
      waitForHead()
      return
    }
    responseTime = worker.now.wall
    stage = .content
    stream.connection.keepSession()
    final(content: ByteView())
  }

  /// Content has come. It goes where it belongs at once; whether more may come is for the readers to say.
  func received(content: ByteView) {
    guard stage == .content, let stream, !content.isEmpty else { return }
    stream.unconsumed += content.count
    switch response.framing {
    case .none, .chunked:
      failTry(.malformed)
      return
    case .length:
      // That it is neither more nor less, nghttp2 sees to; its end is the stream's.
      guard UInt64(content.count) <= remaining else { return failTry(.malformed) }
      remaining -= UInt64(content.count)
    case .untilClose: break
    }
    sink.append(content)
    worker.noteMoved(fill)
    resumeStream()
  }

  /// Lets the server go on if there is room, else holds it back.
  func resumeStream() {
    guard let stream, stage == .content else { return }
    if mayReadOn() {
      stream.consume()
      setStreamDeadline(worker.now.monotonic + settings.betweenBytesTimeout)
    } else if isForNobody {
      end(with: .requestAborted)
    } else {
      setStreamDeadline(.max)
    }
  }

  /// The response is whole.
  func streamEnded(_ trailers: ByteView) {
    guard let stream else { return }
    stream.unconsumed = 0
    switch response.framing {
    case .untilClose where stage == .content: complete(trailers: trailers)
    case .length where stage == .content && remaining == 0: complete(trailers: trailers)
    default: failTry(.closedEarly)
    }
  }

  /// The stream is gone before the response was whole. `wasUnheard`: with its connection, on which nothing
  /// had come since it was in use again.
  func streamClosed(_ end: HTTP2StreamEnd, wasUnheard: Bool = false) {
    guard let stream, stage == .head || stage == .content else { return }
    self.stream = nil
    streamDeadline = .max
    switch end {
    case .headTooLarge: tryFailed(.headTooLarge, .malformed)
    case .reset(.refusedStream): tryFailed(.closedEarly, .refused)
    case .reset(.http11Required):
      needsHTTP1 = true
      tryFailed(.closedEarly, .refused)
    case .reset(.protocolError): tryFailed(.malformed, .malformed)
    case .reset:
      // It may have been closed before the server saw the request, as a kept one may (RFC 9112 §9.3.1).
      let isStale = wasUnheard && stream.isReused && !receivedAny && stage == .head
      tryFailed(.closedEarly, isStale ? .staleConnection : .reset)
    }
  }

  /// The present try has failed, on whichever connection.
  func failTry(_ failure: OriginFailure) {
    if let connection {
      failed(failure, on: connection)
    } else if stream != nil {
      dropStream()
      tryFailed(failure, TryFailure(failure))
    }
  }

  /// What there was of the request's content is with the kernel: it is the client's turn, and its time is
  /// counted on its own connection.
  func noteAllSent() {
    guard stage == .head, !sentAll, let stream, stream.backlog == 0 else { return }
    streamDeadline = .max
    setTimer(.max)
  }

  /// Leaves the shared connection.
  func dropStream(isWhole: Bool = false) {
    guard let stream else { return }
    self.stream = nil
    streamDeadline = .max
    stream.leave(isWhole: isWhole)
  }

  /// Until when the stream must have moved.
  func setStreamDeadline(_ time: Int64) {
    streamDeadline = time
    setTimer(time)
  }

  /// Whether the stream's time is over; then the try has failed.
  func streamTimedOut() -> Bool {
    guard let stream, streamDeadline <= worker.now.monotonic else { return false }
    let isContent = stage == .content
    dropStream()
    stream.connection.doubt(since: stream.began)
    tryFailed(isContent ? .contentTimeout : .firstByteTimeout, .timeout)
    return true
  }
}
