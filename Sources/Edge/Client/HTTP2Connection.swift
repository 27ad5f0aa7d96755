// A client's HTTP/2 connection: the codec under many exchanges, as `ClientConnection` is under one. Each
// stream is a `HTTP2Stream`, in a slab of the worker's, and its exchange runs the same code as HTTP/1's.
//
//   bytes ─► session.feed ─► events ─► HTTP2Stream ─► Exchange
//                                                        │ head: at once, to the session
//   socket ◄─ frames ◄─ session.produce ◄── content(…) ──┘ content: when the session asks for it
//
// Content is pulled: nghttp2 says whose turn it is (priorities, windows) and how much fits; the exchange is
// then asked to go on, and what it offers is the next frame. So back-pressure is one thing for all: who is
// not asked does not read on. Frames' headers and small contents are gathered in the worker's buffer; larger
// ones go from the store's map into the record. Nothing outside of `advance` writes: whoever changes a
// stream asks for another turn (`schedule`), and all changes of a turn go out together.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTP2
internal import HTTPMessage
internal import Metrics
import Synchronization
internal import TLS

final class HTTP2Connection: HTTP2ContentProvider {
  private enum Phase {
    case open
    /// Our side has ended; what still comes is dropped, so that the last frames are read.
    case lingering
    case closed
  }

  let worker: Worker
  let socket: Descriptor
  let secure: SecureLink?
  let address: SocketAddress
  /// Whether its fields may say whom it speaks for; see `ClientStream`.
  var mayBeForwarded = true
  let session: HTTP2Session
  var token: UInt64 = 0
  /// Asked for by rules only.
  lazy var listenerPort = Socket.localAddress(of: socket)?.port ?? 0
  private var phase = Phase.open
  private var isReadable = true
  private var isWritable = true
  private(set) var peerEnded = false
  private(set) var wasReset = false
  var isLeftOver = false
  private var isAdvancing = false
  /// Whether no stream has come yet.
  private var isNew = true
  private var isDraining = false
  private var hasCountedFailure = false
  /// Frames that were announced and that the socket has not taken.
  private var kept = ByteBuffer()
  private var keptSent = 0
  /// The open streams, by their numbers, and their names among the worker's.
  private var streams: [(id: Int32, token: UInt64)] = []
  /// Content that stays nowhere else until it is sent.
  private var copied = ByteBuffer()
  private var deadline = Int64.max
  private var timerSet = Int64.max
  private var blockedUntil = Int64.max
  /// When its streams are looked at again.
  private var nextLook = Int64.min

  /// Bytes read, and written, in a turn at most.
  private static let bytesReadPerTurn = 64 << 10
  private static let bytesPerTurn = 256 << 10
  /// What is gathered before it is sent: with the last frame that begins within it, a record.
  private static let gathered = 15 << 10
  /// Content of a frame: with its header it fills a record.
  private static let frameContent = 16_384 - 9
  private static let tick: Int64 = 1_000_000_000
  private static let lingerTime: Int64 = 2_000_000_000

  /// Nil if there is no memory.
  init?(
    worker: Worker, socket: consuming Descriptor, address: SocketAddress, secure: SecureLink?
  ) {
    let session = HTTP2Session(
      worker.http2, budget: worker.windowBudget, now: worker.now.monotonic)
    guard let session else { return nil }
    self.session = session
    self.worker = worker
    self.socket = socket
    self.address = address
    self.secure = secure
  }

  var isClosed: Bool { phase == .closed }

  func opened() {
    setDeadline(worker.now.monotonic + worker.clientSettings.headerTimeout)
    // What comes from now on is told of, since the socket was given another token.
    if let secure { isReadable = worker.isDraining || !secure.isDrained }
    advance()
  }

  func handle(_ readiness: Readiness) {
    if readiness.mayRead {
      isReadable = true
      secure?.noteReadable()
    }
    if readiness.mayWrite { isWritable = true }
    if readiness.peerEnded { peerEnded = true }
    if readiness.isOver { return close() }
    advance()
  }

  /// Has what was changed sent, in the turn that runs or in the next.
  func schedule() {
    if !isAdvancing { worker.runAgain(token) }
  }

  /// Goes on as far as bytes and room allow.
  func advance() {
    guard phase == .open else {
      if phase == .lingering { dropInput() }
      return
    }
    isAdvancing = true
    if let secure, secure.isEarly { goOnWithHandshake(secure) }
    if phase == .open { read() }
    if phase == .open { resetShut() }
    if phase == .open { write() }
    // The end of the handshake, if there was nothing that it could go with.
    if phase == .open, let secure, secure.holds { _ = flushRecord(secure) }
    isAdvancing = false
    guard phase == .open else { return }
    if peerEnded && !isReadable { return close() }
    if session.failure != nil { countFailure() }
    if isDraining && streams.isEmpty { finishDraining() }
    if session.isFinished && kept.isEmpty && !(secure?.hasUnsent ?? false) { return end() }
    setTimer()
  }

  // MARK: In

  /// Streams may come before the handshake's end; those that wait for it go on then.
  private func goOnWithHandshake(_ secure: SecureLink) {
    guard secure.goOnWithHandshake() else { return close() }
    // What was read on the way waits in it.
    isReadable = true
    guard !secure.isEarly else { return }
    let open = streams
    for entry in open { worker.streams.element(entry.token & ~TokenKind.mask)?.advance() }
  }

  /// Breaks off streams that have had no room for too long: others may wait for what they do not read.
  private func resetShut() {
    let now = worker.now.monotonic
    guard now >= nextLook else { return }
    nextLook = now + Self.tick
    for id in session.shutStreams(now: now, for: worker.clientSettings.writeTimeout) {
      worker.counters.add(.writeTimeouts)
      stream(id)?.reset()
    }
  }

  private func read() {
    var left = Self.bytesReadPerTurn
    while isReadable, phase == .open, session.failure == nil {
      guard left > 0 else { return worker.runAgain(token) }
      let result = unsafe receive(worker.readBuffer)
      guard let count = result.count else {
        if result.wouldBlock { isReadable = false } else { close() }
        return
      }
      if count == 0 {
        isReadable = false
        peerEnded = true
        return
      }
      let isDrained = unsafe secure?.isDrained ?? (count < worker.readBuffer.count)
      if isDrained && !peerEnded { isReadable = false }
      worker.counters.add(.bytesReceived, UInt64(count))
      left -= count
      let bytes = unsafe ByteView(unsafe: UnsafeRawBufferPointer(worker.readBuffer)).prefix(count)
      session.feed(bytes, now: worker.now.monotonic)
      takeEvents()
    }
  }

  private func receive(_ buffer: UnsafeMutableRawBufferPointer) -> IOResult {
    if let secure { return unsafe secure.receive(into: buffer) }
    return unsafe socket.receive(into: buffer)
  }

  private func takeEvents() {
    while let event = session.next(into: worker.head) {
      switch event {
      case .request(let id, let request): begin(id, request)
      case .content(let id, let bytes):
        if let stream = stream(id) {
          stream.received(bytes)
        } else {
          session.consume(id, bytes.count)
        }
      case .end(let id, let trailers): stream(id)?.ended(trailers: trailers)
      case .closed(let id, let code): closed(id, code)
      case .goingAway: break
      }
    }
  }

  private func begin(_ id: Int32, _ request: HTTP2Request) {
    isNew = false
    let stream = worker.takeStream()
    stream.token = worker.streams.insert(stream) | TokenKind.stream
    streams.append((id, stream.token))
    session.attach(stream.token, to: id)
    stream.begin(id, request, on: self)
  }

  private func stream(_ id: Int32) -> HTTP2Stream? {
    guard let token = session.token(of: id), token != 0 else { return nil }
    return worker.streams.element(token & ~TokenKind.mask)
  }

  private func closed(_ id: Int32, _ code: HTTP2ErrorCode) {
    guard let place = streams.firstIndex(where: { $0.id == id }) else { return }
    let token = streams[place].token
    streams.swapRemove(at: place)
    if streams.isEmpty { streams = [] }
    worker.streams.element(token & ~TokenKind.mask)?.closed()
  }

  // MARK: Out

  private func write() {
    writeFrames()
    guard phase == .open, let secure else { return }
    let result = secure.endBurst()
    if result.count == nil { result.wouldBlock ? blocked() : close() }
  }

  private func writeFrames() {
    var left = Self.bytesPerTurn
    while phase == .open, flushKept() {
      guard session.wantsToSend else { return }
      guard left > 0 else { return worker.runAgain(token) }
      worker.frames.removeAll()
      let tail = session.produce(
        into: &worker.frames, from: self, limit: Self.gathered, now: worker.now.monotonic)
      let count = worker.frames.count + tail.count
      left -= count
      // Large content, of which there is more than a record.
      if !tail.isEmpty { secure?.beginBurst() }
      if count > 0 { send(worker.frames.view, tail) }
      if copied.count > 0 { copied.removeAll() }
      if phase == .open { takeEvents() }
      if count == 0 { return }
    }
  }

  /// The next piece of a stream's content, for the session.
  func content(stream: Int32, token: UInt64, limit: Int) -> HTTP2Content {
    guard let stream = worker.streams.element(token & ~TokenKind.mask) else {
      return .broken(.internalError)
    }
    return stream.pull(min(limit, Self.frameContent))
  }

  /// A copy of content that may be gone before it is sent; there is one at a time.
  func copy(_ bytes: ByteView) -> ByteView {
    copied.removeAll()
    copied.append(bytes)
    return copied.view
  }

  private func send(_ frames: ByteView, _ tail: ByteView) {
    let result =
      secure?.send(frames, tail, now: worker.now.monotonic) ?? socket.send(frames, tail)
    let sent = count(result)
    guard phase == .open, sent < frames.count + tail.count else { return }
    kept.append(frames.dropping(first: sent))
    kept.append(tail.dropping(first: max(0, sent - frames.count)))
  }

  /// Sends what waits; whether nothing is left.
  private func flushKept() -> Bool {
    if let secure, secure.hasUnsent, !flushRecord(secure) { return false }
    guard keptSent < kept.count else { return true }
    guard isWritable else { return false }
    let waiting = kept.view.dropping(first: keptSent)
    keptSent += count(
      secure?.send(waiting, now: worker.now.monotonic) ?? socket.send(waiting))
    guard phase == .open, keptSent == kept.count else { return false }
    kept.release()
    keptSent = 0
    return !(secure?.hasUnsent ?? false)
  }

  /// Sends what waits in the connection's TLS; whether nothing is left there.
  private func flushRecord(_ secure: SecureLink) -> Bool {
    guard isWritable else { return false }
    let held = secure.heldCount
    let result = secure.flush()
    // A peer that takes some of a burst is slow, and not silent.
    if secure.heldCount < held { blockedUntil = .max }
    guard result.count != nil else {
      if result.wouldBlock { blocked() } else { close() }
      return false
    }
    blockedUntil = .max
    return true
  }

  /// How many bytes were taken; notes what the outcome means.
  private func count(_ result: IOResult) -> Int {
    guard let count = result.count else {
      if result.wouldBlock { blocked() } else { close() }
      return 0
    }
    worker.counters.add(.bytesSent, UInt64(count))
    blockedUntil = .max
    if secure?.hasUnsent ?? false { blocked() }
    return count
  }

  private func blocked() {
    isWritable = false
    if blockedUntil == .max {
      blockedUntil = worker.now.monotonic + worker.clientSettings.writeTimeout
    }
  }

  // MARK: Time

  private func setTimer() {
    let client = worker.clientSettings
    let now = worker.now.monotonic
    if !streams.isEmpty || isDraining {
      setDeadline(min(blockedUntil, now + Self.tick))
    } else if blockedUntil != .max {
      setDeadline(blockedUntil)
    } else if !isNew {
      setDeadline(now + client.idleTimeout)
    }
  }

  private func setDeadline(_ time: Int64) {
    deadline = time
    if time < timerSet {
      timerSet = time
      worker.timers.set(deadline: time, token: token)
    }
  }

  func timerRang() {
    guard timerSet <= worker.now.monotonic, phase != .closed else { return }
    timerSet = .max
    guard deadline <= worker.now.monotonic else { return setDeadline(deadline) }
    if phase == .lingering { return close() }
    if blockedUntil <= worker.now.monotonic {
      worker.counters.add(.writeTimeouts)
      return reset()
    }
    if streams.isEmpty {
      if isNew && !isDraining { worker.counters.add(.headTimeouts) }
      session.finishDraining()
    } else if isDraining {
      session.finishDraining()
    } else {
      _ = session.checkStall(now: worker.now.monotonic)
    }
    deadline = .max
    advance()
  }

  // MARK: The end

  /// A stopping node: the client is told to open no more streams, and those that are open are finished.
  func drain() {
    guard phase == .open, !isDraining else { return }
    isDraining = true
    if !streams.isEmpty { session.drain() }
    isReadable = true
    advance()
  }

  private func finishDraining() {
    guard !session.isDraining else { return }
    session.finishDraining()
    isAdvancing = true
    write()
    isAdvancing = false
  }

  /// The end of a stopping node's patience.
  func cutOff() {
    if streams.isEmpty { close() } else { reset() }
  }

  private func countFailure() {
    guard !hasCountedFailure, let failure = session.failure else { return }
    hasCountedFailure = true
    worker.counters.add(failure.counter)
  }

  /// All is said: ends our side.
  private func end() {
    if peerEnded { return close() }
    if let secure, !wasReset { secure.endSending() }
    socket.shutdownSending()
    endStreams()
    guard phase == .open else { return }
    phase = .lingering
    setDeadline(worker.now.monotonic + Self.lingerTime)
    dropInput()
  }

  private func dropInput() {
    var left = Self.bytesPerTurn
    while isReadable, phase == .lingering {
      guard left > 0 else { return worker.runAgain(token) }
      let result = unsafe socket.receive(into: worker.readBuffer)
      guard let count = result.count, count > 0 else {
        if result.wouldBlock { isReadable = false } else { close() }
        return
      }
      left -= count
    }
  }

  private func reset() {
    wasReset = true
    socket.resetOnClose()
    close()
  }

  func close() {
    guard phase != .closed else { return }
    if let secure, !wasReset, streams.isEmpty, kept.isEmpty, phase == .open {
      secure.endSending()
    }
    phase = .closed
    endStreams()
    worker.poller.remove(socket)
    worker.counters.add(.connectionsClosed)
    worker.context.connections.subtract(1, ordering: .relaxed)
    worker.sessions.remove(token & ~TokenKind.mask)
  }

  private func endStreams() {
    let open = streams
    streams = []
    for entry in open { worker.streams.element(entry.token & ~TokenKind.mask)?.closed() }
  }
}

extension HTTP2Failure {
  /// What counts it.
  var counter: Counter {
    switch self {
    case .badPreface, .protocolError, .frameOnIdleStream, .frameOnClosedStream: .http2Protocol
    case .resetFlood: .http2Resets
    case .continuationFlood: .http2Continuations
    case .fieldBomb: .http2FieldBombs
    case .settingsFlood: .http2Settings
    case .pingFlood: .http2Pings
    case .priorityFlood: .http2Priorities
    case .tinyFrameFlood: .http2SmallFrames
    case .windowUpdateFlood: .http2WindowUpdates
    case .stalled: .http2Stalled
    case .library: .http2Library
    }
  }
}
