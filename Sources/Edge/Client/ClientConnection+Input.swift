internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTP1
internal import HTTPMessage
internal import Metrics

extension ClientConnection {
  /// The bytes that were read and not used: of this turn's read, or left from a turn before.
  var unread: ByteView {
    if input.isEmpty {
      let buffer = unsafe ByteView(unsafeStart: UnsafeRawPointer(worker.readBase), count: readCount)
      return buffer.dropping(first: consumed)
    }
    return input.view.dropping(first: consumed)
  }

  /// Reads once more behind what is unused. False when there is nothing to read now; the connection
  /// may have been closed then.
  func readMore(limit: Int = 32 << 10) -> Bool {
    guard isReadable else { return false }
    let result: IOResult
    if unread.isEmpty {
      input.removeAll()
      consumed = 0
      let buffer = unsafe UnsafeMutableRawBufferPointer(rebasing: worker.readBuffer.prefix(limit))
      result = unsafe receive(into: buffer)
      readCount = result.count ?? 0
    } else {
      stash()
      consumed = 0
      if let secure {
        result = secure.receive(onto: &input, limit: limit)
      } else {
        result = socket.receive(onto: &input, limit: limit)
      }
    }
    guard let count = result.count else {
      if result.wouldBlock { isReadable = false } else { close() }
      return false
    }
    if count == 0 {
      isReadable = false
      peerEnded = true
      return false
    }
    // Less than asked for means that the socket is drained; what comes next is a new event. Not so
    // when the end has been announced: it must still be read.
    if isDrained(after: count, of: limit) && !peerEnded { isReadable = false }
    worker.counters.add(.bytesReceived, UInt64(count))
    return true
  }

  /// Keeps what is unused for a later turn, or gives the memory back.
  func stash() {
    if input.isEmpty {
      if consumed < readCount { input.append(unread) }
    } else if consumed > 0 {
      input.removeFirst(consumed)
    }
    consumed = 0
    readCount = 0
    if input.isEmpty && input.capacity > 0 { input.release() }
  }

  /// Reads a request's head and begins to answer it. False when more bytes are needed, or none will
  /// come.
  func readRequest() -> Bool {
    let isNew = scanned == 0
    while true {
      let bytes = unread
      if !bytes.isEmpty {
        let mayHoldEnd = scanned == 0 || HeadScan.mayHoldEnd(bytes, from: max(0, scanned - 3))
        if mayHoldEnd || bytes.count > worker.headLimits.maxHead {
          switch RequestParser.parse(bytes, limits: worker.headLimits, into: worker.head) {
          case .complete:
            begin(worker.head)
            return phase != .closed
          case .invalid(let defect):
            worker.counters.add(.requestsRejected)
            refuse(status: defect.status, text: defect.text)
            return true
          case .incomplete: break
          }
        }
        scanned = bytes.count
      }
      if !readMore() {
        if phase == .closed { return false }
        if peerEnded || worker.isDraining && unread.isEmpty {
          // What was answered in this turn may not be sent yet.
          endAfterOutput()
          return true
        }
        // With its first byte, wherever that came along, a head's own time begins.
        if isNew && scanned > 0 { waitForNextRequest() }
        return false
      }
    }
  }

  private func begin(_ head: RequestHead) {
    consumed += head.length
    scanned = 0
    clearDeadline()
    waitUntil = .max
    isLast = !head.keepAlive || worker.isEnding
    body.begin(head.framing)
    phase = .exchange
    takeExchange()
    exchange.begin(head, on: self)
  }

  /// Answers what is not a request, and ends the connection.
  func refuse(status: UInt16, text: StaticString) {
    phase = .exchange
    isLast = true
    scanned = 0
    clearDeadline()
    waitUntil = .max
    body.begin(.none)
    takeExchange()
    exchange.refuseUnparsed(status: status, text: text, on: self)
  }
}

extension ClientConnection {
  /// Passes the request's content on, as far as it is there and the origin takes it.
  func passContentOn() {
    guard let upstream = exchange.upstream else { return }
    if !isBlocked { clearDeadline() }
    while upstream.acceptsContent && !body.isComplete {
      if writeBudget <= 0 {
        worker.runAgain(token)
        return
      }
      if unread.isEmpty, !readMore() {
        waitForContent()
        return
      }
      var offset = 0
      let step = body.next(unread, offset: &offset)
      switch step {
      case .content(let content):
        guard body.received <= exchange.generation.routes.routes[exchange.route].maxBody else {
          exchange.refuseBody(
            status: 413, text: "The request's content is too large.", on: self)
          return
        }
        upstream.sendContent(content)
        consumed += offset
        writeBudget -= offset
        if body.isComplete { upstream.endContent(trailers: ByteView()) }
      case .end:
        consumed += offset
        var trailers = ByteBuffer()
        body.appendTrailers(to: &trailers)
        upstream.endContent(trailers: trailers.view)
      case .incomplete:
        consumed += offset
        if !readMore() {
          waitForContent()
          return
        }
      case .invalid:
        worker.counters.add(.requestsRejected)
        exchange.refuseBody(status: 400, text: "The request's chunks are malformed.", on: self)
        return
      }
    }
  }

  private func waitForContent() {
    guard phase == .exchange else { return }
    if peerEnded && unread.isEmpty {
      // The content will never be whole, and nobody waits for an answer.
      reset()
    } else if !isBlocked {
      setDeadline(worker.now.monotonic + worker.clientSettings.bodyTimeout)
    }
  }

  /// After a write got through: what was waited for before counts again.
  func resumeBodyDeadline() {
    clearDeadline()
    if waitUntil < .max { setDeadline(max(waitUntil, worker.now.monotonic)) }
    if !body.isComplete, exchange.upstream?.acceptsContent ?? false {
      setDeadline(worker.now.monotonic + worker.clientSettings.bodyTimeout)
    }
  }
}

/// How far the content of a request has been read.
struct RequestBody: ~Copyable {
  /// Bytes that are still to come; counted down for a content of known length.
  private var remaining: UInt64 = 0
  private var decoder: ChunkedDecoder?
  /// How many bytes of content there were.
  private(set) var received: UInt64 = 0
  /// Whether all of it was read.
  private(set) var isComplete = true

  enum Step {
    case content(ByteView)
    case incomplete
    case end
    case invalid
  }

  mutating func begin(_ framing: BodyFraming) {
    received = 0
    decoder = nil
    remaining = 0
    switch framing {
    case .none, .untilClose: isComplete = true
    case .length(let length):
      remaining = length
      isComplete = length == 0
    case .chunked:
      decoder = ChunkedDecoder()
      isComplete = false
    }
  }

  /// Takes the next piece of content from `bytes`, moving `offset` past it.
  mutating func next(_ bytes: ByteView, offset: inout Int) -> Step {
    if isComplete { return .end }
    if decoder == nil {
      let available = bytes.dropping(first: offset)
      if available.isEmpty { return .incomplete }
      let taken = available.prefix(Int(min(remaining, UInt64(available.count))))
      offset += taken.count
      remaining -= UInt64(taken.count)
      received += UInt64(taken.count)
      isComplete = remaining == 0
      return .content(taken)
    }
    switch decoder?.next(bytes, offset: &offset) {
    case .content(let range):
      received += UInt64(range.count)
      return .content(bytes[range])
    case .incomplete: return .incomplete
    case .end:
      isComplete = true
      return .end
    case .invalid, nil: return .invalid
    }
  }

  /// Appends the trailer fields, once all was read.
  mutating func appendTrailers(to buffer: inout ByteBuffer) {
    if let trailers = decoder?.trailers { buffer.append(trailers) }
  }

  /// Forgets what was there.
  mutating func clear() {
    decoder = nil
    isComplete = true
  }
}

extension Worker {
  /// The address of the read buffer.
  var readBase: UnsafeMutableRawPointer {
    unsafe readBuffer.baseAddress.unsafelyUnwrapped
  }
}
