// The key and the tags of a request that rules have looked at.

internal import Authentication
internal import Bytes
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import ObjectStore
internal import Rules

extension Exchange {
  /// Writes the key of a request that rules have looked at.
  func makeRuledKey(_ worker: Worker) {
    let room = worker.rules
    if let decision = ruled.decision {
      room.keyPrefix.removeAll()
      decision.keyPrefix.withView { room.keyPrefix.append($0) }
      if let key = decision.cacheKey {
        key.withView { makeNamedKey($0, worker) }
      }
    } else {
      makeKeyPrefix(worker)
      if ruled.hasRun, let key = room.scratch.cacheKey { makeNamedKey(key, worker) }
    }
    guard !room.keyPrefix.isEmpty else { return }
    // In front, behind its length: nothing in the rest of the key can look like it.
    room.key.removeAll()
    room.key.append(0 as UInt8)
    room.key.append(0x72 as UInt8)
    room.key.append(littleEndian: UInt32(truncatingIfNeeded: room.keyPrefix.count))
    room.key.append(room.keyPrefix.view)
    room.key.append(worker.keyBuffer.view)
    swap(&room.key, &worker.keyBuffer)
  }

  /// The key of a request for which rules say what stands for path and query.
  private func makeNamedKey(_ key: ByteView, _ worker: Worker) {
    worker.keyBuffer.removeAll()
    generation.routes.policies[route].namedKey.append(
      head(worker), scheme: scheme, variable: { _ in key }, to: &worker.keyBuffer)
  }

  /// What the key begins with: each value of `vary_by`, where a key is not the route's own what keeps it
  /// apart from those of other routes, and each change of a field, behind its length.
  func makeKeyPrefix(_ worker: Worker) {
    let room = worker.rules
    let scratch = room.scratch
    room.keyPrefix.removeAll()
    if !ruled.keyLines.isEmpty && !(ruled.hasRun && scratch.cacheKey != nil) {
      room.keyPrefix.append(0x6C as UInt8)
      ruled.keyLines.withView { Self.append($0, to: &room.keyPrefix) }
    }
    guard ruled.hasRun else { return }
    for index in 0..<scratch.varyBy.count {
      room.keyPrefix.append(0x76 as UInt8)
      Self.append(scratch.varyBy[index], to: &room.keyPrefix)
    }
    if scratch.cacheKey != nil || scratch.hasNewPath || scratch.origin >= 0 {
      appendSource(worker, to: &room.keyPrefix)
    }
    guard scratch.cacheKey == nil else { return }
    for index in 0..<scratch.requestFields.count {
      let edit = scratch.requestFields[index]
      let kind: UInt8 =
        switch edit.kind {
        case .set: 0x73
        case .unset: 0x75
        case .add: 0x61
        }
      room.keyPrefix.append(kind)
      Self.append(edit.name, to: &room.keyPrefix)
      Self.append(edit.value, to: &room.keyPrefix)
    }
  }

  static func append(_ value: ByteView, to buffer: inout ByteBuffer) {
    buffer.append(littleEndian: UInt32(truncatingIfNeeded: value.count))
    buffer.append(value)
  }

  /// Appends whose content it is: the pool, and the route if not everybody may ask there.
  ///
  /// A URI alone stands for what a request for it gets of its route's own pool. A request that a rule
  /// sends elsewhere, or whose path a rule has rewritten into one of another route's, gets something
  /// else; and what a route shows only some is not for those who ask another route.
  private func appendSource(_ worker: Worker, to prefix: inout ByteBuffer) {
    let routes = generation.routes
    let chosen = worker.rules.scratch.origin
    let pools = routes.ruleOrigins[route]
    let pool = pools.indices.contains(chosen) ? pools[chosen] : routes.routes[route].origin
    if worker.rules.scratch.cacheKey == nil, isUsual(pool, worker) { return }
    prefix.append(0x6F as UInt8)
    Self.append(
      text: routes.poolNames.indices.contains(pool) ? routes.poolNames[pool] : "", to: &prefix)
    guard routes.routes[route].hasAdmission else { return }
    prefix.append(0x67 as UInt8)
    Self.append(text: routes.names[route], to: &prefix)
  }

  /// Whether a request that a client sends as it is now would be answered from that pool, too, and
  /// whoever may send the one may send the other.
  private func isUsual(_ pool: Int, _ worker: Worker) -> Bool {
    let routes = generation.routes
    guard worker.rules.scratch.hasNewPath else { return pool == routes.routes[route].origin }
    let head = head(worker)
    worker.hostBuffer.removeAll()
    RequestTarget.appendHost(head.bytes[head.authority], to: &worker.hostBuffer)
    var path = head.bytes[head.path]
    if !RequestTarget.shape(of: path).isPlain {
      worker.pathBuffer.removeAll()
      RequestTarget.appendPlain(path, to: &worker.pathBuffer)
      path = worker.pathBuffer.view
    }
    guard let other = routes.find(host: worker.hostBuffer.view, path: path),
      routes.routes[other].origin == pool
    else { return false }
    return other == route
      || !routes.routes[other].hasAdmission && !routes.routes[route].hasAdmission
  }

  static func append(text: String, to buffer: inout ByteBuffer) {
    buffer.append(littleEndian: UInt32(truncatingIfNeeded: text.utf8.count))
    buffer.append(text: text)
  }

  /// The tags of the URI, as the origin knows it and, if that is another, as the client does.
  func ruledTags(_ worker: Worker, _ store: ObjectStore) -> [UInt64] {
    let query = generation.routes.policies[route].key.query
    let tags = RequestTarget.tags(
      of: head(worker), scheme: scheme, normalization: query, store: store)
    guard ruled.isEdited else { return tags }
    let own = RequestTarget.tags(
      of: clientHead(worker), scheme: scheme, normalization: query, store: store)
    return tags + own.filter { !tags.contains($0) }
  }
}
