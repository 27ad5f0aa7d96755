// Reading the content of an origin's answer, as it is framed (RFC 9112 §6).

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTP1
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Origins

extension OriginRequest {
  func begin(framing: BodyFraming) {
    decoder = nil
    switch framing {
    case .none: remaining = 0
    case .length(let length): remaining = length
    case .chunked: decoder = ChunkedDecoder()
    case .untilClose: remaining = .max
    }
  }

  /// Takes content that was read into a buffer.
  func take(_ bytes: ByteView) {
    switch response.framing {
    case .none:
      hasExtra = !bytes.isEmpty
      complete(trailers: ByteView())
    case .length:
      let content = bytes.prefix(Int(clamping: remaining))
      remaining -= UInt64(content.count)
      sink.append(content)
      if remaining == 0 {
        hasExtra = content.count < bytes.count
        complete(trailers: ByteView())
      } else if !bytes.isEmpty {
        worker.noteMoved(fill)
      }
    case .untilClose:
      sink.append(bytes)
      worker.noteMoved(fill)
    case .chunked: takeChunked(bytes)
    }
  }

  func takeChunked(_ bytes: ByteView) {
    var offset = 0
    while true {
      switch decoder?.next(bytes, offset: &offset) {
      case .content(let range): sink.append(bytes[range])
      case .incomplete:
        worker.noteMoved(fill)
        return
      case .end:
        hasExtra = offset < bytes.count
        var trailers = ByteBuffer()
        if let received = decoder?.trailers { trailers.append(received) }
        complete(trailers: trailers.view)
        return
      case .invalid, nil:
        failTry(.malformed)
        return
      }
    }
  }

  /// Reads content once; returns how much.
  func readContent() -> Int {
    guard let connection else { return 0 }
    let result: IOResult
    if case .chunked = response.framing {
      result = unsafe connection.receive(into: worker.originBuffer)
      if let count = result.count, count > 0 {
        takeChunked(
          unsafe ByteView(unsafe: UnsafeRawBufferPointer(worker.originBuffer)).prefix(count))
      }
    } else {
      // Straight into the segment that clients and the store will read.
      result = sink.read(from: connection, limit: remaining)
      connection.isDrained = false
      if let count = result.count, count > 0 {
        if case .length = response.framing { remaining -= UInt64(count) }
        if remaining == 0 { complete(trailers: ByteView()) } else { worker.noteMoved(fill) }
      }
    }
    guard let count = result.count else {
      connection.isReadable = false
      if !result.wouldBlock { failed(.closedEarly, on: connection) }
      return 0
    }
    if count == 0 {
      connection.isReadable = false
      if response.framing == .untilClose {
        complete(trailers: ByteView())
      } else {
        failed(.closedEarly, on: connection)
      }
      return 0
    }
    noteReceived(count)
    // The answer may be whole, and the connection idle or closed.
    if stage == .content { connection.setDeadline(worker.now.monotonic + betweenBytesTimeout) }
    return count
  }
}
