// How a request to an origin ends: its place, its connection and its names are given back, whoever was served.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import Fleet
internal import HTTP1
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Origins

extension OriginRequest {
  /// The answer will not come, or not whole. `retryAfter`: when it may, as far as is known, in
  /// nanoseconds.
  func end(with failure: OriginFailure, retryAfter: Int64 = 0) {
    guard stage != .done else { return }
    dropConnections()
    // Who had no turn has not asked the origin.
    if failure.isOutage, !isTurnless { noteFailure() }
    if stage != .content, serveStale(instead: nil) { return }
    retire()
    worker.counters.add(.fillsFailed)
    sink.fail()
    fill.fail(failure, retryAfter: retryAfter)
    worker.noteMoved(fill)
  }

  /// The answer is whole.
  func complete(trailers: ByteView) {
    guard stage != .done else { return }
    sink.finish()
    fill.complete(trailers: trailers.array)
    if fill.committed(through: 0) { worker.context.fills.remove(fill) }
    worker.noteMoved(fill)
    releaseConnection()
    retire()
  }

  /// Its part is over: gives back its place and forgets its names.
  func retire() {
    noteTraffic()
    stage = .done
    worker.counters.add(.fillsEnded)
    worker.leading[ObjectIdentifier(fill)] = nil
    if token != 0 {
      worker.requests.remove(token)
      token = 0
    }
    file = nil
    attempt.take()?.end(now: worker.now.monotonic)
    leaveGate()
    if let held {
      self.held = nil
      settle(held, status: responseTime > 0 ? response.status : 0)
    }
  }

  /// Counts it for the lists of what origins are asked for.
  private func noteTraffic() {
    var url = ByteBuffer(capacity: 256)
    if fill.target.isEmpty {
      RequestTarget.appendKey(
        scheme: scheme, authority: head.bytes[head.authority], target: head.bytes[head.target],
        to: &url)
    } else {
      fill.target.withView { url.append($0) }
    }
    worker.traffic.noteMiss(
      url: url.view, host: URLParts(url.view).host, query: head.query.map { head.bytes[$0] },
      reason: reason, bytes: sink.received, now: worker.now.monotonic)
    if !notedTags.isEmpty {
      worker.traffic.noteMiss(
        tags: notedTags, reason: reason, bytes: sink.received, now: worker.now.monotonic)
    }
  }

  /// Learns the names of an answer's tags, and keeps them for its end, for one answer of many.
  func noteTags() {
    worker.unnotedAnswers &+= 1
    guard worker.unnotedAnswers >= TrafficSketch.tagSampling, let store = worker.context.store
    else { return }
    worker.unnotedAnswers = 0
    var tags: [UInt64] = []
    Tags.forEach(in: response, within: policy.caching.tagLimits) { tag in
      guard tags.count < TrafficSketch.mostTags else { return }
      let hash = store.tagHash(tag)
      guard !tags.contains(hash) else { return }
      tags.append(hash)
      worker.traffic.tagNames.note(hash, tag)
    }
    notedTags = tags
    // Cache groups are tags of the node's own making (RFC 9875), and are hit like others.
    guard case .groups(let groups) = CacheGroups.groups(of: response) else { return }
    for group in groups.prefix(TrafficSketch.mostTags) {
      (Array("group ".utf8) + group).withView {
        worker.traffic.tagNames.note(groupTag(group, store), $0)
      }
    }
  }

  /// Gives the connection back, if it may carry another request.
  func releaseConnection() {
    dropStream(isWhole: true)
    guard let connection else { return }
    self.connection = nil
    if response.keepAlive && !isBound && sentAll && connection.backlog == 0
      && response.framing != .untilClose && !hasExtra
    {
      worker.keep(connection, settings)
    } else {
      worker.close(connection)
    }
  }
}
