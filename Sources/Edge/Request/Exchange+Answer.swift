// Responses that the node makes itself, and stored ones.

internal import AccessLog
internal import Bytes
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Tracing

extension Exchange {
  /// An error of the client's: answered, and the connection ends, since what follows on it cannot be
  /// trusted or is not wanted.
  func refuse(status: UInt16, text: StaticString, on connection: some ClientStream) {
    connection.endAfterResponse()
    wasRefused = true
    connection.worker.lines.removeAll()
    if status == 405 {
      connection.worker.lines.append("allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n")
    }
    answer(status: status, text: text, on: connection)
  }

  /// An error before there was a request.
  func refuseUnparsed(status: UInt16, text: StaticString, on connection: some ClientStream) {
    let worker = connection.worker
    reset(worker)
    client = connection.address
    trace = nil
    worker.head.reset()
    refuse(status: status, text: text, on: connection)
  }

  /// The content of a request broke off or is wrong: nothing of it may look complete to the origin.
  func refuseBody(status: UInt16, text: StaticString, on connection: some ClientStream) {
    upstream?.abort()
    upstream = nil
    if let fill {
      self.fill = nil
      connection.worker.leave(fill, connection: connection.token)
    }
    takesBody = false
    guard !hasSentHead else {
      connection.reset()
      return
    }
    result = .none
    refuse(status: status, text: text, on: connection)
  }

  /// An answer of the node's own, with a line of text. The fields in `worker.lines` go along.
  func answer(status: UInt16, text: StaticString? = nil, on connection: some ClientStream) {
    if status >= 400, answersWithPage(status: status, on: connection) { return }
    answer(
      status: status, content: text.map { ByteView($0) } ?? ByteView(),
      type: "text/plain; charset=utf-8", on: connection)
  }

  /// The same with a content of its type, which a line's end is added to.
  func answer(
    status: UInt16, content text: ByteView, type: StaticString, on connection: some ClientStream
  ) {
    let worker = connection.worker
    self.status = status
    let content = status == 204 ? ByteView() : text
    if !content.isEmpty {
      worker.lines.append("content-type: ")
      worker.lines.append(type)
      worker.lines.append("\r\ncache-control: no-store\r\n")
      appendOwnCacheStatus(worker)
    }
    answer(status: status, content: content, endsLine: true, on: connection)
  }

  /// An answer of the node's own with any content.
  func answer(
    status: UInt16, content: ByteView, endsLine: Bool, on connection: some ClientStream
  ) {
    let worker = connection.worker
    self.status = status
    hasSentHead = true
    worker.lines.append("date: ")
    worker.lines.append(worker.dates.view(worker.now.wall))
    worker.lines.append("\r\nserver: ")
    worker.lines.append(worker.nodeName.view)
    worker.lines.append("\r\n")
    let head = head(worker)
    appendLimitFields(worker)
    let length = UInt64(content.count) + (content.isEmpty || !endsLine ? 0 : 1)
    let isSent = sendHead(
      status: status, lines: ByteView(), length: length, hasContent: head.method != .head,
      minorVersion: head.minorVersion, on: connection)
    guard isSent else { return }
    if !content.isEmpty && head.method != .head {
      connection.sendWhole(content)
      if endsLine { connection.sendWhole(ByteView("\n")) }
      contentSent += length
    }
    state = .finished
  }

  /// Cache-Status of an answer that no stored response and no origin took part in.
  func appendOwnCacheStatus(_ worker: Worker) {
    worker.lines.append("cache-status: ")
    if let reason {
      CacheStatus.appendForward(node: worker.nodeName.view, reason: reason, to: &worker.lines)
    } else {
      worker.lines.append(worker.nodeName.view)
      worker.lines.append(status == 429 ? "; detail=limited" : "; detail=local")
    }
    worker.lines.append("\r\n")
  }

  /// No answer could be had from the origin (RFC 9110 §15.6, RFC 9209).
  /// `retryAfter`: when it may, in nanoseconds; 0: nobody knows.
  func fail(
    _ failure: OriginFailure, retryAfter: Int64 = 0, on connection: some ClientStream
  ) {
    let worker = connection.worker
    if degrades(failure, on: connection) { return }
    result = .error
    worker.lines.removeAll()
    appendProxyStatus(failure, worker)
    if failure.status == 503 {
      worker.lines.append("retry-after: ")
      // Whole seconds, rounded up: earlier would be refused again.
      worker.lines.append(decimal: UInt64(max(1, (retryAfter + 999_999_999) / 1_000_000_000)))
      worker.lines.append("\r\n")
    }
    answer(status: failure.status, text: failure.text, on: connection)
  }

  func appendProxyStatus(_ failure: OriginFailure, _ worker: Worker) {
    worker.lines.append("proxy-status: ")
    worker.lines.append(worker.nodeName.view)
    worker.lines.append("; error=")
    worker.lines.append(failure.proxyStatus)
    worker.lines.append("\r\n")
  }

  // MARK: Stored responses

  /// Sends a stored response, or that the client has it already.
  @inline(__always)
  func serve(_ response: StoredResponse, _ freshness: Freshness, on connection: some ClientStream) {
    let worker = connection.worker
    if response.isSliced, !mayFetchMissing(of: response, on: connection) { return }
    let head = head(worker)
    let now = worker.now.wall
    if let trace { trace.end(.lookup, at: worker.clock.monotonic()) }
    status = response.status
    hasSentHead = true
    if case .hit = result {
      worker.unnotedHits &+= 1
      if worker.unnotedHits == TrafficSketch.hitSampling { keepTags(of: response, worker) }
    }
    worker.lines.removeAll()
    worker.lines.append("age: ")
    let age = freshness.currentAge(now: now)
    worker.lines.append(decimal: UInt64(max(0, age / 1000)))
    worker.lines.append("\r\ncache-status: ")
    CacheStatus.appendHit(
      node: worker.nodeName.view, ttlSeconds: freshness.ttlSeconds(now: now), to: &worker.lines)
    worker.lines.append("\r\n")
    appendLimitFields(worker)
    switch RangeRules.select(head, of: representation(response, head), now: now) {
    case .whole, .failed: break
    case .notModified:
      notModified(lines: response.head, isStored: true, on: connection)
      return
    case .single(let range):
      servePart(range, of: response, on: connection)
      return
    case .several:
      serveParts(of: response, on: connection)
      return
    case .unsatisfiable:
      refuseRange(length: response.bodyLength, on: connection)
      return
    }
    let hasContent = head.method != .head
    let isSent = sendHead(
      status: response.status, lines: response.head, length: response.bodyLength,
      hasContent: hasContent, minorVersion: head.minorVersion, isStored: true, on: connection)
    guard isSent else { return }
    guard hasContent && response.bodyLength > 0 else {
      state = .finished
      return
    }
    if response.bodyID == 0 {
      sendInline(response.body, on: connection)
    } else {
      sendChunks(of: response, from: 0, to: response.bodyLength, on: connection)
    }
  }

  /// Keeps the tags for the end of the request, when it is noted with what was sent.
  @inline(never)
  private func keepTags(of response: StoredResponse, _ worker: Worker) {
    worker.unnotedHits = 0
    notedTags = (0..<min(response.tagCount, TrafficSketch.mostTags)).map { response.tag($0) }
  }

  /// What conditions and ranges are about.
  @inline(__always)
  func representation(
    _ response: StoredResponse, _ head: RequestHead
  ) -> SelectedRepresentation {
    // Its Date is looked for where it may count.
    let isDated = head.fields.contains(.ifRange) || head.fields.contains(.ifModifiedSince)
    return SelectedRepresentation(
      status: response.status, length: response.bodyLength,
      etag: response.etag.isEmpty ? nil : response.etag,
      lastModified: response.lastModified == .min ? nil : response.lastModified,
      date: isDated
        ? Validators.date(of: response.head, received: response.responseTime)
        : response.responseTime / 1000)
  }

  func sendInline(_ content: ByteView, on connection: some ClientStream) {
    if let pacing {
      keepForPacing(content, pacing, connection.worker)
      return
    }
    contentSent += UInt64(content.count)
    // The record may be gone by the next turn; what is not taken is at most 16 KiB.
    connection.sendWhole(content)
    if state != .idle { state = .finished }
  }

  func sendChunks(
    of response: StoredResponse, from start: UInt64, to end: UInt64,
    on connection: some ClientStream
  ) {
    own(connection.worker)
    connection.worker.reader?.pin(response.bodyID)
    bodyID = response.bodyID
    sliced = SlicedBody(response)
    storedID = response.id
    storedHash = response.keyHash
    position = start
    self.end = end
    state = .stored
  }

  /// Keeps the request beyond the turn that read it.
  func own(_ worker: Worker) {
    guard ownHead == nil else {
      if isRuled { _ = decision(worker) }
      return
    }
    if isRuled {
      ownRuled(worker)
      return
    }
    let head = worker.head
    head.own()
    ownHead = head
    worker.head = RequestHead()
  }

  /// A 304 (RFC 9110 §15.4.5): the fields that a client may use to update what it has, not those that
  /// describe content which is not there.
  func notModified(
    lines: ByteView, isStored: Bool = false, on connection: some ClientStream
  ) {
    let worker = connection.worker
    status = 304
    FieldLines.forEach(lines) { line in
      if FieldLines.isKeptIn304(line.name) { worker.lines.append(line.whole) }
    }
    let isSent = sendHead(
      status: 304, lines: ByteView(), length: nil, hasContent: false,
      minorVersion: head(worker).minorVersion, isStored: isStored, on: connection)
    if isSent { state = .finished }
  }

  // MARK: The log

  func log(duration: Int64, on connection: some ClientStream) {
    let worker = connection.worker
    guard let ring = generation.logRing else { return }
    let how = generation.routes.logs[route]
    var isOnlyWatched = false
    if !how.takesAll, !how.takes(status: status, &worker.traceNumbers) {
      guard ring.isWatched else { return }
      isOnlyWatched = true
    }
    let head = isRuled ? clientHead(worker) : head(worker)
    let bytes = head.bytes
    var record = AccessRecord()
    record.wall = requestWall
    record.duration = duration
    record.channel = how.channel
    record.isOnlyWatched = isOnlyWatched
    if originStarted >= 0 {
      record.originDuration =
        originDuration >= 0 ? originDuration : max(0, worker.now.monotonic - originStarted)
    }
    record.status = status
    record.cache = result.rawValue
    if let reason { record.detail = reason.rawValue }
    record.route = UInt16(clamping: generation.routes.number(of: route))
    record.version = isHTTP2 ? 20 : 10 + head.minorVersion
    if let secure { record.cipherSuite = secure.cipherSuite }
    record.client = client
    record.bytesSent = contentSent
    record.bytesReceived = connection.contentReceived
    record.method = bytes[head.methodRange]
    record.host = bytes[head.authority]
    record.target = bytes[head.target]
    if let referer = head.value(.referer) { record.referer = referer }
    if let agent = head.value(.userAgent) { record.userAgent = agent }
    switch requestID.source {
    case .none: if isRuled { record.members = ruledLog(worker) }
    case .given, .made: record.members = namedLog(worker)
    }
    if !ring.append(record) { worker.counters.add(.logDropped) }
  }
}

/// Reading the field lines that the node itself has written: `name: value\r\n`, lower-case names.
enum FieldLines {
  struct Line {
    var name: ByteView
    var value: ByteView
    var whole: ByteView
  }

  @inline(__always)
  static func forEach(_ lines: ByteView, _ body: (Line) -> Void) {
    var start = 0
    while start < lines.count, let end = lines.firstIndex(of: ASCII.lf, from: start) {
      let whole = lines[start..<end + 1]
      if let colon = whole.firstIndex(of: ASCII.colon), colon + 2 <= whole.count - 2 {
        body(
          Line(
            name: whole.prefix(colon), value: whole[colon + 2..<whole.count - 2], whole: whole))
      }
      start = end + 1
    }
  }

  /// Fields of a 304 (RFC 9110 §15.4.5): those listed there, and what is not about the content.
  static func isKeptIn304(_ name: ByteView) -> Bool {
    switch KnownField.identify(name) {
    case .contentType, .contentEncoding, .contentLanguage, .contentRange, .contentMd5,
      .lastModified, .acceptRanges:
      false
    default: true
    }
  }

  /// Where the value of a field stands; nil if it is not there.
  static func range(of name: ByteView, in lines: ByteView) -> Range<Int>? {
    var found: Range<Int>?
    var offset = 0
    forEach(lines) { line in
      if found == nil && line.name == name {
        let start = offset + line.name.count + 2
        found = start..<start + line.value.count
      }
      offset += line.whole.count
    }
    return found
  }
}
