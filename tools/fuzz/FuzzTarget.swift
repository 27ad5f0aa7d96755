// The codec's readers under libFuzzer. One binary holds all targets; FUZZ_TARGET chooses.
//
// Reading must not trap and must not leave its bytes (AddressSanitizer sees to that). What is accepted
// must keep the promises that the rest of the node relies on: they are checked here by preconditions,
// which libFuzzer reports like any crash.

import Bytes
import HTTP1
import HTTP2
import HTTPMessage

#if canImport(Glibc)
  import Glibc
#endif

enum Target {
  case request, response, chunked, http2

  /// The target that the environment names.
  static let chosen: Target = {
    switch unsafe getenv("FUZZ_TARGET").map({ unsafe String(cString: $0) }) {
    case "response": .response
    case "chunked": .chunked
    case "http2": .http2
    default: .request
    }
  }()
}

let limits = HeadLimits(maxRequestLine: 1_024, maxHead: 4_096, maxFields: 32)

/// One input of libFuzzer; traps if a promise is broken.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe ByteView(unsafe: UnsafeRawBufferPointer(start: start, count: count))
  switch Target.chosen {
  case .request: fuzzRequest(bytes)
  case .response: fuzzResponse(bytes)
  case .chunked: fuzzChunked(bytes)
  case .http2: fuzzHTTP2(bytes)
  }
  return 0
}

/// No byte that could end a line or a C string.
func checkClean(_ view: ByteView) {
  for index in 0..<view.count {
    precondition(view[index] == 9 || view[index] >= 32 && view[index] != 127, "control byte let in")
  }
}

func checkFields(_ fields: borrowing FieldTable, _ bytes: ByteView, _ length: Int) {
  precondition(fields.count <= limits.maxFields, "too many fields let in")
  for index in 0..<fields.count {
    let line = fields[index]
    let name = line.name(in: bytes)
    precondition(!name.isEmpty, "empty name let in")
    for index in 0..<name.count { precondition(ASCII.isTokenByte(name[index]), "no token") }
    precondition(line.known == KnownField.identify(name), "name not marked")
    checkClean(line.value(in: bytes))
    precondition(
      Int(line.valueOffset) + Int(line.valueLength) <= length, "value outside of the head")
  }
}

func fuzzRequest(_ bytes: ByteView) {
  let head = RequestHead()
  let outcome = RequestParser.parse(bytes, limits: limits, into: head)
  // The bytes behind a head change nothing about it, and a part of it is not a head.
  let half = RequestParser.parse(bytes.prefix(bytes.count / 2), limits: limits, into: RequestHead())
  switch half {
  case .complete: precondition(outcome == .complete, "a head came apart")
  case .invalid: precondition(outcome != .incomplete && outcome != .complete, "a defect was mended")
  case .incomplete: break
  }
  guard outcome == .complete else { return }
  checkFields(head.fields, bytes, head.length)
  for range in [head.target, head.path, head.authority, head.methodRange] {
    checkClean(bytes[range])
    precondition(range.upperBound <= head.length, "range outside of the head")
  }
  precondition(HeadScan.mayHoldEnd(bytes, from: 0), "the end was not seen")
  precondition(head.fields.count(of: .host) <= 1, "several hosts let in")
  let hasBoth = head.fields.contains(.transferEncoding) && head.fields.contains(.contentLength)
  precondition(!hasBoth, "ambiguous framing let in")
  checkAgain(head)
}

/// Writes the head out and reads it again: the same framing, the same fields.
func checkAgain(_ head: RequestHead) {
  var text = ByteBuffer()
  text.append(head.bytes[head.methodRange])
  text.append(" ")
  if head.bytes[head.target].prefix(1) == ByteView("?") {
    text.append("http://")
    text.append(head.bytes[head.authority])
  }
  text.append(head.bytes[head.target])
  text.append(head.minorVersion == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n")
  for index in 0..<head.fields.count {
    text.append(head.fields[index].name(in: head.bytes))
    text.append(":")
    text.append(head.fields[index].value(in: head.bytes))
    text.append("\r\n")
  }
  text.append("\r\n")
  let again = RequestHead()
  let generous = HeadLimits(maxRequestLine: 2_048, maxHead: 8_192, maxFields: 32)
  let outcome = RequestParser.parse(text.view, limits: generous, into: again)
  precondition(outcome == .complete, "what was accepted is refused when written again")
  precondition(
    again.framing == head.framing && again.keepAlive == head.keepAlive, "framing differs")
  precondition(again.fields.count == head.fields.count, "fields differ")
  precondition(again.length == text.count, "length differs")
}

func fuzzResponse(_ bytes: ByteView) {
  guard bytes.count > 0 else { return }
  let methods = Method.allCases
  let method = methods[Int(bytes[0]) % methods.count]
  let bytes = bytes.dropping(first: 1)
  let head = ResponseHead()
  let outcome = ResponseParser.parse(bytes, limits: limits, requestMethod: method, into: head)
  guard outcome == .complete else { return }
  checkFields(head.fields, bytes, head.length)
  precondition(head.status >= 100 && head.status <= 599, "status let in")
  precondition(head.framing != .untilClose || !head.keepAlive, "no end of content")
  if method == .head || head.status == 204 || head.status == 304 || head.status < 200 {
    precondition(head.framing == .none, "content where there is none")
  }
}

func fuzzChunked(_ bytes: ByteView) {
  // The first byte says how the rest is cut.
  guard bytes.count > 0 else { return }
  let step = Int(bytes[0]) + 1
  let bytes = bytes.dropping(first: 1)
  let whole = decode(bytes, step: bytes.count + 1)
  let cut = decode(bytes, step: step)
  precondition(whole == cut, "a cut changed the body")
}

struct Decoded: Equatable {
  var content: [UInt8] = []
  var trailers: [UInt8] = []
  var last = ChunkedDecoder.Step.incomplete
  var taken = 0
}

func decode(_ bytes: ByteView, step: Int) -> Decoded {
  var decoder = ChunkedDecoder(maxExtension: 64, maxTrailer: 256, maxTrailerFields: 4)
  var result = Decoded()
  while result.taken < bytes.count {
    let piece = bytes[result.taken..<min(result.taken + step, bytes.count)]
    var offset = 0
    reading: while true {
      result.last = decoder.next(piece, offset: &offset)
      guard case .content(let range) = result.last else { break reading }
      result.content += piece[range].array
    }
    result.taken += offset
    guard result.last == .incomplete else { break }
    precondition(offset == piece.count, "bytes were left")
  }
  result.trailers = decoder.trailers.array
  return result
}

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
