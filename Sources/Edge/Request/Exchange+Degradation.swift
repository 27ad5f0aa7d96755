// What a client gets where no server could answer. What is stored has been considered before
// (`OriginRequest.end`, RFC 5861 §4), and is better than anything here. Then, in this order:
//
//   the route's `degrade` rules   an answer, another address, or another origin: once for each request
//   the route's `error_page`      in place of the node's line of text, for every error of the node's own
//   a line of text
//
// Another origin is asked for this request alone, and what it answers is not stored: a page that says "we
// are back soon" must not be found under the address of what it stands for.

internal import AccessLog
internal import Bytes
internal import HTTPCaching
internal import HTTPMessage
internal import Rules

extension OriginFailure {
  /// Whether it says that the origin cannot answer, and not something about one request.
  var isOutage: Bool {
    switch self {
    case .unresolved, .connectFailed, .connectTimeout, .firstByteTimeout, .contentTimeout,
      .closedEarly, .malformed, .headTooLarge, .noServer, .breakerOpen, .tooBusy, .queueTimeout,
      .tlsFailed, .tlsCertificate, .tlsAlert:
      true
    case .requestAborted, .tooManyWaiters, .notSliceable, .unsatisfiable, .changed, .notAsked:
      false
    }
  }
}

extension Exchange {
  /// Does what the route's `degrade` rules say. False: there are none, or they say nothing.
  func degrades(_ failure: OriginFailure, on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    guard !hasDegraded, failure.isOutage, route < generation.routes.unrouted,
      let program = generation.routes.failurePrograms[route]
    else { return false }
    hasDegraded = true
    let room = worker.rules
    // The request waits, so what its rules have decided is kept; the room is free.
    let input = ruleInput(clientHead(worker), ruleClient(connection), room, worker)
    switch program.run(input, room.scratch) {
    case .respond: answerByRules(location: nil, failure: failure, on: connection)
    case .redirect:
      answerByRules(location: room.scratch.location, failure: failure, on: connection)
    case .proceed:
      let origins = generation.routes.failureOrigins[route]
      guard !isStoreOnly, origins.indices.contains(room.scratch.origin),
        head(worker).framing == .none
      else {
        return false
      }
      fallback = origins[room.scratch.origin]
      releaseFill(on: connection)
      upstream = nil
      pass(reason ?? .miss, key: [], on: connection)
    case .failed: return false
    }
    return true
  }

  /// Answers with the route's page for a status; false if it has none.
  func answersWithPage(status: UInt16, on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    guard status >= 400, route < generation.routes.unrouted,
      let page = generation.routes.errorPages[route].first(where: { $0.isFor(status) })
    else { return false }
    var identifier = ByteBuffer(capacity: 32)
    if page.showsRequestID {
      appendRequestID(to: &identifier, worker)
      if case .none = requestID.source {
        worker.lines.append("x-request-id: ")
        worker.lines.append(identifier.view)
        worker.lines.append("\r\n")
        note(requestID: identifier.view, worker)
      }
    }
    var content = ByteBuffer(capacity: 1024)
    page.append(status: status, requestID: identifier.view, to: &content)
    worker.lines.append("content-type: ")
    page.type.withView { worker.lines.append($0) }
    worker.lines.append("\r\ncache-control: no-store\r\n")
    appendOwnCacheStatus(worker)
    answer(status: status, content: content.view, endsLine: false, on: connection)
    return true
  }

  /// Has the log's line say what the request is called.
  private func note(requestID: ByteView, _ worker: Worker) {
    if ownHead == nil { own(worker) }
    isRuled = true
    guard let decision = decision(worker) else { return }
    var member = ByteBuffer(capacity: 64)
    LogMembers.append(name: ByteView("request_id"), value: requestID, to: &member)
    decision.log += member.view.array
  }
}
