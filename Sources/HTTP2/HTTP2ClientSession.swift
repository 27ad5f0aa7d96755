// A client's end of an HTTP/2 connection, without its socket: requests in, bytes out; bytes in, events out. It
// asks for much and keeps nothing: answers' content is counted and dropped, and the windows are as large as
// the protocol allows, so that a server is never held up by who measures it.
//
// A request is given as the head of an HTTP/1.1 message, whose lines become fields here (RFC 9113 §8.3.1):
// what is prepared to be sent can be sent in either protocol.

package import Bytes
internal import CNGHTTP2
internal import HTTP1
package import HTTPMessage

/// Who takes a client's answers. None of these may call the session.
package protocol HTTP2ClientEvents: AnyObject {
  /// An answer's head; good for the call. `token` is the request's.
  func answered(token: UInt64, head: ResponseHead)
  /// Bytes of its content.
  func received(token: UInt64, count: Int)
  /// The stream is over: 0 if all was said (RFC 9113 §7).
  func closed(token: UInt64, code: UInt32)
  /// The server takes no more requests on this connection.
  func goingAway()
}

/// A client's session. Belongs to one thread.
@safe
package final class HTTP2ClientSession {
  // Owned; freed in deinit.
  private var handle: OpaquePointer?
  private var nameBytes = ByteBuffer()
  private var spans: [(name: Range<Int>, value: Range<Int>)] = []
  fileprivate weak var events: (any HTTP2ClientEvents)?
  fileprivate let head = ResponseHead()
  fileprivate var headBytes = ByteBuffer()
  fileprivate var lines: [(name: Range<Int>, value: Range<Int>)] = []
  fileprivate var status: UInt16 = 0
  fileprivate var isBroken = false
  /// Content of requests that is still to be sent.
  fileprivate var unsent: [Int32: UInt64] = [:]
  private static let largestHead = 262_144

  /// A session that has its preface and SETTINGS to send. Nil if there is no memory.
  package init?(events: any HTTP2ClientEvents) {
    self.events = events
    unsafe handle = nil
    var made: OpaquePointer?
    // The session does not outlive this object, which deletes it.
    let owner = unsafe Unmanaged.passUnretained(self).toOpaque()
    guard unsafe nghttp2_session_client_new(&made, ClientLibrary.shared.callbacks, owner) == 0
    else { return nil }
    unsafe handle = made
    let settings = [
      nghttp2_settings_entry(
        settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0),
      nghttp2_settings_entry(
        settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: 1 << 30),
    ]
    let flags = UInt8(NGHTTP2_FLAG_NONE.rawValue)
    guard unsafe nghttp2_submit_settings(handle, flags, settings, settings.count) == 0,
      unsafe nghttp2_session_set_local_window_size(handle, flags, 0, 1 << 30) == 0
    else { return nil }
  }

  deinit { unsafe nghttp2_session_del(handle) }

  /// Asks for something. `head` is an HTTP/1.1 head with a `Host`; `content` bytes of the letter x follow
  /// it. Returns the stream's number; nil if it cannot be asked on this connection.
  package func request(
    head: ByteView, isSecure: Bool, content: UInt64, token: UInt64
  ) -> Int32? {
    guard token != 0, let line = requestLine(head) else { return nil }
    nameBytes.removeAll()
    nameBytes.reserve(head.count + 64)
    spans.removeAll(keepingCapacity: true)
    let host = fields(of: head, from: line.end)
    var pseudo: [nghttp2_nv] = unsafe [
      Self.pair(ByteView(":method"), head[line.method]),
      Self.pair(ByteView(":scheme"), isSecure ? ByteView("https") : ByteView("http")),
      Self.pair(ByteView(":authority"), head[host]),
      Self.pair(ByteView(":path"), head[line.target]),
    ]
    for span in spans {
      unsafe pseudo.append(Self.pair(nameBytes.view[span.name], head[span.value]))
    }
    var provider = unsafe nghttp2_data_provider()
    unsafe provider.read_callback = provideContent
    // A number in a pointer's place; nothing is read there.
    let user = unsafe UnsafeMutableRawPointer(bitPattern: UInt(token))
    let stream =
      content > 0
      ? unsafe nghttp2_submit_request(handle, nil, pseudo, pseudo.count, &provider, user)
      : unsafe nghttp2_submit_request(handle, nil, pseudo, pseudo.count, nil, user)
    guard stream > 0 else { return nil }
    if content > 0 { unsent[stream] = content }
    return stream
  }

  /// Gives a request up: the server hears of it with the next bytes. What still comes of it may be handed
  /// out, under its token.
  package func cancel(stream: Int32) {
    unsent[stream] = nil
    _ = unsafe nghttp2_submit_rst_stream(
      handle, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, NGHTTP2_CANCEL.rawValue)
  }

  /// Takes bytes that came in; false if the connection is beyond use.
  package func feed(_ bytes: ByteView) -> Bool {
    // Safe: the view covers `count` readable bytes for the call.
    let start = unsafe bytes.baseAddress.assumingMemoryBound(to: UInt8.self)
    let taken = unsafe nghttp2_session_mem_recv(handle, start, bytes.count)
    return taken == bytes.count && !isBroken
  }

  /// Appends what is to be sent, until the buffer holds about `limit` bytes; false if the connection is
  /// beyond use.
  package func produce(into buffer: inout ByteBuffer, limit: Int) -> Bool {
    while buffer.count < limit {
      var start: UnsafePointer<UInt8>?
      let count = unsafe nghttp2_session_mem_send(handle, &start)
      if count < 0 { return false }
      guard let start = unsafe start, count > 0 else { return true }
      // nghttp2's buffer, `count` bytes, good until the next call.
      buffer.append(unsafe ByteView(unsafeStart: UnsafeRawPointer(start), count: count))
    }
    return true
  }

  /// Whether the connection is over, as far as HTTP/2 is concerned.
  package var isFinished: Bool {
    unsafe nghttp2_session_want_read(handle) == 0 && nghttp2_session_want_write(handle) == 0
  }

  /// How many requests the server takes at once.
  package var streamLimit: Int {
    Int(
      unsafe nghttp2_session_get_remote_settings(
        handle, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
  }

  // MARK: From HTTP/1.1's lines

  private func requestLine(_ head: ByteView) -> (
    method: Range<Int>, target: Range<Int>, end: Int
  )? {
    guard let first = head.firstIndex(of: ASCII.space),
      let second = head.firstIndex(of: ASCII.space, from: first + 1),
      let end = head.firstIndex(of: ASCII.lf, from: second)
    else { return nil }
    return (0..<first, first + 1..<second, end + 1)
  }

  /// Notes all fields but those that HTTP/2 does not have, and returns where the host is.
  private func fields(of head: ByteView, from start: Int) -> Range<Int> {
    var host = 0..<0
    var at = start
    while let end = head.firstIndex(of: ASCII.lf, from: at), end - at > 1,
      let colon = head.firstIndex(of: ASCII.colon, from: at), colon < end
    {
      let name = head[at..<colon]
      var from = colon + 1
      while from < end, head[from] == ASCII.space { from += 1 }
      let value = from..<max(from, end - 1)
      at = end + 1
      if name.equalsIgnoringCase(ByteView("host")) {
        host = value
      } else if !name.equalsIgnoringCase(ByteView("connection")) {
        let nameStart = nameBytes.count
        nameBytes.appendLowercased(name)
        spans.append((nameStart..<nameBytes.count, value))
      }
    }
    return host
  }

  /// nghttp2 copies both.
  private static func pair(_ name: ByteView, _ value: ByteView) -> nghttp2_nv {
    unsafe nghttp2_nv(
      name: UnsafeMutablePointer(
        mutating: name.baseAddress.assumingMemoryBound(to: UInt8.self)),
      value: UnsafeMutablePointer(
        mutating: value.baseAddress.assumingMemoryBound(to: UInt8.self)),
      namelen: name.count, valuelen: value.count, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
  }

  // MARK: From the callbacks

  fileprivate func beginHead() {
    headBytes.removeAll()
    lines.removeAll(keepingCapacity: true)
    status = 0
  }

  fileprivate func addField(_ name: ByteView, _ value: ByteView) {
    guard headBytes.count + name.count + value.count < Self.largestHead else {
      isBroken = true
      return
    }
    if name == ByteView(":status") {
      status = UInt16(value.string) ?? 0
      return
    }
    let start = headBytes.count
    headBytes.append(name)
    let middle = headBytes.count
    headBytes.append(value)
    lines.append((start..<middle, middle..<headBytes.count))
  }

  /// Hands a final head out; interim ones and trailers are none.
  fileprivate func endHead(token: UInt64) {
    guard status >= 200 else { return }
    head.bytes = headBytes.view
    head.status = status
    head.fields.removeAll()
    for line in lines where head.fields.count < 1_000 && line.name.count < 65_536 {
      head.fields.append(
        FieldLine(
          nameOffset: UInt32(line.name.lowerBound), nameLength: UInt16(line.name.count),
          valueOffset: UInt32(line.value.lowerBound), valueLength: UInt32(line.value.count),
          known: KnownField.identify(head.bytes[line.name])))
    }
    status = 0
    events?.answered(token: token, head: head)
  }
}

/// The callbacks' table, which every session copies.
@safe
private final class ClientLibrary: Sendable {
  static let shared = ClientLibrary()
  // Never changed after init, and never freed.
  nonisolated(unsafe) let callbacks: OpaquePointer?

  private init() {
    var made: OpaquePointer?
    unsafe nghttp2_session_callbacks_new(&made)
    unsafe callbacks = made
    unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(made) { _, _, user in
      unsafe client(user)?.beginHead()
      return 0
    }
    unsafe nghttp2_session_callbacks_set_on_header_callback(made, takeClientField)
    unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(made, clientDidReceive)
    unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, takeClientContent)
    unsafe nghttp2_session_callbacks_set_on_stream_close_callback(made, clientDidClose)
  }
}

/// The session that `user` stands for: alive as long as nghttp2's.
private func client(_ user: UnsafeMutableRawPointer?) -> HTTP2ClientSession? {
  guard let user = unsafe user else { return nil }
  return unsafe Unmanaged<HTTP2ClientSession>.fromOpaque(user).takeUnretainedValue()
}

/// The number that a stream's request was given.
private func token(_ session: OpaquePointer?, _ stream: Int32) -> UInt64 {
  UInt64(UInt(bitPattern: unsafe nghttp2_session_get_stream_user_data(session, stream)))
}

private func takeClientField(
  _: OpaquePointer?, _: UnsafePointer<nghttp2_frame>?, name: UnsafePointer<UInt8>?,
  nameLength: Int, value: UnsafePointer<UInt8>?, valueLength: Int, _: UInt8,
  user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let name = unsafe name, let value = unsafe value else { return 0 }
  // nghttp2's decoded bytes, good for this call.
  unsafe client(user)?.addField(
    ByteView(unsafeStart: UnsafeRawPointer(name), count: nameLength),
    ByteView(unsafeStart: UnsafeRawPointer(value), count: valueLength))
  return 0
}

private func clientDidReceive(
  session: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let frame = unsafe frame else { return 0 }
  // Every frame begins with its header.
  let header = unsafe frame.pointee.hd
  switch UInt32(header.type) {
  case NGHTTP2_HEADERS.rawValue:
    unsafe client(user)?.endHead(token: token(session, header.stream_id))
  case NGHTTP2_GOAWAY.rawValue: unsafe client(user)?.events?.goingAway()
  default: break
  }
  return 0
}

private func takeClientContent(
  session: OpaquePointer?, _: UInt8, stream: Int32, _: UnsafePointer<UInt8>?, count: Int,
  user: UnsafeMutableRawPointer?
) -> Int32 {
  unsafe client(user)?.events?.received(token: token(session, stream), count: count)
  return 0
}

private func clientDidClose(
  session: OpaquePointer?, stream: Int32, code: UInt32, user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let client = unsafe client(user) else { return 0 }
  client.unsent[stream] = nil
  client.events?.closed(token: unsafe token(session, stream), code: code)
  return 0
}

private func provideContent(
  _: OpaquePointer?, stream: Int32, buffer: UnsafeMutablePointer<UInt8>?, length: Int,
  flags: UnsafeMutablePointer<UInt32>?, _: UnsafeMutablePointer<nghttp2_data_source>?,
  user: UnsafeMutableRawPointer?
) -> Int {
  guard let client = unsafe client(user), let buffer = unsafe buffer else { return 0 }
  let missing = client.unsent[stream] ?? 0
  let count = Int(min(missing, UInt64(max(length, 0))))
  // Safe: nghttp2 has room for `length` bytes there.
  unsafe buffer.update(repeating: 0x78, count: count)
  client.unsent[stream] = missing - UInt64(count)
  if missing == UInt64(count) {
    unsafe flags?.pointee |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue)
  }
  return count
}
