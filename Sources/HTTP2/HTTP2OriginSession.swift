// The node's end of an HTTP/2 connection to an origin, without its socket: requests in, bytes out; bytes
// in, what came of each request out. nghttp2 has the frames, HPACK and flow control, and checks messages
// (RFC 9113 §8).
//
//   request(head) ─► nghttp2 ─► produce(into:)        content is asked for as windows allow (`append`)
//   feed(bytes)   ─► nghttp2 ─► the receiver: head, content, end, closed
//
// A response's head is handed on as the text of an HTTP/1.1 head, which the one strict parser reads. What a
// server sends of content is held back by its stream's window alone: what the receiver has taken it says
// with `consume`. The connection's own window is given back at once, so that a response that nobody reads
// holds up no other; what is in memory is then at most a stream's window for each.
//
// The receiver is called from within `feed` and `produce`. It may begin requests, reset streams and consume
// there, and must not feed, produce, or let go of the session.
//
// `HTTP2ClientSession` is the other client's end, for tools that measure: it drops content and holds nobody
// back.

package import Bytes
internal import CNGHTTP2
internal import HTTP1
internal import HTTPMessage

/// What is told of requests; on the session's thread, from within `feed` or `produce`.
package protocol HTTP2ResponseReceiver: AnyObject {
  /// A response's head, interim ones included, as the text of an HTTP/1.1 head; good within the call.
  func received(head: ByteView, stream: Int32)
  /// Content, good within the call.
  func received(content: ByteView, stream: Int32)
  /// The response is whole. `trailers` are field lines.
  func ended(stream: Int32, trailers: ByteView)
  /// The stream is gone before the response was whole.
  func closed(stream: Int32, _ end: HTTP2StreamEnd)
}

/// Why a response is not whole.
package enum HTTP2StreamEnd: Equatable, Sendable {
  /// A reset, by the server or for what it did wrong.
  case reset(HTTP2ErrorCode)
  /// Its field section is larger than is taken.
  case headTooLarge
}

/// What a session to an origin takes.
package struct HTTP2OriginOptions: Sendable {
  /// Content of a response that is taken before anybody reads it.
  package var window: UInt32 = 256 << 10
  /// Content of all responses that may be on its way.
  package var connectionWindow: UInt32 = 16 << 20
  /// The most bytes of a response's field section.
  package var maxFieldSection = 64 << 10
  /// What a field section may unpack to before the connection is given up; what is larger than
  /// `maxFieldSection` and not than this costs its own stream alone.
  package var maxDecodedSection = 256 << 10
  /// The most requests at once, whatever the server allows.
  package var maxStreams = 100

  /// The defaults.
  package init() {}
}

/// The node's end of an HTTP/2 connection to an origin. Belongs to one thread.
@safe
package final class HTTP2OriginSession {
  struct Stream {
    /// Content of the request that has not gone out, from `outputStart` on.
    var output = [UInt8]()
    var outputStart = 0
    /// Whether all of it is there.
    var hasAll = true
    /// Whether nghttp2 waits for more.
    var waits = false
    /// Whether the response's last frame has come.
    var hasEnded = false
  }

  let options: HTTP2OriginOptions
  // Owned; freed in deinit.
  private var handle: OpaquePointer?
  weak var receiver: (any HTTP2ResponseReceiver)?
  var streams: [Int32: Stream] = [:]
  // The field section that is being received.
  var block = ByteBuffer()
  var blockSize = 0
  var hasStatus = false
  private let head = RequestHead()
  private var fields = RequestFields()
  /// Whether the server has said that it takes no more requests here.
  package internal(set) var isGoingAway = false
  /// Whether the connection is beyond use.
  package private(set) var hasFailed = false

  /// A session that has its preface and SETTINGS to send. Nil if there is no memory.
  package init?(_ options: HTTP2OriginOptions = HTTP2OriginOptions()) {
    self.options = options
    unsafe handle = nil
    // The session does not outlive this object, which deletes it.
    let made = unsafe OriginLibrary.shared.open(
      options, Unmanaged.passUnretained(self).toOpaque())
    guard let made = unsafe made else { return nil }
    unsafe handle = made
  }

  deinit { unsafe nghttp2_session_del(handle) }

  var session: OpaquePointer? { unsafe handle }

  /// Tells another object from now on.
  package func report(to receiver: any HTTP2ResponseReceiver) { self.receiver = receiver }

  // MARK: Requests

  /// How many requests are under way.
  package var openStreams: Int { streams.count }

  /// Whether another request may begin.
  package var hasRoom: Bool {
    guard !isGoingAway, !hasFailed, unsafe nghttp2_session_check_request_allowed(handle) != 0 else {
      return false
    }
    let allowed = unsafe nghttp2_session_get_remote_settings(
      handle, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
    return streams.count < min(options.maxStreams, Int(clamping: allowed))
  }

  /// Begins a request whose head is that text of an HTTP/1.1 head; its stream, or nil if it is none or
  /// the session takes no more. `hasContent`: `append` brings it.
  package func request(head text: ByteView, isSecure: Bool, hasContent: Bool) -> Int32? {
    let limits = HeadLimits(maxRequestLine: 64 << 10, maxHead: 256 << 10, maxFields: 2_000)
    guard case .complete = RequestParser.parse(text, limits: limits, into: head) else { return nil }
    fields.take(head, isSecure: isSecure)
    let stream = unsafe fields.submit(handle, hasContent: hasContent)
    guard stream > 0 else { return nil }
    var state = Stream()
    state.hasAll = !hasContent
    streams[stream] = state
    return stream
  }

  /// Content of a request; `isLast`: all of it is there.
  package func append(_ content: ByteView, to stream: Int32, isLast: Bool) {
    guard streams[stream] != nil else { return }
    streams[stream]?.take(content)
    if isLast { streams[stream]?.hasAll = true }
    if streams[stream]?.waits == true {
      streams[stream]?.waits = false
      _ = unsafe nghttp2_session_resume_data(handle, stream)
    }
  }

  /// Content that waits for the server's window or the socket.
  package func backlog(of stream: Int32) -> Int {
    streams[stream].map { $0.output.count - $0.outputStart } ?? 0
  }

  /// Whether all of a request's content has been written.
  package func isSent(_ stream: Int32) -> Bool {
    streams[stream].map { $0.hasAll && $0.outputStart == $0.output.count } ?? true
  }

  /// Gives a request up. Nothing is told of it any more.
  package func cancel(_ stream: Int32) {
    guard streams.removeValue(forKey: stream) != nil, !hasFailed else { return }
    _ = unsafe nghttp2_submit_rst_stream(
      handle, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, HTTP2ErrorCode.cancel.number)
  }

  /// Content was taken, and as much may be sent again.
  package func consume(_ stream: Int32, _ count: Int) {
    guard count > 0, streams[stream] != nil else { return }
    _ = unsafe nghttp2_session_consume_stream(handle, stream, count)
  }

  /// Gives the connection's window back.
  func consumeOfConnection(_ count: Int) {
    _ = unsafe nghttp2_session_consume_connection(handle, count)
  }

  /// Says that the connection ends (GOAWAY).
  package func end() {
    guard !hasFailed else { return }
    isGoingAway = true
    _ = unsafe nghttp2_session_terminate_session(handle, HTTP2ErrorCode.noError.number)
  }

  /// Asks the server for a sign of life.
  package func ping() {
    _ = unsafe nghttp2_submit_ping(handle, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
  }

  // MARK: In and out

  /// Takes bytes that came in; false: the connection is beyond use, once what is left has been sent.
  package func feed(_ bytes: ByteView) -> Bool {
    guard !hasFailed else { return false }
    guard !bytes.isEmpty else { return true }
    // Safe: nghttp2 reads `count` bytes, and keeps no pointer to them.
    let result = unsafe nghttp2_session_mem_recv(
      handle, bytes.baseAddress.assumingMemoryBound(to: UInt8.self), bytes.count)
    if result < 0 { hasFailed = true }
    return !hasFailed
  }

  /// Writes frames until about `limit` bytes are there.
  package func produce(into output: inout ByteBuffer, limit: Int) {
    while output.count < limit {
      var start: UnsafePointer<UInt8>?
      let count = unsafe nghttp2_session_mem_send(handle, &start)
      guard let start = unsafe start, count > 0 else {
        if count < 0 { hasFailed = true }
        return
      }
      // nghttp2's buffer, `count` bytes, good until the next call.
      output.append(unsafe ByteView(unsafeStart: UnsafeRawPointer(start), count: count))
    }
  }

  /// Whether the connection is over: nothing is to be read or written any more.
  package var isFinished: Bool {
    if hasFailed { return true }
    return unsafe nghttp2_session_want_read(handle) == 0
      && nghttp2_session_want_write(handle) == 0
  }
}

extension HTTP2OriginSession.Stream {
  /// Keeps content until nghttp2 asks for it.
  fileprivate mutating func take(_ content: ByteView) {
    // What has gone out is let go of from time to time: an upload may never catch up with its client.
    if outputStart > 64 << 10 {
      output.removeFirst(outputStart)
      outputStart = 0
    }
    output += content.array
  }
}

/// A request's fields as nghttp2 takes them: pseudo-fields first, names in lower case, nothing that belongs
/// to one connection (RFC 9113 §8.2.2, §8.3.1).
private struct RequestFields: ~Copyable {
  private struct Place {
    var name: Range<Int>
    var value: Range<Int>
    /// Whether it is a secret. Requests of many clients share a connection, and with it HPACK's table: what
    /// is in there one client could guess by the length of another's request (RFC 7541 §7.1.3).
    var isSecret: Bool
  }

  private var bytes = ByteBuffer()
  private var places: [Place] = []

  init() {}

  mutating func take(_ head: RequestHead, isSecure: Bool) {
    bytes.removeAll()
    places.removeAll(keepingCapacity: true)
    let source = head.bytes
    add(":method", source[head.methodRange])
    add(":scheme", ByteView(isSecure ? "https" : "http"))
    add(":authority", source[head.authority])
    add(":path", source[head.target])
    for index in 0..<head.fields.count {
      let line = head.fields[index]
      var isSecret = false
      switch line.known {
      case .host, .connection, .transferEncoding, .upgrade, .keepAlive, .te, .proxyConnection:
        continue
      case .authorization, .proxyAuthorization, .cookie: isSecret = true
      default: break
      }
      let start = bytes.count
      bytes.appendLowercased(line.name(in: source))
      let middle = bytes.count
      bytes.append(line.value(in: source))
      places.append(
        Place(name: start..<middle, value: middle..<bytes.count, isSecret: isSecret))
    }
  }

  private mutating func add(_ name: StaticString, _ value: ByteView) {
    let start = bytes.count
    bytes.append(name)
    let middle = bytes.count
    bytes.append(value)
    places.append(Place(name: start..<middle, value: middle..<bytes.count, isSecret: false))
  }

  borrowing func submit(_ session: OpaquePointer?, hasContent: Bool) -> Int32 {
    let view = bytes.view
    // nghttp2 copies names and values, and changes nothing.
    let start = unsafe UnsafeMutablePointer(
      mutating: view.baseAddress.assumingMemoryBound(to: UInt8.self))
    let fields = unsafe places.map { place in
      let flags = place.isSecret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE
      return unsafe nghttp2_nv(
        name: start + place.name.lowerBound, value: start + place.value.lowerBound,
        namelen: place.name.count, valuelen: place.value.count, flags: UInt8(flags.rawValue))
    }
    guard hasContent else {
      return unsafe nghttp2_submit_request(session, nil, fields, fields.count, nil, nil)
    }
    var provider = unsafe nghttp2_data_provider()
    unsafe provider.read_callback = readRequestContent
    return unsafe nghttp2_submit_request(session, nil, fields, fields.count, &provider, nil)
  }
}
