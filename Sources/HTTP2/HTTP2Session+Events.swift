internal import Bytes
internal import HTTP1
package import HTTPMessage

extension HTTP2Session {
  func enqueue(_ event: QueuedEvent) { queue.append(event) }

  func forgetEvents() {
    queueStart = 0
    if queue.capacity > 256 { queue = [] } else { queue.removeAll(keepingCapacity: true) }
    if openStreams == 0 { heads.release() } else { heads.removeAll() }
  }

  /// The next event; nil when there is none. A request's head is read into `head`.
  package func next(into head: RequestHead) -> HTTP2Event? {
    while queueStart < queue.count {
      let event = queue[queueStart]
      queueStart += 1
      if let event = deliver(event, head) { return event }
    }
    return nil
  }

  private func deliver(_ event: QueuedEvent, _ head: RequestHead) -> HTTP2Event? {
    switch event {
    case .request(let stream, let request, let range):
      guard let index = state(of: stream), read(heads.view[range], request, stream, head) else {
        return nil
      }
      streams[index].isDelivered = true
      requests &+= 1
      return .request(stream: stream, request)
    case .content(let stream, let bytes):
      guard let index = state(of: stream), streams[index].isDelivered else {
        // Of a request that was refused: read, and forgotten.
        consume(stream, bytes.count)
        return nil
      }
      return .content(stream: stream, bytes)
    case .end(let stream, let range):
      guard let index = state(of: stream), streams[index].isDelivered else { return nil }
      return .end(stream: stream, trailers: readTrailers(heads.view[range]))
    case .closed(let stream, let code): return .closed(stream: stream, code)
    case .goingAway: return .goingAway
    }
  }

  /// Reads a head; a request that HTTP/1.1 would refuse is refused.
  private func read(
    _ text: ByteView, _ request: HTTP2Request, _ stream: Int32, _ head: RequestHead
  ) -> Bool {
    switch RequestParser.parse(text, limits: headLimits, into: head) {
    case .complete: break
    case .incomplete:
      reset(stream, .protocolError)
      return false
    case .invalid(let defect):
      switch defect.status {
      case 400: reset(stream, .protocolError)
      case let status: refuse(stream, status: status)
      }
      return false
    }
    if request.isExtendedConnect { return true }
    if !request.hasContent {
      if case .length(let length) = head.framing, length > 0 {
        reset(stream, .protocolError)
        return false
      }
      head.expectsContinue = false
    } else if head.framing == .none {
      // Its length is not known: as with the chunked transfer coding.
      head.framing = .chunked
      head.expectsContinue = head.fields.contains(.expect)
    }
    return true
  }

  private func readTrailers(_ text: ByteView) -> ByteView {
    trailers.removeAll()
    guard !text.isEmpty else { return ByteView() }
    // What may be passed on is decided where it is for HTTP/1.1.
    var decoder = ChunkedDecoder()
    var offset = 0
    guard decoder.next(text, offset: &offset) == .end else { return ByteView() }
    trailers.append(decoder.trailers)
    return trailers.view
  }
}
