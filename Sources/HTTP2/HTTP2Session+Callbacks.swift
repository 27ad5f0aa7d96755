// What nghttp2 calls. Each finds its session, does one thing and returns; none traps, and none calls back
// into what reads or writes frames.

internal import Bytes
internal import CNGHTTP2
internal import HTTPMessage

/// The callbacks' table, which every session copies.
@safe
final class Library: Sendable {
  static let shared = Library()
  // Never changed after init, and never freed.
  private nonisolated(unsafe) let callbacks: OpaquePointer?

  private init() {
    var made: OpaquePointer?
    unsafe nghttp2_session_callbacks_new(&made)
    unsafe callbacks = made
    unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(made, beginHeaders)
    unsafe nghttp2_session_callbacks_set_on_header_callback(made, takeField)
    unsafe nghttp2_session_callbacks_set_on_invalid_header_callback(made, takeInvalidField)
    unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(made, didReceive)
    unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, takeContent)
    unsafe nghttp2_session_callbacks_set_on_stream_close_callback(made, didClose)
    unsafe nghttp2_session_callbacks_set_on_frame_send_callback(made, didSend)
    unsafe nghttp2_session_callbacks_set_send_data_callback(made, sendContent)
  }

  /// A server's session with its SETTINGS queued.
  func open(_ settings: HTTP2Options, _ owner: UnsafeMutableRawPointer) -> OpaquePointer? {
    var options: OpaquePointer?
    guard unsafe nghttp2_option_new(&options) == 0 else { return nil }
    defer { unsafe nghttp2_option_del(options) }
    unsafe nghttp2_option_set_no_auto_window_update(options, 1)
    unsafe nghttp2_option_set_no_closed_streams(options, 1)
    unsafe nghttp2_option_set_builtin_recv_extension_type(
      options, UInt8(NGHTTP2_PRIORITY_UPDATE.rawValue))
    unsafe nghttp2_option_set_max_deflate_dynamic_table_size(
      options, min(max(0, settings.encoderTable), 65_536))
    unsafe nghttp2_option_set_max_continuations(options, max(0, settings.maxContinuations))
    unsafe nghttp2_option_set_max_outbound_ack(options, 200)
    // Resets are counted here, by the clock that is handed in.
    unsafe nghttp2_option_set_stream_reset_rate_limit(options, 1 << 40, 1 << 20)
    var session: OpaquePointer?
    var memory = unsafe FrameBuffers.shared.functions
    guard
      unsafe nghttp2_session_server_new3(&session, callbacks, owner, options, &memory) == 0
    else { return nil }
    guard unsafe submitSettings(session, settings) else {
      unsafe nghttp2_session_del(session)
      return nil
    }
    return unsafe session
  }

  private func submitSettings(_ session: OpaquePointer?, _ settings: HTTP2Options) -> Bool {
    func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
      nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
    }
    let window = min(max(settings.initialWindow, 65_535), 0x7FFF_FFFF)
    let entries = [
      entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, min(max(settings.maxStreams, 1), 1_024)),
      entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window),
      entry(
        NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, UInt32(clamping: settings.maxFieldSection)),
      entry(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, settings.allowsExtendedConnect ? 1 : 0),
      entry(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1),
    ]
    let isSubmitted =
      unsafe nghttp2_submit_settings(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), entries, entries.count) == 0
    // The connection's own window is no setting (RFC 9113 §6.9.2).
    guard isSubmitted, window > 65_535 else { return isSubmitted }
    return unsafe nghttp2_session_set_local_window_size(
      session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, Int32(clamping: window)) == 0
  }
}

/// The session that `user` stands for: given to nghttp2 by `open`, and alive as long as its session.
@inline(__always)
private func find(_ user: UnsafeMutableRawPointer?) -> HTTP2Session? {
  guard let user = unsafe user else { return nil }
  return unsafe Unmanaged<HTTP2Session>.fromOpaque(user).takeUnretainedValue()
}

private let failed = NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
private let streamFailed = NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue

private func beginHeaders(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let session = unsafe find(user), let frame = unsafe frame else { return failed }
  // Every frame begins with its header.
  let stream = unsafe frame.pointee.hd.stream_id
  let isRequest = unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
  if isRequest {
    session.guardian.took(stream)
    session.openSlot(stream)
  }
  session.block.begin(stream: stream, isTrailer: !isRequest)
  return 0
}

private func takeField(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, name: UnsafePointer<UInt8>?,
  nameLength: Int, value: UnsafePointer<UInt8>?, valueLength: Int, _: UInt8,
  user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let session = unsafe find(user), let name = unsafe name, let value = unsafe value else {
    return failed
  }
  // nghttp2's decoded bytes, good for this call.
  let nameView = unsafe ByteView(unsafeStart: UnsafeRawPointer(name), count: nameLength)
  let valueView = unsafe ByteView(unsafeStart: UnsafeRawPointer(value), count: valueLength)
  session.block.add(nameView, valueView, session.options)
  if nameLength == 8, nameView == ByteView("priority") {
    session.notePriority(session.block.stream, valueView)
  }
  if session.block.size > session.options.maxDecodedSection {
    session.guardian.failure = .fieldBomb
    return failed
  }
  return 0
}

/// nghttp2 would drop such a field and go on.
private func takeInvalidField(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, name: UnsafePointer<UInt8>?,
  nameLength: Int, value: UnsafePointer<UInt8>?, valueLength: Int, _: UInt8,
  user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let session = unsafe find(user), let frame = unsafe frame else { return failed }
  session.block.spoil()
  unsafe session.reset(frame.pointee.hd.stream_id, .protocolError)
  return streamFailed
}

private func didReceive(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let session = unsafe find(user), let frame = unsafe frame else { return failed }
  let header = unsafe frame.pointee.hd
  let ends = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
  switch UInt32(header.type) {
  case NGHTTP2_HEADERS.rawValue: session.endBlock(header.stream_id, endsStream: ends)
  case NGHTTP2_DATA.rawValue where ends: session.endContent(header.stream_id, trailers: 0..<0)
  case NGHTTP2_PING.rawValue where header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0:
    session.pingAnswered()
  case NGHTTP2_GOAWAY.rawValue: session.enqueue(.goingAway)
  case NGHTTP2_PRIORITY_UPDATE.rawValue:
    guard let payload = unsafe frame.pointee.ext.payload else { break }
    let update = unsafe payload.assumingMemoryBound(to: nghttp2_ext_priority_update.self).pointee
    guard let value = unsafe update.field_value else { break }
    // nghttp2's buffer, good for this call.
    let view = unsafe ByteView(
      unsafeStart: UnsafeRawPointer(value), count: update.field_value_len)
    unsafe session.notePriority(update.stream_id, view)
  default: break
  }
  return 0
}

private func takeContent(
  _: OpaquePointer?, _: UInt8, stream: Int32, data: UnsafePointer<UInt8>?, count: Int,
  user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let session = unsafe find(user), let data = unsafe data else { return failed }
  // Part of what is being fed, which the caller keeps until it has taken the events.
  let bytes = unsafe ByteView(unsafeStart: UnsafeRawPointer(data), count: count)
  session.enqueue(.content(stream: stream, bytes))
  session.countContent(count)
  return 0
}

private func didClose(
  _: OpaquePointer?, stream: Int32, code: UInt32, user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let session = unsafe find(user) else { return failed }
  session.streamClosed(stream, HTTP2ErrorCode(code))
  return 0
}

private func didSend(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let session = unsafe find(user), let frame = unsafe frame else { return failed }
  let header = unsafe frame.pointee.hd
  switch UInt32(header.type) {
  case NGHTTP2_GOAWAY.rawValue:
    let code = unsafe frame.pointee.goaway.error_code
    if code != 0 { session.ownGoAway = code }
  case NGHTTP2_RST_STREAM.rawValue:
    let code = unsafe frame.pointee.rst_stream.error_code
    session.guardian.didReset(header.stream_id, HTTP2ErrorCode(code), now: session.now)
  case NGHTTP2_DATA.rawValue, NGHTTP2_HEADERS.rawValue:
    if header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 {
      session.responseSent(header.stream_id)
    }
  default: break
  }
  return 0
}

/// Asks the provider for the next DATA frame's content.
func readContent(
  _: OpaquePointer?, stream: Int32, _: UnsafeMutablePointer<UInt8>?, limit: Int,
  flags: UnsafeMutablePointer<UInt32>?, _: UnsafeMutablePointer<nghttp2_data_source>?,
  user: UnsafeMutableRawPointer?
) -> Int {
  guard let session = unsafe find(user), let flags = unsafe flags else { return Int(failed) }
  var bits: UInt32 = 0
  let result = session.nextContent(stream, limit, &bits)
  unsafe flags.pointee |= bits
  return result
}

private func sendContent(
  _: OpaquePointer?, frame: UnsafeMutablePointer<nghttp2_frame>?, header: UnsafePointer<UInt8>?,
  count: Int, _: UnsafeMutablePointer<nghttp2_data_source>?, user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let session = unsafe find(user), let header = unsafe header else { return failed }
  // nghttp2 hands over the nine bytes of the frame's header.
  let bytes = unsafe ByteView(unsafeStart: UnsafeRawPointer(header), count: FrameHeader.size)
  return session.writeContent(bytes, count) ? 0 : failed
}

// MARK: What the callbacks do

extension HTTP2Session {
  /// A field section is complete.
  func endBlock(_ stream: Int32, endsStream: Bool) {
    guard let index = state(of: stream) else { return }
    if block.isTrailer {
      guard endsStream, block.outcome == .whole else { return reset(stream, .protocolError) }
      let start = heads.count
      block.writeTrailers(to: &heads)
      return endContent(stream, trailers: start..<heads.count)
    }
    streams[index].clientEnded = endsStream
    if case .tooLarge(let status) = block.outcome { return refuse(stream, status: status) }
    let start = heads.count
    guard block.writeHead(to: &heads, allowsExtendedConnect: options.allowsExtendedConnect) else {
      heads.truncate(to: start)
      return reset(stream, .protocolError)
    }
    if !endsStream, window.hasGrown {
      // A stream begins with the window of SETTINGS, however far the path is.
      _ = unsafe nghttp2_session_set_local_window_size(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, Int32(clamping: window.size))
    }
    let request = HTTP2Request(
      isSecure: block.isSecure, isExtendedConnect: block.isExtendedConnect,
      hasContent: !endsStream)
    enqueue(.request(stream: stream, request, start..<heads.count))
  }

  func endContent(_ stream: Int32, trailers: Range<Int>) {
    if let index = state(of: stream) { streams[index].clientEnded = true }
    enqueue(.end(stream: stream, trailers: trailers))
  }

  /// Keeps what a client says of a stream's priority. (Nothing of a stream that has not begun: nghttp2
  /// does.)
  func notePriority(_ stream: Int32, _ value: ByteView) {
    if let index = state(of: stream) { streams[index].priority = Priority(value) }
  }

  /// Counts content for the estimate of the window.
  func countContent(_ count: Int) {
    guard window.receive(count) else { return }
    if unsafe nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil) == 0 {
      guardian.ownPings += 1
    }
  }

  func pingAnswered() {
    guard let size = window.answered() else { return }
    let value = Int32(clamping: size)
    // The connection's window holds what several streams send; each of them gets the same.
    _ = unsafe nghttp2_session_set_local_window_size(
      session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, value)
    for stream in streams where stream.id != 0 && !stream.clientEnded {
      _ = unsafe nghttp2_session_set_local_window_size(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, value)
    }
  }

  func streamClosed(_ stream: Int32, _ code: HTTP2ErrorCode) {
    guard let index = state(of: stream) else { return }
    let wasDelivered = streams[index].isDelivered
    closeSlot(index)
    if wasDelivered { enqueue(.closed(stream: stream, code)) }
  }

  /// The response is complete. If the request is not, nobody wants the rest (RFC 9113 §8.1).
  func responseSent(_ stream: Int32) {
    guard let index = state(of: stream) else { return }
    streams[index].hasContent = false
    if !streams[index].clientEnded, !options.waitsForRequests { reset(stream, .noError) }
  }

  /// The next piece of content, for nghttp2's callback.
  func nextContent(_ stream: Int32, _ limit: Int, _ flags: inout UInt32) -> Int {
    guard !isPaused, let output = unsafe output, let provider, tail.isEmpty,
      unsafe output.pointee.count < outputLimit
    else { return Int(NGHTTP2_ERR_PAUSE.rawValue) }
    guard let index = state(of: stream) else { return Int(streamFailed) }
    let content = provider.content(stream: stream, token: streams[index].token, limit: limit)
    switch content {
    case .wait:
      streams[index].waits = true
      return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    case .broken(let code):
      reset(stream, code)
      return Int(streamFailed)
    case .bytes(let bytes):
      guard !bytes.isEmpty else {
        streams[index].waits = true
        return Int(NGHTTP2_ERR_DEFERRED.rawValue)
      }
      flags |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
      return announce(bytes, stream, index, limit)
    case .last(let bytes):
      flags |= NGHTTP2_DATA_FLAG_EOF.rawValue
      flags |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
      return announce(bytes, stream, index, limit)
    case .lastWithTrailers(let bytes, let lines):
      flags |= NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_COPY.rawValue
      if submitTrailers(stream, lines) { flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue }
      return announce(bytes, stream, index, limit)
    }
  }

  private func announce(
    _ bytes: ByteView, _ stream: Int32, _ index: Int, _ limit: Int
  ) -> Int {
    guard bytes.count <= limit else {
      // What the provider has counted as sent would be lost.
      reset(stream, .internalError)
      return Int(streamFailed)
    }
    pendingContent = bytes
    streams[index].shutSince = nil
    return bytes.count
  }

  /// Writes a DATA frame; large content is left where it is.
  func writeContent(_ header: ByteView, _ count: Int) -> Bool {
    guard let output = unsafe output, count == pendingContent.count else { return false }
    unsafe output.pointee.append(header)
    if count >= 2_048 {
      tail = pendingContent
    } else {
      unsafe output.pointee.append(pendingContent)
    }
    contentSent &+= UInt64(count)
    pendingContent = ByteView()
    return true
  }
}
