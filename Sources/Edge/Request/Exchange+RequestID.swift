// What a request is called: by whoever is in front of the node, or at random. Where each request is called
// something (`request_id`), that is decided at its begin; elsewhere only when an error page shows it.

internal import AccessLog
internal import Bytes
internal import ClientAddress
internal import Configuration
internal import EventLoop
internal import HTTPMessage

/// A request's name.
struct RequestID {
  enum Source {
    /// It has none.
    case none
    /// The value of its own `X-Request-Id`.
    case given
    /// Made of these 128 bits.
    case made
  }

  var source = Source.none
  var bits = Hash128(low: 0, high: 0)
}

extension Exchange {
  /// Decides what the request is called.
  @inline(never)
  func nameRequest(_ head: RequestHead, on connection: some ClientStream) {
    let isHeard: Bool
    switch generation.routes.requestIDs {
    case .off: return
    case .make: isHeard = false
    case .always: isHeard = true
    case .trusted:
      let peer = connection.address
      isHeard =
        generation.trustsProxies && connection.mayBeForwarded
        && generation.limitTable.trusted.contains(IPAddress(high: peer.high, low: peer.low))
    }
    if isHeard, let given = head.value(.xRequestId), Self.isPlain(given) {
      requestID.source = .given
    } else {
      requestID = RequestID(source: .made, bits: Random.hash128())
    }
  }

  /// What the request is called; if it has no name yet, as whoever is in front of the node says, if that
  /// can stand in a page and in a log as it is, else at random.
  func appendRequestID(to buffer: inout ByteBuffer, _ worker: Worker) {
    switch requestID.source {
    case .made:
      buffer.append(allHexadecimal: requestID.bits.high)
      buffer.append(allHexadecimal: requestID.bits.low)
    case .given, .none:
      if let given = clientHead(worker).value(.xRequestId), Self.isPlain(given) {
        buffer.append(given)
        return
      }
      let random = Random.hash128()
      buffer.append(allHexadecimal: random.high)
      buffer.append(allHexadecimal: random.low)
    }
  }

  /// A line of a head that says it.
  @inline(never)
  func appendRequestIDLine(to buffer: inout ByteBuffer, _ worker: Worker) {
    buffer.append("x-request-id: ")
    appendRequestID(to: &buffer, worker)
    buffer.append("\r\n")
  }

  /// The members that rules add to the log's line, and what the request is called.
  @inline(never)
  func namedLog(_ worker: Worker) -> ByteView {
    var identifier = ByteBuffer(capacity: 64)
    appendRequestID(to: &identifier, worker)
    if isRuled { _ = ruledLog(worker) } else { worker.rules.log.removeAll() }
    LogMembers.append(
      name: ByteView("request_id"), value: identifier.view, to: &worker.rules.log)
    return worker.rules.log.view
  }

  /// Whether a name can stand in a page, a field and a log as it is.
  private static func isPlain(_ text: ByteView) -> Bool {
    guard (1...64).contains(text.count) else { return false }
    for index in 0..<text.count {
      let byte = text[index]
      let isPlain =
        ASCII.isDigit(byte) || (byte | 0x20) &- 0x61 < 26 || byte == 0x2D || byte == 0x5F
      guard isPlain else { return false }
    }
    return true
  }
}
