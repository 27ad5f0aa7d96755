// Parts of a representation (RFC 9110 §14): one range as a 206 of its own, several as
// multipart/byteranges, none as a 416. From the store any of them; from a fill that is still coming one
// range, and of several the whole instead (§14.2 allows it).

internal import Bytes
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore

extension Exchange {
  /// Sends one range of a stored response. The worker's `lines` have what differs by client.
  func servePart(
    _ range: ByteRange, of response: StoredResponse, on connection: some ClientStream
  ) {
    let worker = connection.worker
    appendContentRange(range, length: response.bodyLength, worker)
    sendPartHead(response.head, length: range.count, on: connection)
    if response.bodyID == 0 {
      let part = response.body.dropping(first: Int(clamping: range.start))
      sendInline(part.prefix(Int(clamping: range.count)), on: connection)
    } else {
      sendChunks(of: response, from: range.start, to: range.end, on: connection)
    }
  }

  /// Sends several ranges of a stored response (§14.6).
  func serveParts(of response: StoredResponse, on connection: some ClientStream) {
    let worker = connection.worker
    guard let value = head(worker).value(.range) else { return }
    let ranges = RangeRules.ranges(value, length: response.bodyLength)
    var type: ByteView?
    FieldLines.forEach(response.head) { line in
      // Each part has the content's type; the whole is of another.
      if line.name == ByteView("content-type") {
        type = line.value
      } else {
        worker.lines.append(line.whole)
      }
    }
    var parts = MultipartRanges(
      ranges, completeLength: response.bodyLength, contentType: type, boundary: Random.hash128())
    worker.lines.append("content-type: ")
    parts.appendContentType(to: &worker.lines)
    worker.lines.append("\r\n")
    sendPartHead(ByteView(), length: parts.contentLength, on: connection)
    if response.bodyID == 0 {
      var content = ByteBuffer(capacity: Int(clamping: parts.contentLength))
      pieces: while true {
        switch parts.next(&content) {
        case .framing: continue
        case .content(let range):
          let part = response.body.dropping(first: Int(clamping: range.start))
          content.append(part.prefix(Int(clamping: range.count)))
        case .end: break pieces
        }
      }
      sendInline(content.view, on: connection)
    } else {
      sendChunks(of: response, from: 0, to: 0, on: connection)
      self.parts = parts
    }
  }

  /// Goes on to the next part, when one is sent. False: there is none.
  func beginNextPart(on connection: some ClientStream) -> Bool {
    guard parts != nil else { return false }
    var framing = ByteBuffer(capacity: 256)
    while let piece = parts?.next(&framing) {
      switch piece {
      case .framing: continue
      case .content(let range):
        position = range.start
        end = range.end
        sendFraming(framing.view, on: connection)
        return true
      case .end:
        parts = nil
        sendFraming(framing.view, on: connection)
      }
    }
    return false
  }

  private func sendFraming(_ framing: ByteView, on connection: some ClientStream) {
    contentSent += UInt64(framing.count)
    connection.sendWhole(framing)
  }

  /// There is nothing of what was asked for (§15.5.17).
  func refuseRange(length: UInt64, on connection: some ClientStream) {
    let worker = connection.worker
    worker.lines.removeAll()
    worker.lines.append("content-range: ")
    ContentRange.unsatisfied(completeLength: length).append(to: &worker.lines)
    worker.lines.append("\r\n")
    answer(status: 416, text: "The range is not satisfiable.", on: connection)
  }

  /// Sends one range of a response that is coming: the client reads from where it begins.
  func answerPart(
    _ range: ByteRange, length: UInt64, of response: FillHead, on connection: some ClientStream
  ) {
    appendContentRange(range, length: length, connection.worker)
    if response.sliced != nil {
      answerSliced(range.start..<range.end, status: 206, of: response, on: connection)
      return
    }
    let lines = isLeader ? response.ownLines ?? response.lines : response.lines
    lines.withView { sendPartHead($0, length: range.count, on: connection) }
    position = range.start
    end = range.end
    state = .filling
  }

  private func sendPartHead(
    _ lines: ByteView, length: UInt64, on connection: some ClientStream
  ) {
    status = 206
    connection.sendHead(
      status: 206, lines: lines, length: length, hasContent: true,
      minorVersion: head(connection.worker).minorVersion)
  }

  private func appendContentRange(_ range: ByteRange, length: UInt64, _ worker: Worker) {
    worker.lines.append("content-range: ")
    ContentRange.range(range, completeLength: length).append(to: &worker.lines)
    worker.lines.append("\r\n")
  }
}
