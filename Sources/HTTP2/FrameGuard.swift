// What a frame's header alone tells: whether its stream's state allows it (RFC 9113 §5.1), and whether there
// have been too many like it.
//
// A stream that is not open may be idle, closed by the client, or reset by us. Frames of the last kind may
// still be on their way and are ignored; of the first two they end the connection. So the streams that we
// reset are remembered, the newest 128 of them; for those older than any that was forgotten nobody knows.

/// Watches a connection's frames.
struct FrameGuard: ~Copyable {
  private let options: HTTP2Options
  private var resets: FrameBudget
  private var settings: FrameBudget
  private var pings: FrameBudget
  private var priorities: FrameBudget
  private var tiny: FrameBudget
  private var windowUpdates: FrameBudget
  /// The newest stream the client has opened, and the newest that nghttp2 has taken.
  private var newest: Int32 = 0
  private var newestTaken: Int32 = 0
  /// The stream whose field section is being sent; 0 if none is.
  private var open: Int32 = 0
  private var continuations = 0
  private var compressed = 0
  private var ours: [Int32] = []
  private var forgotten: Int32 = 0
  var isDraining = false
  /// PINGs of ours that were not answered.
  var ownPings = 0
  /// What was found in a callback, where nothing can be done about it.
  var failure: HTTP2Failure?

  init(_ options: HTTP2Options, now: Int64) {
    self.options = options
    resets = FrameBudget(options.resets, now: now)
    settings = FrameBudget(options.settings, now: now)
    pings = FrameBudget(options.pings, now: now)
    priorities = FrameBudget(options.priorities, now: now)
    tiny = FrameBudget(options.tiny, now: now)
    windowUpdates = FrameBudget(options.windowUpdates, now: now)
  }

  /// What is wrong with a frame; nil if nothing is. `isOpen` is whether nghttp2 has its stream.
  mutating func inspect(_ header: FrameHeader, isOpen: Bool, now: Int64) -> HTTP2Failure? {
    // A HEADERS that nghttp2 made no stream of: it was refused.
    if newest != newestTaken, open == 0 {
      remember(newest)
      newestTaken = newest
    }
    if header.length > 16_384 { return .protocolError(.frameSizeError) }
    if header.type == FrameHeader.Kind.continuation { return continuation(header) }
    if open != 0 { return .protocolError(.protocolError) }
    switch header.type {
    case FrameHeader.Kind.headers: return headers(header, isOpen)
    case FrameHeader.Kind.data:
      if let failure = streamState(header, isOpen) { return failure }
      // Padding (0x8) makes a small frame long.
      let isTiny = header.length < 64 || header.flags & 0x8 != 0
      return isTiny && !header.hasFirstFlag && !tiny.take(now: now) ? .tinyFrameFlood : nil
    case FrameHeader.Kind.reset:
      if isIdle(header.stream) { return .frameOnIdleStream }
      return resets.take(now: now) ? nil : .resetFlood
    case FrameHeader.Kind.windowUpdate:
      if header.stream != 0, isIdle(header.stream) { return .frameOnIdleStream }
      return windowUpdates.take(now: now) ? nil : .windowUpdateFlood
    case FrameHeader.Kind.settings: return settings.take(now: now) ? nil : .settingsFlood
    case FrameHeader.Kind.ping: return ping(header, now)
    case FrameHeader.Kind.priority, FrameHeader.Kind.priorityUpdate:
      return priorities.take(now: now) ? nil : .priorityFlood
    case FrameHeader.Kind.push: return .protocolError(.protocolError)
    default: return tiny.take(now: now) ? nil : .tinyFrameFlood
    }
  }

  private mutating func ping(_ header: FrameHeader, _ now: Int64) -> HTTP2Failure? {
    if header.hasFirstFlag, ownPings > 0 {
      ownPings -= 1
      return nil
    }
    return pings.take(now: now) ? nil : .pingFlood
  }

  private mutating func headers(_ header: FrameHeader, _ isOpen: Bool) -> HTTP2Failure? {
    guard header.stream & 1 == 1 else { return .protocolError(.protocolError) }
    if header.stream > newest {
      newest = header.stream
    } else if let failure = streamState(header, isOpen) {
      return failure
    }
    continuations = 0
    compressed = header.length
    if !header.endsHeaders { open = header.stream }
    return nil
  }

  private mutating func continuation(_ header: FrameHeader) -> HTTP2Failure? {
    guard open != 0, open == header.stream else { return .protocolError(.protocolError) }
    continuations += 1
    compressed += header.length
    if continuations > options.maxContinuations || compressed > options.maxCompressedSection {
      return .continuationFlood
    }
    if header.endsHeaders { open = 0 }
    return nil
  }

  private func isIdle(_ stream: Int32) -> Bool { stream & 1 == 0 || stream > newest }

  private func streamState(_ header: FrameHeader, _ isOpen: Bool) -> HTTP2Failure? {
    if isIdle(header.stream) { return .frameOnIdleStream }
    if isOpen || isDraining || header.stream <= forgotten || ours.contains(header.stream) {
      return nil
    }
    return .frameOnClosedStream
  }

  /// nghttp2 has taken a HEADERS as a new stream's.
  mutating func took(_ stream: Int32) { newestTaken = max(newestTaken, stream) }

  /// We have reset a stream. If the client broke a rule, it counts as if it had reset the stream.
  mutating func didReset(_ stream: Int32, _ code: HTTP2ErrorCode, now: Int64) {
    remember(stream)
    switch code {
    case .noError, .cancel, .internalError: break
    default: if !resets.take(now: now) { failure = failure ?? .resetFlood }
    }
  }

  private mutating func remember(_ stream: Int32) {
    if ours.count == 128 { forgotten = max(forgotten, ours.removeFirst()) }
    ours.append(stream)
  }
}
