internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTP1
internal import HTTPMessage
internal import Metrics

/// How a response's content is delimited (RFC 9112 §6).
enum ResponseFraming {
  /// By its length, or because it can have none.
  case length
  case chunked
  /// By the end of the connection, for HTTP/1.0.
  case close
}

extension ClientConnection {
  var isClosed: Bool { phase == .closed }
  var contentReceived: UInt64 { body.received }

  func endAfterResponse() { isLast = true }

  func wait(until time: Int64) {
    waitUntil = time
    // While the kernel takes nothing, the time for writing counts.
    if isBlocked { return }
    if time == .max { clearDeadline() } else { setDeadline(max(time, worker.now.monotonic)) }
  }

  func isReadyToSend() -> Bool { output.isEmpty && !hasUnsentRecord || flush() }

  /// Sends what is waiting. False while something is left: the kernel takes no more, or the
  /// connection is closed.
  @discardableResult
  func flush() -> Bool {
    if let secure, secure.hasUnsent || secure.holds && output.isEmpty && worker.out.isEmpty,
      !sendRecord(secure)
    {
      if phase == .closed { return false }
      output.append(worker.out.view)
      worker.out.removeAll()
      return false
    }
    if output.isEmpty {
      if worker.out.isEmpty { return true }
      let sent = write(worker.out.view)
      if phase == .closed { return false }
      if sent < worker.out.count { keep(worker.out.view.dropping(first: sent)) }
      worker.out.removeAll()
    } else {
      output.append(worker.out.view)
      worker.out.removeAll()
      let waiting = output.view.dropping(first: outputSent)
      outputSent += write(waiting)
      if phase == .closed { return false }
      if outputSent == output.count {
        output.release()
        outputSent = 0
      }
    }
    return output.isEmpty && !hasUnsentRecord
  }

  func keep(_ bytes: ByteView) { output.append(bytes) }

  /// Writes once; returns how many bytes the kernel took.
  private func write(_ bytes: ByteView) -> Int {
    guard isWritable else { return 0 }
    if let secure {
      return wrote(secure.send(bytes, now: worker.now.monotonic), of: bytes.count)
    }
    return wrote(socket.send(bytes), of: bytes.count)
  }

  func wrote(_ result: IOResult, of wanted: Int) -> Int {
    guard let count = result.count else {
      if result.wouldBlock { blocked() } else { close() }
      return 0
    }
    worker.counters.add(.bytesSent, UInt64(count))
    writeBudget -= count
    if count < wanted || hasUnsentRecord {
      blocked()
    } else if isBlocked {
      isBlocked = false
      if phase == .exchange { resumeBodyDeadline() }
    }
    return count
  }

  /// The kernel takes no more: from now on a write must get through in time.
  func blocked() {
    isWritable = false
    isBlocked = true
    setDeadline(worker.now.monotonic + worker.clientSettings.writeTimeout)
  }

  func sendHead(
    status: UInt16, lines: ByteView, length: UInt64?, hasContent: Bool, minorVersion: UInt8
  ) {
    framing = .length
    if secure != nil { exchange.appendTransportField(lines, worker) }
    HTTP1Writer.statusLine(status, to: &worker.out)
    worker.out.append(lines)
    worker.out.append(worker.lines.view)
    if let length {
      if status >= 200 && status != 204 && (status != 304 || length > 0) {
        worker.out.append("content-length: ")
        worker.out.append(decimal: length)
        worker.out.append("\r\n")
      }
    } else if hasContent {
      if minorVersion == 0 {
        framing = .close
        isLast = true
      } else {
        framing = .chunked
        worker.out.append("transfer-encoding: chunked\r\n")
      }
    }
    // A refusal before the content is whole: the rest of it is not waited for. (Other answers may
    // stream while the content does.)
    if worker.isEnding || !body.isComplete && (!exchange.takesBody || status >= 300) {
      isLast = true
    }
    if isLast {
      worker.out.append("connection: close\r\n\r\n")
    } else if minorVersion == 0 {
      worker.out.append("connection: keep-alive\r\n\r\n")
    } else {
      worker.out.append("\r\n")
    }
  }

  /// Sends content, with whatever waits before it, in one call.
  func sendContent(_ content: ByteView) -> Int {
    guard output.isEmpty else { return 0 }
    if framing == .chunked { return sendChunk(content) }
    // Copying a small piece costs less than a second vector.
    if content.count <= 2048 && worker.out.count + content.count <= 32 << 10 {
      worker.out.append(content)
      return content.count
    }
    guard isWritable else { return 0 }
    let before = worker.out.count
    let sent: Int
    if let secure {
      let result = secure.send(worker.out.view, content, now: worker.now.monotonic)
      sent = wrote(result, of: before + content.count)
    } else {
      sent = wrote(socket.send(worker.out.view, content), of: before + content.count)
    }
    if phase == .closed { return 0 }
    if sent < before {
      keep(worker.out.view.dropping(first: sent))
      worker.out.removeAll()
      return 0
    }
    worker.out.removeAll()
    return sent - before
  }

  func sendWhole(_ content: ByteView) {
    let sent = sendContent(content)
    guard sent < content.count && phase != .closed else { return }
    output.append(worker.out.view)
    worker.out.removeAll()
    output.append(content.dropping(first: sent))
  }

  private func sendChunk(_ content: ByteView) -> Int {
    guard isWritable else { return 0 }
    let piece = content.prefix(64 << 10)
    HTTP1Writer.chunkHeader(length: piece.count, to: &worker.out)
    if let secure { return sendSecureChunk(piece, secure) }
    let end = ByteView("\r\n")
    let before = worker.out.count
    let total = before + piece.count + end.count
    let sent = wrote(socket.send(worker.out.view, piece, end), of: total)
    if phase == .closed { return 0 }
    // The chunk's length is announced: what the kernel did not take of it must be kept.
    if sent < before { keep(worker.out.view.dropping(first: sent)) }
    worker.out.removeAll()
    if sent < before + piece.count { keep(piece.dropping(first: max(0, sent - before))) }
    if sent < total { keep(end.dropping(first: max(0, sent - before - piece.count))) }
    return piece.count
  }

  /// Ends a response whose content is complete.
  func endContent(trailers: ByteView) {
    if framing == .chunked { HTTP1Writer.lastChunk(trailers: trailers, to: &worker.out) }
  }

  /// Passes an interim response on (RFC 9110 §15.2).
  func sendInterim(status: UInt16, lines: ByteView) {
    // One that cannot be sent now is of no use later.
    guard phase == .exchange, !exchange.hasSentHead, output.isEmpty else { return }
    HTTP1Writer.statusLine(status, to: &worker.out)
    worker.out.append(lines)
    worker.out.append("\r\n")
    flush()
  }

  /// Goes over to the next request, or to the end.
  func finishedResponse() {
    tunnel = nil
    if isLast || !body.isComplete {
      endAfterOutput()
      return
    }
    body.clear()
    phase = .head
    waitForNextRequest()
  }

  /// Sets how long the next head may take to begin or, if it has, to end.
  func waitForNextRequest() {
    // As long as the kernel does not take the response, the time for writing counts.
    if isBlocked { return }
    let client = worker.clientSettings
    setDeadline(
      worker.now.monotonic + (scanned > 0 ? client.headerTimeout : client.idleTimeout))
  }

  /// Sends what is left, and ends the connection.
  func endAfterOutput() {
    isLast = true
    phase = .closing
    // Nothing may be pending for ever.
    if deadline == .max {
      setDeadline(worker.now.monotonic + worker.clientSettings.writeTimeout)
    }
  }
}
