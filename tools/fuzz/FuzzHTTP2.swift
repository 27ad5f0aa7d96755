// The HTTP/2 session under libFuzzer; see FuzzTarget.swift.

import Bytes
import HTTP2
import HTTPMessage

/// HTTP/2: the first byte says how the rest is cut; the preface need not be found.
func fuzzHTTP2(_ bytes: ByteView) {
  guard bytes.count > 0, let session = HTTP2Session(now: 0) else { return }
  let step = Int(bytes[0]) + 1
  let peer = HTTP2Peer()
  session.feed(ByteView("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), now: 0)
  var at = 1
  while at < bytes.count, session.failure == nil {
    let end = min(bytes.count, at + step)
    session.feed(bytes[at..<end], now: Int64(at))
    peer.answer(session)
    at = end
  }
}

/// Answers requests, and takes what is sent.
final class HTTP2Peer: HTTP2ContentProvider {
  let head = RequestHead()

  func content(stream: Int32, token: UInt64, limit: Int) -> HTTP2Content {
    switch stream & 6 {
    case 0: .wait
    case 2: .broken(.internalError)
    case 4: .lastWithTrailers(ByteView("abc"), ByteView("etag: x\r\n"))
    default: .last(ByteView("abc"))
    }
  }

  func answer(_ session: HTTP2Session) {
    while let event = session.next(into: head) {
      switch event {
      case .request(let stream, _):
        checkFields(head.fields, head.bytes, head.length)
        precondition(head.length == head.bytes.count, "more than one head")
        session.respond(stream, status: 200, lines: ByteView("a: b\r\n"), contentFollows: true)
      case .content(let stream, let bytes): session.consume(stream, bytes.count)
      case .end(_, let trailers):
        let last = trailers.count
        precondition(last == 0 || trailers[last - 1] == 10, "trailers without their end")
      case .closed, .goingAway: break
      }
    }
    for _ in 0..<64 where session.wantsToSend {
      var output = ByteBuffer()
      let tail = session.produce(into: &output, from: self, limit: 16_384, now: 0)
      if output.isEmpty && tail.isEmpty { break }
    }
    // Streams that closed on the way out.
    while session.next(into: head) != nil {}
  }
}
