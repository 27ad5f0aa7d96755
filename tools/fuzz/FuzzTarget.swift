// What reads bytes from outside under libFuzzer: the codec here, credentials in FuzzCredentials.swift, the
// rules language in FuzzRules.swift. One binary holds all targets; FUZZ_TARGET chooses.
//
// Reading must not trap and must not leave its bytes (AddressSanitizer sees to that). What is accepted
// must keep the promises that the rest of the node relies on: they are checked here by preconditions,
// which libFuzzer reports like any crash.

import Bytes
import HTTP1
import HTTPMessage
import Rules

#if canImport(Glibc)
  import Glibc
#endif

enum Target {
  case request, response, chunked, token, keySet, base64, url, rules, http2, traffic

  /// The target that the environment names.
  static let chosen: Target = {
    switch unsafe getenv("FUZZ_TARGET").map({ unsafe String(cString: $0) }) {
    case "response": .response
    case "chunked": .chunked
    case "token": .token
    case "keyset": .keySet
    case "base64": .base64
    case "url": .url
    case "rules": .rules
    case "http2": .http2
    case "traffic": .traffic
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
  case .token: fuzzToken(bytes)
  case .keySet: fuzzKeySet(bytes)
  case .base64: fuzzBase64(bytes)
  case .url: fuzzURL(bytes)
  case .rules: fuzzRules(bytes)
  case .http2: fuzzHTTP2(bytes)
  case .traffic: fuzzTraffic(bytes)
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

/// Rules up to a line "--", then a request: what compiles runs, and what it decides is fit to be sent.
func fuzzRules(_ bytes: ByteView) {
  let all = bytes.array
  var cut = all.count
  for index in all.indices.dropLast(3) where Array(all[index..<index + 4]) == [10, 45, 45, 10] {
    cut = index
    break
  }
  let text = Array(all[..<cut])
  var findings = RuleFindings()
  let rules = RuleLanguage.parse(text, &findings)
  let context = RuleContext(files: RuleFiles { _ in .success(Array("10.0.0.1\n".utf8)) })
  let code = RuleLanguage.compile(rules, text: text, context, &findings)
  for finding in findings.list {
    precondition(
      finding.range.lower >= 0 && finding.range.upper <= text.count, "a place outside of the text")
  }
  guard let code else {
    precondition(findings.errorCount > 0, "refused without a reason")
    return
  }
  let head = RequestHead()
  let rest = bytes.dropping(first: min(cut + 4, bytes.count))
  guard RequestParser.parse(rest, limits: limits, into: head) == .complete else { return }
  var input = RuleInput(head: head, host: ByteView("a"), path: rest[head.path])
  input.status = 200
  input.responseFields = ByteView("a: b\r\ncontent-type: text/plain\r\n")
  let program = RuleProgram(code)
  let scratch = RuleScratch(capacity: 8_192)
  let outcome = program.run(input, scratch)
  if outcome == .redirect {
    let location = scratch.location
    for index in 0..<location.count { precondition(0x21...0x7E ~= location[index], "no address") }
  }
  for index in 0..<scratch.requestFields.count { checkClean(scratch.requestFields[index].value) }
  if scratch.isRewritten {
    precondition(scratch.path.prefix(1) == ByteView("/"), "no path")
    checkClean(scratch.path)
  }
  if outcome == .proceed { _ = program.runResponse(input, scratch) }
  for index in 0..<scratch.responseFields.count { checkClean(scratch.responseFields[index].value) }
}
