package import Bytes

/// Whether a plain connection speaks HTTP/2 from the start (RFC 9113 §3.3).
package enum HTTP2Preface: Equatable, Sendable {
  /// It does: the bytes are for an `HTTP2Session`.
  case whole
  /// It may: more bytes will tell.
  case partial
  /// It does not.
  case other

  /// What the first bytes of a connection are.
  package static func look(at bytes: ByteView) -> HTTP2Preface {
    let text = FrameScanner.prefaceText
    let piece = bytes.prefix(text.count)
    guard piece == text.prefix(piece.count) else { return .other }
    return piece.count == text.count ? .whole : .partial
  }
}

/// What is known of a request besides its head.
package struct HTTP2Request: Equatable, Sendable {
  /// Whether its scheme is `https`, as the client says; the transport knows better.
  package var isSecure: Bool
  /// Whether it is a CONNECT with `:protocol` (RFC 8441). Its head is that of the HTTP/1.1 upgrade it
  /// stands for; it is agreed to with 200 and not with 101, and has no `Sec-WebSocket-Key`. What the two
  /// sides then say to each other is the stream's content.
  package var isExtendedConnect: Bool
  /// Whether content may follow. Without, `.end` does not come.
  package var hasContent: Bool
}

/// What came in. Views are good until the session is fed again.
package enum HTTP2Event {
  /// A request; its head is in the head that was handed in, which refers to the session's memory.
  case request(stream: Int32, HTTP2Request)
  /// Content of a request. `consume` is to be called for all of it, when it has been taken or dropped, and
  /// even if the stream has closed meanwhile: the connection's window would shrink for good.
  case content(stream: Int32, ByteView)
  /// A request's content is complete; the trailer fields that may be passed on (RFC 9110 §6.5.1), as lines.
  case end(stream: Int32, trailers: ByteView)
  /// A stream whose request was handed out is over. With `noError` both sides have said all; with any
  /// other code it was broken off, by either side. Nothing may be done with it after this.
  case closed(stream: Int32, HTTP2ErrorCode)
  /// The client will open no more streams.
  case goingAway
}

/// The next piece of a response's content.
package enum HTTP2Content {
  /// So many bytes, at most what was asked for and at least one. They are read before the next call.
  case bytes(ByteView)
  /// The last bytes, perhaps none.
  case last(ByteView)
  /// The last bytes, and trailer fields as lines.
  case lastWithTrailers(ByteView, ByteView)
  /// None now; `HTTP2Session.resume` when there is more.
  case wait
  /// There will be no rest: the stream is reset.
  case broken(HTTP2ErrorCode)
}

/// Who has the content of responses.
package protocol HTTP2ContentProvider: AnyObject {
  /// The next piece of a stream's content, at most `limit` bytes; `token` is what was attached to the
  /// stream. Must not feed the session, nor have it produce.
  func content(stream: Int32, token: UInt64, limit: Int) -> HTTP2Content
}

/// An event on its way out.
enum QueuedEvent {
  case request(stream: Int32, HTTP2Request, Range<Int>)
  case content(stream: Int32, ByteView)
  case end(stream: Int32, trailers: Range<Int>)
  case closed(stream: Int32, HTTP2ErrorCode)
  case goingAway
}

/// A stream between its first and its last frame.
struct StreamState {
  var id: Int32 = 0
  var token: UInt64 = 0
  /// Whether its request was handed out.
  var isDelivered = false
  /// Whether the client has said all.
  var clientEnded = false
  /// Whether a response's head was submitted.
  var hasHead = false
  /// Whether content is being sent, and whether it waits for the provider.
  var hasContent = false
  var waits = false
  /// Since when it was seen without room in its own window while it has content, and sent nothing.
  var shutSince: Int64?
  /// What the client has said of its priority.
  var priority = Priority()
}
