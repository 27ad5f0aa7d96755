/// An error code of HTTP/2 (RFC 9113 §7); those of the future are kept as they are.
package struct HTTP2ErrorCode: Equatable, Hashable, Sendable {
  /// The number.
  package let number: UInt32
  /// A code.
  package init(_ number: UInt32) { self.number = number }

  /// NO_ERROR
  package static let noError = HTTP2ErrorCode(0x0)
  /// PROTOCOL_ERROR
  package static let protocolError = HTTP2ErrorCode(0x1)
  /// INTERNAL_ERROR
  package static let internalError = HTTP2ErrorCode(0x2)
  /// FLOW_CONTROL_ERROR
  package static let flowControlError = HTTP2ErrorCode(0x3)
  /// STREAM_CLOSED
  package static let streamClosed = HTTP2ErrorCode(0x5)
  /// FRAME_SIZE_ERROR
  package static let frameSizeError = HTTP2ErrorCode(0x6)
  /// REFUSED_STREAM: nothing was done, and a retry is safe.
  package static let refusedStream = HTTP2ErrorCode(0x7)
  /// CANCEL
  package static let cancel = HTTP2ErrorCode(0x8)
  /// COMPRESSION_ERROR
  package static let compressionError = HTTP2ErrorCode(0x9)
  /// ENHANCE_YOUR_CALM
  package static let enhanceYourCalm = HTTP2ErrorCode(0xB)
  /// HTTP_1_1_REQUIRED
  package static let http11Required = HTTP2ErrorCode(0xD)
}

/// Why a connection is being ended. A GOAWAY with `code` is queued; it is to be sent, and the connection
/// closed.
package enum HTTP2Failure: Error, Equatable, Hashable, Sendable {
  /// What came first is not the client's preface (RFC 9113 §3.4).
  case badPreface
  /// The client broke the protocol in a way that ends a connection; the code says how.
  case protocolError(HTTP2ErrorCode)
  /// A frame that its stream's state forbids (RFC 9113 §5.1).
  case frameOnIdleStream
  /// A frame on a stream that the client itself has ended (RFC 9113 §5.1).
  case frameOnClosedStream
  /// Streams opened and reset (rapid reset), or broken so that we reset them.
  case resetFlood
  /// Too many CONTINUATION frames, or too large a block.
  case continuationFlood
  /// A field section that unpacks to far more than is allowed.
  case fieldBomb
  /// Too many SETTINGS.
  case settingsFlood
  /// Too many PINGs.
  case pingFlood
  /// Too many priorities.
  case priorityFlood
  /// Too many frames with (nearly) nothing in them.
  case tinyFrameFlood
  /// Too many WINDOW_UPDATEs.
  case windowUpdateFlood
  /// The client asked for content and keeps its window shut.
  case stalled
  /// nghttp2 gave up, for want of memory or because its own limits were reached; its number.
  case library(Int32)

  /// The code in the GOAWAY.
  package var code: HTTP2ErrorCode {
    switch self {
    case .badPreface, .frameOnIdleStream: .protocolError
    case .protocolError(let code): code
    case .frameOnClosedStream: .streamClosed
    case .resetFlood, .continuationFlood, .fieldBomb, .settingsFlood, .pingFlood, .priorityFlood,
      .tinyFrameFlood, .windowUpdateFlood, .stalled:
      .enhanceYourCalm
    case .library: .internalError
    }
  }
}
