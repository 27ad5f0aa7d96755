internal import Bytes
internal import EventLoop

/// What a request came in on, and its response goes out by: an HTTP/1 connection, or one stream of
/// many on a connection.
///
/// All that an `Exchange` knows of the protocol and of the network. Exchanges take it as a generic
/// parameter, so that a request's way is compiled once for each protocol, with direct calls.
protocol ClientStream: AnyObject {
  var worker: Worker { get }
  /// Names it among what the worker owns.
  var token: UInt64 { get }
  /// The address of its peer, or what a PROXY header has said in its stead.
  var address: SocketAddress { get }
  /// The port that the client connected to; 0 if it is not known.
  var listenerPort: UInt16 { get }
  var isClosed: Bool { get }
  /// Whether the client will send nothing more: mostly, that it has left.
  var peerEnded: Bool { get }
  /// Whether the node itself has broken it off.
  var wasReset: Bool { get }
  /// Bytes of the request's content that were received.
  var contentReceived: UInt64 { get }
  /// Bytes that may still be written in this turn.
  var writeBudget: Int { get }

  /// Calls the exchange's `waitedEnough` at a time (monotonic); never, for the greatest.
  func wait(until time: Int64)

  /// Lets the exchange go on at a time (monotonic), however things stand then.
  func wake(at time: Int64)

  /// What follows on the connection cannot be trusted, or is not wanted: the response is the last.
  func endAfterResponse()

  /// Sends what waits from earlier; whether nothing is left and content may be offered.
  func isReadyToSend() -> Bool

  /// Sends a response's head, as far as the exchange has made its field lines: `lines` and what is in
  /// the worker's `lines`.
  ///
  /// - Parameters:
  ///   - length: of the content; nil if it is not known.
  ///   - hasContent: false for HEAD, 204 and 304: a length is then only said, not sent.
  func sendHead(
    status: UInt16, lines: ByteView, length: UInt64?, hasContent: Bool, minorVersion: UInt8)

  /// Sends content. Returns how many of the bytes are taken care of; the rest is to be offered again.
  func sendContent(_ content: ByteView) -> Int

  /// Sends a short content whole; what the network does not take now is kept.
  func sendWhole(_ content: ByteView)

  /// Ends a response whose content is complete; `trailers` are field lines.
  func endContent(trailers: ByteView)

  /// Breaks the response off such that the client sees an error and never a complete one.
  func reset()
}

/// What the worker and the requests to origins know of a client besides.
protocol ClientPeer: ClientStream {
  /// Its request.
  var exchange: Exchange { get }

  /// Goes on as far as bytes and room allow.
  func advance()

  /// Passes an interim response on (RFC 9110 §15.2).
  func sendInterim(status: UInt16, lines: ByteView)

  /// Joins it to an origin's connection that has agreed to an upgrade with these field lines.
  func beginTunnel(to origin: OriginConnection, lines: ByteView)
}

extension ClientStream {
  var listenerPort: UInt16 { 0 }
}
