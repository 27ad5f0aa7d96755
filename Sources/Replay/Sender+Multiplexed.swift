// HTTP/2's part of a sender. Requests that are taken up in one turn leave together: their connections are
// noted as dirty, and flushed when no more are taken up.

internal import EventLoop

extension Sender {
  func dispatchMultiplexed(_ request: Request, _ now: Int64) {
    let client = request.entry.client
    if !request.entry.closes || !plan.connections.opensFresh {
      let found = open.first { connection in
        connection.hasRoom(plan.streams) && (!isPerClient || connection.client == client)
      }
      if let found {
        tally.connectionsReused += 1
        return begin(request, found)
      }
    }
    guard hasMultiplexedPlace(now) else {
      backlog.append(request)
      return
    }
    do throws(Errno) {
      let connection = MultiplexedConnection(
        try transport(for: request), client: client, counters: counters)
      connection.name = multiplexed.insert(connection)
      try poller.add(
        connection.transport.socket, token: connection.name | Self.multiplexedBit)
      tally.connectionsOpened += 1
      open.append(connection)
      begin(request, connection)
    } catch {
      fail(request, .connect, now)
    }
  }

  private func begin(_ request: Request, _ connection: MultiplexedConnection) {
    connection.begin(request)
    markDirty(connection)
  }

  private func markDirty(_ connection: MultiplexedConnection) {
    if connection.isDirty { return }
    connection.isDirty = true
    dirty.append(connection)
  }

  /// Sends what the connections have that were given requests.
  func flushDirty(_ now: Int64) {
    while let connection = dirty.popLast() {
      connection.isDirty = false
      if let failure = connection.flush(now: now) {
        drop(connection, failure, now)
      } else {
        collect(connection, now)
      }
    }
  }

  func handleMultiplexed(_ token: UInt64, _ readiness: Readiness, _ now: Int64) {
    guard let connection = multiplexed.element(token & ~Self.multiplexedBit) else { return }
    let wasReady = connection.transport.isReady
    var failure: SendFailure?
    if readiness.mayWrite || connection.transport.isConnecting {
      failure = connection.writable(now: now)
    }
    if let failure {
      drop(connection, failure, now)
    } else if readiness.mayRead || connection.transport.isReady != wasReady {
      // A handshake may have read what came behind it.
      read(connection, untilEnd: readiness.peerEnded || readiness.isOver, now)
    } else {
      collect(connection, now)
    }
    takeUp(now)
  }

  /// Reads from a connection, and takes what came of it.
  func read(_ connection: MultiplexedConnection, untilEnd: Bool, _ now: Int64) {
    switch connection.readable(untilEnd: untilEnd, buffer: &buffer, now: now) {
    case .failed(let failure): return drop(connection, failure, now)
    case .more:
      if !connection.isUnread { unread.append(connection.name | Self.multiplexedBit) }
      connection.isUnread = true
    case .done: break
    }
    collect(connection, now)
  }

  /// Counts what has ended on a connection, and closes one that is done.
  func collect(_ connection: MultiplexedConnection, _ now: Int64) {
    if !connection.ended.isEmpty {
      let ended = connection.ended
      connection.ended.removeAll(keepingCapacity: true)
      connection.idleSince = now
      let moment = clock.monotonic()
      for (exchange, end) in ended {
        switch end {
        case .answered:
          inFlight -= 1
          record(exchange.request, exchange.answer, moment)
        case .failed(let failure): fail(exchange.request, failure, moment)
        case .refused: again(exchange.request, moment)
        }
      }
      while connection.hasRoom(plan.streams), !isPerClient, let request = takeBacklog() {
        begin(request, connection)
      }
      if connection.active == 0 {
        resting.note()
        // Somebody else's client needs its place.
        if isPerClient, hasBacklog { connection.fail(.closed) }
      }
    }
    if connection.isClosing && connection.active == 0 { remove(connection, now) }
  }

  private func again(_ request: Request, _ now: Int64) {
    if request.isRetry { return fail(request, .stream, now) }
    var request = request
    request.isRetry = true
    tally.resent += 1
    dispatchMultiplexed(request, now)
  }

  private func drop(
    _ connection: MultiplexedConnection, _ failure: SendFailure, _ now: Int64
  ) {
    connection.fail(failure)
    collect(connection, now)
  }

  private func remove(_ connection: MultiplexedConnection, _ now: Int64) {
    guard multiplexed.element(connection.name) != nil else { return }
    multiplexed.remove(connection.name)
    open.removeAll { $0 === connection }
    poller.remove(connection.transport.socket)
    connection.transport.socket.shutdownSending()
    if multiplexed.count < maxConnections, let request = takeBacklog() {
      dispatchMultiplexed(request, now)
    }
  }

  /// Looks for what has waited too long.
  func tickMultiplexed(_ now: Int64) {
    for connection in multiplexed.all {
      let isAlive = connection.giveUp(before: now - plan.timeout)
      if !isAlive {
        drop(connection, connection.transport.isReady ? .timeout : .connectTimeout, now)
      } else if !connection.ended.isEmpty {
        markDirty(connection)
        collect(connection, now)
      } else if connection.active == 0, now - connection.idleSince > Self.idleTime {
        connection.fail(.closed)
        collect(connection, now)
      }
    }
  }
}

extension ConnectionUse {
  /// Whether some requests have connections of their own.
  var opensFresh: Bool {
    if case .fresh = self { return true }
    return false
  }
}
