// Asking a service whether the request may pass: the state `admitting`, until its answer is there.

internal import Authentication
internal import Bytes
internal import ClientAddress
internal import Configuration
internal import EventLoop
internal import HTTP1
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics

extension Exchange {
  /// Whether the service lets the request pass, as far as that is known now.
  func admit(_ gate: ServiceGate, on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    if let question = ruled.question {
      return take(question, gate, on: connection)
    }
    makeServiceKey(gate, connection)
    let now = worker.now.monotonic
    if !gate.key.isEmpty {
      if let answer = gate.memory.find(gate.key.view, now: now) {
        return accept(answer, gate, isFresh: false, on: connection)
      }
      let key = gate.key.view.array
      if let question = gate.questions[key], !ruled.asksAlone {
        join(question, gate, on: connection)
        return false
      }
    }
    ask(gate, on: connection)
    return false
  }

  /// Whether there is no answer yet, and the time for it not over.
  func waitsForService(_ worker: Worker, token: UInt64) -> Bool {
    guard let question = ruled.question, let pending = ruled.pending, !pending.isOver,
      case .service(let gate)? = generation.gates.gates[route]
    else { return false }
    let reader = FillReader(worker: worker.index, connection: token)
    return !question.look(for: reader, gate, now: worker.now.monotonic)
  }

  // MARK: Asking

  private func ask(_ gate: ServiceGate, on connection: some ClientStream) {
    let worker = connection.worker
    guard let head = makeQuestion(gate, worker) else {
      worker.lines.removeAll()
      answer(status: 400, text: "The request is malformed.", on: connection)
      return
    }
    let key = ruled.asksAlone ? [] : gate.key.view.array
    let fill = Fill(
      // Several may read it only if it has a key; it is in no table.
      key: key.isEmpty ? nil : gate.memory.hash(of: gate.key.view), fullKey: [], targetTags: [],
      mark: nil, leader: worker.index, began: worker.now.monotonic)
    let request = OriginRequest(
      worker: worker, generation: generation, fill: fill, head: head, route: route, client: client,
      isFill: false, upgrade: false, stored: nil, decision: nil, pool: gate.pool)
    request.isQuestion = true
    request.isSecure = secure != nil
    request.isHTTP2 = isHTTP2
    request.ownLines = questionLines(worker)
    let question = ServiceQuestion(fill, key: key)
    if !key.isEmpty { gate.questions[key] = question }
    ruled.isAsker = true
    join(question, gate, on: connection)
    worker.leading[ObjectIdentifier(fill)] = request
    request.start()
  }

  private func join(
    _ question: ServiceQuestion, _ gate: ServiceGate, on connection: some ClientStream
  ) {
    let worker = connection.worker
    own(worker)
    _ = worker.join(question.fill, connection: connection.token, limit: .max)
    ruled.question = question
    ruled.pending = PendingAdmission(cause: .service)
    state = .admitting
    connection.wait(until: worker.now.monotonic &+ gate.timeout)
  }

  /// The head of the question: what the client sent, under another address and without what is about
  /// content, conditions and ranges.
  private func makeQuestion(_ gate: ServiceGate, _ worker: Worker) -> RequestHead? {
    let head = head(worker)
    let bytes = head.bytes
    var text = ByteBuffer(capacity: head.length + 128)
    text.append("GET ")
    gate.path.withView { text.append($0) }
    text.append(" HTTP/1.1\r\nhost: ")
    text.append(bytes[head.authority])
    text.append("\r\n")
    for index in 0..<head.fields.count {
      let line = head.fields[index]
      let name = line.name(in: bytes)
      guard Self.isSent(line.known, name, gate) else { continue }
      FieldEdits.append(name, line.value(in: bytes), to: &text)
    }
    text.append("\r\n")
    let question = RequestHead()
    let limits = HeadLimits(
      maxRequestLine: 64 << 10, maxHead: text.count + 1, maxFields: head.fields.count + 8)
    guard
      case .complete = RequestParser.parse(text.view, limits: limits, into: question)
    else { return nil }
    question.own()
    return question
  }

  private static func isSent(_ known: KnownField, _ name: ByteView, _ gate: ServiceGate) -> Bool {
    switch known {
    case .host, .contentLength, .transferEncoding, .expect, .contentType, .contentEncoding,
      .contentLanguage, .contentLocation, .contentRange, .contentMd5, .ifMatch, .ifNoneMatch,
      .ifModifiedSince, .ifUnmodifiedSince, .ifRange, .range, .upgrade, .te, .trailer,
      .http2Settings, .cacheControl, .pragma, .maxForwards, .acceptEncoding:
      return false
    // What it names is left out with it.
    case .connection: return true
    default: break
    }
    guard let sent = gate.sentFields else { return true }
    return sent.contains { $0.withView { $0.equalsIgnoringCase(name) } }
  }

  /// What the request was, for the service: as Traefik and Caddy say it.
  private func questionLines(_ worker: Worker) -> [UInt8] {
    let head = clientHead(worker)
    var lines = ByteBuffer(capacity: 256)
    lines.append("x-forwarded-method: ")
    lines.append(head.bytes[head.methodRange])
    lines.append("\r\nx-forwarded-uri: ")
    RequestTarget.appendTarget(head.bytes[head.target], to: &lines)
    lines.append("\r\n")
    return lines.view.array
  }

  // MARK: The key

  /// Writes what the answer is kept for into the gate's buffer; nothing if it is not kept.
  private func makeServiceKey(_ gate: ServiceGate, _ connection: some ClientStream) {
    let worker = connection.worker
    gate.key.removeAll()
    let head = head(worker)
    var isNamed = false
    var isThere = false
    for part in gate.keyParts {
      worker.nameBuffer.removeAll()
      var has = true
      switch part {
      case .address: IPAddress(high: client.high, low: client.low).append(to: &worker.nameBuffer)
      case .host: RequestTarget.appendHost(head.bytes[head.authority], to: &worker.nameBuffer)
      case .path: worker.nameBuffer.append(head.bytes[head.path])
      case .target: worker.nameBuffer.append(head.bytes[head.target])
      case .method: worker.nameBuffer.append(head.bytes[head.methodRange])
      case .field(let name):
        isNamed = true
        has = name.withView { appendField($0, head, worker) }
        if has { isThere = true }
      case .cookie(let name):
        isNamed = true
        has = name.withView { appendCookie($0, head, worker) }
        if has { isThere = true }
      }
      gate.key.append(littleEndian: has ? UInt32(clamping: worker.nameBuffer.count) : .max)
      gate.key.append(worker.nameBuffer.view)
    }
    // Who shows nothing of what is asked for is nobody in particular.
    if isNamed && !isThere { gate.key.removeAll() }
  }

  // MARK: The answer

  /// Goes on with what a service has said, or with that it has said nothing in time.
  private func take(
    _ question: ServiceQuestion, _ gate: ServiceGate, on connection: some ClientStream
  ) -> Bool {
    let worker = connection.worker
    let isAsker = ruled.isAsker
    leaveQuestion(worker, token: connection.token)
    if gate.questions[question.key] === question { gate.questions[question.key] = nil }
    switch question.outcome {
    case .passes(let answer):
      if !question.key.isEmpty {
        question.key.withView {
          gate.memory.keep(answer, for: $0, now: worker.now.monotonic)
        }
      }
      return accept(answer, gate, isFresh: isAsker, on: connection)
    case .refuses(let status, let lines) where isAsker:
      refuse(status, lines, question.content.view, on: connection)
    case .refuses:
      ruled.asksAlone = true
      ask(gate, on: connection)
    case .failed, nil:
      worker.lines.removeAll()
      worker.lines.append("retry-after: ")
      let wait = question.fill.retryAfter / 1_000_000_000
      worker.lines.append(decimal: UInt64(clamping: wait &+ 1))
      worker.lines.append("\r\n")
      answer(status: 503, text: "It cannot be checked now who asks.", on: connection)
    }
    return false
  }

  /// Leaves a question, if the request waits for one.
  func leaveQuestion(_ worker: Worker, token: UInt64) {
    guard let question = ruled.question else { return }
    ruled.question = nil
    ruled.isAsker = false
    worker.leave(question.fill, connection: token)
    // An answer that nobody waited for is not for whoever comes much later.
    if !question.fill.hasReaders, case .service(let gate)? = generation.gates.gates[route],
      gate.questions[question.key] === question
    {
      gate.questions[question.key] = nil
    }
  }

  /// Lets the request pass, as the service has said. What it has said for the client goes only to who
  /// asked: it may be a cookie.
  private func accept(
    _ answer: ServiceAnswer, _ gate: ServiceGate, isFresh: Bool, on connection: some ClientStream
  ) -> Bool {
    let worker = connection.worker
    ruled.identity = .service(answer)
    ruled.isRestricted = !gate.isShared
    if isFresh { ruled.responseLines = answer.responseLines }
    ruled.keyLines = answer.requestLines
    guard gate.isShared || !gate.rules.requestFields.isEmpty else { return true }
    var change = HeadChange()
    if gate.isShared { change.omitted = ByteView("authorization") }
    change.replaced = gate.rules.requestFields
    let isDone = answer.requestLines.withView { lines in
      change.lines = lines
      return edit(change, head(worker), worker)
    }
    if isDone { return true }
    worker.lines.removeAll()
    self.answer(status: 400, text: "The request is malformed.", on: connection)
    return false
  }

  /// Gives the client the service's answer.
  private func refuse(
    _ status: UInt16, _ lines: [UInt8], _ content: ByteView, on connection: some ClientStream
  ) {
    let worker = connection.worker
    worker.lines.removeAll()
    lines.withView { lines in
      FieldLines.forEach(lines) { line in
        switch KnownField.identify(line.name) {
        // The node's own.
        case .date, .server, .via, .cacheStatus: return
        default: worker.lines.append(line.whole)
        }
      }
    }
    worker.lines.append("cache-status: ")
    worker.lines.append(worker.nodeName.view)
    worker.lines.append("; detail=auth\r\n")
    answer(status: status, content: content, endsLine: false, on: connection)
  }
}
