// What a connection of its own says to a request: the head of an answer, after any interim ones, and when
// more of its content may be read.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import Fleet
internal import HTTP1
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Origins

extension OriginRequest {
  /// Sends and reads as far as it goes.
  func progress() {
    if file != nil { readFile() }
    guard let connection, stage != .done else { return }
    let hadBacklog = connection.backlog > 0
    if connection.flush() && hadBacklog && !sentAll {
      connection.clearDeadline()
      worker.noteMoved(fill)
    }
    var budget = Self.bytesPerTurn
    while connection.isReadable && stage != .done && connection.phase == .active {
      if stage == .content && !mayReadOn() {
        if isForNobody { end(with: .requestAborted) } else { connection.clearDeadline() }
        return
      }
      if budget <= 0 {
        worker.runAgain(connection.token | TokenKind.origin)
        return
      }
      let count = stage == .content ? readContent() : readHead()
      if count <= 0 { return }
      budget -= count
    }
  }

  /// A client or the store made room, or the last client left.
  func goOn() {
    guard stage != .done else { return }
    if isForNobody && (fill.key == nil || stage == .content || stage == .gated && !isBackground) {
      end(with: .requestAborted)
      return
    }
    if stage == .content, stream != nil {
      resumeStream()
    } else if stage == .content {
      // While the origin is held back no deadline runs.
      if let connection, !connection.hasDeadline {
        connection.setDeadline(worker.now.monotonic + settings.betweenBytesTimeout)
      }
      progress()
    }
  }

  /// Whether no client reads the answer and it is not being stored.
  var isForNobody: Bool { !fill.hasReaders && !sink.isStoring }

  func stopStoring() { sink.stopStoring() }

  private func readHead() -> Int {
    guard let connection else { return 0 }
    let result: IOResult
    let bytes: ByteView
    if connection.input.isEmpty {
      result = unsafe connection.receive(into: worker.originBuffer)
      bytes = unsafe ByteView(unsafe: UnsafeRawBufferPointer(worker.originBuffer))
        .prefix(result.count ?? 0)
    } else {
      result = connection.receiveInput(limit: 32 << 10)
      bytes = connection.input.view
    }
    guard let count = result.count, count > 0 else {
      connection.isReadable = false
      if !result.wouldBlock { failed(.closedEarly, on: connection) }
      return 0
    }
    noteReceived(count)
    receivedAny = true
    dropHedge()
    parse(bytes, isOwned: !connection.input.isEmpty)
    return count
  }

  /// Parses as many heads as there are: some interim ones (`interimLimit`), then the final one.
  func parse(_ bytes: ByteView, isOwned: Bool) {
    guard let connection else { return }
    var offset = 0
    while stage == .head {
      let rest = bytes.dropping(first: offset)
      let limits = HeadLimits(
        maxRequestLine: settings.maxHeader, maxHead: settings.maxHeader, maxFields: 1000)
      switch ResponseParser.parse(
        rest, limits: limits, requestMethod: head.method, into: response)
      {
      case .incomplete:
        if isOwned { connection.input.removeFirst(offset) } else { connection.input.append(rest) }
        if connection.input.count > settings.maxHeader { failed(.headTooLarge, on: connection) }
        return
      case .invalid(let defect):
        failed(
          defect == .headTooLarge || defect == .tooManyFields ? .headTooLarge : .malformed,
          on: connection)
        return
      case .complete:
        offset += response.length
        if response.status < 200 {
          guard interim(rest: bytes.dropping(first: offset)) else { return }
        } else {
          responseTime = worker.now.wall
          stage = .content
          if connection.security != nil { connection.keepSession() }
          final(content: bytes.dropping(first: offset))
          if let connection = self.connection { connection.input.removeAll() }
          return
        }
      }
    }
  }

  /// A 1xx. False if the connection is a tunnel now, or no longer ours.
  func interim(rest: ByteView) -> Bool {
    guard let connection else { return false }
    guard noteInterim() else {
      failed(.malformed, on: connection)
      return false
    }
    let clientConnection = clientConnection.flatMap { worker.peer($0) }
    var lines = ByteBuffer(capacity: 256)
    if response.status == 101 {
      guard isUpgrade, let clientConnection else {
        failed(.malformed, on: connection)
        return false
      }
      ResponseComposer.appendUpgrade(response, to: &lines)
      var kept = ByteBuffer(capacity: rest.count)
      kept.append(rest)
      connection.input = kept
      connection.phase = .tunnel
      connection.client = clientConnection.token
      connection.clearDeadline()
      answered(status: 101)
      connection.tunnelAttempt = attempt.take()
      connection.request = nil
      retire()
      worker.counters.add(.tunnelsOpened)
      fill.complete(trailers: [])
      clientConnection.exchange.becameTunnel(on: clientConnection)
      clientConnection.beginTunnel(to: connection, lines: lines.view)
      worker.runAgain(clientConnection.token)
      return false
    }
    passInterim()
    return true
  }

  /// Hands an interim response on to the client that began this.
  func passInterim() {
    guard let client = clientConnection.flatMap({ worker.peer($0) }),
      client.exchange.fill === fill, client.exchange.head(worker).minorVersion > 0
    else { return }
    var lines = ByteBuffer(capacity: 256)
    ResponseComposer.appendInterim(response, to: &lines)
    client.sendInterim(status: response.status, lines: lines.view)
  }

  /// Counts an interim response; false if there are too many.
  func noteInterim() -> Bool {
    interimCount += 1
    return interimCount <= Self.interimLimit
  }
}
