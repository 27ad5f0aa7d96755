import Bytes
import HTTP1
import HTTPMessage
import Testing

/// Room enough for everything that is not about limits.
let roomy = HeadLimits(maxRequestLine: 8_192, maxHead: 32_768, maxFields: 100)

/// What a request's head says, as values that outlive its bytes.
struct ReadRequest: Equatable, Sendable {
  var method: String
  var target: String
  var path: String
  var query: String?
  var authority: String
  var minorVersion: UInt8
  var fields: [String]
  var framing: BodyFraming
  var keepAlive: Bool
  var expectsContinue: Bool
  var wantsUpgrade: Bool
  var length: Int

  init(_ head: RequestHead) {
    let bytes = head.bytes
    method = bytes[head.methodRange].string
    target = bytes[head.target].string
    path = bytes[head.path].string
    query = head.query.map { bytes[$0].string }
    authority = bytes[head.authority].string
    minorVersion = head.minorVersion
    fields = (0..<head.fields.count).map {
      let line = head.fields[$0]
      return line.name(in: bytes).string + ": " + line.value(in: bytes).string
    }
    framing = head.framing
    keepAlive = head.keepAlive
    expectsContinue = head.expectsContinue
    wantsUpgrade = head.wantsUpgrade
    length = head.length
  }
}

/// Reads a request's head.
func outcome(_ bytes: [UInt8], _ limits: HeadLimits = roomy) -> RequestOutcome {
  bytes.withView { RequestParser.parse($0, limits: limits, into: RequestHead()) }
}

/// Reads a request's head of Latin-1 text: a character up to U+00FF is a byte.
func outcome(_ text: String, _ limits: HeadLimits = roomy) -> RequestOutcome {
  outcome(latin1(text), limits)
}

/// What a request's head says; nil, with an issue recorded, if it is not complete.
func read(_ text: String, _ limits: HeadLimits = roomy) -> ReadRequest? {
  latin1(text).withView { bytes in
    let head = RequestHead()
    let outcome = RequestParser.parse(bytes, limits: limits, into: head)
    #expect(outcome == .complete, "\(text)")
    return outcome == .complete ? ReadRequest(head) : nil
  }
}

/// The bytes of text, one for each Unicode scalar up to U+00FF.
func latin1(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8($0.value) } }

/// Reads a response's head.
func outcome(
  response bytes: [UInt8], to method: Method = .get, _ limits: HeadLimits = roomy,
  into head: ResponseHead = ResponseHead()
) -> ResponseOutcome {
  bytes.withView { ResponseParser.parse($0, limits: limits, requestMethod: method, into: head) }
}

/// Feeds a chunked body in pieces, each in memory of its own.
struct ChunkedResult: Equatable {
  var content: [UInt8] = []
  var trailers = ""
  var last = ChunkedDecoder.Step.incomplete
  /// How many bytes were taken.
  var taken = 0

  init(_ pieces: [[UInt8]], maxExtension: Int = 4096, maxTrailer: Int = 8192, fields: Int = 64) {
    var decoder = ChunkedDecoder(
      maxExtension: maxExtension, maxTrailer: maxTrailer, maxTrailerFields: fields)
    for piece in pieces {
      piece.withView { bytes in
        var offset = 0
        reading: while true {
          last = decoder.next(bytes, offset: &offset)
          switch last {
          case .content(let range): content += bytes[range].array
          case .incomplete, .end, .invalid: break reading
          }
        }
        if last == .incomplete { #expect(offset == bytes.count) }
        taken += offset
      }
      if last != .incomplete { break }
    }
    trailers = decoder.trailers.string
  }
}

/// A small seeded generator (SplitMix64), so that a failure can be repeated.
struct Seeded: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }
}
