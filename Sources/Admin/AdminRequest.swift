internal import Bytes
internal import HTTP1
internal import HTTPMessage

/// A request's head, as far as the admin server looks at it: a value of its own.
struct AdminRequest: Sendable {
  let method: Method
  /// The path, without the query.
  let path: String
  /// The query, without its question mark; nil if there is none.
  let query: String?
  /// `Host`, or the target's authority; empty if HTTP/1.0 named none.
  let host: String
  /// Each `Authorization` line.
  let authorization: [[UInt8]]
  /// Each `Idempotency-Key` line.
  let idempotencyKeys: [String]
  let contentType: String?
  /// `Accept`, its lines joined; empty if there is none.
  let accept: String
  let framing: BodyFraming
  let expectsContinue: Bool
  let keepsAlive: Bool
  let minorVersion: UInt8
  /// Whether it came by TLS.
  let isSecure: Bool

  var hasQuery: Bool { query != nil }

  /// Whether content follows the head.
  var hasContent: Bool { framing != .none && framing != .length(0) }

  init(_ head: RequestHead, isSecure: Bool) {
    self.isSecure = isSecure
    method = head.method
    path = head.bytes[head.path].string
    query = head.query.map { head.bytes[$0].string }
    host = head.bytes[head.authority].string
    var lines: [[UInt8]] = []
    head.fields.forEach(.authorization, in: head.bytes) { lines.append($0.array) }
    authorization = lines
    var keys: [String] = []
    head.fields.forEach(named: ByteView("idempotency-key"), in: head.bytes) {
      keys.append($0.string)
    }
    idempotencyKeys = keys
    var accepted: [String] = []
    head.fields.forEach(.accept, in: head.bytes) { accepted.append($0.string) }
    accept = accepted.joined(separator: ",")
    contentType = head.value(.contentType)?.string
    framing = head.framing
    expectsContinue = head.expectsContinue
    keepsAlive = head.keepAlive
    minorVersion = head.minorVersion
  }
}

/// Gathers the content of a request, at most `maxContent` bytes of it.
struct ContentReader: ~Copyable {
  /// The most content that a request may have, in bytes.
  static let maxContent = 1 << 20

  enum Outcome {
    /// All of it.
    case complete([UInt8])
    /// More must come.
    case incomplete
    /// Too much, or not in chunks.
    case refused(Problem)
  }

  private var gathered: [UInt8] = []
  private var missing = 0
  private var decoder: ChunkedDecoder?

  /// A reader at the beginning of content; a length must not be over the limit.
  init(_ framing: BodyFraming) {
    switch framing {
    case .none, .untilClose: break
    case .length(let length): missing = Int(clamping: length)
    case .chunked: decoder = ChunkedDecoder()
    }
  }

  /// Takes what there is, and moves `offset` past it.
  mutating func take(_ bytes: ByteView, offset: inout Int) -> Outcome {
    guard decoder != nil else {
      let piece = bytes.dropping(first: offset).prefix(missing)
      gathered.append(contentsOf: piece.array)
      missing -= piece.count
      offset += piece.count
      return missing == 0 ? .complete(gathered) : .incomplete
    }
    while true {
      switch decoder?.next(bytes, offset: &offset) {
      case .content(let range):
        guard range.count <= Self.maxContent - gathered.count else {
          return .refused(Problem.contentTooLarge)
        }
        gathered.append(contentsOf: bytes[range].array)
      case .end: return .complete(gathered)
      case .invalid(let defect):
        return .refused(
          Problem(.malformedRequest, "The content is malformed: \(defect.text).", defect.status))
      case .incomplete, nil: return .incomplete
      }
    }
  }
}
