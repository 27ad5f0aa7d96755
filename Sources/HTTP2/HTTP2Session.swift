// One client's HTTP/2 connection, without its socket: bytes in, events out; responses in, bytes out. nghttp2
// has the frames, HPACK, flow control and priorities; what it lets pass and should not is caught here.
//
//   bytes ─► FrameScanner ─► inspect ─► nghttp2 ─► callbacks ─► RequestBlock ─► queue ─► next(into:)
//              headers      floods,                             RFC 9113 §8      │
//                           states                                       HTTP/1.1's parser
//
//   respond ─► nghttp2 ─► produce(into:) ─► frames in a buffer, and a view of large content behind it
//                  └─ asks the provider for content in the order of priorities (RFC 9218)
//
// The order of calls in a turn: feed, then next until it is nil, then produce until there is nothing, then
// next again (streams close as their last frame goes out). nghttp2 must not be called from its callbacks
// with what reads or writes frames; so events wait in a queue, and the queue is emptied outside.

package import Bytes
internal import CNGHTTP2
internal import HTTP1
internal import HTTPMessage

/// A server's end of an HTTP/2 connection. Belongs to one thread.
@safe
package final class HTTP2Session {
  let options: HTTP2Options
  // Owned; freed in deinit.
  private var handle: OpaquePointer?
  var scanner = FrameScanner()
  var block = RequestBlock()
  var guardian: FrameGuard
  var window: ReceiveWindow
  /// Heads of requests as text, for the events that are queued.
  var heads = ByteBuffer()
  var trailers = ByteBuffer()
  var queue: [QueuedEvent] = []
  var queueStart = 0
  var streams: [StreamState] = []
  private var freeSlots: [Int] = []
  var now: Int64
  /// Whether no more streams are taken.
  package private(set) var isDraining = false
  /// Why the connection is being ended; nil as long as it is not. What `produce` then writes is the last.
  package private(set) var failure: HTTP2Failure?
  /// The code of a GOAWAY that nghttp2 sent by itself.
  var ownGoAway: UInt32?
  /// Control frames that are written already, to be sent before all others.
  private var control = ByteBuffer()
  let headLimits: HeadLimits

  // What `produce` works on, only while it runs.
  var output: UnsafeMutablePointer<ByteBuffer>?
  var provider: (any HTTP2ContentProvider)?
  var outputLimit = 0
  var tail = ByteView()
  var pendingContent = ByteView()
  var isPaused = false

  // Content that waits for the client's window.
  private var waitsForWindow = false
  private var stalledSince: Int64?
  private var sentBeforeStall: UInt64 = 0
  /// Bytes of content that were sent.
  package internal(set) var contentSent: UInt64 = 0
  /// Requests that were handed out.
  package internal(set) var requests: UInt64 = 0

  /// A session that has its SETTINGS to send. `budget`: what its windows and others' may grow by; nil: no
  /// more than `HTTP2Options.maxWindow` says. Nil if there is no memory.
  package init?(
    _ options: HTTP2Options = HTTP2Options(), budget: WindowBudget? = nil, now: Int64
  ) {
    self.options = options
    self.now = now
    guardian = FrameGuard(options, now: now)
    window = ReceiveWindow(
      initial: max(options.initialWindow, 65_535), limit: options.maxWindow, budget: budget)
    headLimits = HeadLimits(
      maxRequestLine: options.maxTarget + 64,
      maxHead: options.maxFieldSection + options.maxTarget + 1_024,
      maxFields: options.maxFields + 4)
    unsafe handle = nil
    // The session does not outlive this object, which deletes it.
    let made = unsafe Library.shared.open(
      options, Unmanaged.passUnretained(self).toOpaque())
    guard let made = unsafe made else { return nil }
    unsafe handle = made
  }

  deinit { unsafe nghttp2_session_del(handle) }

  var session: OpaquePointer { unsafe handle.unsafelyUnwrapped }

  // MARK: In

  /// Takes bytes that came in. `now` is monotonic, in nanoseconds. The events of earlier bytes must have
  /// been taken.
  package func feed(_ bytes: ByteView, now: Int64) {
    self.now = now
    if queueStart == queue.count { forgetEvents() }
    var at = 0
    while failure == nil, at < bytes.count {
      switch scanner.next(bytes.dropping(first: at)) {
      case .badPreface: fail(.badPreface)
      case .incomplete: at = bytes.count
      case .pass(let count):
        pass(bytes[at..<at + count])
        at += count
      case .frame(let header, let count):
        if let failure = inspect(header) {
          fail(failure)
          return
        }
        if !scanner.pending.isEmpty {
          pass(scanner.pending)
          scanner.clearPending()
        }
        if failure == nil { pass(bytes[at..<at + count]) }
        at += count
      }
    }
  }

  private func inspect(_ header: FrameHeader) -> HTTP2Failure? {
    let isOpen = header.stream > 0 && state(of: header.stream) != nil
    return guardian.inspect(header, isOpen: isOpen, now: now)
  }

  /// Gives bytes to nghttp2.
  private func pass(_ bytes: ByteView) {
    guard !bytes.isEmpty else { return }
    // Safe: nghttp2 reads `count` bytes, and keeps no pointer to them.
    let result = unsafe nghttp2_session_mem_recv(
      session, bytes.baseAddress.assumingMemoryBound(to: UInt8.self), bytes.count)
    if let found = guardian.failure {
      fail(found)
    } else if result < 0 {
      let code = Int32(truncatingIfNeeded: result)
      fail(code == NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue ? .badPreface : .library(code))
    } else if unsafe nghttp2_session_get_outbound_queue_size(session) > 0 {
      // An acknowledgement, or a GOAWAY of nghttp2's own: only the writing of it tells.
      writeControl()
      if let code = ownGoAway { failure = .protocolError(HTTP2ErrorCode(code)) }
    }
  }

  /// Ends the connection: queues a GOAWAY.
  func fail(_ reason: HTTP2Failure) {
    guard failure == nil else { return }
    _ = unsafe nghttp2_session_terminate_session(session, reason.code.number)
    writeControl()
    failure = reason
  }

  /// Writes the frames that are queued, except for content.
  private func writeControl() {
    let wasPaused = isPaused
    isPaused = true
    while true {
      var start: UnsafePointer<UInt8>?
      let count = unsafe nghttp2_session_mem_send(session, &start)
      guard let start = unsafe start, count > 0 else { break }
      // nghttp2's buffer, `count` bytes, good until the next call.
      control.append(unsafe ByteView(unsafeStart: UnsafeRawPointer(start), count: count))
    }
    isPaused = wasPaused
  }

  // MARK: Streams

  /// The place of an open stream.
  func state(of stream: Int32) -> Int? {
    guard let data = unsafe nghttp2_session_get_stream_user_data(session, stream) else {
      return nil
    }
    // A number dressed as an address: the place and one.
    let index = Int(bitPattern: data) - 1
    guard streams.indices.contains(index), streams[index].id == stream else { return nil }
    return index
  }

  func openSlot(_ stream: Int32) {
    let index = freeSlots.popLast() ?? streams.count
    if index == streams.count { streams.append(StreamState()) }
    streams[index] = StreamState(id: stream)
    _ = unsafe nghttp2_session_set_stream_user_data(
      session, stream, UnsafeMutableRawPointer(bitPattern: index + 1))
  }

  func closeSlot(_ index: Int) {
    streams[index].id = 0
    freeSlots.append(index)
    if freeSlots.count == streams.count {
      // An idle connection keeps nothing.
      streams = []
      freeSlots = []
      block.release()
    }
  }

  /// How many streams are open.
  package var openStreams: Int { streams.count - freeSlots.count }

  /// Attaches a number of the caller's to a stream.
  package func attach(_ token: UInt64, to stream: Int32) {
    if let index = state(of: stream) { streams[index].token = token }
  }

  /// The number attached to a stream; nil if it is not open.
  package func token(of stream: Int32) -> UInt64? { state(of: stream).map { streams[$0].token } }

  // MARK: Windows

  /// Says that content was taken, so that the client may send as much again.
  package func consume(_ stream: Int32, _ count: Int) {
    guard count > 0 else { return }
    _ = unsafe nghttp2_session_consume(session, stream, count)
  }

  /// Looks whether content has waited too long for the client's window; to be called from time to time
  /// (each second will do). True if the connection has failed by it.
  package func checkStall(now: Int64) -> Bool {
    self.now = now
    guard failure == nil, waitsForWindow else {
      stalledSince = nil
      return false
    }
    guard let since = stalledSince else {
      stalledSince = now
      sentBeforeStall = contentSent
      return false
    }
    guard now.subtractingReportingOverflow(since).partialValue >= options.stallTime else {
      return false
    }
    if contentSent &- sentBeforeStall >= UInt64(max(0, options.stallProgress)) {
      stalledSince = nil
      return false
    }
    fail(.stalled)
    return true
  }

  /// The streams whose client has left them no room in their own windows for so long (nanoseconds) though
  /// there is content for them; to be called from time to time. A stream that waits for its turn on the
  /// connection, or for the connection's window, is none of them.
  package func shutStreams(now: Int64, for time: Int64) -> [Int32] {
    guard failure == nil else { return [] }
    var found: [Int32] = []
    for index in streams.indices where streams[index].id != 0 {
      let stream = streams[index]
      let room = unsafe nghttp2_session_get_stream_remote_window_size(session, stream.id)
      let isShut = stream.hasContent && !stream.waits && room <= 0
      guard isShut else {
        streams[index].shutSince = nil
        continue
      }
      let since = stream.shutSince ?? now
      streams[index].shutSince = since
      if now.subtractingReportingOverflow(since).partialValue >= time { found.append(stream.id) }
    }
    return found
  }

  // MARK: Out

  /// Whether there is something for `produce` to write.
  package var wantsToSend: Bool {
    if failure != nil || !control.isEmpty { return !control.isEmpty }
    return unsafe nghttp2_session_want_write(session) != 0
  }

  /// Whether the connection is over, as far as HTTP/2 is concerned: all was said and answered.
  package var isFinished: Bool {
    if failure != nil || !control.isEmpty { return control.isEmpty }
    return unsafe nghttp2_session_want_read(session) == 0
      && nghttp2_session_want_write(session) == 0
  }

  /// Writes frames: appends to `output` until it holds about `limit` bytes, and returns content that is to
  /// be sent right behind it, from where it is. All of both must be sent (or kept) before the next call,
  /// for the frames that announce it are written. Call again while something came.
  package func produce(
    into output: inout ByteBuffer, from provider: any HTTP2ContentProvider, limit: Int, now: Int64
  ) -> ByteView {
    self.now = now
    output.append(control.view)
    control.release()
    if failure != nil { return ByteView() }
    let before = contentSent
    self.provider = provider
    outputLimit = limit
    tail = ByteView()
    var wasLimited = false
    unsafe withUnsafeMutablePointer(to: &output) { pointer in
      unsafe self.output = pointer
      wasLimited = unsafe sendFrames(pointer)
      unsafe self.output = nil
    }
    self.provider = nil
    if contentSent != before || !wasLimited {
      waitsForWindow = !wasLimited && streams.contains { $0.id != 0 && $0.hasContent && !$0.waits }
    }
    let result = tail
    tail = ByteView()
    return result
  }

  /// Whether it ended because there was no more room.
  private func sendFrames(_ buffer: UnsafeMutablePointer<ByteBuffer>) -> Bool {
    while unsafe buffer.pointee.count < outputLimit {
      var start: UnsafePointer<UInt8>?
      let count = unsafe nghttp2_session_mem_send(session, &start)
      if count < 0 {
        fail(.library(Int32(truncatingIfNeeded: count)))
        return true
      }
      if let failure = guardian.failure {
        fail(failure)
        return true
      }
      if let start = unsafe start, count > 0 {
        // nghttp2's buffer, `count` bytes, good until the next call.
        let frame = unsafe ByteView(unsafeStart: UnsafeRawPointer(start), count: count)
        guard tail.isEmpty else {
          // A frame behind content that is not copied: the content goes before it after all.
          unsafe buffer.pointee.append(tail)
          tail = ByteView()
          unsafe buffer.pointee.append(frame)
          return true
        }
        unsafe buffer.pointee.append(frame)
      } else {
        let isFull = unsafe buffer.pointee.count >= outputLimit
        return isFull || !tail.isEmpty
      }
    }
    return true
  }

  // MARK: The end

  /// Tells the client to open no more streams, without taking back those on their way (RFC 9113 §6.8);
  /// a round trip later `finishDraining`.
  package func drain() {
    guard failure == nil else { return }
    _ = unsafe nghttp2_submit_shutdown_notice(session)
  }

  /// Takes no more streams; those that are open are finished.
  package func finishDraining() {
    guard failure == nil, !isDraining else { return }
    isDraining = true
    guardian.isDraining = true
    _ = unsafe nghttp2_submit_goaway(
      session, UInt8(NGHTTP2_FLAG_NONE.rawValue),
      nghttp2_session_get_last_proc_stream_id(session), HTTP2ErrorCode.noError.number, nil, 0)
  }
}
