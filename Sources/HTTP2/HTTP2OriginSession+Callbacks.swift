// What nghttp2 calls of a session to an origin. Each finds its session, does one thing and returns; none traps.

internal import Bytes
internal import CNGHTTP2

/// The callbacks' table, which every session copies.
@safe
final class OriginLibrary: Sendable {
  static let shared = OriginLibrary()
  // Never changed after init, and never freed.
  private nonisolated(unsafe) let callbacks: OpaquePointer?

  private init() {
    var made: OpaquePointer?
    unsafe nghttp2_session_callbacks_new(&made)
    unsafe callbacks = made
    unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(made, beginResponse)
    unsafe nghttp2_session_callbacks_set_on_header_callback(made, takeResponseField)
    unsafe nghttp2_session_callbacks_set_on_invalid_header_callback(made, takeInvalidResponseField)
    unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(made, didReceiveFrame)
    unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, takeResponseContent)
    unsafe nghttp2_session_callbacks_set_on_stream_close_callback(made, didCloseStream)
  }

  /// A session with its SETTINGS queued.
  func open(_ settings: HTTP2OriginOptions, _ owner: UnsafeMutableRawPointer) -> OpaquePointer? {
    var options: OpaquePointer?
    guard unsafe nghttp2_option_new(&options) == 0 else { return nil }
    defer { unsafe nghttp2_option_del(options) }
    unsafe nghttp2_option_set_no_auto_window_update(options, 1)
    unsafe nghttp2_option_set_max_outbound_ack(options, 200)
    var session: OpaquePointer?
    guard unsafe nghttp2_session_client_new2(&session, callbacks, owner, options) == 0 else {
      return nil
    }
    guard unsafe submitSettings(session, settings) else {
      unsafe nghttp2_session_del(session)
      return nil
    }
    return unsafe session
  }

  private func submitSettings(_ session: OpaquePointer?, _ settings: HTTP2OriginOptions) -> Bool {
    func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
      nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
    }
    let entries = [
      entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0),
      entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, min(settings.window, 0x7FFF_FFFF)),
      entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, UInt32(clamping: settings.maxFieldSection)),
    ]
    let none = UInt8(NGHTTP2_FLAG_NONE.rawValue)
    return unsafe nghttp2_submit_settings(session, none, entries, entries.count) == 0
      && nghttp2_session_set_local_window_size(
        session, none, 0, Int32(clamping: settings.connectionWindow)) == 0
  }
}

/// The session that `user` stands for: given to nghttp2 by `open`, and alive as long as its session.
@inline(__always)
private func find(_ user: UnsafeMutableRawPointer?) -> HTTP2OriginSession? {
  guard let user = unsafe user else { return nil }
  return unsafe Unmanaged<HTTP2OriginSession>.fromOpaque(user).takeUnretainedValue()
}

private let failed = NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
private let streamFailed = NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue

private func beginResponse(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let session = unsafe find(user) else { return failed }
  session.beginBlock()
  return 0
}

private func takeResponseField(
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
  return session.addField(nameView, valueView) ? 0 : failed
}

/// nghttp2 would leave such a field out and pass the rest on, which is another response than the server gave
/// (RFC 9113 §8.1.1).
private func takeInvalidResponseField(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, name: UnsafePointer<UInt8>?,
  nameLength: Int, value: UnsafePointer<UInt8>?, valueLength: Int, _: UInt8,
  user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let session = unsafe find(user), let frame = unsafe frame else { return failed }
  unsafe session.refuse(frame.pointee.hd.stream_id)
  return streamFailed
}

private func didReceiveFrame(
  _: OpaquePointer?, frame: UnsafePointer<nghttp2_frame>?, user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let session = unsafe find(user), let frame = unsafe frame else { return failed }
  // Every frame begins with its header.
  let header = unsafe frame.pointee.hd
  let isEnd = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
  switch UInt32(header.type) {
  case NGHTTP2_HEADERS.rawValue: session.endBlock(header.stream_id, isEnd: isEnd)
  case NGHTTP2_DATA.rawValue where isEnd: session.endResponse(header.stream_id)
  case NGHTTP2_GOAWAY.rawValue: session.isGoingAway = true
  default: break
  }
  return 0
}

private func takeResponseContent(
  _: OpaquePointer?, _: UInt8, stream: Int32, data: UnsafePointer<UInt8>?, count: Int,
  user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let session = unsafe find(user), let data = unsafe data else { return failed }
  // Part of what is being fed.
  let bytes = unsafe ByteView(unsafeStart: UnsafeRawPointer(data), count: count)
  session.take(bytes, stream)
  return 0
}

private func didCloseStream(
  _: OpaquePointer?, stream: Int32, code: UInt32, user: UnsafeMutableRawPointer?
) -> Int32 {
  guard let session = unsafe find(user) else { return failed }
  session.streamClosed(stream, HTTP2ErrorCode(code))
  return 0
}

/// Copies the next piece of a request's content.
func readRequestContent(
  _: OpaquePointer?, stream: Int32, buffer: UnsafeMutablePointer<UInt8>?, limit: Int,
  flags: UnsafeMutablePointer<UInt32>?, _: UnsafeMutablePointer<nghttp2_data_source>?,
  user: UnsafeMutableRawPointer?
) -> Int {
  guard let session = unsafe find(user), let buffer = unsafe buffer, let flags = unsafe flags else {
    return Int(failed)
  }
  // nghttp2's buffer has room for `limit` bytes.
  let room = unsafe UnsafeMutableRawBufferPointer(start: buffer, count: max(0, limit))
  switch unsafe session.nextContent(of: stream, into: room) {
  case .wait: return Int(NGHTTP2_ERR_DEFERRED.rawValue)
  case .bytes(let count, let isLast):
    if isLast { unsafe flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue }
    return count
  }
}

// MARK: What the callbacks do

extension HTTP2OriginSession {
  enum RequestContent {
    case wait
    case bytes(Int, isLast: Bool)
  }

  func beginBlock() {
    block.removeAll()
    blockSize = 0
    hasStatus = false
  }

  /// Resets a stream for what its server has sent.
  func refuse(_ stream: Int32) {
    _ = unsafe nghttp2_submit_rst_stream(
      session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, HTTP2ErrorCode.protocolError.number)
  }

  /// Adds a field to the head; the status line stands first, as nghttp2 sees to it that `:status` does. False
  /// if the section unpacks to more than anybody means.
  func addField(_ name: ByteView, _ value: ByteView) -> Bool {
    blockSize += name.count + value.count + 32
    guard blockSize <= options.maxFieldSection else {
      return blockSize <= max(options.maxDecodedSection, options.maxFieldSection)
    }
    if name == ByteView(":status") {
      hasStatus = true
      block.append("HTTP/1.1 ")
      block.append(value)
      block.append(" \r\n")
    } else {
      block.append(name)
      block.append(": ")
      block.append(value)
      block.append("\r\n")
    }
    return true
  }

  /// A field section is complete: a head, or trailers.
  func endBlock(_ stream: Int32, isEnd: Bool) {
    guard streams[stream] != nil else { return }
    guard blockSize <= options.maxFieldSection else {
      cancel(stream)
      receiver?.closed(stream: stream, .headTooLarge)
      return
    }
    if hasStatus {
      block.append("\r\n")
      if isEnd { streams[stream]?.hasEnded = true }
      receiver?.received(head: block.view, stream: stream)
      if isEnd { receiver?.ended(stream: stream, trailers: ByteView()) }
    } else {
      streams[stream]?.hasEnded = true
      receiver?.ended(stream: stream, trailers: block.view)
    }
  }

  func endResponse(_ stream: Int32) {
    guard streams[stream] != nil else { return }
    streams[stream]?.hasEnded = true
    receiver?.ended(stream: stream, trailers: ByteView())
  }

  func take(_ bytes: ByteView, _ stream: Int32) {
    consumeOfConnection(bytes.count)
    // What still comes of a request that was given up is nobody's.
    if streams[stream] != nil { receiver?.received(content: bytes, stream: stream) }
  }

  func streamClosed(_ stream: Int32, _ code: HTTP2ErrorCode) {
    guard let state = streams.removeValue(forKey: stream) else { return }
    if !state.hasEnded { receiver?.closed(stream: stream, .reset(code)) }
  }

  func nextContent(
    of stream: Int32, into room: UnsafeMutableRawBufferPointer
  ) -> RequestContent {
    guard var state = streams[stream] else { return .bytes(0, isLast: true) }
    let left = state.output.count - state.outputStart
    if left == 0 && !state.hasAll {
      streams[stream]?.waits = true
      return .wait
    }
    let count = min(left, room.count)
    // Safe: `count` fits both.
    unsafe room.copyBytes(from: state.output[state.outputStart..<state.outputStart + count])
    state.outputStart += count
    let isLast = state.hasAll && state.outputStart == state.output.count
    if state.outputStart == state.output.count {
      state.output = []
      state.outputStart = 0
    }
    streams[stream] = state
    return .bytes(count, isLast: isLast)
  }
}
